//! Accounts at a provider that wait for a decision: the verification of an address, or a consent.
//!
//! A pending link is a ticket, bound to the browser that came back from the provider and valid for
//! fifteen minutes (LK-06). Once the user enters an address, a copy is stored with the flow and
//! lives as long as the flow; the ticket is spent when the link is settled. Nothing here links an
//! account: sign-in completion does that, or a form of `federation`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{flow::DOUBLE_CLICK, pending::Requester};
use crate::{
    clock::Time,
    error::InfraError,
    secret::{Hash, Plain},
    ticket::{Claim, TicketKind, Tickets},
    user::UpstreamAccount,
};

/// How long a link waits (RD-04).
pub const TTL: Duration = Duration::from_secs(900);

/// How long a link waits at most, however often the user starts over with another address: the next
/// user of this browser must find none.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// The page that asks whether to link an account.
pub const CONFIRM_PATH: &str = "/login/identity";

/// What a link waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkRequirement {
    /// The verification of an address by email (LC-C).
    #[serde(rename = "Proof")]
    VerifiedEmail,
    /// The consent to leave another user's session (LC-A).
    #[serde(rename = "Switch")]
    SwitchConsent,
    /// The consent to link the account to the signed-in user (LC-B).
    #[serde(rename = "Yes")]
    LinkConsent,
}

/// An account at a provider that waits for a decision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PendingLink {
    #[serde(rename = "arrived")]
    pub account: UpstreamAccount,
    /// The provider runs the mailbox of the address that it reports.
    pub authoritative: bool,
    /// The authentication methods that the provider reports, separated by spaces.
    pub amr: String,
    /// The display name of the provider.
    pub provider_name: String,
    #[serde(rename = "wants")]
    pub requirement: LinkRequirement,
    /// The session that started it, where the same session must finish it.
    pub session: Option<Uuid>,
    /// The handle of the client's request that continues afterwards.
    pub txn: Option<String>,
    /// The client that made it.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The start of the current wait.
    #[serde(rename = "at")]
    pub waiting_since: Time,
    /// The time of return from the provider, if the wait was renewed since.
    #[serde(default, rename = "came_at")]
    pub returned_at: Option<Time>,
    /// The hash of the ticket that the link was read from, to be spent when the link is settled.
    #[serde(default)]
    pub origin: Option<Vec<u8>>,
}

impl PendingLink {
    /// Returns the link with a new wait, because the user wants another address. Returns none once
    /// the link has waited for long enough.
    #[must_use]
    pub fn renewed(self, now: Time) -> Option<Self> {
        let returned_at = self.returned_at.unwrap_or(self.waiting_since);
        (now.since(returned_at) <= MAX_AGE).then_some(Self {
            waiting_since: now,
            returned_at: Some(returned_at),
            ..self
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredLink {
    browser: Vec<u8>,
    link: PendingLink,
}

/// Stores a link under a fresh handle, which is worth nothing in another browser.
pub async fn store(
    tickets: &Tickets,
    browser: Hash,
    link: &PendingLink,
) -> Result<Plain, InfraError> {
    let handle = Plain::generate();
    let stored = StoredLink {
        browser: browser.to_column(),
        link: link.clone(),
    };
    let value = serde_json::to_vec(&stored).map_err(InfraError::internal)?;
    if !tickets
        .issue(TicketKind::Link, &handle.hash(), &value, TTL)
        .await?
    {
        return Err(InfraError::internal("a fresh 256-bit handle was taken"));
    }
    Ok(handle)
}

/// Returns the link behind a handle, if this browser stored it and it has not expired. The link
/// stays.
pub async fn peek(
    tickets: &Tickets,
    handle: &Plain,
    requester: Requester<'_>,
    now: Time,
) -> Result<Option<PendingLink>, InfraError> {
    let value = tickets.peek(TicketKind::Link, &handle.hash()).await?;
    Ok(value.and_then(|value| parse(&value, handle, requester, now)))
}

/// A claimed link in its tombstone, for a browser that sends its answer twice.
#[derive(Serialize, Deserialize)]
struct ClaimedLink {
    #[serde(flatten)]
    stored: StoredLink,
    claimed_at: Time,
}

/// Takes the link behind a handle, once. For a minute the tombstone says what it was.
pub async fn claim(
    tickets: &Tickets,
    handle: &Plain,
    requester: Requester<'_>,
    now: Time,
) -> Result<Option<PendingLink>, InfraError> {
    // Peek first, so that another browser cannot spend a handle that is not its own.
    let value = tickets.peek(TicketKind::Link, &handle.hash()).await?;
    let Some(value) = value.filter(|value| parse(value, handle, requester, now).is_some()) else {
        return Ok(None);
    };
    let claimed = ClaimedLink {
        stored: serde_json::from_slice(&value).map_err(InfraError::internal)?,
        claimed_at: now,
    };
    let tombstone = serde_json::to_vec(&claimed).map_err(InfraError::internal)?;
    match tickets
        .claim(TicketKind::Link, &handle.hash(), &tombstone, TTL)
        .await?
    {
        Claim::Fresh(value) => Ok(parse(&value, handle, requester, now)),
        Claim::Replayed(_) | Claim::Gone => Ok(None),
    }
}

/// ST-04: returns the link that this browser claimed under a handle within the last minute.
pub async fn find_claimed(
    tickets: &Tickets,
    handle: &Plain,
    requester: Requester<'_>,
    now: Time,
) -> Result<Option<PendingLink>, InfraError> {
    let handle = handle.hash();
    let Some(tombstone) = tickets.tombstone(TicketKind::Link, &handle).await? else {
        return Ok(None);
    };
    let Ok(claimed) = serde_json::from_slice::<ClaimedLink>(&tombstone) else {
        return Ok(None);
    };
    let is_repeat = now.since(claimed.claimed_at) <= DOUBLE_CLICK;
    let bound = Hash::from_column(&claimed.stored.browser);
    let is_own = bound.is_some_and(|bound| requester.is_browser(bound));
    Ok((is_repeat && is_own).then_some(claimed.stored.link))
}

/// Spends the ticket of a link that was settled with its flow.
pub async fn spend(tickets: &Tickets, link: &PendingLink) -> Result<(), InfraError> {
    if let Some(origin) = link.origin.as_deref().and_then(Hash::from_column) {
        tickets
            .claim(TicketKind::Link, &origin, b"taken", TTL)
            .await?;
    }
    Ok(())
}

fn parse(value: &[u8], handle: &Plain, requester: Requester<'_>, now: Time) -> Option<PendingLink> {
    let stored: StoredLink = serde_json::from_slice(value).ok()?;
    let bound = Hash::from_column(&stored.browser)?;
    let mut link = stored.link;
    let in_time = now.since(link.waiting_since) <= TTL;
    link.origin.get_or_insert_with(|| handle.hash().to_column());
    (in_time && requester.is_browser(bound)).then_some(link)
}
