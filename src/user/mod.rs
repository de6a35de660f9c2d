//! The people and their addresses: who somebody is once an address is proven.
//!
//! Owns `users` and `user_emails`. Promises: no user before a proof (LK-02), one user for one verified address however
//! many proofs arrive at once (LK-09), and that the first proof of an account that nobody had proven ends everything
//! that was there before it (E2).

pub mod address;
mod change;
pub mod identity;

use std::collections::HashMap;

use entity::{Time, user, user_email};
use sea_orm::{
    ActiveModelTrait as _,
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

pub use address::Address;
pub use change::{MAX_NAME, is_role, roles, set_initial_profile, set_name, set_roles, set_state};
pub use entity::user::{Model as User, UserState};
pub use identity::{Identity, UpstreamAccount};

use crate::{
    db::Tx,
    error::InfraError,
    secret::{public_id, row_id},
};

/// How an address was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifiedBy {
    /// By a secret mailed to it.
    Email,
    /// By a provider that runs its mailbox.
    Upstream,
}

impl VerifiedBy {
    const fn name(self) -> &'static str {
        match self {
            Self::Email => "mail",
            Self::Upstream => "upstream",
        }
    }
}

/// Whom a proof of an address leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedUser {
    /// Somebody who had proven this address before.
    Known(User),
    /// A user made just now.
    Created(User),
    /// An account that nobody had proven: it is its owner's now, and everything older must end (E2).
    Reclaimed(User),
    /// Locked or deleted.
    Refused,
    /// Nobody has this address and sign-up is closed.
    Closed,
}

/// The user who has proven this address, if any. Only verified addresses resolve (LK-01).
///
/// # Errors
/// The database's own.
pub async fn find_by_address(
    conn: &impl ConnectionTrait,
    address: &Address,
) -> Result<Option<User>, InfraError> {
    let row = user_email::Entity::find()
        .filter(user_email::Column::Canonical.eq(address.canonical()))
        .filter(user_email::Column::VerifiedAt.is_not_null())
        .filter(user_email::Column::State.eq(user_email::UserEmailState::Active))
        .one(conn)
        .await?;
    match row {
        Some(row) => find_by_id(conn, row.user_id).await,
        None => Ok(None),
    }
}

/// Whether this user has proven this address: one look-up, whether anybody has it or not (A2).
///
/// # Errors
/// The database's own.
pub async fn has_verified(
    conn: &impl ConnectionTrait,
    user: Uuid,
    canonical: &str,
) -> Result<bool, InfraError> {
    let found = user_email::Entity::find()
        .filter(user_email::Column::Canonical.eq(canonical))
        .filter(user_email::Column::UserId.eq(user))
        .filter(user_email::Column::VerifiedAt.is_not_null())
        .filter(user_email::Column::State.eq(user_email::UserEmailState::Active))
        .one(conn)
        .await?;
    Ok(found.is_some())
}

/// The user with this inner id.
///
/// # Errors
/// The database's own.
pub async fn find_by_id(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<User>, InfraError> {
    Ok(user::Entity::find_by_id(id).one(conn).await?)
}

/// The user's address, as first proven: where mail goes (E5).
///
/// # Errors
/// The database's own.
pub async fn primary_address(
    conn: &impl ConnectionTrait,
    user: Uuid,
) -> Result<Option<user_email::Model>, InfraError> {
    Ok(user_email::Entity::find()
        .filter(user_email::Column::UserId.eq(user))
        .filter(user_email::Column::State.eq(user_email::UserEmailState::Active))
        .order_by_asc(user_email::Column::CreatedAt)
        .one(conn)
        .await?)
}

/// Where a mail for this address goes: the stored form of whoever has it, else the canonical form (E5: never the
/// typed one). The second value tells whether a user who may sign in has it.
///
/// # Errors
/// The database's own.
pub async fn email_target(
    conn: &impl ConnectionTrait,
    canonical: &str,
) -> Result<EmailTarget, InfraError> {
    let row = user_email::Entity::find()
        .filter(user_email::Column::Canonical.eq(canonical))
        .filter(user_email::Column::State.eq(user_email::UserEmailState::Active))
        // A verified row goes before somebody's unverified claim.
        .order_by_desc(user_email::Column::VerifiedAt)
        .all(conn)
        .await?
        .into_iter()
        .max_by_key(|row| row.verified_at);
    let Some(row) = row else {
        return Ok(EmailTarget::Unknown);
    };
    match find_by_id(conn, row.user_id).await? {
        Some(user) if user.state == UserState::Active => {
            Ok(EmailTarget::Known { email: row.email })
        }
        _ => Ok(EmailTarget::Refused),
    }
}

/// What is known of an address that a mail is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmailTarget {
    /// An active user has it; mail goes to the stored form.
    Known {
        /// The stored form.
        email: String,
    },
    /// Nobody has it.
    Unknown,
    /// Its user may not sign in.
    Refused,
}

