//! Workers beside each other, after a crash, and without their database.

use super::*;

#[tokio::test]
async fn g1_after_a_crash_the_row_is_tried_once_more_when_its_lease_has_expired() {
    let outbox = TestOutbox::new().await;
    outbox.enqueue("someone@example.com").await;
    // A worker that dies right after leasing.
    let crashed = lease_all(&outbox.db, secret::public_id()).await;
    assert_eq!(crashed.len(), 1);
    outbox.db.clock().advance(LEASE - Duration::from_secs(10));
    assert!(lease_all(&outbox.db, secret::public_id()).await.is_empty());
    outbox.db.clock().advance(Duration::from_secs(10));
    assert_eq!(outbox.attempt_once().await, DeliveryOutcome::Accepted);
    assert_eq!(outbox.sink.mails().len(), 1);
    assert_eq!(outbox.row().await.attempts, 2);
}

#[tokio::test]
async fn g1_a_worker_that_lost_its_lease_records_nothing() {
    let outbox = TestOutbox::new().await;
    outbox.enqueue("someone@example.com").await;
    let first = lease_all(&outbox.db, secret::public_id()).await.remove(0);
    outbox.db.clock().advance(LEASE);
    let second = lease_all(&outbox.db, secret::public_id()).await.remove(0);
    let attempt = |outcome| DeliveryAttempt::new(outcome, "550");
    let tx = outbox.db.begin().await.unwrap();
    assert!(!renew_lease(&tx, &first).await.unwrap());
    assert_eq!(
        record_attempt(&tx, &first, &attempt(DeliveryOutcome::Refused))
            .await
            .unwrap(),
        None
    );
    assert!(renew_lease(&tx, &second).await.unwrap());
    assert_eq!(
        record_attempt(&tx, &second, &attempt(DeliveryOutcome::Accepted))
            .await
            .unwrap(),
        Some(Disposition::Sent)
    );
    // A second result of the same lease is not recorded.
    assert_eq!(
        record_attempt(&tx, &second, &attempt(DeliveryOutcome::Refused))
            .await
            .unwrap(),
        None
    );
    tx.commit().await.unwrap();
    assert_eq!(outbox.row().await.state, State::Sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn g1_workers_side_by_side_never_send_a_row_twice() {
    let outbox = TestOutbox::with_timeout(10).await;
    for n in 0..200 {
        outbox.enqueue(&format!("a{n}@example.com")).await;
    }
    let workers: Vec<_> = (0..4).map(|_| outbox.worker()).collect();
    outbox.wait_until_idle().await;
    for worker in workers {
        worker.stop().await;
    }
    let mails = outbox.sink.mails();
    let addressees: BTreeSet<_> = mails.iter().map(|(to, _)| to.clone()).collect();
    assert_eq!((mails.len(), addressees.len()), (200, 200));
    assert!(
        outbox
            .rows()
            .await
            .iter()
            .all(|row| (row.state, row.attempts) == (State::Sent, 1))
    );
}

#[tokio::test]
async fn g1_a_stopping_worker_releases_its_leases() {
    let outbox = TestOutbox::with_timeout(30).await;
    outbox.enqueue("stall@example.com").await;
    let worker = outbox.worker();
    outbox.sink.stalled().await;
    assert!(outbox.row().await.lease_owner.is_some());
    worker.stop().await;
    let row = outbox.row().await;
    assert_eq!(
        (row.state, row.lease_owner, row.lease_until),
        (State::Queued, None, Time(0))
    );
    assert_eq!(lease_all(&outbox.db, secret::public_id()).await.len(), 1);
}

#[tokio::test]
async fn a_worker_without_its_database_neither_spins_nor_hangs() {
    let log = Log::default();
    let _on = log.capture();
    let outbox = TestOutbox::new().await;
    outbox.db.close().await;
    let worker = outbox.worker();
    for _ in 0..100 {
        outbox.handover.notify_one();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tokio::time::timeout(Duration::from_secs(5), worker.stop())
        .await
        .unwrap();
    assert_eq!(
        log.text().matches("outbox unavailable").count(),
        1,
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn an_unavailable_database_is_polled_ever_more_slowly() {
    let mut outage = worker::Outage::default();
    let away = InfraError::Unavailable {
        dependency: "database",
        cause: String::new(),
    };
    let pauses: Vec<u64> = (0..6).map(|_| outage.next_pause(&away).as_secs()).collect();
    assert_eq!(pauses, [1, 2, 4, 8, 15, 15]);
    outage.end();
    assert_eq!(outage.next_pause(&away).as_secs(), 1);
}

/// G5 in process: a mail server that responds at once. What a machine and a real server add is measured
/// by `make load`.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn g5_the_time_from_queued_to_accepted_at_50_emails_a_second() {
    let outbox = TestOutbox::with_timeout(10).await;
    let worker = outbox.worker();
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let started = Instant::now();
    for n in 0..150 {
        pace.tick().await;
        outbox.enqueue(&format!("a{n}@example.com")).await;
    }
    outbox.wait_until_idle().await;
    worker.stop().await;
    let mut waits: Vec<u128> = outbox
        .rows()
        .await
        .iter()
        .map(|row| row.finished_at.unwrap().since(row.created_at).as_millis())
        .collect();
    waits.sort_unstable();
    assert_eq!(waits.len(), 150);
    let (p50, p95) = (waits[75], waits[142]);
    assert!(p50 <= 2_000 && p95 <= 5_000, "p50 {p50} ms, p95 {p95} ms");
    println!(
        "50 emails/s for {:?}: p50 {} ms, p95 {} ms, max {} ms",
        started.elapsed(),
        p50,
        p95,
        waits[149]
    );
}
