//! The way from a request to the worker of the same process, for an email that is sent at once.
//!
//! A request reserves a slot of the worker, inserts the row with the worker's lease, and hands the email
//! over after the commit: no statement looks for it or leases it. While emails wait for a slot, or the
//! worker looks at the outbox, there are no reservations, so that no email overtakes another.
//!
//! If the process dies in between, the lease expires and another worker takes the row. A reservation
//! that is not used releases its row.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use entity::mail_outbox::Model;
use tokio::sync::{Notify, futures::Notified, mpsc};
use uuid::Uuid;

use super::{
    new_email::NewEmail,
    share::{DueEmail, Shares, Slot},
};
use crate::{clock::Time, mail::Draft, secret};

/// Where requests reach the worker of their process. Without one, emails wait in the outbox.
#[derive(Debug, Default)]
pub struct Handover {
    notify: Notify,
    worker: Mutex<Option<ReachableWorker>>,
}

/// The worker of this process, as requests reach it.
#[derive(Debug)]
struct ReachableWorker {
    owner: Uuid,
    shares: Shares,
    /// No email waits for a slot, and the worker does not look for some.
    is_idle: bool,
    sender: mpsc::UnboundedSender<Handed>,
}

/// What a request hands to the worker.
pub(super) enum Handed {
    /// An email whose row is committed.
    Email(Box<HandedEmail>),
    /// The id of a row that the request did not commit, or cannot tell.
    Abandoned(Uuid),
}

pub(super) struct HandedEmail {
    pub(super) row: Model,
    pub(super) draft: Box<dyn Draft>,
    pub(super) slot: Slot,
}

impl Handover {
    /// Wakes the worker: a row was committed.
    pub fn notify_one(&self) {
        self.notify.notify_one();
    }

    pub(super) fn notified(&self) -> Notified<'_> {
        self.notify.notified()
    }

    /// Lets requests reach a worker, once it is idle. Returns what they hand to it.
    pub(super) fn open(&self, owner: Uuid, shares: &Shares) -> mpsc::UnboundedReceiver<Handed> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.worker() = Some(ReachableWorker {
            owner,
            shares: shares.clone(),
            is_idle: false,
            sender,
        });
        receiver
    }

    /// Lets no request reach a worker that stops.
    pub(super) fn close(&self, owner: Uuid) {
        let mut worker = self.worker();
        worker.take_if(|worker| worker.owner == owner);
    }

    /// Notes whether emails may be handed to a worker: none waits for a slot.
    pub(super) fn set_idle(&self, owner: Uuid, is_idle: bool) {
        let mut worker = self.worker();
        if let Some(worker) = worker.as_mut().filter(|worker| worker.owner == owner) {
            worker.is_idle = is_idle;
        }
    }

    /// Reserves a slot for an email that is about to be queued. Returns none if it has to wait for its
    /// turn, or if this process has no worker.
    #[must_use]
    pub fn reserve(&self, new: &NewEmail, now: Time) -> Option<Reservation> {
        let worker = self.worker();
        let worker = worker.as_ref().filter(|worker| worker.is_idle)?;
        let id = secret::row_id(now);
        let slot = worker.shares.take_if_free(&due_email(new, id))?;
        Some(Reservation {
            id,
            owner: worker.owner,
            slot: Some(slot),
            sender: worker.sender.clone(),
        })
    }

    fn worker(&self) -> MutexGuard<'_, Option<ReachableWorker>> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn due_email(new: &NewEmail, id: Uuid) -> DueEmail {
    DueEmail {
        id,
        domain: new.domain().to_owned(),
        canonical: new.canonical.clone(),
        network: new.network.clone(),
        is_retry: false,
        is_held: false,
        is_known: new.known_device,
        give_up_at: new.give_up_at,
    }
}

/// A slot of the worker for a row that is about to be inserted.
pub struct Reservation {
    /// The id of the row.
    pub(super) id: Uuid,
    /// The worker that will hold its lease.
    pub(super) owner: Uuid,
    slot: Option<Slot>,
    sender: mpsc::UnboundedSender<Handed>,
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Reservation {
    /// Hands the email over, after the commit of its row. A worker that has stopped in the meantime has
    /// released the lease, or lets it expire.
    pub fn hand_over(mut self, row: Model, draft: Box<dyn Draft>) {
        if let Some(slot) = self.slot.take() {
            let email = HandedEmail { row, draft, slot };
            let _ = self.sender.send(Handed::Email(Box::new(email)));
        }
    }

    /// Gives the slot back: the row was inserted without a lease.
    pub(super) fn cancel(mut self) {
        drop(self.slot.take());
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.slot.is_some() {
            let _ = self.sender.send(Handed::Abandoned(self.id));
        }
    }
}
