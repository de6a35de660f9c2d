//! What each attempt makes of its row.
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]

use super::*;

#[test]
fn g3_the_pauses_are_5_15_45_seconds_2_and_5_minutes_then_every_5() {
    let pauses: Vec<u64> = (1..=8)
        .map(|attempts| retry_delay(attempts).as_secs())
        .collect();
    assert_eq!(pauses, [5, 15, 45, 120, 300, 300, 300, 300]);
}

#[tokio::test]
async fn g1_a_queued_email_is_sent_once_and_the_composer_learns_the_outcome() {
    let outbox = TestOutbox::new().await;
    outbox.enqueue("someone@example.com").await;
    assert_eq!(outbox.attempt_once().await, DeliveryOutcome::Accepted);
    let row = outbox.row().await;
    assert_eq!(
        (row.state, row.attempts, row.lease_owner, row.last_error),
        (State::Sent, 1, None, None)
    );
    assert!(row.finished_at.is_some() && is_idle(&outbox.db).await.unwrap());
    let mails = outbox.sink.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].0, "someone@example.com");
    assert!(
        mails[0].1.contains("Auto-Submitted: auto-generated"),
        "{}",
        mails[0].1
    );
    assert!(mails[0].1.contains(SECRET));
}

#[tokio::test]
async fn g3_a_deferred_email_is_retried_at_the_set_times_and_dropped_before_it_is_too_late() {
    let outbox = TestOutbox::new().await;
    outbox.enqueue("try451@example.com").await;
    let mut at = Vec::new();
    let created_at = outbox.row().await.created_at;
    loop {
        at.push(outbox.db.clock().now().since(created_at).as_secs());
        assert_eq!(outbox.attempt_once().await, DeliveryOutcome::Deferred);
        let row = outbox.row().await;
        if row.state == State::Dropped {
            assert_eq!(row.last_error.as_deref(), Some("451"));
            break;
        }
        assert_eq!((row.state, row.lease_owner), (State::Queued, None));
        outbox
            .db
            .clock()
            .advance(row.due_at.since(outbox.db.clock().now()));
    }
    // Real time passes as well: a second or two over all attempts.
    for (at, wanted) in at.iter().zip([0, 5, 20, 65, 185, 485, 785, 1085]) {
        assert!(
            (wanted..wanted + 5).contains(at),
            "{at} instead of {wanted}"
        );
    }
    assert_eq!(at.len(), 8);
}

#[tokio::test]
async fn g3_each_reply_of_the_server_has_its_outcome() {
    let outbox = TestOutbox::with_timeout(3).await;
    let table = [
        (
            "fine@example.com",
            DeliveryOutcome::Accepted,
            State::Sent,
            None,
        ),
        (
            "try550@example.com",
            DeliveryOutcome::Refused,
            State::Dropped,
            Some("550"),
        ),
        (
            "data554@example.com",
            DeliveryOutcome::Refused,
            State::Dropped,
            Some("554"),
        ),
        (
            "try421@example.com",
            DeliveryOutcome::Deferred,
            State::Queued,
            Some("421"),
        ),
        (
            "try451@example.com",
            DeliveryOutcome::Deferred,
            State::Queued,
            Some("451"),
        ),
        (
            "data451@example.com",
            DeliveryOutcome::Deferred,
            State::Queued,
            Some("451"),
        ),
        (
            "stall@example.com",
            DeliveryOutcome::Deferred,
            State::Queued,
            Some("timeout"),
        ),
        (
            "hangup@example.com",
            DeliveryOutcome::Deferred,
            State::Queued,
            Some("protocol"),
        ),
        (
            "cutindata@example.com",
            DeliveryOutcome::InDoubt,
            State::Queued,
            Some("connection"),
        ),
        (
            "cutafterdata@example.com",
            DeliveryOutcome::InDoubt,
            State::Queued,
            Some("protocol"),
        ),
        (
            "stallafterdata@example.com",
            DeliveryOutcome::InDoubt,
            State::Queued,
            Some("timeout"),
        ),
        (
            "no address",
            DeliveryOutcome::Refused,
            State::Dropped,
            Some("address"),
        ),
        (
            "x@example.com\r\nRCPT TO:<y@example.com>",
            DeliveryOutcome::Refused,
            State::Dropped,
            Some("address"),
        ),
    ];
    for (to, ..) in table {
        outbox.enqueue(to).await;
    }
    let worker = outbox.worker();
    let outcomes: HashMap<_, _> = outbox
        .wait_for_outcomes(table.len())
        .await
        .into_iter()
        .collect();
    worker.stop().await;
    let rows: HashMap<_, _> = outbox
        .rows()
        .await
        .into_iter()
        .map(|row| (row.canonical.clone(), row))
        .collect();
    for (to, outcome, state, class) in table {
        let row = &rows[to];
        assert_eq!(outcomes[to], outcome, "{to}");
        // A broken connection shows as one or the other, depending on how much of the message was sent.
        let found = row.last_error.as_deref().map(|c| {
            if to.starts_with("cut") && c == "connection" {
                "protocol"
            } else {
                c
            }
        });
        let class = class.map(|c| if c == "connection" { "protocol" } else { c });
        assert_eq!((row.state, found), (state, class), "{to}");
    }
    let reached: BTreeSet<_> = outbox.sink.mails().into_iter().map(|(to, _)| to).collect();
    assert!(!reached.contains("y@example.com"));
}

