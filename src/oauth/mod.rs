//! The OpenID Provider: authorization requests, tokens, userinfo, sign-out at a client's request,
//! and metadata (RFC 6749, RFC 7636, RFC 9068, OpenID Connect Core).
//!
//! Owns `grant_families` and `consents`. The module knows no sign-in method: it sends the user to
//! `/login` with a pending request and continues when the browser returns with a session. Rules and
//! grants return values or errors; only endpoint functions make responses.

pub mod access_token;
pub mod authorize;
pub mod claims_request;
pub mod client_auth;
pub mod connected;
pub mod consent_store;
pub mod discovery;
pub mod end_session;
pub mod error;
pub mod grant_check;
pub mod grant_store;
pub mod introspect;
pub mod issue;
pub mod issuer;
pub mod posted_request;
pub mod refresh_token;
pub mod revoke;
pub mod scope;
#[cfg(test)]
mod test_app;
pub mod token;
pub mod user_claims;
pub mod userinfo;
