//! `entree users roles|disable|enable`: what ops may change of people, each with its row in the trail.

use clap::Subcommand;
use serde_json::json;

use super::{Outcome, Refusal, admin::find, out};
use crate::{
    audit::{Event, Kind},
    db::Db,
    session,
    user::{self, State, User},
};

#[derive(Debug, Subcommand)]
pub(super) enum Roles {
    /// Give a user exactly these roles; none takes all away
    ///
    /// New tokens carry them from now on; those that are out keep theirs until they run out (token.access_seconds).
    Set {
        /// `sub` as tokens carry it, or a proven e-mail address
        user: String,
        /// Names such as `coach`: letters, digits and `._:-`, at most 64 characters
        roles: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Gives exactly these roles.
pub(super) async fn roles(db: &Db, who: &str, roles: &[String], json: bool) -> Outcome {
    if let Some(bad) = roles.iter().find(|role| !user::is_role(role)) {
        let words = format!("{bad:?} is no name of a role: write letters, digits and `._:-`, at most 64 characters");
        return Err(words.into());
    }
    let of = find(db, who).await?;
    let tx = db.begin().await?;
    user::set_roles(&tx, of.id, roles).await?;
    Event::new(Kind::UserRolesSet).user(of.id).reason("ops").record(&tx).await?;
    tx.commit().await?;
    show(db, who, json).await
}

/// Locks a user out: no sign-in, no token, and every session ends.
pub(super) async fn disable(db: &Db, who: &str, json: bool) -> Outcome {
    let of = changeable(db, who).await?;
    let tx = db.begin().await?;
    user::set_state(&tx, of.id, State::Disabled).await?;
    user::bump_epoch(&tx, of.id).await?;
    session::end_all(&tx, of.id).await?;
    Event::new(Kind::UserDisabled).user(of.id).reason("ops").record(&tx).await?;
    tx.commit().await?;
    show(db, who, json).await
}

/// Lets a user in again; ended sessions stay ended.
pub(super) async fn enable(db: &Db, who: &str, json: bool) -> Outcome {
    let of = changeable(db, who).await?;
    let tx = db.begin().await?;
    user::set_state(&tx, of.id, State::Active).await?;
    Event::new(Kind::UserEnabled).user(of.id).reason("ops").record(&tx).await?;
    tx.commit().await?;
    show(db, who, json).await
}

async fn changeable(db: &Db, who: &str) -> Result<User, Refusal> {
    let of = find(db, who).await?;
    if of.state == State::Deleted { Err("this user is deleted".to_owned().into()) } else { Ok(of) }
}

async fn show(db: &Db, who: &str, json: bool) -> Outcome {
    let now = find(db, who).await?;
    let state = super::admin::state(&now);
    let text = if json {
        json!({ "sub": now.public_id, "state": state, "roles": user::roles(&now) }).to_string()
    } else {
        format!("{} is {state}, roles: {}", now.public_id, if now.roles.is_empty() { "none" } else { &now.roles })
    };
    out::answer(&text);
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use entity::audit_event;
    use sea_orm::{EntityTrait as _, QueryOrder as _};

    use super::*;
    use crate::{
        cli::admin::tests::database,
        config,
        session::{Method, Start},
    };

    async fn kinds(db: &Db) -> Vec<String> {
        let rows = audit_event::Entity::find().order_by_asc(audit_event::Column::Id).all(db.read()).await.unwrap();
        rows.into_iter().map(|row| row.kind).collect()
    }

    #[tokio::test]
    async fn roles_are_exactly_what_was_given() {
        let (_file, db, of, _) = database().await;
        let who = of.public_id.to_string();
        let given = ["student", "coach", "student"].map(str::to_owned);
        roles(&db, &who, &given, false).await.unwrap();
        assert_eq!(user::roles(&find(&db, &who).await.unwrap()), ["coach", "student"]);
        for bad in ["", "two words", "a\nb", "é", &"x".repeat(65)] {
            assert!(roles(&db, &who, &[bad.to_owned()], false).await.is_err(), "{bad:?}");
        }
        roles(&db, "ada@example.com", &[], true).await.unwrap();
        assert_eq!(find(&db, &who).await.unwrap().roles, "");
        assert_eq!(kinds(&db).await, ["user.roles_set", "user.roles_set"]);
    }

    #[tokio::test]
    async fn who_is_disabled_is_out_at_once_and_may_be_let_in_again() {
        let (_file, db, of, live) = database().await;
        let who = of.public_id.to_string();
        let settings = config::Session::default();
        let alive = async || session::by_id(db.read(), live.id, db.clock().now(), &settings).await.unwrap().is_some();
        assert!(alive().await);
        disable(&db, &who, false).await.unwrap();
        assert_eq!(find(&db, &who).await.unwrap().state, State::Disabled);
        assert!(!alive().await);
        enable(&db, &who, true).await.unwrap();
        let now = find(&db, &who).await.unwrap();
        assert_eq!((now.state, now.auth_epoch), (State::Active, of.auth_epoch + 1));
        assert!(!alive().await, "an ended session stays ended");
        let tx = db.begin().await.unwrap();
        let start = Start { user: &now, method: Method::Mail, device: "", remembered: false, browser: None };
        session::start(&tx, start, &settings).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(kinds(&db).await, ["user.disabled", "user.enabled"]);
    }
}