#[tokio::test]
async fn g3_nothing_is_tried_after_the_last_moment() {
    let outbox = TestOutbox::new().await;
    outbox.enqueue("late@example.com").await;
    outbox
        .db
        .clock()
        .advance(20 * MINUTE + Duration::from_secs(1));
    let worker = outbox.worker();
    outbox.wait_until_idle().await;
    worker.stop().await;
    let row = outbox.row().await;
    assert_eq!(
        (row.state, row.last_error.as_deref()),
        (State::Dropped, Some("too late"))
    );
    assert_eq!(outbox.composer.composed.load(Ordering::SeqCst), 0);
    assert!(outbox.sink.mails().is_empty());
}

#[tokio::test]
async fn g3_an_unreachable_server_defers() {
    let mut outbox = TestOutbox::new().await;
    let config = config::Mail {
        host: "127.0.0.1".to_owned(),
        port: smtp_sink::closed_port().await,
        tls: SmtpTls::None,
        from: "login@id.example.com".to_owned(),
        ..config::Mail::default()
    };
    outbox.transport = Transport::new(&config, Clock::default()).unwrap();
    outbox.enqueue("someone@example.com").await;
    assert_eq!(outbox.attempt_once().await, DeliveryOutcome::Deferred);
    assert_eq!(
        outbox.row().await.last_error.as_deref(),
        Some("session connection")
    );
}

#[tokio::test]
async fn g3_a_server_without_starttls_gets_neither_password_nor_email() {
    let mut outbox = TestOutbox::new().await;
    let config = config::Mail {
        host: "127.0.0.1".to_owned(),
        port: outbox.sink.port,
        tls: SmtpTls::Starttls,
        from: "login@id.example.com".to_owned(),
        username: "entree".to_owned(),
        password: secret::Text::new("the password".to_owned()),
        ..config::Mail::default()
    };
    outbox.transport = Transport::new(&config, Clock::default()).unwrap();
    outbox.enqueue("someone@example.com").await;
    assert_eq!(outbox.attempt_once().await, DeliveryOutcome::Deferred);
    assert_eq!(
        outbox.row().await.last_error.as_deref(),
        Some("session unsupported")
    );
    assert!(outbox.sink.mails().is_empty() && !outbox.sink.received("AUTH"));
}

#[tokio::test]
async fn g3_a_time_out_never_leaves_its_reply_to_the_next_email() {
    let outbox = TestOutbox::with_timeout(1).await;
    outbox.enqueue("stall@example.com").await;
    assert_eq!(outbox.attempt_once().await, DeliveryOutcome::Deferred);
    outbox.enqueue("try550@example.com").await;
    outbox.enqueue("fine@example.com").await;
    let worker = outbox.worker();
    let outcomes = outbox.wait_for_outcomes(3).await;
    worker.stop().await;
    let outcomes: HashMap<_, _> = outcomes.into_iter().collect();
    assert_eq!(
        (outcomes["try550@example.com"], outcomes["fine@example.com"]),
        (DeliveryOutcome::Refused, DeliveryOutcome::Accepted)
    );
}

#[tokio::test]
async fn g2_an_email_that_the_composer_drops_is_never_sent() {
    let outbox = TestOutbox::new().await;
    outbox.enqueue("drop@example.com").await;
    let worker = outbox.worker();
    outbox.wait_until_idle().await;
    worker.stop().await;
    let row = outbox.row().await;
    assert_eq!(
        (row.state, row.last_error.as_deref()),
        (State::Dropped, Some("flow ended"))
    );
    assert!(outbox.sink.mails().is_empty() && outbox.composer.outcomes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn g1_a_failure_while_composing_loses_nothing() {
    let outbox = TestOutbox::new().await;
    outbox.composer.failures.store(1, Ordering::SeqCst);
    outbox.enqueue("someone@example.com").await;
    let worker = outbox.worker();
    while outbox.row().await.last_error.is_none() {
        tokio::task::yield_now().await;
    }
    worker.stop().await;
    let row = outbox.row().await;
    assert_eq!(
        (row.state, row.last_error.as_deref(), row.attempts),
        (State::Queued, Some("not composed"), 1)
    );
    outbox.db.clock().advance(retry_delay(1));
    assert_eq!(outbox.attempt_once().await, DeliveryOutcome::Accepted);
}

/// A slot that is patient for a moment.
struct Hurried;

impl AttemptContext for Hurried {
    fn patience(&self) -> Option<Duration> {
        Some(Duration::from_millis(50))
    }

    fn note_relay_works(&self) {}
}

/// OA-7: a server that takes a recipient and then hangs holds a slot for twice as long as one that hangs
/// for the recipient, and not for the whole time-out.
#[tokio::test]
async fn oa_07_a_first_attempt_has_twice_as_long_for_the_message() {
    let outbox = TestOutbox::with_timeout(20).await;
    let email = Email {
        to: "stallafterdata@example.com".to_owned(),
        subject: "Sign in".to_owned(),
        text: "text".to_owned(),
        html: "<p>html</p>".to_owned(),
        locale: "en".to_owned(),
    };
    let began = Instant::now();
    let attempt = outbox.transport.send(&email, &Hurried).await;
    let took = began.elapsed();
    assert_eq!(attempt.outcome, DeliveryOutcome::InDoubt);
    let expected = Duration::from_millis(100)..Duration::from_secs(10);
    assert!(expected.contains(&took), "{took:?}");
}
