//! The schema itself: up, down and up again end the same on both databases, copies that migrate at once do it once, and
//! the rules that are written in SQL (`CHECK`, partial unique indexes) refuse what they should.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

use std::collections::{BTreeMap, BTreeSet};

use entree::{clock::Clock, db::Db};
use migration::{Migrator, MigratorTrait as _};
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseBackend, DatabaseConnection, Statement,
};
use testkit::{Missing, child, ci, services};

/// The columns whose values a `CHECK` holds to a list: table, column, all that is allowed.
const LISTS: &[(&str, &str, &[&str])] = &[
    ("users", "state", &["active", "disabled", "deleted"]),
    ("user_emails", "state", &["active", "removed"]),
    (
        "user_emails",
        "verified_by",
        &["mail", "upstream", "import"],
    ),
    ("magic_link_flows", "state", &["open", "consumed", "ended"]),
    (
        "mail_outbox",
        "kind",
        &[
            "sign_in",
            "no_account",
            "access_reset",
            "provider_connected",
            "provider_disconnected",
        ],
    ),
    (
        "mail_outbox",
        "state",
        &["queued", "sent", "dropped", "withheld"],
    ),
    ("signing_keys", "alg", &["ES256", "RS256"]),
    (
        "signing_keys",
        "state",
        &["pending", "active", "retiring", "retired", "compromised"],
    ),
];

/// An empty database of each kind that this machine has.
async fn databases() -> Vec<DatabaseConnection> {
    let file = child::scratch("migrations").join("test.db");
    let mut all = vec![connect(&format!("sqlite://{}?mode=rwc", file.display())).await];
    match services::postgres().await {
        Ok(server) => all.push(connect(&server.empty().await).await),
        Err(missing) => skip(&missing),
    }
    all
}

fn skip(missing: &Missing) {
    assert!(!ci(), "{missing}");
    eprintln!("skipped: {missing}");
}

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.unwrap()
}

fn is_postgres(db: &DatabaseConnection) -> bool {
    db.get_database_backend() == DatabaseBackend::Postgres
}

async fn rows(db: &DatabaseConnection, sql: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let found = db
        .query_all_raw(Statement::from_string(db.get_database_backend(), sql))
        .await
        .unwrap();
    let text =
        |row: &sea_orm::QueryResult, name: &str| row.try_get::<Option<String>>("", name).unwrap();
    found
        .iter()
        .map(|row| {
            columns
                .iter()
                .map(|name| text(row, name).unwrap_or_default())
                .collect()
        })
        .collect()
}

/// Everything that makes up the schema, as text, without the history of migrations.
async fn schema(db: &DatabaseConnection) -> Vec<String> {
    let queries: &[(&str, &[&str])] = if is_postgres(db) {
        &[
            (
                "SELECT table_name::text AS t, column_name::text AS a, data_type::text AS b, is_nullable::text AS c, \
                 column_default::text AS d, ordinal_position::text AS e FROM information_schema.columns \
                 WHERE table_schema = 'public'",
                &["t", "a", "b", "c", "d", "e"],
            ),
            (
                "SELECT tablename::text AS t, indexdef::text AS a FROM pg_indexes WHERE schemaname = 'public'",
                &["t", "a"],
            ),
            (
                "SELECT conrelid::regclass::text AS t, conname::text AS a, pg_get_constraintdef(oid)::text AS b \
                 FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
                &["t", "a", "b"],
            ),
            (
                "SELECT relname::text AS t, relkind::text AS a FROM pg_class WHERE relnamespace = 'public'::regnamespace",
                &["t", "a"],
            ),
        ]
    } else {
        &[(
            "SELECT tbl_name AS t, type AS a, name AS b, sql AS c FROM sqlite_master",
            &["t", "a", "b", "c"],
        )]
    };
    let mut all = Vec::new();
    for (sql, columns) in queries {
        all.extend(
            rows(db, sql, columns)
                .await
                .iter()
                .map(|row| row.join(" | ")),
        );
    }
    all.retain(|line| !line.starts_with("seaql_migrations"));
    all.sort();
    all
}

