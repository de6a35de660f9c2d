//! Wrong codes of one address over all its flows (D3): at most ten an hour and thirty a day. Then codes
//! are off for an hour, and links still work. The count is in SQL, beside the secrets, so that nothing
//! resets one and keeps the other.

use std::time::Duration;

use entity::code_budget as row;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, EntityTrait as _, QueryFilter as _,
    sea_query::{Expr, OnConflict},
};

use crate::{clock::Time, config::Budget, db::Tx, error::InfraError, secret::Hash};

/// How long codes stay off once a budget is spent.
const BLOCK: Duration = Duration::from_secs(3600);

/// How long an unused budget is kept.
const RETENTION: Duration = Duration::from_secs(2 * 86_400);

/// The attempts at codes of one address.
struct AddressAttempts {
    attempts: Vec<Time>,
    blocked_until: Time,
}

impl AddressAttempts {
    fn is_spent(&self, now: Time, budgets: &[Budget]) -> bool {
        budgets.iter().any(|budget| {
            let window = Duration::from_secs(budget.seconds);
            let recent = self.attempts.iter().filter(|at| now.since(**at) < window);
            recent.count() >= budget.count as usize
        })
    }
}

/// Spends one attempt of the address's budget, as if the code were wrong; [`return_attempt`] undoes it if
/// the code was right. Returns `false` if nothing is left: then no code may be compared.
pub async fn spend_attempt(
    tx: &Tx,
    address: &Hash,
    budgets: &[Budget],
) -> Result<bool, InfraError> {
    let mut current = lock_row(tx, address).await?;
    let longest = budgets.iter().map(|budget| budget.seconds).max();
    let longest = Duration::from_secs(longest.unwrap_or(0));
    current.attempts.retain(|at| tx.now.since(*at) < longest);
    if current.blocked_until > tx.now || current.is_spent(tx.now, budgets) {
        return Ok(false);
    }
    current.attempts.push(tx.now);
    if current.is_spent(tx.now, budgets) {
        current.blocked_until = tx.now + BLOCK;
    }
    store_row(tx, address, &current).await?;
    Ok(true)
}

/// Returns the attempt of a code that was right.
pub async fn return_attempt(tx: &Tx, address: &Hash) -> Result<(), InfraError> {
    let mut current = lock_row(tx, address).await?;
    current.attempts.pop();
    current.blocked_until = Time(0);
    store_row(tx, address, &current).await
}

/// Reads the row under a lock that lasts until the end of the transaction. The update comes first, so
/// that two transactions wait for each other instead of reading the same count.
async fn lock_row(tx: &Tx, address: &Hash) -> Result<AddressAttempts, InfraError> {
    let fresh = row::ActiveModel {
        address_key: Set(address.to_column()),
        attempts: Set(String::new()),
        blocked_until: Set(Time(0)),
        updated_at: Set(tx.now),
    };
    row::Entity::insert(fresh)
        .on_conflict(
            OnConflict::column(row::Column::AddressKey)
                .update_column(row::Column::UpdatedAt)
                .to_owned(),
        )
        .exec_without_returning(tx.conn())
        .await?;
    let model = row::Entity::find_by_id(address.to_column())
        .one(tx.conn())
        .await?
        .ok_or_else(|| InfraError::internal("a budget row vanished within its transaction"))?;
    let attempts = model
        .attempts
        .split(' ')
        .filter_map(|at| at.parse().ok().map(Time))
        .collect();
    Ok(AddressAttempts {
        attempts,
        blocked_until: model.blocked_until,
    })
}

async fn store_row(tx: &Tx, address: &Hash, current: &AddressAttempts) -> Result<(), InfraError> {
    let attempts: Vec<_> = current.attempts.iter().map(|at| at.0.to_string()).collect();
    row::Entity::update_many()
        .col_expr(row::Column::Attempts, Expr::value(attempts.join(" ")))
        .col_expr(
            row::Column::BlockedUntil,
            Expr::value(current.blocked_until.0),
        )
        .filter(row::Column::AddressKey.eq(address.to_column()))
        .exec(tx.conn())
        .await?;
    Ok(())
}

/// Deletes at most `limit` budgets that were unused for two days and returns how many.
pub async fn sweep(tx: &Tx, limit: u64) -> Result<u64, InfraError> {
    let unused = row::Column::UpdatedAt.lt(tx.now - RETENTION);
    tx.delete_some::<row::Entity>(row::Column::AddressKey, unused, limit)
        .await
}
