//! The rules that hold for every page and every form.

mod addresses;
mod csrf;
mod cut;
mod lanes;
mod notices;
mod outage;
mod references;
