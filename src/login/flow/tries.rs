//! The attempts at the code of a flow, and its refusals in the audit log.

use std::time::Duration;

use entity::{
    Time,
    magic_link_flow::{self as row, FlowState, Model as Flow},
};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, ExprTrait as _, QueryFilter as _, sea_query::Expr,
};
use uuid::Uuid;

use super::DOUBLE_CLICK;
use crate::{db::Tx, error::InfraError, secret::Hash};

/// The most refusals of one flow that have rows in the audit log: more than its tries, its emails
/// and a few clicks add up to.
const MAX_RECORDED_REFUSALS: i32 = 20;

/// How long the same wrong code again is a double click.
const REPEATED: Duration = Duration::from_secs(10);

/// An attempt at the code of a flow.
#[derive(Clone, Copy, Debug)]
pub struct Try<'a> {
    pub flow: Uuid,
    /// The state that the flow must have.
    pub state: FlowState,
    /// The keyed hash of the code and its flow.
    pub code_mac: &'a Hash,
}

/// Returns whether an attempt at this flow may count, or repeat a success of a moment ago (B7).
#[must_use]
pub fn takes_attempts(flow: &Flow, now: Time, max_tries: u32) -> bool {
    let is_open = flow.state == FlowState::Open && flow.expires_at > now;
    let has_tries = flow.tries < i32::try_from(max_tries).unwrap_or(i32::MAX);
    let is_repeat = |at: Time| now.since(at) <= DOUBLE_CLICK;
    (is_open && has_tries) || flow.consumed_at.is_some_and(is_repeat)
}

/// D2: counts a try, by one guarded statement, before anything is compared. Returns `false` if no try
/// is left, or if the same wrong code came a moment ago.
pub async fn count_try(tx: &Tx, attempt: Try<'_>, max_tries: u32) -> Result<bool, InfraError> {
    let is_another = (row::Column::WrongCodeMac.is_null())
        .or(row::Column::WrongCodeMac.ne(attempt.code_mac.to_column()))
        .or(row::Column::WrongCodeAt.lt(tx.now - REPEATED));
    let result = row::Entity::update_many()
        .filter(row::Column::Id.eq(attempt.flow))
        .filter(row::Column::State.eq(attempt.state))
        .filter(row::Column::ExpiresAt.gt(tx.now))
        .col_expr(row::Column::Tries, Expr::col(row::Column::Tries).add(1))
        .filter(row::Column::Tries.lt(i32::try_from(max_tries).unwrap_or(i32::MAX)))
        .filter(is_another)
        .exec(tx.conn())
        .await?;
    Ok(result.rows_affected == 1)
}

/// Remembers a code that was counted and is wrong.
pub async fn remember_wrong_code(tx: &Tx, id: Uuid, code_mac: &Hash) -> Result<(), InfraError> {
    row::Entity::update_many()
        .col_expr(
            row::Column::WrongCodeMac,
            Expr::value(Some(code_mac.to_column())),
        )
        .col_expr(row::Column::WrongCodeAt, Expr::value(Some(tx.now.0)))
        .filter(row::Column::Id.eq(id))
        .exec(tx.conn())
        .await?;
    Ok(())
}

/// Returns whether the code was wrong in this flow a moment ago, and no other was since. Hashes compare
/// in constant time.
#[must_use]
pub fn is_repeated_code(flow: &Flow, code_mac: &Hash, now: Time) -> bool {
    let is_recent = (flow.wrong_code_at).is_some_and(|at| now.since(at) <= REPEATED);
    let wrong = flow.wrong_code_mac.as_deref().and_then(Hash::from_column);
    is_recent && wrong.is_some_and(|wrong| wrong == *code_mac)
}

/// Counts a refusal that is about to be recorded in the audit log. Returns `false` if the log has
/// enough refusals of this flow.
pub async fn count_refusal(tx: &Tx, id: Uuid) -> Result<bool, InfraError> {
    let result = row::Entity::update_many()
        .col_expr(
            row::Column::Refusals,
            Expr::col(row::Column::Refusals).add(1),
        )
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::Refusals.lt(MAX_RECORDED_REFUSALS))
        .exec(tx.conn())
        .await?;
    Ok(result.rows_affected == 1)
}
