//! The server: HTTP/1.1 and HTTP/2 on one listener, with a bound on every wait, and the layers
//! around every endpoint.
//!
//! The framework's own server has no bound on the time and size of a header, no TCP_NODELAY and no
//! bound on connections. This one has them, and serves the same endpoints. Each body is bounded in
//! the layers, all unfinished requests together in `budget`, and those at work in `lane`. The requests of
//! an HTTP/2 connection share the task of their connection (`streams`). An endpoint runs to its end,
//! whatever its client does (`unit`).

mod activity;
mod body;
mod budget;
mod connection;
pub mod cors;
mod ended_log;
mod failed;
mod host;
pub mod lane;
pub mod layers;
mod listener;
pub mod methods;
pub mod mount;
mod networks;
mod options;
mod rejection;
mod response_body;
mod streams;
pub mod tls;
mod unit;
mod unread_log;

pub use listener::serve;
pub use options::ServerOptions;

#[cfg(test)]
mod tests;
