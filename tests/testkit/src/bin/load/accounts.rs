//! Accounts that are generated straight into the tables, by SQL of the database.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseBackend, DatabaseConnection,
    TransactionTrait as _,
};

/// Accounts of one statement.
const BATCH: u32 = 50_000;

/// How many accounts there are for one that is signed in.
const SIGNED_IN: u32 = 10;

/// Milliseconds of thirty days.
const MONTH: u128 = 30 * 24 * 3_600 * 1_000;

/// Puts `count` accounts into the tables, each with a verified address `known-N@example.test` and an event in the audit
/// log; every tenth has a session and a grant, too.
///
/// # Panics
/// The database refuses a statement.
pub(crate) async fn generate(url: &str, count: u32) {
    let begin = Instant::now();
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    let database = Database::connect(options).await.expect("the database");
    let backend = database.get_database_backend();
    if backend == DatabaseBackend::Sqlite {
        // The indexes of random identifiers do not fit into the default cache.
        execute(&database, "PRAGMA cache_size = -1000000").await;
    }
    let mut first = 1;
    while first <= count {
        let last = count.min(first.saturating_add(BATCH - 1));
        let transaction = database.begin().await.expect("a transaction");
        for statement in statements(backend, first, last) {
            let done = transaction.execute_unprepared(&statement).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        transaction.commit().await.expect("a commit");
        first = last + 1;
    }
    if backend == DatabaseBackend::Postgres {
        execute(&database, "VACUUM ANALYZE").await;
    } else {
        execute(&database, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    }
    let _ = database.close().await;
    eprintln!(
        "{count} accounts generated in {:.0} s",
        begin.elapsed().as_secs_f64()
    );
}

async fn execute(database: &DatabaseConnection, statement: &str) {
    let done = database.execute_unprepared(statement).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// What the statements of both databases write in a way of its own.
struct Dialect {
    /// The numbers of the accounts, as a table `n` with a column `n`.
    numbers: fn(u32, u32) -> String,
    /// The identifier of the row of account `n` in a table; in ascending order, as those of the service are.
    id: fn(char) -> String,
    /// An identifier without an order.
    random: &'static str,
    /// A hash without an order.
    hash: &'static str,
}

const SQLITE: Dialect = Dialect {
    numbers: |first, last| {
        format!(
            "WITH RECURSIVE n (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM n WHERE n < {last}) "
        )
    },
    id: |table| format!("unhex('019{table}000000007000' || printf('80000000%08x', n))"),
    random: "randomblob(16)",
    hash: "randomblob(32)",
};

const POSTGRES: Dialect = Dialect {
    numbers: |first, last| {
        format!("WITH n (n) AS (SELECT generate_series({first}::bigint, {last}::bigint)) ")
    },
    id: |table| format!("('019{table}0000-0000-7000-8000-0000' || lpad(to_hex(n), 8, '0'))::uuid"),
    random: "gen_random_uuid()",
    hash: "sha256(uuid_send(gen_random_uuid()))",
};

fn statements(backend: DatabaseBackend, first: u32, last: u32) -> Vec<String> {
    let dialect = if backend == DatabaseBackend::Postgres {
        POSTGRES
    } else {
        SQLITE
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("a time after 1970").as_millis();
    let (later, day) = (now + MONTH, (now + MONTH) / 86_400_000 + 1);
    let Dialect {
        id, random, hash, ..
    } = dialect;
    let (user, session) = (id('a'), id('c'));
    let signed_in = format!("FROM n WHERE n % {SIGNED_IN} = 0");
    let selects = [
        (
            "users (id, public_id, state, created_at, updated_at)",
            format!("{user}, {random}, 'active', {now}, {now} FROM n"),
        ),
        (
            "user_emails (id, user_id, email, canonical, canon_version, state, verified_at, verified_by, created_at)",
            format!(
                "{}, {user}, 'known-' || n || '@example.test', 'known-' || n || '@example.test', 1, 'active', {now}, \
                 'mail', {now} FROM n",
                id('b')
            ),
        ),
        (
            "sessions (id, user_id, secret_hash, auth_epoch, auth_time, acr, amr, device, remembered, created_at, \
             last_seen_at, expires_at)",
            format!(
                "{session}, {user}, {hash}, 0, {now}, 'urn:entree:acr:email', 'otp', 'Firefox on Linux', true, {now}, \
                 {now}, {later} {signed_in}"
            ),
        ),
        (
            "grant_families (id, user_id, client_id, session_id, scope, audience, auth_time, acr, amr, created_at, \
             expires_at, current_hash, idle_until, gc_day)",
            format!(
                "{}, {user}, 'web', {session}, 'openid email', 'https://api.example.test', {now}, \
                 'urn:entree:acr:email', 'otp', {now}, {later}, {hash}, {later}, {day} {signed_in}",
                id('d')
            ),
        ),
        (
            "audit_events (id, at, kind, user_id)",
            format!("{}, {now}, 'signed_up', {user} FROM n", id('e')),
        ),
    ];
    selects
        .iter()
        .map(|(into, select)| {
            let numbers = (dialect.numbers)(first, last);
            format!("{numbers}INSERT INTO {into} SELECT {select}")
        })
        .collect()
}
