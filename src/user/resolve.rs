//! The user whom a verified address leads to.

use entity::user_email;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, sea_query::Expr};
use uuid::Uuid;

use super::{
    Address, User, UserEmail, UserState, VerifiedBy,
    create::{Creation, create, drop_claims},
    find::{find_by_address, find_by_id, find_owners},
};
use crate::{db::Tx, error::InfraError};

/// The user whom a verified address leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedUser {
    /// The user had verified this address before.
    Known(User),
    /// The user was created just now.
    Created(User),
    /// The account was never verified before. It is its owner's now, and everything older must end
    /// (E2).
    Reclaimed(User),
    /// The user is locked or deleted.
    Disabled,
    /// No user has this address, and no user may be created.
    SignUpClosed,
}

impl ResolvedUser {
    fn known_if_active(user: Option<User>) -> Self {
        match user {
            Some(user) if user.state == UserState::Active => Self::Known(user),
            _ => Self::Disabled,
        }
    }
}

/// Returns the user who has just verified `address`: a known user, a reclaimed one, or a new one.
pub async fn resolve(
    tx: &Tx,
    address: &Address,
    by: VerifiedBy,
    may_create: bool,
) -> Result<ResolvedUser, InfraError> {
    let mut owners = find_owners(tx.conn(), address.canonical()).await?;
    let is_verified = |(row, _): &(UserEmail, Option<User>)| row.verified_at.is_some();
    if let Some(place) = owners.iter().position(is_verified) {
        let (_, user) = owners.swap_remove(place);
        return Ok(ResolvedUser::known_if_active(user));
    }
    if !owners.is_empty() {
        let claims: Vec<UserEmail> = owners.into_iter().map(|(row, _)| row).collect();
        if let Some(user) = reclaim(tx, address, &claims, by).await? {
            return Ok(if user.state == UserState::Active {
                ResolvedUser::Reclaimed(user)
            } else {
                ResolvedUser::Disabled
            });
        }
        // A concurrent verification may have reclaimed the account while this one waited for the
        // row.
        if let Some(user) = find_by_address(tx.conn(), address).await? {
            return Ok(ResolvedUser::known_if_active(Some(user)));
        }
    }
    if !may_create {
        return Ok(ResolvedUser::SignUpClosed);
    }
    Ok(match create(tx, address, by).await? {
        Creation::Created(user) => ResolvedUser::Created(user),
        Creation::Lost(user) => ResolvedUser::known_if_active(user),
    })
}

/// Gives an account that was imported with this address, and never verified, to its owner (E2).
async fn reclaim(
    tx: &Tx,
    address: &Address,
    claims: &[UserEmail],
    by: VerifiedBy,
) -> Result<Option<User>, InfraError> {
    for claim in claims {
        let verified = user_email::Entity::find()
            .filter(user_email::Column::UserId.eq(claim.user_id))
            .filter(user_email::Column::VerifiedAt.is_not_null())
            .one(tx.conn())
            .await?;
        // A user who has verified another address only claims this one. The claim is dropped later,
        // and the account is not touched.
        if verified.is_some() {
            continue;
        }
        if verify_claim(tx, claim.id, by).await? {
            drop_claims(tx, address, claim.id).await?;
            return find_by_id(tx.conn(), claim.user_id).await;
        }
    }
    Ok(None)
}

/// Marks a claim as verified, by one guarded statement: of two first verifications at once, one
/// reclaims.
async fn verify_claim(tx: &Tx, id: Uuid, by: VerifiedBy) -> Result<bool, InfraError> {
    let result = user_email::Entity::update_many()
        .col_expr(user_email::Column::VerifiedAt, Expr::value(Some(tx.now.0)))
        .col_expr(
            user_email::Column::VerifiedBy,
            Expr::value(Some(by.as_str())),
        )
        .filter(user_email::Column::Id.eq(id))
        .filter(user_email::Column::VerifiedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(result.rows_affected == 1)
}
