//! The tables as data: one file a table, imported by the module that owns the table. It holds no rules.

pub mod time;

pub use time::Time;

pub mod audit_event;
pub mod client;
pub mod code_budget;
pub mod consent;
pub mod grant_family;
pub mod known_device;
pub mod logout_outbox;
pub mod magic_link_flow;
pub mod magic_link_token;
pub mod mail_outbox;
pub mod session;
pub mod signing_key;
pub mod user;
pub mod user_email;
pub mod user_identity;
