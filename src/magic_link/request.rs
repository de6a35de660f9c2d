//! Requests for a sign-in email. Each does the same work for every address: whether a user has the
//! address is looked up later, by the worker that sends (A1, A2), so that neither response nor time
//! reveals it.

use std::time::Duration;

use uuid::Uuid;

use super::{composer::SignInDraft, refusal::RequestRefusal, token};
use crate::{
    app::App,
    audit::{Event, Kind},
    clock::Time,
    config::Reloadable,
    db::Tx,
    error::InfraError,
    limit::{self, EmailBudget, EmailRequest},
    login::{
        device,
        flow::{self, Flow, FlowHolder, FlowState},
    },
    mail::outbox::{self, EmailKind, NewEmail},
    secret::Hash,
    user::Address,
    web::caller::Caller,
};

/// A request that starts a flow.
#[derive(Debug)]
pub struct SignInRequest<'a> {
    pub holder: FlowHolder,
    pub address: &'a Address,
    /// The client that asks for the sign-in, if any.
    pub client_id: Option<&'a str>,
    /// The locale of the email.
    pub locale: &'a str,
    /// The hash of the device cookie, or of an app's device secret.
    pub device: Option<Hash>,
    /// The user asked to stay signed in.
    pub remembered: bool,
    /// The client's request to continue with, as JSON.
    pub destination: Option<String>,
    /// The pending link that waits for this verification, as JSON.
    pub link: Option<String>,
    pub caller: &'a Caller,
}

/// A request for another email within a flow.
#[derive(Debug)]
pub struct ResendRequest<'a> {
    pub flow_id: Uuid,
    pub holder: FlowHolder,
    /// The hash of the device cookie.
    pub device: Option<Hash>,
    pub caller: &'a Caller,
}

/// What became of a request that starts a flow.
#[derive(Debug)]
pub enum StartOutcome {
    /// An email is on its way, or silently withheld: the response does not reveal which.
    Accepted(Box<Flow>),
    /// The network sent too many requests, for whatever address (A1). Try again after this.
    RateLimited(Duration),
}

/// What became of a request for another email.
#[derive(Debug)]
pub enum ResendOutcome {
    /// As for [`StartOutcome`].
    Accepted(Box<Flow>),
    /// As for [`StartOutcome`].
    RateLimited(Duration),
    /// The flow's cool-down is not over, or it has had all its emails (A9).
    CoolingDown(Box<Flow>),
    /// The holder has no such flow, or the flow is over.
    UnknownFlow,
}

/// Starts a flow and queues its email, in one transaction (G1). If the database or the ticket store is
/// unavailable, nothing is sent to any address (A4).
pub async fn start(
    app: &App,
    config: &Reloadable,
    request: SignInRequest<'_>,
) -> Result<StartOutcome, InfraError> {
    if let Some(flow) = find_same(app, config, &request).await? {
        return continue_flow(app, config, *flow, &request).await;
    }
    let key = request.address.key(&app.macs.address);
    let spending = spend_budget(app, request.address, &key, request.device, request.caller);
    let budget = match spending.await? {
        Spending::Spent(budget) => budget,
        Spending::RateLimited(wait) => return Ok(StartOutcome::RateLimited(wait)),
    };
    let tx = app.db.begin().await?;
    let new = flow::NewFlow {
        holder: &request.holder,
        client_id: request.client_id,
        canonical: request.address.canonical(),
        address_key: &key,
        locale: request.locale,
        device: &request.caller.device,
        remembered: request.remembered,
        destination: request.destination,
        link: request.link,
        withheld_for: budget.withheld_for,
    };
    let flow = flow::open(&tx, new, config).await?;
    let email = new_email(tx.now, &flow, budget, config, request.caller);
    record(&tx, &flow, request.caller).await?;
    commit_with_email(app, tx, &flow, email).await?;
    Ok(StartOutcome::Accepted(Box::new(flow)))
}

