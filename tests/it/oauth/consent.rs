//! The authorization endpoint as a client and a person meet it: consent, cancel, prompts, hints, response modes,
//! resource, and signing out at a client's wish.

use entree::{
    audit,
    config::{Client, Config},
    login::pending_link::{self, LinkRequirement, PendingLink},
    secret::Plain,
};
use poem::http::StatusCode;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
};
use serde_json::Value;
use testkit::page::Page;
use url::Url;

use crate::test_app::{Browser, PUBLIC, TestApp};

const BACK: &str = "https://app.test/cb";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn client(id: &str, first_party: bool) -> Client {
    serde_json::from_value(serde_json::json!({
        "client_id": id,
        "name": format!("The <b>{id}</b>"),
        "redirect_uris": [BACK],
        "post_logout_redirect_uris": ["https://app.test/bye", "https://app.test/bye?a=1"],
        "audience": "https://api.test",
        "first_party": first_party,
        "id_token_signed_response_alg": "ES256",
    }))
    .unwrap()
}

fn clients(config: &mut Config) {
    config.reloadable.clients = vec![client("own", true), client("foreign", false)];
}

async fn test_app() -> TestApp {
    TestApp::embedded_with(clients).await
}

/// The request of a client, with some parameters changed, added or (with an empty value) left out.
fn asks(client: &str, change: &[(&str, &str)]) -> String {
    let mut pairs: Vec<(&str, &str)> = vec![
        ("client_id", client),
        ("redirect_uri", BACK),
        ("response_type", "code"),
        ("scope", "openid email"),
        ("state", "s-~._-1"),
        ("nonce", "n1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    pairs.retain(|(name, _)| !change.iter().any(|(changed, _)| changed == name));
    pairs.extend(change.iter().filter(|(_, value)| !value.is_empty()));
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    format!("/oauth2/authorize?{query}")
}

/// The parameters that an answer carries to the client, by redirect.
fn sent_back(page: &Page) -> Vec<(String, String)> {
    let to = page
        .location()
        .unwrap_or_else(|| panic!("no redirect: {}", page.summary()));
    assert!(to.as_str().starts_with(BACK), "to the client: {to}");
    Url::parse(to.as_str())
        .unwrap()
        .query_pairs()
        .into_owned()
        .collect()
}

fn of(pairs: &[(String, String)], name: &str) -> String {
    pairs
        .iter()
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.clone())
        .unwrap_or_default()
}

/// Where a continue page leads.
fn leads_to(page: &Page) -> Url {
    let content = page
        .attribute("meta[http-equiv=refresh]", "content")
        .expect("a page that goes on");
    Url::parse(PUBLIC)
        .unwrap()
        .join(content.split_once("url=").expect("a target").1)
        .unwrap()
}

async fn tokens(browser: &Browser<'_>, code: &str) -> (StatusCode, Value) {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("grant_type", "authorization_code"),
            ("client_id", "own"),
            ("code", code),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
        ])
        .finish();
    let page = browser
        .test_app
        .call(browser.posted("/oauth2/token").body(body))
        .await;
    (
        page.status,
        serde_json::from_str(&page.body).unwrap_or_default(),
    )
}

fn claims(jwt: &str) -> Value {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    serde_json::from_slice(
        &URL_SAFE_NO_PAD
            .decode(jwt.split('.').nth(1).unwrap())
            .unwrap(),
    )
    .unwrap()
}

