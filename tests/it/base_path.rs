//! A service at a path of its host (OB-6): every address that it names is below the path, its cookies
//! stay there, and other services on the host keep their own.
//!
//! The browser of these tests opens what the service names as it is, and fails on an address of ours
//! outside of the path.

use std::collections::BTreeMap;

use entree::config::Config;
use poem::http::{Method, StatusCode, header};
use serde_json::{Value, json};
use testkit::{
    dpop::{self, Prover},
    page::Page,
};

use crate::{
    federation::ProviderFixture,
    oauth::{
        Attempt, get, leads_to_client, parameter, settle, sign_in_from, signed_in, token, verified,
        with_clients,
    },
    test_app::{Browser, PUBLIC, TestApp, encoded, flow_of},
};

const ISSUER: &str = "https://id.test/auth";
const EMAIL: &str = "ada@example.com";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A service at `/auth`.
fn at_auth(config: &mut Config) {
    config.startup.server.public_url = ISSUER.to_owned();
    config.reloadable.api.v2_enabled = true;
    with_clients(&mut config.reloadable);
    for client in &mut config.reloadable.clients {
        client.post_logout_redirect_uris = vec!["https://app.example/bye".to_owned()];
    }
}

/// Another service, below the path of the first.
fn at_auth_two(config: &mut Config) {
    at_auth(config);
    config.startup.server.public_url = format!("{ISSUER}/two");
}

on_both!(at_auth =>
    ob_6_a_sign_in_by_link_stays_below_the_path,
    ob_6_a_sign_in_by_code_stays_below_the_path,
    ob_6_a_client_signs_a_user_in_and_out,
    ob_6_a_foreign_client_gets_consent_and_loses_access,
    ob_6_a_provider_leads_back_below_the_path,
    ob_6_apps_use_the_api_below_the_path,
    pp_2_a_proof_names_the_address_below_the_path,
    ob_6_the_metadata_are_at_both_places,
    ob_6_nothing_is_outside_of_the_path,
    ob_6_two_services_on_one_host_share_neither_cookies_nor_forms,
);

/// Checks every address in a page.
fn assert_below_path(test_app: &TestApp, page: &Page) {
    let forms = page.forms("form").into_iter().map(|form| form.action);
    let style = page.attribute("link[rel=stylesheet]", "href").unwrap();
    let style = page.url.join(&style).unwrap();
    for url in page.links().iter().chain(&forms.collect::<Vec<_>>()) {
        test_app.assert_below_path(url);
    }
    test_app.assert_below_path(&style);
}

/// Checks that a response sets cookies, all of them for the path alone.
fn assert_cookies(page: &Page, words: &[&str]) {
    let lines = page.headers.get_all(header::SET_COOKIE);
    let lines: Vec<&str> = lines.iter().map(|line| line.to_str().unwrap()).collect();
    for line in &lines {
        assert!(line.starts_with("__Secure-"), "{line}");
        assert!(line.contains("-auth="), "{line}");
        let attributes = "; Path=/auth; Secure; HttpOnly; SameSite=Lax";
        assert!(line.contains(attributes), "{line}");
    }
    for word in words {
        let name = format!("__Secure-{word}-auth=");
        assert!(
            lines.iter().any(|line| line.starts_with(&name)),
            "{lines:?}"
        );
    }
}