/// Returns the open flow of this browser for the same address and the same client's request. To ask
/// again, by Back or a second click, leads there, so that the code of each email is good in the page
/// that waits (OC-8). A flow that can neither take a code nor send an email is none.
async fn find_same(
    app: &App,
    config: &Reloadable,
    request: &SignInRequest<'_>,
) -> Result<Option<Box<Flow>>, InfraError> {
    let FlowHolder::Browser(browser) = request.holder else {
        return Ok(None);
    };
    let now = app.clock().now();
    let canonical = request.address.canonical();
    let open = flow::list_open(app.db.read(), browser, canonical, now).await?;
    let is_usable = |flow: &Flow| {
        let has_tries = u32::try_from(flow.tries).is_ok_and(|n| n < config.limits.tries_per_flow);
        has_tries && (flow.next_send_at > now || has_sends_left(flow, config))
    };
    let is_same = |flow: &Flow| {
        flow.remembered == request.remembered
            && origin_in(flow.destination.as_deref()) == origin_in(request.destination.as_deref())
            && origin_in(flow.link.as_deref()) == origin_in(request.link.as_deref())
    };
    let same = |flow: &Flow| is_usable(flow) && is_same(flow);
    Ok(open.into_iter().find(same).map(Box::new))
}

/// Returns the origin of a client's request or pending link in a flow: their copies share it.
/// Nothing is the same as nothing.
fn origin_in(json: Option<&str>) -> Option<serde_json::Value> {
    let mut value: serde_json::Value = serde_json::from_str(json?).ok()?;
    value.get_mut("origin").map(serde_json::Value::take)
}

/// Leads to a flow that waits already, and sends another email in it if it may.
async fn continue_flow(
    app: &App,
    config: &Reloadable,
    flow: Flow,
    request: &SignInRequest<'_>,
) -> Result<StartOutcome, InfraError> {
    if flow.next_send_at > app.clock().now() {
        return Ok(StartOutcome::Accepted(Box::new(flow)));
    }
    let again = ResendRequest {
        flow_id: flow.id,
        holder: request.holder.clone(),
        device: request.device,
        caller: request.caller,
    };
    Ok(match resend(app, config, again).await? {
        ResendOutcome::Accepted(flow) | ResendOutcome::CoolingDown(flow) => {
            StartOutcome::Accepted(flow)
        }
        ResendOutcome::RateLimited(wait) => StartOutcome::RateLimited(wait),
        // It was used a moment ago: its page leads on.
        ResendOutcome::UnknownFlow => StartOutcome::Accepted(Box::new(flow)),
    })
}

/// Queues another email within a flow (A5). Earlier emails keep working (B5).
pub async fn resend(
    app: &App,
    config: &Reloadable,
    request: ResendRequest<'_>,
) -> Result<ResendOutcome, InfraError> {
    let now = app.clock().now();
    let found = flow::find_held(app.db.read(), request.flow_id, &request.holder).await?;
    let Some(flow) = found.filter(|flow| flow.state == FlowState::Open && flow.expires_at > now)
    else {
        return Ok(ResendOutcome::UnknownFlow);
    };
    if flow::was_sent_just_now(&flow, config, now) {
        return Ok(ResendOutcome::Accepted(Box::new(flow)));
    }
    if flow.next_send_at > now || !has_sends_left(&flow, config) {
        return Ok(ResendOutcome::CoolingDown(Box::new(flow)));
    }
    let key = flow::address_key(&flow)?;
    let address = Address::from_column(&flow.canonical);
    let spending = spend_budget(app, &address, &key, request.device, request.caller);
    let budget = match spending.await? {
        Spending::Spent(budget) => budget,
        Spending::RateLimited(wait) => return Ok(ResendOutcome::RateLimited(wait)),
    };
    let tx = app.db.begin().await?;
    if !flow::count_send(&tx, &flow, budget.withheld_for, config).await? {
        let flow = flow::find(tx.conn(), flow.id).await?.unwrap_or(flow);
        return Ok(match flow::was_sent_just_now(&flow, config, tx.now) {
            true => ResendOutcome::Accepted(Box::new(flow)),
            false => ResendOutcome::CoolingDown(Box::new(flow)),
        });
    }
    let Some(flow) = flow::find(tx.conn(), flow.id).await? else {
        return Ok(ResendOutcome::UnknownFlow);
    };
    let email = new_email(tx.now, &flow, budget, config, request.caller);
    record(&tx, &flow, request.caller).await?;
    commit_with_email(app, tx, &flow, email).await?;
    Ok(ResendOutcome::Accepted(Box::new(flow)))
}

