//! The OpenID Provider: authorization requests, tokens, userinfo, sign-out at a client's request,
//! and metadata (RFC 6749, RFC 7636, RFC 9068, OpenID Connect Core).
//!
//! Owns `grant_families`, `consents` and `logout_outbox`. The module knows no sign-in method: it sends the user to
//! `/login` with a pending request and continues when the browser returns with a session. Rules and
//! grants return values or errors; only endpoint functions make responses.

pub(crate) mod access_token;
pub(crate) mod actor;
pub(crate) mod authorize;
pub mod backchannel;
pub(crate) mod bearer;
pub(crate) mod claims_request;
pub(crate) mod client_auth;
pub(crate) mod connected;
pub(crate) mod consent_store;
pub(crate) mod device;
pub(crate) mod discovery;
pub(crate) mod end_session;
pub(crate) mod error;
pub(crate) mod exchange_rules;
pub(crate) mod grant_check;
pub(crate) mod grant_store;
pub(crate) mod introspect;
pub mod issue;
pub mod issuer;
pub(crate) mod par;
pub(crate) mod possession;
pub(crate) mod posted_request;
pub(crate) mod reason;
pub(crate) mod refresh_token;
pub(crate) mod resource;
pub(crate) mod revoke;
pub(crate) mod scope;
pub(crate) mod scope_words;
#[cfg(test)]
mod test_app;
pub(crate) mod token;
pub(crate) mod user_claims;
pub(crate) mod userinfo;
