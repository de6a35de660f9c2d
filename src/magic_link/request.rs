//! Requests for a sign-in email. Each does the same work for every address: whether a user has the
//! address is looked up later, by the worker that sends (A1, A2), so that neither response nor time
//! reveals it.

use std::time::Duration;

use uuid::Uuid;

use crate::{
    app::App,
    audit::{Event, Kind},
    config::Reloadable,
    db::Tx,
    error::InfraError,
    limit,
    login::{
        device,
        flow::{self, Flow, FlowHolder, FlowState},
    },
    mail::outbox::{self, EmailKind},
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
    /// The hash of the device cookie.
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
    if let Some(wait) = limit::network(&app.tickets, request.caller.ip, &config.limits).await? {
        return Ok(StartOutcome::RateLimited(wait));
    }
    let key = request.address.key(&app.macs.address);
    let within_budget = spend_budget(app, config, request.device, &key).await?;
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
    };
    let flow = flow::open(&tx, new, config).await?;
    enqueue_email(&tx, &flow, within_budget, config).await?;
    record(&tx, &flow, within_budget, request.caller).await?;
    tx.commit().await?;
    app.outbox.notify_one();
    Ok(StartOutcome::Accepted(Box::new(flow)))
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
    if flow.next_send_at > now || !has_sends_left(&flow, config) {
        return Ok(ResendOutcome::CoolingDown(Box::new(flow)));
    }
    if let Some(wait) = limit::network(&app.tickets, request.caller.ip, &config.limits).await? {
        return Ok(ResendOutcome::RateLimited(wait));
    }
    let key = address_key(&flow)?;
    let within_budget = spend_budget(app, config, request.device, &key).await?;
    let tx = app.db.begin().await?;
    if !flow::count_send(&tx, &flow, config).await? {
        return Ok(ResendOutcome::CoolingDown(Box::new(flow)));
    }
    let Some(flow) = flow::find(tx.conn(), flow.id).await? else {
        return Ok(ResendOutcome::UnknownFlow);
    };
    enqueue_email(&tx, &flow, within_budget, config).await?;
    record(&tx, &flow, within_budget, request.caller).await?;
    tx.commit().await?;
    app.outbox.notify_one();
    Ok(ResendOutcome::Accepted(Box::new(flow)))
}

/// Returns whether the flow may have another email.
#[must_use]
pub fn has_sends_left(flow: &Flow, config: &Reloadable) -> bool {
    u32::try_from(flow.sends).is_ok_and(|sends| sends < config.limits.sends_per_flow)
}

/// Returns the key of the flow's address in counters.
pub(super) fn address_key(flow: &Flow) -> Result<Hash, InfraError> {
    Hash::from_column(&flow.address_key)
        .ok_or_else(|| InfraError::internal("an address key is not 32 bytes"))
}

/// Spends one email of a budget: a known device's own (A6), else the address's (A5). Every caller costs
/// one look-up and one command to the store.
async fn spend_budget(
    app: &App,
    config: &Reloadable,
    device: Option<Hash>,
    key: &Hash,
) -> Result<bool, InfraError> {
    let now = app.clock().now();
    let is_known = device::is_known(app.db.read(), device.as_ref(), key, now).await?;
    match device.filter(|_| is_known) {
        Some(device) => limit::known_device(&app.tickets, &device, key, &config.limits).await,
        None => limit::address(&app.tickets, key, &config.limits).await,
    }
}

async fn enqueue_email(
    tx: &Tx,
    flow: &Flow,
    within_budget: bool,
    config: &Reloadable,
) -> Result<(), InfraError> {
    let email = outbox::NewEmail {
        kind: EmailKind::SignIn,
        flow_id: Some(flow.id),
        canonical: flow.canonical.clone(),
        locale: flow.locale.clone(),
        due_at: tx.now,
        // An email that is accepted later would not have its full lifetime (G3).
        give_up_at: flow.expires_at - config.link_lifetime(),
        about: None,
        withheld: !within_budget,
    };
    outbox::enqueue(tx, email).await
}

async fn record(
    tx: &Tx,
    flow: &Flow,
    within_budget: bool,
    caller: &Caller,
) -> Result<(), InfraError> {
    let event = if within_budget {
        Event::new(Kind::MagicLinkRequested)
    } else {
        Event::new(Kind::MagicLinkRefused).reason("address_budget")
    };
    event
        .flow(flow.id)
        .client(flow.client_id.as_deref())
        .address(&flow.address_key)
        .caller(&caller.network, &caller.request_id)
        .record(tx)
        .await
}
