//! The rules that hold for every page and every form.

mod addresses;
mod csrf;
mod cut;
mod lanes;
mod notices;
pub(crate) mod outage;
mod references;
