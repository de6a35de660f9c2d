//! The space of unfinished requests, divided by network (OA-5).
//!
//! A request is charged from its header to the last byte of its response: its header, its body as
//! far as it may have arrived, then its response, and what the server itself needs for it. Beyond
//! the budget the oldest request of the network that holds most beside its share is ended: with 503
//! while it has no response, and by closing its connection while its client does not read one.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::ended_log::{Ended, EndedLog};
use crate::{
    network::{
        Network, Prefix,
        shares::{Group, Holding, Shares, groups_of},
    },
    telemetry::metrics,
};

/// What the server needs for a request beside its header and body: its task and its stream.
/// Measured.
const REQUEST_BYTES: usize = 8 * 1024;

/// The space of the unfinished requests of one listener.
#[derive(Debug)]
pub(super) struct RequestBudget {
    limit: usize,
    held: Mutex<Held>,
    log: EndedLog,
}

#[derive(Debug, Default)]
struct Held {
    /// What the requests hold that are not to end.
    bytes: usize,
    /// What those hold that are to end, until they are gone.
    ending: usize,
    requests: HashMap<u64, Unfinished>,
    shares: Shares<Prefix, u64>,
    turn: u64,
}

/// One unfinished request.
#[derive(Debug)]
struct Unfinished {
    holding: Holding<u64, Vec<Group<Prefix>>>,
    is_responding: bool,
    is_ending: bool,
    ended: Arc<Notify>,
    cut: Arc<Notify>,
}

/// What a request takes when it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestCost {
    pub(super) header: usize,
    /// The most of its body that may wait unread.
    pub(super) unread: usize,
}

/// The space of one request, until it is dropped.
#[derive(Debug)]
pub(super) struct RequestSpace {
    budget: Arc<RequestBudget>,
    turn: u64,
    cost: RequestCost,
    ended: Arc<Notify>,
    /// Whether there is no space even for its header.
    pub(super) is_refused: bool,
}

/// The request has to end, to make space for others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestEnded;

