//! APIs of `[[resources]]` (RS): which client may name one, what its tokens are, what the user reads, and
//! what is left when an operator takes something away.

use std::collections::BTreeMap;

use entree::{config::Client, secret::Hash};
use poem::http::{Method, StatusCode, header};
use serde_json::{Value, json};
use testkit::{oidc::Verified, page::Page};

use crate::{
    oauth::{
        Attempt, CALLBACK, error_of, get,
        par::{push, try_push, visit},
        parameter, register, signed_in, token, verified,
    },
    test_app::{Browser, TestApp},
    work::userinfo_request,
};

/// The audience of every client here.
const OWN: &str = "https://api.example";
const LESSONS: &str = "https://lessons.example/api";
const MUSIC: &str = "https://music.example";

const SECRET: &str = "a secret of more than forty-three characters, of a test";

on_both!(
    rs_2_a_resource_is_for_the_clients_that_may_request_it,
    rs_2_the_sign_in_api_grants_what_the_authorization_endpoint_grants,
    rs_3_a_token_is_made_as_its_resource_says,
    rs_4_a_resource_is_named_in_any_spelling_and_spelled_as_registered,
    rs_5_the_user_reads_words_under_the_name_of_the_resource,
    rs_5_nothing_is_allowed_that_the_page_did_not_show,
    rs_6_what_an_operator_takes_away_is_in_no_further_token,
    rs_6_a_request_that_waits_loses_what_is_taken_away,
    rs_8_a_token_for_one_resource_is_worth_nothing_at_another,
);

fn blocks() -> Value {
    json!([
        {
            "identifier": LESSONS,
            "name": { "en": "Lessons", "fr": "Cours" },
            "scopes": {
                "lessons:read": { "en": "See your lessons", "fr": "Voir vos cours" },
                "lessons:write": { "en": "Book lessons", "fr": "Réserver des cours" },
            },
            "access_token_alg": "RS256",
            "access_token_seconds": 120,
            "clients": ["web", "foreign", "software"],
        },
        { "identifier": MUSIC, "scopes": { "music:play": {} }, "open": true },
    ])
}

/// Puts changed blocks into force, as a reload of the file does.
fn set_blocks(test_app: &TestApp, change: impl FnOnce(&mut Value)) {
    let mut blocks = blocks();
    change(&mut blocks);
    test_app.configure(|config| config.resources = serde_json::from_value(blocks).unwrap());
}

/// The usual clients, with a scope of no resource and `offline_access`; and two with a secret, the
/// APIs themselves.
fn prepare(test_app: &TestApp) {
    register(test_app);
    test_app.configure(|config| {
        for client in &mut config.clients {
            let more = ["own:use", "offline_access"];
            client.scopes.extend(more.map(str::to_owned));
        }
        for (id, audience) in [("software", LESSONS), ("player", MUSIC)] {
            let client = json!({
                "client_id": id, "name": id, "audience": OWN, "introspects": [audience],
                "redirect_uris": [CALLBACK], "first_party": true, "scopes": ["openid", "own:use"],
                "grant_types": ["authorization_code", "client_credentials"],
                "token_endpoint_auth_method": "client_secret_post",
                "client_secret_sha256": [Hash::of(SECRET.as_bytes()).to_hex()],
            });
            let client: Client = serde_json::from_value(client).unwrap();
            config.clients.push(client);
        }
    });
    set_blocks(test_app, |_| {});
}

fn form(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = fields.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn json_of(page: &Page) -> Value {
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    serde_json::from_str(&page.body).unwrap()
}

async fn try_refresh(test_app: &TestApp, tokens: &Value, more: &[(&str, &str)]) -> Page {
    let mut fields = form(more);
    fields.extend(form(&[
        ("grant_type", "refresh_token"),
        ("client_id", "web"),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
    ]));
    token(test_app, &fields).await
}

async fn refresh(test_app: &TestApp, tokens: &Value, more: &[(&str, &str)]) -> Value {
    json_of(&try_refresh(test_app, tokens, more).await)
}

/// A request for a token without a user.
async fn own_token(test_app: &TestApp, client: &str, more: &[(&str, &str)]) -> Page {
    let mut fields = form(more);
    fields.extend(form(&[
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("client_secret", SECRET),
    ]));
    token(test_app, &fields).await
}

async fn introspect(test_app: &TestApp, client: &str, tokens: &Value) -> Value {
    let fields = [
        ("client_id", client),
        ("client_secret", SECRET),
        ("token", tokens["access_token"].as_str().unwrap()),
    ];
    let request = crate::work::form_request("/oauth2/introspect", &fields);
    json_of(&test_app.call(request).await)
}

async fn access_token(test_app: &TestApp, tokens: &Value) -> Verified {
    verified(test_app, &tokens["access_token"]).await
}

/// Checks the audience and the scope of an access token; the response names the same scope.
async fn assert_token(test_app: &TestApp, tokens: &Value, audience: &str, scope: &str) {
    let claims = access_token(test_app, tokens).await.claims;
    assert_eq!(claims["aud"], audience, "{claims}");
    assert_eq!(claims["scope"], scope, "{claims}");
    assert_eq!(tokens["scope"], scope);
}

fn assert_refused(page: &Page, error: &str) {
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.body);
    assert_eq!(error_of(page), error);
}

