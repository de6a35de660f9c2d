//! OpenID Provider: authorization code with PKCE, tokens, metadata (RFC 6749, RFC 7636, RFC 9068, OpenID Connect Core).
//!
//! Owns `grant_families` and `consents`. It knows nothing of how people sign in: it sends them to `/login` with a pending request and
//! takes up again when they come back with a session.

pub mod access;
pub mod authorize;
pub mod bearer;
pub mod claims;
pub mod claims_request;
pub mod connected;
pub mod consent_store;
pub mod discovery;
pub mod end_session;
pub mod error;
pub mod grant_store;
pub mod introspect;
pub mod issue;
pub mod page;
pub mod posted;
pub mod refresh;
pub mod refused;
pub mod resource;
pub mod revoke;
pub mod scope;
#[cfg(test)]
mod test_app;
pub mod token;
pub mod userinfo;
