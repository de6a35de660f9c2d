//! The way of a browser: from a button to the provider, and back through the callback.

pub mod callback;
pub mod provider_post;
pub mod start;
pub mod state;
