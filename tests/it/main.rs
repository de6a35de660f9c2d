//! Requests to the whole service in this process: the routes of the public listener over a real database and a real
//! ticket store, with a clock that the test moves and a mailbox in place of SMTP.
//!
//! Each test is named after the requirement that it holds. What is said of both back ends runs on both; where this
//! machine lacks PostgreSQL or Redis the second run says `skipped`, and fails on a build server (`CI=true`).
#![allow(
    clippy::too_many_lines,
    clippy::excessive_nesting,
    clippy::too_many_arguments,
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

mod allocations;
mod backchannel;
mod base_path;
mod cli;
mod client;
mod db;
mod device;
mod exchange;
mod fapi;
mod federation;
mod hostile;
mod leaks;
mod log;
mod login;
mod magic_link;
mod migrations;
mod oauth;
mod service;
mod session;
mod tap;
mod telemetry;
mod ticket;
mod user;
mod web;
mod work;
