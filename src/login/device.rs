//! Known devices: browsers and apps that signed in with an address before. Owns `known_devices`.
//!
//! A known device has budgets of its own (A6, OA-1, OA-2), so that an attacker who exhausts those of
//! an address or a network does not lock the owner out. A browser holds its secret in the device
//! cookie; an app gets it as `device_secret` with its tokens. It is stored as a hash, together with
//! the keyed hash of the address.
//!
//! Where a user's access ends, the user's devices end, too ([`end_all`]): a secret that was stolen
//! loses its budgets, also after the next sign-in on the device that it was stolen from. So a row
//! stays after its end for as long as a browser may keep the cookie, and is never renewed.

use std::time::Duration;

use entity::known_device as row;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, ExprTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _,
    sea_query::{Expr, LockType, OnConflict},
};
use uuid::Uuid;

use crate::{
    clock::Time,
    db::{Tx, Write},
    error::InfraError,
    secret::{Hash, row_id},
};

/// How long a device stays known after its last sign-in.
pub const RETENTION: Duration = Duration::from_secs(180 * 86_400);

/// How often a sign-in on a known device is written, at most.
const RENEW_AFTER: Duration = Duration::from_secs(86_400);

/// How long ago a device that is ended now expired: no sign-in that is under way began before.
const ENDED_SINCE: Duration = Duration::from_secs(3600);

/// Returns whether this device signed in with this address before. Queries the database in any
/// case, so that known and unknown devices take the same time.
pub async fn is_known(
    conn: &impl ConnectionTrait,
    device: Option<&Hash>,
    address_key: &Hash,
    now: Time,
) -> Result<bool, InfraError> {
    let device = device.map_or_else(|| vec![0; 32], |hash| hash.to_column());
    let known = row::Entity::find()
        .filter(row::Column::DeviceHash.eq(device))
        .filter(row::Column::AddressKey.eq(address_key.to_column()))
        .filter(row::Column::ExpiresAt.gt(now))
        .one(conn)
        .await?;
    Ok(known.is_some())
}

/// Returns whether this device signed in here before, with whatever address.
pub async fn signed_in_before(
    conn: &impl ConnectionTrait,
    device: &Hash,
    now: Time,
) -> Result<bool, InfraError> {
    let known = row::Entity::find()
        .filter(row::Column::DeviceHash.eq(device.to_column()))
        .filter(row::Column::ExpiresAt.gt(now))
        .one(conn)
        .await?;
    Ok(known.is_some())
}

/// Returns whether this device was known for this address and was ended or unused for too long.
pub async fn has_ended(tx: &Tx, device: &Hash, address_key: &Hash) -> Result<bool, InfraError> {
    let ended = row::Entity::find()
        .filter(row::Column::DeviceHash.eq(device.to_column()))
        .filter(row::Column::AddressKey.eq(address_key.to_column()))
        .filter(row::Column::ExpiresAt.lte(tx.now))
        .one(tx.conn())
        .await?;
    Ok(ended.is_some())
}

/// Records that this user signed in with this address on this device. A device that is known already
/// is renewed, at most once a day; one that has ended stays so.
pub async fn remember(
    tx: &Tx,
    device: &Hash,
    address_key: &Hash,
    user: Uuid,
) -> Result<(), InfraError> {
    let model = row::ActiveModel {
        id: Set(row_id(tx.now)),
        device_hash: Set(device.to_column()),
        address_key: Set(address_key.to_column()),
        created_at: Set(tx.now),
        expires_at: Set(tx.now + RETENTION),
        user_id: Set(Some(user)),
    };
    let expires_at = Expr::col((row::Entity, row::Column::ExpiresAt));
    let is_due = Condition::all()
        .add(expires_at.clone().gt(tx.now))
        .add(expires_at.lte(tx.now + RETENTION - RENEW_AFTER));
    let renew = OnConflict::columns([row::Column::DeviceHash, row::Column::AddressKey])
        .update_columns([row::Column::ExpiresAt, row::Column::UserId])
        .action_cond_where(is_due)
        .to_owned();
    let remember = row::Entity::insert(model).on_conflict(renew);
    tx.defer::<row::Entity>(Write::Upsert(remember.into_query()))
        .await
}

/// Ends every known device and device secret of a user, in the unit of work that ends the user's
/// sessions.
pub async fn end_all(tx: &Tx, user: Uuid) -> Result<(), InfraError> {
    // Rows are locked in one order, so that two transactions wait for each other instead of
    // deadlocking.
    let ids: Vec<Uuid> = row::Entity::find()
        .select_only()
        .column(row::Column::Id)
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::ExpiresAt.gt(tx.now))
        .order_by_asc(row::Column::Id)
        .lock(LockType::NoKeyUpdate)
        .into_tuple()
        .all(tx.conn())
        .await?;
    if ids.is_empty() {
        return Ok(());
    }
    row::Entity::update_many()
        .col_expr(
            row::Column::ExpiresAt,
            Expr::value((tx.now - ENDED_SINCE).0),
        )
        .filter(row::Column::Id.is_in(ids))
        .exec(tx.conn())
        .await?;
    Ok(())
}

/// Deletes at most `max` devices that ended so long ago that no browser has their cookie. Returns how
/// many.
pub async fn sweep(tx: &Tx, max: u64) -> Result<u64, InfraError> {
    let forgotten = row::Column::ExpiresAt.lt(tx.now - RETENTION);
    tx.delete_some::<row::Entity>(row::Column::Id, forgotten, max)
        .await
}
