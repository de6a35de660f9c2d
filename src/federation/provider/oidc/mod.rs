//! OpenID Connect as a relying party: the documents of a provider, the exchange of a code, the ID
//! token, userinfo.
//!
//! The library `openidconnect` parses keys and claims and verifies signatures. Everything that it
//! leaves to its caller is checked here, on the raw JSON, by one function for each check (ADR
//! 0016). Nothing that a provider sent is ever formatted, because bodies contain tokens.

mod breaker;
pub(super) mod client_auth;
mod discovery_alert;
mod document;
pub(super) mod exchange;
pub(super) mod id_token;
pub(super) mod json;
pub(super) mod keys;
pub(super) mod metadata;
#[cfg(test)]
pub(super) mod test_signer;
pub(super) mod upstream;
pub(super) mod userinfo;
