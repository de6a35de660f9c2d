//! Checks `[database]` and `[tickets]`.

use url::Url;

use super::values::has_certificates;
use crate::config::{
    problem::{Findings, Section},
    settings::{Startup, Tickets},
    tls_certificate::is_open_to_others,
};

/// Below this a few large requests would fill the store.
const MIN_TICKET_BYTES: u64 = 8 * 1024 * 1024;
const MAX_TICKET_BYTES: u64 = 1 << 40;

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

pub(super) fn check_database(startup: &Startup, findings: &mut Findings) {
    findings.section("server").require(
        !startup.server.data_dir.as_os_str().is_empty(),
        "data_dir",
        "is empty",
        "Name a directory, for instance `data`.",
    );
    let section = &mut findings.section("database");
    let url = startup.database.url.expose();
    let is_sqlite = url
        .strip_prefix("sqlite:")
        .is_some_and(|path| !path.is_empty() && !path.contains(":memory:"));
    let is_valid_postgres = is_postgres(url) && Url::parse(url).is_ok_and(|url| url.has_host());
    section.require(
        url.is_empty() || is_sqlite || is_valid_postgres,
        "url",
        "is not the URL of a PostgreSQL or SQLite database",
        "Write `postgres://user:password@host/database` or `sqlite:PATH`, or leave it empty.",
    );
    let connections = startup.database.max_connections;
    section.range(connections.into(), 1..=1000, "max_connections");
}

pub(super) fn check_tickets(startup: &Startup, findings: &mut Findings) {
    let tickets = &startup.tickets;
    let section = &mut findings.section("tickets");
    let url = tickets.url.expose();
    let is_memory = url == "memory:";
    let is_redis = ["redis://", "rediss://", "redis+unix://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
        && Url::parse(url).is_ok();
    section.require(
        is_memory || is_redis,
        "url",
        "is not the URL of a ticket store",
        "Write `memory:`, `redis://host:6379`, `rediss://host:6379` or `redis+unix:///path`.",
    );
    let serves_many = is_postgres(startup.database.url.expose()) && !startup.server.single_instance;
    section.require(
        !(is_memory && serves_many),
        "url",
        "keeps tickets in one process, while PostgreSQL serves many",
        "Set a redis:// URL, or set server.single_instance = true if there is only one instance.",
    );
    let prefix = &tickets.prefix;
    let is_allowed = |c: char| c.is_ascii_graphic() && !"{}*?[]\\".contains(c);
    section.require(
        (1..=64).contains(&prefix.len()) && prefix.chars().all(is_allowed),
        "prefix",
        "is not a key prefix",
        "Use letters, digits, `-` and `:`, for instance `entree:`.",
    );
    check_certificates(tickets, section);
    let bytes = tickets.max_bytes as u64;
    section.range(bytes, MIN_TICKET_BYTES..=MAX_TICKET_BYTES, "max_bytes");
}

fn check_certificates(tickets: &Tickets, section: &mut Section<'_>) {
    let is_tls = tickets.url.expose().starts_with("rediss://");
    for (key, file) in [
        ("ca_file", &tickets.ca_file),
        ("client_cert_file", &tickets.client_cert_file),
    ] {
        let Some(file) = file else { continue };
        section.require(
            has_certificates(file),
            key,
            "names no readable PEM file with certificates",
            "Name a file with lines `-----BEGIN CERTIFICATE-----` that the service may read.",
        );
        section.require(
            is_tls,
            key,
            "is for TLS, which tickets.url does not use",
            "Write tickets.url with rediss://, or remove the key.",
        );
    }
    section.require(
        tickets.client_cert_file.is_some() == tickets.client_key_file.is_some(),
        "client_key_file",
        "needs the other half: tickets.client_cert_file and tickets.client_key_file go together",
        "Set both, or neither.",
    );
    let Some(key) = &tickets.client_key_file else {
        return;
    };
    section.require(
        std::fs::read_to_string(key).is_ok_and(|text| text.contains("PRIVATE KEY-----")),
        "client_key_file",
        "names no readable PEM file with a private key",
        "Name a file that the service may read.",
    );
    section.warn_if(
        is_open_to_others(key),
        "client_key_file",
        "can be read by every user of this machine",
        "Run `chmod o=` on the file.",
    );
}
