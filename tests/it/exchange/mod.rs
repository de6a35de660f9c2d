//! Token exchange (EX): an API calls another one for its user, on both databases and both stores.

use entree::{app::App, config::Client, secret::Hash};
use poem::http::StatusCode;
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use serde_json::{Value, json};
use testkit::page::Page;

use crate::{
    oauth::{
        Attempt, error_of, get, parameter, register, settle, sign_in_from, signed_in, verified,
        without_tickets,
    },
    test_app::{Browser, TestApp},
    work::form_request,
};

/// The audience of every client of `register`.
const API: &str = "https://api.example";
const GRADES: &str = "https://grades.example";
const SECRET: &str = "a secret of more than forty-three characters, of a test";
const TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(crate) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

on_both!(
    ex_1_the_metadata_has_the_grant_type_while_a_client_has_a_rule,
    ex_2_ex_3_the_user_allows_what_a_client_passes_on_and_the_next_api_gets_it,
    ex_5_signing_out_or_disabling_the_user_ends_what_was_exchanged,
    ex_7_a_hundred_exchanges_at_once_write_one_event,
);

/// Two APIs: `api` may call grades for its users. `web` and `foreign` list the scope of grades.
fn prepare(test_app: &TestApp) {
    register(test_app);
    test_app.configure(|config| {
        let blocks = json!([
            { "identifier": API, "scopes": { "lessons:read": {} } },
            {
                "identifier": GRADES,
                "name": { "en": "The grade book" },
                "scopes": { "grades:read": { "en": "See your grades" } },
            },
        ]);
        config.resources = serde_json::from_value(blocks).unwrap();
        for client in &mut config.clients {
            let more = ["lessons:read", "grades:read", "offline_access"];
            client.scopes.extend(more.map(str::to_owned));
        }
        let rules = json!([{ "from": API, "to": GRADES, "scopes": ["grades:read"] }]);
        for (id, audience, rules) in [("api", API, rules), ("grades", GRADES, json!([]))] {
            let client = json!({
                "client_id": id, "name": id, "audience": audience, "grant_types": [],
                "introspects": [audience], "token_exchange": rules,
                "token_endpoint_auth_method": "client_secret_post",
                "client_secret_sha256": [Hash::of(SECRET.as_bytes()).to_hex()],
            });
            let client: Client = serde_json::from_value(client).unwrap();
            config.clients.push(client);
        }
    });
}

fn exchange_form(subject: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", GRANT_TYPE),
        ("client_id", "api"),
        ("client_secret", SECRET),
        ("subject_token", subject),
        ("subject_token_type", TYPE),
        ("audience", GRADES),
    ]
}

async fn try_exchange(test_app: &TestApp, tokens: &Value) -> Page {
    let form = exchange_form(tokens["access_token"].as_str().unwrap());
    test_app.call(form_request("/oauth2/token", &form)).await
}

