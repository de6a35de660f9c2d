//! An email that is about to be queued.

use entity::mail_outbox::{Kind, Model, State};
use uuid::Uuid;

use crate::clock::Time;

/// An email to be queued.
#[derive(Clone, Debug)]
pub struct NewEmail {
    pub kind: Kind,
    pub flow_id: Option<Uuid>,
    /// The stored address of the recipient, never the one that was entered (E5).
    pub canonical: String,
    pub locale: String,
    /// When the first attempt is due.
    pub due_at: Time,
    /// The end of all attempts: the flow's end minus the link's lifetime, so that the link in an accepted
    /// email has its full lifetime (G3).
    pub give_up_at: Time,
    /// What the email is about: the id of a provider.
    pub about: Option<String>,
    /// The email is over a limit or has no recipient. It is stored like any other and never sent, so
    /// that both cost the same (A1).
    pub withheld: bool,
    /// A known device requested the email: it goes before others (OA-7).
    pub known_device: bool,
    /// The network of the request, empty without one: networks take turns at a domain (OA-7).
    pub network: String,
}

impl NewEmail {
    /// Returns the domain of the recipient.
    pub(super) fn domain(&self) -> &str {
        let parts = self.canonical.rsplit_once('@');
        parts.map_or("", |(_, domain)| domain)
    }

    /// Returns the row of the email, without a lease.
    pub(super) fn into_row(self, id: Uuid, now: Time) -> Model {
        Model {
            id,
            domain: self.domain().to_owned(),
            known_device: self.known_device,
            network: self.network,
            kind: self.kind,
            state: if self.withheld {
                State::Withheld
            } else {
                State::Queued
            },
            flow_id: self.flow_id,
            canonical: self.canonical,
            locale: self.locale,
            attempts: 0,
            due_at: self.due_at,
            give_up_at: self.give_up_at,
            lease_until: Time(0),
            lease_owner: None,
            last_error: None,
            created_at: now,
            finished_at: self.withheld.then_some(now),
            about: self.about,
        }
    }
}
