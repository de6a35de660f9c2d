//! What the tests of entree stand on.
//!
//! Everything here looks at the service from outside: real processes, real HTTP, real SMTP. The service itself is the
//! built binary, handed in by path, so this package depends on none of its code.
//!
//! - [`services`]: throw-away PostgreSQL and Redis, started once per test process.
//! - [`mail`], [`smtp`], [`mailpit`]: where emails arrive.
//! - [`entree`]: the built binary, one or two copies of it.
//! - [`wire`]: a TCP proxy that spreads connections and breaks them on demand.
//! - [`trust`]: certificates for https, and whom our clients trust.
//! - [`browser`], [`page`], [`oidc`], [`dpop`]: people and client software.
//! - [`driver`]: load, and what it costs.
//! - [`otlp`]: where traces and metrics arrive.
//! - [`logout`]: clients that receive logout tokens.
//! - [`upstream`]: a provider to sign in with, with any one fault that a test injects.
#![allow(
    clippy::too_many_lines,
    clippy::excessive_nesting,
    clippy::too_many_arguments,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test that cannot go on must stop at once and say where"
)]

pub mod browser;
pub mod child;
pub mod dpop;
pub mod driver;
pub mod entree;
pub mod logout;
pub mod mail;
pub mod mailpit;
pub mod oidc;
pub mod otlp;
pub mod page;
pub mod services;
pub mod smtp;
pub mod trust;
pub mod upstream;
pub mod wire;

use std::{future::Future, pin::Pin, time::Duration};

/// A future that a trait object may return.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that this machine does not have, and why we think so.
#[derive(Clone, Debug)]
pub struct Missing {
    /// The thing, as a person would name it.
    pub what: &'static str,
    /// What was tried, and how to repair it.
    pub why: String,
}

impl Missing {
    /// Names the thing and the reason.
    pub fn new(what: &'static str, why: impl Into<String>) -> Self {
        Self {
            what,
            why: why.into(),
        }
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for Missing {}

/// True on a build server, where a thing that is missing is a failure.
#[must_use]
pub fn ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Asks `probe` again and again until it answers `Some`, at most `limit` long.
///
/// This is how tests wait: for a condition, never for a length of time.
///
/// # Errors
/// `limit` passed; says what was waited for.
pub async fn until<T, F, P>(what: &str, limit: Duration, mut probe: P) -> Result<T, String>
where
    P: FnMut() -> F,
    F: Future<Output = Option<T>>,
{
    let end = tokio::time::Instant::now() + limit;
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(found) = probe().await {
            return Ok(found);
        }
        if tokio::time::Instant::now() >= end {
            return Err(format!(
                "waited {} ms in vain for {what}",
                limit.as_millis()
            ));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
