//! Wrong codes of one address over all its flows (D3): at most ten an hour and thirty a day, then codes are off for an
//! hour and links still work. The count is SQL, beside the secrets, so that nothing resets one and keeps the other.

use std::time::Duration;

use entity::code_budget as row;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, EntityTrait as _, QueryFilter as _,
    sea_query::{Expr, OnConflict},
};

use crate::{clock::Time, config::Budget, db::Tx, error::InfraError, secret::Hash};

/// How long codes stay off once a budget is spent.
const OFF: Duration = Duration::from_secs(3600);

/// Takes one try from the address's budget, as if it were wrong; [`give_back`] undoes it when it was right. `false`:
/// nothing is left and nothing may be compared.
///
/// # Errors
/// The database's own.
pub async fn take(tx: &Tx, address: &Hash, budgets: &[Budget]) -> Result<bool, InfraError> {
    let mut current = lock(tx, address).await?;
    let longest = budgets
        .iter()
        .map(|budget| budget.seconds)
        .max()
        .unwrap_or(0);
    current
        .attempts
        .retain(|at| tx.now.since(*at) < Duration::from_secs(longest));
    let spent = budgets.iter().any(|budget| {
        let window = Duration::from_secs(budget.seconds);
        let recent = current
            .attempts
            .iter()
            .filter(|at| tx.now.since(**at) < window)
            .count();
        recent >= budget.count as usize
    });
    if current.blocked_until > tx.now || spent {
        return Ok(false);
    }
    current.attempts.push(tx.now);
    let now_spent = budgets.iter().any(|budget| {
        let window = Duration::from_secs(budget.seconds);
        current
            .attempts
            .iter()
            .filter(|at| tx.now.since(**at) < window)
            .count()
            >= budget.count as usize
    });
    if now_spent {
        current.blocked_until = tx.now + OFF;
    }
    store(tx, address, &current).await?;
    Ok(true)
}

/// The try was right: it does not count.
///
/// # Errors
/// The database's own.
pub async fn give_back(tx: &Tx, address: &Hash) -> Result<(), InfraError> {
    let mut current = lock(tx, address).await?;
    current.attempts.pop();
    current.blocked_until = Time(0);
    store(tx, address, &current).await
}

struct Current {
    attempts: Vec<Time>,
    blocked_until: Time,
}

/// Reads the row under a lock that lasts until the end of the unit of work: the update comes first, so that two at
/// once wait for each other instead of reading the same count.
async fn lock(tx: &Tx, address: &Hash) -> Result<Current, InfraError> {
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
        .await?;
    let model = model
        .ok_or_else(|| InfraError::internal("a budget row is gone within its unit of work"))?;
    let attempts = model
        .attempts
        .split(' ')
        .filter_map(|at| at.parse().ok().map(Time))
        .collect();
    Ok(Current {
        attempts,
        blocked_until: model.blocked_until,
    })
}

async fn store(tx: &Tx, address: &Hash, current: &Current) -> Result<(), InfraError> {
    let attempts = current
        .attempts
        .iter()
        .map(|at| at.0.to_string())
        .collect::<Vec<_>>()
        .join(" ");
    row::Entity::update_many()
        .col_expr(row::Column::Attempts, Expr::value(attempts))
        .col_expr(
            row::Column::BlockedUntil,
            Expr::value(current.blocked_until.0),
        )
        .filter(row::Column::AddressKey.eq(address.to_column()))
        .exec(tx.conn())
        .await?;
    Ok(())
}

/// Forgets budgets unused for two days, at most `most`; gives how many.
///
/// # Errors
/// The database's own.
pub async fn sweep(tx: &Tx, most: u64) -> Result<u64, InfraError> {
    tx.delete_some::<row::Entity>(
        row::Column::AddressKey,
        row::Column::UpdatedAt.lt(tx.now - Duration::from_secs(2 * 86_400)),
        most,
    )
    .await
}
