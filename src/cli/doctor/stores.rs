//! The checks of the database and the ticket store: whether they respond, the schema, the signing keys,
//! and the clock.

use std::{path::Path, time::Duration};

use sea_orm::{
    ConnectionTrait as _, DatabaseBackend, EntityTrait as _, QueryOrder as _, Statement,
};
use tokio::time::timeout;

use super::finding::{CHECK_TIMEOUT, Finding, count_of};
use crate::{
    audit,
    cli::{
        clients,
        database::{connect, missing_file},
        instance, keys, reach,
    },
    clock::Time,
    config::{Config, Problem, Startup, mode_if_too_open},
    db::Db,
    error::InfraError,
    key::{KeyInfo, Keys},
    secret::MasterKeys,
    ticket::{EvictionPolicy, Space, StoreTls, Tickets},
};

/// Clocks that differ by less agree: responses take time.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// Checks the database, the signing keys and the clock; the latter two need the first.
pub(super) async fn check_database(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::from_iter(data_dir(&config.startup));
    findings.extend(files_of_root(&config.startup));
    if let Some(path) = missing_file(&config.startup) {
        findings.extend(master_key_problem(&config.startup));
        findings.push(first_start(&config.startup, &path));
        return findings;
    }
    if sqlite(&config.startup).is_none()
        && let Err(obstacle) = reach::log_in_to_postgres(&config.startup.database_url()).await
    {
        findings.push(Finding::fail("database", obstacle.what, obstacle.hint));
        return findings;
    }
    match timeout(CHECK_TIMEOUT, check_open_database(config)).await {
        Ok(found) => findings.extend(found),
        Err(_) => findings.push(database_error(
            &config.startup,
            &InfraError::internal("no response in time"),
        )),
    }
    findings
}

/// Says what the first start does about the embedded database.
fn first_start(config: &Startup, path: &Path) -> Finding {
    let dir = path.parent().unwrap_or(Path::new("."));
    // The first start makes the data directory, and no other.
    if !dir.exists() && dir != config.server.data_dir {
        let what = format!("the directory of {} does not exist", path.display());
        let hint = "make it, for the user of the service, or correct database.url";
        return Finding::fail("database", what, hint);
    }
    let path = path.display();
    let what =
        format!("none at {path} yet: the first start makes it, with a signing key of each kind");
    Finding::ok("database", what)
}

/// Reports a master key that is there and cannot be used.
fn master_key_problem(config: &Startup) -> Option<Finding> {
    let is_set = !config.server.master_key.is_empty();
    if !is_set && !config.server.data_dir.join("master.key").exists() {
        return None;
    }
    let error = instance::master_keys(config).err()?;
    Some(Finding::fail(
        "master key",
        error,
        "see docs/operations.md about the master key",
    ))
}

/// Returns the file of the embedded database.
fn sqlite(config: &Startup) -> Option<String> {
    Some(
        config
            .database_url()
            .strip_prefix("sqlite:")?
            .trim_start_matches("//")
            .to_owned(),
    )
}

fn database_error(config: &Startup, error: &InfraError) -> Finding {
    let hint = if sqlite(config).is_some() {
        "does the service's user own the file and its directory, and is there room on the disk?"
    } else {
        "is it running, is database.url right, and does the network allow it?"
    };
    Finding::fail("database", error, hint)
}

async fn check_open_database(config: &Config) -> Vec<Finding> {
    let startup = &config.startup;
    let db = match connect(startup).await {
        Ok(db) => db,
        Err(error) => return vec![database_error(startup, &error)],
    };
    if let Err(error) = db.check_pooler().await {
        db.close().await;
        return vec![database_error(startup, &error)];
    }
    let findings = match db.pending_migrations().await {
        Err(error) => vec![database_error(startup, &error)],
        Ok(pending) if pending.is_empty() => {
            let name = sqlite(startup)
                .map_or_else(|| "PostgreSQL".to_owned(), |path| format!("SQLite, {path}"));
            let fine = Finding::ok("database", format!("{name}; the schema is up to date"));
            let mut findings = vec![
                fine,
                check_signing_keys(startup, &db).await,
                check_clock(&db).await,
            ];
            findings.extend(check_clients(config, &db).await);
            findings
        }
        Ok(pending) => vec![pending_finding(startup, pending.len())],
    };
    db.close().await;
    findings
}

