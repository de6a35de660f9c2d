//! Sign-in at a provider for apps that draw their own form (ST-09): the verifier takes the place of
//! the cookie, and no user is signed in before the code is redeemed with it.
#![allow(
    clippy::too_many_lines,
    reason = "the steps of one app read best in one piece"
)]

use entree::{
    config::providers::EmailTrust,
    federation::{
        app::complete::complete,
        flow::state::AppRequest,
        linking::settle::{LinkContext, LinkOutcome, UpstreamLogin, settle as settle_link},
        respond::respond,
        step::{Continuation, Step},
    },
    login::RequestContext,
    secret::{Hash, Plain},
};
use poem::{
    Request, Response,
    http::{Method, StatusCode, header},
};
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use serde_json::{Value, json};
use testkit::page::Page;
use url::Url;

use crate::{
    federation::linking::{account_at_provider, link_account_to, provider},
    federation::{ProviderFixture, Snapshot},
    oauth::{CALLBACK, register, settle, signed_in},
    test_app::{Browser, PUBLIC, TestApp},
};

on_both!(
    api_flows_a_code_needs_the_verifier_and_works_once,
    api_flows_an_address_is_verified_in_the_browser_before_the_app_gets_a_code,
    api_flows_only_a_registered_first_party_app_may_start,
    lk_06_an_apps_callback_in_another_browser_connects_nothing,
    api_flows_a_redirect_uri_that_is_not_https_gets_its_code_by_a_button,
    api_flows_a_change_of_provider_on_the_way_still_ends_at_the_app,
    up_02_api_flows_an_app_goes_from_the_start_to_its_tokens,
    r_38_api_flows_a_code_works_only_at_its_own_provider_while_that_is_on,
    r_38_api_flows_a_code_follows_the_current_settings_of_its_provider,
    r_45_api_flows_the_audit_log_says_why_an_app_was_refused,
);

/// Configures a first-party app and the provider with which it begins.
fn app(test_app: &TestApp) {
    register(test_app);
    test_app.configure(|config| config.providers.push(provider("office")));
}

fn challenge(verifier: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(Hash::of(verifier.as_bytes()).as_bytes())
}

fn app_request(verifier: &str) -> AppRequest {
    AppRequest {
        client_id: "web".to_owned(),
        provider: "office".to_owned(),
        redirect_uri: CALLBACK.to_owned(),
        challenge: challenge(verifier),
        state: Some("the app's own".to_owned()),
    }
}

fn login(email: &str, authoritative: bool) -> UpstreamLogin {
    UpstreamLogin {
        account: account_at_provider(email, Some(email)),
        authoritative,
        amr: String::new(),
    }
}

/// Completes the callback of an app, in a browser that has been here before.
async fn complete_callback(
    test_app: &TestApp,
    browser: &Browser<'_>,
    app_request: &AppRequest,
    login: &UpstreamLogin,
) -> Page {
    let request = browser
        .request(Method::GET, "/upstream/office/callback")
        .finish();
    let context = RequestContext::load(&test_app.app, &request, "")
        .await
        .unwrap();
    let step = complete(&test_app.app, &context, app_request, login).await;
    page(respond(&test_app.app, &context, step).await.unwrap()).await
}

async fn page(mut response: Response) -> Page {
    Page {
        url: Url::parse(PUBLIC).unwrap(),
        status: response.status(),
        headers: response.headers().clone(),
        body: response.take_body().into_string().await.unwrap(),
    }
}

/// Returns the code that a page sends to the app.
fn code(page: &Page) -> String {
    let to = page
        .refresh()
        .or_else(|| page.location())
        .unwrap_or_else(|| panic!("{}", page.summary()));
    let pairs: Vec<(String, String)> = to.query_pairs().into_owned().collect();
    let get = |name: &str| {
        pairs
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    };
    assert!(to.as_str().starts_with(CALLBACK), "{to}");
    assert_eq!(
        (get("state").as_deref(), get("iss").as_deref()),
        (Some("the app's own"), Some(PUBLIC))
    );
    get("code").expect("a code")
}

