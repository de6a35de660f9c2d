//! The device grant at the token endpoint (RFC 8628 §3.4, §3.5): a device polls until its user has decided.
//!
//! A poll before the decision asks the ticket store alone. Once the user has allowed it, the device code is
//! claimed and its grant stored as those of an authorization code are: of a hundred polls one gets the tokens,
//! a claimed code is given back while the database is away, and one that comes back later ends the grant.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::first_tokens::{ClaimedGrant, store_and_issue};
use crate::{
    app::App,
    audit::Kind as AuditKind,
    clock::Time,
    config::{CODE_RACE, ClientAuth, GrantType},
    error::InfraError,
    oauth::{
        client_auth::TokenRequest,
        device::store::{self, Decision, DeviceRequest},
        error::{EndpointError, ErrorCode, OauthError},
        grant_check::SignIn,
        grant_store,
        issue::TokenResponse,
        reason::Reason,
        resource,
    },
    secret::{Hash, Plain},
    telemetry::metrics,
    ticket::{Claim, Counter, Payer, TicketKind},
};

/// RFC 8628 §3.4.
pub(crate) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A device that polls again before this is too fast. The interval is 5 s; a clock or a network may hurry.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(4);

/// How long a claimed code is remembered, as an authorization code is (RD-04).
const TOMBSTONE_TTL: Duration = Duration::from_secs(600);

/// What a claimed code leaves behind.
#[derive(Serialize, Deserialize)]
struct Tombstone {
    client_id: String,
    #[serde(rename = "grant")]
    grant_id: Uuid,
    #[serde(rename = "at")]
    claimed_at: Time,
}

const fn invalid_grant(reason: Reason) -> OauthError {
    let description = "The device code is unknown, already used, or was issued to another client.";
    OauthError::new(ErrorCode::InvalidGrant, description).with_reason(reason)
}

/// Issues tokens once the user has allowed it.
///
/// # Errors
/// `authorization_pending` and `slow_down` before the decision; `access_denied` or `expired_token` without
/// one; `invalid_grant` for a code that is not live, not this client's, or whose grant is no longer
/// authorized; `invalid_target` for a resource that was not granted.
pub(crate) async fn poll(request: &TokenRequest<'_>) -> Result<TokenResponse, EndpointError> {
    if !request.config.device.enabled {
        let description = "The grant type is not one of grant_types_supported.";
        return Err(OauthError::new(ErrorCode::UnsupportedGrantType, description).into());
    }
    request.check_grant_type(GrantType::DeviceCode)?;
    let text = request.params.required("device_code", 64)?;
    let handle = Plain::parse(text)
        .ok_or(invalid_grant(Reason::Malformed))?
        .hash();
    let Some(device) = store::find(&request.app.tickets, &handle).await? else {
        revoke_if_replayed(request, &handle).await?;
        return Err(invalid_grant(Reason::NotLive).into());
    };
    if device.client_id != request.client.client_id {
        return Err(invalid_grant(Reason::OtherClient).into());
    }
    if request.app.clock().now() >= device.expires_at {
        let description = "The device code has expired. Start again.";
        return Err(OauthError::new(ErrorCode::ExpiredToken, description).into());
    }
    match &device.decision {
        Decision::Pending => Err(pending(request, &handle).await?.into()),
        Decision::Denied => {
            let description = "The user denied the request.";
            Err(OauthError::new(ErrorCode::AccessDenied, description).into())
        }
        Decision::Approved { sign_in } => deliver(request, &handle, (&device, sign_in)).await,
    }
}