/// Who has just proven to own `address`: the known user, a new one, or nobody.
///
/// # Errors
/// The database's own.
pub async fn resolve(
    tx: &Tx,
    address: &Address,
    by: VerifiedBy,
    may_create: bool,
) -> Result<ResolvedUser, InfraError> {
    if let Some(user) = find_by_address(tx.conn(), address).await? {
        return Ok(if user.state == UserState::Active {
            ResolvedUser::Known(user)
        } else {
            ResolvedUser::Refused
        });
    }
    if let Some(user) = reclaim(tx, address, by).await? {
        return Ok(if user.state == UserState::Active {
            ResolvedUser::Reclaimed(user)
        } else {
            ResolvedUser::Refused
        });
    }
    // Somebody else's proof may have reclaimed it while we waited for the row.
    if let Some(user) = find_by_address(tx.conn(), address).await? {
        return Ok(if user.state == UserState::Active {
            ResolvedUser::Known(user)
        } else {
            ResolvedUser::Refused
        });
    }
    if !may_create {
        return Ok(ResolvedUser::Closed);
    }
    create(tx, address, by).await
}

/// Makes a user of whoever a provider vouches for, if nobody has this address or claims it. An account that is there is
/// never joined this way: that takes a proof by mail (DESIGN §8, linking). None: somebody has it.
///
/// # Errors
/// The database's own.
pub async fn create_verified(tx: &Tx, address: &Address) -> Result<Option<User>, InfraError> {
    if is_claimed(tx.conn(), address).await? {
        return Ok(None);
    }
    Ok(match create(tx, address, VerifiedBy::Upstream).await? {
        ResolvedUser::Created(user) => Some(user),
        // Another first sign-in with this address was quicker (LK-09).
        _ => None,
    })
}

/// Whether anybody has this address, proven or not.
///
/// # Errors
/// The database's own.
pub async fn is_claimed(
    conn: &impl ConnectionTrait,
    address: &Address,
) -> Result<bool, InfraError> {
    let held = user_email::Entity::find()
        .filter(user_email::Column::Canonical.eq(address.canonical()))
        .filter(user_email::Column::State.eq(user_email::UserEmailState::Active))
        .one(conn)
        .await?;
    Ok(held.is_some())
}

/// Whether this user can sign in by mail: has an address that was proven.
///
/// # Errors
/// The database's own.
pub async fn has_verified_address(
    conn: &impl ConnectionTrait,
    user: Uuid,
) -> Result<bool, InfraError> {
    let proven = user_email::Entity::find()
        .filter(user_email::Column::UserId.eq(user))
        .filter(user_email::Column::VerifiedAt.is_not_null())
        .filter(user_email::Column::State.eq(user_email::UserEmailState::Active))
        .one(conn)
        .await?;
    Ok(proven.is_some())
}

/// An account that was imported with this address and never proven by anybody becomes its owner's (E2).
async fn reclaim(tx: &Tx, address: &Address, by: VerifiedBy) -> Result<Option<User>, InfraError> {
    let claims = user_email::Entity::find()
        .filter(user_email::Column::Canonical.eq(address.canonical()))
        .filter(user_email::Column::State.eq(user_email::UserEmailState::Active))
        .filter(user_email::Column::VerifiedAt.is_null())
        .order_by_asc(user_email::Column::CreatedAt)
        .all(tx.conn())
        .await?;
    for claim in claims {
        let proven = user_email::Entity::find()
            .filter(user_email::Column::UserId.eq(claim.user_id))
            .filter(user_email::Column::VerifiedAt.is_not_null())
            .one(tx.conn())
            .await?;
        // Somebody who has proven another address only claims this one: the claim falls, the account is not touched.
        if proven.is_some() {
            continue;
        }
        if prove(tx, claim.id, by).await? {
            drop_claims(tx, address, claim.id).await?;
            return find_by_id(tx.conn(), claim.user_id).await;
        }
    }
    Ok(None)
}

/// One guarded statement: of two first proofs at once, one reclaims.
async fn prove(tx: &Tx, id: Uuid, by: VerifiedBy) -> Result<bool, InfraError> {
    let done = user_email::Entity::update_many()
        .col_expr(user_email::Column::VerifiedAt, Expr::value(Some(tx.now.0)))
        .col_expr(user_email::Column::VerifiedBy, Expr::value(Some(by.name())))
        .filter(user_email::Column::Id.eq(id))
        .filter(user_email::Column::VerifiedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected == 1)
}

