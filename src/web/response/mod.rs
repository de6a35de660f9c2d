//! Responses, in the form of their audience.

pub mod assets;
pub mod docs;
pub mod error;
pub(crate) mod filters;
pub(in crate::web) mod hsts;
pub mod look;
pub mod page;
pub mod problem;
pub mod reason;
pub mod shared;
