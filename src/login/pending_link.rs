//! Accounts at a provider that wait: for the proof of an address, or for somebody's yes.
//!
//! Such a link is a ticket, bound to the browser that came back from the provider and good for fifteen minutes (LK-06).
//! Once an address is typed, a copy goes on in the flow's row and lives as long as the flow; the ticket is spent when
//! that is settled. Nothing here connects anything: that takes the door (`finish`) or a form of the `federation` room.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{context::RequestContext, page_error::PageError, pending::Requester, provider};
use crate::{
    app::App,
    audit::{Event, Kind as Happened},
    clock::Time,
    error::InfraError,
    limit,
    secret::{Hash, Plain},
    session::Session,
    ticket::{Claim, Kind, Tickets},
    user::UpstreamAccount,
};

/// How long a link waits (RD-04).
pub const KEPT: Duration = Duration::from_secs(900);

/// How long it may wait in all, however often another address is wanted: whoever sits down at this browser later finds
/// none.
const MOST: Duration = Duration::from_secs(3600);

/// Where a person is asked whether to connect an account.
pub const CONFIRM_PATH: &str = "/login/identity";

/// What a link waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkRequirement {
    /// An address, proven by mail (case C).
    #[serde(rename = "Proof")]
    VerifiedEmail,
    /// A yes to leaving somebody else's session (case A).
    #[serde(rename = "Switch")]
    SwitchConsent,
    /// A yes to connecting it to whoever is signed in (case B).
    #[serde(rename = "Yes")]
    LinkConsent,
}

/// An account at a provider that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PendingLink {
    /// Which account.
    pub arrived: UpstreamAccount,
    /// The provider runs the mailbox of the address that it told.
    pub authoritative: bool,
    /// How it was proven there.
    pub amr: String,
    /// What people call the provider.
    pub provider_name: String,
    /// What it waits for.
    pub wants: LinkRequirement,
    /// The session that began it, where one must be there at the end.
    pub session: Option<Uuid>,
    /// The handle of the client's request that goes on after it.
    pub txn: Option<String>,
    /// When it began to wait, this time.
    pub at: Time,
    /// When it came back from the provider, if it was taken up anew since.
    #[serde(default)]
    pub came_at: Option<Time>,
    /// The ticket that it was read from, hashed: to be spent when it is settled.
    #[serde(default)]
    pub origin: Option<Vec<u8>>,
}

