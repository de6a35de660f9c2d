//! R-38 for what waits: an account that came back from a provider, and that still needs a yes or a proof by mail, comes to
//! nothing once ops have switched the provider off, taken it out, or made another party of it.

use entity::user_identity;
use entree::config::providers::MailTrust;
use poem::http::StatusCode;
use sea_orm::EntityTrait as _;
use serde_json::json;

use crate::{
    federation::{Kept, Stage, count},
    federation_link::{asks_for_address, come, connecting, prove, untrusted},
    oauth::{settle, signed_in},
    test_app::TestApp,
};

on_both!(
    r_38_a_yes_signs_nobody_in_after_its_provider_was_switched_off,
    r_38_a_yes_connects_nothing_after_its_provider_was_switched_off,
    r_38_a_mail_signs_in_without_the_account_of_a_provider_that_was_switched_off,
    r_38_the_question_after_a_mail_ends_with_its_provider,
    r_38_the_page_that_wants_an_address_forgets_a_provider_that_was_switched_off,
    pr_01_a_word_that_is_worth_less_by_now_makes_no_user,
);

/// What ops do to a provider, and the file is read again.
#[derive(Clone, Copy, Debug)]
enum Ops {
    SwitchOff,
    Remove,
    ChangeIssuer,
}

const ALL: [Ops; 3] = [Ops::SwitchOff, Ops::Remove, Ops::ChangeIssuer];

impl Ops {
    fn act(self, stage: &Stage<'_>) {
        match self {
            Self::SwitchOff => stage.set(|provider| provider.enabled = false),
            Self::Remove => stage
                .test_app
                .configure(|config| config.providers.retain(|one| one.id != stage.id)),
            Self::ChangeIssuer => {
                stage.set(|provider| provider.issuer = "https://another.example".to_owned())
            }
        }
    }
}

async fn identities(test_app: &TestApp) -> Vec<user_identity::Model> {
    user_identity::Entity::find()
        .all(test_app.app.db.read())
        .await
        .unwrap()
}

async fn r_38_a_yes_signs_nobody_in_after_its_provider_was_switched_off(test_app: TestApp) {
    for ops in ALL {
        let why = &format!("{ops:?}");
        let stage = Stage::new(&test_app, json!({})).await;
        stage.signs_in("its owner, elsewhere").await;
        let other = format!("other-{}@example.test", stage.id);
        let mut browser = signed_in(&test_app, &other).await;
        let first = come(&stage, &mut browser).await;
        let second = come(&stage, &mut browser).await;
        assert!(
            first.has("form#identity") && second.has("form#identity"),
            "{why}: {}",
            second.summary()
        );
        ops.act(&stage);
        let before = Kept::of(&test_app).await;
        let page = browser.open(&first.url[url::Position::BeforePath..]).await;
        stage
            .check(&before, &page, (why, 403, "up_provider_disabled"))
            .await;
        assert!(!page.has("form#identity"), "{why}: {}", page.summary());
        let before = Kept::of(&test_app).await;
        let answer = browser
            .submit(&first, "identity", &[("decision", "yes")])
            .await;
        stage
            .check(&before, &answer, (why, 403, "up_provider_disabled"))
            .await;
        assert_eq!(
            answer.attribute("a#next", "href").as_deref(),
            Some("/login"),
            "{why}: as who came to sign in"
        );
        assert!(
            browser.account().await.unwrap().contains(&other),
            "{why}: they are who they were"
        );
        // Whoever stays is asked for nothing.
        let stays = browser
            .submit(&second, "identity", &[("decision", "no")])
            .await;
        assert_eq!(
            stays.status,
            StatusCode::SEE_OTHER,
            "{why}: {}",
            stays.summary()
        );
    }
}

async fn r_38_a_yes_connects_nothing_after_its_provider_was_switched_off(test_app: TestApp) {
    for ops in ALL {
        let why = &format!("{ops:?}");
        let stage = Stage::new(&test_app, json!({})).await;
        let mut browser = signed_in(&test_app, &stage.email).await;
        let back = connecting(&stage, &mut browser).await;
        let answer = browser.open(&back.path()).await;
        let question = settle(&mut browser, answer).await;
        assert!(
            question.has("form#identity"),
            "{why}: {}",
            question.summary()
        );
        ops.act(&stage);
        let before = Kept::of(&test_app).await;
        let answer = browser
            .submit(&question, "identity", &[("decision", "yes")])
            .await;
        stage
            .check(&before, &answer, (why, 403, "up_provider_disabled"))
            .await;
        assert!(
            browser.account().await.is_some(),
            "{why}: signed in as before"
        );
        // Spent, also for the day the provider is on again.
        let again = browser
            .submit(&question, "identity", &[("decision", "yes")])
            .await;
        assert_eq!(
            again.status,
            StatusCode::BAD_REQUEST,
            "{why}: {}",
            again.summary()
        );
    }
    assert_eq!(identities(&test_app).await, []);
}

