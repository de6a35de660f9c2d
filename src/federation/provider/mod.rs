//! Signing in with an upstream provider: entree as its relying party.
//!
//! Two verbs: [`Providers::start_authorization`] and [`Providers::identify`]. After them nobody knows which provider it was:
//! there is an issuer, a subject, and an address with what it is worth. What a provider says is believed only as far as
//! `oidc` and `github` have checked it.

mod apple;
mod doctor;
mod github;
mod identity;
mod oidc;
mod registry;
mod request;
mod response;
#[cfg(test)]
mod test_app;
#[cfg(test)]
mod tests;

pub(crate) use identity::is_still_authoritative;
pub use {
    doctor::ProviderFinding,
    identity::{Identity, Trust},
    registry::Providers,
    request::{AuthorizationRedirect, AuthorizationRequest, RequestRecord},
    response::AuthorizationResponse,
};