async fn ob_6_a_sign_in_by_link_stays_below_the_path(test_app: TestApp) {
    let mut browser = test_app.browser();
    let home = browser.open("/").await;
    assert_eq!(home.headers[header::LOCATION], "/auth/account");
    let login = browser.open("/login").await;
    assert_below_path(&test_app, &login);
    assert_cookies(&login, &["pre"]);
    let waiting = browser.ask(EMAIL).await;
    assert_below_path(&test_app, &waiting);

    let mail = test_app.mail(EMAIL).await;
    let link = mail.link();
    assert!(link.starts_with(&format!("{ISSUER}/login/link/")), "{link}");
    let rest = mail.text.replace(&link, "");
    assert!(
        rest.contains("id.test") && !rest.contains("/auth"),
        "{rest}"
    );
    let page = browser.open(&link).await;
    assert_below_path(&test_app, &page);
    assert!(
        page.body.contains("location.pathname"),
        "the script names no path"
    );
    let done = browser.submit(&page, "link", &[]).await;
    assert_cookies(&done, &["sid", "dev"]);

    let account = browser.open("/account").await;
    assert!(account.text().contains(EMAIL), "{}", account.summary());
    assert_below_path(&test_app, &account);
    let out = browser.submit_and_follow(&account, "sign-out", &[]).await;
    assert!(!browser.is_signed_in(), "{}", out.summary());
    assert_below_path(&test_app, &out);
}

/// The waiting page learns from its state, which is JSON, where to go on.
async fn ob_6_a_sign_in_by_code_stays_below_the_path(test_app: TestApp) {
    let mut browser = test_app.browser();
    let waiting = browser.ask(EMAIL).await;
    let state = waiting.attribute("form#code", "data-state").unwrap();
    let expected = format!("/auth/login/sent/state?flow={}", flow_of(&waiting));
    assert_eq!(state, expected);
    let state: Value = serde_json::from_str(&browser.open(&state).await.body).unwrap();
    let next = state["continue"].as_str().unwrap();
    assert!(next.starts_with("/auth/login/continue?flow="), "{next}");

    let code = test_app.mail(EMAIL).await.code();
    let wrong = browser
        .submit_and_follow(&waiting, "code", &[("code", "1")])
        .await;
    assert_below_path(&test_app, &wrong);
    let done = browser
        .submit_and_follow(&wrong, "code", &[("code", &code)])
        .await;
    assert!(browser.is_signed_in(), "{}", done.summary());
    assert_below_path(&test_app, &done);

    let other = test_app.browser();
    let refused = test_app.call(other.posted("/login/email").finish()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_below_path(&test_app, &refused);
}

async fn ob_6_a_client_signs_a_user_in_and_out(test_app: TestApp) {
    let (mut browser, attempt) = (test_app.browser(), Attempt::new());
    let login = browser.open(&attempt.path()).await;
    let login = settle(&mut browser, login).await;
    assert_below_path(&test_app, &login);
    let back = sign_in_from(&mut browser, &login, EMAIL).await;
    assert!(leads_to_client(&back), "{}", back.summary());
    // RFC 9207 §2: byte for byte the issuer.
    assert_eq!(parameter(&back, "iss").as_deref(), Some(ISSUER));

    let code = parameter(&back, "code").unwrap();
    let tokens = token(&test_app, &attempt.exchange(&code)).await;
    let tokens: Value = serde_json::from_str(&tokens.body).unwrap();
    for name in ["access_token", "id_token"] {
        let claims = verified(&test_app, &tokens[name]).await.claims;
        assert_eq!(claims["iss"], ISSUER, "{name}");
    }
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let userinfo = browser
        .request(Method::GET, "/oauth2/userinfo")
        .header(header::AUTHORIZATION, bearer)
        .finish();
    let userinfo: Value = serde_json::from_str(&test_app.call(userinfo).await.body).unwrap();
    assert_eq!(userinfo["email"], EMAIL);

    let hint = tokens["id_token"].as_str().unwrap();
    let query = format!("id_token_hint={hint}&post_logout_redirect_uri=https://app.example/bye");
    let out = browser.open(&format!("/oauth2/logout?{query}")).await;
    let out = settle(&mut browser, out).await;
    assert_eq!(out.location().unwrap().as_str(), "https://app.example/bye");
    assert!(!browser.is_signed_in());
}

async fn ob_6_a_foreign_client_gets_consent_and_loses_access(test_app: TestApp) {
    let mut browser = signed_in(&test_app, EMAIL).await;
    let attempt = Attempt::new().with("client_id", "foreign");
    let consent = browser.open(&attempt.path()).await;
    let consent = settle(&mut browser, consent).await;
    assert_below_path(&test_app, &consent);
    let allowed = browser
        .submit(&consent, "consent", &[("decision", "allow")])
        .await;
    let back = settle(&mut browser, allowed).await;
    // Chromium applies `form-action` to redirects, so that a page leads on.
    let to = back
        .refresh()
        .unwrap_or_else(|| panic!("{}", back.summary()));
    let (_, code) = to.query_pairs().find(|(name, _)| name == "code").unwrap();
    let tokens = token(&test_app, &attempt.exchange(&code)).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.body);
    let access = browser.open("/account/access").await;
    assert!(access.has("form.remove-access"), "{}", access.summary());
    assert_below_path(&test_app, &access);
}

