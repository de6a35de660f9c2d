//! Signing in with an upstream provider: entree as its relying party.
//!
//! Two verbs: [`provider::Providers::start_authorization`] and [`provider::Providers::identify`]. After them nothing knows which
//! provider it was: there is an issuer, a subject, and an address with what it is worth. What a provider says is believed
//! only as far as `provider` has checked it; each refusal has its code in `error`.

pub mod app;
pub mod error;
pub mod flow;
pub mod linking;
pub mod provider;
pub mod refusal;
