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
    let Some(token) = token::find_by_link(tx.conn(), link).await? else {
        return consume::refuse(tx, None, ConsumeRefusal::UnknownLink, attempt).await;
    };
    // No attempt is counted: 256 bits are not guessed, and the caller may not hold the flow that it names.
    if expected_flow.is_some_and(|id| id != token.flow_id) {
        return consume::refuse(tx, None, ConsumeRefusal::OtherFlow, attempt).await;
    }
    let Some(flow) = flow::find(tx.conn(), token.flow_id).await? else {
        return consume::refuse(tx, None, ConsumeRefusal::UnknownLink, attempt).await;
    };
    if !flow::is_held_by(&flow, &attempt.holder) {
        consume::refuse(tx, None, ConsumeRefusal::OtherBrowser, attempt).await?;
        return Ok(ConsumeOutcome::OtherHolder);
    }
    if consume::may_repeat(&flow, tx, attempt) {
        return consume::repeat(tx, flow, attempt).await;
    }
    if let Some(outcome) = consume::confirm_switch(tx, &flow, attempt).await? {
        return Ok(outcome);
    }
    let live = token::find_live(tx.conn(), flow.id, tx.now).await?;
    if !live.iter().any(|live| live.id == token.id) {
        return consume::refuse(tx, Some(&flow), ConsumeRefusal::Expired, attempt).await;
    }
    consume::claim(tx, flow, attempt, ConsumedSecret::Link).await
}

/// Returns the flow of a link, if this holder started it.
pub(super) async fn find_held_flow(
    db: &Db,
    link: &Plain,
    holder: &FlowHolder,
) -> Result<Option<Flow>, InfraError> {
    let Some(token) = token::find_by_link(db.read(), &link.hash()).await? else {
        return Ok(None);
    };
    flow::find_held(db.read(), token.flow_id, holder).await
}

/// Returns whether the link would sign its holder in, first or once more.
pub(super) async fn is_usable(db: &Db, flow: &Flow, link: &Plain) -> Result<bool, InfraError> {
    let now = db.clock().now();
    if flow::is_repeatable(flow, now) {
        return Ok(true);
    }
    let hash = link.hash().to_column();
    let live = token::find_live(db.read(), flow.id, now).await?;
    Ok(flow.state == FlowState::Open
        && flow.expires_at > now
        && live.iter().any(|token| token.link_hash == hash))
}
