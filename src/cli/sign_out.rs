//! `entree users sign-out`: signs out one user, or all users who are connected with a provider that
//! is no longer trusted.

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{
    confirm::confirm,
    database::find_user,
    outcome::{CommandError, Outcome},
    output,
};
use crate::{
    audit::{self, Event, Kind},
    db::Db,
    login::device,
    session,
    user::{self, identity},
};

#[derive(Debug, Args)]
pub(super) struct Target {
    /// `sub` as tokens carry it, or a verified email address
    #[arg(
        required_unless_present = "connected_with",
        conflicts_with = "connected_with"
    )]
    user: Option<String>,
    /// Every user who has or had an account at this provider: its `id` in the configuration
    #[arg(long, value_name = "PROVIDER")]
    connected_with: Option<String>,
    /// Disconnect these accounts too, even where one is the last sign-in method
    #[arg(long, requires = "connected_with", conflicts_with = "user")]
    disconnect: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct SignedOut {
    users: u64,
    accounts: u64,
}

pub(super) async fn run(db: &Db, target: &Target) -> Outcome {
    let named = target.connected_with.as_deref().or(target.user.as_deref());
    let words = if target.disconnect {
        "every user of this provider is signed out everywhere and disconnected from it"
    } else {
        "every session, every grant to an application and every known device ends"
    };
    if let Some(user) = &target.user {
        find_user(db, user).await?;
    }
    confirm(target.yes, named.unwrap_or_default(), words)?;
    let done = sign_out(db, target).await?;
    let text = if target.json {
        json!({ "signed_out": done.users, "disconnected": done.accounts }).to_string()
    } else {
        let users = if done.users == 1 { "user" } else { "users" };
        let accounts = if done.accounts == 1 {
            "account"
        } else {
            "accounts"
        };
        let rest = if target.disconnect {
            format!(", {} {accounts} disconnected", done.accounts)
        } else {
            String::new()
        };
        format!("{} {users} signed out{rest}", done.users)
    };
    output::print(&text)
}

async fn sign_out(db: &Db, target: &Target) -> Result<SignedOut, CommandError> {
    let Some(provider) = &target.connected_with else {
        let who = target.user.as_deref().unwrap_or_default();
        end_access(db, find_user(db, who).await?.id).await?;
        return Ok(SignedOut {
            users: 1,
            accounts: 0,
        });
    };
    let users = identity::users_of_provider(db.read(), provider).await?;
    if users.is_empty() {
        let words = "no user has or had an account at a provider with this id: use the `id` in [[providers]]";
        return Err(words.to_owned().into());
    }
    let mut done = SignedOut::default();
    for user in users {
        // First, so that a sign-in with it in the meantime is ended by what follows.
        if target.disconnect {
            done.accounts += disconnect(db, user, provider).await?;
        }
        end_access(db, user).await?;
        done.users += 1;
    }
    Ok(done)
}

/// Ends everything of one user, in a unit of work of its own, so that no sign-in waits for all of
/// them.
async fn end_access(db: &Db, user: Uuid) -> Outcome {
    let tx = db.begin().await?;
    user::bump_epoch(&tx, user).await?;
    session::end_all(&tx, user).await?;
    device::end_all(&tx, user).await?;
    Event::new(Kind::SignedOut)
        .user(user)
        .reason(audit::ByOperator)
        .record(&tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

async fn disconnect(db: &Db, user: Uuid, provider: &str) -> Result<u64, CommandError> {
    let tx = db.begin().await?;
    let disconnected = identity::unlink_provider(&tx, user, provider).await?;
    if disconnected > 0 {
        Event::new(Kind::IdentityUnlinked)
            .user(user)
            .provider(provider)
            .reason(audit::ByOperator)
            .record(&tx)
            .await?;
    }
    tx.commit().await?;
    Ok(disconnected)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser as _;
    use entity::audit_event;
    use sea_orm::EntityTrait as _;

    use super::*;
    use crate::{cli::users::tests::database, config, user::identity::UpstreamAccount};

    #[derive(Debug, clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        target: Target,
    }

    fn parse(words: &[&str]) -> Result<Target, clap::Error> {
        Arguments::try_parse_from(std::iter::once(&"sign-out").chain(words))
            .map(|arguments| arguments.target)
    }

    async fn connect(db: &Db, user: Uuid, provider: &str) {
        let tx = db.begin().await.unwrap();
        let account = UpstreamAccount {
            provider: provider.to_owned(),
            issuer: format!("https://{provider}.example"),
            subject: "1".to_owned(),
            email: None,
            name: None,
        };
        identity::link(&tx, user, &account).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn events(db: &Db) -> Vec<(String, Option<String>)> {
        let rows = audit_event::Entity::find().all(db.read()).await.unwrap();
        rows.into_iter()
            .map(|row| (row.kind, row.provider))
            .collect()
    }

    #[tokio::test]
    async fn one_user_is_signed_out_everywhere() {
        let (_file, db, user, session) = database().await;
        let target = parse(&[&user.public_id.to_string()]).unwrap();
        assert_eq!(
            sign_out(&db, &target).await.unwrap(),
            SignedOut {
                users: 1,
                accounts: 0
            }
        );
        let now = find_user(&db, "ada@example.com").await.unwrap();
        assert_eq!(
            now.auth_epoch,
            user.auth_epoch + 1,
            "grants to applications end with the epoch"
        );
        let tx = db.begin().await.unwrap();
        let live = session::find_live(tx.conn(), session.id, tx.now, &config::Session::default())
            .await
            .unwrap();
        assert!(live.is_none());
        assert_eq!(events(&db).await, [("session.signed_out".to_owned(), None)]);
        assert!(
            sign_out(&db, &parse(&["bob@example.com"]).unwrap())
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn every_user_connected_with_a_provider_is_signed_out_and_disconnected_on_request() {
        let (_file, db, user, _) = database().await;
        connect(&db, user.id, "office").await;
        connect(&db, user.id, "club").await;
        assert!(
            sign_out(&db, &parse(&["--connected-with", "elsewhere"]).unwrap())
                .await
                .is_err()
        );
        assert!(events(&db).await.is_empty());

        let kept = sign_out(&db, &parse(&["--connected-with", "office"]).unwrap())
            .await
            .unwrap();
        assert_eq!(
            kept,
            SignedOut {
                users: 1,
                accounts: 0
            }
        );
        assert_eq!(
            identity::list_for_user(db.read(), user.id)
                .await
                .unwrap()
                .len(),
            2
        );

        let target = parse(&["--connected-with", "office", "--disconnect"]).unwrap();
        assert_eq!(
            sign_out(&db, &target).await.unwrap(),
            SignedOut {
                users: 1,
                accounts: 1
            }
        );
        let left = identity::list_for_user(db.read(), user.id).await.unwrap();
        assert_eq!(
            left.iter()
                .map(|one| one.provider.as_str())
                .collect::<Vec<_>>(),
            ["club"]
        );
        assert!(
            events(&db)
                .await
                .contains(&("identity.unlinked".to_owned(), Some("office".to_owned())))
        );

        // Also a user who had one: what began with it may still be valid.
        assert_eq!(
            sign_out(&db, &target).await.unwrap(),
            SignedOut {
                users: 1,
                accounts: 0
            }
        );
        assert_eq!(
            find_user(&db, "ada@example.com").await.unwrap().auth_epoch,
            user.auth_epoch + 3
        );
    }

    #[test]
    fn the_user_must_be_named() {
        for words in [
            &[][..],
            &["ada@example.com", "--connected-with", "office"],
            &["ada@example.com", "--disconnect"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