fn pending_finding(config: &Startup, pending: usize) -> Finding {
    let what = format!("{} pending", count_of(pending, "migration"));
    if config.database.migrate {
        return Finding::warn(
            "database",
            what,
            "run `entree migrate`, or let the next start do it",
        );
    }
    Finding::fail(
        "database",
        what,
        "run `entree migrate`: database.migrate is off",
    )
}

/// Warns if others may enter the directory: it holds addresses and perhaps the master key.
#[cfg(unix)]
fn data_dir(config: &Startup) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = &config.server.data_dir;
    let mode = std::fs::metadata(dir).ok()?.permissions().mode();
    (mode & 0o077 != 0).then(|| {
        let what = format!("other users of this machine may enter {}", dir.display());
        Finding::warn(
            "data directory",
            what,
            format!("chmod 0700 {}", dir.display()),
        )
    })
}

/// Fails if root has left files that the service's user cannot write.
fn files_of_root(config: &Startup) -> Option<Finding> {
    let dir = &config.server.data_dir;
    let files = instance::files_of_root(dir);
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    (!names.is_empty()).then(|| {
        let what = format!(
            "root owns {}, which the service cannot write",
            names.join(", ")
        );
        let hint = format!(
            "run `chown --reference={} {}`",
            dir.display(),
            names.join(" ")
        );
        Finding::fail("data directory", what, hint)
    })
}

/// Returns nothing where files have no modes.
#[cfg(not(unix))]
fn data_dir(_config: &Startup) -> Option<Finding> {
    None
}

/// Checks that the configured master keys decrypt every private key.
async fn check_signing_keys(config: &Startup, db: &Db) -> Finding {
    const CHECK: &str = "signing keys";
    let listed = match Keys::list(db).await {
        Ok(listed) => listed,
        Err(error) => return Finding::fail(CHECK, error, "see the database"),
    };
    if listed.is_empty() {
        return Finding::ok(CHECK, "none yet: the first start makes them");
    }
    let file = config.server.data_dir.join("master.key");
    if config.server.master_key.is_empty() && mode_if_too_open(&file).is_some() {
        let what = format!("{} may be read by others", file.display());
        return Finding::fail(CHECK, what, format!("chmod 0400 {}", file.display()));
    }
    let Ok(masters) = keys::master_keys(config) else {
        let what = "the master key cannot be read from server.master_key or the data directory";
        let hint = "restore the key that the signing keys were made with; without it they are lost";
        return Finding::fail(CHECK, what, hint);
    };
    // Opening makes missing keys, which only a start should do.
    let active: Vec<&KeyInfo> = listed.iter().filter(|key| key.state == "active").collect();
    if active.len() < 2 {
        return Finding::warn(
            CHECK,
            "not one of each algorithm is active",
            "the next start makes it",
        );
    }
    match Keys::open(db, &masters).await {
        Ok(_) => {
            let names: Vec<&str> = active.iter().map(|key| key.alg.as_str()).collect();
            Finding::ok(
                CHECK,
                format!("{} sign; the master key opens them", names.join(" and ")),
            )
        }
        Err(error) => {
            let hint = "set server.master_key to what they were made with, or add that to server.previous_master_keys";
            Finding::fail(CHECK, error, hint)
        }
    }
}

/// Checks for clients of the database that have no effect although they are enabled.
async fn check_clients(config: &Config, db: &Db) -> Vec<Finding> {
    const CHECK: &str = "clients";
    match clients::warnings(db, config).await {
        Ok(found) if found.is_empty() => vec![Finding::ok(
            CHECK,
            "clients of the database can be read; none is hidden",
        )],
        Ok(found) => {
            let finding = |problem: Problem| {
                Finding::warn(
                    CHECK,
                    format!("{} {}", problem.key, problem.what),
                    problem.hint,
                )
            };
            found.into_iter().map(finding).collect()
        }
        Err(error) => vec![Finding::fail(CHECK, error, "see the database")],
    }
}