async fn ob_6_a_provider_leads_back_below_the_path(test_app: TestApp) {
    let provider = ProviderFixture::new(&test_app, json!({})).await;
    let (_, login) = provider.open_sign_in().await;
    assert_below_path(&test_app, &login);
    let mut browser = provider.assert_signs_in("a service at a path").await;
    let account = browser.open("/account").await;
    assert!(
        account.text().contains(&provider.email),
        "{}",
        account.summary()
    );
    assert_below_path(&test_app, &account);
}

async fn send_json(browser: &mut Browser<'_>, path: &str, body: Value) -> Page {
    let request = browser
        .request(Method::POST, path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.to_string());
    browser.send(request).await
}

async fn ob_6_apps_use_the_api_below_the_path(test_app: TestApp) {
    let mut app = test_app.browser();
    let new = json!({"client_id": "web", "email": EMAIL, "code_challenge": CHALLENGE, "code_challenge_method": "S256"});
    let begun = send_json(&mut app, "/api/v1/auth/magic-link/request", new.clone()).await;
    assert!(begun.status.is_success(), "{}", begun.body);
    let begun: Value = serde_json::from_str(&begun.body).unwrap();
    let proof = json!({"flow_id": begun["flow_id"], "code": test_app.mail(EMAIL).await.code(), "code_verifier": VERIFIER, "scope": "openid"});
    let tokens = send_json(&mut app, "/api/v1/auth/magic-link/consume", proof).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.body);
    let tokens: Value = serde_json::from_str(&tokens.body).unwrap();
    let claims = verified(&test_app, &tokens["access_token"]).await.claims;
    assert_eq!(claims["iss"], ISSUER);

    let begun = send_json(&mut app, "/api/v2/logins", new).await;
    assert_eq!(begun.status, StatusCode::CREATED, "{}", begun.body);
    if let Some(location) = begun.location() {
        test_app.assert_below_path(&location);
    }
    let id = serde_json::from_str::<Value>(&begun.body).unwrap()["flow_id"].clone();
    let proof = json!({"code": test_app.mail(EMAIL).await.code(), "code_verifier": VERIFIER, "scope": "openid"});
    let path = format!("/api/v2/logins/{}/code", id.as_str().unwrap());
    let tokens = send_json(&mut app, &path, proof).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.body);

    let document: Value =
        serde_json::from_str(&get(&test_app, "/openapi.json").await.body).unwrap();
    assert_eq!(document["servers"][0]["url"], ISSUER);
    let wrong = app.open("/api/v1/nowhere").await;
    assert_eq!(
        wrong.header("content-type"),
        Some("application/problem+json")
    );
}

