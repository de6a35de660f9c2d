//! Known devices: browsers that signed in with an address before have a mail quota of their own
//! (A6), so that somebody who spends an address's budget does not lock its owner out.
//!
//! Owns `known_devices`. The cookie's secret is stored as a hash, together with the keyed hash of
//! the address.

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

/// Whether this device signed in with this address before. Asks the database in any case, so that
/// known and unknown take the same time.
///
/// # Errors
/// The database's own.
pub async fn is_known(
    conn: &impl ConnectionTrait,
    device: Option<&Hash>,
    address_key: &Hash,
    now: Time,
) -> Result<bool, InfraError> {
    let device = device.map_or_else(|| vec![0; 32], |hash| hash.to_column());
    let found = row::Entity::find()
        .filter(row::Column::DeviceHash.eq(device))
        .filter(row::Column::AddressKey.eq(address_key.to_column()))
        .filter(row::Column::ExpiresAt.gt(now))
        .one(conn)
        .await?;
    Ok(found.is_some())
}

/// Remembers that this device signed in with this address.
///
/// # Errors
/// The database's own.
pub async fn remember(tx: &Tx, device: &Hash, address_key: &Hash) -> Result<(), InfraError> {
    let model = row::ActiveModel {
        id: Set(row_id(tx.now)),
        device_hash: Set(device.to_column()),
        address_key: Set(address_key.to_column()),
        created_at: Set(tx.now),
        expires_at: Set(tx.now + RETENTION),
    };
    let again = OnConflict::columns([row::Column::DeviceHash, row::Column::AddressKey])
        .update_column(row::Column::ExpiresAt)
        .to_owned();
    row::Entity::insert(model)
        .on_conflict(again)
        .exec_without_returning(tx.conn())
        .await?;
    Ok(())
}

/// Forgets devices whose time is over, at most `most`; gives how many.
///
/// # Errors
/// The database's own.
pub async fn sweep(tx: &Tx, most: u64) -> Result<u64, InfraError> {
    tx.delete_some::<row::Entity>(row::Column::Id, row::Column::ExpiresAt.lt(tx.now), most)
        .await
}
