//! What a response says, in the form of its audience.

pub mod assets;
pub mod docs;
pub mod error;
pub(in crate::web) mod hsts;
pub mod page;
pub mod problem;
