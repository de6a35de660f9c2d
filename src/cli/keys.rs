//! `entree keys`: what signs our tokens, and changing it by hand.
//!
//! Straight in the database, beside a running service: each copy follows within three seconds.

use crate::key::State;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    Outcome, Refusal,
    admin::{moment, with_db},
    instance, load, out,
};
use crate::{
    audit,
    config::{Alg, Source, Startup},
    db::Db,
    key::{self, Change, Keys, Listed},
    secret::MasterKeys,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List all keys that there ever were, the oldest first. Needs no master key
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Publish a successor now; it signs after 24 hours, when every resource server knows it
    ///
    /// Keys also rotate by themselves, every 90 days. Where a successor waits already, nothing happens.
    Rotate {
        /// Only of this algorithm
        #[arg(long, value_enum)]
        alg: Option<Which>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a key out at once: for a private key that somebody may have
    ///
    /// It leaves the JWKS, its private part is destroyed, and another signs from now on. Tokens that it signed fail as
    /// soon as a resource server reads the JWKS again (at most 5 minutes); people stay signed in.
    Revoke {
        /// The key, as `keys list` names it
        kid: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Seal all keys anew under server.master_key, so that no previous master key is needed for them
    ///
    /// For after a change of the master key, with the old one among server.previous_master_keys. The keys themselves, and
    /// what they signed, stay as they are.
    Rewrap {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Which {
    #[value(name = "ES256")]
    Es256,
    #[value(name = "RS256")]
    Rs256,
}

impl From<Which> for Alg {
    fn from(which: Which) -> Self {
        match which {
            Which::Es256 => Self::ES256,
            Which::Rs256 => Self::RS256,
        }
    }
}

pub(super) fn run(source: &Source, command: &Command) -> Outcome {
    if let Command::List { json } = command {
        return with_db(source, async |db| list(db, *json).await);
    }
    let masters = masters(&load(source)?.config.startup)?;
    key::install();
    with_db(source, async |db| match command {
        Command::List { json } => list(db, *json).await,
        Command::Rotate { alg, json } => {
            let algs = alg.map_or_else(|| vec![Alg::ES256, Alg::RS256], |alg| vec![alg.into()]);
            tell(
                &rotate(db, &masters, &algs).await?,
                *json,
                "a successor waits already; nothing was done",
            );
            Ok(())
        }
        Command::Revoke { kid, json } => {
            let changes = revoke(db, &masters, kid).await?;
            if changes.is_empty() {
                return Err(
                    "there is no such key, or it was taken out before: see `entree keys list`"
                        .to_owned()
                        .into(),
                );
            }
            tell(&changes, *json, "");
            Ok(())
        }
        Command::Rewrap { json } => {
            let count = rewrap(db, &masters).await?;
            out::answer(&if *json {
                json!({ "rewrapped": count }).to_string()
            } else {
                words(count)
            });
            Ok(())
        }
    })
}

/// The configured master keys. None is made here: a fresh one opens nothing.
pub(super) fn masters(config: &Startup) -> Result<MasterKeys, Refusal> {
    let file = config.server.data_dir.join("master.key");
    if config.server.master_key.is_empty() && !file.exists() {
        let words = format!(
            "there is no master key at {}: set server.master_key, or mend server.data_dir",
            file.display()
        );
        return Err(words.into());
    }
    Ok(instance::master_keys(config)?)
}

async fn rotate(db: &Db, masters: &MasterKeys, algs: &[Alg]) -> Result<Vec<Change>, Refusal> {
    let keys = Keys::open(db, masters).await?;
    let mut changes = Vec::new();
    for alg in algs {
        changes.extend(keys.rotate(*alg).await?.map(|kid| Change {
            kid,
            state: State::Pending,
        }));
    }
    record(db, &changes).await?;
    Ok(changes)
}

async fn revoke(db: &Db, masters: &MasterKeys, kid: &str) -> Result<Vec<Change>, Refusal> {
    let changes = Keys::open(db, masters).await?.emergency(kid).await?;
    record(db, &changes).await?;
    Ok(changes)
}

async fn rewrap(db: &Db, masters: &MasterKeys) -> Result<u64, Refusal> {
    Ok(Keys::open(db, masters).await?.rewrap().await?)
}

fn words(rewrapped: u64) -> String {
    format!(
        "{rewrapped} keys are sealed under the current master key; no previous one is needed for them"
    )
}

async fn record(db: &Db, changes: &[Change]) -> Outcome {
    Ok(audit::keys(
        db,
        changes
            .iter()
            .map(|change| (change.state, change.kid.as_str())),
    )
    .await?)
}

const fn word(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Active => "active",
        State::Retiring => "retiring",
        State::Retired => "retired",
        State::Compromised => "compromised",
    }
}

fn tell(changes: &[Change], json: bool, nothing: &str) {
    if json {
        let list = changes
            .iter()
            .map(|change| json!({ "kid": change.kid, "state": word(change.state) }))
            .collect();
        out::answer(&Value::Array(list).to_string());
    } else if changes.is_empty() {
        out::answer(nothing);
    } else {
        let rows: Vec<_> = changes
            .iter()
            .map(|change| vec![change.kid.clone(), word(change.state).to_owned()])
            .collect();
        out::answer(&out::table(&["KEY", "NOW"], &rows));
    }
}

async fn list(db: &Db, json: bool) -> Outcome {
    let keys = Keys::list(db).await?;
    if json {
        out::answer(&Value::Array(keys.iter().map(as_json).collect()).to_string());
        return Ok(());
    }
    let at = |time: Option<_>| time.map(moment).unwrap_or_default();
    let row = |key: Listed| {
        vec![
            key.kid,
            key.alg,
            key.state,
            moment(key.published_at),
            at(key.activated_at),
            at(key.demoted_at),
        ]
    };
    let rows: Vec<_> = keys.into_iter().map(row).collect();
    out::answer(&out::table(
        &["KEY", "ALG", "STATE", "PUBLISHED", "SIGNS SINCE", "UNTIL"],
        &rows,
    ));
    Ok(())
}

fn as_json(key: &Listed) -> Value {
    json!({
        "kid": key.kid,
        "alg": key.alg,
        "state": key.state,
        "published_at": moment(key.published_at),
        "activated_at": key.activated_at.map(moment),
        "demoted_at": key.demoted_at.map(moment),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::audit as audit_event;
    use sea_orm::{EntityTrait as _, QueryOrder as _};

    use super::*;
    use crate::{cli::admin::tests::database, secret};

    async fn trail(db: &Db) -> Vec<(String, Option<String>)> {
        let rows = audit_event::Entity::find()
            .order_by_asc(audit_event::Column::Id)
            .all(db.read())
            .await
            .unwrap();
        rows.into_iter().map(|row| (row.kind, row.reason)).collect()
    }

    #[tokio::test]
    async fn keys_are_rotated_and_revoked_by_hand_and_the_trail_tells() {
        key::install();
        let (_file, db, ..) = database().await;
        let masters = MasterKeys::new([7; 32], []);
        let changes = rotate(&db, &masters, &[Alg::ES256]).await.unwrap();
        let next = changes.first().unwrap().kid.clone();
        assert_eq!(
            trail(&db).await,
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
        let kinds: Vec<_> = trail(&db).await.into_iter().map(|(kind, _)| kind).collect();
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
    async fn sk_07_keys_are_rewrapped_by_hand_and_the_old_master_key_can_go() {
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
    fn no_master_key_is_made_by_looking() {
        let dir = std::env::temp_dir().join(format!("entree-keys-{}", secret::public_id()));
        let mut config = Startup::default();
        config.server.data_dir.clone_from(&dir);
        assert!(masters(&config).is_err());
        assert!(!dir.exists());
    }
}
