//! Known devices: browsers that signed in with an address before. Owns `known_devices`.
//!
//! A known device has an email budget of its own (A6), so that an attacker who exhausts the budget
//! of an address does not lock its owner out. The secret of the device cookie is stored as a hash,
//! together with the keyed hash of the address.

use std::time::Duration;

use entity::known_device as row;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _,
    sea_query::OnConflict,
};

use crate::{
    clock::Time,
    db::Tx,
    error::InfraError,
    secret::{Hash, row_id},
};

/// How long a device stays known after its last sign-in.
pub const RETENTION: Duration = Duration::from_secs(180 * 86_400);

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

/// Records that this device signed in with this address.
pub async fn remember(tx: &Tx, device: &Hash, address_key: &Hash) -> Result<(), InfraError> {
    let model = row::ActiveModel {
        id: Set(row_id(tx.now)),
        device_hash: Set(device.to_column()),
        address_key: Set(address_key.to_column()),
        created_at: Set(tx.now),
        expires_at: Set(tx.now + RETENTION),
    };
    let extend = OnConflict::columns([row::Column::DeviceHash, row::Column::AddressKey])
        .update_column(row::Column::ExpiresAt)
        .to_owned();
    row::Entity::insert(model)
        .on_conflict(extend)
        .exec_without_returning(tx.conn())
        .await?;
    Ok(())
}

/// Deletes at most `max` devices that are no longer known. Returns how many.
pub async fn sweep(tx: &Tx, max: u64) -> Result<u64, InfraError> {
    tx.delete_some::<row::Entity>(row::Column::Id, row::Column::ExpiresAt.lt(tx.now), max)
        .await
}
