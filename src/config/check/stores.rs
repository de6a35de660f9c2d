//! Checks `[database]` and `[tickets]`.

use url::Url;

use crate::config::{problem::Findings, settings::Startup};

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
    let entries = tickets.memory_entries as u64;
    section.range(entries, 1_000..=100_000_000, "memory_entries");
}
