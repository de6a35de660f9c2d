//! `entree users`: lists and shows users, and dispatches the commands that change them
//! (`user_change`, `sign_out`).
//!
//! It works on the database beside a running service.

use clap::Subcommand;
use entity::{user, user_email};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    confirm::confirm,
    database::{find_user, format_time, user_state, with_database},
    outcome::Outcome,
    output, sessions, sign_out, user_change,
};
use crate::{config::Source, db::Db, error::InfraError};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List users, the newest first
    List {
        /// The most users to list
        #[arg(long, default_value_t = 100)]
        limit: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one user with addresses and live sessions
    Show {
        /// `sub` as tokens carry it, or a verified email address
        user: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Create a user whose address is not verified yet
    ///
    /// With magic_link.sign_up = "closed" this is how a new user is admitted. The first sign-in by
    /// email verifies the address, and ends whatever may have been prepared in the account before.
    Create {
        /// The email address
        address: String,
        /// A role for the user's tokens, such as `admin`; repeat for each further one
        #[arg(long)]
        role: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change the profile of a user
    Set {
        /// `sub` as tokens carry it, or a verified email address
        user: String,
        /// The display name (the claim `name` of the scope `profile`), at most 200 characters; empty
        /// removes it
        #[arg(long)]
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change the roles in a user's tokens
    #[command(subcommand)]
    Roles(user_change::Roles),
    /// Disable a user: no sign-in, no token, and every session and known device ends
    Disable {
        /// `sub` as tokens carry it, or a verified email address
        user: String,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Sign users out everywhere: every session, grant to an application and known device ends
    ///
    /// Access tokens that were issued expire by themselves within token.access_seconds.
    SignOut(sign_out::Target),
    /// Re-enable a disabled user
    Enable {
        /// `sub` as tokens carry it, or a verified email address
        user: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(source: &Source, command: &Command) -> Outcome {
    with_database(source, async |db| match command {
        Command::List { limit, json } => list_users(db, *limit, *json).await,
        Command::Show { user, json } => show_user(db, user, *json).await,
        Command::Create {
            address,
            role,
            json,
        } => user_change::create(db, address, role, *json).await,
        Command::Set { user, name, json } => user_change::set_name(db, user, name, *json).await,
        Command::Roles(user_change::Roles::Set { user, roles, json }) => {
            user_change::set_roles(db, user, roles, *json).await
        }
        Command::SignOut(target) => sign_out::run(db, target).await,
        Command::Disable { user, yes, json } => {
            let words = "the user is signed out everywhere and cannot sign in until re-enabled";
            user_change::find_changeable(db, user).await?;
            confirm(*yes, user, words)?;
            user_change::disable(db, user, *json).await
        }
        Command::Enable { user, json } => user_change::enable(db, user, *json).await,
    })
}

async fn list_users(db: &Db, limit: u64, json: bool) -> Outcome {
    let users = user::Entity::find()
        .order_by_desc(user::Column::Id)
        .limit(limit)
        .all(db.read())
        .await
        .map_err(InfraError::from)?;
    let mut list = Vec::new();
    for user in users {
        let addresses = addresses(db, user.id).await?;
        list.push((user, addresses));
    }
    if json {
        let list: Vec<Value> = list
            .iter()
            .map(|(user, addresses)| user_json(user, addresses))
            .collect();
        return output::print(&Value::Array(list).to_string());
    }
    let rows: Vec<Vec<String>> = list
        .iter()
        .map(|(user, addresses)| {
            let address = addresses
                .iter()
                .map(address_text)
                .collect::<Vec<_>>()
                .join(" ");
            vec![
                user.public_id.to_string(),
                user_state(user).to_owned(),
                address,
                user.roles.clone(),
                format_time(user.created_at),
            ]
        })
        .collect();
    output::print(&output::table(
        &["SUB", "STATE", "ADDRESS", "ROLES", "CREATED"],
        &rows,
    ))
}

async fn show_user(db: &Db, user: &str, json: bool) -> Outcome {
    let user = find_user(db, user).await?;
    let addresses = addresses(db, user.id).await?;
    let live = sessions::list_live(db, Some(user.id), 1_000).await?;
    if json {
        let mut value = user_json(&user, &addresses);
        if let Value::Object(fields) = &mut value {
            let list = live
                .iter()
                .map(|session| sessions::as_json(session, &user))
                .collect();
            fields.insert("sessions".to_owned(), Value::Array(list));
        }
        return output::print(&value.to_string());
    }
    let mut rows = vec![
        vec!["sub".to_owned(), user.public_id.to_string()],
        vec!["state".to_owned(), user_state(&user).to_owned()],
        vec!["name".to_owned(), user.name.clone().unwrap_or_default()],
        vec!["locale".to_owned(), user.locale.clone().unwrap_or_default()],
        vec!["roles".to_owned(), user.roles.clone()],
        vec!["created".to_owned(), format_time(user.created_at)],
    ];
    rows.extend(
        addresses
            .iter()
            .map(|row| vec!["address".to_owned(), address_text(row)]),
    );
    rows.extend(
        live.iter()
            .map(|row| vec!["session".to_owned(), format!("{} {}", row.id, row.device)]),
    );
    output::print(output::table(&["", ""], &rows).trim_start())
}

async fn addresses(db: &Db, id: Uuid) -> Result<Vec<user_email::Model>, InfraError> {
    Ok(user_email::Entity::find()
        .filter(user_email::Column::UserId.eq(id))
        .filter(user_email::Column::State.eq(user_email::UserEmailState::Active))
        .order_by_asc(user_email::Column::Id)
        .all(db.read())
        .await?)
}

/// Returns an address, and whether it is not verified yet.
fn address_text(row: &user_email::Model) -> String {
    if row.verified_at.is_some() {
        row.email.clone()
    } else {
        format!("{} (not verified)", row.email)
    }
}

fn user_json(user: &user::Model, addresses: &[user_email::Model]) -> Value {
    json!({
        "sub": user.public_id,
        "state": user_state(user),
        "name": user.name,
        "locale": user.locale,
        "roles": user.roles.split_whitespace().collect::<Vec<_>>(),
        "addresses": addresses.iter().map(|row| row.email.as_str()).collect::<Vec<_>>(),
        "created_at": format_time(user.created_at),
    })
}

#[cfg(test)]
#[allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
pub(super) mod tests {
    use entity::session;
    use sea_orm::{ActiveModelTrait as _, IntoActiveModel as _};

    use entity::Time;

    use super::*;
    use crate::{clock::Clock, secret};

    /// A database file that is deleted when this is dropped.
    pub(in crate::cli) struct File(std::path::PathBuf);

    impl Drop for File {
        fn drop(&mut self) {
            for end in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(format!("{}{end}", self.0.display()));
            }
        }
    }

    pub(in crate::cli) async fn database() -> (File, Db, user::Model, session::Model) {
        let path = std::env::temp_dir().join(format!("entree-admin-{}.db", secret::public_id()));
        let db = Db::connect(&format!("sqlite:{}", path.display()), 2, Clock::default())
            .await
            .unwrap();
        db.migrate().await.unwrap();
        let now = db.clock().now();
        let user = user::Model {
            id: secret::row_id(now),
            public_id: secret::public_id(),
            state: user::UserState::Active,
            auth_epoch: 0,
            roles: "coach admin".to_owned(),
            name: None,
            locale: None,
            created_at: Time(0),
            updated_at: now,
        };
        user.clone()
            .into_active_model()
            .insert(db.pool())
            .await
            .unwrap();
        let email = user_email::Model {
            id: secret::row_id(now),
            user_id: user.id,
            email: "Ada@example.com".to_owned(),
            canonical: "ada@example.com".to_owned(),
            canon_version: 1,
            state: user_email::UserEmailState::Active,
            verified_at: Some(now),
            verified_by: Some("mail".to_owned()),
            created_at: now,
        };
        email.into_active_model().insert(db.pool()).await.unwrap();
        let session = session::Model {
            id: secret::public_id(),
            user_id: user.id,
            secret_hash: vec![1; 32],
            previous_hash: None,
            previous_until: None,
            browser_hash: None,
            auth_epoch: 0,
            auth_time: now,
            acr: "urn:entree:acr:email".to_owned(),
            amr: "otp".to_owned(),
            identity_id: None,
            device: "Firefox on Linux".to_owned(),
            remembered: false,
            created_at: now,
            last_seen_at: now,
            expires_at: Time(now.0 + 1_000_000),
            revoked_at: None,
            told_at: None,
        };
        session
            .clone()
            .into_active_model()
            .insert(db.pool())
            .await
            .unwrap();
        (File(path), db, user, session)
    }

    #[tokio::test]
    async fn a_user_is_found_by_sub_and_by_address() {
        let (_file, db, user, _) = database().await;
        assert_eq!(
            find_user(&db, &user.public_id.to_string()).await.unwrap(),
            user
        );
        assert_eq!(find_user(&db, "ADA@example.com").await.unwrap(), user);
        for unknown in [
            "bob@example.com",
            "00000000-0000-0000-0000-000000000000",
            "",
        ] {
            assert!(find_user(&db, unknown).await.is_err(), "{unknown}");
        }
    }

    #[tokio::test]
    async fn json_holds_no_secret() {
        let (_file, db, user, session) = database().await;
        let shown = user_json(&user, &addresses(&db, user.id).await.unwrap());
        assert_eq!(shown["roles"], json!(["coach", "admin"]));
        assert_eq!(shown["created_at"], "1970-01-01T00:00:00Z");
        let shown = sessions::as_json(&session, &user).to_string();
        assert!(
            !shown.contains("hash") && !shown.contains("[1,1"),
            "{shown}"
        );
    }
}
