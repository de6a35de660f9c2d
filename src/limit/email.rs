//! The budgets of an email, in their order: the known device's own, then that of the network with the
//! address, then the network's, then the address's, and at last the address's reserve (OA-1, OA-3).
//!
//! The budget of the address is so large that it takes many networks to exhaust it. What is left then
//! is the reserve, for networks that had no email for this address within a day. A known device
//! passes all of these while its own budget lasts, over all addresses, and that of the known devices of
//! its network; then it counts like any other.

use std::{net::IpAddr, time::Duration};

use super::{Mode, check, counters, hit, hit_network, network_counters};
use crate::{
    config::{Budget, Limits},
    error::InfraError,
    network::Network,
    secret::Hash,
    telemetry::metrics,
    ticket::{Counter, Payer, Tickets},
};

/// A network may have an email of the reserve if it had none for the address within this time.
const DAY_SECONDS: u64 = 86_400;

/// Which part of a domain's budget one network may spend, so that ten networks with invented addresses
/// do not exhaust that of a school: one in so many.
const DOMAIN_SHARE: u32 = 12;

/// How many requests that get no email a network may make, for each that may get one: they cost us
/// rows, and none of the emails that its neighbours may request.
const WITHHELD_SHARE: u32 = 3;

/// How many emails the known devices of a network may request, for each that the others may request.
const KNOWN_SHARE: u32 = 3;

/// What a known device may request beyond that, while its own budget lasts.
const DEVICE_RESERVE: Budget = Budget {
    count: 3,
    seconds: DAY_SECONDS,
};

#[derive(Debug)]
pub struct EmailRequest<'a> {
    /// The key of the address (E6).
    pub address: &'a Hash,
    /// The key of its domain, unless that is a large provider's.
    pub domain: Option<Hash>,
    pub caller: IpAddr,
    /// The device, if it is known for this address.
    pub known_device: Option<Hash>,
}

/// What the budgets say of a request for an email.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailBudget {
    /// An email is sent, by the budgets of the known device: it goes before others.
    KnownDevice,
    /// An email is sent.
    Allowed,
    /// No email goes to this address for now, and none before this time is over.
    Withheld(Duration),
    /// The network sent too many requests: 429, with the time of Retry-After.
    RateLimited(Duration),
}

/// Spends an email. Without a known device every request costs the same commands, whatever its address
/// and whatever they find.
pub async fn spend_email(
    tickets: &Tickets,
    request: &EmailRequest<'_>,
    limits: &Limits,
) -> Result<EmailBudget, InfraError> {
    let tickets = &tickets.charged_to(Payer::Network(request.caller));
    if let Some(device) = &request.known_device
        && let Some(allowed) = hit_known_device(tickets, request, device, limits).await?
    {
        return Ok(allowed);
    }
    let pair = pair_counters(tickets, request.caller, &pair_budgets(limits));
    let pair_wait = check(tickets, request.address, pair.clone(), Mode::Peek).await?;
    let may_send = pair_wait.is_none();
    if let Some(wait) = hit_request(tickets, request.caller, may_send, limits).await? {
        return Ok(EmailBudget::RateLimited(wait));
    }
    let domain_wait = hit_domain(tickets, request, may_send, limits).await?;
    let may_send = may_send && domain_wait.is_none();
    let all = [pair, counters("address", &limits.address)].concat();
    let wait = check(tickets, request.address, all, Mode::count_if(may_send)).await?;
    let from_reserve = may_send && wait.is_some();
    let reserve = reserve_counters(tickets, request.caller, limits);
    let mode = Mode::count_if(from_reserve);
    let reserve_wait = check(tickets, request.address, reserve, mode).await?;
    if may_send && (wait.is_none() || reserve_wait.is_none()) {
        return Ok(EmailBudget::Allowed);
    }
    metrics::limited("address");
    let soonest = wait.map(|wait| reserve_wait.map_or(wait, |reserve| reserve.min(wait)));
    Ok(EmailBudget::Withheld(
        soonest.max(domain_wait).unwrap_or_default(),
    ))
}

