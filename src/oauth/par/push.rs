//! Pushed requests in the ticket store: what each asks for, and what it was answered.
//!
//! A push makes two tickets under the hash of the secret in its request URI. `par` holds the request
//! for as long as the request URI may be visited. `par-used` holds nothing: it is live until the
//! first answer claims it, and its tombstone says what that was. So an answer takes a ticket that
//! must be there. Where the store lost its data, or dropped the ticket for want of space, the push
//! gets no answer at all, and never a second one (PU-5, PU-10).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clock::Time,
    config::{ClientAuth, Reloadable},
    error::InfraError,
    limit,
    oauth::{
        authorize::request::{AuthorizationParams, PushReference},
        client_auth::TokenRequest,
        error::{EndpointError, ErrorCode},
    },
    secret::{Hash, Plain},
    ticket::{Claim, Issue, NewValue, Payer, TicketKind, Tickets},
};

/// What our request URIs begin with (RFC 9126 §2.2).
pub(crate) const URN: &str = "urn:ietf:params:oauth:request_uri:";

/// How long a request URI may be visited.
pub(crate) const VISIT_TTL: Duration = Duration::from_secs(60);

/// How long after the push a copy of the request is answered.
pub(crate) const ANSWER_TTL: Duration = Duration::from_secs(3600);

/// How long the ticket of the answer outlives [`ANSWER_TTL`], for instances whose clocks differ.
const CLOCK_MARGIN: Duration = Duration::from_secs(60);

/// What answered a push.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// The code, as text.
    Code(String),
    /// The name of the error.
    Error(String),
}

impl Outcome {
    /// Whether the client may try again with the same push, which it can only while the push has no
    /// answer.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Error(name) if name == ErrorCode::TemporarilyUnavailable.name())
    }
}

/// The answer to a push, and who got it. It has no `Debug`, because it may contain a code.
#[derive(Serialize, Deserialize)]
pub(super) struct PushAnswer {
    pub(super) session: Option<Uuid>,
    /// The hash of the pre-login cookie.
    pub(super) browser: Vec<u8>,
    pub(super) outcome: Outcome,
}

/// Where a push stands.
pub(super) enum PushState {
    Open,
    Answered(PushAnswer),
    /// Its time is over, or the store has lost it.
    Gone,
}

/// Returns the secret in a request URI of ours.
#[must_use]
pub(crate) fn parse_request_uri(uri: &str) -> Option<Plain> {
    uri.strip_prefix(URN).and_then(Plain::parse)
}

/// Stores the request of a client within its budget, and returns the request URI. A client that has
/// authenticated pays for its own pushes; in the name of a public one anyone may push, so that the
/// network pays (PU-9).
///
/// # Errors
/// 429 over the budget; 503 if the store is away or full.
pub(super) async fn store(
    request: &TokenRequest<'_>,
    mut params: AuthorizationParams,
) -> Result<String, EndpointError> {
    let TokenRequest {
        app,
        config,
        client,
        caller,
        ..
    } = *request;
    let secret = Plain::generate();
    let handle = secret.hash();
    params.push = Some(PushReference {
        handle: handle.to_column(),
        at: params.requested_at,
    });
    let value = serde_json::to_vec(&params).map_err(InfraError::internal)?;
    let new = NewValue {
        kind: TicketKind::Pushed,
        handle: &handle,
        value: &value,
        ttl: VISIT_TTL,
    };
    let tickets = if client.token_endpoint_auth_method == ClientAuth::None {
        let wait = limit::pushed(&app.tickets, caller.ip, &config.limits).await?;
        if let Some(wait) = wait {
            return Err(EndpointError::TooManyRequests(wait));
        }
        let tickets = app.tickets.charged_to(Payer::Network(caller.ip));
        issue(&tickets, new).await?;
        tickets
    } else {
        let payer = Hash::of(client.client_id.as_bytes());
        let tickets = app.tickets.charged_to(Payer::Client(payer));
        issue_within(&tickets, &payer, config, new).await?;
        tickets
    };
    let answer = NewValue {
        kind: TicketKind::PushedAnswer,
        value: &[],
        ttl: ANSWER_TTL + CLOCK_MARGIN,
        ..new
    };
    issue(&tickets, answer).await?;
    Ok(format!("{URN}{}", secret.to_text()))
}

fn taken() -> EndpointError {
    InfraError::internal("a fresh request URI exists already").into()
}

async fn issue(tickets: &Tickets, new: NewValue<'_>) -> Result<(), EndpointError> {
    let is_new = tickets
        .issue(new.kind, new.handle, new.value, new.ttl)
        .await?;
    if is_new { Ok(()) } else { Err(taken()) }
}

/// Stores a request and counts it for its client, by one command.
async fn issue_within(
    tickets: &Tickets,
    client: &Hash,
    config: &Reloadable,
    new: NewValue<'_>,
) -> Result<(), EndpointError> {
    match limit::issue(tickets, "pushed", client, &config.limits.pushed, new).await? {
        Issue::Issued => Ok(()),
        Issue::Limited(wait) => Err(EndpointError::TooManyRequests(wait)),
        Issue::Taken => Err(taken()),
    }
}

/// Returns the request behind a request URI, while it may be visited. Nothing is spent (PU-4).
pub(crate) async fn find(
    tickets: &Tickets,
    secret: &Plain,
    now: Time,
) -> Result<Option<AuthorizationParams>, InfraError> {
    let value = tickets.peek(TicketKind::Pushed, &secret.hash()).await?;
    // An instance of another version may have written it during a rolling upgrade.
    let params: Option<AuthorizationParams> =
        value.and_then(|value| serde_json::from_slice(&value).ok());
    let is_in_time = |push: &PushReference| now.since(push.at) < VISIT_TTL;
    Ok(params.filter(|params| params.push.as_ref().is_some_and(is_in_time)))
}

/// Returns where a push stands, and changes nothing.
pub(super) async fn find_state(
    tickets: &Tickets,
    push: &PushReference,
) -> Result<PushState, InfraError> {
    let Some(handle) = Hash::from_column(&push.handle) else {
        return Ok(PushState::Gone);
    };
    let kind = TicketKind::PushedAnswer;
    if tickets.peek(kind, &handle).await?.is_some() {
        return Ok(PushState::Open);
    }
    let tombstone = tickets.tombstone(kind, &handle).await?;
    Ok(tombstone.map_or(PushState::Gone, |tombstone| read_answer(&tombstone)))
}

/// Claims a push for its first answer. Returns where the push stood before: `Open` if this is the
/// first answer.
pub(super) async fn claim(
    tickets: &Tickets,
    push: &PushReference,
    answer: &PushAnswer,
) -> Result<PushState, InfraError> {
    let Some(handle) = Hash::from_column(&push.handle) else {
        return Ok(PushState::Gone);
    };
    let (kind, keep) = (TicketKind::PushedAnswer, ANSWER_TTL + CLOCK_MARGIN);
    let tombstone = serde_json::to_vec(answer).map_err(InfraError::internal)?;
    Ok(
        match tickets.claim(kind, &handle, &tombstone, keep).await? {
            Claim::Fresh(_) => PushState::Open,
            Claim::Replayed(tombstone) => read_answer(&tombstone),
            Claim::Gone => PushState::Gone,
        },
    )
}

fn read_answer(tombstone: &[u8]) -> PushState {
    serde_json::from_slice(tombstone).map_or(PushState::Gone, PushState::Answered)
}
