//! Checks what the types of the configuration cannot say: bounds, URLs, and settings that do not go
//! together.
//!
//! Every check runs, so that one run reports all problems. What works but deserves a look is a
//! warning.

mod back_channel;
mod clients;
mod exchange;
mod limits;
mod mail;
mod profile;
mod providers;
mod resources;
mod server;
mod stores;
mod values;

use self::values::is_web_address;
use super::{
    client::Client,
    mode::Mode,
    problem::{Findings, MAX_SECONDS, Section},
    settings::{Config, Session, Token},
    token_lifetimes,
};

/// Checks a configuration whose types fit.
pub(super) fn check(config: &Config, mode: &Mode) -> Findings {
    let mut findings = Findings::default();
    let Config {
        startup,
        reloadable,
    } = config;
    stores::check_database(startup, &mut findings);
    if *mode == Mode::Database {
        return findings;
    }
    server::check(config, mode, &mut findings);
    stores::check_tickets(startup, &mut findings);
    mail::check(&startup.mail, mode, &mut findings.section("mail"));
    limits::check_magic_link(&reloadable.magic_link, &mut findings.section("magic_link"));
    check_session(&reloadable.session, &mut findings.section("session"));
    token_lifetimes::check_defaults(&reloadable.token, &mut findings.section("token"));
    let public_url = &startup.server.public_url;
    clients::check(
        &reloadable.clients,
        &reloadable.token,
        public_url,
        &mut findings,
    );
    exchange::check(&reloadable.clients, public_url, &mut findings);
    resources::check(reloadable, public_url, &mut findings);
    providers::check(&reloadable.providers, &mut findings);
    limits::check(reloadable, &mut findings.section("limits"));
    check_telemetry(config, &mut findings.section("telemetry"));
    findings
}

/// Checks clients that are not in the file. `token` has the lifetimes that they leave out.
pub(super) fn check_clients(clients: &[Client], token: &Token, public_url: &str) -> Findings {
    let mut findings = Findings::default();
    clients::check(clients, token, public_url, &mut findings);
    exchange::check(clients, public_url, &mut findings);
    findings
}

fn check_session(session: &Session, section: &mut Section<'_>) {
    section.range(
        session.absolute_seconds,
        60..=MAX_SECONDS,
        "absolute_seconds",
    );
    section.range(session.max_per_user.into(), 1..=1_000, "max_per_user");
    for (seconds, key) in [
        (session.idle_seconds, "idle_seconds"),
        (session.remembered_idle_seconds, "remembered_idle_seconds"),
    ] {
        section.require(
            (60..=session.absolute_seconds).contains(&seconds),
            key,
            "is under a minute or over session.absolute_seconds",
            "Set a number from 60 to session.absolute_seconds.",
        );
    }
}

fn check_telemetry(config: &Config, section: &mut Section<'_>) {
    section.require(
        crate::telemetry::parse_level(&config.reloadable.telemetry.level).is_ok(),
        "level",
        "is not a log filter",
        "Write a level such as `info`, or levels by target such as `info,entree=debug`.",
    );
    let telemetry = &config.startup.telemetry;
    section.require(
        telemetry.otlp_endpoint.is_empty() || is_web_address(&telemetry.otlp_endpoint),
        "otlp_endpoint",
        "is not an http address",
        "Write the base address of the collector, for instance `http://127.0.0.1:4318`, or leave it empty.",
    );
    section.range(
        telemetry.traces_per_mille.into(),
        0..=1000,
        "traces_per_mille",
    );
}
