//! Requests to other hosts: to upstream providers, and to URLs that clients of ours name.
//!
//! They go over https to public addresses alone, which is decided when the connection is made, so
//! that a name that resolves twice does not resolve to a private address (HT-03). There are no
//! redirects, no proxies, no cookies and no retries; 3 s to connect, 5 s for everything, 512 KiB.
//! Only the settings of a provider or client allow more ([`FetchScope`]). Errors are fixed words (HT-08).

mod address;
mod client;
mod error;
mod message;
mod resolver;
mod scope;
#[cfg(test)]
pub(crate) mod test_server;

pub use address::is_public;
pub use client::{Fetcher, MAX_BYTES};
pub use error::FetchError;
pub use message::{FetchRequest, FetchResponse};
pub use scope::FetchScope;

#[cfg(test)]
mod tests;
