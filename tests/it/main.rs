//! Requests to the whole service in this process: the routes of the public listener over a real database and a real
//! ticket store, with a clock that the test moves and a mailbox in place of SMTP.
//!
//! Each test is named after the requirement that it holds. What is said of both back ends runs on both; where this
//! machine lacks PostgreSQL or Redis the second run says `skipped`, and fails on a build server (`CI=true`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test that cannot go on must stop at once and say where"
)]

#[macro_use]
mod test_app;

mod api_v2;
mod authorize;
mod clients;
mod doctor;
mod federation;
mod federation_answers;
mod federation_cache;
mod federation_callback;
mod federation_claims;
mod federation_kinds;
mod federation_link;
mod federation_metadata;
mod federation_off;
mod federation_race;
mod federation_secrets;
mod federation_token;
mod hostile;
mod identity;
mod leaks;
mod linking;
mod linking_app;
mod linking_property;
mod magic_link_ask;
mod magic_link_click;
mod magic_link_code;
mod magic_link_keeping;
mod magic_link_mail;
mod magic_link_race;
mod magic_link_secrets;
mod magic_link_timing;
mod migrations;
mod million;
mod oauth;
mod oauth_authorize;
mod oauth_claims;
mod oauth_connected;
mod oauth_metadata;
mod oauth_prompt;
mod oauth_token;
mod outside;
mod providers_doc;
mod session;
mod session_csrf;
mod telemetry;
mod wire;