/// Returns the error of a poll before the decision. Polls that are too fast are not counted, so that one in
/// time always passes.
async fn pending(request: &TokenRequest<'_>, handle: &Hash) -> Result<OauthError, InfraError> {
    let client = request.client;
    let payer = match client.token_endpoint_auth_method {
        ClientAuth::None => Payer::Network(request.caller.ip),
        _ => Payer::Client(Hash::of(client.client_id.as_bytes())),
    };
    let once = [Counter {
        name: "device poll".to_owned(),
        limit: 1,
        window: SHORTEST_INTERVAL,
    }];
    let tickets = request.app.tickets.charged_to(payer);
    Ok(match tickets.hit(handle, &once).await? {
        Some(_) => {
            let description = "The device polls too fast. Wait 5 seconds longer from now on.";
            OauthError::new(ErrorCode::SlowDown, description)
        }
        None => {
            let description = "The user has not decided yet.";
            OauthError::new(ErrorCode::AuthorizationPending, description)
        }
    })
}

/// Claims an approved code and issues the tokens of its grant. What fails before the claim spends nothing.
async fn deliver(
    request: &TokenRequest<'_>,
    handle: &Hash,
    (device, sign_in): (&DeviceRequest, &SignIn),
) -> Result<TokenResponse, EndpointError> {
    let TokenRequest {
        app,
        config,
        client,
        params,
        ..
    } = *request;
    let (granted, issuer) = (device.resources.as_deref(), &app.public_url);
    let audience = resource::choose_audience(params, granted, config, client, issuer)?;
    request.check_proof_for(&audience)?;
    request
        .claim_proof(Payer::Session(sign_in.session_id))
        .await?;
    let tombstone = Tombstone {
        client_id: client.client_id.clone(),
        grant_id: device.grant_id,
        claimed_at: app.clock().now(),
    };
    let tombstone = serde_json::to_vec(&tombstone).map_err(InfraError::internal)?;
    let claim = app
        .tickets
        .claim(TicketKind::Device, handle, &tombstone, TOMBSTONE_TTL)
        .await?;
    let Claim::Fresh(value) = claim else {
        return Err(invalid_grant(Reason::Raced).into());
    };
    let tx = match app.db.begin().await {
        Ok(tx) => tx,
        Err(error) => {
            give_back(app, handle, &tombstone, &value).await;
            return Err(error.into());
        }
    };
    let claimed = ClaimedGrant {
        id: device.grant_id,
        sign_in,
        scope: &device.scope,
        claims: "",
        resources: granted,
        nonce: None,
        audience: &audience,
        error_if_exists: invalid_grant(Reason::GrantExists),
    };
    let tokens = store_and_issue(request, tx, &claimed).await?;
    metrics::device("delivered");
    Ok(tokens)
}

/// Makes a claimed code live again, for which nothing has been written: the device polls again.
async fn give_back(app: &App, handle: &Hash, tombstone: &[u8], value: &[u8]) {
    let tickets = &app.tickets;
    let given = tickets.give_back(TicketKind::Device, handle, tombstone, value);
    if let Err(error) = given.await {
        tracing::warn!(cause = %error, "a device code stays used for which no tokens were issued");
    }
}

/// As TK-6 for authorization codes: a code that its client shows again more than ten seconds after it was
/// claimed may be stolen. What it gave ends.
async fn revoke_if_replayed(
    request: &TokenRequest<'_>,
    handle: &Hash,
) -> Result<(), EndpointError> {
    let app = request.app;
    let tombstone = app.tickets.tombstone(TicketKind::Device, handle).await?;
    let spent = tombstone.and_then(|value| serde_json::from_slice::<Tombstone>(&value).ok());
    let is_own = |spent: &Tombstone| spent.client_id == request.client.client_id;
    let Some(spent) = spent.filter(is_own) else {
        return Ok(());
    };
    if app.clock().now().since(spent.claimed_at) <= CODE_RACE {
        return Ok(());
    }
    // A request that was captured whole ends nothing: its proof was shown before (PP-12).
    request
        .claim_proof(Payer::Network(request.caller.ip))
        .await?;
    let tx = app.db.begin().await?;
    if grant_store::revoke(&tx, spent.grant_id).await? {
        let event = request.event(AuditKind::TokenRefused);
        event.reason(Reason::CodeReplayed).record(&tx).await?;
    }
    Ok(tx.commit().await?)
}
