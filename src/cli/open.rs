//! Opens what a running service needs: the database with its keys, the ticket store, the texts.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    database::{connect, missing_file},
    outcome::CommandError,
    reach,
};
use crate::{
    app::{App, Macs},
    clock::Clock,
    config::{Live, Startup},
    db::{Db, Tx},
    error::InfraError,
    key::{ClientKeys, Keys},
    secret::MasterKeys,
    ticket::{EvictionPolicy, Space, StoreTls, Tickets},
    web::{locale::Texts, mount::PathStripping, unnamed_proxy::UnnamedProxy},
};

/// The attempts to reach the database at start, a second apart: a whole machine may be starting.
const DATABASE_TRIES: u32 = 30;

/// The key of the PostgreSQL advisory lock of the one instance that keeps tickets in its process.
const INSTANCE_LOCK: i64 = 0x656e_7472_6566;

/// Refuses a start that would make a master key for signing keys that were made with another one: the
/// new key opens nothing, and hides that the old one is missing. A database that does not respond
/// cannot tell; the start waits for it, and then finds keys that do not open.
pub(super) async fn refuse_lost_master_key(config: &Startup) -> Result<(), String> {
    let file = config.server.data_dir.join("master.key");
    let has_key = !config.server.master_key.is_empty() || file.exists();
    if has_key || missing_file(config).is_some() {
        return Ok(());
    }
    let Ok(db) = connect(config).await else {
        return Ok(());
    };
    // Without a schema there is no list, and no key either.
    let keys = Keys::list(&db).await.unwrap_or_default();
    db.close().await;
    if keys.is_empty() {
        return Ok(());
    }
    Err(format!(
        "there is no master key at {}, and the signing keys in the database were made with one: put it back from \
         a backup, set server.master_key, or fix server.data_dir",
        file.display()
    ))
}

/// Opens the database, the ticket store and the texts. The transaction, if there is one, holds the lock of the
/// only instance.
pub(super) async fn open_app(
    live: &Live,
    public_url: Arc<str>,
    masters: &MasterKeys,
) -> Result<(App, Option<Tx>), CommandError> {
    let (config, clock) = (live.startup(), Clock::default());
    let (db, keys) = database(config, masters, clock.clone()).await?;
    let single = only_one(config, &db).await?;
    let tickets = tickets(config, masters, clock).await?;
    let texts = Texts::load(live.get().server.texts_dir.as_deref())?;
    let app = App {
        config: live.clone(),
        public_url,
        db,
        tickets,
        keys,
        client_keys: ClientKeys::default(),
        texts,
        macs: Macs::new(masters),
        outbox: Arc::default(),
        unnamed_proxy: UnnamedProxy::default(),
        path_stripping: PathStripping::default(),
    };
    Ok((app, single))
}

/// Opens the database with its schema, and the keys in it. It waits half a minute for one that is
/// away.
async fn database(
    config: &Startup,
    masters: &MasterKeys,
    clock: Clock,
) -> Result<(Db, Keys), String> {
    let mut tries = 1;
    loop {
        match open(config, masters, clock.clone()).await {
            Ok(opened) => return Ok(opened),
            Err(error) if error.is_transient() && tries < DATABASE_TRIES => {
                let why = obstacle(config, &error).await;
                tracing::warn!(tries, "the database is not available yet: {why}");
                sleep(Duration::from_secs(1)).await;
                tries += 1;
            }
            Err(error) => {
                let why = obstacle(config, &error).await;
                return Err(format!("the database cannot be used: {why}"));
            }
        }
    }
}

/// Says why the database cannot be used: the step that fails, where one does.
async fn obstacle(config: &Startup, error: &InfraError) -> String {
    let url = config.database_url();
    if !error.is_transient() || url.starts_with("sqlite:") {
        return error.to_string();
    }
    match reach::log_in_to_postgres(&url).await {
        Ok(()) => error.to_string(),
        Err(obstacle) => format!("{}; {}", obstacle.what, obstacle.hint),
    }
}

async fn open(
    config: &Startup,
    masters: &MasterKeys,
    clock: Clock,
) -> Result<(Db, Keys), InfraError> {
    let db = Db::connect(
        &config.database_url(),
        config.database.max_connections,
        clock,
    )
    .await?;
    db.check_pooler().await?;
    if config.database.migrate {
        db.migrate().await?;
    } else if !db.pending_migrations().await?.is_empty() {
        return Err(InfraError::internal(
            "its schema is not up to date: run `entree migrate`, or set database.migrate",
        ));
    }
    let unknown = db.unknown_migrations().await?;
    if !unknown.is_empty() {
        tracing::warn!(migrations = %unknown.join(" "), "the schema is that of a newer version");
    }
    let keys = Keys::open_for_service(&db, masters).await?;
    Ok((db, keys))
}

/// Locks the database where tickets are in this process and rows in PostgreSQL: only one instance may
/// run then. The lock is held as long as the transaction is open. SQLite's directory has a lock of its
/// own.
async fn only_one(config: &Startup, db: &Db) -> Result<Option<Tx>, CommandError> {
    use sea_orm::{ConnectionTrait as _, DatabaseBackend, Statement};
    if !db.is_postgres() || config.tickets.url.expose() != "memory:" {
        return Ok(None);
    }
    let tx = db.begin().await?;
    let sql = format!("SELECT pg_try_advisory_xact_lock({INSTANCE_LOCK}) AS held");
    let row = tx
        .conn()
        .query_one_raw(Statement::from_string(DatabaseBackend::Postgres, sql))
        .await
        .map_err(InfraError::from)?;
    if row.and_then(|row| row.try_get::<bool>("", "held").ok()) == Some(true) {
        return Ok(Some(tx));
    }
    let message = "another entree runs on this database with its tickets in its process: set tickets.url to a \
                   redis:// URL";
    Err(message.to_owned().into())
}

/// Opens the ticket store. Redis may be away now and come later; one that would evict live entries is
/// refused (RD-10).
async fn tickets(config: &Startup, masters: &MasterKeys, clock: Clock) -> Result<Tickets, String> {
    let section = &config.tickets;
    if section.url.expose() == "memory:" {
        return Ok(Tickets::memory(section.max_bytes, clock, masters));
    }
    let tickets = StoreTls::read(config)
        .and_then(|tls| {
            Tickets::connect_with(section.url.expose(), Space::of(section), tls, masters)
        })
        .map_err(|error| error.to_string())?;
    match tickets.policy().await {
        Ok(EvictionPolicy::Refuses) => {}
        Ok(EvictionPolicy::Evicts(policy)) => {
            return Err(format!(
                "Redis drops live entries when it is full (maxmemory-policy {policy}): \
                 run `redis-cli CONFIG SET maxmemory-policy noeviction`, and set it in redis.conf"
            ));
        }
        Ok(EvictionPolicy::Unreadable(why)) => {
            tracing::warn!(
                why,
                "Redis does not show its maxmemory-policy; make sure that it is noeviction"
            );
        }
        Err(error) => tracing::warn!("{error}; starting without it"),
    }
    Ok(tickets)
}
