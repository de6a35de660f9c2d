//! Asking for a mail. The same work for every address: whether anybody has it is found out later, by the worker that
//! sends (A1, A2), so that neither body nor time tells.

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

/// Who asks for a mail, and for what.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Who begins the flow.
    pub holder: FlowHolder,
    /// To whom.
    pub address: &'a Address,
    /// The client that asked, if any.
    pub client_id: Option<&'a str>,
    /// Language of the mail.
    pub locale: &'a str,
    /// Hash of the device cookie.
    pub device: Option<Hash>,
    /// The person wants to stay signed in.
    pub remembered: bool,
    /// What to continue with.
    pub destination: Option<String>,
    /// The account at a provider that waits for this proof.
    pub link: Option<String>,
    /// Where from.
    pub caller: &'a Caller,
}

/// How it ended.
#[derive(Debug)]
pub enum Asked {
    /// A mail is on its way, or silently withheld: nobody can tell.
    Accepted(Box<Flow>),
    /// Too many requests from this network, alike for every address (A1): try again after this.
    TooMany(Duration),
    /// The flow's own cool-down is not over, or it has had all its mails (A9).
    Wait(Box<Flow>),
    /// No such flow of this holder, or it is over.
    NoFlow,
}

/// Opens a flow and puts its mail into the outbox, in one transaction (G1).
///
/// # Errors
/// If the database or the ticket store is away: then nothing is sent, for any address (A4).
pub async fn request(app: &App, config: &Reloadable, ask: Ask<'_>) -> Result<Asked, InfraError> {
    if let Some(wait) = limit::network(&app.tickets, ask.caller.ip, &config.limits).await? {
        return Ok(Asked::TooMany(wait));
    }
    let key = ask.address.key(&app.macs.address);
    let allowed = within_budget(app, config, ask.device, &key).await?;
    let tx = app.db.begin().await?;
    let open = flow::NewFlow {
        holder: &ask.holder,
        client_id: ask.client_id,
        canonical: ask.address.canonical(),
        address_key: &key,
        locale: ask.locale,
        device: &ask.caller.device,
        remembered: ask.remembered,
        destination: ask.destination,
        link: ask.link,
    };
    let flow = flow::open(&tx, open, config).await?;
    put(&tx, &flow, allowed, ask.caller, config).await?;
    tx.commit().await?;
    app.outbox.notify_one();
    Ok(Asked::Accepted(Box::new(flow)))
}

/// Another mail within a flow (A5): earlier ones keep working (B5).
///
/// # Errors
/// As [`request`].
pub async fn resend(
    app: &App,
    config: &Reloadable,
    id: Uuid,
    holder: &FlowHolder,
    device: Option<Hash>,
    caller: &Caller,
) -> Result<Asked, InfraError> {
    let now = app.clock().now();
    let found = flow::find_held(app.db.read(), id, holder).await?;
    let Some(flow) = found.filter(|flow| flow.state == FlowState::Open && flow.expires_at > now)
    else {
        return Ok(Asked::NoFlow);
    };
    if flow.next_send_at > now || !has_sends_left(&flow, config) {
        return Ok(Asked::Wait(Box::new(flow)));
    }
    if let Some(wait) = limit::network(&app.tickets, caller.ip, &config.limits).await? {
        return Ok(Asked::TooMany(wait));
    }
    let key = Hash::from_column(&flow.address_key)
        .ok_or_else(|| InfraError::internal("an address key is not 32 bytes"))?;
    let allowed = within_budget(app, config, device, &key).await?;
    let tx = app.db.begin().await?;
    if !flow::count_send(&tx, &flow, config).await? {
        return Ok(Asked::Wait(Box::new(flow)));
    }
    let Some(flow) = flow::find(tx.conn(), id).await? else {
        return Ok(Asked::NoFlow);
    };
    put(&tx, &flow, allowed, caller, config).await?;
    tx.commit().await?;
    app.outbox.notify_one();
    Ok(Asked::Accepted(Box::new(flow)))
}

/// Whether the flow may have another mail.
#[must_use]
pub fn has_sends_left(flow: &Flow, config: &Reloadable) -> bool {
    u32::try_from(flow.sends).is_ok_and(|sends| sends < config.limits.sends_per_flow)
}

/// One look-up and one store command, whoever asks: a known device spends its own quota (A6), anybody else the
/// address's (A5).
async fn within_budget(
    app: &App,
    config: &Reloadable,
    device: Option<Hash>,
    key: &Hash,
) -> Result<bool, InfraError> {
    let known = device::is_known(app.db.read(), device.as_ref(), key, app.clock().now()).await?;
    match device.filter(|_| known) {
        Some(device) => limit::known_device(&app.tickets, &device, key, &config.limits).await,
        None => limit::address(&app.tickets, key, &config.limits).await,
    }
}

async fn put(
    tx: &Tx,
    flow: &Flow,
    allowed: bool,
    caller: &Caller,
    config: &Reloadable,
) -> Result<(), InfraError> {
    let mail = outbox::NewEmail {
        kind: EmailKind::SignIn,
        flow_id: Some(flow.id),
        canonical: flow.canonical.clone(),
        locale: flow.locale.clone(),
        due_at: tx.now,
        // Later, an accepted mail would not have its full life (G3).
        give_up_at: flow.expires_at - config.link_lifetime(),
        about: None,
        withheld: !allowed,
    };
    outbox::enqueue(tx, mail).await?;
    let event = Event::new(if allowed {
        Kind::MagicLinkRequested
    } else {
        Kind::MagicLinkRefused
    })
    .flow(flow.id)
    .client(flow.client_id.as_deref())
    .address(&flow.address_key)
    .caller(&caller.network, &caller.request_id);
    let event = if allowed {
        event
    } else {
        event.reason("address_budget")
    };
    event.record(tx).await
}
