//! R-38 for pending links: an account that waits for consent or for a verification by email leads
//! to nothing once the operator has switched its provider off, removed it, or changed its issuer.

use entity::user_identity;
use entree::config::providers::EmailTrust;
use poem::http::StatusCode;
use sea_orm::EntityTrait as _;
use serde_json::json;

use crate::{
    federation::linking::cases::{
        connect_through_provider, prefilled_address, return_from_provider, untrusted_provider,
        verify_by_email,
    },
    federation::{ProviderFixture, Snapshot, count_rows},
    oauth::{settle, signed_in},
    test_app::TestApp,
};

on_both!(
    r_38_consent_signs_no_user_in_after_its_provider_was_switched_off,
    r_38_consent_connects_nothing_after_its_provider_was_switched_off,
    r_38_an_email_signs_in_without_the_account_of_a_provider_that_was_switched_off,
    r_38_the_question_after_an_email_ends_with_its_provider,
    r_38_the_page_that_asks_for_an_address_drops_a_provider_that_was_switched_off,
    pr_01_an_address_that_is_no_longer_authoritative_creates_no_user,
);

/// What an operator does to a provider, followed by a reload.
#[derive(Clone, Copy, Debug)]
enum Change {
    SwitchOff,
    Remove,
    ReplaceIssuer,
}

const ALL: [Change; 3] = [Change::SwitchOff, Change::Remove, Change::ReplaceIssuer];

impl Change {
    fn apply(self, fixture: &ProviderFixture<'_>) {
        match self {
            Self::SwitchOff => fixture.change_settings(|provider| provider.enabled = false),
            Self::Remove => fixture
                .test_app
                .configure(|config| config.providers.retain(|one| one.id != fixture.id)),
            Self::ReplaceIssuer => fixture
                .change_settings(|provider| provider.issuer = "https://another.example".to_owned()),
        }
    }
}

async fn identities(test_app: &TestApp) -> Vec<user_identity::Model> {
    user_identity::Entity::find()
        .all(test_app.app.db.read())
        .await
        .unwrap()
}

