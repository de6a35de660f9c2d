//! Entree: a standalone passwordless identity provider.
//!
//! Rooms on a shared floor; imports point only to the right:
//! `main, cli → routes, jobs, health → oauth | magic_link | federation → login → session, user, client → app → ticket,
//! limit, audit, mail, key → error, db, secret, pkce, clock, config, web, telemetry → entity`. `tests/it/house.rs` reads the arrow here
//! and holds it.

pub mod app;
pub mod audit;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod db;
pub mod error;
pub mod federation;
pub mod health;
pub mod jobs;
pub mod key;
pub mod limit;
pub mod login;
pub mod magic_link;
pub mod mail;
pub mod oauth;
pub mod pkce;
pub mod routes;
pub mod secret;
pub mod session;
pub mod telemetry;
pub mod ticket;
pub mod user;
pub mod web;
