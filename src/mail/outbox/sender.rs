//! The attempts of a worker. One transaction runs before an attempt, one after it, and none during it.
//!
//! 1. The composer writes the email; the hashes of its secrets are committed.
//! 2. The transport sends the email.
//! 3. The outcome is recorded, and the composer receives it, in the same transaction.
//!
//! An email that a request hands over needs no first transaction: the hashes were committed with its row.
//! If the process is killed between 2 and 3, the email is sent again when the lease has expired, and
//! both emails work.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use entity::mail_outbox::{Model, State};
use tokio::time::sleep;

use super::{
    ceiling::Ceiling,
    handover::HandedEmail,
    lease::{Disposition, HELD, finish_row, hold_row, record_attempt, release_domain, renew_lease},
    share::{Consequence, Slot},
};
use crate::{
    clock::Time,
    db::{Db, Tx},
    error::InfraError,
    mail::{
        Composed, Composer, DeliveryAttempt, DeliveryOutcome, Draft, Email, EmailReference,
        transport::Transport,
    },
    telemetry::{
        metrics,
        trace::{Span, Tag},
    },
};

/// The pauses between attempts to record an outcome, in milliseconds. What is not recorded is sent again.
const RECORD_PAUSES: [u64; 6] = [100, 300, 1_000, 3_000, 6_000, 0];

/// How much of its lease an attempt may need.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(35);

/// Delivers leased rows, one attempt at a time.
pub(super) struct Sender {
    pub(super) db: Db,
    pub(super) composer: Arc<dyn Composer>,
    pub(super) transport: Transport,
    pub(super) ceiling: Arc<Ceiling>,
}

impl Sender {
    /// Makes one attempt at one row, in a trace of its own.
    pub(super) async fn deliver(&self, row: Model, slot: &Slot) {
        let span = Span::of_job("mail");
        span.around(self.compose_and_send(&row, None, slot)).await;
        span.end(|| None, Vec::new, false);
    }

    /// Makes one attempt at an email that a request handed over, in a trace of its own.
    pub(super) async fn deliver_draft(&self, handed: HandedEmail) {
        let HandedEmail { row, draft, slot } = handed;
        let span = Span::of_job("mail");
        span.around(self.write_and_send(&row, &*draft, &slot)).await;
        span.end(|| None, Vec::new, false);
    }

    async fn write_and_send(&self, row: &Model, draft: &dyn Draft, slot: &Slot) {
        let reference = draft.reference();
        match self.write(row, draft).await {
            Ok(Some(email)) => self.send(row, (email, reference.clone()), slot).await,
            Ok(None) => self.compose_and_send(row, Some(reference), slot).await,
            Err(error) => self.postpone(row, Some(reference), &error).await,
        }
    }

    /// Returns the email of a draft, or none if the row takes a transaction.
    async fn write(&self, row: &Model, draft: &dyn Draft) -> Result<Option<Email>, InfraError> {
        // The lease began with the request: another worker may have the row, or get it too early.
        let is_leased = self.db.clock().now() + LONGEST_ATTEMPT < row.lease_until;
        if !is_leased || self.held_until(row).await?.is_some() {
            return Ok(None);
        }
        draft.write(&self.db).await
    }

    /// Composes the email of a row and sends it. The secrets of a draft of it, if any, are void.
    async fn compose_and_send(&self, row: &Model, void: Option<&EmailReference>, slot: &Slot) {
        match self.compose(row, void).await {
            Ok(Some(composed)) => self.send(row, composed, slot).await,
            Ok(None) => {}
            Err(error) => self.postpone(row, void, &error).await,
        }
    }

    async fn send(&self, row: &Model, composed: (Email, EmailReference), slot: &Slot) {
        let (email, reference) = composed;
        let started = Instant::now();
        let span = Span::of_call("SMTP send");
        let attempt = span.around(self.transport.send(&email, slot)).await;
        drop(email);
        let took = started.elapsed();
        let consequence = slot.record(&attempt, took);
        if attempt.outcome == DeliveryOutcome::Accepted {
            self.ceiling.count();
        }
        let DeliveryAttempt { outcome, class, .. } = &attempt;
        span.end(
            || None,
            || vec![Tag::Outcome(outcome.name())],
            *outcome != DeliveryOutcome::Accepted,
        );
        metrics::mail_tried(outcome.name(), took);
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(outbox = %row.id, attempt = row.attempts, ?outcome, class, ms, "delivery attempted");
        self.record(row, &reference, &attempt).await;
        if consequence == Consequence::DomainResponds {
            // What stays on record as waiting is due within half a minute in any case.
            let _ = release_domain(&self.db, &row.domain).await;
        }
    }

