//! Starting a session, stepping it up, and changing its secret: the row stays the same, so that `sid`
//! and grants remain.

use std::time::Duration;

use entity::{Time, session};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, QueryTrait as _, UpdateMany, sea_query::Expr,
};
use uuid::Uuid;

use super::{
    Session,
    end::{not_revoked, revoke},
};
use crate::{
    config,
    db::Tx,
    error::InfraError,
    secret::{Hash, Plain, public_id},
    user::User,
};

/// The `acr` of an authentication at an upstream provider.
pub const UPSTREAM_ACR: &str = "urn:entree:acr:upstream";

/// How long after an authentication an action that needs a fresh one is allowed.
pub const FRESH_FOR: Duration = Duration::from_secs(600);

/// How many sessions over `max_per_user` one sign-in ends at most.
const MAX_SURPLUS: u64 = 1000;

/// How long the secret before a double click is still accepted.
const DOUBLE_CLICK: Duration = Duration::from_secs(60);

/// How a user authenticated, for `acr` and `amr` (ST-16, RFC 8176).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod<'a> {
    /// By an emailed link or code.
    Email,
    /// At an upstream provider.
    Upstream {
        /// The linked account.
        identity_id: Uuid,
        /// The methods that the provider reports, separated by spaces; empty if it reports none.
        amr: &'a str,
    },
}

impl<'a> AuthMethod<'a> {
    #[must_use]
    pub const fn acr(self) -> &'static str {
        match self {
            Self::Email => "urn:entree:acr:email",
            Self::Upstream { .. } => UPSTREAM_ACR,
        }
    }

    /// Returns the `amr` values, separated by spaces. If empty, tokens leave `amr` out.
    #[must_use]
    pub const fn amr(self) -> &'a str {
        match self {
            Self::Email => "otp",
            Self::Upstream { amr, .. } => amr,
        }
    }

    #[must_use]
    pub const fn identity_id(self) -> Option<Uuid> {
        match self {
            Self::Email => None,
            Self::Upstream { identity_id, .. } => Some(identity_id),
        }
    }
}

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
        told_at: None,
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

/// Records that the same user authenticated again. The session gets a new secret, and the old one
/// is dead at once (BS-04). The cookie that the session grew from stays recorded: requests of other
/// tabs wait under it. Returns none if the session has ended.
pub async fn step_up(
    tx: &Tx,
    id: Uuid,
    method: AuthMethod<'_>,
) -> Result<Option<Plain>, InfraError> {
    let secret = Plain::generate();
    let result = replace_secret(id, &secret)
        .col_expr(session::Column::AuthTime, Expr::value(tx.now.0))
        .col_expr(session::Column::LastSeenAt, Expr::value(tx.now.0))
        .col_expr(session::Column::Acr, Expr::value(method.acr()))
        .col_expr(session::Column::Amr, Expr::value(method.amr()))
        .col_expr(
            session::Column::IdentityId,
            Expr::value(method.identity_id()),
        )
        .exec(tx.conn())
        .await?;
    Ok((result.rows_affected == 1).then_some(secret))
}

/// Gives the session this secret after a double click; the one before it is accepted for another
/// minute. A third click brings the same secret and changes nothing. Returns `false` if the session
/// has ended.
pub async fn renew_secret(tx: &Tx, id: Uuid, secret: &Plain) -> Result<bool, InfraError> {
    let hash = secret.hash().to_column();
    let result = session::Entity::update_many()
        .col_expr(
            session::Column::PreviousHash,
            Expr::col(session::Column::SecretHash),
        )
        .col_expr(
            session::Column::PreviousUntil,
            Expr::value(Some((tx.now + DOUBLE_CLICK).0)),
        )
        .col_expr(session::Column::SecretHash, Expr::value(hash.clone()))
        .filter(session::Column::Id.eq(id))
        .filter(session::Column::RevokedAt.is_null())
        .filter(session::Column::SecretHash.ne(hash.clone()))
        .exec(tx.conn())
        .await?;
    if result.rows_affected == 1 {
        return Ok(true);
    }
    let unchanged = session::Entity::find_by_id(id)
        .filter(session::Column::SecretHash.eq(hash))
        .filter(session::Column::RevokedAt.is_null());
    Ok(unchanged.count(tx.conn()).await? == 1)
}

/// Gives the session this new secret after its user got another sign-in method; the old one is dead
/// at once (BS-04). `auth_time` stays, since the user did not authenticate. Returns `false` if the
/// session has ended.
pub async fn rotate(tx: &Tx, id: Uuid, secret: &Plain) -> Result<bool, InfraError> {
    let result = replace_secret(id, secret).exec(tx.conn()).await?;
    Ok(result.rows_affected == 1)
}

/// Replaces the secret of a live session. No older secret is accepted any more.
fn replace_secret(id: Uuid, secret: &Plain) -> UpdateMany<session::Entity> {
    session::Entity::update_many()
        .col_expr(
            session::Column::SecretHash,
            Expr::value(secret.hash().to_column()),
        )
        .col_expr(
            session::Column::PreviousHash,
            Expr::value(Option::<Vec<u8>>::None),
        )
        .col_expr(
            session::Column::PreviousUntil,
            Expr::value(Option::<i64>::None),
        )
        .filter(session::Column::Id.eq(id))
        .filter(session::Column::RevokedAt.is_null())
}

/// Returns whether a provider authenticated the user of a session. The provider may have used a
/// session of its own, of any age, so this never counts as a fresh authentication (ST-12).
#[must_use]
pub fn is_from_upstream(session: &Session) -> bool {
    session.acr == UPSTREAM_ACR
}

/// Returns whether the user of a session authenticated within [`FRESH_FOR`], with us. Adding or
/// removing a sign-in method needs that: with an upstream authentication alone, an attacker who
/// took over the account at the provider could add methods of their own.
#[must_use]
pub fn is_fresh(session: &Session, now: Time) -> bool {
    !is_from_upstream(session) && now.since(session.auth_time) <= FRESH_FOR
}
