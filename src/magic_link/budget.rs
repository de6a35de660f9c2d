//! Wrong codes beyond those of one flow (D3, OA-2). The counts are in SQL, beside the secrets, so that
//! nothing resets one and keeps the other.
//!
//! A known device has a budget of its own, which no other caller can spend. Every other caller spends that
//! of its network with the address and that of the address. Once a budget is spent, codes are off for
//! an hour, and links still work. A flow without a live code guesses at nothing: what its attempts
//! would count is counted for no one.

use std::{net::IpAddr, time::Duration};

use entity::code_budget as row;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, EntityTrait as _, QueryFilter as _,
    sea_query::{Expr, OnConflict},
};

use crate::{
    clock::Time,
    config::{Budget, Limits},
    db::Tx,
    error::InfraError,
    network::{Network, Prefix},
    secret::{Hash, Mac},
};

/// How long codes stay off once a budget is spent, and how long a user who entered the right code then
/// has for a new one.
const BLOCK: Duration = Duration::from_secs(3600);

/// How long an unused budget is kept.
const RETENTION: Duration = Duration::from_secs(2 * 86_400);

/// Whose attempts are counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guesser<'a> {
    /// The key of the address, or of the flow if that has no live code.
    pub subject: &'a Hash,
    pub caller: IpAddr,
    /// The device, if it is known for the address.
    pub known_device: Option<Hash>,
    /// Derives the keys of rows.
    pub mac: &'a Mac,
}

impl Guesser<'_> {
    fn key(&self, parts: &[&[u8]]) -> Hash {
        let mut all = vec![self.subject.as_bytes().as_slice()];
        all.extend(parts);
        self.mac.tag(&all)
    }

    fn device_row(&self, device: &Hash, limits: &Limits) -> (Hash, Vec<Budget>) {
        let key = self.key(&[b"device", device.as_bytes()]);
        (key, limits.wrong_codes_known_device.clone())
    }

    /// Returns the rows of a caller without a known device, each with its budgets: those of the network
    /// and of the widest prefix around it, and that of the address.
    fn rows(&self, limits: &Limits) -> Vec<(Hash, Vec<Budget>)> {
        let network = Network::of(self.caller);
        let of_prefix = |prefix: Prefix| {
            let budgets = limits.wrong_codes_network_address.iter();
            let share = budgets.map(|budget| budget.times(prefix.weight)).collect();
            (self.key(&[b"prefix", &prefix.to_bytes()]), share)
        };
        let ends = [network.prefixes().next(), network.prefixes().next_back()];
        let mut rows: Vec<_> = ends.into_iter().flatten().map(of_prefix).collect();
        rows.push((self.key(&[b"address"]), limits.wrong_codes.clone()));
        // Rows are locked in one order everywhere.
        rows.sort_by_key(|(key, _)| *key.as_bytes());
        rows
    }

    /// Returns the key of the pass that a right code earns while codes are off.
    fn pass_key(&self) -> Hash {
        let network = Network::of(self.caller).prefixes().next();
        let bytes = network.map(Prefix::to_bytes).unwrap_or_default();
        self.key(&[b"pass", &bytes])
    }
}

/// The attempts of one row.
struct Attempts {
    key: Hash,
    budgets: Vec<Budget>,
    at: Vec<Time>,
    blocked_until: Time,
}

impl Attempts {
    fn of(model: row::Model, budgets: Vec<Budget>) -> Option<Self> {
        let at = model.attempts.split(' ');
        Some(Self {
            key: Hash::from_column(&model.address_key)?,
            budgets,
            at: at.filter_map(|at| at.parse().ok().map(Time)).collect(),
            blocked_until: model.blocked_until,
        })
    }

    fn is_exhausted(&self, now: Time) -> bool {
        self.budgets.iter().any(|budget| {
            let window = Duration::from_secs(budget.seconds);
            let recent = self.at.iter().filter(|at| now.since(**at) < window);
            recent.count() >= budget.count as usize
        })
    }

    fn is_spent(&self, now: Time) -> bool {
        self.blocked_until > now || self.is_exhausted(now)
    }

    fn count(&mut self, now: Time) {
        let longest = self.budgets.iter().map(|budget| budget.seconds).max();
        let longest = Duration::from_secs(longest.unwrap_or(0));
        self.at.retain(|at| now.since(*at) < longest);
        self.at.push(now);
        if self.is_exhausted(now) {
            self.blocked_until = now + BLOCK;
        }
    }
}

/// The budgets of one attempt, locked until the end of the transaction.
pub(super) struct LockedBudgets {
    rows: Vec<Attempts>,
    /// The pass that counts in their place.
    pass: Option<Attempts>,
}