/// The error that an authorization request gets.
async fn authorization_error(browser: &mut Browser<'_>, attempt: &Attempt) -> String {
    let back = browser.open(&attempt.path()).await;
    parameter(&back, "error").unwrap_or_else(|| panic!("{}", back.summary()))
}

/// The usual request with this scope.
fn asking(scope: &str) -> Attempt {
    Attempt::new().with("scope", scope)
}

async fn rs_2_a_resource_is_for_the_clients_that_may_request_it(test_app: TestApp) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "rs2@example.com").await;
    // The scopes of the resource stand in no client.
    let listed = asking("openid lessons:read").with("resource", LESSONS);
    let tokens = listed.tokens(&mut browser).await;
    assert_token(&test_app, &tokens, LESSONS, "openid lessons:read").await;
    let uri = push(&test_app, &listed).await;
    let back = browser.open(&visit("web", &uri)).await;
    let code = parameter(&back, "code").unwrap();
    let tokens = json_of(&token(&test_app, &listed.exchange(&code)).await);
    assert_token(&test_app, &tokens, LESSONS, "openid lessons:read").await;
    let own = own_token(&test_app, "software", &[("resource", LESSONS)]).await;
    let own = access_token(&test_app, &json_of(&own)).await.claims;
    assert_eq!((&own["aud"], &own["scope"]), (&json!(LESSONS), &json!("")));
    let named = [("resource", LESSONS), ("scope", "lessons:write")];
    let own = json_of(&own_token(&test_app, "software", &named).await);
    assert_token(&test_app, &own, LESSONS, "lessons:write").await;

    // A client that is in no list, and a resource that is open to unregistered clients alone.
    for (client, resource) in [("other", LESSONS), ("web", MUSIC)] {
        let refused = asking("openid")
            .with("client_id", client)
            .with("resource", resource);
        let error = authorization_error(&mut browser, &refused).await;
        assert_eq!(error, "invalid_target", "{client}");
        assert_refused(&try_push(&test_app, &refused).await, "invalid_target");
        let attempt = asking("openid lessons:read music:play").with("client_id", client);
        let code = attempt.code(&mut browser).await;
        let mut exchange = attempt.exchange(&code);
        exchange.insert("resource".to_owned(), resource.to_owned());
        assert_refused(&token(&test_app, &exchange).await, "invalid_target");
        exchange.remove("resource");
        let tokens = json_of(&token(&test_app, &exchange).await);
        assert_token(&test_app, &tokens, OWN, "openid").await;
    }
    let offline = asking("openid offline_access");
    let tokens = offline.tokens(&mut browser).await;
    let refused = try_refresh(&test_app, &tokens, &[("resource", MUSIC)]).await;
    assert_refused(&refused, "invalid_target");
    let refused = own_token(&test_app, "player", &[("resource", LESSONS)]).await;
    assert_refused(&refused, "invalid_target");
}

async fn rs_2_the_sign_in_api_grants_what_the_authorization_endpoint_grants(test_app: TestApp) {
    prepare(&test_app);
    test_app.configure(|config| config.api.v2_enabled = true);
    let attempt = asking("openid offline_access lessons:read music:play");
    let challenge = attempt
        .parameters
        .iter()
        .find(|(name, _)| name == "code_challenge");
    let post = async |path: &str, body: Value| {
        let browser = test_app.browser();
        let request = browser.request(Method::POST, path);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        test_app.call(request.body(body.to_string())).await
    };
    let begin = json!({
        "client_id": "web", "email": "api@example.com",
        "code_challenge": challenge.unwrap().1, "code_challenge_method": "S256",
    });
    let begun = post("/api/v2/logins", begin).await;
    let begun: Value = serde_json::from_str(&begun.body).unwrap();
    let path = format!("/api/v2/logins/{}/code", begun["flow_id"].as_str().unwrap());
    let code = test_app.mail("api@example.com").await.code();
    let scope = "openid offline_access lessons:read music:play";
    let body = json!({ "code": code, "code_verifier": attempt.verifier, "scope": scope });
    let tokens = json_of(&post(&path, body).await);
    assert_token(&test_app, &tokens, OWN, "openid offline_access").await;
    let tokens = refresh(&test_app, &tokens, &[("resource", LESSONS)]).await;
    let scope = "openid offline_access lessons:read";
    assert_token(&test_app, &tokens, LESSONS, scope).await;
}

