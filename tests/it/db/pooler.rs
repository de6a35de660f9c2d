//! PgBouncer before PostgreSQL: the real program, in both modes, old and new.

use std::path::Path;

use entree::{clock::Clock, db::Db, error::InfraError};
use testkit::{
    Missing, ci,
    services::{PgBouncer, Postgres, new_pgbouncer, old_pgbouncer},
};

const PARAMETERS: &str = "ignore_startup_parameters = extra_float_digits,options";

fn found_or_skipped<T>(found: Result<T, Missing>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(missing) => {
            assert!(!ci(), "{missing}");
            eprintln!("skipped: {missing}");
            None
        }
    }
}

/// What the start says of a PgBouncer with these settings, and whether the schema can be made by way of it.
async fn start(program: &Path, settings: &[&str]) -> Option<Result<(), InfraError>> {
    let server = found_or_skipped(Postgres::start(false).await)?;
    let pooler = found_or_skipped(PgBouncer::start(program, &server, settings).await)?;
    let db = Db::connect(&pooler.url(&server.empty().await), 8, Clock::default())
        .await
        .unwrap();
    Some(
        async {
            db.check_pooler().await?;
            db.migrate().await?;
            // Many at once, so that transactions change the connections of the server.
            let work: Vec<_> = (0..8)
                .map(|_| {
                    let db = db.clone();
                    tokio::spawn(async move {
                        for _ in 0..20 {
                            db.probe().await?;
                            db.pending_migrations().await?;
                        }
                        Ok::<_, InfraError>(())
                    })
                })
                .collect();
            for done in work {
                done.await.unwrap()?;
            }
            Ok(())
        }
        .await,
    )
}

#[tokio::test]
async fn ob_3_an_old_pgbouncer_in_transaction_mode_is_refused_at_start() {
    let Some(program) = found_or_skipped(old_pgbouncer()) else {
        return;
    };
    let settings = ["pool_mode = transaction", PARAMETERS];
    let Some(started) = start(&program, &settings).await else {
        return;
    };
    let error = started.unwrap_err();
    assert!(!error.is_transient(), "no retry repairs it: {error}");
    for words in [
        "transaction mode",
        "max_prepared_statements",
        "pool_mode = session",
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn ob_3_an_old_pgbouncer_in_session_mode_works() {
    let Some(program) = found_or_skipped(old_pgbouncer()) else {
        return;
    };
    let settings = ["pool_mode = session", PARAMETERS];
    let Some(started) = start(&program, &settings).await else {
        return;
    };
    started.unwrap();
}

#[tokio::test]
async fn ob_3_a_pgbouncer_that_refuses_our_parameters_is_named() {
    let Some(program) = found_or_skipped(old_pgbouncer()) else {
        return;
    };
    let Some(started) = start(&program, &["pool_mode = session"]).await else {
        return;
    };
    let error = started.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert!(
        error.to_string().contains("ignore_startup_parameters"),
        "{error}"
    );
}

#[tokio::test]
async fn ob_3_a_new_pgbouncer_keeps_prepared_statements_in_transaction_mode() {
    let Some(program) = found_or_skipped(new_pgbouncer()) else {
        return;
    };
    let mode = "pool_mode = transaction";
    let settings = [mode, PARAMETERS, "max_prepared_statements = 200"];
    let Some(started) = start(&program, &settings).await else {
        return;
    };
    started.unwrap();
    let settings = [mode, PARAMETERS, "max_prepared_statements = 0"];
    let Some(started) = start(&program, &settings).await else {
        return;
    };
    let error = started.unwrap_err().to_string();
    assert!(error.contains("max_prepared_statements"), "{error}");
}
