//! The `claims` parameter from the request to the claims returned (CL-5), and required strengths of a sign-in (PM-8).

use std::collections::BTreeMap;

use poem::http::StatusCode;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use testkit::page::Page;

use crate::{
    oauth::{
        Attempt, error_of, leads_to_client, parameter, register, sign_in_from, signed_in, token,
        verified,
    },
    test_app::{Browser, TestApp},
};

const EMAIL: &str = "ada@example.com";

fn asking(claims: &Value) -> Attempt {
    Attempt::new()
        .with("scope", "openid")
        .with("claims", &claims.to_string())
}

async fn userinfo(test_app: &TestApp, tokens: &Value) -> Value {
    let request = poem::Request::builder()
        .uri_str("/oauth2/userinfo")
        .header("host", "id.test")
        .header(
            "authorization",
            format!("Bearer {}", tokens["access_token"].as_str().unwrap()),
        );
    let answer = test_app.call(request.finish()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

fn names(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

async fn refresh(test_app: &TestApp, client: &str, tokens: &Value, scope: Option<&str>) -> Value {
    let answer = refreshing(test_app, client, tokens, scope).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

async fn refreshing(test_app: &TestApp, client: &str, tokens: &Value, scope: Option<&str>) -> Page {
    let mut fields = BTreeMap::from([
        ("grant_type".to_owned(), "refresh_token".to_owned()),
        ("client_id".to_owned(), client.to_owned()),
        (
            "refresh_token".to_owned(),
            tokens["refresh_token"].as_str().unwrap().to_owned(),
        ),
    ]);
    fields.extend(scope.map(|scope| ("scope".to_owned(), scope.to_owned())));
    token(test_app, &fields).await
}

fn with_refresh(test_app: &TestApp) {
    test_app.configure(|config| {
        for client in &mut config.clients {
            client.scopes.push("offline_access".to_owned());
        }
    });
}

on_both!(
    cl_5_claims_are_returned_where_they_were_requested_and_nowhere_else,
    cl_5_claims_stay_with_the_grant_and_leave_with_their_scope,
    cl_5_a_third_party_asks_for_the_scope_behind_a_claim,
    cl_5_rf_9_a_claim_that_is_no_longer_allowed_is_in_no_token,
    pm_8_a_strength_that_no_method_reaches_fails_the_sign_in,
);

async fn cl_5_claims_are_returned_where_they_were_requested_and_nowhere_else(test_app: TestApp) {
    register(&test_app);
    let mut browser = signed_in(&test_app, EMAIL).await;
    let nothing = Attempt::new()
        .with("scope", "openid")
        .tokens(&mut browser)
        .await;
    let plain = verified(&test_app, &nothing["id_token"]).await.claims;
    assert_eq!(names(&userinfo(&test_app, &nothing).await), ["sub"]);

    let asked = json!({
        "userinfo": { "email": { "essential": true }, "acr": null, "auth_time": null, "phone_number": null },
        "id_token": { "email_verified": null, "roles": null, "updated_at": null, "birthdate": { "essential": true } },
    });
    let tokens = asking(&asked).tokens(&mut browser).await;
    let claims = userinfo(&test_app, &tokens).await;
    assert_eq!(names(&claims), ["acr", "auth_time", "email", "sub"]);
    assert_eq!(
        (&claims["email"], &claims["acr"]),
        (&EMAIL.into(), &"urn:entree:acr:email".into())
    );
    let id = verified(&test_app, &tokens["id_token"]).await.claims;
    assert_eq!(claims["auth_time"], id["auth_time"]);
    let more: Vec<&str> = names(&id)
        .into_iter()
        .filter(|name| plain.get(name).is_none())
        .collect();
    assert_eq!(
        more,
        ["email_verified", "roles", "updated_at"],
        "TK-10: what was asked for alone"
    );
    assert_eq!(
        (&id["email_verified"], &id["roles"]),
        (&true.into(), &json!([]))
    );
    assert!(id["updated_at"].is_i64());
    assert_eq!(tokens["scope"], "openid", "no scope is widened");
    let access = verified(&test_app, &tokens["access_token"]).await.claims;
    assert!(
        access.get("email").is_none() && access.get("email_verified").is_none(),
        "TK-12"
    );
}

async fn cl_5_claims_stay_with_the_grant_and_leave_with_their_scope(test_app: TestApp) {
    register(&test_app);
    with_refresh(&test_app);
    let mut browser = signed_in(&test_app, EMAIL).await;
    let both =
        json!({ "userinfo": { "email": null, "updated_at": null }, "id_token": { "email": null } });
    let tokens = asking(&both)
        .with("scope", "openid email offline_access")
        .tokens(&mut browser)
        .await;
    let next = refresh(&test_app, "web", &tokens, None).await;
    assert_eq!(
        names(&userinfo(&test_app, &next).await),
        ["email", "email_verified", "sub", "updated_at"]
    );
    assert_eq!(
        verified(&test_app, &next["id_token"]).await.claims["email"],
        EMAIL
    );
    // A token that was narrowed for another holder reveals nothing of the scope that it lost.
    let narrow = refresh(&test_app, "web", &next, Some("openid offline_access")).await;
    assert_eq!(
        names(&userinfo(&test_app, &narrow).await),
        ["sub", "updated_at"]
    );
    assert!(
        verified(&test_app, &narrow["id_token"])
            .await
            .claims
            .get("email")
            .is_none()
    );
    let whole = refresh(&test_app, "web", &narrow, None).await;
    assert_eq!(
        userinfo(&test_app, &whole).await["email"],
        EMAIL,
        "the grant has lost nothing"
    );
}

async fn cl_5_a_third_party_asks_for_the_scope_behind_a_claim(test_app: TestApp) {
    register(&test_app);
    let mut browser = signed_in(&test_app, EMAIL).await;
    let foreign = |attempt: Attempt| attempt.with("client_id", "foreign");
    let plain = foreign(Attempt::new().with("scope", "openid"));
    let asked = browser.open(&plain.path()).await;
    let page = browser.follow(&asked).await;
    assert!(!page.text().contains("See your email address"));
    let back = browser
        .submit(&page, "consent", &[("decision", "allow")])
        .await;
    assert!(back.refresh().is_some(), "{}", back.summary());
    assert!(
        leads_to_client(&browser.open(&plain.path()).await),
        "allowed before"
    );
    // The same scope, and an address by `claims`: that was not allowed yet.
    let more = foreign(asking(&json!({ "id_token": { "email": null } })));
    let silent = browser
        .open(&more.clone().with("prompt", "none").path())
        .await;
    assert_eq!(
        parameter(&silent, "error").as_deref(),
        Some("consent_required")
    );
    let asked = browser.open(&more.path()).await;
    let page = browser.follow(&asked).await;
    assert!(
        page.text().contains("See your email address"),
        "{}",
        page.text()
    );
    browser
        .submit(&page, "consent", &[("decision", "allow")])
        .await;
    let tokens = more.tokens(&mut browser).await;
    assert_eq!(
        verified(&test_app, &tokens["id_token"]).await.claims["email"],
        EMAIL
    );
}

/// The person is asked, and allows it.
async fn allow(browser: &mut Browser<'_>, attempt: &Attempt) {
    let asked = browser.open(&attempt.path()).await;
    let page = browser.follow(&asked).await;
    let back = browser
        .submit(&page, "consent", &[("decision", "allow")])
        .await;
    assert!(back.refresh().is_some(), "{}", back.summary());
}

async fn set_consent(test_app: &TestApp, scope: &str) {
    let tx = test_app.tx().await;
    tx.conn()
        .execute_unprepared(&format!("UPDATE consents SET scope = '{scope}'"))
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

async fn cl_5_rf_9_a_claim_that_is_no_longer_allowed_is_in_no_token(test_app: TestApp) {
    register(&test_app);
    with_refresh(&test_app);
    let mut browser = signed_in(&test_app, EMAIL).await;
    let plain = Attempt::new()
        .with("client_id", "foreign")
        .with("scope", "openid offline_access");
    let email = json!({ "userinfo": { "email": null }, "id_token": { "email": null } }).to_string();
    let more = plain.clone().with("claims", &email);
    allow(&mut browser, &more).await;
    let held = more.code(&mut browser).await;
    let page = browser.open("/account/access").await;
    let form = page.forms("form.remove-access").into_iter().next().unwrap();
    let request = browser.filled(&page, &form, &[]);
    assert_eq!(browser.send(request).await.status, StatusCode::SEE_OTHER);
    allow(&mut browser, &plain).await;
    let late = token(&test_app, &more.exchange(&held)).await;
    assert_eq!(
        (late.status, error_of(&late).as_str()),
        (StatusCode::BAD_REQUEST, "invalid_grant"),
        "{}",
        late.body
    );
    plain.tokens(&mut browser).await;

    // The same at a refresh, for a grant that did not end with its consent.
    allow(&mut browser, &more).await;
    let tokens = more.tokens(&mut browser).await;
    set_consent(&test_app, "openid offline_access").await;
    let late = refreshing(&test_app, "foreign", &tokens, None).await;
    assert_eq!(
        (late.status, error_of(&late).as_str()),
        (StatusCode::BAD_REQUEST, "invalid_grant"),
        "{}",
        late.body
    );
    set_consent(&test_app, "openid offline_access email").await;
    let next = refresh(&test_app, "foreign", &tokens, None).await;
    assert_eq!(
        userinfo(&test_app, &next).await["email"],
        EMAIL,
        "what was refused has changed nothing"
    );
}

fn demanding(acr: &Value) -> Attempt {
    asking(&json!({ "id_token": { "acr": acr } }))
}

fn error(answer: &Page) -> Option<String> {
    assert!(leads_to_client(answer), "{}", answer.summary());
    parameter(answer, "error")
}

async fn pm_8_a_strength_that_no_method_reaches_fails_the_sign_in(test_app: TestApp) {
    register(&test_app);
    let (mut anonymous, mut signed_in_browser) =
        (test_app.browser(), signed_in(&test_app, EMAIL).await);
    let strong = demanding(&json!({ "essential": true, "values": ["phr", "urn:nothing"] }));
    for attempt in [
        strong.clone(),
        strong.clone().with("prompt", "none"),
        strong.with("prompt", "login"),
    ] {
        for browser in [&mut anonymous, &mut signed_in_browser] {
            let answer = browser.open(&attempt.path()).await;
            assert_eq!(
                error(&answer).as_deref(),
                Some("unmet_authentication_requirements"),
                "RFC 9470 §5"
            );
            assert_eq!(parameter(&answer, "state").as_deref(), Some("the state"));
        }
    }
    // What can be reached, what is only wished for, and `acr_values`, which are wishes, too.
    for attempt in [
        demanding(&json!({ "essential": true, "values": ["phr", "urn:entree:acr:email"] })),
        demanding(&json!({ "essential": true })),
        demanding(&json!({ "values": ["phr"] })),
        Attempt::new().with("acr_values", "phr urn:nothing"),
    ] {
        let tokens = attempt.tokens(&mut signed_in_browser).await;
        assert_eq!(
            verified(&test_app, &tokens["id_token"]).await.claims["acr"],
            "urn:entree:acr:email"
        );
    }
}

#[tokio::test]
async fn pm_8_a_weaker_sign_in_is_repeated_by_email() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, EMAIL).await;
    test_app.pass(5);
    let tx = test_app.tx().await;
    sea_orm::ConnectionTrait::execute_unprepared(
        tx.conn(),
        "UPDATE sessions SET acr = 'urn:entree:acr:other'",
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let attempt = demanding(&json!({ "essential": true, "value": "urn:entree:acr:email" }));
    let silent = browser
        .open(&attempt.clone().with("prompt", "none").path())
        .await;
    assert_eq!(error(&silent).as_deref(), Some("login_required"));
    let asked = browser.open(&attempt.path()).await;
    assert!(!leads_to_client(&asked), "{}", asked.summary());
    let login = browser.follow(&asked).await;
    let back = sign_in_from(&mut browser, &login, EMAIL).await;
    let code = parameter(&back, "code").unwrap_or_else(|| panic!("no code: {}", back.summary()));
    let tokens: Value =
        serde_json::from_str(&token(&test_app, &attempt.exchange(&code)).await.body).unwrap();
    assert_eq!(
        verified(&test_app, &tokens["id_token"]).await.claims["acr"],
        "urn:entree:acr:email"
    );
}

#[tokio::test]
async fn pm_7_a_sub_in_claims_is_the_one_user_that_is_answered_for() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, EMAIL).await;
    let tokens = Attempt::new().tokens(&mut browser).await;
    let sub = verified(&test_app, &tokens["id_token"]).await.claims["sub"].clone();
    let of = |sub: &Value| {
        asking(&json!({ "id_token": { "sub": { "value": sub } } })).with("prompt", "none")
    };
    assert!(parameter(&browser.open(&of(&sub).path()).await, "code").is_some());
    let other = of(&"another user".into());
    assert_eq!(
        error(&browser.open(&other.path()).await).as_deref(),
        Some("login_required")
    );
    let torn = other.with("id_token_hint", tokens["id_token"].as_str().unwrap());
    assert_eq!(
        error(&browser.open(&torn.path()).await).as_deref(),
        Some("invalid_request")
    );
}