/// A browser that is signed in, and an ID token of that session.
async fn signed_in<'a>(test_app: &'a TestApp, email: &str) -> (Browser<'a>, String) {
    let mut browser = test_app.browser();
    browser.sign_in(email).await;
    let answer = browser.open(&asks("own", &[])).await;
    let (status, tokens) = tokens(&browser, &of(&sent_back(&answer), "code")).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    (browser, tokens["id_token"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn se_3_a_first_party_client_gets_a_code_without_a_page() {
    let test_app = test_app().await;
    let (mut browser, _) = signed_in(&test_app, "ann@x.test").await;
    let back = sent_back(&browser.open(&asks("own", &[])).await);
    assert_eq!(
        (of(&back, "state"), of(&back, "iss")),
        ("s-~._-1".into(), PUBLIC.into())
    );
    assert_eq!(of(&back, "code").len(), 43);
}

#[tokio::test]
async fn rf_1_a_third_party_client_needs_consent_which_is_remembered_until_more_is_asked() {
    let test_app = test_app().await;
    let (mut browser, _) = signed_in(&test_app, "ann@x.test").await;
    let none = sent_back(&browser.open(&asks("foreign", &[("prompt", "none")])).await);
    assert_eq!(of(&none, "error"), "consent_required", "PM-2");

    let answer = browser.open(&asks("foreign", &[])).await;
    let page = browser.follow(&answer).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.body.contains("&lt;b&gt;foreign") || page.body.contains("&#60;b&#62;foreign"),
        "names are escaped"
    );
    assert!(!page.body.contains("<b>foreign"));
    let done = browser
        .submit(&page, "consent", &[("decision", "allow")])
        .await;
    assert_eq!(
        done.status,
        StatusCode::OK,
        "CW-03: a page, not a redirect: {}",
        done.summary()
    );
    assert_eq!(done.header("referrer-policy"), Some("no-referrer"));
    let to = leads_to(&done);
    assert!(
        to.as_str().starts_with(BACK) && to.query_pairs().any(|(name, _)| name == "code"),
        "{to}"
    );

    let again = sent_back(&browser.open(&asks("foreign", &[("prompt", "none")])).await);
    assert_eq!(of(&again, "code").len(), 43, "consent persists");
    let more = browser
        .open(&asks("foreign", &[("scope", "openid email profile")]))
        .await;
    assert!(
        more.location().unwrap().path().starts_with("/consent"),
        "more is asked: {}",
        more.summary()
    );
    let always = browser
        .open(&asks("foreign", &[("prompt", "consent")]))
        .await;
    assert!(
        always.location().unwrap().path().starts_with("/consent"),
        "PM-6: {}",
        always.summary()
    );
}

#[tokio::test]
async fn az_20_denying_and_cancelling_give_access_denied_with_state() {
    let test_app = test_app().await;
    let (mut browser, _) = signed_in(&test_app, "ann@x.test").await;
    let answer = browser.open(&asks("foreign", &[])).await;
    let page = browser.follow(&answer).await;
    let denied = browser
        .submit(&page, "consent", &[("decision", "deny")])
        .await;
    let to = leads_to(&denied);
    let pairs: Vec<_> = to.query_pairs().into_owned().collect();
    assert_eq!(
        (of(&pairs, "error"), of(&pairs, "state")),
        ("access_denied".into(), "s-~._-1".into())
    );
    let again = browser
        .submit(&page, "consent", &[("decision", "allow")])
        .await;
    assert_eq!(
        again.status,
        StatusCode::GONE,
        "a request is decided once: {}",
        again.summary()
    );

    let mut fresh = test_app.browser();
    let answer = fresh.open(&asks("own", &[])).await;
    let login = fresh.follow(&answer).await;
    let cancelled = fresh.submit(&login, "cancel", &[]).await;
    let pairs: Vec<_> = leads_to(&cancelled).query_pairs().into_owned().collect();
    assert_eq!(
        (of(&pairs, "error"), of(&pairs, "state")),
        ("access_denied".into(), "s-~._-1".into())
    );
}

#[tokio::test]
async fn az_20_the_waiting_page_leads_back_to_the_client() {
    let test_app = test_app().await;
    let mut browser = test_app.browser();
    let answer = browser.open(&asks("own", &[])).await;
    let login = browser.follow(&answer).await;
    let answer = browser
        .submit(&login, "sign-in", &[("email", "ann@x.test")])
        .await;
    let waiting = browser.follow(&answer).await;
    let link = test_app.mail("ann@x.test").await.link();
    let form = waiting.form("cancel");
    let mut other = test_app.browser();
    other.open("/login").await;
    let stolen = other.send(other.filled(&waiting, &form, &[])).await;
    assert_eq!(
        stolen.status,
        StatusCode::FORBIDDEN,
        "another browser's: {}",
        stolen.summary()
    );
    let cancelled = browser.submit(&waiting, "cancel", &[]).await;
    assert_eq!(
        cancelled.status,
        StatusCode::OK,
        "CW-03: a page: {}",
        cancelled.summary()
    );
    let pairs: Vec<_> = leads_to(&cancelled).query_pairs().into_owned().collect();
    assert_eq!(
        (of(&pairs, "error"), of(&pairs, "state")),
        ("access_denied".into(), "s-~._-1".into())
    );
    // A second click gets the same answer (ST-04), and the mail is worth nothing any more.
    let again = browser.submit(&waiting, "cancel", &[]).await;
    assert_eq!(leads_to(&again), leads_to(&cancelled));
    assert_eq!(
        browser.submit(&login, "cancel", &[]).await.status,
        StatusCode::GONE
    );
    assert_eq!(browser.open(&link).await.status, StatusCode::GONE);
    assert!(!browser.is_signed_in());
    let refusals = audit::Entity::find().filter(audit::Column::Reason.eq("turned_back"));
    assert_eq!(refusals.count(test_app.app.db.read()).await.unwrap(), 1);
    // Taken up once more for another address, and cancelled there: the mail of before has nothing to answer any more.
    let answer = browser.open(&asks("own", &[])).await;
    let login = browser.follow(&answer).await;
    let answer = browser
        .submit(&login, "sign-in", &[("email", "cat@x.test")])
        .await;
    let waiting = browser.follow(&answer).await;
    let link = test_app.mail("cat@x.test").await.link();
    let answer = browser
        .open(&waiting.attribute("a#restart", "href").unwrap())
        .await;
    let again = browser.follow(&answer).await;
    leads_to(&browser.submit(&again, "cancel", &[]).await);
    let done = browser.click(&link).await;
    let done = crate::oauth::settle(&mut browser, done).await;
    let leaves = done
        .location()
        .or_else(|| done.refresh())
        .is_some_and(|to| to.as_str().starts_with(BACK));
    assert!(
        browser.is_signed_in() && !leaves,
        "answered once: {}",
        done.summary()
    );
    // Where no client's request waits there is nowhere to go back to.
    assert!(
        !test_app
            .browser()
            .ask("bob@x.test")
            .await
            .has("form#cancel")
    );
}

/// Stores a pending link for an account that belongs to another user, with a client's request to
/// continue; returns the path of its confirmation page.
async fn switch(test_app: &TestApp, browser: &Browser<'_>, txn: &str) -> String {
    test_app.configure(|config| {
        config.providers = vec![crate::federation::linking::provider("office")]
    });
    let link = PendingLink {
        account: crate::federation::linking::account_at_provider("other", None),
        authoritative: false,
        amr: String::new(),
        provider_name: "Example".to_owned(),
        requirement: LinkRequirement::SwitchConsent,
        session: None,
        txn: Some(txn.to_owned()),
        client_id: None,
        waiting_since: test_app.app.clock().now(),
        returned_at: None,
        origin: None,
    };
    let pre = Plain::parse(&browser.cookies["__Host-Http-pre"])
        .unwrap()
        .hash();
    format!(
        "/login/identity?link={}",
        pending_link::store(&test_app.app.tickets, pre, &link)
            .await
            .unwrap()
            .to_text()
    )
}

/// The handle of a request that waits for a sign-in.
async fn waiting_request(browser: &mut Browser<'_>) -> String {
    let answer = browser.open(&asks("own", &[])).await;
    answer
        .location()
        .unwrap()
        .query_pairs()
        .find(|(name, _)| name == "txn")
        .unwrap()
        .1
        .into_owned()
}

#[tokio::test]
async fn az_20_who_stays_signed_in_goes_on_with_the_clients_request() {
    let test_app = test_app().await;
    let mut browser = test_app.browser();
    let txn = waiting_request(&mut browser).await;
    browser.sign_in("ann@x.test").await;
    let question = browser.open(&switch(&test_app, &browser, &txn).await).await;
    let on = browser
        .submit(&question, "identity", &[("decision", "no")])
        .await;
    let back = browser.open(leads_to(&on).as_str()).await;
    assert_eq!(
        of(&sent_back(&back), "code").len(),
        43,
        "{}",
        back.summary()
    );
}

/// What a page says of the window that opened it.
fn opener(page: &Page) -> &str {
    page.header("cross-origin-opener-policy")
        .unwrap_or_else(|| panic!("no page: {}", page.summary()))
}

/// ST-08: COOP of pages for clients that use pop-ups.
#[tokio::test]
async fn cw_01_no_page_of_a_sign_in_takes_the_opener_from_a_client_with_pop_ups() {
    for (popups, expected) in [(true, "unsafe-none"), (false, "same-origin")] {
        let test_app = test_app().await;
        test_app.configure(|config| {
            config
                .clients
                .iter_mut()
                .for_each(|client| client.uses_popups = popups)
        });
        let mut browser = test_app.browser();
        let answer = browser
            .open(&asks("own", &[("response_mode", "form_post")]))
            .await;
        let login = browser.follow(&answer).await;
        let answer = browser
            .submit(&login, "sign-in", &[("email", "ann@x.test")])
            .await;
        let waiting = browser.follow(&answer).await;
        let wrong = browser
            .submit_and_follow(&waiting, "code", &[("code", "00000000")])
            .await;
        let link = browser
            .open(&test_app.mail("ann@x.test").await.link())
            .await;
        let on = browser.submit(&link, "link", &[]).await;
        let path = leads_to(&on);
        let resume = browser.open(path.as_str()).await;
        let form_post = browser.follow(&resume).await;
        assert!(form_post.has("form#form-post"), "{}", form_post.summary());
        let second_tab = browser.open(path.as_str()).await;
        let answer = browser.open(&asks("foreign", &[])).await;
        let consent = browser.follow(&answer).await;
        let denied = browser
            .submit(&consent, "consent", &[("decision", "deny")])
            .await;
        let mut other = test_app.browser();
        let txn = waiting_request(&mut other).await;
        other.sign_in("bob@x.test").await;
        let question = other.open(&switch(&test_app, &other, &txn).await).await;
        let stays = other
            .submit(&question, "identity", &[("decision", "no")])
            .await;
        let hint = signed_in(&test_app, "cy@x.test").await.1;
        let bye = "post_logout_redirect_uri=https%3A%2F%2Fapp.test%2Fbye";
        let leaves = other
            .open(&format!("/oauth2/logout?id_token_hint={hint}&{bye}"))
            .await;
        let left = other.submit(&leaves, "logout", &[]).await;
        for page in [
            leaves, left, login, waiting, wrong, link, on, form_post, second_tab, consent, denied,
            question, stays,
        ] {
            assert_eq!(opener(&page), expected, "{}", page.summary());
        }
        assert_eq!(
            opener(&test_app.browser().open("/login").await),
            "same-origin",
            "no client, no pop-up"
        );
    }
}

#[tokio::test]
async fn a_consent_form_is_good_for_its_request_its_user_and_its_browser_alone() {
    let test_app = test_app().await;
    let (mut browser, _) = signed_in(&test_app, "ann@x.test").await;
    let answer = browser.open(&asks("foreign", &[])).await;
    let page = browser.follow(&answer).await;
    let form = page.form("consent");
    let bad_token = browser
        .submit(
            &page,
            "consent",
            &[("decision", "allow"), ("form_token", "x")],
        )
        .await;
    assert_eq!(bad_token.status, StatusCode::FORBIDDEN);
    let (mut other, _) = signed_in(&test_app, "bob@x.test").await;
    let stolen = other
        .send(other.filled(&page, &form, &[("decision", "allow")]))
        .await;
    assert_eq!(stolen.status, StatusCode::FORBIDDEN);
    let url = page.url.path().to_owned() + "?" + page.url.query().unwrap();
    assert_eq!(
        other.open(&url).await.status,
        StatusCode::GONE,
        "AZ-21: another browser's request"
    );
}

#[tokio::test]
async fn az_14_form_post_carries_success_and_errors_in_a_form_alone() {
    let test_app = test_app().await;
    let (mut browser, _) = signed_in(&test_app, "ann@x.test").await;
    let page = browser
        .open(&asks("own", &[("response_mode", "form_post")]))
        .await;
    assert_eq!(page.status, StatusCode::OK);
    let form = page.form("form-post");
    assert_eq!(form.action.as_str(), BACK, "nothing in the address");
    assert_eq!(of(&form.fields, "code").len(), 43);
    assert_eq!(
        (of(&form.fields, "state"), of(&form.fields, "iss")),
        ("s-~._-1".into(), PUBLIC.into())
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        !policy.contains("form-action") && policy.contains("script-src 'nonce-"),
        "{policy}"
    );

    let mut anonymous = test_app.browser();
    let page = anonymous
        .open(&asks(
            "own",
            &[("response_mode", "form_post"), ("prompt", "none")],
        ))
        .await;
    assert_eq!(
        of(&page.form("form-post").fields, "error"),
        "login_required"
    );
    let unknown = sent_back(
        &anonymous
            .open(&asks("own", &[("response_mode", "fragment")]))
            .await,
    );
    assert_eq!(of(&unknown, "error"), "invalid_request");
}

#[tokio::test]
async fn pm_7_a_hint_names_the_user() {
    let test_app = test_app().await;
    let (mut ann, hint) = signed_in(&test_app, "ann@x.test").await;
    let (mut bob, _) = signed_in(&test_app, "bob@x.test").await;
    let hinted = |hint: &str| asks("own", &[("prompt", "none"), ("id_token_hint", hint)]);
    assert_eq!(
        of(&sent_back(&ann.open(&hinted(&hint)).await), "code").len(),
        43
    );
    assert_eq!(
        of(&sent_back(&bob.open(&hinted(&hint)).await), "error"),
        "login_required"
    );
    test_app.pass(3600);
    assert_eq!(
        of(&sent_back(&ann.open(&hinted(&hint)).await), "code").len(),
        43,
        "an expired one is fine"
    );
    // A user who signs in as another user is not asked again: the client receives the error.
    let answer = bob.open(&asks("own", &[("id_token_hint", &hint)])).await;
    let login = bob.follow(&answer).await;
    assert_eq!(login.status, StatusCode::OK);
    let back = crate::oauth::sign_in_from(&mut bob, &login, "bob@x.test").await;
    assert_eq!(
        of(&sent_back(&back), "error"),
        "login_required",
        "{}",
        back.summary()
    );
    let forged = hint.replace('.', ".e");
    assert_eq!(
        of(&sent_back(&ann.open(&hinted(&forged)).await), "error"),
        "invalid_request"
    );
}

#[tokio::test]
async fn pm_3_pm_4_a_fresh_proof_is_demanded_and_moves_auth_time() {
    let test_app = test_app().await;
    let (mut browser, first) = signed_in(&test_app, "ann@x.test").await;
    for change in [
        ("prompt", "login"),
        ("max_age", "0"),
        ("max_age", "1"),
        ("prompt", "select_account"),
    ] {
        test_app.pass(5);
        let answer = browser.open(&asks("own", &[change])).await;
        assert_eq!(answer.location().unwrap().path(), "/login", "{change:?}");
    }
    let relaxed = sent_back(&browser.open(&asks("own", &[("max_age", "10000")])).await);
    assert_eq!(of(&relaxed, "code").len(), 43, "young enough: no page");

    let answer = browser.open(&asks("own", &[("max_age", "1")])).await;
    let login = browser.follow(&answer).await;
    let sent = browser
        .submit(&login, "sign-in", &[("email", "ann@x.test")])
        .await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER);
    let link = test_app.mail("ann@x.test").await.link();
    let done = browser.click(&link).await;
    let on = done
        .attribute("meta[http-equiv=refresh]", "content")
        .unwrap();
    let resume = browser.open(on.split_once("url=").unwrap().1).await;
    let back = browser.follow(&resume).await;
    let (status, second) = tokens(&browser, &of(&sent_back(&back), "code")).await;
    assert_eq!(status, StatusCode::OK);
    let (first, second) = (claims(&first), claims(second["id_token"].as_str().unwrap()));
    assert!(
        second["auth_time"].as_i64() > first["auth_time"].as_i64(),
        "{first} {second}"
    );
    assert_eq!(
        second["sid"], first["sid"],
        "step-up keeps the session's row"
    );
}

#[tokio::test]
async fn az_17_a_code_carries_the_sign_in_that_completed_its_request() {
    let test_app = test_app().await;
    let (mut browser, first) = signed_in(&test_app, "ann@x.test").await;
    let code = of(&sent_back(&browser.open(&asks("own", &[])).await), "code");
    test_app.pass(20);
    let answer = browser.open(&asks("own", &[("prompt", "login")])).await;
    let login = browser.follow(&answer).await;
    browser
        .submit(&login, "sign-in", &[("email", "ann@x.test")])
        .await;
    browser
        .click(&test_app.mail("ann@x.test").await.link())
        .await;
    let later = "UPDATE sessions SET acr = 'urn:entree:acr:upstream', amr = 'pwd'";
    test_app
        .app
        .db
        .pool()
        .execute_unprepared(later)
        .await
        .unwrap();
    let (status, tokens) = tokens(&browser, &code).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    let first = claims(&first);
    for token in ["id_token", "access_token"] {
        let claim_set = claims(tokens[token].as_str().unwrap());
        for same in ["auth_time", "acr", "amr", "sid"] {
            assert_eq!(claim_set[same], first[same], "{same} of the {token}");
        }
    }
}

/// ST-10: the audience with and without `resource`.
#[tokio::test]
async fn az_23_only_a_registered_resource_is_granted() {
    let test_app = test_app().await;
    let (mut browser, _) = signed_in(&test_app, "ann@x.test").await;
    let back = sent_back(
        &browser
            .open(&asks("own", &[("resource", "https://api.test")]))
            .await,
    );
    let (_, tokens) = tokens(&browser, &of(&back, "code")).await;
    assert_eq!(
        claims(tokens["access_token"].as_str().unwrap())["aud"],
        "https://api.test"
    );
    for bad in [
        "https://evil.test",
        "https://api.test#f",
        "api.test",
        "https://api.test/",
    ] {
        let back = sent_back(&browser.open(&asks("own", &[("resource", bad)])).await);
        assert_eq!(of(&back, "error"), "invalid_target", "{bad}");
    }
}

#[tokio::test]
async fn az_1_a_cross_site_post_goes_on_as_our_get() {
    let test_app = test_app().await;
    let (mut browser, _) = signed_in(&test_app, "ann@x.test").await;
    let query = asks("own", &[]).split_once('?').unwrap().1.to_owned();
    let answer = browser
        .send(
            browser
                .posted("/oauth2/authorize")
                .header("sec-fetch-site", "cross-site")
                .body(query),
        )
        .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let back = browser.follow(&answer).await;
    assert_eq!(of(&sent_back(&back), "code").len(), 43);
}

#[tokio::test]
async fn es_1_es_4_a_fitting_hint_signs_out_and_leads_to_the_registered_address() {
    let test_app = test_app().await;
    let (mut browser, hint) = signed_in(&test_app, "ann@x.test").await;
    let bye = "https%3A%2F%2Fapp.test%2Fbye";
    let url =
        format!("/oauth2/logout?id_token_hint={hint}&post_logout_redirect_uri={bye}&state=a%26b");
    let answer = browser.open(&url).await;
    assert_eq!(
        answer.header("location"),
        Some("https://app.test/bye?state=a%26b"),
        "{}",
        answer.summary()
    );
    assert!(!browser.is_signed_in());
    let none = sent_back(&browser.open(&asks("own", &[("prompt", "none")])).await);
    assert_eq!(of(&none, "error"), "login_required", "ES-5");
    // The person is signed out already: the way back still works, with a registered query kept.
    let url = format!(
        "/oauth2/logout?id_token_hint={hint}&post_logout_redirect_uri={bye}%3Fa%3D1&state=x"
    );
    assert_eq!(
        browser.open(&url).await.header("location"),
        Some("https://app.test/bye?a=1&state=x")
    );
}

#[tokio::test]
async fn es_3_es_6_without_a_hint_the_person_is_asked_first() {
    let test_app = test_app().await;
    let (mut browser, _) = signed_in(&test_app, "ann@x.test").await;
    for query in ["", "?state=x"] {
        let page = browser.open(&format!("/oauth2/logout{query}")).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(
            browser.account().await.is_some(),
            "a GET alone ends nothing"
        );
    }
    let (_, foreign_hint) = signed_in(&test_app, "bob@x.test").await;
    let page = browser
        .open(&format!("/oauth2/logout?id_token_hint={foreign_hint}"))
        .await;
    assert!(
        browser.account().await.is_some(),
        "another user's hint ends nothing"
    );
    let forged = browser
        .posted("/oauth2/logout/confirm")
        .header("sec-fetch-site", "cross-site")
        .body("form_token=x");
    assert_eq!(browser.send(forged).await.status, StatusCode::FORBIDDEN);
    let done = browser.submit(&page, "logout", &[]).await;
    let to = done.location().unwrap();
    assert_eq!(to.path(), "/logged-out");
    assert!(browser.account().await.is_none());
}

#[tokio::test]
async fn es_4_es_6_where_to_go_waits_in_the_form_and_is_bound_to_it() {
    let test_app = test_app().await;
    let (mut browser, _) = signed_in(&test_app, "ann@x.test").await;
    let (_, other) = signed_in(&test_app, "bob@x.test").await;
    let bye = "post_logout_redirect_uri=https%3A%2F%2Fapp.test%2Fbye&state=a%20%22b%22";
    let asked = format!("/oauth2/logout?id_token_hint={other}&{bye}");
    // A page stores no ticket: any signed-in user could fill the store with them.
    test_app.pass(4000);
    let _ = test_app.app.tickets.sweep();
    for _ in 0..20 {
        assert_eq!(browser.open(&asked).await.status, StatusCode::OK);
    }
    test_app.pass(4000);
    assert_eq!(test_app.app.tickets.sweep(), 0, "nothing was kept");
    let page = browser.open(&asked).await;
    let after = page
        .attribute("form#logout input[name=after]", "value")
        .unwrap();
    for forged in [
        after.replace("/bye", "/evil"),
        after.replace("a ", "b "),
        String::new(),
    ] {
        let answer = browser.submit(&page, "logout", &[("after", &forged)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{forged}");
    }
    assert!(browser.account().await.is_some());
    let done = browser.submit(&page, "logout", &[]).await;
    assert_eq!(
        done.refresh().unwrap().as_str(),
        "https://app.test/bye?state=a+%22b%22"
    );
    assert!(browser.account().await.is_none());
}

#[tokio::test]
async fn pm_3_pm_4_the_consent_page_is_no_way_around_a_fresh_proof() {
    let test_app = test_app().await;
    let (mut browser, _) = signed_in(&test_app, "ann@x.test").await;
    for client in ["own", "foreign"] {
        for change in [
            ("prompt", "login"),
            ("max_age", "0"),
            ("prompt", "select_account"),
        ] {
            test_app.pass(5);
            let answer = browser.open(&asks(client, &[change])).await;
            let txn = answer
                .location()
                .unwrap()
                .query_pairs()
                .next()
                .unwrap()
                .1
                .into_owned();
            let page = browser.open(&format!("/consent?txn={txn}")).await;
            assert_eq!(
                page.status,
                StatusCode::SEE_OTHER,
                "{client} {change:?}: {}",
                page.summary()
            );
            let back = browser.follow(&page).await;
            assert_eq!(
                back.location().unwrap().path(),
                "/login",
                "{client} {change:?}: {}",
                back.summary()
            );
        }
    }
}

#[tokio::test]
async fn threat_29_a_network_cannot_fill_the_ticket_store_with_requests() {
    let test_app = test_app().await;
    test_app.configure(|config| {
        config.limits.authorize = vec![entree::config::Budget {
            count: 3,
            seconds: 600,
        }]
    });
    let mut browser = test_app.browser();
    for _ in 0..3 {
        assert_eq!(
            browser.open(&asks("own", &[])).await.status,
            StatusCode::SEE_OTHER
        );
    }
    let refused = browser.open(&asks("own", &[])).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(
        test_app.browser().open(&asks("own", &[])).await.status,
        StatusCode::SEE_OTHER,
        "another network"
    );
}

#[tokio::test]
async fn a_clients_request_is_answered_once_however_many_sign_ins_carry_it() {
    let test_app = test_app().await;
    let mut browser = test_app.browser();
    let answer = browser.open(&asks("own", &[])).await;
    let login = browser.follow(&answer).await;
    let mut codes = 0;
    let mut links = Vec::new();
    for email in ["ann@x.test", "bob@x.test"] {
        let sent = browser.submit(&login, "sign-in", &[("email", email)]).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER);
        links.push(test_app.mail(email).await.link());
    }
    for link in links {
        let page = browser.open(&link).await;
        let done = browser.submit(&page, "link", &[]).await;
        let on = done
            .attribute("meta[http-equiv=refresh]", "content")
            .unwrap();
        let next = browser.open(on.split_once("url=").unwrap().1).await;
        let Some(to) = next.location() else { continue };
        assert_eq!(to.path(), "/oauth2/authorize/resume");
        let back = browser.follow(&next).await;
        codes += usize::from(of(&sent_back(&back), "code").len() == 43);
    }
    assert_eq!(codes, 1);
}
