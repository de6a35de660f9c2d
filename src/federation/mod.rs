//! Sign-in at an upstream provider: entree as a relying party.
//!
//! A provider identifies a user by issuer and subject, and perhaps by an address. This module
//! decides whose account that is, signs the user in or asks what is missing, and leads the browser
//! or the app on. Its parts import each other in one direction:
//!
//! ```text
//! endpoint → respond → app → flow → linking → provider → step → error
//! ```
//!
//! - `error` has the refusal codes, and `step` the values that the steps return.
//! - `provider` is the relying party. It knows no browser and no user: after it, nothing depends on
//!   which kind of provider has identified the user.
//! - `linking` decides whose account it is, and carries the decision out.
//! - `flow` takes a browser to a provider and back.
//! - `app` does the same for a first-party app, with codes and tokens.
//! - `respond` renders each value once. `refusal` records and renders refusals; only the edges use
//!   it, which are `respond` and the JSON API in `app::api`.
//! - `endpoint` parses the requests of browsers, and leads a callback through its steps.
//!
//! A step draws no page, sets no cookie and records no refusal.

pub mod app;
pub mod endpoint;
pub mod error;
pub mod flow;
pub mod linking;
pub mod provider;
mod refusal;
pub mod respond;
pub mod step;
