//! `entree keys`: lists, rotates, revokes and rewraps signing keys.
//!
//! It works on the database beside a running service; each instance follows within three seconds.

use crate::key::KeyState;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    confirm::confirm,
    database::{format_time, with_database},
    instance,
    outcome::{CommandError, Outcome, load},
    output,
};
use crate::{
    audit,
    config::{Alg, Source, Startup},
    db::Db,
    key::{self, KeyChange, KeyInfo, Keys},
    secret::MasterKeys,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List all keys, past ones too, the oldest first. Needs no master key
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Publish a successor now; it signs after 24 hours, when every resource server has it
    ///
    /// Keys also rotate by themselves, every 90 days. If a successor waits already, nothing happens.
    Rotate {
        /// Only for this algorithm
        #[arg(long, value_enum)]
        alg: Option<KeyAlg>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key at once: for a private key that may have leaked
    ///
    /// It leaves the JWKS, its private part is destroyed, and another key signs from now on. Tokens
    /// that it signed fail as soon as a resource server reads the JWKS again (at most 5 minutes);
    /// users stay signed in.
    Revoke {
        /// The key's identifier, as `keys list` shows it
        kid: String,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Encrypt all keys again under server.master_key, so that they need no previous master key
    ///
    /// Run it after a change of the master key, with the old one among server.previous_master_keys.
    /// The keys themselves, and what they signed, stay as they are.
    Rewrap {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum KeyAlg {
    #[value(name = "ES256")]
    Es256,
    #[value(name = "RS256")]
    Rs256,
}

impl From<KeyAlg> for Alg {
    fn from(alg: KeyAlg) -> Self {
        match alg {
            KeyAlg::Es256 => Self::ES256,
            KeyAlg::Rs256 => Self::RS256,
        }
    }
}

pub(super) fn run(source: &Source, command: &Command) -> Outcome {
    if let Command::List { json } = command {
        return with_database(source, async |db| list(db, *json).await);
    }
    let masters = master_keys(&load(source)?.config.startup)?;
    key::install();
    with_database(source, async |db| match command {
        Command::List { json } => list(db, *json).await,
        Command::Rotate { alg, json } => {
            let algs = alg.map_or_else(|| vec![Alg::ES256, Alg::RS256], |alg| vec![alg.into()]);
            print_changes(
                &rotate(db, &masters, &algs).await?,
                *json,
                "a successor waits already; nothing was changed",
            )
        }
        Command::Revoke { kid, yes, json } => {
            let words =
                "that key signs and verifies nothing any more, and its private part is destroyed";
            let is_there = |key: &KeyInfo| key.kid == *kid && key.state != "compromised";
            if !Keys::list(db).await?.iter().any(is_there) {
                return Err(unknown_key());
            }
            confirm(*yes, kid, words)?;
            let changes = revoke(db, &masters, kid).await?;
            if changes.is_empty() {
                return Err(unknown_key());
            }
            print_changes(&changes, *json, "")
        }
        Command::Rewrap { json } => {
            let count = rewrap(db, &masters).await?;
            output::print(&if *json {
                json!({ "rewrapped": count }).to_string()
            } else {
                rewrapped_text(count)
            })
        }
    })
}

fn unknown_key() -> CommandError {
    "no key has this identifier, or it was revoked before: see `entree keys list`"
        .to_owned()
        .into()
}

/// Returns the configured master keys. It makes none: a fresh one would decrypt nothing.
pub(super) fn master_keys(config: &Startup) -> Result<MasterKeys, CommandError> {
    let file = config.server.data_dir.join("master.key");
    if config.server.master_key.is_empty() && !file.exists() {
        let words = format!(
            "there is no master key at {}: set server.master_key, or fix server.data_dir",
            file.display()
        );
        return Err(words.into());
    }
    Ok(instance::master_keys(config)?)
}

async fn rotate(
    db: &Db,
    masters: &MasterKeys,
    algs: &[Alg],
) -> Result<Vec<KeyChange>, CommandError> {
    let keys = Keys::open(db, masters).await?;
    let mut changes = Vec::new();
    for alg in algs {
        changes.extend(keys.rotate(*alg).await?.map(|kid| KeyChange {
            kid,
            state: KeyState::Pending,
        }));
    }
    record(db, &changes).await?;
    Ok(changes)
}

async fn revoke(db: &Db, masters: &MasterKeys, kid: &str) -> Result<Vec<KeyChange>, CommandError> {
    let changes = Keys::open(db, masters).await?.compromise(kid).await?;
    record(db, &changes).await?;
    Ok(changes)
}

async fn rewrap(db: &Db, masters: &MasterKeys) -> Result<u64, CommandError> {
    Ok(Keys::open(db, masters).await?.rewrap().await?)
}

fn rewrapped_text(count: u64) -> String {
    format!("{count} keys are encrypted under the current master key; they need no previous one")
}

async fn record(db: &Db, changes: &[KeyChange]) -> Outcome {
    Ok(audit::record_key_changes(
        db,
        changes
            .iter()
            .map(|change| (change.state, change.kid.as_str())),
    )
    .await?)
}

const fn state_name(state: KeyState) -> &'static str {
    match state {
        KeyState::Pending => "pending",
        KeyState::Active => "active",
        KeyState::Retiring => "retiring",
        KeyState::Retired => "retired",
        KeyState::Compromised => "compromised",
    }
}

fn print_changes(changes: &[KeyChange], json: bool, nothing: &str) -> Outcome {
    if json {
        let list = changes
            .iter()
            .map(|change| json!({ "kid": change.kid, "state": state_name(change.state) }))
            .collect();
        output::print(&Value::Array(list).to_string())
    } else if changes.is_empty() {
        output::print(nothing)
    } else {
        let rows: Vec<_> = changes
            .iter()
            .map(|change| vec![change.kid.clone(), state_name(change.state).to_owned()])
            .collect();
        output::print(&output::table(&["KEY", "STATE"], &rows))
    }
}

async fn list(db: &Db, json: bool) -> Outcome {
    let keys = Keys::list(db).await?;
    if json {
        return output::print(&Value::Array(keys.iter().map(as_json).collect()).to_string());
    }
    let at = |time: Option<_>| time.map(format_time).unwrap_or_default();
    let row = |key: KeyInfo| {
        vec![
            key.kid,
            key.alg,
            key.state,
            format_time(key.published_at),
            at(key.activated_at),
            at(key.demoted_at),
        ]
    };
    let rows: Vec<_> = keys.into_iter().map(row).collect();
    output::print(&output::table(
        &["KEY", "ALG", "STATE", "PUBLISHED", "SIGNS SINCE", "UNTIL"],
        &rows,
    ))
}

fn as_json(key: &KeyInfo) -> Value {
    json!({
        "kid": key.kid,
        "alg": key.alg,
        "state": key.state,
        "published_at": format_time(key.published_at),
        "activated_at": key.activated_at.map(format_time),
        "demoted_at": key.demoted_at.map(format_time),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::audit as audit_event;
    use sea_orm::{EntityTrait as _, QueryOrder as _};

    use super::*;
    use crate::{cli::users::tests::database, secret};

    async fn events(db: &Db) -> Vec<(String, Option<String>)> {
        let rows = audit_event::Entity::find()
            .order_by_asc(audit_event::Column::Id)
            .all(db.read())
            .await
            .unwrap();
        rows.into_iter().map(|row| (row.kind, row.reason)).collect()
    }

    #[tokio::test]
    async fn keys_are_rotated_and_revoked_by_command_and_recorded_in_the_audit_log() {
        key::install();
        let (_file, db, ..) = database().await;
        let masters = MasterKeys::new([7; 32], []);
        let changes = rotate(&db, &masters, &[Alg::ES256]).await.unwrap();
        let next = changes.first().unwrap().kid.clone();
        assert_eq!(
            events(&db).await,
            [("key.published".to_owned(), Some(next.clone()))]
        );
        assert!(
            rotate(&db, &masters, &[Alg::ES256])
                .await
                .unwrap()
                .is_empty(),
            "one successor is enough"
        );
        let listed = Keys::list(&db).await.unwrap();
        let active = listed
            .iter()
            .find(|key| key.alg == "ES256" && key.state == "active")
            .unwrap()
            .kid
            .clone();
        let changes = revoke(&db, &masters, &active).await.unwrap();
        assert_eq!(changes.len(), 2, "{changes:?}");
        let kinds: Vec<_> = events(&db)
            .await
            .into_iter()
            .map(|(kind, _)| kind)
            .collect();
        assert_eq!(kinds, ["key.published", "key.revoked", "key.activated"]);
        assert!(revoke(&db, &masters, &active).await.unwrap().is_empty());
        assert!(revoke(&db, &masters, "none").await.unwrap().is_empty());
        let shown = as_json(
            Keys::list(&db)
                .await
                .unwrap()
                .iter()
                .find(|key| key.kid == next)
                .unwrap(),
        );
        assert_eq!(
            (&shown["state"], &shown["alg"]),
            (&json!("active"), &json!("ES256"))
        );
        assert!(!shown.to_string().contains("sealed"));
    }

    #[tokio::test]
    async fn sk_07_keys_are_rewrapped_by_command_and_the_old_master_key_can_go() {
        key::install();
        let (_file, db, ..) = database().await;
        Keys::open(&db, &MasterKeys::new([7; 32], []))
            .await
            .unwrap();
        assert!(
            rewrap(&db, &MasterKeys::new([8; 32], [])).await.is_err(),
            "the old one is needed for it"
        );
        let both = MasterKeys::new([8; 32], [[7; 32]]);
        assert_eq!(rewrap(&db, &both).await.unwrap(), 2);
        assert!(Keys::open(&db, &MasterKeys::new([8; 32], [])).await.is_ok());
    }

    #[test]
    fn reading_makes_no_master_key() {
        let dir = std::env::temp_dir().join(format!("entree-keys-{}", secret::public_id()));
        let mut config = Startup::default();
        config.server.data_dir.clone_from(&dir);
        assert!(master_keys(&config).is_err());
        assert!(!dir.exists());
    }
}