async fn r_38_a_mail_signs_in_without_the_account_of_a_provider_that_was_switched_off(
    test_app: TestApp,
) {
    for (ops, by_code) in ALL.into_iter().zip([true, false, false]) {
        let stage = untrusted(&test_app).await;
        let mut browser = test_app.browser();
        let page = come(&stage, &mut browser).await;
        test_app.post().await;
        let answer = browser
            .submit(&page, "sign-in", &[("email", &stage.email)])
            .await;
        let waiting = settle(&mut browser, answer).await;
        let mail = test_app.mail(&stage.email).await;
        ops.act(&stage);
        let done = if by_code {
            browser
                .submit(&waiting, "code", &[("code", &mail.code())])
                .await
        } else {
            browser.click(&mail.link()).await
        };
        let done = settle(&mut browser, done).await;
        assert_eq!(done.status, StatusCode::OK, "{ops:?}: {}", done.summary());
        assert!(
            browser.account().await.unwrap().contains(&stage.email),
            "{ops:?}: the mail is proof enough"
        );
        assert!(
            !done.has("form#identity"),
            "{ops:?}: nothing is asked: {}",
            done.summary()
        );
        assert_eq!(identities(&test_app).await, [], "{ops:?}");
        test_app.post().await;
        assert_eq!(
            test_app.mails(&stage.email).len(),
            1,
            "{ops:?}: no letter tells of a connection"
        );
    }
}

/// LC-E: a user has the address, and is asked after the proof by email.
async fn r_38_the_question_after_a_mail_ends_with_its_provider(test_app: TestApp) {
    for ops in ALL {
        let why = &format!("{ops:?}");
        let stage = untrusted(&test_app).await;
        signed_in(&test_app, &stage.email).await;
        let mut browser = test_app.browser();
        let page = come(&stage, &mut browser).await;
        let asked = prove(&mut browser, &page, &stage.email).await;
        assert!(asked.has("form#identity"), "{why}: {}", asked.summary());
        ops.act(&stage);
        let before = Kept::of(&test_app).await;
        let answer = browser
            .submit(&asked, "identity", &[("decision", "yes")])
            .await;
        stage
            .check(&before, &answer, (why, 403, "up_provider_disabled"))
            .await;
        let next = answer.attribute("a#next", "href").expect("a way on");
        assert!(next.starts_with("/login/continue?flow="), "{why}: {next}");
        let on = browser.open(&next).await;
        let on = settle(&mut browser, on).await;
        assert_eq!(
            (on.status, on.url.path()),
            (StatusCode::OK, "/account"),
            "{why}: {}",
            on.summary()
        );
        let on = browser.open(&asked.url[url::Position::BeforePath..]).await;
        let on = settle(&mut browser, on).await;
        assert_eq!(
            (on.status, on.url.path()),
            (StatusCode::OK, "/account"),
            "{why}: {}",
            on.summary()
        );
        assert!(browser.is_signed_in(), "{why}");
    }
    assert_eq!(identities(&test_app).await, []);
}

async fn r_38_the_page_that_wants_an_address_forgets_a_provider_that_was_switched_off(
    test_app: TestApp,
) {
    for ops in ALL {
        let stage = untrusted(&test_app).await;
        let mut browser = test_app.browser();
        let page = come(&stage, &mut browser).await;
        assert!(page.has("#linking"), "{ops:?}: {}", page.summary());
        ops.act(&stage);
        let again = browser.open(&page.url[url::Position::BeforePath..]).await;
        assert!(
            again.has("form#sign-in") && !again.has("#linking"),
            "{ops:?}: {}",
            again.summary()
        );
        // A page from before: nothing of it goes on with the mail, whatever ops do next.
        let answer = browser
            .submit(&page, "sign-in", &[("email", &stage.email)])
            .await;
        settle(&mut browser, answer).await;
        let flows = entity::magic_link_flow::Entity::find()
            .all(test_app.app.db.read())
            .await
            .unwrap();
        assert!(
            !flows.is_empty() && flows.iter().all(|flow| flow.link.is_none()),
            "{ops:?}"
        );
    }
}

async fn pr_01_a_word_that_is_worth_less_by_now_makes_no_user(test_app: TestApp) {
    for of_domains in [false, true] {
        let stage = Stage::new(&test_app, json!({})).await;
        let mut browser = signed_in(&test_app, &format!("other-{}@example.test", stage.id)).await;
        let question = come(&stage, &mut browser).await;
        assert!(question.has("form#identity"), "{}", question.summary());
        let users = count(&test_app, "users").await;
        stage.set(|provider| match of_domains {
            true => provider.mail_domains = vec!["school.example".to_owned()],
            false => provider.trust = Some(MailTrust::Asserted),
        });
        let answer = browser
            .submit(&question, "identity", &[("decision", "yes")])
            .await;
        let page = settle(&mut browser, answer).await;
        assert_eq!(
            asks_for_address(&page),
            stage.email,
            "proof by mail, as for anybody at that trust"
        );
        assert_eq!(
            (
                count(&test_app, "users").await,
                identities(&test_app).await.len()
            ),
            (users, 0)
        );
    }
}
