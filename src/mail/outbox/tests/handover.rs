//! Emails that requests hand to the worker of their process.

use std::{collections::HashSet, sync::atomic::Ordering};

use super::*;

/// The draft of a request: its email, unless the row takes a transaction.
struct TestDraft {
    reference: EmailReference,
    email: Option<Email>,
}

impl Draft for TestDraft {
    fn reference(&self) -> &EmailReference {
        &self.reference
    }

    fn write<'a>(&'a self, _: &'a Db) -> TxFuture<'a, Option<Email>> {
        Box::pin(async move { Ok(self.email.clone()) })
    }
}

impl TestOutbox {
    /// Reserves a slot once the worker lets requests do so.
    async fn reserve(&self, to: &str) -> Reservation {
        let now = self.db.clock().now();
        let reserved = async {
            loop {
                let new = new_email(now, to, false);
                if let Some(reservation) = self.handover.reserve(&new, now) {
                    return reservation;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let limit = Duration::from_secs(20);
        tokio::time::timeout(limit, reserved).await.unwrap()
    }

    /// Queues an email under a reservation.
    async fn commit(&self, to: &str, reservation: Reservation) -> (OutboxRow, Reservation) {
        let tx = self.db.begin().await.unwrap();
        let new = new_email(tx.now, to, false);
        let queued = enqueue_reserved(&tx, new, reservation).await.unwrap();
        tx.commit().await.unwrap();
        queued.unwrap()
    }

    /// Returns a draft for a row, which the composer knows as its own.
    fn draft(&self, row: &OutboxRow, has_email: bool) -> Box<TestDraft> {
        let secrets = secret::public_id();
        let references = &self.composer.references;
        references.lock().unwrap().insert(secrets, row.id);
        let email = Email {
            to: row.canonical.clone(),
            subject: "Sign in".to_owned(),
            text: format!("row={}", row.id),
            html: String::new(),
            locale: row.locale.clone(),
        };
        Box::new(TestDraft {
            reference: EmailReference {
                secrets,
                accepted: None,
            },
            email: has_email.then_some(email),
        })
    }

    fn composed(&self) -> usize {
        self.composer.composed.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn sp_1_an_email_that_is_handed_over_is_sent_without_a_look_and_a_lease() {
    let outbox = TestOutbox::new().await;
    let worker = outbox.worker();
    let reservation = outbox.reserve("fine@example.com").await;
    let (row, reservation) = outbox.commit("fine@example.com", reservation).await;
    assert!(row.lease_owner.is_some() && row.lease_until > row.created_at);
    let draft = outbox.draft(&row, true);
    reservation.hand_over(row, draft);
    let outcomes = outbox.wait_for_outcomes(1).await;
    worker.stop().await;
    assert_eq!(outcomes[0].1, DeliveryOutcome::Accepted);
    assert_eq!(outbox.composed(), 0, "its text was there");
    let row = outbox.row().await;
    assert_eq!((row.state, row.attempts), (State::Sent, 1));
}

#[tokio::test]
async fn sp_1_a_row_that_is_not_handed_over_is_sent_all_the_same() {
    let outbox = TestOutbox::new().await;
    let worker = outbox.worker();
    let reservation = outbox.reserve("fine@example.com").await;
    let (_, reservation) = outbox.commit("fine@example.com", reservation).await;
    drop(reservation);
    outbox.wait_for_outcomes(1).await;
    worker.stop().await;
    let row = outbox.row().await;
    assert_eq!((row.state, row.attempts), (State::Sent, 1));
    assert_eq!(outbox.composed(), 1, "composed like any other");
}

#[tokio::test]
async fn sp_1_g_1_after_a_crash_the_lease_of_the_insertion_runs_out() {
    let outbox = TestOutbox::new().await;
    let worker = outbox.worker();
    let reservation = outbox.reserve("fine@example.com").await;
    worker.stop().await;
    let (_, reservation) = outbox.commit("fine@example.com", reservation).await;
    drop(reservation);
    let other = secret::public_id();
    assert!(lease_all(&outbox.db, other).await.is_empty(), "leased");
    outbox.db.clock().advance(MINUTE);
    let outcome = outbox.attempt_once().await;
    assert_eq!(outcome, DeliveryOutcome::Accepted);
    let row = outbox.row().await;
    assert_eq!((row.state, row.attempts), (State::Sent, 2));
}

#[tokio::test]
async fn sp_1_an_email_that_takes_a_transaction_is_composed_and_its_draft_is_void() {
    let outbox = TestOutbox::new().await;
    let worker = outbox.worker();
    let reservation = outbox.reserve("fine@example.com").await;
    let (row, reservation) = outbox.commit("fine@example.com", reservation).await;
    let draft = outbox.draft(&row, false);
    reservation.hand_over(row, draft);
    let outcomes = outbox.wait_for_outcomes(2).await;
    worker.stop().await;
    let outcomes: Vec<_> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    let expected = [DeliveryOutcome::Deferred, DeliveryOutcome::Accepted];
    assert_eq!(outcomes, expected, "of the draft, and of the email");
    assert_eq!(outbox.composed(), 1);
    assert_eq!(outbox.row().await.attempts, 1);
}

#[tokio::test]
async fn sp_1_oa_7_no_email_is_handed_over_beyond_its_share() {
    let outbox = TestOutbox::new().await;
    let now = outbox.db.clock().now();
    let new = |to: &str| new_email(now, to, false);
    let without_worker = outbox.handover.reserve(&new("a@new.example"), now);
    assert!(without_worker.is_none());
    let worker = outbox.worker();
    // Two of eight slots are a quarter, for a domain that is new.
    let mut held = Vec::new();
    for n in 0..2 {
        held.push(outbox.reserve(&format!("a{n}@new.example")).await);
    }
    let ids: HashSet<Uuid> = held.iter().map(|reservation| reservation.id).collect();
    assert_eq!(ids.len(), 2);
    assert!(
        outbox
            .handover
            .reserve(&new("a3@new.example"), now)
            .is_none()
    );
    held.push(outbox.reserve("a@other.example").await);
    drop(held);
    outbox.reserve("a3@new.example").await.cancel();
    worker.stop().await;
    assert!(
        outbox
            .handover
            .reserve(&new("a@new.example"), now)
            .is_none()
    );
}

#[tokio::test]
async fn sp_1_a_withheld_email_takes_no_slot_and_no_lease() {
    let outbox = TestOutbox::new().await;
    let worker = outbox.worker();
    let reservation = outbox.reserve("fine@example.com").await;
    let tx = outbox.db.begin().await.unwrap();
    let new = new_email(tx.now, "fine@example.com", true);
    let queued = enqueue_reserved(&tx, new, reservation).await.unwrap();
    tx.commit().await.unwrap();
    assert!(queued.is_none());
    worker.stop().await;
    let row = outbox.row().await;
    assert_eq!((row.state, row.lease_owner), (State::Withheld, None));
}
