//! Lanes: of the requests that ask the database, a bounded number is at work, and the others wait in a
//! queue that is fair by network (SP-4).
//!
//! A request enters the lane of its route when it has arrived whole, and holds a slot until its unit of
//! work has ended. What has to wait for too long is refused with 503 before any statement. What asks for
//! emails, what waits for other servers and everything else have lanes of their own, so that a flood of
//! one delays none of the others. See ADR 0021.

mod crowd;
mod queue;
mod slots;

use std::{net::IpAddr, num::NonZero, sync::Arc};

use poem::{Request, http::HeaderValue};

use crate::{
    config::Startup, network::Network, telemetry::metrics, web::every_second::EverySecond,
};
use crowd::Peer;
use slots::{Bounds, Lane};

pub(in crate::web::server) use slots::Slot;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneName {
    /// What looks up or queues an email.
    Email,
    /// What waits for an upstream provider.
    Provider,
    /// Everything else that asks the database or the ticket store.
    Quick,
}

/// Returns the lane of a path; none for what asks no store.
pub type LaneOf = fn(&str) -> Option<LaneName>;

/// How many requests are at work at the same time, by lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneSlots {
    pub email: usize,
    pub provider: usize,
    pub quick: usize,
}

/// The lanes of a listener.
pub struct Lanes {
    of: LaneOf,
    email: Arc<Lane>,
    provider: Arc<Lane>,
    quick: Arc<Lane>,
    log: EverySecond<Refused>,
}

/// There was no slot for a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LaneFull;

/// How many requests were refused, by lane.
#[derive(Debug, Default)]
struct Refused {
    email: usize,
    provider: usize,
    quick: usize,
}

impl LaneSlots {
    /// Returns the slots that are configured; for 0 it follows from the processors and the size of the
    /// connection pool.
    #[must_use]
    pub fn of(startup: &Startup) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let connections = startup.database.max_connections as usize;
        let or = |configured: usize, default: usize| match configured {
            0 => default,
            configured => configured,
        };
        let server = &startup.server;
        Self {
            email: or(server.email_slots, email_slots(processors, connections)),
            provider: or(server.provider_slots, 256),
            quick: or(server.quick_slots, (2 * connections).max(16)),
        }
    }
}

/// A request for an email costs several others, and a few a second are many.
fn email_slots(processors: usize, connections: usize) -> usize {
    processors.div_ceil(2).min(connections / 8).max(1)
}

impl Lanes {
    #[must_use]
    pub fn new(slots: LaneSlots, of: LaneOf) -> Arc<Self> {
        let lane = |slots: usize, part: usize| {
            let of_network = slots.div_ceil(part);
            Lane::new(Bounds { slots, of_network })
        };
        Arc::new(Self {
            of,
            email: lane(slots.email, 2),
            // Another server may hold a request for seconds: several networks together find a slot.
            provider: lane(slots.provider, 8),
            quick: lane(slots.quick, 2),
            log: EverySecond::new(Refused::write),
        })
    }

    /// Returns the lane of a request.
    pub(super) fn of(&self, request: &Request) -> Option<LaneName> {
        (self.of)(request.uri().path())
    }

    /// Waits for a slot, in the turn of the caller's network.
    ///
    /// # Errors
    /// There will be none soon. Nothing was done.
    pub(super) async fn enter(
        &self,
        name: LaneName,
        caller: IpAddr,
        peer: Peer,
    ) -> Result<Slot, LaneFull> {
        let slot = self.lane(name).enter(Network::of(caller), peer).await;
        slot.map_err(|slots::NoSlot| {
            metrics::limited(name.limit());
            self.log.add(|refused| *refused.of(name) += 1);
            LaneFull
        })
    }

    const fn lane(&self, name: LaneName) -> &Arc<Lane> {
        match name {
            LaneName::Email => &self.email,
            LaneName::Provider => &self.provider,
            LaneName::Quick => &self.quick,
        }
    }
}

impl LaneName {
    /// Returns the label of its refusals in the metrics, which is the reason code, too.
    pub(super) const fn limit(self) -> &'static str {
        match self {
            Self::Email => "lane-email",
            Self::Provider => "lane-provider",
            Self::Quick => "lane-quick",
        }
    }
}

/// Returns when a client may try again: not all in the same second.
pub(super) fn retry_after(request_id: &str) -> HeaderValue {
    let is_odd = request_id
        .bytes()
        .next_back()
        .is_some_and(|last| last % 2 == 1);
    HeaderValue::from_static(if is_odd { "2" } else { "1" })
}

impl Refused {
    const fn of(&mut self, name: LaneName) -> &mut usize {
        match name {
            LaneName::Email => &mut self.email,
            LaneName::Provider => &mut self.provider,
            LaneName::Quick => &mut self.quick,
        }
    }

    /// Writes the line.
    fn write(self) {
        tracing::warn!(
            email = self.email,
            provider = self.provider,
            quick = self.quick,
            reason = "lane_full",
            "more requests came than can be at work: those whose networks had most were refused with 503"
        );
    }
}

#[cfg(test)]
mod tests;
