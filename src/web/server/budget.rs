//! The space of unfinished requests, divided by network (OA-5).
//!
//! A request is charged from its header to the last byte of its response: its header, its body as
//! far as it may have arrived, then its response, and what the server itself needs for it. Beyond
//! the budget the oldest request of the network that holds most beside its share is ended: with 503
//! while it has no response, and by closing its connection while its client does not read one. One
//! that is at work is not stopped; it counts as ended until its response is there.
//!
//! Who holds most is only of interest when space grows scarce. Up to half of the budget a request is
//! an entry in a list and a sum; the shares of networks are counted beyond that (`Held::press`).

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::ended_log::Ended;
use crate::{
    network::{
        Network, Prefix,
        shares::{Group, Holding, Shares, groups_of},
    },
    telemetry::metrics,
    web::every_second::EverySecond,
};
use requests::Requests;

mod requests;

/// What the server needs for a request beside its header and body: its task and its stream.
/// Measured.
const REQUEST_BYTES: usize = 8 * 1024;

/// The space of the unfinished requests of one listener.
#[derive(Debug)]
pub(super) struct RequestBudget {
    limit: usize,
    held: Mutex<Held>,
    log: EverySecond<Ended>,
}

#[derive(Debug, Default)]
struct Held {
    /// What the requests hold that are not to end.
    bytes: usize,
    /// What those hold that are to end, until they are gone.
    ending: usize,
    requests: Requests<Unfinished>,
    /// Who holds most. None while there is plenty of space.
    shares: Option<Shares<Prefix, usize>>,
    turn: u64,
}

/// One unfinished request.
#[derive(Debug)]
struct Unfinished {
    turn: u64,
    network: Network,
    amount: usize,
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
    id: usize,
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
            log: EverySecond::new(Ended::write),
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
        let network = Network::of(caller);
        let mut held = self.lock();
        // The header is dropped at once then.
        let is_refused = held.has_no_space(self.limit, network);
        let amount = if is_refused { 0 } else { cost.sum() };
        held.turn += 1;
        let unfinished = Unfinished {
            turn: held.turn,
            network,
            amount: REQUEST_BYTES + amount,
            is_responding: is_refused,
            is_ending: false,
            ended: Arc::clone(&ended),
            cut,
        };
        let id = held.add(unfinished);
        let others = held.make_space(self.limit);
        drop(held);
        self.report(others.with(Ended::requests(usize::from(is_refused))));
        RequestSpace {
            budget: Arc::clone(self),
            id,
            cost,
            ended,
            is_refused,
        }
    }

    /// Returns whether no request is unfinished, or at work.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().requests.is_empty()
    }

    fn report(&self, ended: Ended) {
        if !ended.is_none() {
            metrics::limited("requests");
            self.log.add(|sum| *sum = sum.with(ended));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unfinished {
    fn holding(&self, id: usize) -> Holding<usize, Vec<Group<Prefix>>> {
        Holding {
            key: id,
            turn: self.turn,
            amount: self.amount,
            groups: groups_of(self.network),
        }
    }
}

impl Held {
    /// Returns whether so many requests are about to end that the memory of another one cannot be
    /// afforded. A network that holds little beside others is served all the same, until the
    /// budget is held twice.
    fn has_no_space(&self, limit: usize, network: Network) -> bool {
        let is_large = || {
            let shares = self.shares.as_ref();
            shares.is_some_and(|shares| shares.is_large(&groups_of(network)))
        };
        self.ending > limit || self.ending > limit / 4 && is_large()
    }

    fn add(&mut self, request: Unfinished) -> usize {
        self.bytes += request.amount;
        let id = self.requests.insert(request);
        self.share(id);
        id
    }

    /// Counts what a request holds to its network, while that is counted.
    fn share(&mut self, id: usize) {
        if let (Some(shares), Some(request)) = (&mut self.shares, self.requests.get_mut(id)) {
            shares.add(&request.holding(id));
        }
    }

    /// Undoes [`Self::share`].
    fn unshare(&mut self, id: usize) {
        if let (Some(shares), Some(request)) = (&mut self.shares, self.requests.get_mut(id)) {
            shares.remove(&request.holding(id));
        }
    }

    /// Begins or ends to count the shares of networks: they are counted from the half of the budget on,
    /// until a quarter is left and nothing is about to end.
    fn press(&mut self, limit: usize) {
        match &self.shares {
            None if self.bytes > limit / 2 => {
                let mut shares = Shares::default();
                for (id, request) in self.requests.iter().filter(|(_, one)| !one.is_ending) {
                    shares.add(&request.holding(id));
                }
                self.shares = Some(shares);
            }
            Some(_) if self.bytes < limit / 4 && self.ending == 0 => self.shares = None,
            _ => {}
        }
    }

    /// Changes what a request holds.
    fn change(&mut self, id: usize, amount: usize) {
        let Some(request) = self.requests.get_mut(id) else {
            return;
        };
        let before = request.amount;
        if request.is_ending {
            request.amount = amount;
            self.ending = self.ending.saturating_sub(before) + amount;
            return;
        }
        self.unshare(id);
        if let Some(request) = self.requests.get_mut(id) {
            request.amount = amount;
        }
        self.share(id);
        self.bytes = self.bytes.saturating_sub(before) + amount;
    }

    /// Ends requests until the others are within the budget.
    fn make_space(&mut self, limit: usize) -> Ended {
        self.press(limit);
        let mut ended = Ended::default();
        while self.bytes > limit {
            let largest = self.shares.as_ref();
            let Some(id) = largest.and_then(|shares| shares.of_largest().next().copied()) else {
                break;
            };
            ended = ended.with(self.end(id));
        }
        ended
    }

    /// Ends a request.
    fn end(&mut self, id: usize) -> Ended {
        if self
            .requests
            .get_mut(id)
            .is_none_or(|request| request.is_ending)
        {
            return Ended::default();
        }
        self.unshare(id);
        let Some(request) = self.requests.get_mut(id) else {
            return Ended::default();
        };
        request.is_ending = true;
        self.bytes = self.bytes.saturating_sub(request.amount);
        self.ending += request.amount;
        if request.is_responding {
            request.cut.notify_one();
            Ended::connections(1)
        } else {
            request.ended.notify_one();
            Ended::requests(1)
        }
    }

    /// Lets a request that was to end go on with its response.
    fn revive(&mut self, id: usize) {
        let Some(request) = self.requests.get_mut(id) else {
            return;
        };
        request.is_responding = true;
        if std::mem::replace(&mut request.is_ending, false) {
            self.ending = self.ending.saturating_sub(request.amount);
            self.bytes += request.amount;
            self.share(id);
        }
    }

    fn remove(&mut self, id: usize) {
        self.change(id, 0);
        self.unshare(id);
        self.requests.remove(id);
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
        held.change(self.id, REQUEST_BYTES + bytes);
        let network = held
            .requests
            .get_mut(self.id)
            .map(|request| request.network);
        let ended = if network.is_some_and(|network| held.has_no_space(limit, network)) {
            held.end(self.id)
        } else {
            held.make_space(limit)
        };
        let request = held.requests.get_mut(self.id);
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
        held.revive(self.id);
        held.change(self.id, REQUEST_BYTES + bytes);
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
        held.remove(self.id);
        held.press(self.budget.limit);
    }
}

#[cfg(test)]
mod tests;
