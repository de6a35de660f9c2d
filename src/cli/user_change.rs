//! `entree users create|set|roles|disable|enable`: the changes that an operator makes to users, each
//! with its row in the audit log.

use clap::Subcommand;
use serde_json::json;

use super::{
    database::{find_user, user_state},
    outcome::{CommandError, Outcome},
    output,
};
use crate::{
    audit::{self, Event, Kind},
    db::Db,
    login::device,
    session,
    user::{self, Address, EmailTarget, NameError, User, UserState},
};

#[derive(Debug, Subcommand)]
pub(super) enum Roles {
    /// Set a user's roles to exactly these; none removes all
    ///
    /// New tokens have them from now on; issued ones keep theirs until they expire
    /// (token.access_seconds).
    Set {
        /// `sub` as tokens carry it, or a verified email address
        user: String,
        /// Names such as `coach`: letters, digits and `._:-`, at most 64 characters
        roles: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Creates a user with an unverified address. The first sign-in by email verifies it (E2).
pub(super) async fn create(db: &Db, address: &str, roles: &[String], json: bool) -> Outcome {
    let parsed = Address::parse(address, true)
        .map_err(|_| format!("{address:?} is not an email address"))?;
    check_roles(roles)?;
    let tx = db.begin().await?;
    if user::email_target(tx.conn(), parsed.canonical()).await? != EmailTarget::Unknown {
        return Err("a user has this address already: see `entree users list`"
            .to_owned()
            .into());
    }
    let user = user::import_unverified(&tx, &parsed).await?;
    user::set_roles(&tx, user.id, roles).await?;
    Event::new(Kind::UserCreated)
        .user(user.id)
        .reason(audit::ByOperator)
        .record(&tx)
        .await?;
    tx.commit().await?;
    show(db, &user.public_id.to_string(), json).await
}

fn check_roles(roles: &[String]) -> Outcome {
    let Some(bad) = roles.iter().find(|role| !user::is_role_name(role)) else {
        return Ok(());
    };
    let message = format!(
        "{bad:?} is not a role name: use letters, digits and `._:-`, at most 64 characters"
    );
    Err(message.into())
}

/// Sets exactly these roles.
pub(super) async fn set_roles(db: &Db, who: &str, roles: &[String], json: bool) -> Outcome {
    check_roles(roles)?;
    let user = find_changeable(db, who).await?;
    let tx = db.begin().await?;
    user::set_roles(&tx, user.id, roles).await?;
    Event::new(Kind::UserRolesSet)
        .user(user.id)
        .reason(audit::ByOperator)
        .record(&tx)
        .await?;
    tx.commit().await?;
    show(db, who, json).await
}

/// Sets a display name, or removes it.
pub(super) async fn set_name(db: &Db, who: &str, name: &str, json: bool) -> Outcome {
    let name = match user::parse_name(name) {
        Ok(name) => Some(name),
        Err(NameError::Empty) => None,
        Err(NameError::Invisible | NameError::Character | NameError::TooLong) => {
            let most = user::MAX_NAME;
            return Err(format!(
                "this is not a name: use one visible line of at most {most} characters"
            )
            .into());
        }
    };
    let user = find_changeable(db, who).await?;
    let tx = db.begin().await?;
    user::set_name(&tx, user.id, name.as_deref()).await?;
    Event::new(Kind::UserNameSet)
        .user(user.id)
        .reason(audit::ByOperator)
        .record(&tx)
        .await?;
    tx.commit().await?;
    show(db, who, json).await
}

/// Disables a user: no sign-in, no token, and every session and known device ends.
pub(super) async fn disable(db: &Db, who: &str, json: bool) -> Outcome {
    let user = find_changeable(db, who).await?;
    let tx = db.begin().await?;
    user::set_state(&tx, user.id, UserState::Disabled).await?;
    user::bump_epoch(&tx, user.id).await?;
    session::end_all(&tx, user.id).await?;
    device::end_all(&tx, user.id).await?;
    Event::new(Kind::UserDisabled)
        .user(user.id)
        .reason(audit::ByOperator)
        .record(&tx)
        .await?;
    tx.commit().await?;
    show(db, who, json).await
}

/// Re-enables a user. Ended sessions and devices stay ended.
pub(super) async fn enable(db: &Db, who: &str, json: bool) -> Outcome {
    let user = find_changeable(db, who).await?;
    let tx = db.begin().await?;
    user::set_state(&tx, user.id, UserState::Active).await?;
    Event::new(Kind::UserEnabled)
        .user(user.id)
        .reason(audit::ByOperator)
        .record(&tx)
        .await?;
    tx.commit().await?;
    show(db, who, json).await
}

pub(super) async fn find_changeable(db: &Db, who: &str) -> Result<User, CommandError> {
    let user = find_user(db, who).await?;
    if user.state == UserState::Deleted {
        Err("this user is deleted: nothing was changed"
            .to_owned()
            .into())
    } else {
        Ok(user)
    }
}

async fn show(db: &Db, who: &str, json: bool) -> Outcome {
    let user = find_user(db, who).await?;
    let state = user_state(&user);
    let text = if json {
        json!({ "sub": user.public_id, "state": state, "name": user.name, "roles": user::roles(&user) }).to_string()
    } else {
        let (name, roles) = (user.name.as_deref().unwrap_or("none"), user.roles.as_str());
        format!(
            "{} is {state}, name: {name}, roles: {}",
            user.public_id,
            if roles.is_empty() { "none" } else { roles }
        )
    };
    output::print(&text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use entity::audit_event;
    use sea_orm::{EntityTrait as _, QueryOrder as _};

    use super::*;
    use crate::{
        cli::users::tests::database,
        config,
        session::{AuthMethod, NewSession},
    };

    async fn kinds(db: &Db) -> Vec<String> {
        let rows = audit_event::Entity::find()
            .order_by_asc(audit_event::Column::Id)
            .all(db.read())
            .await
            .unwrap();
        rows.into_iter().map(|row| row.kind).collect()
    }

    #[tokio::test]
    async fn roles_are_exactly_what_was_given() {
        let (_file, db, of, _) = database().await;
        let who = of.public_id.to_string();
        let given = ["student", "coach", "student"].map(str::to_owned);
        set_roles(&db, &who, &given, false).await.unwrap();
        assert_eq!(
            user::roles(&find_user(&db, &who).await.unwrap()),
            ["coach", "student"]
        );
        for bad in ["", "two words", "a\nb", "é", &"x".repeat(65)] {
            assert!(
                set_roles(&db, &who, &[bad.to_owned()], false)
                    .await
                    .is_err(),
                "{bad:?}"
            );
        }
        set_roles(&db, "ada@example.com", &[], true).await.unwrap();
        assert_eq!(find_user(&db, &who).await.unwrap().roles, "");
        assert_eq!(kinds(&db).await, ["user.roles_set", "user.roles_set"]);
    }

    #[tokio::test]
    async fn a_deleted_user_is_given_no_roles() {
        let (_file, db, of, _) = database().await;
        let who = of.public_id.to_string();
        let tx = db.begin().await.unwrap();
        user::set_state(&tx, of.id, UserState::Deleted)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let roles = ["coach".to_owned()];
        assert!(set_roles(&db, &who, &roles, false).await.is_err());
        assert_eq!(kinds(&db).await, [""; 0], "the audit log says nothing");
    }

    #[tokio::test]
    async fn cl_1_a_name_is_given_and_taken_away() {
        let (_file, db, of, _) = database().await;
        let named = async || find_user(&db, "ada@example.com").await.unwrap().name;
        set_name(&db, "ada@example.com", " Ada Löwe ", false)
            .await
            .unwrap();
        assert_eq!(named().await.as_deref(), Some("Ada Löwe"));
        for bad in ["two\nlines", &"x".repeat(201)] {
            assert!(
                set_name(&db, "ada@example.com", bad, false).await.is_err(),
                "{bad:?}"
            );
        }
        set_name(&db, &of.public_id.to_string(), "", true)
            .await
            .unwrap();
        assert_eq!(named().await, None);
        assert!(
            set_name(&db, "bob@example.com", "Bob", false)
                .await
                .is_err()
        );
        assert_eq!(kinds(&db).await, ["user.name_set", "user.name_set"]);
    }

    #[tokio::test]
    async fn e_2_a_user_of_ops_has_proven_nothing_until_they_do() {
        let (_file, db, ..) = database().await;
        let users = async || entity::user::Entity::find().all(db.read()).await.unwrap();
        create(&db, "Bob@Example.com", &["coach".to_owned()], true)
            .await
            .unwrap();
        let bob = users()
            .await
            .into_iter()
            .find(|user| user.roles == "coach")
            .unwrap();
        assert!(
            find_user(&db, "bob@example.com").await.is_err(),
            "the address is not verified"
        );
        for (bad, role) in [
            ("bob@example.com", "x"),
            ("ada@example.com", "x"),
            ("bob", "x"),
            ("c@example.com", "a b"),
        ] {
            assert!(
                create(&db, bad, &[role.to_owned()], false).await.is_err(),
                "{bad} {role}"
            );
        }
        assert_eq!(
            (users().await.len(), kinds(&db).await),
            (2, vec!["user.created".to_owned()])
        );
        // Sign-up is closed, and the first proof by mail still finds them.
        let address = Address::parse("bob@example.com", false).unwrap();
        let tx = db.begin().await.unwrap();
        let resolved = user::resolve(&tx, &address, user::VerifiedBy::Email, false)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert!(matches!(resolved, user::ResolvedUser::Reclaimed(user) if user.id == bob.id));
        assert_eq!(
            find_user(&db, "bob@example.com").await.unwrap().roles,
            "coach"
        );
    }

    #[tokio::test]
    async fn who_is_disabled_is_out_at_once_and_may_be_let_in_again() {
        let (_file, db, of, live) = database().await;
        let who = of.public_id.to_string();
        let settings = config::Session::default();
        let alive = async || {
            session::find_live(db.read(), live.id, db.clock().now(), &settings)
                .await
                .unwrap()
                .is_some()
        };
        assert!(alive().await);
        disable(&db, &who, false).await.unwrap();
        assert_eq!(
            find_user(&db, &who).await.unwrap().state,
            UserState::Disabled
        );
        assert!(!alive().await);
        enable(&db, &who, true).await.unwrap();
        let now = find_user(&db, &who).await.unwrap();
        assert_eq!(
            (now.state, now.auth_epoch),
            (UserState::Active, of.auth_epoch + 1)
        );
        assert!(!alive().await, "an ended session stays ended");
        let tx = db.begin().await.unwrap();
        let start = NewSession {
            user: &now,
            method: AuthMethod::Email,
            device: "",
            remembered: false,
            browser: None,
        };
        session::start(&tx, start, &settings).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(kinds(&db).await, ["user.disabled", "user.enabled"]);
    }
}
