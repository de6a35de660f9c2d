//! The worker: leases due rows and tries each once. One unit of work before the try, one after it, none around it.
//!
//! 1. The room composes the letter; the hashes of its secrets are committed.
//! 2. The letter is handed to the transport.
//! 3. How that ended is written down, and the room is told in the same unit of work.
//!
//! Killed between 2 and 3, the letter is sent a second time when the lease has run out, and both work.

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

use super::{Next, finish, give_back, lease, record, renew};
use crate::{
    db::Db,
    error::InfraError,
    mail::{
        Composed, Composer, Letter, Outcome,
        transport::{Transport, Tried},
    },
    secret,
    telemetry::{
        metrics,
        trace::{Span, Tag},
    },
};

/// How often it looks without being woken: another copy may have queued a mail, or a retry may be due.
const POLL: Duration = Duration::from_secs(1);
/// The longest pause while the database is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Sends what is in the outbox. Any number of them may run, in one process or many.
pub struct Worker {
    /// Where the outbox is.
    pub db: Db,
    /// Who writes the letters.
    pub composer: Arc<dyn Composer>,
    /// The way out.
    pub transport: Transport,
    /// Wakes it; by whoever has committed a row.
    pub notify: Arc<Notify>,
    /// Letters tried at the same time.
    pub concurrency: usize,
    /// How long a stop waits for what is in hand.
    pub drain: Duration,
}

impl Worker {
    /// Works until `shutdown` is ready; then takes nothing new, finishes what is in hand within `drain`, and gives back
    /// what it could not finish. A database that is away is asked again ever more slowly, and said once.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let owner = secret::public_id();
        let (concurrency, drain, notify) = (
            self.concurrency.max(1),
            self.drain,
            Arc::clone(&self.notify),
        );
        let hand = Arc::new(Hand {
            db: self.db,
            composer: self.composer,
            transport: self.transport,
        });
        let mut trying = JoinSet::new();
        let mut page_error = PageError::default();
        let mut shutdown = pin!(shutdown);
        loop {
            reap(&mut trying);
            let free = concurrency.saturating_sub(trying.len());
            let pause = match hand.lease(owner, free).await {
                Ok(rows) => {
                    if free > 0 {
                        page_error.over();
                    }
                    for row in rows {
                        let hand = Arc::clone(&hand);
                        trying.spawn(async move { hand.deliver(row).await });
                    }
                    None
                }
                Err(failure) => Some(page_error.again(&failure)),
            };
            let full = trying.len() >= concurrency;
            tokio::select! {
                () = &mut shutdown => break,
                // Nothing but time helps against a fault: being woken must not make it a busy loop.
                () = sleep(pause.unwrap_or(POLL)) => {}
                () = notify.notified(), if pause.is_none() && !full => {}
                Some(_) = trying.join_next(), if pause.is_none() && full => {}
            }
        }
        if timeout(drain, async { while trying.join_next().await.is_some() {} })
            .await
            .is_err()
        {
            trying.shutdown().await;
        }
        match give_back(&hand.db, owner).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "mail leases given back"),
            Err(failure) => {
                tracing::warn!(%failure, "mail leases not given back; they run out by themselves")
            }
        }
        hand.transport.close().await;
    }
}

/// Forgets what has ended, and says so if a try ended by a fault of ours: its lease runs out and it is tried again.
fn reap(trying: &mut JoinSet<()>) {
    while let Some(ended) = trying.try_join_next() {
        if ended.is_err_and(|error| error.is_panic()) {
            tracing::error!("a mail try broke off; it is tried again when its lease has run out");
        }
    }
}

/// A fault that lasts: said at its beginning and its end, with pauses that grow.
#[derive(Default)]
pub(super) struct PageError(Option<Duration>);

impl PageError {
    pub(super) fn again(&mut self, failure: &InfraError) -> Duration {
        if self.0.is_none() {
            tracing::warn!(%failure, "outbox out of reach; trying again ever more slowly");
        }
        let pause = self.0.map_or(POLL, |last| (last * 2).min(LONGEST_PAUSE));
        self.0 = Some(pause);
        pause
    }

    pub(super) fn over(&mut self) {
        if self.0.take().is_some() {
            tracing::info!("outbox within reach again");
        }
    }
}

/// What a try needs.
struct Hand {
    db: Db,
    composer: Arc<dyn Composer>,
    transport: Transport,
}

