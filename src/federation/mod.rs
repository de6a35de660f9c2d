//! Signing in with an upstream provider: entree as its relying party.
//!
//! Two verbs: [`provider::Providers::authorize_url`] and [`provider::Providers::identify`]. After them nobody knows which
//! provider it was: there is an issuer, a subject, and an address with what it is worth. What a provider says is believed
//! only as far as `oidc` and `github` have checked it; each refusal has its code in `refused`.

mod answer;
pub mod api;
pub mod app_return;
mod apple;
pub mod arrive;
pub mod ask;
mod authorize;
pub mod callback;
pub mod decide;
pub mod disconnect;
mod examine;
mod github;
pub mod link;
mod oidc;
pub mod pages;
pub mod provider;
pub mod refused;
pub mod start;
pub mod state;
#[cfg(test)]
mod test_app;
