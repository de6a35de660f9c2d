//! The worker: leases due rows, receives what requests hand over, and tries each of them once.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc::UnboundedReceiver,
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{
    ceiling::{Ceiling, CeilingSettings},
    dispatch::{Dispatcher, Leased},
    due::DueQueue,
    handover::{Handed, Handover},
    lease::{release_leases, release_row},
    sender::Sender,
    share::Shares,
};
use crate::{
    db::Db,
    error::InfraError,
    mail::{Composer, transport::Transport},
    secret,
};

/// How often the worker polls: another instance may have queued an email, or a retry may be due.
const POLL: Duration = Duration::from_secs(1);
/// How often it looks for a free slot while all are held: an attempt that waits long gives its slot back.
const SLOT_POLL: Duration = Duration::from_millis(250);
/// The longest pause while the database is unavailable.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// Sends the emails of the outbox. Any number of workers may run, in one process or in many.
pub struct Worker {
    pub db: Db,
    pub composer: Arc<dyn Composer>,
    pub transport: Transport,
    /// Where requests of this process reach the worker.
    pub handover: Arc<Handover>,
    /// How many emails are tried at the same time.
    pub concurrency: usize,
    /// How many more may wait for the servers of slow recipients.
    pub waiting_connections: usize,
    pub ceiling: CeilingSettings,
    /// How long a stop waits for the attempts in progress.
    pub drain: Duration,
}

impl Worker {
    /// Runs until `shutdown` is ready. Then it leases nothing new, finishes the attempts in progress
    /// within `drain`, and releases the other leases. While the database is unavailable the worker polls
    /// ever more slowly and logs that once.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let (drain, handover) = (self.drain, Arc::clone(&self.handover));
        let mut rounds = Rounds::new(self);
        let owner = rounds.owner;
        let mut shutdown = pin!(shutdown);
        loop {
            let found = rounds.try_due().await;
            handover.set_idle(owner, matches!(found, Found::AllThereIs));
            tokio::select! {
                () = &mut shutdown => break,
                () = rounds.wait(found, &handover) => {}
            }
            handover.set_idle(owner, false);
        }
        handover.close(owner);
        rounds.stop(drain).await;
    }
}

/// What a look at the outbox found.
#[derive(Clone, Copy, Debug)]
enum Found {
    /// No email waits for a slot.
    AllThereIs,
    MoreThanSlots,
    /// The database is unavailable: the next look is after this pause.
    Outage(Duration),
}

/// A running worker: it looks at the outbox, and waits for the next look.
struct Rounds {
    owner: Uuid,
    shares: Shares,
    dispatcher: Dispatcher,
    sender: Arc<Sender>,
    inbox: UnboundedReceiver<Handed>,
    /// Rows that requests did not hand over.
    abandoned: Vec<Uuid>,
    attempts: JoinSet<()>,
    outage: Outage,
}

impl Rounds {
    fn new(worker: Worker) -> Self {
        let owner = secret::public_id();
        let (slots, waiting) = (worker.concurrency, worker.waiting_connections);
        let shares = Shares::new(slots, waiting, worker.db.clock().clone());
        let ceiling = Arc::new(Ceiling::new(worker.ceiling));
        Self {
            owner,
            dispatcher: Dispatcher {
                db: worker.db.clone(),
                owner,
                composer: Arc::clone(&worker.composer),
                ceiling: Arc::clone(&ceiling),
                shares: shares.clone(),
                queue: DueQueue::default(),
            },
            sender: Arc::new(Sender {
                db: worker.db,
                composer: worker.composer,
                transport: worker.transport,
                ceiling,
            }),
            inbox: worker.handover.open(owner, &shares),
            shares,
            abandoned: Vec::new(),
            attempts: JoinSet::new(),
            outage: Outage::default(),
        }
    }

    /// Tries what is due, as far as there are slots.
    async fn try_due(&mut self) -> Found {
        self.reap();
        let free = self.shares.free();
        let leased = match self.lease(free).await {
            Ok(leased) => leased,
            Err(error) => return Found::Outage(self.outage.next_pause(&error)),
        };
        if free > 0 {
            self.outage.end();
        }
        for (row, email) in leased.rows {
            let (sender, slot) = (Arc::clone(&self.sender), self.shares.take(&email));
            self.attempts
                .spawn(async move { sender.deliver(row, &slot).await });
        }
        match leased.is_more_waiting {
            true => Found::MoreThanSlots,
            false => Found::AllThereIs,
        }
    }

    async fn lease(&mut self, free: usize) -> Result<Leased, InfraError> {
        while let Some(id) = self.abandoned.last() {
            release_row(&self.dispatcher.db, self.owner, *id).await?;
            self.abandoned.pop();
        }
        match free {
            0 => Ok(Leased::full()),
            _ => self.dispatcher.lease_due(free).await,
        }
    }

    /// Waits for the next look. What requests hand over is tried at once, without a look.
    async fn wait(&mut self, found: Found, handover: &Handover) {
        let (pause, is_more_waiting) = match found {
            Found::AllThereIs => (None, false),
            Found::MoreThanSlots => (None, true),
            Found::Outage(pause) => (Some(pause), false),
        };
        let poll = if self.shares.free() == 0 {
            SLOT_POLL
        } else {
            POLL
        };
        let mut pausing = pin!(sleep(pause.unwrap_or(poll)));
        loop {
            let is_full = self.shares.free() == 0;
            tokio::select! {
                // Only time helps during an outage: a notification must not turn it into a busy loop.
                () = &mut pausing => return,
                () = handover.notified(), if pause.is_none() && !is_full => return,
                Some(ended) = self.attempts.join_next(), if !self.attempts.is_empty() => {
                    log_panic(&ended);
                    if pause.is_none() && (is_full || is_more_waiting) {
                        return;
                    }
                }
                Some(handed) = self.inbox.recv() => self.receive(handed),
            }
        }
    }

    fn receive(&mut self, handed: Handed) {
        match handed {
            Handed::Email(email) => {
                let sender = Arc::clone(&self.sender);
                self.attempts
                    .spawn(async move { sender.deliver_draft(*email).await });
            }
            // At the next look: until then its transaction is over.
            Handed::Abandoned(id) => self.abandoned.push(id),
        }
    }

    /// Removes finished attempts.
    fn reap(&mut self) {
        while let Some(ended) = self.attempts.try_join_next() {
            log_panic(&ended);
        }
    }

    /// Waits for the attempts in progress, then releases the leases and closes the connections.
    async fn stop(mut self, drain: Duration) {
        let all_ended = async { while self.attempts.join_next().await.is_some() {} };
        if timeout(drain, all_ended).await.is_err() {
            self.attempts.shutdown().await;
        }
        match release_leases(&self.dispatcher.db, self.owner).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "email leases released"),
            Err(error) => tracing::warn!(%error, "email leases not released; they will expire"),
        }
        self.sender.transport.close().await;
    }
}

/// Logs an attempt that panicked: its lease expires and the row is tried again.
fn log_panic(ended: &Result<(), JoinError>) {
    if ended.as_ref().is_err_and(JoinError::is_panic) {
        tracing::error!("an email attempt panicked; it is repeated when its lease has expired");
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
