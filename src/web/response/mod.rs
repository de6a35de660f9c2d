//! Responses, in the form of their audience.

pub mod assets;
pub mod docs;
pub mod error;
pub(in crate::web) mod hsts;
pub mod page;
pub mod problem;
