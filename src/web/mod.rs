//! HTTP: what every endpoint needs, and nothing about sign-in.
//!
//! - `request` reads requests: the caller, parameters, cookies, and the protection of forms.
//! - `response` renders responses: pages, problems, errors, static files, the API documentation.
//! - `server` accepts connections and puts the same layers around every endpoint.
//! - [`locale`] holds the texts for people in their languages.
//! - [`fetch`] sends requests to other hosts.

pub mod fetch;
pub mod locale;
mod request;
mod response;
pub mod server;

pub use request::{caller, cookie, csrf, params};
pub use response::{assets, docs, error, page, problem};
pub use server::{cors, layers, methods, tls};
