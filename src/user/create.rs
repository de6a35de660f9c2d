//! Creating users.

use entity::{user, user_email};
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, EntityTrait as _, Insert,
    QueryFilter as _, QueryTrait as _, sea_query::OnConflict,
};
use uuid::Uuid;

use super::{
    Address, User, UserState, address,
    find::{find_by_address, is_claimed},
};
use crate::{
    db::Tx,
    error::InfraError,
    secret::{public_id, row_id},
};

/// How an address was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifiedBy {
    /// By a secret in an email.
    Email,
    /// By a provider that runs its mailbox.
    Upstream,
}

impl VerifiedBy {
    /// Returns the value of the column `verified_by`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "mail",
            Self::Upstream => "upstream",
        }
    }
}

/// What became of creating a user with a verified address.
pub(super) enum Creation {
    Created(User),
    /// A concurrent verification of the address was first; this is its user.
    Lost(Option<User>),
}

/// Creates a user whom a provider vouches for, if no user has this address or claims it. An
/// existing user is never joined this way: that takes a verification by email (ST-01). Returns none
/// if the address is taken.
pub async fn create_verified(tx: &Tx, address: &Address) -> Result<Option<User>, InfraError> {
    if is_claimed(tx.conn(), address).await? {
        return Ok(None);
    }
    Ok(match create(tx, address, VerifiedBy::Upstream).await? {
        Creation::Created(user) => Some(user),
        // Another first sign-in with this address was faster (LK-09).
        Creation::Lost(_) => None,
    })
}

/// Creates an account with an address that was never verified, as an import from an older system
/// does. For operators and tests.
pub async fn import_unverified(tx: &Tx, address: &Address) -> Result<User, InfraError> {
    let user = new_user(tx);
    insert(&user).exec_without_returning(tx.conn()).await?;
    let email = user_email::ActiveModel {
        verified_at: Set(None),
        verified_by: Set(Some("import".to_owned())),
        ..new_email(tx, &user, address)
    };
    email.insert(tx.conn()).await?;
    Ok(user)
}

/// Creates a user with a verified address, by one statement.
pub(super) async fn create(
    tx: &Tx,
    address: &Address,
    by: VerifiedBy,
) -> Result<Creation, InfraError> {
    let user = new_user(tx);
    let id = row_id(tx.now);
    let email = user_email::ActiveModel {
        id: Set(id),
        verified_at: Set(Some(tx.now)),
        verified_by: Set(Some(by.as_str().to_owned())),
        ..new_email(tx, &user, address)
    };
    // The unique index decides between two first verifications at once. The loser's user goes, and
    // the winner's is taken.
    let email = user_email::Entity::insert(email)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .into_query();
    let inserted = tx.insert_and(insert(&user).into_query(), email).await?;
    if inserted == 0 {
        user::Entity::delete_by_id(user.id).exec(tx.conn()).await?;
        return Ok(Creation::Lost(find_by_address(tx.conn(), address).await?));
    }
    drop_claims(tx, address, id).await?;
    Ok(Creation::Created(user))
}

/// LK-03: once an address is verified for one user, unverified claims of other users are gone.
pub(super) async fn drop_claims(tx: &Tx, address: &Address, keep: Uuid) -> Result<(), InfraError> {
    let claims = user_email::Entity::delete_many()
        .filter(user_email::Column::Canonical.eq(address.canonical()))
        .filter(user_email::Column::VerifiedAt.is_null())
        .filter(user_email::Column::Id.ne(keep));
    tx.defer::<user_email::Entity>(claims.into_query()).await
}

fn new_user(tx: &Tx) -> User {
    User {
        id: row_id(tx.now),
        public_id: public_id(),
        state: UserState::Active,
        auth_epoch: 0,
        roles: String::new(),
        name: None,
        locale: None,
        created_at: tx.now,
        updated_at: tx.now,
    }
}

fn insert(user: &User) -> Insert<user::ActiveModel> {
    user::Entity::insert(user::ActiveModel::from(user.clone()))
}

/// Returns the row of an address, without its verification.
fn new_email(tx: &Tx, user: &User, address: &Address) -> user_email::ActiveModel {
    user_email::ActiveModel {
        id: Set(row_id(tx.now)),
        user_id: Set(user.id),
        email: Set(address.canonical().to_owned()),
        canonical: Set(address.canonical().to_owned()),
        canon_version: Set(address::VERSION),
        state: Set(user_email::UserEmailState::Active),
        created_at: Set(tx.now),
        ..Default::default()
    }
}
