//! Client requests that wait for a sign-in.
//!
//! Until the user enters an address, a client's request is a ticket that is bound to the browser it
//! came with (AZ-21). From then on it is stored with its flow. The request itself is opaque here:
//! only the module that resumes it reads it.

mod answer;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

pub use self::answer::{Answer, claim_with_answer, find_answered};
use crate::{
    clock::Time,
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

/// Where a user connects a device.
const DEVICE_PATH: &str = "/device";

/// The opaque request in a stored one.
const REQUEST: &str = "/pending/request";

/// The tombstone of a request that was taken up.
const TAKEN: &[u8] = b"taken";

/// The tombstone of a request whose user returned to the client.
const CANCELLED: &[u8] = b"cancelled";

/// The module that resumes a request after the sign-in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResumedBy {
    /// `oauth`.
    #[default]
    Protocol,
    /// `federation`, for an app that shows its own sign-in form.
    Upstream,
    /// `oauth`, for a user who connects a device. There is no client yet: its fields are empty.
    Device,
}

impl ResumedBy {
    #[must_use]
    pub const fn resume_path(self) -> &'static str {
        match self {
            Self::Protocol => RESUME_PATH,
            Self::Upstream => APP_RESUME_PATH,
            Self::Device => DEVICE_PATH,
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
    /// The browser had no cookie when the request came: whether it keeps one is not known yet.
    #[serde(default)]
    pub is_unbound: bool,
    /// The user has signed in in this browser since the request was stored, in another tab.
    #[serde(skip)]
    pub signed_in_since: bool,
}

impl PendingRequest {
    /// Returns the client; none for a user who connects a device.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        Some(self.client_id.as_str()).filter(|id| !id.is_empty())
    }

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
    /// When its user had authenticated then.
    #[serde(default)]
    auth_time: Option<Time>,
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

    /// Returns a stored request as this browser has it now.
    fn pending_in(&self, stored: StoredRequest) -> PendingRequest {
        let signed_in_since = self.session.is_some_and(|session| {
            let is_another = stored.session != Some(session.id);
            is_another
                || stored
                    .auth_time
                    .is_some_and(|then| session.auth_time > then)
        });
        PendingRequest {
            signed_in_since,
            ..stored.pending
        }
    }
}

/// Stores a request, bound to the browser and to its session. Returns the handle for the URL, which
/// is worth nothing in another browser.
pub async fn store(
    tickets: &Tickets,
    browser: Hash,
    session: Option<&Session>,
    pending: &PendingRequest,
) -> Result<Plain, InfraError> {
    let handle = Plain::generate();
    store_under(tickets, &handle, browser, session, pending).await?;
    Ok(handle)
}

/// Stores a request under a handle of the caller's, which is as secret as a fresh one.
pub async fn store_under(
    tickets: &Tickets,
    handle: &Plain,
    browser: Hash,
    session: Option<&Session>,
    pending: &PendingRequest,
) -> Result<(), InfraError> {
    let stored = StoredRequest {
        browser: browser.to_column(),
        session: session.map(|session| session.id),
        auth_time: session.map(|session| session.auth_time),
        pending: pending.clone(),
    };
    let value = to_bytes(&stored)?;
    if !tickets
        .issue(TicketKind::Pending, &handle.hash(), &value, TTL)
        .await?
    {
        return Err(InfraError::internal("a fresh 256-bit handle was taken"));
    }
    Ok(())
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
        .claim(TicketKind::Pending, &handle.hash(), TAKEN, TTL)
        .await?
    {
        Claim::Fresh(value) => Ok(parse(&value, requester)),
        Claim::Replayed(_) | Claim::Gone => Ok(None),
    }
}

