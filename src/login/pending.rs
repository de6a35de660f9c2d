//! Client requests that wait for a sign-in.
//!
//! Until an address is typed such a request is a ticket, bound to the browser that brought it (AZ-21); from then on it
//! lives in its flow's row. What the request says is the protocol's business: here it is an opaque text.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    error::InfraError,
    secret::{Hash, Plain},
    session::Session,
    ticket::{Claim, Kind, Tickets},
};

/// How long a request waits (RD-04).
pub const KEPT: Duration = Duration::from_secs(1800);

/// Which room takes a request up again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResumedBy {
    /// The protocol's.
    #[default]
    Protocol,
    /// That of upstream providers, for an app that draws its own form.
    Upstream,
}

impl ResumedBy {
    /// Where it does so.
    #[must_use]
    pub const fn resume_path(self) -> &'static str {
        match self {
            Self::Protocol => super::resume::RESUME_PATH,
            Self::Upstream => "/login/app",
        }
    }
}

/// A client's request, as the login pages need to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRequest {
    /// Which client.
    pub client_id: String,
    /// What people call it.
    pub client_name: String,
    /// It wants a fresh proof, whoever is signed in (`prompt=login`, `max_age`).
    pub fresh: bool,
    /// Only a proof by mail satisfies it (`prompt=login`, `max_age`; DESIGN §8, upstream and freshness).
    #[serde(default)]
    pub mail_only: bool,
    /// A first guess at the address (`login_hint`).
    pub login_hint: String,
    /// Languages that the client asked for (`ui_locales`).
    pub ui_locales: String,
    /// The request itself.
    pub request: String,
    /// Who takes it up again.
    #[serde(default, rename = "room")]
    pub resumed_by: ResumedBy,
    /// The handle under which the client's request first waited, hashed: several sign-ins may carry a copy, and one of
    /// them continues it.
    #[serde(default)]
    pub origin: Option<Vec<u8>>,
}

impl PendingRequest {
    /// Notes the handle, unless an earlier one is noted.
    pub fn remember_origin(&mut self, handle: &Plain) {
        self.origin.get_or_insert_with(|| handle.hash().to_column());
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    browser: Vec<u8>,
    /// The session that was there when the request was parked.
    #[serde(default)]
    session: Option<Uuid>,
    pending: PendingRequest,
}

/// Who asks for a pending request: the browser's cookie, and the session that grew from an earlier one.
#[derive(Clone, Copy, Debug)]
pub struct Requester<'a> {
    /// Hash of the pre-login cookie.
    pub browser: Option<Hash>,
    /// The live session, if any.
    pub session: Option<&'a Session>,
}

impl Requester<'_> {
    /// Whether the request was brought by this browser. A session remembers the cookie that it grew from, and a request
    /// the session beside which it was parked, so requests that waited in other tabs go on however often the person has
    /// proven who they are meanwhile.
    fn brought(&self, stored: &Stored) -> bool {
        let bound = Hash::from_column(&stored.browser);
        let grown_from = self
            .session
            .and_then(|session| session.browser_hash.as_deref())
            .and_then(Hash::from_column);
        let beside =
            stored.session.is_some() && stored.session == self.session.map(|session| session.id);
        beside || bound.is_some() && (self.browser == bound || grown_from == bound)
    }
}

/// Parks a request beside the browser's cookie and its session, if there is one; gives the handle that goes into the
/// URL, which is worth nothing in another browser.
///
/// # Errors
/// If the ticket store is away.
pub async fn store(
    tickets: &Tickets,
    browser: Hash,
    session: Option<Uuid>,
    pending: &PendingRequest,
) -> Result<Plain, InfraError> {
    let handle = Plain::generate();
    let stored = Stored {
        browser: browser.to_column(),
        session,
        pending: pending.clone(),
    };
    let value = serde_json::to_vec(&stored).map_err(InfraError::internal)?;
    if !tickets
        .issue(Kind::Pending, &handle.hash(), &value, KEPT)
        .await?
    {
        return Err(InfraError::internal("a fresh 256-bit handle was taken"));
    }
    Ok(handle)
}

/// The request behind a handle, if this browser brought it; it stays.
///
/// # Errors
/// If the ticket store is away.
pub async fn peek(
    tickets: &Tickets,
    handle: &Plain,
    requester: Requester<'_>,
) -> Result<Option<PendingRequest>, InfraError> {
    let Some(value) = tickets.peek(Kind::Pending, &handle.hash()).await? else {
        return Ok(None);
    };
    Ok(read(&value, requester))
}

/// Takes the request behind a handle, once.
///
/// # Errors
/// If the ticket store is away.
pub async fn claim(
    tickets: &Tickets,
    handle: &Plain,
    requester: Requester<'_>,
) -> Result<Option<PendingRequest>, InfraError> {
    // Looked at first, so that another browser cannot spend what is not its own.
    if peek(tickets, handle, requester).await?.is_none() {
        return Ok(None);
    }
    match tickets
        .claim(Kind::Pending, &handle.hash(), b"taken", KEPT)
        .await?
    {
        Claim::Fresh(value) => Ok(read(&value, requester)),
        Claim::Replayed(_) | Claim::Gone => Ok(None),
    }
}

/// Takes the client's request from all sign-ins that carry a copy of it; `false` if one of them was quicker. A handle
/// whose time is over is nobody's any more: then the sign-in's own claim decides alone.
///
/// # Errors
/// If the ticket store is away.
pub async fn claim_origin(tickets: &Tickets, pending: &PendingRequest) -> Result<bool, InfraError> {
    let Some(origin) = pending.origin.as_deref().and_then(Hash::from_column) else {
        return Ok(true);
    };
    Ok(!matches!(
        tickets
            .claim(Kind::Pending, &origin, b"taken", KEPT)
            .await?,
        Claim::Replayed(_)
    ))
}

fn read(value: &[u8], requester: Requester<'_>) -> Option<PendingRequest> {
    let stored: Stored = serde_json::from_slice(value).ok()?;
    requester.brought(&stored).then_some(stored.pending)
}
