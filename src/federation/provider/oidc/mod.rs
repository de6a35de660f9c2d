//! OpenID Connect as a relying party: documents of a provider, the exchange of a code, the ID token, userinfo.
//!
//! The library `openidconnect` reads keys and claims and verifies signatures; everything that it leaves to its caller is
//! checked here, on the raw JSON, each check a function of its own (docs/decisions/0016). Nothing that a provider sent is
//! ever formatted: bodies hold tokens.

mod breaker;
mod document;
pub(super) mod exchange;
pub(super) mod id_token;
pub(crate) mod json;
pub(super) mod keys;
pub(super) mod metadata;
pub(super) mod upstream;
pub(super) mod userinfo;