async fn rs_3_a_token_is_made_as_its_resource_says(test_app: TestApp) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "rs3@example.com").await;
    let all = "openid own:use lessons:read lessons:write offline_access";
    let tokens = asking(all).tokens(&mut browser).await;
    // An audience without a block stays as it is.
    assert_token(&test_app, &tokens, OWN, "openid own:use offline_access").await;
    let lifetime = |token: &Verified| {
        let seconds = |name: &str| token.claims[name].as_i64().unwrap();
        seconds("exp") - seconds("iat")
    };
    let usual = access_token(&test_app, &tokens).await;
    assert_eq!(
        (&usual.header["alg"], lifetime(&usual)),
        (&json!("ES256"), 600)
    );

    let tokens = refresh(&test_app, &tokens, &[("resource", LESSONS)]).await;
    let carried = "openid lessons:read lessons:write offline_access";
    assert_token(&test_app, &tokens, LESSONS, carried).await;
    let made = access_token(&test_app, &tokens).await;
    assert_eq!(
        (&made.header["alg"], lifetime(&made)),
        (&json!("RS256"), 120)
    );
    assert_eq!(tokens["expires_in"], 120);
    let narrow = [("resource", LESSONS), ("scope", "lessons:read")];
    let narrowed = refresh(&test_app, &tokens, &narrow).await;
    assert_token(&test_app, &narrowed, LESSONS, "lessons:read").await;
    // A library that repeats the whole scope names no resource.
    let repeated = refresh(&test_app, &narrowed, &[("scope", all)]).await;
    assert_token(&test_app, &repeated, OWN, "openid own:use offline_access").await;

    // Of two lifetimes the shorter one counts.
    test_app.configure(|config| {
        for client in &mut config.clients {
            client.access_token_seconds = Some(60);
        }
    });
    let own = json_of(&own_token(&test_app, "software", &[("resource", LESSONS)]).await);
    let own_token = access_token(&test_app, &own).await;
    assert_eq!(own["expires_in"], 60);
    assert_eq!(
        (&own_token.header["alg"], lifetime(&own_token)),
        (&json!("RS256"), 60)
    );
}

async fn rs_4_a_resource_is_named_in_any_spelling_and_spelled_as_registered(test_app: TestApp) {
    prepare(&test_app);
    set_blocks(&test_app, |blocks| blocks[1]["clients"] = json!(["web"]));
    let mut browser = signed_in(&test_app, "rs4@example.com").await;
    for (named, audience) in [
        ("HTTPS://Lessons.Example/api", LESSONS),
        ("https://music.example/", MUSIC),
        ("https://MUSIC.example", MUSIC),
    ] {
        let tokens = asking("openid")
            .with("resource", named)
            .tokens(&mut browser)
            .await;
        assert_token(&test_app, &tokens, audience, "openid").await;
    }
    for bad in [
        "https://lessons.example/API",
        "https://lessons.example/api/",
    ] {
        let refused = asking("openid").with("resource", bad);
        let error = authorization_error(&mut browser, &refused).await;
        assert_eq!(error, "invalid_target", "{bad}");
    }
}

