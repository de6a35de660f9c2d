//! `entree sessions`: lists live sessions and ends them.

use clap::Subcommand;
use entity::{session, user};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    confirm::confirm,
    database::{find_user, format_time, with_database},
    outcome::{CommandError, Outcome, parse_uuid},
    output,
};
use crate::{
    audit::{self, Event, Kind},
    config::Source,
    db::Db,
    error::InfraError,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List live sessions, the newest first
    List {
        /// Only those of this user: `sub`, or a verified email address
        #[arg(long)]
        user: Option<String>,
        /// The most sessions to list
        #[arg(long, default_value_t = 100)]
        limit: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a session: its browser is signed out at the next request
    ///
    /// Access tokens that were issued expire by themselves within token.access_seconds.
    Revoke {
        /// The identifier of the session, `sid` in tokens
        #[arg(value_parser = parse_uuid)]
        session: Uuid,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(source: &Source, command: &Command) -> Outcome {
    with_database(source, async |db| match command {
        Command::List { user, limit, json } => list(db, user.as_deref(), *limit, *json).await,
        Command::Revoke { session, yes, json } => {
            let words = "the browser of this session is signed out";
            find_live(db, *session).await?;
            confirm(*yes, &session.to_string(), words)?;
            revoke(db, *session, *json).await
        }
    })
}

async fn list(db: &Db, user: Option<&str>, limit: u64, json: bool) -> Outcome {
    let user_id = match user {
        Some(user) => Some(find_user(db, user).await?.id),
        None => None,
    };
    let mut list = Vec::new();
    for session in list_live(db, user_id, limit).await? {
        let owner = user::Entity::find_by_id(session.user_id)
            .one(db.read())
            .await
            .map_err(InfraError::from)?;
        list.extend(owner.map(|owner| (session, owner)));
    }
    if json {
        let list: Vec<Value> = list
            .iter()
            .map(|(session, user)| as_json(session, user))
            .collect();
        return output::print(&Value::Array(list).to_string());
    }
    let rows: Vec<Vec<String>> = list
        .iter()
        .map(|(session, user)| {
            let (id, sub) = (session.id.to_string(), user.public_id.to_string());
            vec![
                id,
                sub,
                session.device.clone(),
                format_time(session.created_at),
                format_time(session.last_seen_at),
            ]
        })
        .collect();
    output::print(&output::table(
        &["SESSION", "SUB", "DEVICE", "SIGNED IN", "LAST SEEN"],
        &rows,
    ))
}

/// Ends a session and records it in the audit log, in one unit of work.
async fn revoke(db: &Db, id: Uuid, json: bool) -> Outcome {
    let owner = find_live(db, id).await?.user_id;
    let tx = db.begin().await?;
    if !crate::session::end(&tx, owner, id).await? {
        return Err(not_found());
    }
    Event::new(Kind::SignedOut)
        .reason(audit::ByOperator)
        .user(owner)
        .session(id)
        .record(&tx)
        .await?;
    tx.commit().await?;
    output::print(&if json {
        json!({ "ended": id }).to_string()
    } else {
        "ended".to_owned()
    })
}

fn not_found() -> CommandError {
    "no live session has that identifier: see `entree sessions list`"
        .to_owned()
        .into()
}

async fn find_live(db: &Db, id: Uuid) -> Result<session::Model, CommandError> {
    let row = session::Entity::find_by_id(id)
        .filter(session::Column::RevokedAt.is_null())
        .filter(session::Column::ExpiresAt.gt(db.clock().now()));
    let row = row.one(db.read()).await.map_err(InfraError::from)?;
    row.ok_or_else(not_found)
}

/// Returns the live sessions of one user or of all, the newest first.
pub(super) async fn list_live(
    db: &Db,
    user_id: Option<Uuid>,
    limit: u64,
) -> Result<Vec<session::Model>, InfraError> {
    let mut query = session::Entity::find()
        .filter(session::Column::RevokedAt.is_null())
        .filter(session::Column::ExpiresAt.gt(db.clock().now()));
    if let Some(id) = user_id {
        query = query.filter(session::Column::UserId.eq(id));
    }
    Ok(query
        .order_by_desc(session::Column::CreatedAt)
        .limit(limit)
        .all(db.read())
        .await?)
}

/// Returns a session as JSON, without its secret.
pub(super) fn as_json(session: &session::Model, user: &user::Model) -> Value {
    json!({
        "id": session.id,
        "sub": user.public_id,
        "device": session.device,
        "acr": session.acr,
        "remembered": session.remembered,
        "created_at": format_time(session.created_at),
        "last_seen_at": format_time(session.last_seen_at),
        "expires_at": format_time(session.expires_at),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::users::tests::database;

    #[tokio::test]
    async fn a_session_is_ended_once_and_leaves_the_list() {
        let (_file, db, user, session) = database().await;
        assert_eq!(list_live(&db, Some(user.id), 10).await.unwrap().len(), 1);
        revoke(&db, session.id, false).await.unwrap();
        assert!(list_live(&db, None, 10).await.unwrap().is_empty());
        assert!(revoke(&db, session.id, false).await.is_err());
        let events = entity::audit_event::Entity::find()
            .all(db.read())
            .await
            .unwrap();
        assert_eq!(events.len(), 1);
    }
}
