//! The worker: leases due rows and tries each of them once. One transaction runs before the attempt, one
//! after it, and none during it.
//!
//! 1. The composer writes the email; the hashes of its secrets are committed.
//! 2. The transport sends the email.
//! 3. The outcome is recorded, and the composer receives it, in the same transaction.
//!
//! If the process is killed between 2 and 3, the email is sent again when the lease has expired, and
//! both emails work.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use entity::mail_outbox::{Model, State};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{
    ceiling::{Ceiling, CeilingSettings},
    dispatch::{Dispatcher, Leased},
    due::DueQueue,
    lease::{
        Disposition, HELD, finish_row, hold_row, record_attempt, release_domain, release_leases,
        renew_lease,
    },
    share::{Consequence, Shares, Slot},
};
use crate::{
    clock::Time,
    db::Db,
    error::InfraError,
    mail::{Composed, Composer, DeliveryAttempt, DeliveryOutcome, Email, transport::Transport},
    secret,
    telemetry::{
        metrics,
        trace::{Span, Tag},
    },
};

/// How often the worker polls: another instance may have queued an email, or a retry may be due.
const POLL: Duration = Duration::from_secs(1);
/// The longest pause while the database is unavailable.
const MAX_PAUSE: Duration = Duration::from_secs(15);
/// The pauses between attempts to record an outcome, in milliseconds. What is not recorded is sent again.
const RECORD_PAUSES: [u64; 6] = [100, 300, 1_000, 3_000, 6_000, 0];

/// Sends the emails of the outbox. Any number of workers may run, in one process or in many.
pub struct Worker {
    pub db: Db,
    pub composer: Arc<dyn Composer>,
    pub transport: Transport,
    /// Wakes the worker after the commit of a row.
    pub notify: Arc<Notify>,
    /// How many emails are tried at the same time.
    pub concurrency: usize,
    pub ceiling: CeilingSettings,
    /// How long a stop waits for the attempts in progress.
    pub drain: Duration,
}

impl Worker {
    /// Runs until `shutdown` is ready. Then it leases nothing new, finishes the attempts in progress
    /// within `drain`, and releases the other leases. While the database is unavailable the worker polls
    /// ever more slowly and logs that once.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let owner = secret::public_id();
        let (drain, notify) = (self.drain, self.notify);
        let shares = Shares::new(self.concurrency, self.db.clock().clone());
        let ceiling = Arc::new(Ceiling::new(self.ceiling));
        let mut dispatcher = Dispatcher {
            db: self.db.clone(),
            owner,
            composer: Arc::clone(&self.composer),
            ceiling: Arc::clone(&ceiling),
            shares: shares.clone(),
            queue: DueQueue::default(),
        };
        let sender = Arc::new(Sender {
            db: self.db,
            composer: self.composer,
            transport: self.transport,
            ceiling,
        });
        let mut attempts = JoinSet::new();
        let mut outage = Outage::default();
        let mut shutdown = pin!(shutdown);
        loop {
            reap(&mut attempts);
            let free = shares.slots().saturating_sub(attempts.len());
            let next = if free == 0 {
                Ok(Leased::full())
            } else {
                dispatcher.lease_due(free).await
            };
            let (pause, is_more_waiting) = match next {
                Ok(leased) => {
                    if free > 0 {
                        outage.end();
                    }
                    for (row, email) in leased.rows {
                        let slot = shares.take(&email);
                        attempts.spawn(deliver(Arc::clone(&sender), row, slot));
                    }
                    (None, leased.is_more_waiting)
                }
                Err(error) => (Some(outage.next_pause(&error)), false),
            };
            let is_full = attempts.len() >= shares.slots();
            tokio::select! {
                () = &mut shutdown => break,
                // Only time helps during an outage: a notification must not turn it into a busy loop.
                () = sleep(pause.unwrap_or(POLL)) => {}
                () = notify.notified(), if pause.is_none() && !is_full => {}
                Some(_) = attempts.join_next(), if pause.is_none() && (is_full || is_more_waiting) => {}
            }
        }
        sender.stop(attempts, owner, drain).await;
    }
}

