//! What the commands that read and change the database share: opening it, finding a user, and
//! showing a time.

use std::path::PathBuf;

use entity::{Time, user, user_email};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{
    instance::give_files_to_owner,
    outcome::{CommandError, Outcome, block_on, load},
    reach::{Obstacle, log_in_to_postgres},
};
use crate::{
    clock::Clock,
    config::{Source, Startup},
    db::{self, Db},
    error::InfraError,
    user::{Address, find_by_address},
};

/// Runs a command on the configured database, if its schema is up to date.
pub(super) fn with_database(source: &Source, command: impl AsyncFnOnce(&Db) -> Outcome) -> Outcome {
    let config = load(source)?.config.startup;
    if let Some(path) = missing_file(&config) {
        let path = path.display();
        let words =
            format!("no database is at {path}: run `entree migrate`, or fix server.data_dir");
        return Err(words.into());
    }
    block_on(async {
        let db = open(&config).await?;
        let outcome = match db.pending_migrations().await {
            Ok(pending) if pending.is_empty() => command(&db).await,
            Ok(_) => Err("the schema is not up to date: run `entree migrate`"
                .to_owned()
                .into()),
            Err(error) => Err(error.into()),
        };
        db.close().await;
        give_files_to_owner(&config.server.data_dir);
        outcome
    })
}

/// Returns the path of the embedded database if there is no file yet. Opening it would make one.
pub(super) fn missing_file(config: &Startup) -> Option<PathBuf> {
    let path = PathBuf::from(
        config
            .database_url()
            .strip_prefix("sqlite:")?
            .trim_start_matches("//"),
    );
    (!path.exists()).then_some(path)
}

/// Opens the configured database for a command. If it cannot be used, the step that fails is named
/// (OD-7): a pool reports one time-out for all of them.
pub(super) async fn open(config: &Startup) -> Result<Db, CommandError> {
    let url = config.database_url();
    if !url.starts_with("sqlite:")
        && let Err(Obstacle { what, hint }) = log_in_to_postgres(&url).await
    {
        return Err(format!("the database cannot be used: {what}; {hint}").into());
    }
    Ok(connect(config).await?)
}

/// Opens the configured database.
pub(super) async fn connect(config: &Startup) -> Result<Db, InfraError> {
    Db::connect(
        &db::as_command(&config.database_url()),
        config.database.max_connections.min(4),
        Clock::default(),
    )
    .await
}

/// Finds a user by `sub` or by a verified address. Users who have not verified the address are named
/// in the error.
pub(super) async fn find_user(db: &Db, who: &str) -> Result<user::Model, CommandError> {
    let mut unverified = Vec::new();
    let found = match Uuid::parse_str(who) {
        Ok(sub) => {
            let query = user::Entity::find().filter(user::Column::PublicId.eq(sub));
            query.one(db.read()).await.map_err(InfraError::from)?
        }
        Err(_) => match Address::parse(who, true) {
            Ok(address) => {
                let found = find_by_address(db.read(), &address).await?;
                if found.is_none() {
                    unverified = subs_by_unverified_address(db, &address).await?;
                }
                found
            }
            Err(_) => None,
        },
    };
    found.ok_or_else(|| {
        if unverified.is_empty() {
            format!(
                "no user has the `sub` or the verified address {who:?}: see `entree users list`"
            )
        } else {
            let subs = unverified.join(", ");
            format!("{who:?} is not verified yet: name the user by `sub`, {subs}")
        }
        .into()
    })
}

async fn subs_by_unverified_address(db: &Db, address: &Address) -> Result<Vec<String>, InfraError> {
    let rows = user_email::Entity::find()
        .filter(user_email::Column::Canonical.eq(address.canonical()))
        .filter(user_email::Column::State.eq(user_email::UserEmailState::Active))
        .all(db.read())
        .await?;
    let ids = rows.iter().map(|row| row.user_id);
    let users = user::Entity::find().filter(user::Column::Id.is_in(ids));
    let users = users.all(db.read()).await?;
    Ok(users
        .iter()
        .map(|user| user.public_id.to_string())
        .collect())
}

pub(super) const fn user_state(user: &user::Model) -> &'static str {
    match user.state {
        user::UserState::Active => "active",
        user::UserState::Disabled => "disabled",
        user::UserState::Deleted => "deleted",
    }
}

/// Formats a time by RFC 3339, to the second.
pub(super) fn format_time(time: Time) -> String {
    OffsetDateTime::from_unix_timestamp(time.seconds())
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_default()
}
