//! What is kept of a device that waits for its user: two tickets and no row.
//!
//! `device` holds the request under the hash of the device code, for a minute longer than the code is good,
//! so that a late poll learns that it has expired. `user-code` leads there from the keyed hash of the user
//! code. A decision replaces the request as long as it has the version that the user saw, so that of two
//! decisions one holds (DE-6). A loss of the ticket store ends every wait; devices start again (DE-7).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::user_code::UserCode;
use crate::{
    app::App,
    clock::Time,
    config::ClientAuth,
    error::InfraError,
    limit,
    oauth::{client_auth::TokenRequest, error::EndpointError, grant_check::SignIn},
    secret::{Hash, Plain},
    ticket::{Issue, NewValue, Payer, TicketKind, Tickets, Version},
};

/// How long the codes are good.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);

/// How long after that a poll learns that they have expired (DE-5).
const EXPIRED: Duration = Duration::from_secs(60);

/// How often a user code is drawn that no other device shows.
const DRAWS: usize = 8;

/// What a device asks for, and what its user decided.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DeviceRequest {
    pub(crate) client_id: String,
    /// As far as the client may have it.
    pub(crate) scope: String,
    /// The resources that the request named, separated by spaces.
    pub(crate) resources: Option<String>,
    /// The id that the grant will have.
    pub(crate) grant_id: Uuid,
    pub(crate) started_at: Time,
    pub(crate) expires_at: Time,
    /// The network that the device asked from, as text.
    pub(crate) network: String,
    pub(crate) decision: Decision,
}

/// What the user decided.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decision {
    Pending,
    Approved { sign_in: SignIn },
    Denied,
}

/// The codes of a request that was stored.
#[derive(Debug)]
pub(super) struct Codes {
    pub(super) device_code: Plain,
    pub(super) user_code: UserCode,
}

/// A request that waits for a decision.
#[derive(Debug)]
pub(super) struct OpenRequest {
    pub(super) request: DeviceRequest,
    handle: Hash,
    version: Version,
}

fn read(value: &[u8]) -> Option<DeviceRequest> {
    // An instance of another version may have written it during a rolling upgrade.
    serde_json::from_slice(value).ok()
}

/// Stores a request within the budgets of its network and its client. A client that has authenticated pays
/// for its own requests; in the name of a public one anyone may start, so that the network pays.
///
/// # Errors
/// 429 over a budget; 503 if the store is away or full.
pub(super) async fn store(
    request: &TokenRequest<'_>,
    device: &DeviceRequest,
) -> Result<Codes, EndpointError> {
    let (app, client, limits) = (request.app, request.client, &request.config.limits);
    let ip = request.caller.ip;
    if let Some(wait) = limit::device_start(&app.tickets, ip, limits).await? {
        return Err(EndpointError::TooManyRequests(wait));
    }
    let client_key = Hash::of(client.client_id.as_bytes());
    // The name of a public client proves nothing: a budget of its own would be spent by strangers.
    let (payer, budgets) = match client.token_endpoint_auth_method {
        ClientAuth::None => (Payer::Network(ip), &[][..]),
        _ => (Payer::Client(client_key), &limits.device_client[..]),
    };
    let tickets = app.tickets.charged_to(payer);
    let device_code = Plain::generate();
    let handle = device_code.hash();
    let value = serde_json::to_vec(device).map_err(InfraError::internal)?;
    let new = NewValue {
        kind: TicketKind::Device,
        handle: &handle,
        value: &value,
        ttl: LIFETIME + EXPIRED,
    };
    match limit::issue(&tickets, "device client", &client_key, budgets, new).await? {
        Issue::Issued => {}
        Issue::Limited(wait) => return Err(EndpointError::TooManyRequests(wait)),
        Issue::Taken => return Err(InfraError::internal("a fresh device code exists").into()),
    }
    let user_code = draw_user_code(app, &tickets, &handle).await?;
    Ok(Codes {
        device_code,
        user_code,
    })
}

/// Stores a user code that no other device shows now.
async fn draw_user_code(
    app: &App,
    tickets: &Tickets,
    device: &Hash,
) -> Result<UserCode, InfraError> {
    for _ in 0..DRAWS {
        let code = UserCode::generate();
        let handle = code.handle(&app.macs.user_code);
        let (kind, value) = (TicketKind::UserCode, device.to_column());
        if tickets.issue(kind, &handle, &value, LIFETIME).await? {
            return Ok(code);
        }
    }
    Err(InfraError::internal("no user code is free"))
}

/// Returns the request whose device shows a code, while it waits for a decision.
pub(super) async fn find_open(
    app: &App,
    code: &UserCode,
) -> Result<Option<OpenRequest>, InfraError> {
    let handle = code.handle(&app.macs.user_code);
    let value = app.tickets.peek(TicketKind::UserCode, &handle).await?;
    let Some(handle) = value.as_deref().and_then(Hash::from_column) else {
        return Ok(None);
    };
    let found = app
        .tickets
        .peek_version(TicketKind::Device, &handle)
        .await?;
    let Some((value, version)) = found else {
        return Ok(None);
    };
    let now = app.clock().now();
    let is_open = |request: &DeviceRequest| {
        matches!(request.decision, Decision::Pending) && now < request.expires_at
    };
    let request = read(&value).filter(is_open);
    Ok(request.map(|request| OpenRequest {
        request,
        handle,
        version,
    }))
}

/// Stores a decision. Returns `false` if another one was stored before, or the request is over.
pub(super) async fn decide(
    tickets: &Tickets,
    open: &OpenRequest,
    decision: Decision,
) -> Result<bool, InfraError> {
    let decided = DeviceRequest {
        decision,
        ..open.request.clone()
    };
    let value = serde_json::to_vec(&decided).map_err(InfraError::internal)?;
    tickets
        .replace_if(TicketKind::Device, &open.handle, &open.version, &value)
        .await
}

/// Returns the request under a device code.
pub(crate) async fn find(
    tickets: &Tickets,
    device: &Hash,
) -> Result<Option<DeviceRequest>, InfraError> {
    let value = tickets.peek(TicketKind::Device, device).await?;
    Ok(value.and_then(|value| read(&value)))
}
