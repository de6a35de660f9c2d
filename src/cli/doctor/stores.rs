//! What holds rows and tickets: does it answer, is the schema ours, do the keys open, and do its clock and ours agree?

use std::{path::Path, time::Duration};

use sea_orm::{
    ConnectionTrait as _, DatabaseBackend, EntityTrait as _, QueryOrder as _, Statement,
};
use tokio::time::timeout;

use super::{Finding, PATIENCE, many};
use crate::{
    audit,
    cli::{clients, keys, migrate::connect},
    clock::Time,
    config::{Config, Problem, Startup, mode_if_too_open},
    db::Db,
    error::InfraError,
    key::{Keys, Listed},
    secret::MasterKeys,
    ticket::{Policy, Tickets},
};

/// Clocks that differ by less agree: answers take time to come.
const AGREED: Duration = Duration::from_secs(5);

/// Database, signing keys and clock, of which the latter two need the first.
pub(super) async fn rows(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::from_iter(data_dir(&config.startup));
    if let Some(path) = sqlite(&config.startup)
        && !Path::new(&path).exists()
    {
        let what =
            format!("none at {path} yet: made at first start, with a signing key of each kind");
        findings.push(Finding::ok("database", what));
        return findings;
    }
    match timeout(PATIENCE, inside(config)).await {
        Ok(found) => findings.extend(found),
        Err(_) => findings.push(away(
            &config.startup,
            &InfraError::internal("no answer in time"),
        )),
    }
    findings
}

/// The file of the embedded database.
fn sqlite(config: &Startup) -> Option<String> {
    Some(
        config
            .database_url()
            .strip_prefix("sqlite:")?
            .trim_start_matches("//")
            .to_owned(),
    )
}

fn away(config: &Startup, failure: &InfraError) -> Finding {
    let mend = if sqlite(config).is_some() {
        "does the service's user own the file and its directory, and is there room on the disk?"
    } else {
        "is it running, is database.url right, and does the network let us through?"
    };
    Finding::fail("database", failure, mend)
}

async fn inside(config: &Config) -> Vec<Finding> {
    let startup = &config.startup;
    let db = match connect(startup).await {
        Ok(db) => db,
        Err(failure) => return vec![away(startup, &failure)],
    };
    let findings = match db.pending_migrations().await {
        Err(failure) => vec![away(startup, &failure)],
        Ok(pending) if pending.is_empty() => {
            let name = sqlite(startup)
                .map_or_else(|| "PostgreSQL".to_owned(), |path| format!("SQLite, {path}"));
            let fine = Finding::ok("database", format!("{name}; the schema is up to date"));
            let mut findings = vec![fine, signing_keys(startup, &db).await, clock(&db).await];
            findings.extend(registered(config, &db).await);
            findings
        }
        Ok(pending) => vec![behind(startup, pending.len())],
    };
    db.close().await;
    findings
}

fn behind(config: &Startup, pending: usize) -> Finding {
    let what = format!("{} pending", many(pending, "migration"));
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

/// The directory holds addresses and perhaps the master key: nobody else's business.
#[cfg(unix)]
fn data_dir(config: &Startup) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = &config.server.data_dir;
    let mode = std::fs::metadata(dir).ok()?.permissions().mode();
    (mode & 0o077 != 0).then(|| {
        let what = format!("others on this machine may enter {}", dir.display());
        Finding::warn(
            "data directory",
            what,
            format!("chmod 0700 {}", dir.display()),
        )
    })
}

/// Where there are no modes, the system's access lists rule.
#[cfg(not(unix))]
fn data_dir(_config: &Startup) -> Option<Finding> {
    None
}

/// Every private key opens with the master keys that are configured.
async fn signing_keys(config: &Startup, db: &Db) -> Finding {
    const CHECK: &str = "signing keys";
    let listed = match Keys::list(db).await {
        Ok(listed) => listed,
        Err(failure) => return Finding::fail(CHECK, failure, "see the database"),
    };
    if listed.is_empty() {
        return Finding::ok(CHECK, "none yet: made at first start");
    }
    let file = config.server.data_dir.join("master.key");
    if config.server.master_key.is_empty() && mode_if_too_open(&file).is_some() {
        let what = format!("{} may be read by others", file.display());
        return Finding::fail(CHECK, what, format!("chmod 0400 {}", file.display()));
    }
    let Ok(masters) = keys::masters(config) else {
        let what = "the master key cannot be read from server.master_key or the data directory";
        let mend = "give back what the signing keys were made with; without it they are lost";
        return Finding::fail(CHECK, what, mend);
    };
    // Opening makes what is missing, which is for a start to do.
    let active: Vec<&Listed> = listed.iter().filter(|key| key.state == "active").collect();
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
        Err(failure) => {
            let mend = "set server.master_key to what they were made with, or add that to server.previous_master_keys";
            Finding::fail(CHECK, failure, mend)
        }
    }
}

