//! Signing in with an upstream provider: entree as its relying party.
//!
//! Two verbs: [`provider::Providers::authorize_url`] and [`provider::Providers::identify`]. After them nobody knows which
//! provider it was: there is an issuer, a subject, and an address with what it is worth. What a provider says is believed
//! only as far as `oidc` and `github` have checked it; each refusal has its code in `refused`.

mod answer;
mod apple;
mod authorize;
#[cfg(test)]
mod bed;
mod examine;
mod github;
mod oidc;
pub mod provider;
pub mod refused;
