//! Which applications reach an account, and the ends of that (RF-9, E2).

use std::collections::BTreeMap;

use entree::{
    audit,
    user::{self, Address},
};
use poem::http::StatusCode;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
};
use serde_json::Value;
use testkit::page::Page;

use crate::{
    federation::linking::{link_account_to, provider, step_up_by_provider},
    oauth::{
        Attempt, error_of, leads_to_client, parameter, register, settle, sign_in_from, signed_in,
        token,
    },
    test_app::{Browser, TestApp},
};

const EMAIL: &str = "ada@example.com";

fn with_refresh(test_app: &TestApp) {
    register(test_app);
    test_app.configure(|config| {
        for client in &mut config.clients {
            client.scopes.push("offline_access".to_owned());
        }
    });
}

fn foreign() -> Attempt {
    Attempt::new()
        .with("client_id", "foreign")
        .with("scope", "openid email offline_access")
}

/// Tokens of the third-party client, after its consent page if there is one.
async fn allowed(test_app: &TestApp, browser: &mut Browser<'_>) -> Value {
    let attempt = foreign();
    let asked = browser.open(&attempt.path()).await;
    let page = browser.follow(&asked).await;
    browser
        .submit(&page, "consent", &[("decision", "allow")])
        .await;
    let code = attempt.code(browser).await;
    serde_json::from_str(&token(test_app, &attempt.exchange(&code)).await.body).unwrap()
}

async fn refresh(test_app: &TestApp, client: &str, tokens: &Value) -> Page {
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", client),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
    ];
    token(
        test_app,
        &BTreeMap::from(fields.map(|(name, value)| (name.to_owned(), value.to_owned()))),
    )
    .await
}

async fn needs_consent(browser: &mut Browser<'_>) -> bool {
    let silent = browser.open(&foreign().with("prompt", "none").path()).await;
    parameter(&silent, "error").as_deref() == Some("consent_required")
}

on_both!(
    rf_9_access_that_is_removed_is_gone_with_all_that_it_gave,
    rf_9_a_code_on_its_way_does_not_outlive_the_consent,
    lk_07_disconnecting_ends_what_its_sessions_gave_and_signing_out_does_not,
    e_2_rf_9_a_reclaimed_account_has_no_consents,
);

async fn rf_9_access_that_is_removed_is_gone_with_all_that_it_gave(test_app: TestApp) {
    with_refresh(&test_app);
    let mut browser = signed_in(&test_app, EMAIL).await;
    let empty = browser.open("/account/access").await;
    assert!(empty.has("#none") && !empty.has("form"), "{}", empty.text());
    let first = allowed(&test_app, &mut browser).await;
    let own = Attempt::new()
        .with("scope", "openid offline_access")
        .tokens(&mut browser)
        .await;
    let mut other = signed_in(&test_app, "grace@example.com").await;
    let others = allowed(&test_app, &mut other).await;

    let account = browser.open("/account").await;
    assert!(account.has("a#access"));
    let page = browser.open("/account/access").await;
    let text = page.text();
    assert!(
        text.contains("The foreign application") && text.contains("The web application"),
        "{text}"
    );
    assert!(
        text.contains("See your email address")
            && text.contains("Keep access when you're not using the app"),
        "{text}"
    );
    let forms = page.forms("form.remove-access");
    assert_eq!(forms.len(), 2);
    let form = forms
        .into_iter()
        .find(|form| form.fields.iter().any(|(_, value)| value == "foreign"))
        .unwrap();
    let request = browser.filled(&page, &form, &[]);
    let answer = browser.send(request).await;
    let after = browser.follow(&answer).await;
    assert!(
        !after.text().contains("foreign") && after.text().contains("The web application"),
        "{}",
        after.text()
    );

    let refused = refresh(&test_app, "foreign", &first).await;
    assert_eq!(
        (refused.status, error_of(&refused).as_str()),
        (StatusCode::BAD_REQUEST, "invalid_grant")
    );
    assert!(needs_consent(&mut browser).await, "it has to ask again");
    assert_eq!(
        refresh(&test_app, "web", &own).await.status,
        StatusCode::OK,
        "others are not touched"
    );
    assert_eq!(
        refresh(&test_app, "foreign", &others).await.status,
        StatusCode::OK,
        "nor other people"
    );
    let withdrawals = audit::Entity::find().filter(audit::Column::Kind.eq("access.withdrawn"));
    assert_eq!(withdrawals.count(test_app.app.db.read()).await.unwrap(), 1);
}

async fn rf_9_a_code_on_its_way_does_not_outlive_the_consent(test_app: TestApp) {
    with_refresh(&test_app);
    let mut browser = signed_in(&test_app, EMAIL).await;
    allowed(&test_app, &mut browser).await;
    let attempt = foreign();
    let code = attempt.code(&mut browser).await;
    let page = browser.open("/account/access").await;
    let form = page.forms("form.remove-access").into_iter().next().unwrap();
    let request = browser.filled(&page, &form, &[]);
    assert_eq!(browser.send(request).await.status, StatusCode::SEE_OTHER);
    let late = token(&test_app, &attempt.exchange(&code)).await;
    assert_eq!(
        (late.status, error_of(&late).as_str()),
        (StatusCode::BAD_REQUEST, "invalid_grant"),
        "{}",
        late.body
    );
}

