//! Requests, read strictly.

pub mod caller;
pub mod cookie;
pub mod csrf;
pub mod params;
