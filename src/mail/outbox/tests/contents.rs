//! What rows and log hold, and for how long.

use sea_orm::{DbBackend, Statement};

use super::*;

#[tokio::test]
async fn g2_no_column_holds_a_secret() {
    let outbox = TestOutbox::new().await;
    for to in [
        "fine@example.com",
        "data451@example.com",
        "data554@example.com",
        "cutafterdata@example.com",
    ] {
        outbox.enqueue(to).await;
    }
    let worker = outbox.worker();
    outbox.wait_for_outcomes(4).await;
    worker.stop().await;
    for row in outbox.rows().await {
        assert!(!format!("{row:?}").contains(SECRET));
    }
    // A new column has to be added here, after a thought about secrets.
    let (backend, sql) = if outbox.db.is_postgres() {
        (
            DbBackend::Postgres,
            "SELECT column_name::text AS name FROM information_schema.columns WHERE table_name = 'mail_outbox'",
        )
    } else {
        (
            DbBackend::Sqlite,
            "SELECT name FROM pragma_table_info('mail_outbox')",
        )
    };
    let columns = outbox
        .db
        .read()
        .query_all_raw(Statement::from_string(backend, sql))
        .await
        .unwrap();
    let columns: BTreeSet<String> = columns
        .iter()
        .map(|row| row.try_get("", "name").unwrap())
        .collect();
    let known = "about attempts canonical created_at domain due_at finished_at flow_id give_up_at id kind known_device last_error lease_owner lease_until locale network state";
    assert_eq!(columns.into_iter().collect::<Vec<_>>().join(" "), known);
}

#[tokio::test]
async fn a1_a_withheld_email_is_stored_and_never_sent() {
    let outbox = TestOutbox::new().await;
    outbox.enqueue_as("withheld@example.com", true).await;
    outbox.enqueue("fine@example.com").await;
    assert_eq!(outbox.attempt_once().await, DeliveryOutcome::Accepted);
    let mut rows = outbox.rows().await;
    // Two rows of one millisecond have no order of their own.
    rows.sort_by_key(|row| row.canonical != "withheld@example.com");
    assert_eq!(
        rows.iter().map(|row| row.state).collect::<Vec<_>>(),
        [State::Withheld, State::Sent]
    );
    assert_eq!(rows[0].attempts, 0);
    assert_eq!(outbox.sink.mails().len(), 1);
}

#[tokio::test]
async fn h1_finished_rows_go_after_a_day_in_batches() {
    let outbox = TestOutbox::new().await;
    for n in 0..5 {
        outbox.enqueue_as(&format!("a{n}@example.com"), true).await;
    }
    outbox.enqueue("queued@example.com").await;
    outbox.db.clock().advance(RETENTION - MINUTE);
    let sweep = async |limit| {
        let tx = outbox.db.begin().await.unwrap();
        let gone = sweep(&tx, limit).await.unwrap();
        tx.commit().await.unwrap();
        gone
    };
    assert_eq!(sweep(3).await, 0);
    outbox.db.clock().advance(2 * MINUTE);
    assert_eq!([sweep(3).await, sweep(3).await, sweep(3).await], [3, 2, 0]);
    assert_eq!(outbox.row().await.canonical, "queued@example.com");
}

#[tokio::test]
async fn f3_the_log_says_how_an_attempt_ended_and_neither_address_nor_content() {
    let log = Log::default();
    let _on = log.capture();
    let outbox = TestOutbox::new().await;
    for to in [
        "fine@example.com",
        "try550@example.com",
        "data451@example.com",
        "no address",
        "drop@example.com",
    ] {
        outbox.enqueue(to).await;
    }
    let worker = outbox.worker();
    outbox.wait_for_outcomes(4).await;
    worker.stop().await;
    let text = log.text();
    for wanted in [
        "delivery attempted",
        "outcome=Accepted",
        "outcome=Refused",
        "outcome=Deferred",
        "email dropped",
    ] {
        assert!(text.contains(wanted), "no {wanted} in {text}");
    }
    for secret in [SECRET, "@example.com", "no address"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
