//! Budgets, counted in the ticket store so that all instances share them.
//!
//! Windows are fixed and run from the first hit; a refused hit is not counted. Each check is one command
//! to the store, for every caller and every result, so that neither time nor traffic distinguishes one
//! address from another (A2). While the store is away a check returns an `InfraError`: an email
//! must be refused then (A4), and other callers say what they do.
//!
//! A budget of a network holds for the wider prefixes around it as well, with their weaker share
//! (`crate::network`). `email` has the budgets of an email, in their order.

mod email;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use uuid::Uuid;

use crate::{
    config::{Budget, Limits},
    error::InfraError,
    network::{Network, Prefix},
    secret::Hash,
    telemetry::metrics,
    ticket::{Counter, Issue, NewValue, Payer, Tickets},
};

pub use email::{EmailBudget, EmailRequest, spend_email};

/// DE-7: a network may try as many codes of devices as this many sessions.
const SESSIONS_OF_NETWORK: u32 = 4;

/// What a check does beside returning how long to wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Count,
    /// The same command, but nothing is counted.
    Peek,
}

impl Mode {
    const fn count_if(counts: bool) -> Self {
        if counts { Self::Count } else { Self::Peek }
    }
}

/// Counts one event of a network and of the prefixes around it. `Some` is a refusal with 429 and the
/// time of Retry-After.
async fn hit_network(
    tickets: &Tickets,
    scope: &'static str,
    caller: IpAddr,
    budgets: &[Budget],
) -> Result<Option<Duration>, InfraError> {
    check_network(tickets, scope, caller, budgets, Mode::Count).await
}

async fn check_network(
    tickets: &Tickets,
    scope: &'static str,
    caller: IpAddr,
    budgets: &[Budget],
    mode: Mode,
) -> Result<Option<Duration>, InfraError> {
    let network = Network::of(caller);
    // All counters are in one slot of a Redis Cluster: that of the widest prefix.
    let widest = network.prefixes().next_back();
    let subject = Hash::of(&widest.map(Prefix::to_bytes).unwrap_or_default());
    let counters = network_counters(tickets, scope, network, budgets);
    let tickets = tickets.charged_to(Payer::Network(caller));
    let wait = check(&tickets, &subject, counters, mode).await?;
    Ok(wait.inspect(|_| metrics::limited(scope)))
}

/// Returns the counters of a network and of the prefixes around it, each with its share. The store does
/// not see the network.
fn network_counters(
    tickets: &Tickets,
    scope: &str,
    network: Network,
    budgets: &[Budget],
) -> Vec<Counter> {
    let of_prefix = |prefix: Prefix| {
        let share = |budget: &Budget| budget.times(prefix.weight);
        let shares: Vec<Budget> = budgets.iter().map(share).collect();
        let name = tickets.keyed_name(&[b"prefix", &prefix.to_bytes()]);
        counters(&format!("{scope} {name}"), &shares)
    };
    network.prefixes().flat_map(of_prefix).collect()
}

/// Who sends a request that stores an entry.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    pub caller: IpAddr,
    /// The device, if it signed in here before. It has a budget of its own, which no neighbour can
    /// spend; beyond that it counts like any other (OA-3).
    pub known_device: Option<&'a Hash>,
}

impl Sender<'_> {
    /// Returns the sender of a request whose cookies are not read.
    #[must_use]
    pub const fn unknown(caller: IpAddr) -> Self {
        Self {
            caller,
            known_device: None,
        }
    }
}

/// Counts a client request that waits for a sign-in. `Some` is a refusal with 429.
pub async fn authorize(
    tickets: &Tickets,
    sender: Sender<'_>,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    hit_stored(tickets, sender, ["authorize", "authorize device"], limits).await
}

/// Counts the start of a sign-in at an upstream provider, by the same budget: it stores an entry, too.
/// `Some` is a refusal with 429.
pub async fn upstream(
    tickets: &Tickets,
    sender: Sender<'_>,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    hit_stored(tickets, sender, ["upstream", "upstream device"], limits).await
}

