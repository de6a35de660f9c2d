//! The JSON API for first-party apps, and the code that leads back into such an app.

pub mod api;
pub mod code;
