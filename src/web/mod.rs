//! HTTP: what every endpoint needs, and nothing about sign-in.
//!
//! - `request` reads requests: the caller, parameters, cookies, and the protection of forms.
//! - `response` renders responses: pages, problems, errors, static files, the API documentation.
//! - `server` accepts connections and puts the same layers around every endpoint.
//! - [`locale`] holds the texts for people in their languages.
//! - [`fetch`] sends requests to other hosts.
//! - [`base_path`] is the path of `server.public_url`.
//! - [`every_second`] logs what strangers cause in any number.

pub mod base_path;
pub mod every_second;
pub mod fetch;
pub mod locale;
mod request;
mod response;
pub mod server;

pub use request::{
    again, caller, cookie, csrf, deployment, line_budget, log_line, named_client, params,
    unnamed_proxy,
};
pub(crate) use response::filters;
pub use response::{assets, docs, error, look, page, problem, reason, shared};
pub use server::{cors, lane, layers, methods, mount, tls};