async fn tables(db: &DatabaseConnection) -> BTreeSet<String> {
    let sql = if is_postgres(db) {
        "SELECT table_name::text AS t FROM information_schema.tables WHERE table_schema = 'public'"
    } else {
        "SELECT name AS t FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    };
    rows(db, sql, &["t"])
        .await
        .into_iter()
        .flatten()
        .filter(|name| name != "seaql_migrations")
        .collect()
}

#[tokio::test]
async fn migrations_up_down_up_end_the_same_and_down_leaves_nothing() {
    for db in databases().await {
        Migrator::up(&db, None).await.unwrap();
        let first = schema(&db).await;
        assert!(
            first.len() > 20 && tables(&db).await.len() >= 11,
            "{first:#?}"
        );
        Migrator::down(&db, None).await.unwrap();
        assert_eq!(
            schema(&db).await,
            Vec::<String>::new(),
            "down leaves nothing of ours"
        );
        Migrator::up(&db, None).await.unwrap();
        assert_eq!(schema(&db).await, first);
        // Once more changes nothing, and a difference would be seen.
        Migrator::up(&db, None).await.unwrap();
        assert_eq!(schema(&db).await, first);
        db.execute_unprepared("DROP INDEX audit_events_at")
            .await
            .unwrap();
        assert_ne!(schema(&db).await, first);
    }
}

#[tokio::test]
async fn migrations_each_step_down_and_up_alone_ends_the_same() {
    for db in databases().await {
        let steps = u32::try_from(Migrator::migrations().len()).unwrap();
        let mut schemas = vec![schema(&db).await];
        for _ in 0..steps {
            Migrator::up(&db, Some(1)).await.unwrap();
            schemas.push(schema(&db).await);
        }
        for expected in schemas.iter().rev().skip(1) {
            Migrator::down(&db, Some(1)).await.unwrap();
            assert_eq!(&schema(&db).await, expected);
        }
    }
}

#[tokio::test]
async fn migrations_are_listed_without_a_word_to_an_empty_database() {
    let server = match services::postgres().await {
        Ok(server) => server,
        Err(missing) => return skip(&missing),
    };
    let url = server.empty().await;
    let db = Db::connect(&url, 2, Clock::default()).await.unwrap();
    assert_eq!(
        db.pending_migrations().await.unwrap().len(),
        Migrator::migrations().len()
    );
    let made =
        "SELECT table_name::text AS t FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(
        rows(db.pool(), made, &["t"]).await,
        Vec::<Vec<String>>::new(),
        "nothing was made"
    );
    db.migrate().await.unwrap();
    assert_eq!(db.pending_migrations().await.unwrap(), Vec::<String>::new());
}

/// A refresh token that is bound to a key would be worth something without it to a build that knows no
/// keys.
#[tokio::test]
async fn pp_9_bound_grants_end_where_the_column_of_keys_goes() {
    for db in databases().await {
        Migrator::up(&db, None).await.unwrap();
        insert(&db, "users", &[]).await.unwrap();
        let hash = if is_postgres(&db) { "'\\x00'" } else { "x'00'" };
        for (client, jkt, revoked_at) in [
            ("'bound'", "'key'", "NULL"),
            ("'ended'", "'key'", "7"),
            ("'free'", "NULL", "NULL"),
        ] {
            let set = [
                ("user_id", "(SELECT id FROM users)"),
                ("client_id", client),
                ("dpop_jkt", jkt),
                ("revoked_at", revoked_at),
                ("current_hash", hash),
                ("previous_hash", hash),
                ("successor", hash),
            ];
            insert(&db, "grant_families", &set).await.unwrap();
        }
        let all = Migrator::migrations();
        let name = "m20261201_000014_bound_grants";
        let before = all.iter().position(|one| one.name() == name).unwrap();
        let steps = u32::try_from(all.len() - before).unwrap();
        Migrator::down(&db, Some(steps)).await.unwrap();
        let sql = "SELECT client_id AS c, CAST(revoked_at AS text) AS r, CASE WHEN current_hash IS NULL \
                   AND previous_hash IS NULL AND successor IS NULL THEN 'no token' ELSE 'token' END AS t \
                   FROM grant_families ORDER BY client_id";
        assert_eq!(
            rows(&db, sql, &["c", "r", "t"]).await,
            [
                ["bound", "1", "no token"],
                ["ended", "7", "token"],
                ["free", "", "token"]
            ]
        );
    }
}