/// Clients of the database that count for nothing although nobody has disabled them.
async fn registered(config: &Config, db: &Db) -> Vec<Finding> {
    const CHECK: &str = "clients";
    match clients::warnings(db, config).await {
        Ok(found) if found.is_empty() => vec![Finding::ok(
            CHECK,
            "those of the database can be read; none is hidden",
        )],
        Ok(found) => {
            let finding =
                |odd: Problem| Finding::warn(CHECK, format!("{} {}", odd.key, odd.what), odd.hint);
            found.into_iter().map(finding).collect()
        }
        Err(failure) => vec![Finding::fail(CHECK, failure, "see the database")],
    }
}

/// Tokens and links live by the clock: against that of the database server, and against what was written before.
async fn clock(db: &Db) -> Finding {
    const CHECK: &str = "clock";
    const MEND: &str = "set it, and keep it by NTP (`timedatectl set-ntp true`)";
    let now = db.clock().now();
    if let Some(theirs) = clock_of(db).await {
        let apart = now.since(theirs).max(theirs.since(now));
        if apart > AGREED {
            let what = format!("{} s apart from the database server's", apart.as_secs());
            return Finding::fail(CHECK, what, MEND);
        }
    }
    match newest(db).await {
        Ok(Some(row)) if row.since(now) > AGREED => {
            let what = format!(
                "{} s behind the newest row of the audit trail",
                row.since(now).as_secs()
            );
            Finding::fail(CHECK, what, MEND)
        }
        Ok(_) if db.is_postgres() => Finding::ok(CHECK, "agrees with the database server's"),
        Ok(_) => Finding::ok(CHECK, "not behind anything that was written"),
        Err(failure) => Finding::fail(CHECK, failure, "see the database"),
    }
}

async fn newest(db: &Db) -> Result<Option<Time>, InfraError> {
    Ok(audit::Entity::find()
        .order_by_desc(audit::Column::At)
        .one(db.read())
        .await?
        .map(|row| row.at))
}

/// The time of PostgreSQL; SQLite has ours.
async fn clock_of(db: &Db) -> Option<Time> {
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

/// The ticket store answers and drops nothing that lives.
pub(super) async fn tickets(config: &Startup) -> Finding {
    const CHECK: &str = "ticket store";
    let section = &config.tickets;
    if section.url.expose() == "memory:" {
        return Finding::ok(CHECK, "in the process: for one copy");
    }
    // Nothing is read or written: any key will do.
    let store = match Tickets::connect(
        section.url.expose(),
        &section.prefix,
        &MasterKeys::new([1; 32], []),
    ) {
        Ok(store) => store,
        Err(failure) => {
            return Finding::fail(CHECK, failure, "write tickets.url like `redis://host:6379`");
        }
    };
    let place = store.describe();
    match timeout(PATIENCE, store.policy()).await {
        Ok(Ok(Policy::Refuses)) => {
            Finding::ok(CHECK, format!("{place}; refuses when full, as it must"))
        }
        Ok(Ok(Policy::Evicts(policy))) => {
            let mend =
                "run `redis-cli CONFIG SET maxmemory-policy noeviction`, and set it in redis.conf";
            Finding::fail(
                CHECK,
                format!("{place} drops live entries when full (maxmemory-policy {policy})"),
                mend,
            )
        }
        Ok(Ok(Policy::Unreadable(why))) => {
            let mend = "let the user run INFO, or make sure yourself that it is noeviction";
            Finding::warn(
                CHECK,
                format!("{place} does not tell its maxmemory-policy ({why})"),
                mend,
            )
        }
        Ok(Err(failure)) => {
            let mend = "is it running, is tickets.url right, and does the network let us through?";
            Finding::fail(CHECK, format!("{place}: {failure}"), mend)
        }
        Err(_) => Finding::fail(
            CHECK,
            format!("{place}: no answer in time"),
            "is it overloaded?",
        ),
    }
}