/// Counts a form of a client's site that is stored until our own GET brings the cookies. `Some` is how
/// long none of this network is stored.
pub async fn client_post(
    tickets: &Tickets,
    caller: IpAddr,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    hit_network(tickets, "posted", caller, &limits.authorize).await
}

/// Counts a request that a public client pushes, by its network: anyone can name such a client.
/// `Some` is a refusal with 429.
pub async fn pushed(
    tickets: &Tickets,
    caller: IpAddr,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    hit_network(tickets, "pushed network", caller, &limits.authorize).await
}

/// Counts a sign-in that a device starts, by its network. `Some` is a refusal with 429.
pub async fn device_start(
    tickets: &Tickets,
    caller: IpAddr,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    hit_network(tickets, "device", caller, &limits.device).await
}

/// Counts a code of a device that a session tries, right or wrong, and then for its network. `Some` is a
/// refusal with 429.
pub async fn device_code(
    tickets: &Tickets,
    caller: IpAddr,
    session: Uuid,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    let subject = Hash::of(session.as_bytes());
    let of_session = tickets.charged_to(Payer::Session(session));
    let budgets = &limits.device_codes;
    let wait = hit(&of_session, "device code", &subject, budgets).await?;
    if wait.is_some() {
        return Ok(wait);
    }
    let of_network: Vec<Budget> = budgets
        .iter()
        .map(|budget| budget.times(SESSIONS_OF_NETWORK))
        .collect();
    hit_network(tickets, "device code network", caller, &of_network).await
}

/// Returns how long `payer` has to wait until it may show another proof of possession at a client. Counts
/// nothing: see [`count_proof`].
pub async fn peek_proof(
    tickets: &Tickets,
    payer: Payer,
    client_id: &str,
) -> Result<Option<Duration>, InfraError> {
    proof(tickets, payer, client_id, Mode::Peek).await
}

/// Counts a proof of possession that was shown for the first time. A repeated one is not counted: a thief
/// who captured it must not spend the budget of its maker.
pub async fn count_proof(
    tickets: &Tickets,
    payer: Payer,
    client_id: &str,
) -> Result<(), InfraError> {
    proof(tickets, payer, client_id, Mode::Count).await?;
    Ok(())
}

/// The identifier of each proof is stored for up to 330 s, and never dropped: the counts keep what one
/// payer stores small beside the space of the store. A client has the proofs of all its users.
async fn proof(
    tickets: &Tickets,
    payer: Payer,
    client_id: &str,
    mode: Mode,
) -> Result<Option<Duration>, InfraError> {
    let per_minute = |count| [Budget { count, seconds: 60 }];
    let (id, count) = match &payer {
        Payer::Network(caller) => {
            let budgets = per_minute(600);
            return check_network(tickets, "proof network", *caller, &budgets, mode).await;
        }
        Payer::User(id) | Payer::Session(id) => (id.as_bytes().as_slice(), 100),
        Payer::Client(id) => (id.as_bytes().as_slice(), 6_000),
    };
    let subject = Hash::of(&[id, client_id.as_bytes()].concat());
    let tickets = tickets.charged_to(payer);
    let counters = counters("proof", &per_minute(count));
    let wait = check(&tickets, &subject, counters, mode).await?;
    Ok(wait.inspect(|_| metrics::limited("proof")))
}

/// Counts a refusal of a grant's key that has a row in the audit log. `Some` is how long further ones
/// have none: the refusal ends nothing, so that it may be repeated without end.
pub async fn key_refusal(
    tickets: &Tickets,
    caller: IpAddr,
    grant: Uuid,
) -> Result<Option<Duration>, InfraError> {
    let few = [Budget {
        count: 5,
        seconds: 3600,
    }];
    let subject = Hash::of(grant.as_bytes());
    let tickets = tickets.charged_to(Payer::Network(caller));
    hit(&tickets, "key refusal", &subject, &few).await
}

