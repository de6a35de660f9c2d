//! Sign-in by mail: a link and a code in one letter, bound to the browser or app that asked.
//!
//! Owns `magic_link_tokens` and `code_budgets`. A request never tells whether an address is known: it does the same
//! work for all and leaves the rest to the worker that sends. Reading a link changes nothing; only a POST by its
//! holder consumes, by one guarded statement. `docs/decisions/` tells why link and code stand in one mail.

pub mod api;
pub mod api_v2;
pub mod budget;
pub mod code;
pub mod compose;
pub mod consume;
pub mod letter;
pub mod pages;
pub mod request;
pub mod token;