async fn exchange(test_app: &TestApp, tokens: &Value) -> Value {
    let answer = try_exchange(test_app, tokens).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

/// What the grade book learns of a token that it was shown.
async fn introspect(test_app: &TestApp, tokens: &Value) -> Value {
    let form = [
        ("client_id", "grades"),
        ("client_secret", SECRET),
        ("token", tokens["access_token"].as_str().unwrap()),
    ];
    let answer = test_app
        .call(form_request("/oauth2/introspect", &form))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

async fn assert_over(test_app: &TestApp, subject: &Value, exchanged: &Value, why: &str) {
    let members = introspect(test_app, exchanged).await;
    assert_eq!(members, json!({ "active": false }), "{why}");
    let again = try_exchange(test_app, subject).await;
    assert_eq!(error_of(&again), "invalid_request", "{why}");
}

fn asking(client: &str, scope: &str) -> Attempt {
    Attempt::new()
        .with("client_id", client)
        .with("scope", scope)
}

async fn events(app: &App) -> u64 {
    entity::audit_event::Entity::find()
        .filter(entity::audit_event::Column::Kind.eq("token.exchanged"))
        .count(app.db.read())
        .await
        .unwrap()
}

async fn grant_types(test_app: &TestApp) -> Value {
    let answer = get(test_app, "/.well-known/openid-configuration").await;
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    document["grant_types_supported"].clone()
}

async fn ex_1_the_metadata_has_the_grant_type_while_a_client_has_a_rule(test_app: TestApp) {
    register(&test_app);
    let usual = json!(["authorization_code", "refresh_token", "client_credentials"]);
    assert_eq!(grant_types(&test_app).await, usual);
    prepare(&test_app);
    assert_eq!(grant_types(&test_app).await[3], GRANT_TYPE);
    test_app.configure(|config| {
        for client in &mut config.clients {
            client.token_exchange.clear();
        }
    });
    assert_eq!(grant_types(&test_app).await, usual);
}

async fn ex_2_ex_3_the_user_allows_what_a_client_passes_on_and_the_next_api_gets_it(
    test_app: TestApp,
) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "ex2@example.com").await;
    let attempt = asking("foreign", "openid lessons:read grades:read").with("resource", API);
    let answer = browser.open(&attempt.path()).await;
    let page = browser.follow(&answer).await;
    let text = page.text();
    assert!(text.contains("The grade book"), "{text}");
    assert!(text.contains("See your grades"), "{text}");
    let tokens = allow(&mut browser, &attempt, &page).await;
    let first = verified(&test_app, &tokens["access_token"]).await.claims;
    assert_eq!(first["scope"], "openid lessons:read", "the API's own alone");

    let exchanged = exchange(&test_app, &tokens).await;
    let second = verified(&test_app, &exchanged["access_token"]).await;
    assert_eq!(second.claims["aud"], GRADES);
    assert_eq!(second.claims["scope"], "grades:read");
    assert_eq!(second.claims["client_id"], "api");
    assert_eq!(second.claims["act"], json!({ "sub": "api" }));
    for name in ["sub", "sid", "auth_time", "acr", "amr"] {
        assert_eq!(second.claims[name], first[name], "{name}");
    }
    let members = introspect(&test_app, &exchanged).await;
    assert_eq!(members["active"], true);
    assert_eq!(members["act"], json!({ "sub": "api" }));

    // A client that the user allowed less.
    let few = asking("web", "openid lessons:read")
        .tokens(&mut browser)
        .await;
    let refused = try_exchange(&test_app, &few).await;
    assert_eq!(error_of(&refused), "invalid_scope");
    // The scope of grades is in no token for grades that the client could request itself.
    let other = asking("web", "openid grades:read").with("resource", GRADES);
    let refused = browser.open(&other.path()).await;
    let error = parameter(&refused, "error");
    assert_eq!(error.as_deref(), Some("invalid_target"));
}

async fn ex_5_signing_out_or_disabling_the_user_ends_what_was_exchanged(test_app: TestApp) {
    prepare(&test_app);
    let scope = "openid lessons:read grades:read";
    let mut browser = signed_in(&test_app, "ex5@example.com").await;
    let subject = asking("web", scope).tokens(&mut browser).await;
    let exchanged = exchange(&test_app, &subject).await;
    assert_eq!(introspect(&test_app, &exchanged).await["active"], true);
    let account = browser.open("/account").await;
    browser.submit(&account, "sign-out", &[]).await;
    assert_over(&test_app, &subject, &exchanged, "signed out").await;

    let attempt = asking("foreign", &format!("{scope} offline_access"));
    let login = browser.open(&attempt.path()).await;
    let login = browser.follow(&login).await;
    let page = sign_in_from(&mut browser, &login, "ex5@example.com").await;
    let subject = allow(&mut browser, &attempt, &page).await;
    let exchanged = exchange(&test_app, &subject).await;
    assert_eq!(introspect(&test_app, &exchanged).await["active"], true);
    test_app.entree("users disable ex5@example.com --yes");
    assert_over(&test_app, &subject, &exchanged, "disabled").await;
}

/// Allows a request on its consent page, and exchanges the code.
async fn allow(browser: &mut Browser<'_>, attempt: &Attempt, page: &Page) -> Value {
    let back = browser
        .submit(page, "consent", &[("decision", "allow")])
        .await;
    let back = settle(browser, back).await;
    // A form leads to the client by a page, not by a redirect.
    let to = back.location().or_else(|| back.refresh());
    let to = to.unwrap_or_else(|| panic!("{}", back.summary()));
    let code = to.query_pairs().find(|(name, _)| name == "code");
    let (_, code) = code.expect("a code");
    let answer = crate::oauth::token(browser.test_app, &attempt.exchange(&code)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

async fn ex_7_a_hundred_exchanges_at_once_write_one_event(test_app: TestApp) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "ex7@example.com").await;
    let subject = asking("web", "openid grades:read offline_access");
    let subject = subject.tokens(&mut browser).await;
    let all = (0..100).map(|_| exchange(&test_app, &subject));
    futures_util::future::join_all(all).await;
    assert_eq!(events(&test_app.app).await, 1);
    // RD-08: an API goes on while the ticket store is away; each exchange is then recorded.
    let away = test_app.over(without_tickets(&test_app.app));
    exchange(&away, &subject).await;
    exchange(&away, &subject).await;
    assert_eq!(events(&test_app.app).await, 3);
}