impl Hand {
    async fn lease(&self, owner: Uuid, most: usize) -> Result<Vec<Model>, InfraError> {
        if most == 0 {
            Ok(Vec::new())
        } else {
            lease(&self.db, owner, most).await
        }
    }

    /// One try of one row, as a trace of its own.
    async fn deliver(&self, row: Model) {
        let span = Span::of_job("mail");
        span.around(self.deliver_once(row)).await;
        span.end(|| None, Vec::new, false);
    }

    async fn deliver_once(&self, row: Model) {
        let (letter, reference) = match self.compose(&row).await {
            Ok(Some(composed)) => composed,
            Ok(None) => return,
            Err(failure) => return self.postpone(&row, &failure).await,
        };
        let started = Instant::now();
        let span = Span::of_call("SMTP send");
        let tried = span.around(self.transport.send(&letter)).await;
        drop(letter);
        let took = started.elapsed();
        let Tried { outcome, class } = &tried;
        span.end(
            || None,
            || vec![Tag::Outcome(outcome.name())],
            *outcome != Outcome::Accepted,
        );
        metrics::mail_tried(outcome.name(), took);
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(outbox = %row.id, attempt = row.attempts, ?outcome, class, ms, "mail tried");
        self.record(&row, reference, &tried).await;
    }

    /// The letter and its reference, with the hashes of its secrets committed; `None` if there is nothing to send.
    async fn compose(&self, row: &Model) -> Result<Option<(Letter, Uuid)>, InfraError> {
        let tx = self.db.begin().await?;
        if !renew(&tx, row).await? {
            return Ok(None);
        }
        let composed = if tx.now > row.give_up_at {
            Composed::Drop("too late")
        } else {
            self.composer.compose(&tx, row).await?
        };
        match composed {
            Composed::Letter { letter, reference } => {
                tx.commit().await?;
                Ok(Some((letter, reference)))
            }
            Composed::Drop(reason) => {
                finish(&tx, row, State::Dropped, Some(reason.to_owned())).await?;
                tx.commit().await?;
                dropped(row, reason);
                Ok(None)
            }
        }
    }

    /// It could not be composed: nothing was sent, and a later try may do better. If even this cannot be written, the
    /// lease runs out.
    async fn postpone(&self, row: &Model, failure: &InfraError) {
        if failure.is_transient() {
            tracing::warn!(outbox = %row.id, %failure, "mail not composed");
        } else {
            tracing::error!(outbox = %row.id, %failure, "mail not composed");
        }
        let tried = Tried {
            outcome: Outcome::Deferred,
            class: "not composed".to_owned(),
        };
        let _ = self.record_once(row, None, &tried).await;
    }

    /// Writes down how the try ended, patiently: what is not written is sent again.
    async fn record(&self, row: &Model, reference: Uuid, tried: &Tried) {
        for pause in [100, 300, 1_000, 3_000, 6_000, 0] {
            match self.record_once(row, Some(reference), tried).await {
                Ok(()) => return,
                Err(failure) if failure.is_transient() => sleep(Duration::from_millis(pause)).await,
                Err(failure) => {
                    tracing::error!(outbox = %row.id, %failure, "mail outcome not recorded; it will be sent again");
                    return;
                }
            }
        }
        tracing::warn!(outbox = %row.id, "mail outcome not recorded: database away; it will be sent again");
    }

    async fn record_once(
        &self,
        row: &Model,
        reference: Option<Uuid>,
        tried: &Tried,
    ) -> Result<(), InfraError> {
        let tx = self.db.begin().await?;
        let next = record(&tx, row, tried).await?;
        // Also when the row is another's by now: this letter's secrets had this outcome, whatever became of the row.
        if let Some(reference) = reference {
            self.composer
                .tried(&tx, row, reference, tried.outcome)
                .await?;
        }
        tx.commit().await?;
        match next {
            None => {
                tracing::warn!(outbox = %row.id, attempt = row.attempts, "mail lease lost during the try")
            }
            Some(Next::Dropped) => dropped(row, &tried.class),
            Some(Next::Sent | Next::Again(_)) => {}
        }
        Ok(())
    }
}

/// The event that is counted: a mail that nobody will get.
fn dropped(row: &Model, reason: &str) {
    tracing::warn!(outbox = %row.id, kind = ?row.kind, attempts = row.attempts, reason, "mail dropped");
}