/// OC-8: takes a request that came from a browser without a cookie, once. The user has allowed cookies
/// since, and the cookie of then is lost, so the handle alone names the request. A caller who holds
/// the handle could as well send the request again: nothing in it is worth more than a new one.
pub async fn adopt(
    tickets: &Tickets,
    handle: &Plain,
) -> Result<Option<PendingRequest>, InfraError> {
    let is_unbound = |value: &[u8]| {
        let pending = from_bytes(value).map(|stored| stored.pending);
        pending.filter(|pending| pending.is_unbound)
    };
    let value = tickets.peek(TicketKind::Pending, &handle.hash()).await?;
    if value.and_then(|value| is_unbound(&value)).is_none() {
        return Ok(None);
    }
    match tickets
        .claim(TicketKind::Pending, &handle.hash(), TAKEN, TTL)
        .await?
    {
        Claim::Fresh(value) => Ok(is_unbound(&value)),
        Claim::Replayed(_) | Claim::Gone => Ok(None),
    }
}

/// Claims the client's request on behalf of all sign-ins that carry a copy of it. Returns `false`
/// if another sign-in claimed it first. An expired handle blocks no one: then the sign-in's own
/// claim decides alone.
pub async fn claim_origin(tickets: &Tickets, pending: &PendingRequest) -> Result<bool, InfraError> {
    Ok(claim_as(tickets, pending, TAKEN).await?.is_none())
}

/// Claims the client's request for a flow. Returns `true` also if this flow has claimed it before: what came after
/// that may have failed, and the flow's own claim decides.
pub async fn claim_origin_for(
    tickets: &Tickets,
    pending: &PendingRequest,
    flow: Uuid,
) -> Result<bool, InfraError> {
    let earlier = claim_as(tickets, pending, flow.as_bytes()).await?;
    Ok(earlier.is_none_or(|claimant| claimant == flow.as_bytes()))
}

/// Claims the client's request, and returns what claimed it earlier, if anything did.
async fn claim_as(
    tickets: &Tickets,
    pending: &PendingRequest,
    claimant: &[u8],
) -> Result<Option<Vec<u8>>, InfraError> {
    let Some(origin) = pending.origin.as_deref().and_then(Hash::from_column) else {
        return Ok(None);
    };
    let claim = tickets
        .claim(TicketKind::Pending, &origin, claimant, TTL)
        .await?;
    Ok(match claim {
        Claim::Fresh(_) | Claim::Gone => None,
        Claim::Replayed(tombstone) => Some(tombstone),
    })
}

/// Spends a handle without use of its request.
pub async fn spend(tickets: &Tickets, handle: &Plain) -> Result<(), InfraError> {
    tickets
        .claim(TicketKind::Pending, &handle.hash(), TAKEN, TTL)
        .await
        .map(drop)
}

/// Does the same for a user who returns to the client. To cancel once more gets the same response
/// (ST-04).
pub async fn cancel_origin(
    tickets: &Tickets,
    pending: &PendingRequest,
) -> Result<bool, InfraError> {
    let Some(origin) = pending.origin.as_deref().and_then(Hash::from_column) else {
        return Ok(true);
    };
    let claim = tickets
        .claim(TicketKind::Pending, &origin, CANCELLED, TTL)
        .await?;
    Ok(match claim {
        Claim::Replayed(tombstone) => tombstone == CANCELLED,
        Claim::Fresh(_) | Claim::Gone => true,
    })
}

fn parse(value: &[u8], requester: Requester<'_>) -> Option<PendingRequest> {
    let stored = from_bytes(value)?;
    requester
        .has_stored(&stored)
        .then(|| requester.pending_in(stored))
}

/// Returns a stored request as JSON, in which the opaque request stands as the JSON that it is: as
/// a text, each of its quotation marks would be escaped, and those of a hostile one twice (OA-4).
fn to_bytes(stored: &StoredRequest) -> Result<Vec<u8>, InfraError> {
    let mut value = serde_json::to_value(stored).map_err(InfraError::internal)?;
    if let Some(request) = value.pointer_mut(REQUEST)
        && let Ok(parsed) = serde_json::from_str::<Value>(&stored.pending.request)
        && !parsed.is_string()
    {
        *request = parsed;
    }
    serde_json::to_vec(&value).map_err(InfraError::internal)
}

/// Reads a stored request, also as an older instance stores it.
fn from_bytes(bytes: &[u8]) -> Option<StoredRequest> {
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    let request = value.pointer_mut(REQUEST)?;
    if !request.is_string() {
        *request = Value::String(request.to_string());
    }
    serde_json::from_value(value).ok()
}

#[cfg(test)]
mod tests;
