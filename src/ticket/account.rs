//! How the space of the store is divided (OA-4): a pure account of bytes, which the in-process store
//! keeps in Rust and Redis keeps in `redis/account.lua`, by the same rules.
//!
//! Four pools share the space. Tickets that are charged to a payer take at most half of it,
//! counters that are charged to one a quarter, proofs that are charged to one half, and the service's
//! own entries, such as codes, three quarters. A charged ticket or counter that does not fit into its
//! pool drops the oldest entry there of the group that holds most beside its share. An entry that does
//! not fit into the whole drops charged tickets in this way, so that codes and counters find space.
//!
//! A proof is never dropped: what is forgotten could be shown again. Instead each payer may hold at most
//! a 64th of what is left of the pool, for each network's worth of its share. The fuller the pool, the
//! less each may hold, so that something is always left for a payer that holds nothing.

use std::sync::Arc;

use super::payer::{GroupName, Groups};
use crate::network::shares::{Holding, Shares};

/// The cost of an entry beside its value: key, expiry, and its place in the account. A test
/// compares it with the memory that Redis takes.
pub(super) const ENTRY_BYTES: usize = 512;
/// The cost of each group of an entry: every entry may be the first of its network.
pub(super) const GROUP_BYTES: usize = 320;

/// Returns the cost of an entry with a value of this length.
pub(super) fn entry_cost(value: usize, groups: &Groups) -> usize {
    value + ENTRY_BYTES + GROUP_BYTES * groups.len()
}

/// The part of the space that an entry belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pool {
    /// Entries of the service itself, which are never dropped.
    Own,
    /// Tickets that are charged to a payer.
    Tickets,
    /// Counters that are charged to a payer.
    Counters,
    /// Identifiers that count once and are charged to a payer. They are never dropped.
    Proofs,
}

impl Pool {
    /// Returns the most bytes of this pool where the whole store has `limit`.
    const fn limit(self, limit: usize) -> usize {
        match self {
            Self::Own => limit / 4 * 3,
            Self::Tickets | Self::Proofs => limit / 2,
            Self::Counters => limit / 4,
        }
    }
}

/// The use of the store's space, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The service's own entries.
    pub own: usize,
    /// Tickets that are charged to a network, user or client.
    pub tickets: usize,
    /// Counters that are charged to a network, user or client.
    pub counters: usize,
    /// Proofs that are charged to a network, user or client.
    pub proofs: usize,
    /// The most bytes of all.
    pub limit: usize,
}

impl Usage {
    /// Returns the bytes of all entries.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.own + self.tickets + self.counters + self.proofs
    }

    /// Returns whether the service's own entries leave less than a sixteenth of their space. Charged
    /// entries make space for one another.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        let limit = Pool::Own.limit(self.limit);
        self.own >= limit - limit / 16
    }

    const fn of(&mut self, pool: Pool) -> &mut usize {
        match pool {
            Pool::Own => &mut self.own,
            Pool::Tickets => &mut self.tickets,
            Pool::Counters => &mut self.counters,
            Pool::Proofs => &mut self.proofs,
        }
    }
}

/// What the account knows of one entry.
#[derive(Clone, Debug)]
pub(super) struct Charge {
    pool: Pool,
    holding: Holding<Arc<str>, Groups>,
}

impl Charge {
    /// Returns who is charged.
    pub(super) fn groups(&self) -> Groups {
        Arc::clone(&self.holding.groups)
    }
}

/// The store has no space for an entry and may drop none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// The account of one store.
#[derive(Default)]
pub(super) struct Account {
    usage: Usage,
    tickets: Shares<GroupName, Arc<str>>,
    counters: Shares<GroupName, Arc<str>>,
    proofs: Shares<GroupName, Arc<str>>,
    turn: u64,
}

impl Account {
    pub(super) fn new(limit: usize) -> Self {
        let usage = Usage {
            limit,
            ..Usage::default()
        };
        Self {
            usage,
            ..Self::default()
        }
    }

    pub(super) const fn usage(&self) -> Usage {
        self.usage
    }

    /// Charges an entry.
    pub(super) fn add(
        &mut self,
        key: &Arc<str>,
        pool: Pool,
        cost: usize,
        groups: &Groups,
    ) -> Charge {
        self.turn += 1;
        let holding = Holding {
            key: Arc::clone(key),
            turn: self.turn,
            amount: cost,
            groups: Arc::clone(groups),
        };
        *self.usage.of(pool) += cost;
        if let Some(shares) = self.shares(pool) {
            shares.add(&holding);
        }
        Charge { pool, holding }
    }

    /// Takes an entry off the account.
    pub(super) fn remove(&mut self, charge: &Charge) {
        *self.usage.of(charge.pool) -= charge.holding.amount;
        if let Some(shares) = self.shares(charge.pool) {
            shares.remove(&charge.holding);
        }
    }

    /// Returns the entry to drop before an entry of this cost fits, or `None` if it fits.
    pub(super) fn next_to_drop(
        &mut self,
        pool: Pool,
        cost: usize,
    ) -> Result<Option<Arc<str>>, Full> {
        let limit = self.usage.limit;
        if cost > pool.limit(limit) {
            return Err(Full);
        }
        let crowded = if *self.usage.of(pool) + cost > pool.limit(limit) {
            pool
        } else if self.usage.total() + cost > limit {
            Pool::Tickets
        } else {
            return Ok(None);
        };
        if crowded == Pool::Proofs {
            return Err(Full);
        }
        let shares = self.shares(crowded).ok_or(Full)?;
        let oldest = shares.of_largest().next();
        oldest.cloned().map(Some).ok_or(Full)
    }

    const fn shares(&mut self, pool: Pool) -> Option<&mut Shares<GroupName, Arc<str>>> {
        match pool {
            Pool::Own => None,
            Pool::Tickets => Some(&mut self.tickets),
            Pool::Counters => Some(&mut self.counters),
            Pool::Proofs => Some(&mut self.proofs),
        }
    }

    /// Returns whether these groups may hold a proof of this cost beside what they hold.
    pub(super) fn admits_proof(&self, cost: usize, groups: &Groups) -> bool {
        let left = Pool::Proofs
            .limit(self.usage.limit)
            .saturating_sub(self.usage.proofs);
        self.proofs.allows(groups, cost, left)
    }
}

#[cfg(test)]
mod tests;