async fn rs_5_the_user_reads_words_under_the_name_of_the_resource(test_app: TestApp) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "rs5@example.com").await;
    let scope = "openid lessons:write own:use lessons:read music:play";
    let attempt = asking(scope).with("client_id", "foreign");
    let read = |page: &Page| {
        ["ul#scopes", "section.resource h2", "section.resource ul"]
            .map(|selector| page.text_of(selector).unwrap_or_default())
    };
    let french = attempt.clone().with("ui_locales", "fr");
    let asked = browser.open(&french.path()).await;
    let page = browser.follow(&asked).await;
    let own = "Vous identifier Utiliser « own:use » en votre nom";
    let words = "Réserver des cours Voir vos cours";
    let spaces_folded = read(&page).map(|text| text.replace('\u{a0}', " "));
    assert_eq!(spaces_folded, [own, "Cours", words]);
    // A request for one API asks for nothing that belongs elsewhere.
    let named = attempt.clone().with("resource", LESSONS);
    let words = "Book lessons See your lessons";
    let asked = browser.open(&named.path()).await;
    let page = browser.follow(&asked).await;
    assert_eq!(read(&page), ["Confirm who you are", "Lessons", words]);
    let asked = browser.open(&attempt.path()).await;
    let page = browser.follow(&asked).await;
    let own = "Confirm who you are Use “own:use” on your behalf";
    assert_eq!(read(&page), [own, "Lessons", words]);
    assert!(!page.text().contains("music:play"), "{}", page.text());
    browser
        .submit(&page, "consent", &[("decision", "allow")])
        .await;
    let page = browser.open("/account/access").await;
    let line = "Lessons: Book lessons · See your lessons";
    assert!(page.text().contains(line), "{}", page.text());
    // Consent is about scopes: it holds for a token of the resource, too.
    let tokens = named.tokens(&mut browser).await;
    let granted = "openid lessons:write lessons:read";
    assert_token(&test_app, &tokens, LESSONS, granted).await;
}

/// An operator may change an API while a user reads what a client requests.
async fn rs_5_nothing_is_allowed_that_the_page_did_not_show(test_app: TestApp) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "rs5-shown@example.com").await;
    let attempt = asking("openid lessons:read lessons:write").with("client_id", "foreign");
    let silent = attempt.clone().with("prompt", "none");
    let fewer = |blocks: &mut Value| {
        let scopes = blocks[0]["scopes"].as_object_mut().unwrap();
        scopes.remove("lessons:write");
    };
    let shows_writing = |page: &Page| page.text().contains("Book lessons");
    let asked = browser.open(&attempt.path()).await;
    set_blocks(&test_app, fewer);
    let page = browser.follow(&asked).await;
    assert!(!shows_writing(&page), "{}", page.text());
    set_blocks(&test_app, |_| {});

    let allow = [("decision", "allow")];
    let again = browser.submit(&page, "consent", &allow).await;
    let to = again.location().expect("the page anew");
    assert_eq!(to.path(), "/consent", "{to}");
    let error = authorization_error(&mut browser, &silent).await;
    assert_eq!(error, "consent_required", "nothing is stored");
    // What a page showed cannot be changed in its form.
    let forged = [
        ("decision", "allow"),
        ("shown", "openid lessons:read lessons:write"),
    ];
    let refused = browser.submit(&page, "consent", &forged).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let page = browser.follow(&again).await;
    assert!(shows_writing(&page), "{}", page.text());
    let done = browser.submit(&page, "consent", &allow).await;
    let to = done.refresh().unwrap();
    assert!(to.query_pairs().any(|(name, _)| name == "code"), "{to}");
    let back = browser.open(&silent.path()).await;
    assert!(parameter(&back, "code").is_some(), "{}", back.summary());
}

async fn rs_6_what_an_operator_takes_away_is_in_no_further_token(test_app: TestApp) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "rs6@example.com").await;
    let scope = "openid lessons:read lessons:write offline_access";
    let attempt = asking(scope).with("resource", LESSONS);
    let first = attempt.tokens(&mut browser).await;
    assert_token(&test_app, &first, LESSONS, scope).await;
    let named = [("resource", LESSONS)];

    set_blocks(&test_app, |blocks| {
        let scopes = blocks[0]["scopes"].as_object_mut().unwrap();
        scopes.remove("lessons:write");
    });
    let fewer = "openid lessons:read offline_access";
    let mut tokens = refresh(&test_app, &first, &named).await;
    assert_token(&test_app, &tokens, LESSONS, fewer).await;
    let known = introspect(&test_app, "software", &first).await;
    assert_eq!(known["scope"], fewer, "a token of before: {known}");

    // The client, and then the whole block.
    for change in [
        |blocks: &mut Value| blocks[0]["clients"] = json!(["software"]),
        |blocks: &mut Value| *blocks = json!([]),
    ] {
        set_blocks(&test_app, |_| {});
        tokens = refresh(&test_app, &tokens, &named).await;
        assert_token(&test_app, &tokens, LESSONS, scope).await;
        set_blocks(&test_app, change);
        let error = authorization_error(&mut browser, &attempt).await;
        assert_eq!(error, "invalid_target");
        let refused = try_refresh(&test_app, &tokens, &named).await;
        assert_refused(&refused, "invalid_target");
        tokens = refresh(&test_app, &tokens, &[]).await;
        assert_token(&test_app, &tokens, OWN, "openid offline_access").await;
    }
}