impl PendingLink {
    /// The same, to wait anew because another address is wanted; none once it has done so for long enough.
    #[must_use]
    pub fn anew(self, now: Time) -> Option<Self> {
        let came_at = self.came_at.unwrap_or(self.at);
        (now.since(came_at) <= MOST).then_some(Self {
            at: now,
            came_at: Some(came_at),
            ..self
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    browser: Vec<u8>,
    link: PendingLink,
}

/// Parks a link under a fresh handle, which is worth nothing in another browser.
///
/// # Errors
/// If the ticket store is away.
pub async fn store(
    tickets: &Tickets,
    browser: Hash,
    link: &PendingLink,
) -> Result<Plain, InfraError> {
    let handle = Plain::generate();
    let stored = Stored {
        browser: browser.to_column(),
        link: link.clone(),
    };
    let value = serde_json::to_vec(&stored).map_err(InfraError::internal)?;
    if !tickets
        .issue(Kind::Link, &handle.hash(), &value, KEPT)
        .await?
    {
        return Err(InfraError::internal("a fresh 256-bit handle was taken"));
    }
    Ok(handle)
}

/// The link behind a handle, if this browser brought it and its time is not over; it stays.
///
/// # Errors
/// If the ticket store is away.
pub async fn peek(
    tickets: &Tickets,
    handle: &Plain,
    requester: Requester<'_>,
    now: Time,
) -> Result<Option<PendingLink>, InfraError> {
    let Some(value) = tickets.peek(Kind::Link, &handle.hash()).await? else {
        return Ok(None);
    };
    Ok(read(&value, handle, requester, now))
}

/// Takes the link behind a handle, once.
///
/// # Errors
/// If the ticket store is away.
pub async fn claim(
    tickets: &Tickets,
    handle: &Plain,
    requester: Requester<'_>,
    now: Time,
) -> Result<Option<PendingLink>, InfraError> {
    // Looked at first, so that another browser cannot spend what is not its own.
    if peek(tickets, handle, requester, now).await?.is_none() {
        return Ok(None);
    }
    match tickets
        .claim(Kind::Link, &handle.hash(), b"taken", KEPT)
        .await?
    {
        Claim::Fresh(value) => Ok(read(&value, handle, requester, now)),
        Claim::Replayed(_) | Claim::Gone => Ok(None),
    }
}

/// Spends the ticket of a link that was settled in its flow's row.
///
/// # Errors
/// If the ticket store is away.
pub async fn spend(tickets: &Tickets, link: &PendingLink) -> Result<(), InfraError> {
    if let Some(origin) = link.origin.as_deref().and_then(Hash::from_column) {
        tickets.claim(Kind::Link, &origin, b"taken", KEPT).await?;
    }
    Ok(())
}

fn read(value: &[u8], handle: &Plain, requester: Requester<'_>, now: Time) -> Option<PendingLink> {
    let stored: Stored = serde_json::from_slice(value).ok()?;
    let bound = Hash::from_column(&stored.browser)?;
    let mut link = stored.link;
    let in_time = now.since(link.at) <= KEPT;
    link.origin.get_or_insert_with(|| handle.hash().to_column());
    (in_time && is_same_browser(bound, requester.browser, requester.session)).then_some(link)
}

/// Whether a browser is the one that something was bound to: it holds that cookie, or a session that grew from it.
#[must_use]
pub fn is_same_browser(bound: Hash, browser: Option<Hash>, session: Option<&Session>) -> bool {
    let grown_from = session
        .and_then(|session| session.browser_hash.as_deref())
        .and_then(Hash::from_column);
    browser == Some(bound) || grown_from == Some(bound)
}

/// The link that a page or form names, if this browser brought it: none was named, or its provider may not speak for it
/// any more, and the sign-in goes on without.
///
/// # Errors
/// [`PageError::PendingLinkGone`] if it is another browser's, used, or too old: with its row in the trail.
pub async fn find_named(
    app: &App,
    context: &RequestContext,
    handle: Option<&str>,
) -> Result<Option<PendingLink>, PageError> {
    let Some(handle) = handle else {
        return Ok(None);
    };
    let found = match Plain::parse(handle) {
        Some(handle) => {
            peek(
                &app.tickets,
                &handle,
                context.requester(),
                app.clock().now(),
            )
            .await?
        }
        None => None,
    };
    match found.filter(|link| link.wants == LinkRequirement::VerifiedEmail) {
        Some(link) => Ok(provider::is_trusted_issuer(&context.config, &link.arrived)
            .is_some()
            .then_some(link)),
        None => Err(record_refusal(app, context).await?),
    }
}

/// The trail's row for a link that is not to be had here, and the page for it. Anybody may ask for links that there are
/// none of: over the budget of refusals it is a line in the log alone.
///
/// # Errors
/// If the database is away.
pub async fn record_refusal(app: &App, context: &RequestContext) -> Result<PageError, InfraError> {
    tracing::warn!(
        request_id = context.caller.request_id,
        code = "lk_browser",
        "upstream link refused"
    );
    // With the store away there is no count, and refusals are few.
    let over =
        limit::upstream_refusal(&app.tickets, context.caller.ip, &context.config.limits).await;
    if matches!(over, Ok(Some(_))) {
        return Ok(PageError::PendingLinkGone);
    }
    let tx = app.db.begin().await?;
    let event = Event::new(Happened::UpstreamRefused).reason("lk_browser");
    event
        .caller(&context.caller.network, &context.caller.request_id)
        .record(&tx)
        .await?;
    tx.commit().await?;
    Ok(PageError::PendingLinkGone)
}