async fn create(tx: &Tx, address: &Address, by: VerifiedBy) -> Result<ResolvedUser, InfraError> {
    let user = user::Model {
        id: row_id(tx.now),
        public_id: public_id(),
        state: UserState::Active,
        auth_epoch: 0,
        roles: String::new(),
        name: None,
        locale: None,
        created_at: tx.now,
        updated_at: tx.now,
    };
    user::ActiveModel::from(user.clone())
        .insert(tx.conn())
        .await?;
    let id = row_id(tx.now);
    let email = user_email::ActiveModel {
        id: Set(id),
        user_id: Set(user.id),
        email: Set(address.canonical().to_owned()),
        canonical: Set(address.canonical().to_owned()),
        canon_version: Set(address::VERSION),
        state: Set(user_email::UserEmailState::Active),
        verified_at: Set(Some(tx.now)),
        verified_by: Set(Some(by.name().to_owned())),
        created_at: Set(tx.now),
    };
    // The unique index decides between two first proofs at once; the loser's user goes, the winner's is taken.
    let inserted = user_email::Entity::insert(email)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(tx.conn())
        .await?;
    if inserted == 0 {
        user::Entity::delete_by_id(user.id).exec(tx.conn()).await?;
        return match find_by_address(tx.conn(), address).await? {
            Some(user) if user.state == UserState::Active => Ok(ResolvedUser::Known(user)),
            _ => Ok(ResolvedUser::Refused),
        };
    }
    drop_claims(tx, address, id).await?;
    Ok(ResolvedUser::Created(user))
}

/// LK-03: once an address is verified for one user, others' unverified claims on it are gone.
async fn drop_claims(tx: &Tx, address: &Address, keep: Uuid) -> Result<(), InfraError> {
    user_email::Entity::delete_many()
        .filter(user_email::Column::Canonical.eq(address.canonical()))
        .filter(user_email::Column::VerifiedAt.is_null())
        .filter(user_email::Column::Id.ne(keep))
        .exec(tx.conn())
        .await?;
    Ok(())
}

/// Raises the epoch: every session of this user counts as ended from the next request on. Gives the new epoch.
///
/// # Errors
/// The database's own.
pub async fn bump_epoch(tx: &Tx, id: Uuid) -> Result<i32, InfraError> {
    user::Entity::update_many()
        .col_expr(
            user::Column::AuthEpoch,
            Expr::col(user::Column::AuthEpoch).add(1),
        )
        .col_expr(user::Column::UpdatedAt, Expr::value(tx.now.0))
        .filter(user::Column::Id.eq(id))
        .exec(tx.conn())
        .await?;
    let user = find_by_id(tx.conn(), id).await?;
    user.map(|user| user.auth_epoch)
        .ok_or_else(|| InfraError::internal("the user is gone within its unit of work"))
}

/// What tokens call these users; who was deleted since is left out.
///
/// # Errors
/// The database's own.
pub async fn public_ids(
    conn: &impl ConnectionTrait,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Uuid>, InfraError> {
    let mut found = HashMap::new();
    // A statement takes a bounded number of values.
    for some in ids.chunks(1_000) {
        let pairs = user::Entity::find()
            .select_only()
            .columns([user::Column::Id, user::Column::PublicId]);
        let pairs = pairs
            .filter(user::Column::Id.is_in(some.iter().copied()))
            .into_tuple::<(Uuid, Uuid)>();
        found.extend(pairs.all(conn).await?);
    }
    Ok(found)
}

/// Puts in an account that nobody has proven yet, as an import of an older system does. For ops and tests.
///
/// # Errors
/// The database's own.
pub async fn import_unverified(tx: &Tx, address: &Address) -> Result<User, InfraError> {
    let now: Time = tx.now;
    let user = user::Model {
        id: row_id(now),
        public_id: public_id(),
        state: UserState::Active,
        auth_epoch: 0,
        roles: String::new(),
        name: None,
        locale: None,
        created_at: now,
        updated_at: now,
    };
    user::ActiveModel::from(user.clone())
        .insert(tx.conn())
        .await?;
    user_email::ActiveModel {
        id: Set(row_id(now)),
        user_id: Set(user.id),
        email: Set(address.canonical().to_owned()),
        canonical: Set(address.canonical().to_owned()),
        canon_version: Set(address::VERSION),
        state: Set(user_email::UserEmailState::Active),
        verified_at: Set(None),
        verified_by: Set(Some("import".to_owned())),
        created_at: Set(now),
    }
    .insert(tx.conn())
    .await?;
    Ok(user)
}