/// Returns whether the flow may have another email.
#[must_use]
pub fn has_sends_left(flow: &Flow, config: &Reloadable) -> bool {
    u32::try_from(flow.sends).is_ok_and(|sends| sends < config.limits.sends_per_flow)
}

/// What the budgets say of an email, and whether a known device spent its own.
#[derive(Clone, Copy)]
struct SpentBudget {
    withheld_for: Option<Duration>,
    is_known_device: bool,
}

/// The result of spending one email.
enum Spending {
    Spent(SpentBudget),
    /// The network sent too many requests.
    RateLimited(Duration),
}

/// Spends one email of the budgets. The device is looked up in any case.
async fn spend_budget(
    app: &App,
    address: &Address,
    key: &Hash,
    device: Option<Hash>,
    caller: &Caller,
) -> Result<Spending, InfraError> {
    let now = app.clock().now();
    let is_known_device = device::is_known(app.db.read(), device.as_ref(), key, now).await?;
    let request = EmailRequest {
        address: key,
        domain: address.domain_key(&app.macs.address),
        caller: caller.ip,
        known_device: device.filter(|_| is_known_device),
    };
    let limits = &app.config.get().limits;
    let budget = limit::spend_email(&app.tickets, &request, limits).await?;
    let withheld_for = match budget {
        EmailBudget::KnownDevice | EmailBudget::Allowed => None,
        EmailBudget::Withheld(wait) => Some(wait),
        EmailBudget::RateLimited(wait) => return Ok(Spending::RateLimited(wait)),
    };
    Ok(Spending::Spent(SpentBudget {
        withheld_for,
        // A device beyond its budgets has no precedence either.
        is_known_device: budget == EmailBudget::KnownDevice,
    }))
}

fn new_email(
    now: Time,
    flow: &Flow,
    budget: SpentBudget,
    config: &Reloadable,
    caller: &Caller,
) -> NewEmail {
    NewEmail {
        kind: EmailKind::SignIn,
        flow_id: Some(flow.id),
        canonical: flow.canonical.clone(),
        locale: flow.locale.clone(),
        due_at: now,
        // An email that is accepted later would not have its full lifetime (G3).
        give_up_at: flow.expires_at - config.link_lifetime(),
        about: None,
        withheld: budget.withheld_for.is_some(),
        known_device: budget.is_known_device,
        network: caller.network.clone(),
    }
}

/// Queues the email of a flow and commits. An email for which the worker has a slot is handed to it,
/// with its secrets; any other is composed when its turn comes.
async fn commit_with_email(
    app: &App,
    tx: Tx,
    flow: &Flow,
    email: NewEmail,
) -> Result<(), InfraError> {
    let Some(reservation) = app.outbox.reserve(&email, tx.now) else {
        outbox::enqueue(&tx, email).await?;
        tx.commit().await?;
        app.outbox.notify_one();
        return Ok(());
    };
    let Some((row, reservation)) = outbox::enqueue_reserved(&tx, email, reservation).await? else {
        let digits = app.config.get().magic_link.code_digits;
        token::create_void(&tx, flow.id, digits, &app.macs.code).await?;
        return tx.commit().await;
    };
    let draft = SignInDraft::store(app, &tx, flow).await?;
    tx.commit().await?;
    reservation.hand_over(row, Box::new(draft));
    Ok(())
}

async fn record(tx: &Tx, flow: &Flow, caller: &Caller) -> Result<(), InfraError> {
    let event = if flow.withheld_until.is_none() {
        Event::new(Kind::MagicLinkRequested)
    } else {
        Event::new(Kind::MagicLinkRefused).reason(RequestRefusal::AddressBudget)
    };
    event
        .flow(flow.id)
        .client(flow.client_id.as_deref())
        .address(&flow.address_key)
        .caller(&caller.network, &caller.request_id)
        .record(tx)
        .await
}
