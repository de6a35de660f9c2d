//! Authorization codes in the ticket store: what a code stands for, and what it leaves behind.
//!
//! A code is kept sealed under the hash of its secret. One that is claimed leaves a tombstone, which
//! distinguishes a replay from a code that never existed. What a request must show before it may claim
//! a code is decided in [`super::authorization_code`].

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    code_check::invalid_grant,
    code_secret::{CodeBinding, CodeSecret},
};
use crate::{
    app::App,
    clock::Time,
    config::Budget,
    error::InfraError,
    limit,
    oauth::{error::OauthError, grant_check::SignIn, reason::Reason},
    secret::{Hash, Plain},
    ticket::{Claim, Issue, NewValue, Payer, TicketKind},
};

/// How long a claimed code is remembered (RD-04).
pub(super) const TOMBSTONE_TTL: Duration = Duration::from_secs(600);

/// What a code stands for (AZ-17).
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AuthorizationCode {
    /// The id that the grant will have.
    #[serde(rename = "grant")]
    pub(crate) grant_id: Uuid,
    #[serde(flatten)]
    pub(crate) binding: CodeBinding,
    pub(crate) nonce: Option<String>,
    pub(crate) scope: String,
    /// What the request named in `claims`, as far as it was granted.
    #[serde(default)]
    pub(crate) claims: String,
    /// The resources that the request named, separated by spaces.
    #[serde(rename = "resource")]
    pub(crate) resources: Option<String>,
    /// When the code expires: the ticket of one that was given back lives longer. None in codes of an older version.
    #[serde(rename = "exp")]
    pub(crate) expires_at: Option<Time>,
    #[serde(flatten)]
    pub(crate) sign_in: SignIn,
}

impl AuthorizationCode {
    pub(super) fn has_expired(&self, now: Time) -> bool {
        self.expires_at.is_some_and(|at| now >= at)
    }
}

/// What a claimed code leaves behind.
#[derive(Serialize, Deserialize)]
pub(super) struct Tombstone {
    #[serde(rename = "grant")]
    pub(super) grant_id: Uuid,
    #[serde(flatten)]
    pub(super) binding: CodeBinding,
    #[serde(rename = "at")]
    pub(super) claimed_at: Time,
}

impl Tombstone {
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, InfraError> {
        serde_json::to_vec(self).map_err(InfraError::internal)
    }

    /// Parses a stored tombstone; none if an instance of another version wrote it in another form.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// How a code is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeTerms<'a> {
    pub(crate) user_id: Uuid,
    pub(crate) lifetime: Duration,
    /// How many codes a session may request.
    pub(crate) budgets: &'a [Budget],
}

/// Stores a new code, within the budget of its session (OA-8), by one command. Returns `false` if the
/// budget is exhausted. A code is charged to its user: one who makes codes without end drops their own,
/// and takes the space of no other user's (OA-4).
pub(crate) async fn issue_code(
    app: &App,
    secret: &CodeSecret,
    code: &AuthorizationCode,
    terms: CodeTerms<'_>,
) -> Result<bool, InfraError> {
    let value = serde_json::to_vec(code).map_err(InfraError::internal)?;
    let tickets = app.tickets.charged_to(Payer::User(terms.user_id));
    let session = Hash::of(code.sign_in.session_id.as_bytes());
    let new = NewValue {
        kind: TicketKind::Code,
        handle: &secret.hash(),
        value: &value,
        ttl: terms.lifetime,
    };
    match limit::issue(&tickets, "session code", &session, terms.budgets, new).await? {
        Issue::Issued => Ok(true),
        Issue::Limited(_) => Ok(false),
        Issue::Taken => Err(InfraError::internal("a fresh code exists already")),
    }
}

/// Returns whether a code has neither been exchanged nor expired.
pub(crate) async fn is_live(app: &App, code: &str) -> Result<bool, InfraError> {
    let Some(code) = Plain::parse(code) else {
        return Ok(false);
    };
    let found = app.tickets.peek(TicketKind::Code, &code.hash()).await?;
    let code = found.as_deref().map(read_code).transpose();
    // The ticket of one that was given back outlives it.
    Ok(code
        .ok()
        .flatten()
        .is_some_and(|code| !code.has_expired(app.clock().now())))
}

/// Reads a stored code.
///
/// # Errors
/// `invalid_grant` for a form that this version does not know.
pub(super) fn read_code(value: &[u8]) -> Result<AuthorizationCode, OauthError> {
    // An instance of another version may have written it during a rolling upgrade.
    serde_json::from_slice(value).map_err(|_| invalid_grant(Reason::Unreadable))
}

/// Claims a code by one atomic command, which puts its tombstone in its place.
pub(super) async fn claim_code(
    app: &App,
    secret: &CodeSecret,
    tombstone: &[u8],
) -> Result<Claim, InfraError> {
    app.tickets
        .claim(TicketKind::Code, &secret.hash(), tombstone, TOMBSTONE_TTL)
        .await
}

/// Makes a claimed code live again, for which nothing has been written: the client tries again later. If the ticket
/// store is away as well, the code stays used.
pub(super) async fn give_back_code(app: &App, secret: &CodeSecret, tombstone: &[u8], value: &[u8]) {
    let hash = secret.hash();
    let tickets = &app.tickets;
    let given = tickets.give_back(TicketKind::Code, &hash, tombstone, value);
    if let Err(error) = given.await {
        tracing::warn!(cause = %error, "a code stays used for which no tokens were issued");
    }
}