async fn deliver(sender: Arc<Sender>, row: Model, slot: Slot) {
    sender.deliver(row, &slot).await;
}

/// Removes finished attempts, and logs one that panicked: its lease expires and the row is tried again.
fn reap(attempts: &mut JoinSet<()>) {
    while let Some(ended) = attempts.try_join_next() {
        if ended.is_err_and(|error| error.is_panic()) {
            tracing::error!("an email attempt panicked; it is repeated when its lease has expired");
        }
    }
}

/// An outage of the database: logged at its beginning and its end, with growing pauses in between.
#[derive(Default)]
pub(super) struct Outage(Option<Duration>);

impl Outage {
    pub(super) fn next_pause(&mut self, error: &InfraError) -> Duration {
        if self.0.is_none() {
            tracing::warn!(%error, "outbox unavailable; polling ever more slowly");
        }
        let pause = self.0.map_or(POLL, |last| (last * 2).min(MAX_PAUSE));
        self.0 = Some(pause);
        pause
    }

    pub(super) fn end(&mut self) {
        if self.0.take().is_some() {
            tracing::info!("outbox available again");
        }
    }
}

/// Delivers leased rows, one attempt at a time.
struct Sender {
    db: Db,
    composer: Arc<dyn Composer>,
    transport: Transport,
    ceiling: Arc<Ceiling>,
}

impl Sender {
    /// Makes one attempt at one row, in a trace of its own.
    async fn deliver(&self, row: Model, slot: &Slot) {
        let span = Span::of_job("mail");
        span.around(self.compose_and_send(row, slot)).await;
        span.end(|| None, Vec::new, false);
    }

    async fn compose_and_send(&self, row: Model, slot: &Slot) {
        let (email, reference) = match self.compose(&row).await {
            Ok(Some(composed)) => composed,
            Ok(None) => return,
            Err(error) => return self.postpone(&row, &error).await,
        };
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
        self.record(&row, reference, &attempt).await;
        if consequence == Consequence::DomainResponds {
            // What stays on record as waiting is due within half a minute in any case.
            let _ = release_domain(&self.db, &row.domain).await;
        }
    }

    /// Returns the email and its reference, with the hashes of its secrets committed, or `None` if there
    /// is nothing to send.
    async fn compose(&self, row: &Model) -> Result<Option<(Email, Uuid)>, InfraError> {
        let held_until = self.held_until(row).await?;
        let tx = self.db.begin().await?;
        if !renew_lease(&tx, row).await? {
            return Ok(None);
        }
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
                Ok(Some((email, reference)))
            }
            Composed::Drop(reason) => {
                finish_row(&tx, row, State::Dropped, Some(reason.to_owned())).await?;
                tx.commit().await?;
                log_dropped(row, reason);
                Ok(None)
            }
        }
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
    async fn postpone(&self, row: &Model, error: &InfraError) {
        if error.is_transient() {
            tracing::warn!(outbox = %row.id, %error, "email not composed");
        } else {
            tracing::error!(outbox = %row.id, %error, "email not composed");
        }
        let attempt = DeliveryAttempt::new(DeliveryOutcome::Deferred, "not composed");
        let _ = self.record_once(row, None, &attempt).await;
    }

    async fn record(&self, row: &Model, reference: Uuid, attempt: &DeliveryAttempt) {
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
        reference: Option<Uuid>,
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

    /// Waits for the attempts in progress, then releases the leases and closes the connections.
    async fn stop(&self, mut attempts: JoinSet<()>, owner: Uuid, drain: Duration) {
        let all_ended = async { while attempts.join_next().await.is_some() {} };
        if timeout(drain, all_ended).await.is_err() {
            attempts.shutdown().await;
        }
        match release_leases(&self.db, owner).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "email leases released"),
            Err(error) => tracing::warn!(%error, "email leases not released; they will expire"),
        }
        self.transport.close().await;
    }
}

/// Logs the event that alerts count: an email that will not arrive.
fn log_dropped(row: &Model, reason: &str) {
    tracing::warn!(outbox = %row.id, kind = ?row.kind, attempts = row.attempts, reason, "email dropped");
}