    /// Returns the email and its reference, with the hashes of its secrets committed, or `None` if there
    /// is nothing to send.
    async fn compose(
        &self,
        row: &Model,
        void: Option<&EmailReference>,
    ) -> Result<Option<(Email, EmailReference)>, InfraError> {
        let held_until = self.held_until(row).await?;
        let tx = self.db.begin().await?;
        if !renew_lease(&tx, row).await? {
            return Ok(None);
        }
        self.void(&tx, row, void).await?;
        let composed = if tx.now > row.give_up_at {
            Composed::Drop("too late")
        } else if let Some(until) = held_until {
            metrics::mail_held();
            if hold_row(&tx, row, until).await? {
                tx.commit().await?;
                return Ok(None);
            }
            Composed::Drop(HELD)
        } else {
            self.composer.compose(&tx, row).await?
        };
        match composed {
            Composed::Email { email, reference } => {
                tx.commit().await?;
                Ok(Some((email, *reference)))
            }
            Composed::Drop(reason) => {
                finish_row(&tx, row, State::Dropped, Some(reason.to_owned())).await?;
                tx.commit().await?;
                log_dropped(row, reason);
                Ok(None)
            }
        }
    }

    /// Lets the composer void secrets that no email brings.
    async fn void(
        &self,
        tx: &Tx,
        row: &Model,
        void: Option<&EmailReference>,
    ) -> Result<(), InfraError> {
        let Some(reference) = void else {
            return Ok(());
        };
        let composer = &self.composer;
        composer
            .record_outcome(tx, row, reference, DeliveryOutcome::Deferred)
            .await
    }

    /// Returns until when the ceiling holds an email: emails to known people never wait for it.
    async fn held_until(&self, row: &Model) -> Result<Option<Time>, InfraError> {
        let Some(until) = self.ceiling.closed_until(&self.db).await? else {
            return Ok(None);
        };
        let is_known =
            row.known_device || self.composer.has_account(&self.db, &row.canonical).await?;
        Ok((!is_known).then_some(until))
    }

    /// Defers a row that could not be composed: nothing was sent, and a later attempt may succeed. If
    /// even this cannot be recorded, the lease expires.
    async fn postpone(&self, row: &Model, void: Option<&EmailReference>, error: &InfraError) {
        if error.is_transient() {
            tracing::warn!(outbox = %row.id, %error, "email not composed");
        } else {
            tracing::error!(outbox = %row.id, %error, "email not composed");
        }
        let attempt = DeliveryAttempt::new(DeliveryOutcome::Deferred, "not composed");
        let _ = self.record_once(row, void, &attempt).await;
    }

    async fn record(&self, row: &Model, reference: &EmailReference, attempt: &DeliveryAttempt) {
        for pause in RECORD_PAUSES {
            match self.record_once(row, Some(reference), attempt).await {
                Ok(()) => return,
                Err(error) if error.is_transient() => sleep(Duration::from_millis(pause)).await,
                Err(error) => {
                    tracing::error!(outbox = %row.id, %error, "email outcome not recorded; it will be sent again");
                    return;
                }
            }
        }
        tracing::warn!(outbox = %row.id, "email outcome not recorded: database unavailable; it will be sent again");
    }

    async fn record_once(
        &self,
        row: &Model,
        reference: Option<&EmailReference>,
        attempt: &DeliveryAttempt,
    ) -> Result<(), InfraError> {
        let tx = self.db.begin().await?;
        let disposition = record_attempt(&tx, row, attempt).await?;
        // Also after a lost lease: the secrets of this email had this outcome, whatever became of the row.
        if let Some(reference) = reference {
            self.composer
                .record_outcome(&tx, row, reference, attempt.outcome)
                .await?;
        }
        tx.commit().await?;
        match disposition {
            None => {
                tracing::warn!(outbox = %row.id, attempt = row.attempts, "email lease lost during the attempt")
            }
            Some(Disposition::Dropped) => log_dropped(row, &attempt.class),
            Some(Disposition::Sent | Disposition::RetryAt(_)) => {}
        }
        Ok(())
    }
}

/// Logs the event that alerts count: an email that will not arrive.
fn log_dropped(row: &Model, reason: &str) {
    tracing::warn!(outbox = %row.id, kind = ?row.kind, attempts = row.attempts, reason, "email dropped");
}
