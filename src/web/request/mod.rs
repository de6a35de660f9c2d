//! Requests, read strictly.

pub mod again;
pub mod caller;
pub mod cookie;
pub mod csrf;
pub mod deployment;
pub mod line_budget;
pub mod log_line;
pub mod named_client;
pub mod params;
pub mod unnamed_proxy;
