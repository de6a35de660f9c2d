//! Entree: a standalone passwordless identity provider.
//!
//! Imports between the top-level modules follow one arrow, from left to right; modules on two sides of
//! a `|` never import each other:
//! `main → cli → routes, jobs, health → oauth | magic_link | federation | account → login →
//! session, user, client, dpop → app → ticket, limit, audit, mail, key → web → error, db, secret, clock,
//! config, telemetry, pkce, network, display_text → entity`. `tests/rules/tests/layout.rs` reads the arrow
//! here and holds it.

pub mod account;
pub mod app;
pub mod audit;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod db;
pub mod display_text;
pub mod dpop;
pub mod error;
pub mod federation;
pub mod health;
pub mod jobs;
pub mod key;
pub mod limit;
pub mod login;
pub mod magic_link;
pub mod mail;
pub mod network;
pub mod oauth;
pub mod pkce;
pub mod routes;
pub mod secret;
pub mod session;
pub mod telemetry;
pub mod ticket;
pub mod user;
pub mod web;
