//! Entree as the relying party of an upstream provider (OpenID Connect Core; OAuth 2.0 at GitHub).
//!
//! [`Providers::start_authorization`] returns where to send a browser, and [`Providers::identify`]
//! turns the response into a [`ProviderIdentity`]: issuer, subject, and an email address with what the
//! provider's word about it is worth. Every document, response and token of a provider is checked
//! here before any of it is used. What is not accepted is a [`ProviderError`], whose `code` is a
//! [`RefusalCode`](super::error::RefusalCode).
//!
//! Invariants:
//! - This module knows no browser and no user: it reads no cookie, sets none, answers no request,
//!   and imports neither `login` nor `session`. Of `user` it takes
//!   [`Address`](crate::user::Address) alone, for the canonical form of an email address.
//! - It imports nothing of `linking`, `flow` and `app`; of `federation` it needs only `error`.
//! - Imports go one way, from left to right: `registry` → `doctor` → `identify` → `apple`,
//!   `github` → `identity` → `request` → `oidc` → `error`.

mod apple;
mod doctor;
mod error;
mod github;
mod identify;
mod identity;
mod oidc;
mod registry;
mod request;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;

pub(crate) use identity::is_still_authoritative;
pub use {
    doctor::ProviderFinding,
    error::ProviderError,
    identify::AuthorizationResponse,
    identity::{ProviderIdentity, Trust},
    registry::Providers,
    request::{AuthorizationRedirect, AuthorizationRequest, RequestRecord},
};
