//! The link in the email, opened where the sign-in was requested.

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{
    consume::{
        self, BeforeClaim, ConsumeAttempt, ConsumeOutcome, ConsumeRefusal, ConsumedSecret, NotTried,
    },
    token::{self, FoundLink},
};
use crate::{
    clock::Time,
    db::{Db, Tx},
    error::InfraError,
    login::flow::{self, Flow, FlowHolder, FlowState},
    secret::{Hash, Plain},
};

/// Looks a link up before its use. An app names the link's flow in `expected_flow`; a browser names
/// none. The claim is guarded, so that what is found may be older than the unit of work.
pub(super) async fn look(
    conn: &impl ConnectionTrait,
    now: Time,
    link: &Hash,
    expected_flow: Option<Uuid>,
    attempt: &ConsumeAttempt<'_>,
) -> Result<FoundLink, NotTried> {
    let refuse = |reason| consume::refuse_unrecorded(None, reason, attempt);
    let Some(found) = token::find_by_link(conn, link, now).await? else {
        return Err(refuse(ConsumeRefusal::UnknownLink));
    };
    // No attempt is counted: 256 bits are not guessed, and the caller may not hold the flow that it names.
    if expected_flow.is_some_and(|id| id != found.flow.id) {
        return Err(refuse(ConsumeRefusal::OtherFlow));
    }
    if !flow::is_held_by(&found.flow, &attempt.holder) {
        consume::log_refusal(ConsumeRefusal::OtherBrowser, attempt);
        return Err(NotTried::Refused(Box::new(ConsumeOutcome::OtherHolder)));
    }
    attempt.caller.log_line.always_write();
    Ok(found)
}

/// Uses a link that its holder has looked up.
pub(super) async fn consume(
    tx: &Tx,
    FoundLink { flow, is_live }: FoundLink,
    attempt: &ConsumeAttempt<'_>,
) -> Result<ConsumeOutcome, InfraError> {
    match consume::before_claim(tx, &flow, attempt).await? {
        BeforeClaim::Repeat => return consume::repeat(tx, flow, attempt).await,
        BeforeClaim::Outcome(outcome) => return Ok(outcome),
        BeforeClaim::Claim => {}
    }
    if !is_live {
        return consume::refuse(tx, Some(&flow), ConsumeRefusal::Expired, attempt).await;
    }
    consume::claim(tx, flow, attempt, ConsumedSecret::Link).await
}

/// What a link is worth, to any browser that has it.
#[derive(Debug)]
pub(super) enum LinkState {
    /// It signs the holder of its flow in, first or once more.
    Live(Box<Flow>),
    /// It is dead (OD-12), and this flow says why.
    Dead(Box<Flow>),
    Unknown,
}

/// Returns what a link is worth. `holder` alone may repeat a use.
pub(super) async fn state_of(
    db: &Db,
    link: &Plain,
    holder: &FlowHolder,
) -> Result<LinkState, InfraError> {
    let now = db.clock().now();
    let Some(found) = token::find_by_link(db.read(), &link.hash(), now).await? else {
        return Ok(LinkState::Unknown);
    };
    let flow = found.flow;
    let is_open = flow.state == FlowState::Open && flow.expires_at > now;
    let is_usable = is_open && found.is_live;
    let is_repeatable = flow::is_repeatable(&flow, now) && flow::is_held_by(&flow, holder);
    let flow = Box::new(flow);
    Ok(if is_usable || is_repeatable {
        LinkState::Live(flow)
    } else {
        LinkState::Dead(flow)
    })
}