async fn post(test_app: &TestApp, path: &str, body: &Value) -> (StatusCode, Value) {
    let request = Request::builder()
        .method(Method::POST)
        .uri_str(path)
        .header(header::HOST, "id.test")
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.to_string());
    let response = test_app.call(request).await;
    (
        response.status,
        serde_json::from_str(&response.body).unwrap_or_default(),
    )
}

async fn redeem(test_app: &TestApp, code: &str, verifier: &str) -> (StatusCode, Value) {
    let body = json!({"code": code, "code_verifier": verifier, "scope": "openid offline_access"});
    post(test_app, "/api/v1/auth/oidc/office/callback", &body).await
}

async fn users(test_app: &TestApp) -> u64 {
    entity::user::Entity::find()
        .count(test_app.app.db.read())
        .await
        .unwrap()
}

async fn api_flows_a_code_needs_the_verifier_and_works_once(test_app: TestApp) {
    app(&test_app);
    let (verifier, browser) = (Plain::generate().to_text(), test_app.browser());
    let sent = complete_callback(
        &test_app,
        &browser,
        &app_request(&verifier),
        &login("ann@example.test", true),
    )
    .await;
    assert_eq!(
        sent.status,
        StatusCode::OK,
        "a page, and no redirect: {}",
        sent.summary()
    );
    let code = code(&sent);
    assert!(
        sent.header("set-cookie").is_none(),
        "no user is signed in in the browser"
    );
    assert_eq!(users(&test_app).await, 0, "LK-02: no user is created");
    for _ in 0..20 {
        let (status, response) = redeem(&test_app, &code, &Plain::generate().to_text()).await;
        assert_eq!(
            (status, &response["code"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_code"))
        );
    }
    let (status, tokens) = redeem(&test_app, &code, &verifier).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    assert!(
        tokens["access_token"].is_string() && tokens["id_token"].is_string(),
        "{tokens}"
    );
    assert_eq!(users(&test_app).await, 1);
    assert_eq!(
        redeem(&test_app, &code, &verifier).await.0,
        StatusCode::BAD_REQUEST,
        "once"
    );
    // The next time there is a link. A code expires after a minute.
    let sent = complete_callback(
        &test_app,
        &browser,
        &app_request(&verifier),
        &login("ann@example.test", true),
    )
    .await;
    assert_eq!(
        redeem(&test_app, &self::code(&sent), &verifier).await.0,
        StatusCode::OK
    );
    assert_eq!(users(&test_app).await, 1);
    if !test_app.app.db.is_postgres() {
        let sent = complete_callback(
            &test_app,
            &browser,
            &app_request(&verifier),
            &login("ann@example.test", true),
        )
        .await;
        test_app.pass(61);
        assert_eq!(
            redeem(&test_app, &self::code(&sent), &verifier).await.0,
            StatusCode::BAD_REQUEST
        );
    }
}

async fn api_flows_an_address_is_verified_in_the_browser_before_the_app_gets_a_code(
    test_app: TestApp,
) {
    app(&test_app);
    let (verifier, mut browser) = (Plain::generate().to_text(), test_app.browser());
    browser.open("/login").await;
    let email = "bea@example.test";
    let asked = complete_callback(
        &test_app,
        &browser,
        &app_request(&verifier),
        &login(email, false),
    )
    .await;
    let login = browser.follow(&asked).await;
    let sent = verify_address(&test_app, &mut browser, &login, email).await;
    let (status, tokens) = redeem(&test_app, &code(&sent), &verifier).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    assert_eq!(
        identities(&test_app).await,
        0,
        "no link, because no cookie identifies this browser"
    );
}

/// Verifies an address by email in this browser, and continues.
async fn verify_address(
    test_app: &TestApp,
    browser: &mut Browser<'_>,
    login: &Page,
    email: &str,
) -> Page {
    assert!(
        login.has("form#sign-in input[name=txn]"),
        "{}",
        login.summary()
    );
    assert!(
        !login.has("form#sign-in input[name=link]"),
        "LK-06: no account waits here: {}",
        login.summary()
    );
    let response = browser.submit(login, "sign-in", &[("email", email)]).await;
    browser.follow(&response).await;
    let link = test_app.mail(email).await.link();
    let done = browser.click(&link).await;
    settle(browser, done).await
}

async fn identities(test_app: &TestApp) -> u64 {
    entity::user_identity::Entity::find()
        .count(test_app.app.db.read())
        .await
        .unwrap()
}

/// An attacker signs in at the provider for an app and sends the callback to a victim, who is new
/// or not.
async fn lk_06_an_apps_callback_in_another_browser_connects_nothing(test_app: TestApp) {
    app(&test_app);
    let known = "old@example.test";
    signed_in(&test_app, known).await;
    for email in [known, "new@example.test"] {
        let (verifier, mut victim) = (Plain::generate().to_text(), test_app.browser());
        victim.open("/login").await;
        let asked = complete_callback(
            &test_app,
            &victim,
            &app_request(&verifier),
            &login(email, false),
        )
        .await;
        let login = victim.follow(&asked).await;
        let sent = verify_address(&test_app, &mut victim, &login, email).await;
        code(&sent);
        assert_eq!(identities(&test_app).await, 0, "{email}");
        let account = victim.open("/account").await;
        assert!(!account.has("form.disconnect"), "{}", account.text());
    }
}

/// ST-09, OA-11: who may begin an API flow.
async fn api_flows_only_a_registered_first_party_app_may_start(test_app: TestApp) {
    app(&test_app);
    let good = json!({
        "client_id": "web", "redirect_uri": CALLBACK, "state": "s",
        "code_challenge": challenge("x"), "code_challenge_method": "S256",
    });
    let start = async |id: &str, change: Value| {
        let mut body = good.clone();
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let (status, response) =
            post(&test_app, &format!("/api/v1/auth/oidc/{id}/start"), &body).await;
        (
            status.as_u16(),
            response["code"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let refused = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(
        start("office", json!({"client_id": "unknown"})).await,
        refused(400, "invalid_client")
    );
    assert_eq!(
        start("office", json!({"client_id": "foreign"})).await,
        refused(400, "invalid_client")
    );
    let elsewhere = json!({"redirect_uri": "https://evil.example/cb"});
    assert_eq!(
        start("office", elsewhere).await,
        refused(400, "invalid_request")
    );
    assert_eq!(
        start("office", json!({"code_challenge_method": "plain"})).await,
        refused(400, "invalid_request")
    );
    assert_eq!(
        start("nothing", json!({})).await,
        refused(404, "unknown_provider")
    );
    // All checks have passed, and no provider responds at that address.
    assert_eq!(
        start("office", json!({})).await,
        refused(503, "provider_away")
    );
    test_app.configure(|config| config.clients[0].app_sign_in = false);
    assert_eq!(
        start("office", json!({})).await,
        refused(400, "invalid_client")
    );
}

async fn api_flows_a_redirect_uri_that_is_not_https_gets_its_code_by_a_button(test_app: TestApp) {
    app(&test_app);
    let (verifier, browser) = (Plain::generate().to_text(), test_app.browser());
    let local = AppRequest {
        redirect_uri: "http://127.0.0.1:5555/cb".to_owned(),
        ..app_request(&verifier)
    };
    let sent = complete_callback(
        &test_app,
        &browser,
        &local,
        &login("ann@example.test", true),
    )
    .await;
    assert!(
        sent.refresh().is_none() && sent.location().is_none(),
        "{}",
        sent.summary()
    );
    assert!(
        sent.text_of("a#continue")
            .is_some_and(|text| text.contains("The web application")),
        "{}",
        sent.text()
    );
    let to = Url::parse(&sent.attribute("a#continue", "href").unwrap()).unwrap();
    assert!(to.as_str().starts_with("http://127.0.0.1:5555/cb?"), "{to}");
    let code = to
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();
    assert_eq!(redeem(&test_app, &code, &verifier).await.0, StatusCode::OK);
}

async fn api_flows_a_change_of_provider_on_the_way_still_ends_at_the_app(test_app: TestApp) {
    app(&test_app);
    signed_in(&test_app, "ann@example.test").await;
    link_account_to(&test_app, "ann@example.test", "ann").await;
    let (verifier, mut browser) = (Plain::generate().to_text(), test_app.browser());
    browser.open("/login").await;
    let asked = complete_callback(
        &test_app,
        &browser,
        &app_request(&verifier),
        &login("bea@example.test", false),
    )
    .await;
    let login = browser.follow(&asked).await;
    assert!(
        !login.has("form#cancel"),
        "no page of a client waits: {}",
        login.summary()
    );
    let txn = login
        .attribute("form#sign-in input[name=txn]", "value")
        .unwrap();
    // The user presses the button of a connected provider and returns as a browser does.
    let request = browser
        .request(Method::GET, "/upstream/office/callback")
        .finish();
    let context = RequestContext::load(&test_app.app, &request, "")
        .await
        .unwrap();
    let at = LinkContext::in_browser(&context);
    let known = UpstreamLogin {
        account: account_at_provider("ann", None),
        authoritative: false,
        amr: String::new(),
    };
    let LinkOutcome::SignedIn(done) = settle_link(&test_app.app, &known, at).await.unwrap() else {
        panic!("LC-A")
    };
    let continuation = Continuation::load(&test_app.app, &context, Some(&txn))
        .await
        .unwrap();
    let step = Ok(Step::SignedIn(done, continuation));
    let on = page(respond(&test_app.app, &context, step).await.unwrap()).await;
    assert_eq!(on.refresh().expect("a page").path(), "/login/app");
}

async fn begin(test_app: &TestApp, id: &str, verifier: &str) -> (StatusCode, Value) {
    let body = json!({
        "client_id": "web", "redirect_uri": CALLBACK, "state": "the app's own",
        "code_challenge": challenge(verifier), "code_challenge_method": "S256",
    });
    post(test_app, &format!("/api/v1/auth/oidc/{id}/start"), &body).await
}

async fn redeem_at(
    test_app: &TestApp,
    id: &str,
    code: &str,
    verifier: &str,
) -> (StatusCode, Value) {
    let body = json!({"code": code, "code_verifier": verifier, "scope": "openid"});
    post(test_app, &format!("/api/v1/auth/oidc/{id}/callback"), &body).await
}

/// Goes from the start through the provider, in a new browser. Returns the app's code.
async fn code_from_provider(fixture: &ProviderFixture<'_>, verifier: &str) -> String {
    let (status, begun) = begin(fixture.test_app, &fixture.id, verifier).await;
    assert_eq!(
        (status, &begun["expires_in"]),
        (StatusCode::OK, &json!(600)),
        "{begun}"
    );
    let back = fixture
        .up
        .authorize(&Url::parse(begun["authorization_url"].as_str().unwrap()).unwrap())
        .await;
    assert_eq!(
        back.to.path(),
        format!("/upstream/{}/callback", fixture.id),
        "UP-02: our one callback"
    );
    let mut browser = fixture.test_app.browser();
    let sent = browser.open(&back.path()).await;
    assert!(
        !browser.is_signed_in(),
        "no user is signed in in the browser"
    );
    code(&sent)
}

async fn up_02_api_flows_an_app_goes_from_the_start_to_its_tokens(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let verifier = Plain::generate().to_text();
    let code = code_from_provider(&fixture, &verifier).await;
    assert_eq!(
        users(&test_app).await,
        0,
        "LK-02: no user before the code is redeemed"
    );
    let (status, tokens) = redeem_at(&test_app, &fixture.id, &code, &verifier).await;
    assert!(
        status == StatusCode::OK && tokens["id_token"].is_string(),
        "{tokens}"
    );
    assert_eq!(
        (users(&test_app).await, identities(&test_app).await),
        (1, 1)
    );
    assert_eq!(fixture.up.complaints(), Vec::<String>::new());
}

async fn r_38_api_flows_a_code_works_only_at_its_own_provider_while_that_is_on(test_app: TestApp) {
    let (fixture, other) = (
        ProviderFixture::new(&test_app, json!({})).await,
        ProviderFixture::new(&test_app, json!({})).await,
    );
    let verifier = Plain::generate().to_text();
    let code = code_from_provider(&fixture, &verifier).await;
    for (id, reason) in [
        (other.id.as_str(), "up_app_code"),
        ("nothing", "up_provider_disabled"),
    ] {
        let before = Snapshot::load(&test_app).await;
        let (status, response) = redeem_at(&test_app, id, &code, &verifier).await;
        assert_eq!(
            (status, &response["code"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_code")),
            "{id}"
        );
        assert_eq!(
            Snapshot::load(&test_app).await.reasons_since(&before),
            [reason],
            "{id}"
        );
    }
    fixture.change_settings(|provider| provider.enabled = false);
    let before = Snapshot::load(&test_app).await;
    assert_eq!(
        redeem_at(&test_app, &fixture.id, &code, &verifier).await.0,
        StatusCode::BAD_REQUEST,
        "switched off"
    );
    assert_eq!(
        Snapshot::load(&test_app).await.reasons_since(&before),
        ["up_provider_disabled"]
    );
    fixture.change_settings(|provider| provider.enabled = true);
    assert_eq!(
        redeem_at(&test_app, &fixture.id, &code, &verifier).await.0,
        StatusCode::OK,
        "no refusal has spent the code"
    );
}

async fn r_38_api_flows_a_code_follows_the_current_settings_of_its_provider(test_app: TestApp) {
    for reason in ["up_provider_disabled", "up_app_code"] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        let verifier = Plain::generate().to_text();
        let code = code_from_provider(&fixture, &verifier).await;
        fixture.change_settings(|provider| match reason {
            "up_provider_disabled" => provider.issuer = "https://another.example".to_owned(),
            _ => provider.trust = Some(EmailTrust::Asserted),
        });
        let before = Snapshot::load(&test_app).await;
        let (status, response) = redeem_at(&test_app, &fixture.id, &code, &verifier).await;
        assert_eq!(
            (status, &response["code"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_code")),
            "{reason}"
        );
        assert_eq!(
            Snapshot::load(&test_app).await.reasons_since(&before),
            [reason]
        );
        assert_eq!(
            (users(&test_app).await, identities(&test_app).await),
            (0, 0),
            "{reason}"
        );
    }
}

async fn r_45_api_flows_the_audit_log_says_why_an_app_was_refused(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let verifier = Plain::generate().to_text();
    let code = code_from_provider(&fixture, &verifier).await;
    let mut reasons = Vec::new();
    for (code, verifier) in [
        (code.as_str(), Plain::generate().to_text().as_str()),
        (code.as_str(), "too short"),
        (Plain::generate().to_text().as_str(), verifier.as_str()),
        ("no code", verifier.as_str()),
    ] {
        let before = Snapshot::load(&test_app).await;
        assert_eq!(
            redeem_at(&test_app, &fixture.id, code, verifier).await.0,
            StatusCode::BAD_REQUEST
        );
        reasons.extend(Snapshot::load(&test_app).await.reasons_since(&before));
    }
    assert_eq!(reasons, ["up_app_code"; 4]);
    // The user is locked between the callback and the redemption.
    assert_eq!(
        redeem_at(&test_app, &fixture.id, &code, &verifier).await.0,
        StatusCode::OK
    );
    let code = code_from_provider(&fixture, &verifier).await;
    let user = entity::user::Entity::find()
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .unwrap();
    let tx = test_app.tx().await;
    entree::user::set_state(&tx, user.id, entree::user::UserState::Disabled)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let before = Snapshot::load(&test_app).await;
    assert_eq!(
        redeem_at(&test_app, &fixture.id, &code, &verifier).await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        Snapshot::load(&test_app).await.reasons_since(&before),
        ["up_user_disabled"]
    );
    // Refusals of the start.
    let away = ProviderFixture::new(&test_app, json!({})).await;
    away.up.go_down();
    for (id, status, reason) in [
        (away.id.as_str(), 503, "up_provider_down"),
        ("nothing", 404, "up_provider_disabled"),
    ] {
        let before = Snapshot::load(&test_app).await;
        assert_eq!(
            begin(&test_app, id, &verifier).await.0.as_u16(),
            status,
            "{id}"
        );
        assert_eq!(
            Snapshot::load(&test_app).await.reasons_since(&before),
            [reason],
            "{id}"
        );
    }
}