impl RequestBudget {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            held: Mutex::default(),
            log: EndedLog::default(),
        })
    }

    /// Charges a request to the network of its caller. `cut` closes its connection.
    pub(super) fn begin(
        self: &Arc<Self>,
        caller: IpAddr,
        cost: RequestCost,
        cut: Arc<Notify>,
    ) -> RequestSpace {
        let ended = Arc::new(Notify::new());
        let groups = groups_of(Network::of(caller));
        let mut held = self.lock();
        // The header is dropped at once then.
        let is_refused = held.has_no_space(self.limit, &groups);
        let amount = if is_refused { 0 } else { cost.sum() };
        held.turn += 1;
        let turn = held.turn;
        let holding = Holding {
            key: turn,
            turn,
            amount: REQUEST_BYTES + amount,
            groups,
        };
        held.shares.add(&holding);
        held.bytes += holding.amount;
        let unfinished = Unfinished {
            holding,
            is_responding: is_refused,
            is_ending: false,
            ended: Arc::clone(&ended),
            cut,
        };
        held.requests.insert(turn, unfinished);
        let others = held.make_space(self.limit);
        drop(held);
        self.report(others.with(Ended::requests(usize::from(is_refused))));
        RequestSpace {
            budget: Arc::clone(self),
            turn,
            cost,
            ended,
            is_refused,
        }
    }

    fn report(&self, ended: Ended) {
        if !ended.is_none() {
            metrics::limited("requests");
            self.log.note(ended);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Returns whether so many requests are about to end that the memory of another one cannot be
    /// afforded. A network that holds little beside others is served all the same, until the
    /// budget is held twice.
    fn has_no_space(&self, limit: usize, groups: &[Group<Prefix>]) -> bool {
        self.ending > limit || self.ending > limit / 4 && self.shares.is_large(groups)
    }

    /// Changes what a request holds.
    fn change(&mut self, turn: u64, amount: usize) {
        let Some(request) = self.requests.get_mut(&turn) else {
            return;
        };
        let before = request.holding.amount;
        if request.is_ending {
            request.holding.amount = amount;
            self.ending = self.ending.saturating_sub(before) + amount;
            return;
        }
        self.shares.remove(&request.holding);
        request.holding.amount = amount;
        self.shares.add(&request.holding);
        self.bytes = self.bytes.saturating_sub(before) + amount;
    }

    /// Ends requests until the others are within the budget.
    fn make_space(&mut self, limit: usize) -> Ended {
        let mut ended = Ended::default();
        while self.bytes > limit {
            let Some(turn) = self.shares.of_largest().next().copied() else {
                break;
            };
            ended = ended.with(self.end(turn));
        }
        ended
    }

    /// Ends a request.
    fn end(&mut self, turn: u64) -> Ended {
        let Some(request) = self.requests.get_mut(&turn) else {
            return Ended::default();
        };
        if std::mem::replace(&mut request.is_ending, true) {
            return Ended::default();
        }
        self.shares.remove(&request.holding);
        self.bytes = self.bytes.saturating_sub(request.holding.amount);
        self.ending += request.holding.amount;
        if request.is_responding {
            request.cut.notify_one();
            Ended::connections(1)
        } else {
            request.ended.notify_one();
            Ended::requests(1)
        }
    }

    /// Lets a request that was to end go on with its response.
    fn revive(&mut self, turn: u64) {
        let Some(request) = self.requests.get_mut(&turn) else {
            return;
        };
        request.is_responding = true;
        if std::mem::replace(&mut request.is_ending, false) {
            self.ending = self.ending.saturating_sub(request.holding.amount);
            self.bytes += request.holding.amount;
            self.shares.add(&request.holding);
        }
    }
}

impl RequestSpace {
    /// Charges the space that the body takes so far.
    pub(super) fn hold_body(&self, bytes: usize) -> Result<(), RequestEnded> {
        self.charge(self.cost.sum() + bytes)
    }

    /// Charges a body that has arrived: none of it waits unread.
    pub(super) fn hold_whole_body(&self, bytes: usize) -> Result<(), RequestEnded> {
        self.charge(self.cost.header + bytes)
    }

    fn charge(&self, bytes: usize) -> Result<(), RequestEnded> {
        let limit = self.budget.limit;
        let mut held = self.budget.lock();
        held.change(self.turn, REQUEST_BYTES + bytes);
        let request = held.requests.get(&self.turn);
        let ended = if request.is_some_and(|it| held.has_no_space(limit, &it.holding.groups)) {
            held.end(self.turn)
        } else {
            held.make_space(limit)
        };
        let request = held.requests.get(&self.turn);
        let goes_on = request.is_some_and(|it| !it.is_ending);
        drop(held);
        self.budget.report(ended);
        goes_on.then_some(()).ok_or(RequestEnded)
    }

    /// Waits until the request has to end.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }

    /// Charges the response in place of the request, which is gone.
    pub(super) fn respond(&self, bytes: u64) {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX / 1024);
        let mut held = self.budget.lock();
        held.revive(self.turn);
        held.change(self.turn, REQUEST_BYTES + bytes);
        let ended = held.make_space(self.budget.limit);
        drop(held);
        self.budget.report(ended);
    }
}

impl RequestCost {
    const fn sum(self) -> usize {
        self.header + self.unread
    }
}

impl Drop for RequestSpace {
    fn drop(&mut self) {
        let mut held = self.budget.lock();
        let Some(request) = held.requests.remove(&self.turn) else {
            return;
        };
        let amount = request.holding.amount;
        if request.is_ending {
            held.ending = held.ending.saturating_sub(amount);
        } else {
            held.bytes = held.bytes.saturating_sub(amount);
            held.shares.remove(&request.holding);
        }
    }
}

#[cfg(test)]
mod tests;
