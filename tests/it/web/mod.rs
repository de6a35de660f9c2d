//! The rules that hold for every page and every form.

mod addresses;
mod csrf;
mod notices;
mod outage;
mod references;
