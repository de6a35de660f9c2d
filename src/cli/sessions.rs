//! `entree sessions`: who is signed in, and the end of it.

use clap::Subcommand;
use entity::{session, user};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Outcome, Refusal,
    admin::{find, moment, with_db},
    identifier, out,
};
use crate::{
    audit::{Event, Kind},
    config::Source,
    db::Db,
    error::InfraError,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List live sessions, the newest first
    List {
        /// Only of this user: `sub`, or a proven e-mail address
        #[arg(long)]
        user: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a session: its browser is signed out at the next request
    ///
    /// Access tokens that were issued run out by themselves within token.access_seconds.
    Revoke {
        /// Its identifier, `sid` in tokens
        #[arg(value_parser = identifier)]
        session: Uuid,
    },
}

pub(super) fn run(source: &Source, command: &Command) -> Outcome {
    with_db(source, async |db| match command {
        Command::List { user, limit, json } => list(db, user.as_deref(), *limit, *json).await,
        Command::Revoke { session } => revoke(db, *session).await,
    })
}

async fn list(db: &Db, who: Option<&str>, limit: u64, json: bool) -> Outcome {
    let of = match who {
        Some(who) => Some(find(db, who).await?.id),
        None => None,
    };
    let mut list = Vec::new();
    for session in live(db, of, limit).await? {
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
        out::answer(&Value::Array(list).to_string());
        return Ok(());
    }
    let rows: Vec<Vec<String>> = list
        .iter()
        .map(|(session, user)| {
            let (id, sub) = (session.id.to_string(), user.public_id.to_string());
            vec![
                id,
                sub,
                session.device.clone(),
                moment(session.created_at),
                moment(session.last_seen_at),
            ]
        })
        .collect();
    out::answer(&out::table(
        &["SESSION", "SUB", "DEVICE", "SIGNED IN", "LAST SEEN"],
        &rows,
    ));
    Ok(())
}

/// The end and its trail, in one unit of work.
async fn revoke(db: &Db, id: Uuid) -> Outcome {
    let tx = db.begin().await?;
    let row = session::Entity::find_by_id(id)
        .one(tx.conn())
        .await
        .map_err(InfraError::from)?;
    let none = || {
        Refusal::Words(
            "there is no live session of that identifier: see `entree sessions list`".to_owned(),
        )
    };
    let owner = row.ok_or_else(none)?.user_id;
    if !crate::session::end(&tx, owner, id).await? {
        return Err(none());
    }
    Event::new(Kind::SignedOut)
        .reason("ops")
        .user(owner)
        .session(id)
        .record(&tx)
        .await?;
    tx.commit().await?;
    out::answer("ended");
    Ok(())
}

/// The live sessions, of one user or of all, the newest first.
pub(super) async fn live(
    db: &Db,
    of: Option<Uuid>,
    limit: u64,
) -> Result<Vec<session::Model>, InfraError> {
    let mut query = session::Entity::find()
        .filter(session::Column::RevokedAt.is_null())
        .filter(session::Column::ExpiresAt.gt(db.clock().now()));
    if let Some(id) = of {
        query = query.filter(session::Column::UserId.eq(id));
    }
    Ok(query
        .order_by_desc(session::Column::CreatedAt)
        .limit(limit)
        .all(db.read())
        .await?)
}

/// What JSON tells of a session: nothing of its secret.
pub(super) fn as_json(session: &session::Model, user: &user::Model) -> Value {
    json!({
        "id": session.id,
        "sub": user.public_id,
        "device": session.device,
        "acr": session.acr,
        "remembered": session.remembered,
        "created_at": moment(session.created_at),
        "last_seen_at": moment(session.last_seen_at),
        "expires_at": moment(session.expires_at),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::admin::tests::database;

    #[tokio::test]
    async fn a_session_is_ended_once_and_leaves_the_list() {
        let (_file, db, user, session) = database().await;
        assert_eq!(live(&db, Some(user.id), 10).await.unwrap().len(), 1);
        revoke(&db, session.id).await.unwrap();
        assert!(live(&db, None, 10).await.unwrap().is_empty());
        assert!(revoke(&db, session.id).await.is_err());
        let trail = entity::audit_event::Entity::find()
            .all(db.read())
            .await
            .unwrap();
        assert_eq!(trail.len(), 1);
    }
}
