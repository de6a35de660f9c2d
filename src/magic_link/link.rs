//! The link in the email, opened where the sign-in was requested.

use uuid::Uuid;

use super::{
    consume::{self, ConsumeAttempt, ConsumeOutcome, ConsumeRefusal, ConsumedSecret},
    token,
};
use crate::{
    db::{Db, Tx},
    error::InfraError,
    login::flow::{self, Flow, FlowHolder, FlowState},
    secret::{Hash, Plain},
};

/// Uses a link. An app names the link's flow in `expected_flow`; a browser names none.
pub(super) async fn consume(
    tx: &Tx,
    link: &Hash,
    expected_flow: Option<Uuid>,
    attempt: &ConsumeAttempt<'_>,
) -> Result<ConsumeOutcome, InfraError> {
    let Some(found) = token::find_by_link(tx.conn(), link, tx.now).await? else {
        return consume::refuse(tx, None, ConsumeRefusal::UnknownLink, attempt).await;
    };
    let flow = found.flow;
    // No attempt is counted: 256 bits are not guessed, and the caller may not hold the flow that it names.
    if expected_flow.is_some_and(|id| id != flow.id) {
        return consume::refuse(tx, None, ConsumeRefusal::OtherFlow, attempt).await;
    }
    if !flow::is_held_by(&flow, &attempt.holder) {
        consume::refuse(tx, None, ConsumeRefusal::OtherBrowser, attempt).await?;
        return Ok(ConsumeOutcome::OtherHolder);
    }
    attempt.caller.log_line.keep();
    if consume::may_repeat(&flow, tx, attempt) {
        return consume::repeat(tx, flow, attempt).await;
    }
    if let Some(outcome) = consume::confirm_switch(tx, &flow, attempt).await? {
        return Ok(outcome);
    }
    if !found.is_live {
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
