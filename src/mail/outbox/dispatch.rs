//! One look at the outbox: what is due, what may be tried now, and what has to wait.

use std::sync::Arc;

use entity::mail_outbox::Model;
use uuid::Uuid;

use super::{
    ceiling::Ceiling,
    due::DueQueue,
    lease::{Waiting, lease, mark_waiting, postpone},
    share::{DueEmail, Shares},
};
use crate::{db::Db, error::InfraError, mail::Composer, telemetry::metrics};

/// What a look at the outbox gave.
#[derive(Debug, Default)]
pub(super) struct Leased {
    pub(super) rows: Vec<(Model, DueEmail)>,
    /// Whether a row is due for which only a slot is missing.
    pub(super) is_more_waiting: bool,
}

impl Leased {
    /// The result while no slot is free.
    pub(super) const fn full() -> Self {
        Self {
            rows: Vec::new(),
            is_more_waiting: true,
        }
    }
}

/// Leases due rows for one worker.
pub(super) struct Dispatcher {
    pub(super) db: Db,
    pub(super) owner: Uuid,
    pub(super) composer: Arc<dyn Composer>,
    pub(super) ceiling: Arc<Ceiling>,
    pub(super) shares: Shares,
    pub(super) queue: DueQueue,
}

impl Dispatcher {
    /// Leases up to `free` due rows, as many as their shares allow. The attempt counts from here, so
    /// that a row which brings the process down is tried less often in the end.
    pub(super) async fn lease_due(&mut self, free: usize) -> Result<Leased, InfraError> {
        let mut leased = Leased::default();
        let free = self.shares.usable(free);
        if free == 0 {
            mark_waiting(&self.db, Waiting::Relay).await?;
            return Ok(leased);
        }
        // Another worker may be faster; it has then left other rows.
        for _ in 0..3 {
            self.refresh().await?;
            let choice = self.shares.choose(self.queue.emails(), free);
            for (until, ids) in &choice.held {
                postpone(&self.db, ids, *until).await?;
            }
            self.queue.remove(&choice);
            leased.is_more_waiting = choice.is_more_waiting;
            if choice.picked.is_empty() {
                break;
            }
            leased.rows = lease(&self.db, self.owner, choice.picked).await?;
            if !leased.rows.is_empty() {
                break;
            }
        }
        Ok(leased)
    }

    /// Reads what is due, without what the ceiling holds.
    async fn refresh(&mut self) -> Result<(), InfraError> {
        let (db, shares) = (&self.db, &self.shares);
        let is_stalling = |domain: &str| shares.is_stalling(domain);
        self.queue.refresh(db, shares.slots(), is_stalling).await?;
        self.queue
            .look_up_accounts(db, &*self.composer, is_stalling)
            .await?;
        if !self.queue.emails().iter().any(|email| email.is_held) {
            return Ok(());
        }
        if let Some(until) = self.ceiling.closed_until(db).await? {
            if mark_waiting(db, Waiting::Ceiling(until)).await? > 0 {
                metrics::mail_held();
            }
            self.queue.remove_held(until);
        }
        Ok(())
    }
}