async fn lk_07_disconnecting_ends_what_its_sessions_gave_and_signing_out_does_not(
    test_app: TestApp,
) {
    with_refresh(&test_app);
    test_app.configure(|config| config.providers.push(provider("office")));
    let mut owner = signed_in(&test_app, EMAIL).await;
    let offline = Attempt::new().with("scope", "openid offline_access");
    let own = offline.tokens(&mut owner).await;
    let link = link_account_to(&test_app, EMAIL, "stolen").await;
    // A user is linked to the account: one session has ended, one is live and has an unused code.
    let mut left = signed_in(&test_app, EMAIL).await;
    step_up_by_provider(&test_app, &mut left, link).await;
    let kept = offline.tokens(&mut left).await;
    let account = left.open("/account").await;
    left.submit(&account, "sign-out", &[]).await;
    let refreshed = refresh(&test_app, "web", &kept).await;
    assert_eq!(
        refreshed.status,
        StatusCode::OK,
        "BS-05: signing out leaves it: {}",
        refreshed.body
    );
    let kept: Value = serde_json::from_str(&refreshed.body).unwrap();
    let mut there = signed_in(&test_app, EMAIL).await;
    step_up_by_provider(&test_app, &mut there, link).await;
    let live = offline.tokens(&mut there).await;
    let attempt = offline.clone();
    let code = attempt.code(&mut there).await;
    // A session that is the owner's own by now, and gave something while it was the provider's.
    let mut stepped = signed_in(&test_app, EMAIL).await;
    step_up_by_provider(&test_app, &mut stepped, link).await;
    let before = offline.tokens(&mut stepped).await;
    let of_before = offline.code(&mut stepped).await;
    stepped.sign_in(EMAIL).await;
    // And of sessions that ended long ago no row is left, while their grants live on.
    let tx = test_app.tx().await;
    tx.conn()
        .execute_unprepared("DELETE FROM sessions WHERE revoked_at IS NOT NULL")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        refresh(&test_app, "web", &before).await.status,
        StatusCode::OK
    );

    let account = owner.open("/account").await;
    let form = account.forms("form.disconnect").into_iter().next().unwrap();
    let request = owner.filled(&account, &form, &[]);
    assert_eq!(owner.send(request).await.status, StatusCode::SEE_OTHER);
    for (tokens, why) in [
        (&kept, "of a session that had ended"),
        (&live, "of one that ends now"),
        (&before, "of one that has proven itself by mail since"),
    ] {
        let refused = refresh(&test_app, "web", tokens).await;
        assert_eq!(
            (refused.status, error_of(&refused).as_str()),
            (StatusCode::BAD_REQUEST, "invalid_grant"),
            "{why}"
        );
    }
    for code in [&code, &of_before] {
        let late = token(&test_app, &attempt.exchange(code)).await;
        assert_eq!(
            (late.status, error_of(&late).as_str()),
            (StatusCode::BAD_REQUEST, "invalid_grant"),
            "{}",
            late.body
        );
    }
    assert_eq!(
        refresh(&test_app, "web", &own).await.status,
        StatusCode::OK,
        "what the owner's own session gave stays"
    );
}

async fn e_2_rf_9_a_reclaimed_account_has_no_consents(test_app: TestApp) {
    with_refresh(&test_app);
    // An intruder got into an account whose owner has never proven it, and let an application in.
    let mut intruder = signed_in(&test_app, EMAIL).await;
    let tokens = allowed(&test_app, &mut intruder).await;
    assert!(!needs_consent(&mut intruder).await);
    let tx = test_app.tx().await;
    tx.conn()
        .execute_unprepared("UPDATE user_emails SET verified_at = NULL, verified_by = 'import'")
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let mut owner = test_app.browser();
    owner.sign_in(EMAIL).await;
    let refused = refresh(&test_app, "foreign", &tokens).await;
    assert_eq!(error_of(&refused), "invalid_grant");
    let page = owner.open("/account/access").await;
    assert!(page.has("#none"), "{}", page.text());
    assert!(
        needs_consent(&mut owner).await,
        "what the intruder allowed is not the owner's word"
    );
    // And asking again starts anew: nothing of the old consent comes back.
    let attempt = foreign().with("scope", "openid");
    let asked = owner.open(&attempt.path()).await;
    let page = owner.follow(&asked).await;
    owner
        .submit(&page, "consent", &[("decision", "allow")])
        .await;
    assert!(leads_to_client(&owner.open(&attempt.path()).await));
    assert!(
        needs_consent(&mut owner).await,
        "email was allowed by the intruder alone"
    );
    let address = Address::parse(EMAIL, false).unwrap();
    assert!(
        user::find_by_address(test_app.app.db.read(), &address)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn rf_9_the_list_of_applications_needs_a_session() {
    let test_app = TestApp::embedded().await;
    with_refresh(&test_app);
    let mut anonymous = test_app.browser();
    let answer = anonymous.open("/account/access").await;
    assert_eq!(answer.location().unwrap().path(), "/login");
    let login = settle(&mut anonymous, answer).await;
    sign_in_from(&mut anonymous, &login, EMAIL).await;
    assert_eq!(
        anonymous.open("/account/access").await.status,
        StatusCode::OK
    );
}