/// ST-18: a newer build runs beside this one, or ran before it.
#[tokio::test]
async fn st_18_a_schema_of_a_newer_build_is_served_and_not_undone() {
    let file = child::scratch("newer").join("test.db");
    let mut urls = vec![format!("sqlite:{}", file.display())];
    match services::postgres().await {
        Ok(server) => urls.push(server.empty().await),
        Err(missing) => skip(&missing),
    }
    for url in urls {
        let db = Db::connect(&url, 2, Clock::default()).await.unwrap();
        db.migrate().await.unwrap();
        assert_eq!(db.unknown_migrations().await.unwrap(), Vec::<String>::new());
        let later = "m20991231_000099_later";
        let sql =
            format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{later}', 0)");
        db.pool().execute_unprepared(&sql).await.unwrap();
        assert_eq!(db.pending_migrations().await.unwrap(), Vec::<String>::new());
        assert_eq!(db.unknown_migrations().await.unwrap(), [later]);
        db.migrate().await.unwrap();
        let error = db.migrate_down(1).await.unwrap_err().to_string();
        assert!(error.contains(later), "{error}");
        assert_eq!(
            db.unknown_migrations().await.unwrap(),
            [later],
            "nothing was undone"
        );
    }
}

/// ST-18: a database that accepts no writes is not ready.
#[tokio::test]
async fn st_18_the_check_of_readiness_writes() {
    let server = match services::postgres().await {
        Ok(server) => server,
        Err(missing) => return skip(&missing),
    };
    let url = server.empty().await;
    let db = Db::connect(&url, 2, Clock::default()).await.unwrap();
    db.migrate().await.unwrap();
    db.probe().await.unwrap();
    let name = url
        .split(['?'])
        .next()
        .and_then(|path| path.rsplit('/').next())
        .unwrap();
    let sql = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    db.pool().execute_unprepared(&sql).await.unwrap();
    db.close().await;
    let db = Db::connect(&url, 2, Clock::default()).await.unwrap();
    let error = db.probe().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("accepts no writes"), "{error}");
}

#[tokio::test]
async fn migrations_of_eight_instances_at_once_happen_once() {
    let server = match services::postgres().await {
        Ok(server) => server,
        Err(missing) => return skip(&missing),
    };
    for copies in [2, 8, 8, 8] {
        let url = server.empty().await;
        let mut work = tokio::task::JoinSet::new();
        for _ in 0..copies {
            let url = url.clone();
            work.spawn(async move {
                let db = Db::connect(&url, 2, Clock::default()).await.unwrap();
                let done = db.migrate().await;
                let left = db.pending_migrations().await.unwrap();
                db.close().await;
                (done.map_err(|error| error.to_string()), left)
            });
        }
        for (done, left) in work.join_all().await {
            assert_eq!((done, left), (Ok(()), Vec::new()));
        }
        let db = connect(&url).await;
        let history = rows(
            &db,
            "SELECT version::text AS v FROM seaql_migrations",
            &["v"],
        )
        .await;
        assert_eq!(
            history.len(),
            Migrator::migrations().len(),
            "each is written down once: {history:?}"
        );
    }
}

/// The same race without the lock that copies take: the test above would see it fail.
#[tokio::test]
async fn migrations_without_the_lock_fail_with_eight_instances() {
    let server = match services::postgres().await {
        Ok(server) => server,
        Err(missing) => return skip(&missing),
    };
    let url = server.empty().await;
    let mut work = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = url.clone();
        work.spawn(async move { Migrator::up(&connect(&url).await, None).await.is_ok() });
    }
    assert!(
        work.join_all().await.contains(&false),
        "a query fails without it"
    );
}