async fn pp_2_a_proof_names_the_address_below_the_path(test_app: TestApp) {
    let (prover, attempt) = (Prover::new(), Attempt::new());
    let begun = test_app.app.clock().now();
    test_app.app.tickets.keep_epoch(begun).await.unwrap();
    test_app.pass(61);
    let now = test_app.app.clock().now().seconds();
    let mut browser = signed_in(&test_app, EMAIL).await;
    let fields: Vec<_> = attempt
        .exchange(&attempt.code(&mut browser).await)
        .into_iter()
        .collect();
    let exchange = async |htu: &str| {
        let proof = prover.proof(&dpop::claims("POST", htu, now));
        let request = browser
            .request(Method::POST, "/oauth2/token")
            .header("dpop", proof)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(encoded(&fields));
        test_app.call(request).await
    };
    for htu in [
        format!("{PUBLIC}/oauth2/token"),
        format!("{PUBLIC}/auth2/oauth2/token"),
        format!("{ISSUER}/auth/oauth2/token"),
    ] {
        let refused = exchange(&htu).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{htu}");
        assert!(refused.body.contains("invalid_dpop_proof"), "{htu}");
    }
    let tokens = exchange(&format!("{ISSUER}/oauth2/token")).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.body);
}

/// RFC 8414 §3.1 inserts the path of the issuer; OpenID Connect Discovery §4 appends to it.
async fn ob_6_the_metadata_are_at_both_places(test_app: TestApp) {
    for path in [
        "/auth/.well-known/openid-configuration",
        "/auth/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration/auth",
        "/.well-known/oauth-authorization-server/auth",
    ] {
        let page = get(&test_app, path).await;
        let metadata: Value = serde_json::from_str(&page.body).unwrap();
        assert_eq!(metadata["issuer"], ISSUER, "{path}");
        let members = metadata.as_object().unwrap().iter();
        let ours: BTreeMap<&str, &str> = members
            .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .filter(|(name, _)| name.ends_with("_endpoint") || name.ends_with("_uri"))
            .collect();
        assert!(ours.len() >= 7, "{ours:?}");
        for (name, url) in ours {
            assert!(url.starts_with(&format!("{ISSUER}/")), "{name}: {url}");
        }
    }
}

async fn ob_6_nothing_is_outside_of_the_path(test_app: TestApp) {
    for path in [
        "/",
        "/login",
        "/account",
        "/authx/login",
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json",
        "/.well-known/jwks.json/auth",
        "/oauth2/token",
        "/api/v1/nowhere",
        "/favicon.ico",
    ] {
        let request = test_app.browser().request(Method::GET, path).finish();
        let response = test_app.answer_as_is(request).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(
            !response.headers().contains_key(header::SET_COOKIE),
            "{path}"
        );
    }
    assert!(
        test_app.app.path_stripping.was_seen(),
        "a proxy that strips the path is named"
    );
    test_app.browser().open("/login").await;
    assert!(!test_app.app.path_stripping.was_seen());
}

/// Browsers send the cookies of `/auth` to `/auth/two` as well.
async fn ob_6_two_services_on_one_host_share_neither_cookies_nor_forms(test_app: TestApp) {
    let two = TestApp::embedded_with(at_auth_two).await;
    let first = signed_in(&test_app, EMAIL).await;
    let mut second = two.browser();
    second.cookies.extend(first.cookies.clone());
    assert!(
        second.account().await.is_none(),
        "the session of /auth is none at /auth/two"
    );
    second.sign_in("bea@example.com").await;
    let account = second.account().await.unwrap();
    assert!(account.contains("bea@example.com"), "{account}");
    let mut both = first.clone();
    both.cookies.extend(second.cookies.clone());
    let account = both.account().await.unwrap();
    assert!(account.contains(EMAIL), "{account}");

    // A form of one service, sent to the other from a page of the same origin.
    let own = both.open("/account").await;
    let form = own.form("sign-out");
    let request = second
        .posted("/account/sign-out")
        .header("origin", PUBLIC)
        .header("sec-fetch-site", "same-origin")
        .body(crate::test_app::encoded(&form.fields));
    let refused = second.send(request).await;
    assert_eq!(
        refused.status,
        StatusCode::FORBIDDEN,
        "{}",
        refused.summary()
    );
    assert!(second.account().await.is_some());
}
