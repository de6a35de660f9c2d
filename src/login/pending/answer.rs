//! A request that a form claims with its answer, so that the form may come twice (ST-04).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{PendingRequest, Requester, TTL, parse};
use crate::{
    clock::Time,
    error::InfraError,
    login::flow::DOUBLE_CLICK,
    secret::Plain,
    ticket::{Claim, TicketKind, Tickets},
};

/// The answer in the tombstone of a request.
const ANSWER: &str = "answer";

/// The answer to a form that claimed a request.
#[derive(Serialize, Deserialize)]
pub struct Answer {
    pub at: Time,
    /// Opaque, as the request is.
    pub text: String,
}

/// Takes the request behind a handle, once, by a form whose answer is ready. Returns `false` if
/// this browser has no such request any more. The answer stays beside the request, sealed under the
/// handle, for [`find_answered`].
pub async fn claim_with_answer(
    tickets: &Tickets,
    handle: &Plain,
    requester: Requester<'_>,
    answer: &Answer,
) -> Result<bool, InfraError> {
    let value = tickets.peek(TicketKind::Pending, &handle.hash()).await?;
    let Some(value) = value.filter(|value| parse(value, requester).is_some()) else {
        return Ok(false);
    };
    let mut tombstone: serde_json::Map<String, Value> =
        serde_json::from_slice(&value).map_err(InfraError::internal)?;
    let answer = serde_json::to_value(answer).map_err(InfraError::internal)?;
    tombstone.insert(ANSWER.to_owned(), answer);
    let tombstone = serde_json::to_vec(&tombstone).map_err(InfraError::internal)?;
    let claim = tickets
        .claim(TicketKind::Pending, &handle.hash(), &tombstone, TTL)
        .await?;
    Ok(matches!(claim, Claim::Fresh(_)))
}

/// ST-04: returns a request that a form of this browser claimed within the last minute, and the text
/// of its answer.
pub async fn find_answered(
    tickets: &Tickets,
    handle: &Plain,
    requester: Requester<'_>,
    now: Time,
) -> Result<Option<(PendingRequest, String)>, InfraError> {
    let handle = handle.hash();
    let Some(tombstone) = tickets.tombstone(TicketKind::Pending, &handle).await? else {
        return Ok(None);
    };
    let (Some(pending), Some(answer)) = (parse(&tombstone, requester), answer_in(&tombstone))
    else {
        return Ok(None);
    };
    let is_repeat = now.since(answer.at) <= DOUBLE_CLICK;
    Ok(is_repeat.then_some((pending, answer.text)))
}

fn answer_in(tombstone: &[u8]) -> Option<Answer> {
    let mut value: Value = serde_json::from_slice(tombstone).ok()?;
    serde_json::from_value(value.get_mut(ANSWER)?.take()).ok()
}