/// A row of `table` with a value in every column that needs one; `set` overrides with SQL.
async fn insert(db: &DatabaseConnection, table: &str, set: &[(&str, &str)]) -> Result<(), String> {
    let columns = if is_postgres(db) {
        let sql = format!(
            "SELECT column_name::text AS n, data_type::text AS k FROM information_schema.columns WHERE table_name = \
             '{table}' AND is_nullable = 'NO' AND column_default IS NULL"
        );
        rows(db, &sql, &["n", "k"]).await
    } else {
        let sql = format!(
            "SELECT name AS n, type AS k FROM pragma_table_info('{table}') WHERE \"notnull\" = 1 AND dflt_value IS NULL"
        );
        rows(db, &sql, &["n", "k"]).await
    };
    assert!(!columns.is_empty(), "{table}");
    let mut values: BTreeMap<String, String> = columns
        .into_iter()
        .map(|column| {
            let value = value(db, table, &column[0], &column[1]);
            (column[0].clone(), value)
        })
        .collect();
    values.extend(
        set.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    let names = values.keys().cloned().collect::<Vec<_>>().join(", ");
    let all = values.into_values().collect::<Vec<_>>().join(", ");
    let sql = format!("INSERT INTO {table} ({names}) VALUES ({all})");
    db.execute_unprepared(&sql)
        .await
        .map(drop)
        .map_err(|error| format!("{sql}: {error}"))
}

/// SQL for a value that nothing else has: random bytes, or the first word of a list.
fn value(db: &DatabaseConnection, table: &str, column: &str, kind: &str) -> String {
    if let Some((_, _, words)) = LISTS.iter().find(|(t, c, _)| (*t, *c) == (table, column)) {
        return format!("'{}'", words[0]);
    }
    match (kind.to_ascii_lowercase().as_str(), is_postgres(db)) {
        ("uuid", _) => "gen_random_uuid()".to_owned(),
        ("bytea", _) => "uuid_send(gen_random_uuid())".to_owned(),
        ("blob", _) => "randomblob(16)".to_owned(),
        ("text", true) => "gen_random_uuid()::text".to_owned(),
        ("text", false) => "hex(randomblob(16))".to_owned(),
        ("boolean", _) => "true".to_owned(),
        ("bigint" | "integer", _) => "1".to_owned(),
        (kind, _) => panic!("{table}.{column} is {kind}"),
    }
}

/// SQL for the id of a user that exists.
async fn user(db: &DatabaseConnection) -> &'static str {
    insert(db, "users", &[]).await.unwrap();
    "(SELECT id FROM users LIMIT 1)"
}

#[tokio::test]
async fn migrations_checks_refuse_words_that_are_not_on_the_list() {
    for db in databases().await {
        Migrator::up(&db, None).await.unwrap();
        let user = user(&db).await;
        for (table, column, words) in LISTS {
            let owner: &[(&str, &str)] = if *table == "user_emails" {
                &[("user_id", user)]
            } else {
                &[]
            };
            for word in *words {
                let word = format!("'{word}'");
                insert(&db, table, &[owner, &[(column, &word)]].concat())
                    .await
                    .unwrap();
            }
            let upper = format!(
                "'{}'",
                words[0].to_ascii_uppercase().replace("ES256", "es256")
            );
            for wrong in ["'nonsense'", "''", "' '", &upper] {
                let refused = insert(&db, table, &[owner, &[(column, wrong)]].concat())
                    .await
                    .unwrap_err();
                assert!(
                    refused.to_ascii_lowercase().contains("check constraint"),
                    "{refused}"
                );
            }
        }
        // Every list of the schema is in our table.
        let sql = schema(&db).await.join("\n");
        assert_eq!(sql.matches("CHECK (").count(), LISTS.len(), "{sql}");
    }
}

#[tokio::test]
async fn migrations_foreign_keys_hold_and_take_rows_along() {
    for db in databases().await {
        Migrator::up(&db, None).await.unwrap();
        if !is_postgres(&db) {
            db.execute_unprepared("PRAGMA foreign_keys = ON")
                .await
                .unwrap();
        }
        let owner = user(&db).await;
        for table in [
            "sessions",
            "user_emails",
            "grant_families",
            "user_identities",
        ] {
            let orphan = insert(&db, table, &[]).await.unwrap_err();
            assert!(
                orphan.to_ascii_lowercase().contains("foreign key"),
                "{orphan}"
            );
            insert(&db, table, &[("user_id", owner)]).await.unwrap();
        }
        db.execute_unprepared("DELETE FROM users").await.unwrap();
        for table in [
            "sessions",
            "user_emails",
            "grant_families",
            "user_identities",
        ] {
            let left = db
                .execute_unprepared(&format!("DELETE FROM {table}"))
                .await
                .unwrap()
                .rows_affected();
            assert_eq!(left, 0, "{table}");
        }
    }
}