/// Counts a request that stores an entry: with a known device by that, and else by its network. The
/// two have a scope each.
async fn hit_stored(
    tickets: &Tickets,
    sender: Sender<'_>,
    [of_network, of_device]: [&'static str; 2],
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    if let Some(device) = sender.known_device
        && hit(tickets, of_device, device, &limits.authorize)
            .await?
            .is_none()
    {
        return Ok(None);
    }
    hit_network(tickets, of_network, sender.caller, &limits.authorize).await
}

/// Counts a refusal of a signed-in user. Over the budget it is logged and not recorded in the audit log.
pub async fn upstream_refusal(
    tickets: &Tickets,
    caller: IpAddr,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    hit_network(tickets, "upstream refusal", caller, &limits.authorize).await
}

/// Counts a refused response of a provider that belongs to no user. Anyone can begin a flow and bring
/// an invented error, so few of a network are recorded in the audit log (OA-8).
pub async fn strangers_refusal(
    tickets: &Tickets,
    caller: IpAddr,
) -> Result<Option<Duration>, InfraError> {
    let few = [Budget {
        count: 20,
        seconds: 3600,
    }];
    hit_network(tickets, "strangers refusal", caller, &few).await
}

/// Counts one event of `subject` against all `budgets` if none is exhausted. Otherwise counts nothing and
/// returns the time until none is. `scope` separates the counts of rules. Without budgets there is no
/// limit.
pub async fn hit(
    tickets: &Tickets,
    scope: &'static str,
    subject: &Hash,
    budgets: &[Budget],
) -> Result<Option<Duration>, InfraError> {
    let wait = check(tickets, subject, counters(scope, budgets), Mode::Count).await?;
    Ok(wait.inspect(|_| metrics::limited(scope)))
}

/// Stores a ticket and counts it for `subject` as [`hit`] does, by one command. If a budget is exhausted,
/// does neither.
pub async fn issue(
    tickets: &Tickets,
    scope: &'static str,
    subject: &Hash,
    budgets: &[Budget],
    new: NewValue<'_>,
) -> Result<Issue, InfraError> {
    let counters = counters(scope, budgets);
    let issue = tickets.issue_within(new, subject, &counters).await?;
    if let Issue::Limited(_) = issue {
        metrics::limited(scope);
    }
    Ok(issue)
}

/// Returns what [`hit`] would, without counting.
pub async fn peek(
    tickets: &Tickets,
    scope: &'static str,
    subject: &Hash,
    budgets: &[Budget],
) -> Result<Option<Duration>, InfraError> {
    let wait = check(tickets, subject, counters(scope, budgets), Mode::Peek).await?;
    Ok(wait.inspect(|_| metrics::limited(scope)))
}

/// Raises the counters if none is exhausted. A peek adds a counter with the limit 0: beside it none is
/// raised, and a wait longer than its window comes from another one.
async fn check(
    tickets: &Tickets,
    subject: &Hash,
    mut counters: Vec<Counter>,
    mode: Mode,
) -> Result<Option<Duration>, InfraError> {
    let blocker = Duration::from_millis(1);
    if mode == Mode::Peek {
        counters.push(Counter {
            name: "look".to_owned(),
            limit: 0,
            window: blocker,
        });
    }
    let wait = tickets.hit(subject, &counters).await?;
    Ok(wait.filter(|wait| mode == Mode::Count || *wait > blocker))
}

/// Returns one counter for each window: of two budgets over the same time the smaller holds. A window
/// keeps its count when a reload changes its limit.
fn counters(scope: &str, budgets: &[Budget]) -> Vec<Counter> {
    let mut smallest = BTreeMap::new();
    for budget in budgets {
        let limit: &mut u32 = smallest.entry(budget.seconds).or_insert(budget.count);
        *limit = budget.count.min(*limit);
    }
    let counter = |(seconds, limit)| Counter {
        name: format!("{scope} {seconds}"),
        limit,
        window: Duration::from_secs(seconds),
    };
    smallest.into_iter().map(counter).collect()
}
