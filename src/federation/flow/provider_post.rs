//! A provider's response that its own site posts (CB-03).
//!
//! Browsers send no Lax cookie with such a POST, so it reads none: its parameters are stored for a
//! minute under a fresh handle, and our own GET brings them back together with the cookies.

use std::time::Duration;

use super::{
    callback::{CallbackParams, has_state_form},
    state,
};
use crate::{
    app::App,
    config::Budget,
    federation::error::{FederationError, RefusalCode},
    limit,
    login::RequestContext,
    secret::{Hash, Plain},
    ticket::{Claim, TicketKind, Tickets},
};

/// How many posts of a provider one `state` may store. A browser sends one, and another if the user
/// goes back.
const PROVIDER_POSTS_PER_STATE: [Budget; 1] = [Budget {
    count: 3,
    seconds: state::STATE_TTL.as_secs(),
}];

/// How long a provider's post waits for our own GET.
const PROVIDER_POST_TTL: Duration = Duration::from_secs(60);

/// What the handle of a provider's post leads to.
pub enum ProviderPost {
    /// To the first request with the handle: the response.
    First(CallbackParams),
    /// To a later one: the `state`, which says where its browser goes (OC-8).
    Again { state: String },
}

/// Returns how long the caller must wait before it may store a provider's post for a flow that waits.
///
/// A POST spends no `state`, so that one `state` could fill the ticket store: a few are counted for
/// each. The network was counted when the flow began, and is not counted again: the POST has no
/// cookies, and a neighbour must not stop a user halfway (OA-3). Without the store nothing can be
/// stored either.
pub async fn wait_before_store(
    app: &App,
    context: &RequestContext,
    state: &str,
) -> Option<Duration> {
    let state = Hash::of(state.as_bytes());
    let tickets = app.tickets.charged_to(context.payer());
    // The name of the counter in the ticket store.
    limit::hit(&tickets, "posted answer", &state, &PROVIDER_POSTS_PER_STATE)
        .await
        .ok()
        .flatten()
}

/// Stores a provider's post and returns its handle.
pub async fn store(tickets: &Tickets, params: &CallbackParams) -> Result<Plain, FederationError> {
    let handle = Plain::generate();
    let value = serde_json::to_vec(params).map_err(|_| RefusalCode::StoreDown)?;
    let is_stored = tickets
        .issue(
            TicketKind::Returned,
            &handle.hash(),
            &value,
            PROVIDER_POST_TTL,
        )
        .await
        .map_err(|error| state::store_down(&error))?;
    if is_stored {
        Ok(handle)
    } else {
        Err(RefusalCode::StoreDown.into())
    }
}

/// Claims a provider's post by its handle. A handle that comes again still has the `state`, which says
/// where its browser goes (OC-8).
pub async fn claim(
    tickets: &Tickets,
    handle: Option<&str>,
) -> Result<ProviderPost, FederationError> {
    let unknown = || FederationError::new(RefusalCode::StateUnknown, "the handle");
    let handle = handle.and_then(Plain::parse).ok_or_else(unknown)?;
    let read =
        |value: &[u8]| serde_json::from_slice::<CallbackParams>(value).map_err(|_| unknown());
    let handle = handle.hash();
    let live = tickets.peek(TicketKind::Returned, &handle).await;
    let live = live.map_err(|error| state::store_down(&error))?;
    let state = match &live {
        Some(value) => read(value)?.state,
        None => String::new(),
    };
    let claim = tickets.claim(
        TicketKind::Returned,
        &handle,
        state.as_bytes(),
        PROVIDER_POST_TTL,
    );
    match claim.await.map_err(|error| state::store_down(&error))? {
        Claim::Fresh(value) => Ok(ProviderPost::First(read(&value)?)),
        Claim::Replayed(state) => match String::from_utf8(state) {
            Ok(state) if has_state_form(&state) => Ok(ProviderPost::Again { state }),
            _ => Err(RefusalCode::StateUsed.into()),
        },
        Claim::Gone => Err(unknown()),
    }
}
