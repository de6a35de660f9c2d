//! `entree users`: what ops may see of people, and what all commands of this kind share. Changes stand in `user_change`.
//!
//! Read straight from the database, beside a running service.

use clap::Subcommand;
use entity::{Time, user, user_email};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{
    Outcome, Refusal, block_on, load, migrate::connect, out, sessions, sign_out, user_change,
};
use crate::{
    config::Source,
    db::Db,
    error::InfraError,
    user::{Address, find_by_address},
};

#[derive(Debug, Subcommand)]
pub(super) enum Users {
    /// List users, the newest first
    List {
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one user with addresses and live sessions
    Show {
        /// `sub` as tokens carry it, or a proven e-mail address
        user: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a user whose address is still to be proven
    ///
    /// With magic_link.sign_up = "closed" this is how somebody new gets in. Nobody can sign in as them until a mail to the
    /// address has proven it; that first proof also ends whatever may have been prepared in the account before.
    Create {
        /// The e-mail address
        address: String,
        /// A role that their tokens shall carry, such as `admin`; again for each further one
        #[arg(long)]
        role: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change what applications are told of a user
    Set {
        /// `sub` as tokens carry it, or a proven e-mail address
        user: String,
        /// The display name (the claim `name` of the scope `profile`), at most 200 characters; empty takes it away
        #[arg(long)]
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change the roles that a user's tokens carry
    #[command(subcommand)]
    Roles(user_change::Roles),
    /// Lock a user out: no sign-in, no token, and every session ends
    Disable {
        /// `sub` as tokens carry it, or a proven e-mail address
        user: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Sign people out everywhere: every session and everything that they gave to applications ends
    ///
    /// Access tokens that were issued run out by themselves within token.access_seconds.
    SignOut(sign_out::Question),
    /// Let a locked user in again
    Enable {
        /// `sub` as tokens carry it, or a proven e-mail address
        user: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn users(source: &Source, command: &Users) -> Outcome {
    with_db(source, async |db| match command {
        Users::List { limit, json } => list_users(db, *limit, *json).await,
        Users::Show { user, json } => show_user(db, user, *json).await,
        Users::Create {
            address,
            role,
            json,
        } => user_change::create(db, address, role, *json).await,
        Users::Set { user, name, json } => user_change::name(db, user, name, *json).await,
        Users::Roles(user_change::Roles::Set { user, roles, json }) => {
            user_change::roles(db, user, roles, *json).await
        }
        Users::SignOut(question) => sign_out::run(db, question).await,
        Users::Disable { user, json } => user_change::disable(db, user, *json).await,
        Users::Enable { user, json } => user_change::enable(db, user, *json).await,
    })
}

/// Runs a command on the configured database, if its schema is ours.
pub(super) fn with_db(source: &Source, act: impl AsyncFnOnce(&Db) -> Outcome) -> Outcome {
    let config = load(source)?.config.startup;
    if let Some(path) = config.database_url().strip_prefix("sqlite:")
        && !std::path::Path::new(path.trim_start_matches("//")).exists()
    {
        return Err(format!(
            "no database is at {path}: run `entree migrate`, or mend server.data_dir"
        )
        .into());
    }
    block_on(async {
        let db = connect(&config).await?;
        let done = match db.pending_migrations().await {
            Ok(pending) if pending.is_empty() => act(&db).await,
            Ok(_) => Err("the schema is not up to date: run `entree migrate`"
                .to_owned()
                .into()),
            Err(failure) => Err(failure.into()),
        };
        db.close().await;
        done
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
        out::answer(&Value::Array(list).to_string());
        return Ok(());
    }
    let rows: Vec<Vec<String>> = list
        .iter()
        .map(|(user, addresses)| {
            let address = addresses.iter().map(shown).collect::<Vec<_>>().join(" ");
            vec![
                user.public_id.to_string(),
                state(user).to_owned(),
                address,
                user.roles.clone(),
                moment(user.created_at),
            ]
        })
        .collect();
    out::answer(&out::table(
        &["SUB", "STATE", "ADDRESS", "ROLES", "CREATED"],
        &rows,
    ));
    Ok(())
}

async fn show_user(db: &Db, who: &str, json: bool) -> Outcome {
    let user = find(db, who).await?;
    let addresses = addresses(db, user.id).await?;
    let live = sessions::live(db, Some(user.id), 1_000).await?;
    if json {
        let mut value = user_json(&user, &addresses);
        if let Value::Object(fields) = &mut value {
            let list = live
                .iter()
                .map(|session| sessions::as_json(session, &user))
                .collect();
            fields.insert("sessions".to_owned(), Value::Array(list));
        }
        out::answer(&value.to_string());
        return Ok(());
    }
    let mut rows = vec![
        vec!["sub".to_owned(), user.public_id.to_string()],
        vec!["state".to_owned(), state(&user).to_owned()],
        vec!["name".to_owned(), user.name.clone().unwrap_or_default()],
        vec!["locale".to_owned(), user.locale.clone().unwrap_or_default()],
        vec!["roles".to_owned(), user.roles.clone()],
        vec!["created".to_owned(), moment(user.created_at)],
    ];
    rows.extend(
        addresses
            .iter()
            .map(|row| vec!["address".to_owned(), shown(row)]),
    );
    rows.extend(
        live.iter()
            .map(|row| vec!["session".to_owned(), format!("{} {}", row.id, row.device)]),
    );
    out::answer(out::table(&["", ""], &rows).trim_start());
    Ok(())
}

/// By `sub`, or by a proven address.
pub(super) async fn find(db: &Db, who: &str) -> Result<user::Model, Refusal> {
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
        format!("no user has the `sub` or the proven address {who:?}: see `entree users list`")
            .into()
    })
}

async fn addresses(db: &Db, id: Uuid) -> Result<Vec<user_email::Model>, InfraError> {
    Ok(user_email::Entity::find()
        .filter(user_email::Column::UserId.eq(id))
        .filter(user_email::Column::State.eq(user_email::UserEmailState::Active))
        .order_by_asc(user_email::Column::Id)
        .all(db.read())
        .await?)
}

/// An address, and whether it is still to be proven.
fn shown(row: &user_email::Model) -> String {
    if row.verified_at.is_some() {
        row.email.clone()
    } else {
        format!("{} (not proven)", row.email)
    }
}

pub(super) const fn state(user: &user::Model) -> &'static str {
    match user.state {
        user::UserState::Active => "active",
        user::UserState::Disabled => "disabled",
        user::UserState::Deleted => "deleted",
    }
}

fn user_json(user: &user::Model, addresses: &[user_email::Model]) -> Value {
    json!({
        "sub": user.public_id,
        "state": state(user),
        "name": user.name,
        "locale": user.locale,
        "roles": user.roles.split_whitespace().collect::<Vec<_>>(),
        "addresses": addresses.iter().map(|row| row.email.as_str()).collect::<Vec<_>>(),
        "created_at": moment(user.created_at),
    })
}

/// RFC 3339, to the second.
pub(super) fn moment(time: Time) -> String {
    OffsetDateTime::from_unix_timestamp(time.seconds())
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
pub(super) mod tests {
    use entity::session;
    use sea_orm::{ActiveModelTrait as _, IntoActiveModel as _};

    use super::*;
    use crate::{clock::Clock, secret};

    /// A database file that goes at the end.
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
    async fn a_user_is_found_by_sub_and_find_by_address() {
        let (_file, db, user, _) = database().await;
        assert_eq!(find(&db, &user.public_id.to_string()).await.unwrap(), user);
        assert_eq!(find(&db, "ADA@example.com").await.unwrap(), user);
        for nobody in [
            "bob@example.com",
            "00000000-0000-0000-0000-000000000000",
            "",
        ] {
            assert!(find(&db, nobody).await.is_err(), "{nobody}");
        }
    }

    #[tokio::test]
    async fn what_json_shows_holds_no_secret() {
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
