//! A mail server that hangs for some domains, and the emails to others meanwhile.

use super::*;

/// Requests an email for an innocent user and returns how long it takes to be accepted.
async fn time_to_accept(outbox: &TestOutbox, to: &str) -> Duration {
    let started = Instant::now();
    outbox.enqueue(to).await;
    let accepted = async {
        while !outbox.sink.mails().iter().any(|(got, _)| got == to) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), accepted)
        .await
        .unwrap();
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn oa_07_emails_to_a_domain_whose_server_hangs_delay_no_other() {
    let outbox = TestOutbox::with_timeout(20).await;
    for _ in 0..40 {
        outbox.enqueue("stall@hangs.example").await;
    }
    let worker = outbox.worker();
    outbox.sink.stalled().await;
    let took = time_to_accept(&outbox, "innocent@new.example").await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    let hanging = outbox.rows().await;
    let tried = hanging
        .iter()
        .filter(|row| row.domain == "hangs.example" && row.attempts > 0);
    assert_eq!(tried.count(), 2, "a quarter of eight");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn oa_07_forty_domains_that_hang_delay_none_that_has_accepted_an_email() {
    let outbox = TestOutbox::with_timeout(20).await;
    let worker = outbox.worker();
    time_to_accept(&outbox, "first@known.example").await;
    for n in 0..40 {
        outbox.enqueue(&format!("stall@hangs{n}.example")).await;
    }
    outbox.sink.stalled().await;
    let took = time_to_accept(&outbox, "innocent@known.example").await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    worker.stop().await;
}

/// Waits until all rows are in some state.
async fn wait_for_all(outbox: &TestOutbox, holds: impl Fn(&OutboxRow) -> bool) {
    let all = async {
        while !outbox.rows().await.iter().all(&holds) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .unwrap();
}

/// OD-11: what waits because of the breaker is late on the waiting page, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn oa_07_od_11_a_domain_that_hangs_has_a_breaker() {
    let outbox = TestOutbox::with_timeout(1).await;
    for n in 0..40 {
        outbox.enqueue(&format!("stall-{n}@hangs.example")).await;
    }
    let worker = outbox.worker();
    wait_for_all(&outbox, |row| row.due_at > row.created_at).await;
    worker.stop().await;
    let tried = outbox.rows().await;
    let attempts: i32 = tried.iter().map(|row| row.attempts).sum();
    assert!(
        (4..=8).contains(&attempts),
        "{attempts} attempts before all wait"
    );
    for row in tried {
        let problem = problem_of_flow(&outbox.db, row.flow_id.unwrap(), &row.canonical).await;
        assert_eq!(
            problem.unwrap(),
            Some(DeliveryProblem::Late),
            "{:?}",
            row.last_error
        );
    }
}

#[tokio::test]
async fn oa_07_what_a_breaker_holds_goes_out_when_the_domain_responds() {
    let outbox = TestOutbox::new().await;
    let far = outbox.db.clock().now() + 10 * MINUTE;
    for to in ["a@example.com", "b@example.com", "c@example.org"] {
        outbox.enqueue(to).await;
    }
    let ids: Vec<Uuid> = outbox.rows().await.iter().map(|row| row.id).collect();
    postpone(&outbox.db, &ids, far).await.unwrap();
    release_domain(&outbox.db, "example.com").await.unwrap();
    let rows = outbox.rows().await;
    let waits: Vec<bool> = rows.iter().map(|row| row.due_at == far).collect();
    assert_eq!(waits, [false, false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn oa_07_recipients_that_a_stranger_made_up_keep_no_email_from_real_ones() {
    let outbox = TestOutbox::with_timeout(20).await;
    let worker = outbox.worker();
    time_to_accept(&outbox, "first@healthy.example").await;
    for n in 0..20 {
        outbox.enqueue(&format!("stall-{n}@healthy.example")).await;
    }
    outbox.sink.stalled().await;
    for real in [
        "known@healthy.example",
        "new@healthy.example",
        "new@other.example",
    ] {
        let took = time_to_accept(&outbox, real).await;
        assert!(took < Duration::from_secs(8), "{real}: {took:?}");
    }
    worker.stop().await;
}

/// OD-11: the rows of those that were not tried say that they wait, and the log says so once.
#[tokio::test]
async fn oa_07_od_11_after_a_hiccup_of_the_mail_server_emails_go_out_at_once() {
    let log = Log::default();
    let _on = log.capture();
    let outbox = TestOutbox::with_timeout(1).await;
    let worker = outbox.worker();
    time_to_accept(&outbox, "first@0.example").await;
    outbox.sink.freeze(true);
    for n in 0..30 {
        outbox.enqueue(&format!("real{n}@{}.example", n % 3)).await;
    }
    wait_for_all(&outbox, |row| {
        let class = row.last_error.as_deref().unwrap_or_default();
        row.state == State::Sent || class.starts_with("session")
    })
    .await;
    let rows = outbox.rows().await;
    let is_untried = |row: &&OutboxRow| row.state == State::Queued && row.attempts == 0;
    assert!(
        rows.iter().filter(is_untried).count() > 10,
        "all but a few wait without an attempt"
    );
    tokio::time::sleep(Duration::from_secs(12)).await;
    outbox.sink.freeze(false);
    let recovered = Instant::now();
    wait_for_all(&outbox, |row| row.state == State::Sent).await;
    let took = recovered.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    worker.stop().await;
    for line in [
        "emails wait: the mail server",
        "the mail server responds again",
    ] {
        assert_eq!(log.text().matches(line).count(), 1, "{line}");
    }
    assert!(
        !log.text().contains("emails to a domain wait"),
        "no domain is blamed"
    );
}

/// Leases one email after another, as a worker with four slots of which one is free.
async fn lease_in_order(outbox: &TestOutbox, count: usize) -> Vec<String> {
    let mut dispatcher = dispatcher(&outbox.db, secret::public_id(), 4);
    let mut order = Vec::new();
    for _ in 0..count {
        let leased = dispatcher.lease_due(1).await.unwrap();
        order.extend(leased.rows.into_iter().map(|(row, _)| row.canonical));
    }
    order
}

/// Records that an email was tried and failed.
async fn fail(outbox: &TestOutbox, to: &str, class: &str) {
    let failed = Entity::update_many()
        .col_expr(Column::LastError, Expr::value(class))
        .col_expr(Column::Attempts, Expr::value(1))
        .filter(Column::Canonical.eq(to));
    failed.exec(outbox.db.pool()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn oa_07_an_email_behind_a_backlog_of_thousands_of_one_domain_is_sent_at_once() {
    let outbox = TestOutbox::with_timeout(20).await;
    let tx = outbox.db.begin().await.unwrap();
    for _ in 0..2_000 {
        outbox.enqueue_in(&tx, "stall@hangs.example", false).await;
    }
    tx.commit().await.unwrap();
    let worker = outbox.worker();
    outbox.sink.stalled().await;
    let took = time_to_accept(&outbox, "innocent@new.example").await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    worker.stop().await;
}

#[tokio::test]
async fn oa_07_first_attempts_go_before_retries_and_known_devices_before_others() {
    let outbox = TestOutbox::new().await;
    for to in ["retried@a.example", "second@a.example", "third@a.example"] {
        outbox.enqueue(to).await;
    }
    fail(&outbox, "retried@a.example", "451").await;
    let known = Entity::update_many()
        .col_expr(Column::KnownDevice, Expr::value(true))
        .filter(Column::Canonical.eq("third@a.example"));
    known.exec(outbox.db.pool()).await.unwrap();
    assert_eq!(
        lease_in_order(&outbox, 3).await,
        ["third@a.example", "second@a.example", "retried@a.example"]
    );
}

#[tokio::test]
async fn oa_07_networks_take_turns_at_a_domain() {
    let outbox = TestOutbox::new().await;
    for to in ["stall-1", "stall-2", "stall-3", "new"] {
        outbox.enqueue(&format!("{to}@a.example")).await;
    }
    assert_eq!(
        lease_in_order(&outbox, 3).await,
        ["stall-1@a.example", "new@a.example", "stall-2@a.example"]
    );
}

/// OA-7: the made-up recipients of many networks delay a newcomer at a domain that stalls by some
/// attempts, and the oldest has its turn as well.
#[tokio::test]
async fn oa_07_at_a_domain_that_stalls_the_newest_and_the_oldest_are_tried_alternately() {
    for (networks, stalls) in [(100, true), (600, true), (100, false)] {
        let outbox = TestOutbox::new().await;
        let tx = outbox.db.begin().await.unwrap();
        for n in 0..networks {
            let mut email = new_email(tx.now, &format!("made-up{n}@a.example"), false);
            email.network = format!("192.0.2.{n}");
            enqueue(&tx, email).await.unwrap();
        }
        outbox.enqueue_in(&tx, "new@a.example", false).await;
        tx.commit().await.unwrap();
        let mut dispatcher = dispatcher(&outbox.db, secret::public_id(), 8);
        if stalls {
            note_stall(&dispatcher.shares, "a.example", outbox.db.clock().now());
        }
        let leased = dispatcher.lease_due(2).await.unwrap();
        let mut order: Vec<String> = leased
            .rows
            .into_iter()
            .map(|(row, _)| row.canonical)
            .collect();
        order.sort();
        let second = if stalls {
            "new@a.example"
        } else {
            "made-up1@a.example"
        };
        let mut expected = ["made-up0@a.example", second];
        expected.sort_unstable();
        assert_eq!(order, expected, "{networks} networks");
    }
}

/// Lets an attempt at a domain stall.
fn note_stall(shares: &Shares, domain: &str, now: Time) {
    let email = DueEmail {
        id: secret::public_id(),
        domain: domain.to_owned(),
        canonical: format!("earlier@{domain}"),
        network: String::new(),
        is_retry: false,
        is_held: false,
        is_known: false,
        give_up_at: now + MINUTE,
    };
    let stalled = DeliveryAttempt::new(DeliveryOutcome::Deferred, "timeout")
        .observing(Observation::RecipientStalled);
    shares.take(&email).record(&stalled, Duration::from_secs(2));
}

/// G1: an email whose worker died, or that our own mail server failed, keeps its place by its age.
#[tokio::test]
async fn g1_an_email_whose_worker_died_is_not_behind_newer_ones() {
    let outbox = TestOutbox::new().await;
    for to in ["crashed@a.example", "session@a.example"] {
        outbox.enqueue(to).await;
    }
    let crashed = lease_all(&outbox.db, secret::public_id()).await;
    assert_eq!(crashed.len(), 2);
    fail(&outbox, "session@a.example", "session timeout").await;
    outbox.db.clock().advance(LEASE);
    for n in 0..6 {
        outbox.enqueue(&format!("newer{n}@a.example")).await;
    }
    assert_eq!(
        lease_in_order(&outbox, 2).await,
        ["crashed@a.example", "session@a.example"]
    );
}

/// G3: an endless stream of first attempts keeps no retry from its turn, however many are due.
#[tokio::test]
async fn g3_one_of_four_emails_is_a_retry() {
    for count in [20, 600] {
        let outbox = TestOutbox::new().await;
        let tx = outbox.db.begin().await.unwrap();
        for n in 0..count {
            let to = format!("new{n}@{}.example", n % 50);
            outbox.enqueue_in(&tx, &to, false).await;
        }
        outbox.enqueue_in(&tx, "retried@a.example", false).await;
        tx.commit().await.unwrap();
        fail(&outbox, "retried@a.example", "451").await;
        let order = lease_in_order(&outbox, 4).await;
        assert_eq!(order.len(), 4);
        assert!(order.contains(&"retried@a.example".to_owned()), "{order:?}");
    }
}

#[tokio::test]
async fn oa_09_the_ceiling_is_considered_every_five_seconds() {
    let outbox = TestOutbox::new().await;
    let (db, clock) = (&outbox.db, outbox.db.clock());
    // Five seconds begin: real time, which passes as well, does not end them before the test does.
    let since_last = clock.now().0.rem_euclid(5_000);
    clock.advance(Duration::from_millis(
        u64::try_from(5_000 - since_last).unwrap(),
    ));
    outbox.enqueue("someone@example.com").await;
    let set = |state: State| {
        Entity::update_many()
            .col_expr(Column::State, Expr::val(state))
            .col_expr(Column::FinishedAt, Expr::value(Some(clock.now())))
            .exec(db.pool())
    };
    set(State::Sent).await.unwrap();
    let ceiling = Ceiling::new(CeilingSettings {
        least: 1,
        times_normal: 1,
    });
    let until = ceiling.closed_until(db).await.unwrap().unwrap();
    assert_eq!(until.0 % 5_000, 0);
    set(State::Queued).await.unwrap();
    clock.advance(until.since(clock.now()) / 2);
    let again = ceiling.closed_until(db).await.unwrap();
    assert_eq!(
        again,
        Some(until),
        "a newer email does not go before those that wait"
    );
    clock.advance(until.since(clock.now()));
    assert_eq!(ceiling.closed_until(db).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn oa_09_beyond_the_ceiling_known_people_go_first_and_the_others_wait() {
    let outbox = TestOutbox::new().await;
    *outbox.ceiling.lock().unwrap() = CeilingSettings {
        least: 5,
        times_normal: 20,
    };
    for n in 0..20 {
        outbox.enqueue(&format!("stranger{n}@example.com")).await;
    }
    let worker = outbox.worker();
    let held = async |count| {
        let is_held = |row: &OutboxRow| row.last_error.as_deref() == Some(HELD);
        let enough = async {
            while outbox
                .rows()
                .await
                .iter()
                .filter(|row| is_held(row))
                .count()
                < count
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), enough)
            .await
            .unwrap();
    };
    held(1).await;
    for n in 0..10 {
        time_to_accept(&outbox, &format!("known{n}@example.com")).await;
    }
    let strangers = |mails: &[(String, String)]| {
        mails
            .iter()
            .filter(|(to, _)| to.starts_with("stranger"))
            .count()
    };
    let sent = strangers(&outbox.sink.mails());
    // What was under way when the ceiling was reached is sent, at most one email for each slot.
    assert!((5..=5 + 8).contains(&sent), "{sent}");
    held(20 - sent).await;
    let waiting = outbox.rows().await;
    let is_first = |row: &&OutboxRow| row.state == State::Queued && row.attempts == 0;
    assert_eq!(waiting.iter().filter(is_first).count(), 20 - sent);
    outbox.db.clock().advance(2 * MINUTE);
    let more = async {
        while strangers(&outbox.sink.mails()) < sent + 5 {
            outbox.handover.notify_one();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), more)
        .await
        .expect("the next minute has room for five");
    worker.stop().await;
}