#[tokio::test]
async fn migrations_partial_unique_indexes_hold() {
    for db in databases().await {
        Migrator::up(&db, None).await.unwrap();
        let owner = user(&db).await;
        let email = |state: &'static str, verified: &'static str| {
            [
                ("user_id", owner),
                ("canonical", "'a@example.test'"),
                ("state", state),
                ("verified_at", verified),
            ]
        };
        // Claims and addresses that were given up block no user.
        for free in [
            email("'active'", "NULL"),
            email("'active'", "NULL"),
            email("'removed'", "1"),
            email("'removed'", "2"),
        ] {
            insert(&db, "user_emails", &free).await.unwrap();
        }
        insert(&db, "user_emails", &email("'active'", "1"))
            .await
            .unwrap();
        let second = insert(&db, "user_emails", &email("'active'", "2"))
            .await
            .unwrap_err();
        assert!(second.to_ascii_lowercase().contains("unique"), "{second}");
        // Nor can one of those that were free become the second.
        let raised = "UPDATE user_emails SET verified_at = 3 WHERE verified_at IS NULL";
        assert!(db.execute_unprepared(raised).await.is_err());

        // One account at a provider, one user; a disconnected one blocks no user.
        let identity = |unlinked: &'static str| {
            [
                ("user_id", owner),
                ("issuer", "'https://up.test'"),
                ("subject", "'1'"),
                ("unlinked_at", unlinked),
            ]
        };
        for free in [identity("1"), identity("2"), identity("NULL")] {
            insert(&db, "user_identities", &free).await.unwrap();
        }
        let second = insert(&db, "user_identities", &identity("NULL"))
            .await
            .unwrap_err();
        assert!(second.to_ascii_lowercase().contains("unique"), "{second}");
        assert!(
            db.execute_unprepared("UPDATE user_identities SET unlinked_at = NULL")
                .await
                .is_err()
        );

        let key = |alg: &'static str, state: &'static str| [("alg", alg), ("state", state)];
        for free in [
            key("'ES256'", "'active'"),
            key("'RS256'", "'active'"),
            key("'ES256'", "'retiring'"),
            key("'ES256'", "'retiring'"),
            key("'ES256'", "'pending'"),
            key("'ES256'", "'pending'"),
        ] {
            insert(&db, "signing_keys", &free).await.unwrap();
        }
        for alg in ["'ES256'", "'RS256'"] {
            let second = insert(&db, "signing_keys", &key(alg, "'active'"))
                .await
                .unwrap_err();
            assert!(second.to_ascii_lowercase().contains("unique"), "{second}");
        }
        assert!(
            db.execute_unprepared("UPDATE signing_keys SET state = 'active'")
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn migrations_no_secret_is_stored_twice() {
    for db in databases().await {
        Migrator::up(&db, None).await.unwrap();
        let owner = user(&db).await;
        let bytes = if is_postgres(&db) {
            "'\\x01'::bytea"
        } else {
            "x'01'"
        };
        insert(&db, "magic_link_flows", &[]).await.unwrap();
        let flow = "(SELECT id FROM magic_link_flows LIMIT 1)";
        let twice: &[(&str, &[(&str, &str)])] = &[
            ("sessions", &[("secret_hash", bytes), ("user_id", owner)]),
            (
                "magic_link_tokens",
                &[("link_hash", bytes), ("flow_id", flow)],
            ),
            (
                "known_devices",
                &[("device_hash", bytes), ("address_key", bytes)],
            ),
            ("code_budgets", &[("address_key", bytes)]),
            (
                "users",
                &[("public_id", "(SELECT public_id FROM users LIMIT 1)")],
            ),
        ];
        for (table, set) in twice {
            if *table != "users" {
                insert(&db, table, set).await.unwrap();
            }
            let second = insert(&db, table, set).await.unwrap_err();
            assert!(second.to_ascii_lowercase().contains("unique"), "{second}");
        }
    }
}