/// Locks the budgets that count this attempt: the known device's own while it lasts, else the others.
pub(super) async fn lock(
    tx: &Tx,
    guesser: &Guesser<'_>,
    limits: &Limits,
) -> Result<LockedBudgets, InfraError> {
    if let Some(device) = &guesser.known_device {
        let rows = lock_rows(tx, vec![guesser.device_row(device, limits)]).await?;
        if rows.iter().all(|row| !row.is_spent(tx.now)) {
            return Ok(LockedBudgets { rows, pass: None });
        }
    }
    let rows = lock_rows(tx, guesser.rows(limits)).await?;
    let pass = match rows.iter().any(|row| row.is_spent(tx.now)) {
        true => find_pass(tx, guesser, limits).await?,
        false => None,
    };
    Ok(LockedBudgets { rows, pass })
}

impl LockedBudgets {
    /// Returns whether no code may be accepted.
    pub(super) fn are_spent(&self, now: Time) -> bool {
        self.pass.is_none() && self.rows.iter().any(|row| row.is_spent(now))
    }

    /// Counts a wrong code.
    pub(super) async fn count(mut self, tx: &Tx) -> Result<(), InfraError> {
        if let Some(mut pass) = self.pass {
            pass.at.push(tx.now);
            return store_row(tx, &pass).await;
        }
        for row in &mut self.rows {
            row.count(tx.now);
            store_row(tx, row).await?;
        }
        Ok(())
    }

    /// Counts nothing, and leaves no row that holds no attempt.
    pub(super) async fn leave(self, tx: &Tx) -> Result<(), InfraError> {
        for row in self.rows.iter().filter(|row| row.at.is_empty()) {
            row::Entity::delete_by_id(row.key.to_column())
                .exec(tx.conn())
                .await?;
        }
        Ok(())
    }
}

/// Gives the network of this caller a pass for the address: it entered the right code while codes were
/// off, so the mailbox is its user's. A new code is accepted then.
pub(super) async fn grant_pass(tx: &Tx, guesser: &Guesser<'_>) -> Result<(), InfraError> {
    let pass = Attempts {
        key: guesser.pass_key(),
        budgets: Vec::new(),
        at: Vec::new(),
        blocked_until: tx.now + BLOCK,
    };
    insert_rows(tx, &[pass.key]).await?;
    store_row(tx, &pass).await
}

/// Returns the valid pass of the caller's network. It allows as many wrong codes as one flow.
async fn find_pass(
    tx: &Tx,
    guesser: &Guesser<'_>,
    limits: &Limits,
) -> Result<Option<Attempts>, InfraError> {
    let model = row::Entity::find_by_id(guesser.pass_key().to_column())
        .one(tx.conn())
        .await?;
    let pass = model.and_then(|model| Attempts::of(model, Vec::new()));
    Ok(pass.filter(|pass| {
        // For a pass this is the end of its validity.
        pass.blocked_until > tx.now && pass.at.len() < limits.tries_per_flow as usize
    }))
}

/// Reads rows under locks that last until the end of the transaction. The update comes first, so that
/// two transactions wait for each other instead of reading the same count.
async fn lock_rows(tx: &Tx, wanted: Vec<(Hash, Vec<Budget>)>) -> Result<Vec<Attempts>, InfraError> {
    let keys: Vec<Hash> = wanted.iter().map(|(key, _)| *key).collect();
    insert_rows(tx, &keys).await?;
    let columns = keys.iter().map(|key| key.to_column());
    let mut found = row::Entity::find()
        .filter(row::Column::AddressKey.is_in(columns))
        .all(tx.conn())
        .await?;
    let mut rows = Vec::new();
    for (key, budgets) in wanted {
        let column = key.to_column();
        let at = found.iter().position(|model| model.address_key == column);
        let row = at.and_then(|at| Attempts::of(found.swap_remove(at), budgets));
        rows.push(
            row.ok_or_else(|| {
                InfraError::internal("a budget row vanished within its transaction")
            })?,
        );
    }
    Ok(rows)
}

/// Inserts rows in the order of the keys, or updates those that exist.
async fn insert_rows(tx: &Tx, keys: &[Hash]) -> Result<(), InfraError> {
    let fresh = keys.iter().map(|key| row::ActiveModel {
        address_key: Set(key.to_column()),
        attempts: Set(String::new()),
        blocked_until: Set(Time(0)),
        updated_at: Set(tx.now),
    });
    row::Entity::insert_many(fresh)
        .on_conflict(
            OnConflict::column(row::Column::AddressKey)
                .update_column(row::Column::UpdatedAt)
                .to_owned(),
        )
        .exec_without_returning(tx.conn())
        .await?;
    Ok(())
}

async fn store_row(tx: &Tx, row: &Attempts) -> Result<(), InfraError> {
    let attempts: Vec<_> = row.at.iter().map(|at| at.0.to_string()).collect();
    row::Entity::update_many()
        .col_expr(row::Column::Attempts, Expr::value(attempts.join(" ")))
        .col_expr(row::Column::BlockedUntil, Expr::value(row.blocked_until.0))
        .filter(row::Column::AddressKey.eq(row.key.to_column()))
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