/// Compares the clock with that of the database server and with the newest row.
async fn check_clock(db: &Db) -> Finding {
    const CHECK: &str = "clock";
    const HINT: &str = "set it, and keep it by NTP (`timedatectl set-ntp true`)";
    let now = db.clock().now();
    if let Some(theirs) = database_time(db).await {
        let apart = now.since(theirs).max(theirs.since(now));
        if apart > CLOCK_TOLERANCE {
            let what = format!("{} s apart from the database server's", apart.as_secs());
            return Finding::fail(CHECK, what, HINT);
        }
    }
    match newest_event_time(db).await {
        Ok(Some(row)) if row.since(now) > CLOCK_TOLERANCE => {
            let what = format!(
                "{} s behind the newest row of the audit log",
                row.since(now).as_secs()
            );
            Finding::fail(CHECK, what, HINT)
        }
        Ok(_) if db.is_postgres() => Finding::ok(CHECK, "agrees with the database server's"),
        Ok(_) => Finding::ok(CHECK, "not behind any row"),
        Err(error) => Finding::fail(CHECK, error, "see the database"),
    }
}

async fn newest_event_time(db: &Db) -> Result<Option<Time>, InfraError> {
    Ok(audit::Entity::find()
        .order_by_desc(audit::Column::At)
        .one(db.read())
        .await?
        .map(|row| row.at))
}

/// Returns the time of PostgreSQL; SQLite uses the clock of the service.
async fn database_time(db: &Db) -> Option<Time> {
    if !db.is_postgres() {
        return None;
    }
    let sql = "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint AS now";
    let row = db
        .read()
        .query_one_raw(Statement::from_string(DatabaseBackend::Postgres, sql))
        .await
        .ok()??;
    row.try_get("", "now").ok().map(Time)
}

/// Returns host and port of a Redis on the network.
fn address_of(url: &str) -> Option<(String, u16)> {
    let url = url::Url::parse(url).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    Some((host.to_owned(), url.port().unwrap_or(6379)))
}

/// Returns the fix for a Redis whose port is open.
fn store_hint(error: &InfraError) -> &'static str {
    let cause = error.to_string().to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| cause.contains(word));
    if has(&["wrongpass", "noauth", "authentication", "noperm"]) {
        "correct user and password in tickets.url, and what the user may do there"
    } else if has(&["tls", "certificate", "handshake"]) {
        "TLS: write `rediss://` only if this port speaks it, and make sure that its certificate fits the host"
    } else {
        "is it Redis that listens there, and does it speak TLS (`rediss://`) or not (`redis://`)?"
    }
}

/// Checks that the ticket store responds and evicts no live entry.
pub(super) async fn check_tickets(config: &Startup) -> Finding {
    const CHECK: &str = "ticket store";
    let section = &config.tickets;
    if section.url.expose() == "memory:" {
        return Finding::ok(CHECK, "in the process: for one instance");
    }
    // Nothing is read or written, so any key serves.
    let (url, keys) = (section.url.expose(), MasterKeys::new([1; 32], []));
    let opened = StoreTls::read(config)
        .and_then(|tls| Tickets::connect_with(url, Space::of(section), tls, &keys));
    let store = match opened {
        Ok(store) => store,
        Err(error) => {
            return Finding::fail(CHECK, error, "write tickets.url like `redis://host:6379`");
        }
    };
    let place = store.describe();
    if let Some((host, port)) = address_of(section.url.expose())
        && let Err(obstacle) = reach::connect_to(&host, port).await
    {
        return Finding::fail(
            CHECK,
            obstacle.what,
            format!("tickets.url: {}", obstacle.hint),
        );
    }
    match timeout(CHECK_TIMEOUT, store.policy()).await {
        Ok(Ok(EvictionPolicy::Refuses)) => Finding::ok(
            CHECK,
            format!("{place}; refuses writes when full, as it must"),
        ),
        Ok(Ok(EvictionPolicy::Evicts(policy))) => {
            let hint =
                "run `redis-cli CONFIG SET maxmemory-policy noeviction`, and set it in redis.conf";
            Finding::fail(
                CHECK,
                format!("{place} evicts live entries when full (maxmemory-policy {policy})"),
                hint,
            )
        }
        Ok(Ok(EvictionPolicy::Unreadable(why))) => {
            let hint = "allow this user INFO, or make sure yourself that it is noeviction";
            Finding::warn(
                CHECK,
                format!("{place} does not show its maxmemory-policy ({why})"),
                hint,
            )
        }
        Ok(Err(error)) => Finding::fail(CHECK, format!("{place}: {error}"), store_hint(&error)),
        Err(_) => Finding::fail(
            CHECK,
            format!("{place}: no response in time"),
            "is it overloaded?",
        ),
    }
}
