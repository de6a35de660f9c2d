//! The end of flows that are over.

use std::time::Duration;

use entity::magic_link_flow::{self as row, FlowState};
use sea_orm::{ColumnTrait as _, ExprTrait as _};

use crate::{db::Tx, error::InfraError};

/// How long a flow is kept that is over: its link still says why it is dead, and leads on (OD-12).
const RETENTION: Duration = Duration::from_secs(86_400);

/// Deletes at most `max` flows, and with them their secrets, 24 h after they have expired, and at
/// once those whose email was withheld: no link names them, and any number may be requested (OA-8).
/// Returns how many.
pub async fn sweep(tx: &Tx, max: u64) -> Result<u64, InfraError> {
    let has_no_link = row::Column::State
        .ne(FlowState::Consumed)
        .and(row::Column::WithheldUntil.is_not_null())
        .and(row::Column::Sends.eq(1));
    let expired = row::Column::ExpiresAt
        .lt(tx.now - RETENTION)
        .or(row::Column::ExpiresAt.lt(tx.now).and(has_no_link));
    tx.delete_some::<row::Entity>(row::Column::Id, expired, max)
        .await
}
