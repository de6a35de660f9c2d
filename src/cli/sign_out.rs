//! `entree users sign-out`: one person, or everybody who is connected with a provider that cannot be trusted any more.

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{Outcome, Refusal, admin::find, out};
use crate::{
    audit::{Event, Kind},
    db::Db,
    session,
    user::{self, identity},
};

#[derive(Debug, Args)]
pub(super) struct Question {
    /// `sub` as tokens carry it, or a proven e-mail address
    #[arg(
        required_unless_present = "connected_with",
        conflicts_with = "connected_with"
    )]
    user: Option<String>,
    /// Everybody who has or had an account at this provider: its `id` in the configuration
    #[arg(long, value_name = "PROVIDER")]
    connected_with: Option<String>,
    /// Take these accounts away from them too, even where one is the last way in
    #[arg(long, requires = "connected_with", conflicts_with = "user")]
    disconnect: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    people: u64,
    accounts: u64,
}

pub(super) async fn run(db: &Db, question: &Question) -> Outcome {
    let done = sign_out(db, question).await?;
    let text = if question.json {
        json!({ "signed_out": done.people, "disconnected": done.accounts }).to_string()
    } else {
        let people = if done.people == 1 { "person" } else { "people" };
        let accounts = if done.accounts == 1 {
            "account"
        } else {
            "accounts"
        };
        let rest = if question.disconnect {
            format!(", {} {accounts} disconnected", done.accounts)
        } else {
            String::new()
        };
        format!("{} {people} signed out{rest}", done.people)
    };
    out::answer(&text);
    Ok(())
}

async fn sign_out(db: &Db, question: &Question) -> Result<Done, Refusal> {
    let Some(provider) = &question.connected_with else {
        let who = question.user.as_deref().unwrap_or_default();
        end(db, find(db, who).await?.id).await?;
        return Ok(Done {
            people: 1,
            accounts: 0,
        });
    };
    let people = identity::users_of_provider(db.read(), provider).await?;
    if people.is_empty() {
        let words = "nobody has or had an account at a provider of this id: it is the `id` in [[providers]]";
        return Err(words.to_owned().into());
    }
    let mut done = Done::default();
    for user in people {
        // First, so that whoever signs in with it meanwhile is signed out by what follows.
        if question.disconnect {
            done.accounts += disconnect(db, user, provider).await?;
        }
        end(db, user).await?;
        done.people += 1;
    }
    Ok(done)
}

/// A unit of work for each person: nobody who signs in meanwhile waits for all of them.
async fn end(db: &Db, user: Uuid) -> Outcome {
    let tx = db.begin().await?;
    user::bump_epoch(&tx, user).await?;
    session::end_all(&tx, user).await?;
    Event::new(Kind::SignedOut)
        .user(user)
        .reason("ops")
        .record(&tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

async fn disconnect(db: &Db, user: Uuid, provider: &str) -> Result<u64, Refusal> {
    let tx = db.begin().await?;
    let gone = identity::unlink_provider(&tx, user, provider).await?;
    if gone > 0 {
        Event::new(Kind::IdentityUnlinked)
            .user(user)
            .provider(provider)
            .reason("ops")
            .record(&tx)
            .await?;
    }
    tx.commit().await?;
    Ok(gone)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser as _;
    use entity::audit_event;
    use sea_orm::EntityTrait as _;

    use super::*;
    use crate::{cli::admin::tests::database, config, user::identity::UpstreamAccount};

    #[derive(Debug, clap::Parser)]
    struct Asked {
        #[command(flatten)]
        question: Question,
    }

    fn asked(words: &[&str]) -> Result<Question, clap::Error> {
        Asked::try_parse_from(std::iter::once(&"sign-out").chain(words)).map(|asked| asked.question)
    }

    async fn connect(db: &Db, user: Uuid, provider: &str) {
        let tx = db.begin().await.unwrap();
        let arrived = UpstreamAccount {
            provider: provider.to_owned(),
            issuer: format!("https://{provider}.example"),
            subject: "1".to_owned(),
            email: None,
            name: None,
        };
        identity::link(&tx, user, &arrived).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn trail(db: &Db) -> Vec<(String, Option<String>)> {
        let rows = audit_event::Entity::find().all(db.read()).await.unwrap();
        rows.into_iter()
            .map(|row| (row.kind, row.provider))
            .collect()
    }

    #[tokio::test]
    async fn one_person_is_signed_out_everywhere() {
        let (_file, db, user, session) = database().await;
        let question = asked(&[&user.public_id.to_string()]).unwrap();
        assert_eq!(
            sign_out(&db, &question).await.unwrap(),
            Done {
                people: 1,
                accounts: 0
            }
        );
        let now = find(&db, "ada@example.com").await.unwrap();
        assert_eq!(
            now.auth_epoch,
            user.auth_epoch + 1,
            "what they gave to applications ends with the epoch"
        );
        let tx = db.begin().await.unwrap();
        let live = session::find_live(tx.conn(), session.id, tx.now, &config::Session::default())
            .await
            .unwrap();
        assert!(live.is_none());
        assert_eq!(trail(&db).await, [("session.signed_out".to_owned(), None)]);
        assert!(
            sign_out(&db, &asked(&["bob@example.com"]).unwrap())
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn everybody_connected_with_a_provider_is_signed_out_and_disconnected_if_asked() {
        let (_file, db, user, _) = database().await;
        connect(&db, user.id, "office").await;
        connect(&db, user.id, "club").await;
        assert!(
            sign_out(&db, &asked(&["--connected-with", "elsewhere"]).unwrap())
                .await
                .is_err()
        );
        assert!(trail(&db).await.is_empty());

        let kept = sign_out(&db, &asked(&["--connected-with", "office"]).unwrap())
            .await
            .unwrap();
        assert_eq!(
            kept,
            Done {
                people: 1,
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

        let question = asked(&["--connected-with", "office", "--disconnect"]).unwrap();
        assert_eq!(
            sign_out(&db, &question).await.unwrap(),
            Done {
                people: 1,
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
            trail(&db)
                .await
                .contains(&("identity.unlinked".to_owned(), Some("office".to_owned())))
        );

        // Also who had one: what began by it may live on.
        assert_eq!(
            sign_out(&db, &question).await.unwrap(),
            Done {
                people: 1,
                accounts: 0
            }
        );
        assert_eq!(
            find(&db, "ada@example.com").await.unwrap().auth_epoch,
            user.auth_epoch + 3
        );
    }

    #[test]
    fn it_must_be_said_who() {
        for words in [
            &[][..],
            &["ada@example.com", "--connected-with", "office"],
            &["ada@example.com", "--disconnect"],
        ] {
            assert!(asked(words).is_err(), "{words:?}");
        }
    }
}
