//! What the commands that read and change the database share: opening it, finding a user, and
//! showing a time.

use entity::{Time, user};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::outcome::{CommandError, Outcome, block_on, load};
use crate::{
    clock::Clock,
    config::{Source, Startup},
    db::Db,
    error::InfraError,
    user::{Address, find_by_address},
};

/// Runs a command on the configured database, if its schema is up to date.
pub(super) fn with_database(source: &Source, command: impl AsyncFnOnce(&Db) -> Outcome) -> Outcome {
    let config = load(source)?.config.startup;
    if let Some(path) = config.database_url().strip_prefix("sqlite:")
        && !std::path::Path::new(path.trim_start_matches("//")).exists()
    {
        return Err(format!(
            "no database is at {path}: run `entree migrate`, or fix server.data_dir"
        )
        .into());
    }
    block_on(async {
        let db = connect(&config).await?;
        let outcome = match db.pending_migrations().await {
            Ok(pending) if pending.is_empty() => command(&db).await,
            Ok(_) => Err("the schema is not up to date: run `entree migrate`"
                .to_owned()
                .into()),
            Err(error) => Err(error.into()),
        };
        db.close().await;
        outcome
    })
}

/// Opens the configured database for a command.
pub(super) async fn connect(config: &Startup) -> Result<Db, InfraError> {
    Db::connect(
        &config.database_url(),
        config.database.max_connections.min(4),
        Clock::default(),
    )
    .await
}

/// Finds a user by `sub` or by a verified address.
pub(super) async fn find_user(db: &Db, who: &str) -> Result<user::Model, CommandError> {
    let found = match Uuid::parse_str(who) {
        Ok(sub) => {
            let query = user::Entity::find().filter(user::Column::PublicId.eq(sub));
            query.one(db.read()).await.map_err(InfraError::from)?
        }
        Err(_) => match Address::parse(who, true) {
            Ok(address) => find_by_address(db.read(), &address).await?,
            Err(_) => None,
        },
    };
    found.ok_or_else(|| {
        format!("no user has the `sub` or the verified address {who:?}: see `entree users list`")
            .into()
    })
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
