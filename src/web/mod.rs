//! The web floor: errors, pages, parameters, cookies, form tokens, the caller, the layers around every endpoint, and the
//! one way out.

pub mod assets;
pub mod caller;
pub mod cookie;
pub mod cors;
pub mod csrf;
pub mod docs;
pub mod error;
pub mod fetch;
mod host;
pub mod layers;
pub mod page;
pub mod params;
pub mod problem;
pub mod server;
pub mod tags;
pub mod text;
pub mod tls;
mod unread;
