//! Sign-in by email: a link and a code in one email, bound to the browser or app that requested it.
//!
//! Owns `magic_link_tokens` and `code_budgets`. A request never reveals whether an address is known: it
//! does the same work for every address and leaves the rest to the worker that sends. Reading a link
//! changes nothing. Only a POST by the flow's holder consumes a link or a code, by one guarded
//! statement. `docs/decisions/` says why link and code share one email.

pub mod api;
pub mod api_v2;
mod app_login;
pub mod budget;
pub mod code;
pub mod composer;
pub mod consume;
mod delivery;
mod email;
mod login_events;
mod open_streams;
pub mod pages;
pub mod refusal;
pub mod request;
pub mod token;
