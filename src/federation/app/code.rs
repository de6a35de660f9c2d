//! The code that an app receives at its registered URI, and redeems for tokens (ST-09).
//!
//! A code is worth nothing without the PKCE verifier of the challenge with which the app began, and
//! it works once.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    app::App,
    client::VerifiedRedirect,
    config::Reloadable,
    dpop::CheckedProof,
    error::InfraError,
    federation::{
        error::{FederationError, RefusalCode},
        flow::state::AppRequest,
        linking::settle::UpstreamLogin,
        step::ReturnTo,
    },
    login::{
        app_api::{PossessionError, claim_proof},
        first_party,
    },
    pkce::{challenge_of, is_verifier},
    secret::{Hash, Plain},
    ticket::{Claim, TicketKind, Tickets},
    web::caller::Caller,
};

/// RFC 6749 §4.1.2: the lifetime of a code, as of any authorization code.
const CODE_TTL: Duration = Duration::from_secs(60);
/// How long a used code differs from an unknown one.
const USED_CODE_TTL: Duration = Duration::from_secs(600);

/// What a code stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Redeemable {
    #[serde(rename = "for_app")]
    pub request: AppRequest,
    #[serde(rename = "who")]
    pub subject: CodeSubject,
}

/// The user whom a code signs in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum CodeSubject {
    /// The user whom the provider identified; no user is created before the code is redeemed.
    #[serde(rename = "Came")]
    UpstreamLogin(UpstreamLogin),
    /// The user who has just verified an address in the browser, by the session that this made.
    Session(Uuid),
}

/// Why a code gives no tokens.
#[derive(Debug, thiserror::Error)]
pub enum RedeemError {
    #[error(transparent)]
    Refused(#[from] FederationError),
    #[error(transparent)]
    Possession(#[from] PossessionError),
    #[error(transparent)]
    Infra(#[from] InfraError),
}

impl RedeemError {
    pub fn refused(detail: &str) -> Self {
        Self::Refused(FederationError::new(RefusalCode::AppCode, detail))
    }
}

/// Issues a code.
pub async fn issue(tickets: &Tickets, redeemable: &Redeemable) -> Result<Plain, InfraError> {
    let code = Plain::generate();
    let value = serde_json::to_vec(redeemable).map_err(InfraError::internal)?;
    if tickets
        .issue(TicketKind::AppCode, &code.hash(), &value, CODE_TTL)
        .await?
    {
        Ok(code)
    } else {
        Err(InfraError::internal("a fresh 256-bit code was taken"))
    }
}

/// What an app shows to redeem a code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Redemption<'a> {
    pub(crate) provider_id: &'a str,
    pub(crate) code: &'a str,
    pub(crate) verifier: &'a str,
    /// The proof of possession of the request.
    pub(crate) proof: Option<&'a CheckedProof>,
    pub(crate) caller: &'a Caller,
}

/// Redeems a code once, for the app that has the verifier. A wrong verifier, the path of another
/// provider, and a proof of possession that is missing or was shown before spend nothing (RD-06).
pub(crate) async fn redeem(
    app: &App,
    redemption: Redemption<'_>,
) -> Result<Redeemable, RedeemError> {
    let Redemption {
        provider_id,
        code,
        verifier,
        proof,
        caller,
    } = redemption;
    // the provider may have been switched off since the start.
    let config = app.config.get();
    if config.find_provider(provider_id).is_none() {
        return Err(FederationError::from(RefusalCode::ProviderDisabled).into());
    }
    if !is_verifier(verifier) {
        return Err(RedeemError::refused("no verifier"));
    }
    let code = Plain::parse(code).ok_or_else(|| RedeemError::refused("none of ours"))?;
    let challenge = challenge_of(verifier);
    let stored = app.tickets.peek(TicketKind::AppCode, &code.hash()).await?;
    let stored = stored.ok_or_else(|| RedeemError::refused("unknown, used or too old"))?;
    let found = check(&stored, provider_id, &challenge)?;
    let client = first_party::find_app(&config, &found.request.client_id);
    claim_proof(app, client, proof, caller).await?;
    match app
        .tickets
        .claim(TicketKind::AppCode, &code.hash(), b"used", USED_CODE_TTL)
        .await?
    {
        Claim::Fresh(value) => check(&value, provider_id, &challenge),
        Claim::Replayed(_) | Claim::Gone => Err(RedeemError::refused("used")),
    }
}

/// Returns the stored value, if it belongs to this provider and challenge; challenges compare in
/// constant time.
fn check(value: &[u8], provider_id: &str, challenge: &str) -> Result<Redeemable, RedeemError> {
    let redeemable: Redeemable =
        serde_json::from_slice(value).map_err(|_| RedeemError::refused("it cannot be read"))?;
    let request = &redeemable.request;
    if request.provider != provider_id {
        return Err(RedeemError::refused("another provider's"));
    }
    if Hash::of(request.challenge.as_bytes()) != Hash::of(challenge.as_bytes()) {
        return Err(RedeemError::refused("another verifier's"));
    }
    Ok(redeemable)
}

/// Returns the app's redirect URI, if it is still registered: the configuration may have changed
/// since the start.
#[must_use]
pub fn redirect_of(config: &Reloadable, request: &AppRequest) -> Option<VerifiedRedirect> {
    let client = first_party::find_app(config, &request.client_id)?;
    VerifiedRedirect::check(client, &request.redirect_uri)
}

/// Returns the URL at which the app gets its code or an error, with the app's own `state` and our
/// `iss` (RFC 9207 §2).
#[must_use]
pub fn callback_url(
    redirect: &VerifiedRedirect,
    request: &AppRequest,
    public_url: &str,
    field: (&str, &str),
) -> String {
    let mut fields = vec![field];
    if let Some(state) = &request.state {
        fields.push(("state", state));
    }
    fields.push(("iss", public_url));
    redirect.with_parameters(&fields)
}

/// RFC 6749 §4.1.2.1: after a refusal the user returns to the app, with an error that it
/// understands.
#[must_use]
pub fn return_to(
    config: &Reloadable,
    request: &AppRequest,
    public_url: &str,
    code: RefusalCode,
) -> ReturnTo {
    let error = match code {
        RefusalCode::Denied | RefusalCode::UserDisabled | RefusalCode::SignUpClosed => {
            "access_denied"
        }
        RefusalCode::ProviderFault | RefusalCode::ProviderBusy => "temporarily_unavailable",
        code if code.status() == 503 => "temporarily_unavailable",
        _ => "server_error",
    };
    match redirect_of(config, request) {
        Some(redirect) => ReturnTo::App(callback_url(
            &redirect,
            request,
            public_url,
            ("error", error),
        )),
        None => ReturnTo::SIGN_IN,
    }
}
