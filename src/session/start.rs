//! Starting a session.

use std::time::Duration;

use entity::session;
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    QueryTrait as _,
};
use uuid::Uuid;

use super::{
    AuthMethod, Session,
    end::{not_revoked, revoke},
};
use crate::{
    config,
    db::Tx,
    error::InfraError,
    secret::{Hash, Plain, public_id},
    user::User,
};

/// At most so many sessions beyond the limit end at once.
const MAX_SURPLUS: u64 = 1000;

/// What a new session is made of.
#[derive(Clone, Debug)]
pub struct NewSession<'a> {
    pub user: &'a User,
    pub method: AuthMethod<'a>,
    /// Browser and system, in words.
    pub device: &'a str,
    /// The session may be idle for longer.
    pub remembered: bool,
    /// The pre-login cookie that the session grows from; none for apps.
    pub browser: Option<Hash>,
}

/// Starts a session. Returns its row, and the only copy of the secret for its cookie.
pub async fn start(
    tx: &Tx,
    new: NewSession<'_>,
    limits: &config::Session,
) -> Result<(Session, Plain), InfraError> {
    let secret = Plain::generate();
    let row = Session {
        id: public_id(),
        user_id: new.user.id,
        secret_hash: secret.hash().to_column(),
        previous_hash: None,
        previous_until: None,
        browser_hash: new.browser.map(Hash::to_column),
        auth_epoch: new.user.auth_epoch,
        auth_time: tx.now,
        acr: new.method.acr().to_owned(),
        amr: new.method.amr().to_owned(),
        identity_id: new.method.identity_id(),
        device: new.device.to_owned(),
        remembered: new.remembered,
        created_at: tx.now,
        last_seen_at: tx.now,
        expires_at: tx.now + Duration::from_secs(limits.absolute_seconds),
        revoked_at: None,
    };
    end_surplus(tx, new.user.id, limits.max_per_user).await?;
    let insert = session::Entity::insert(session::ActiveModel::from(row.clone()));
    tx.defer::<session::Entity>(insert.into_query()).await?;
    Ok((row, secret))
}

/// BS-05: a user has at most `max` live sessions with the one that is about to begin; the oldest end
/// first.
async fn end_surplus(tx: &Tx, user: Uuid, max: u32) -> Result<(), InfraError> {
    let surplus: Vec<Uuid> = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(not_revoked(user))
        .order_by_desc(session::Column::CreatedAt)
        .order_by_desc(session::Column::Id)
        .offset(u64::from(max.saturating_sub(1)))
        .limit(MAX_SURPLUS)
        .into_tuple()
        .all(tx.conn())
        .await?;
    if !surplus.is_empty() {
        revoke(tx, session::Column::Id.is_in(surplus)).await?;
    }
    Ok(())
}