/// Counts an email to the known device: all that it requests, whatever the address, since anyone may sign
/// in with many addresses of a domain of their own. `None` if it counts as a new device.
///
/// What the known devices of one network request is bounded, too. Beyond it, a few emails a day of each
/// device are sent like those of a new one, so that a neighbour with many devices keeps no one out.
async fn hit_known_device(
    tickets: &Tickets,
    request: &EmailRequest<'_>,
    device: &Hash,
    limits: &Limits,
) -> Result<Option<EmailBudget>, InfraError> {
    if hit(tickets, "device", device, &limits.known_device)
        .await?
        .is_some()
    {
        return Ok(None);
    }
    let of_network: Vec<Budget> = limits
        .network
        .iter()
        .map(|budget| budget.times(KNOWN_SHARE))
        .collect();
    if hit_network(tickets, "known", request.caller, &of_network)
        .await?
        .is_none()
    {
        return Ok(Some(EmailBudget::KnownDevice));
    }
    let wait = hit(tickets, "device reserve", device, &[DEVICE_RESERVE]).await?;
    Ok(wait.is_none().then_some(EmailBudget::Allowed))
}

/// Counts an email to the domain, which may receive all that is sent to any of its addresses (OA-10).
/// Over its budget a network that had no email for the domain within a day passes, so that an attacker
/// with many networks does not keep all users of a school out. `Some` is how long to wait.
async fn hit_domain(
    tickets: &Tickets,
    request: &EmailRequest<'_>,
    may_send: bool,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    let Some(domain) = &request.domain else {
        return Ok(None);
    };
    let of_network = |budgets: &[Budget]| {
        network_counters(tickets, "domain", Network::of(request.caller), budgets)
    };
    // The emails of a day are counted in any case, for the reserve.
    let day = Budget {
        count: u32::MAX,
        seconds: DAY_SECONDS,
    };
    let share = limits.domain.iter().map(share_of_network).chain([day]);
    let of_caller = of_network(&share.collect::<Vec<_>>());
    let all = [counters("domain", &limits.domain), of_caller].concat();
    let wait = check(tickets, domain, all, Mode::count_if(may_send)).await?;
    let from_reserve = may_send && wait.is_some();
    let first_of_the_day = of_network(&[Budget {
        count: 1,
        seconds: DAY_SECONDS,
    }]);
    let mode = Mode::count_if(from_reserve);
    let reserve_wait = check(tickets, domain, first_of_the_day, mode).await?;
    if from_reserve && reserve_wait.is_none() {
        return Ok(None);
    }
    Ok(wait
        .filter(|_| may_send)
        .inspect(|_| metrics::limited("domain")))
}

fn share_of_network(of_domain: &Budget) -> Budget {
    Budget {
        count: of_domain.count.div_ceil(DOMAIN_SHARE),
        ..*of_domain
    }
}

/// Counts a request of the network. One that can get no email spends none of its neighbours': it has a
/// budget apart.
async fn hit_request(
    tickets: &Tickets,
    caller: IpAddr,
    may_send: bool,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    if may_send {
        return hit_network(tickets, "network", caller, &limits.network).await;
    }
    let share = |budget: &Budget| budget.times(WITHHELD_SHARE);
    let budgets: Vec<Budget> = limits.network.iter().map(share).collect();
    hit_network(tickets, "withheld", caller, &budgets).await
}

/// Returns the budgets of a network with an address. The emails of a day are counted in any case, for
/// the reserve.
fn pair_budgets(limits: &Limits) -> Vec<Budget> {
    let day = Budget {
        count: u32::MAX,
        seconds: DAY_SECONDS,
    };
    let configured = limits.network_address.iter().copied();
    configured.chain([day]).collect()
}

/// Returns the counters of the reserve: its own, and those that show whether the network had an email
/// for the address within a day.
fn reserve_counters(tickets: &Tickets, caller: IpAddr, limits: &Limits) -> Vec<Counter> {
    let first_of_the_day = [Budget {
        count: 1,
        seconds: DAY_SECONDS,
    }];
    let mut counters = counters("reserve", &limits.address_reserve);
    counters.extend(pair_counters(tickets, caller, &first_of_the_day));
    counters
}

/// Returns the counters of a network and of the prefixes around it, for the address that is the subject
/// of the check.
fn pair_counters(tickets: &Tickets, caller: IpAddr, budgets: &[Budget]) -> Vec<Counter> {
    network_counters(tickets, "pair", Network::of(caller), budgets)
}
