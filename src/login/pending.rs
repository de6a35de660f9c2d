//! Client requests that wait for a sign-in.
//!
//! Until the user enters an address, a client's request is a ticket that is bound to the browser it
//! came with (AZ-21). From then on it is stored with its flow. The request itself is opaque here:
//! only the module that resumes it reads it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    error::InfraError,
    secret::{Hash, Plain},
    session::Session,
    ticket::{Claim, TicketKind, Tickets},
};

/// How long a request waits (RD-04).
pub const TTL: Duration = Duration::from_secs(1800);

/// Where `oauth` resumes a client's request.
pub const RESUME_PATH: &str = "/oauth2/authorize/resume";

/// Where `federation` resumes a request of an app.
const APP_RESUME_PATH: &str = "/login/app";

/// The module that resumes a request after the sign-in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResumedBy {
    /// `oauth`.
    #[default]
    Protocol,
    /// `federation`, for an app that shows its own sign-in form.
    Upstream,
}

impl ResumedBy {
    #[must_use]
    pub const fn resume_path(self) -> &'static str {
        match self {
            Self::Protocol => RESUME_PATH,
            Self::Upstream => APP_RESUME_PATH,
        }
    }
}

/// A client's request, as the sign-in pages need to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRequest {
    pub client_id: String,
    /// The display name of the client.
    pub client_name: String,
    /// The client requires a fresh sign-in even if the user is signed in (`prompt=login`,
    /// `max_age`).
    pub fresh: bool,
    /// Only a sign-in by email satisfies the client (ST-12).
    // The stored names stay as they are: an older instance reads them during a rolling upgrade.
    #[serde(default, rename = "mail_only")]
    pub email_only: bool,
    /// The address that the client suggests (`login_hint`).
    pub login_hint: String,
    /// The languages that the client suggests (`ui_locales`).
    pub ui_locales: String,
    /// The opaque request.
    pub request: String,
    #[serde(default, rename = "room")]
    pub resumed_by: ResumedBy,
    /// The hash of the handle under which the request was first stored. Several sign-ins may carry
    /// a copy of the request, and only one of them continues it.
    #[serde(default)]
    pub origin: Option<Vec<u8>>,
}

impl PendingRequest {
    /// Sets the origin, unless it is set already.
    pub fn remember_origin(&mut self, handle: &Plain) {
        self.origin.get_or_insert_with(|| handle.hash().to_column());
    }
}

#[derive(Serialize, Deserialize)]
struct StoredRequest {
    browser: Vec<u8>,
    /// The session that the browser was signed in with when the request was stored.
    #[serde(default)]
    session: Option<Uuid>,
    pending: PendingRequest,
}

/// The browser that asks for a pending request or link.
#[derive(Clone, Copy, Debug)]
pub struct Requester<'a> {
    /// The hash of the pre-login cookie.
    pub browser: Option<Hash>,
    /// The live session, if any.
    pub session: Option<&'a Session>,
}

impl Requester<'_> {
    /// Returns whether this browser is the one that something was bound to: it holds that cookie,
    /// or a session that grew from it.
    #[must_use]
    pub fn is_browser(&self, bound: Hash) -> bool {
        let grown_from = self
            .session
            .and_then(|session| session.browser_hash.as_deref())
            .and_then(Hash::from_column);
        self.browser == Some(bound) || grown_from == Some(bound)
    }

    /// Returns whether this browser stored the request. A request also remembers the session beside
    /// which it was stored, so that requests in other tabs continue however often the user has
    /// signed in again in the meantime.
    fn has_stored(&self, stored: &StoredRequest) -> bool {
        let session = self.session.map(|session| session.id);
        let same_session = stored.session.is_some() && stored.session == session;
        same_session
            || Hash::from_column(&stored.browser).is_some_and(|bound| self.is_browser(bound))
    }
}

/// Stores a request, bound to the browser and to its session. Returns the handle for the URL, which
/// is worth nothing in another browser.
pub async fn store(
    tickets: &Tickets,
    browser: Hash,
    session: Option<Uuid>,
    pending: &PendingRequest,
) -> Result<Plain, InfraError> {
    let handle = Plain::generate();
    let stored = StoredRequest {
        browser: browser.to_column(),
        session,
        pending: pending.clone(),
    };
    let value = serde_json::to_vec(&stored).map_err(InfraError::internal)?;
    if !tickets
        .issue(TicketKind::Pending, &handle.hash(), &value, TTL)
        .await?
    {
        return Err(InfraError::internal("a fresh 256-bit handle was taken"));
    }
    Ok(handle)
}

/// Returns the request behind a handle, if this browser stored it. The request stays.
pub async fn peek(
    tickets: &Tickets,
    handle: &Plain,
    requester: Requester<'_>,
) -> Result<Option<PendingRequest>, InfraError> {
    let value = tickets.peek(TicketKind::Pending, &handle.hash()).await?;
    Ok(value.and_then(|value| parse(&value, requester)))
}

/// Takes the request behind a handle, once.
pub async fn claim(
    tickets: &Tickets,
    handle: &Plain,
    requester: Requester<'_>,
) -> Result<Option<PendingRequest>, InfraError> {
    // Peek first, so that another browser cannot spend a handle that is not its own.
    if peek(tickets, handle, requester).await?.is_none() {
        return Ok(None);
    }
    match tickets
        .claim(TicketKind::Pending, &handle.hash(), b"taken", TTL)
        .await?
    {
        Claim::Fresh(value) => Ok(parse(&value, requester)),
        Claim::Replayed(_) | Claim::Gone => Ok(None),
    }
}

/// Claims the client's request on behalf of all sign-ins that carry a copy of it. Returns `false`
/// if another sign-in claimed it first. An expired handle blocks no one: then the sign-in's own
/// claim decides alone.
pub async fn claim_origin(tickets: &Tickets, pending: &PendingRequest) -> Result<bool, InfraError> {
    let Some(origin) = pending.origin.as_deref().and_then(Hash::from_column) else {
        return Ok(true);
    };
    let claim = tickets
        .claim(TicketKind::Pending, &origin, b"taken", TTL)
        .await?;
    Ok(!matches!(claim, Claim::Replayed(_)))
}

fn parse(value: &[u8], requester: Requester<'_>) -> Option<PendingRequest> {
    let stored: StoredRequest = serde_json::from_slice(value).ok()?;
    requester.has_stored(&stored).then_some(stored.pending)
}