async fn r_38_consent_signs_no_user_in_after_its_provider_was_switched_off(test_app: TestApp) {
    for change in ALL {
        let why = &format!("{change:?}");
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        fixture.assert_signs_in("its owner, elsewhere").await;
        let other = format!("other-{}@example.test", fixture.id);
        let mut browser = signed_in(&test_app, &other).await;
        let first = return_from_provider(&fixture, &mut browser).await;
        let second = return_from_provider(&fixture, &mut browser).await;
        assert!(
            first.has("form#identity") && second.has("form#identity"),
            "{why}: {}",
            second.summary()
        );
        change.apply(&fixture);
        let before = Snapshot::load(&test_app).await;
        let page = browser.open(&first.url[url::Position::BeforePath..]).await;
        fixture
            .assert_refusal(&before, &page, (why, 403, "up_provider_disabled"))
            .await;
        assert!(!page.has("form#identity"), "{why}: {}", page.summary());
        let before = Snapshot::load(&test_app).await;
        let response = browser
            .submit(&first, "identity", &[("decision", "yes")])
            .await;
        fixture
            .assert_refusal(&before, &response, (why, 403, "up_provider_disabled"))
            .await;
        assert_eq!(
            response.attribute("a#next", "href").as_deref(),
            Some("/login"),
            "{why}: to the sign-in page"
        );
        assert!(
            browser.account().await.unwrap().contains(&other),
            "{why}: the same user is signed in"
        );
        // A user who declines is asked nothing more.
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

async fn r_38_consent_connects_nothing_after_its_provider_was_switched_off(test_app: TestApp) {
    for change in ALL {
        let why = &format!("{change:?}");
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        let mut browser = signed_in(&test_app, &fixture.email).await;
        let back = connect_through_provider(&fixture, &mut browser).await;
        let response = browser.open(&back.path()).await;
        let question = settle(&mut browser, response).await;
        assert!(
            question.has("form#identity"),
            "{why}: {}",
            question.summary()
        );
        change.apply(&fixture);
        let before = Snapshot::load(&test_app).await;
        let response = browser
            .submit(&question, "identity", &[("decision", "yes")])
            .await;
        fixture
            .assert_refusal(&before, &response, (why, 403, "up_provider_disabled"))
            .await;
        assert!(
            browser.account().await.is_some(),
            "{why}: signed in as before"
        );
        // The link is spent, even if the provider is switched on again.
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

async fn r_38_an_email_signs_in_without_the_account_of_a_provider_that_was_switched_off(
    test_app: TestApp,
) {
    for (change, by_code) in ALL.into_iter().zip([true, false, false]) {
        let fixture = untrusted_provider(&test_app).await;
        let mut browser = test_app.browser();
        let page = return_from_provider(&fixture, &mut browser).await;
        test_app.send_due_emails().await;
        let response = browser
            .submit(&page, "sign-in", &[("email", &fixture.email)])
            .await;
        let waiting = settle(&mut browser, response).await;
        let mail = test_app.mail(&fixture.email).await;
        change.apply(&fixture);
        let done = if by_code {
            browser
                .submit(&waiting, "code", &[("code", &mail.code())])
                .await
        } else {
            browser.click(&mail.link()).await
        };
        let done = settle(&mut browser, done).await;
        assert_eq!(
            done.status,
            StatusCode::OK,
            "{change:?}: {}",
            done.summary()
        );
        assert!(
            browser.account().await.unwrap().contains(&fixture.email),
            "{change:?}: the email suffices"
        );
        assert!(
            !done.has("form#identity"),
            "{change:?}: no question is asked: {}",
            done.summary()
        );
        assert_eq!(identities(&test_app).await, [], "{change:?}");
        test_app.send_due_emails().await;
        assert_eq!(
            test_app.mails(&fixture.email).len(),
            1,
            "{change:?}: no email about a connection"
        );
    }
}

/// LC-E: an existing user has the address and is asked after the verification.
async fn r_38_the_question_after_an_email_ends_with_its_provider(test_app: TestApp) {
    for change in ALL {
        let why = &format!("{change:?}");
        let fixture = untrusted_provider(&test_app).await;
        signed_in(&test_app, &fixture.email).await;
        let mut browser = test_app.browser();
        let page = return_from_provider(&fixture, &mut browser).await;
        let question = verify_by_email(&mut browser, &page, &fixture.email).await;
        assert!(
            question.has("form#identity"),
            "{why}: {}",
            question.summary()
        );
        change.apply(&fixture);
        let before = Snapshot::load(&test_app).await;
        let response = browser
            .submit(&question, "identity", &[("decision", "yes")])
            .await;
        fixture
            .assert_refusal(&before, &response, (why, 403, "up_provider_disabled"))
            .await;
        let next = response.attribute("a#next", "href").expect("a way on");
        assert!(next.starts_with("/login/continue?flow="), "{why}: {next}");
        let on = browser.open(&next).await;
        let on = settle(&mut browser, on).await;
        assert_eq!(
            (on.status, on.url.path()),
            (StatusCode::OK, "/account"),
            "{why}: {}",
            on.summary()
        );
        let on = browser
            .open(&question.url[url::Position::BeforePath..])
            .await;
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

async fn r_38_the_page_that_asks_for_an_address_drops_a_provider_that_was_switched_off(
    test_app: TestApp,
) {
    for change in ALL {
        let fixture = untrusted_provider(&test_app).await;
        let mut browser = test_app.browser();
        let page = return_from_provider(&fixture, &mut browser).await;
        assert!(page.has("#linking"), "{change:?}: {}", page.summary());
        change.apply(&fixture);
        let again = browser.open(&page.url[url::Position::BeforePath..]).await;
        assert!(
            again.has("form#sign-in") && !again.has("#linking"),
            "{change:?}: {}",
            again.summary()
        );
        // A page from before the change: the account does not continue with the email.
        let response = browser
            .submit(&page, "sign-in", &[("email", &fixture.email)])
            .await;
        settle(&mut browser, response).await;
        let flows = entity::magic_link_flow::Entity::find()
            .all(test_app.app.db.read())
            .await
            .unwrap();
        assert!(
            !flows.is_empty() && flows.iter().all(|flow| flow.link.is_none()),
            "{change:?}"
        );
    }
}

async fn pr_01_an_address_that_is_no_longer_authoritative_creates_no_user(test_app: TestApp) {
    for of_domains in [false, true] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        let mut browser = signed_in(&test_app, &format!("other-{}@example.test", fixture.id)).await;
        let question = return_from_provider(&fixture, &mut browser).await;
        assert!(question.has("form#identity"), "{}", question.summary());
        let users = count_rows(&test_app, "users").await;
        fixture.change_settings(|provider| match of_domains {
            true => provider.mail_domains = vec!["school.example".to_owned()],
            false => provider.trust = Some(EmailTrust::Asserted),
        });
        let response = browser
            .submit(&question, "identity", &[("decision", "yes")])
            .await;
        let page = settle(&mut browser, response).await;
        assert_eq!(
            prefilled_address(&page),
            fixture.email,
            "verification by email, as for any address at that trust"
        );
        assert_eq!(
            (
                count_rows(&test_app, "users").await,
                identities(&test_app).await.len()
            ),
            (users, 0)
        );
    }
}