async fn rs_6_a_request_that_waits_loses_what_is_taken_away(test_app: TestApp) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "rs6-waits@example.com").await;
    let scope = "openid lessons:read lessons:write";
    let pushed = asking(scope);
    let uri = push(&test_app, &pushed).await;
    let third = pushed.clone().with("client_id", "foreign");
    let asked = browser.open(&third.path()).await;
    let consent = browser.follow(&asked).await;
    set_blocks(&test_app, |blocks| {
        let scopes = blocks[0]["scopes"].as_object_mut().unwrap();
        scopes.remove("lessons:write");
    });
    let back = browser.open(&visit("web", &uri)).await;
    let code = parameter(&back, "code").unwrap();
    let done = browser
        .submit(&consent, "consent", &[("decision", "allow")])
        .await;
    let to = done.refresh().unwrap();
    let of_third = to.query_pairs().find(|(name, _)| name == "code").unwrap().1;
    for (attempt, code) in [(&pushed, code.as_str()), (&third, &*of_third)] {
        let mut exchange = attempt.exchange(code);
        exchange.insert("resource".to_owned(), LESSONS.to_owned());
        let tokens = json_of(&token(&test_app, &exchange).await);
        assert_token(&test_app, &tokens, LESSONS, "openid lessons:read").await;
    }
    // What had been taken away was not allowed with the rest.
    set_blocks(&test_app, |_| {});
    let silent = third.with("prompt", "none");
    let error = authorization_error(&mut browser, &silent).await;
    assert_eq!(error, "consent_required");
}

async fn rs_8_a_token_for_one_resource_is_worth_nothing_at_another(test_app: TestApp) {
    prepare(&test_app);
    set_blocks(&test_app, |blocks| blocks[1]["clients"] = json!(["web"]));
    let mut browser = signed_in(&test_app, "rs8@example.com").await;
    let scope = "openid lessons:read music:play offline_access";
    let tokens = asking(scope).tokens(&mut browser).await;
    let music = refresh(&test_app, &tokens, &[("resource", MUSIC)]).await;
    assert_token(&test_app, &music, MUSIC, "openid music:play offline_access").await;
    let elsewhere = [("resource", MUSIC), ("scope", "openid lessons:read")];
    let refused = try_refresh(&test_app, &music, &elsewhere).await;
    assert_refused(&refused, "invalid_scope");
    let lessons = refresh(&test_app, &music, &[("resource", LESSONS)]).await;
    let carried = "openid lessons:read offline_access";
    assert_token(&test_app, &lessons, LESSONS, carried).await;
    // The authorization endpoint leaves out what belongs elsewhere (AZ-6).
    let limited = asking(scope).with("resource", MUSIC);
    let limited = limited.tokens(&mut browser).await;
    assert_token(
        &test_app,
        &limited,
        MUSIC,
        "openid music:play offline_access",
    )
    .await;
    let named = [("resource", LESSONS), ("scope", "music:play")];
    let refused = own_token(&test_app, "software", &named).await;
    assert_refused(&refused, "invalid_scope");

    // Each API learns of its own tokens alone; userinfo takes both.
    for (client, tokens, is_active) in [
        ("software", &lessons, true),
        ("software", &music, false),
        ("player", &music, true),
        ("player", &lessons, false),
    ] {
        let known = introspect(&test_app, client, tokens).await;
        assert_eq!(known["active"], is_active, "{client}: {known}");
    }
    for tokens in [&lessons, &music] {
        let access = tokens["access_token"].as_str().unwrap();
        let userinfo = test_app.call(userinfo_request(access)).await;
        assert_eq!(userinfo.status, StatusCode::OK, "{}", userinfo.body);
    }
}

#[tokio::test]
async fn rs_2_the_metadata_lists_open_resources_while_they_are_open() {
    let test_app = TestApp::embedded().await;
    prepare(&test_app);
    let document = async || {
        let page = get(&test_app, "/.well-known/oauth-authorization-server").await;
        json_of(&page)
    };
    let open = document().await;
    assert_eq!(open["protected_resources"], json!([MUSIC]));
    let scopes = open["scopes_supported"].as_array().unwrap();
    for scope in ["lessons:read", "music:play"] {
        assert!(scopes.contains(&json!(scope)), "{scope}");
    }
    set_blocks(&test_app, |blocks| blocks[1]["open"] = json!(false));
    assert_eq!(document().await.get("protected_resources"), None);
}
