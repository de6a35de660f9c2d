//! Signing in with an upstream provider: entree as its relying party.
//!
//! Two verbs: [`provider::Providers::authorize_url`] and [`provider::Providers::identify`]. After them nothing knows which
//! provider it was: there is an issuer, a subject, and an address with what it is worth. What a provider says is believed
//! only as far as `oidc` and `github` have checked it; each refusal has its code in `error`.

mod answer;
pub mod app;
mod apple;
mod authorize;
pub mod error;
mod examine;
pub mod flow;
mod github;
pub mod linking;
mod oidc;
pub mod provider;
pub mod refusal;
#[cfg(test)]
mod test_app;
