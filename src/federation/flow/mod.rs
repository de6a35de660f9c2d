//! The way of a browser: from our form to a provider, and back through the callback.

pub mod callback;
pub mod complete;
pub mod start;
pub mod state;
