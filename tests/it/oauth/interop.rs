//! What a client's registration adds for programs that would not work otherwise: claims in the ID
//! token, the `typ` of access tokens, and a name.

use entree::config::{AccessTokenTyp, Resource, Resources};
use poem::http::{Method, StatusCode, header};
use serde_json::{Value, json};
use testkit::page::Page;

use crate::{
    oauth::{
        Attempt, get, leads_to_client, parameter, register, settle, sign_in_from, signed_in,
        verified,
    },
    test_app::{Browser, TestApp, encoded},
};

on_both!(
    oc_5_id_token_claims_of_a_client_need_their_scope_and_nothing_else,
    oc_5_st_21_an_api_may_want_access_tokens_of_typ_jwt,
    oc_6_a_user_without_a_name_is_asked_for_it_once,
);

/// Changes the client `web`.
fn change_web(test_app: &TestApp, keys: Value) {
    register(test_app);
    test_app.configure(|config| {
        for client in &mut config.clients {
            if client.client_id == "web" {
                let mut all = serde_json::to_value(&*client).unwrap();
                let all = all.as_object_mut().unwrap();
                all.extend(keys.as_object().unwrap().clone());
                *client = serde_json::from_value(json!(all)).unwrap();
            }
        }
    });
}

async fn id_token(test_app: &TestApp, browser: &mut Browser<'_>, attempt: Attempt) -> Value {
    let tokens = attempt.tokens(browser).await;
    verified(test_app, &tokens["id_token"]).await.claims
}

async fn oc_5_id_token_claims_of_a_client_need_their_scope_and_nothing_else(test_app: TestApp) {
    let claims = ["email", "email_verified", "name", "roles"];
    change_web(&test_app, json!({ "id_token_claims": claims }));
    let email = "oc5@example.com";
    let mut browser = signed_in(&test_app, email).await;
    let token = id_token(&test_app, &mut browser, Attempt::new()).await;
    assert_eq!(token["email"], email);
    assert_eq!(token["email_verified"], true);
    assert_eq!(token["roles"], json!([]));
    assert_eq!(
        token["name"],
        Value::Null,
        "left out: profile was not granted"
    );
    let less = Attempt::new().with("scope", "openid");
    let token = id_token(&test_app, &mut browser, less).await;
    assert!(token.get("email").is_none() && token.get("email_verified").is_none());
    // TK-10 holds for every other client.
    let other = Attempt::new().with("client_id", "other");
    let token = id_token(&test_app, &mut browser, other).await;
    assert!(token.get("email").is_none() && token.get("roles").is_none());
}

async fn userinfo(test_app: &TestApp, token: &str) -> StatusCode {
    let request = poem::Request::builder()
        .uri_str("/oauth2/userinfo")
        .header(header::HOST, "id.test")
        .header(header::AUTHORIZATION, format!("Bearer {token}"));
    test_app.call(request.finish()).await.status
}

/// What the client `web` learns of a token of its own.
async fn is_active(test_app: &TestApp, token: &str) -> bool {
    let fields = [("token", token)].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let request = poem::Request::builder()
        .method(Method::POST)
        .uri_str("/oauth2/introspect")
        .header(header::HOST, "id.test")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::AUTHORIZATION, basic("web", SECRET))
        .body(encoded(&fields));
    let page = test_app.call(request).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let answer: Value = serde_json::from_str(&page.body).unwrap();
    answer["active"].as_bool().unwrap()
}

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn basic(id: &str, secret: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

async fn code_tokens(test_app: &TestApp, browser: &mut Browser<'_>) -> Value {
    let attempt = Attempt::new();
    let code = attempt.code(browser).await;
    let mut fields = attempt.exchange(&code);
    fields.remove("client_id");
    let fields: Vec<_> = fields.into_iter().collect();
    let mut request = crate::oauth::token_request(encoded(&fields));
    let basic = basic("web", SECRET).parse().unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, basic);
    let page = test_app.call(request).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    serde_json::from_str(&page.body).unwrap()
}

async fn oc_5_st_21_an_api_may_want_access_tokens_of_typ_jwt(test_app: TestApp) {
    let hash = entree::secret::Hash::of(SECRET.as_bytes()).to_hex();
    change_web(
        &test_app,
        json!({
            "token_endpoint_auth_method": "client_secret_basic",
            "client_secret_sha256": [hash],
        }),
    );
    let set = |typ| {
        test_app.configure(|config| {
            config.resources = Resources::from(vec![Resource {
                identifier: "https://api.example".to_owned(),
                access_token_typ: typ,
                ..Resource::default()
            }]);
        });
    };
    let mut browser = signed_in(&test_app, "typ@example.com").await;
    let before = code_tokens(&test_app, &mut browser).await;
    let text = |tokens: &Value, name: &str| tokens[name].as_str().unwrap().to_owned();
    let old = text(&before, "access_token");
    set(AccessTokenTyp::Jwt);
    let tokens = code_tokens(&test_app, &mut browser).await;
    let new = text(&tokens, "access_token");
    for (token, typ) in [(&old, "at+jwt"), (&new, "JWT")] {
        let header = verified(&test_app, &json!(token)).await.header;
        assert_eq!(header["typ"], typ);
        assert_eq!(userinfo(&test_app, token).await, StatusCode::OK, "{typ}");
        assert!(is_active(&test_app, token).await, "{typ}");
    }
    // JT-04: of one typ, and yet none passes for the other kind.
    let id_token = text(&tokens, "id_token");
    assert_eq!(
        userinfo(&test_app, &id_token).await,
        StatusCode::UNAUTHORIZED
    );
    assert!(!is_active(&test_app, &id_token).await);
    let hinted = Attempt::new().with("id_token_hint", &new);
    let page = browser.open(&hinted.path()).await;
    assert_eq!(
        parameter(&page, "error").as_deref(),
        Some("invalid_request")
    );
    let page = browser
        .open(&format!("/oauth2/logout?id_token_hint={new}"))
        .await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.summary());
    // Without the setting the same token is refused.
    set(AccessTokenTyp::AtJwt);
    assert_eq!(userinfo(&test_app, &new).await, StatusCode::UNAUTHORIZED);
    assert!(!is_active(&test_app, &new).await);
    assert_eq!(userinfo(&test_app, &old).await, StatusCode::OK);
}

async fn oc_6_a_user_without_a_name_is_asked_for_it_once(test_app: TestApp) {
    change_web(
        &test_app,
        json!({ "require_name": true, "id_token_claims": ["name"] }),
    );
    let attempt = Attempt::new().with("scope", "openid profile");
    let mut browser = test_app.browser();
    let asked = browser.open(&attempt.path()).await;
    let login = browser.follow(&asked).await;
    let page = sign_in_from(&mut browser, &login, "oc6@example.com").await;
    assert!(page.has("form#name"), "{}", page.summary());
    assert!(page.text().contains("The web application"));
    // A reload shows it again, and another browser does not get it.
    let path = page.url[url::Position::BeforePath..].to_owned();
    assert!(browser.open(&path).await.has("form#name"));
    let other = get(&test_app, &path).await;
    assert_eq!(other.status, StatusCode::GONE, "{}", other.summary());
    let silent = browser
        .open(&attempt.clone().with("prompt", "none").path())
        .await;
    let error = parameter(&silent, "error");
    assert_eq!(error.as_deref(), Some("interaction_required"));
    for (bad, words) in [
        ("   ", "Enter your name."),
        ("a\nb", "in one line"),
        (&"x".repeat(201), "at most 200 characters"),
    ] {
        let refused = browser.submit(&page, "name", &[("name", bad)]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        let error = refused.error().unwrap_or_default();
        assert!(error.contains(words), "{bad:?}: {}", refused.summary());
        assert!(refused.has("form#name"));
    }
    let done = browser
        .submit(&page, "name", &[("name", " Ada Löwe ")])
        .await;
    let back = settle(&mut browser, done).await;
    assert!(leads_to_client(&back), "{}", back.summary());
    assert_eq!(parameter(&back, "state").as_deref(), Some("the state"));
    // The other tab goes on, and the next request is not asked.
    let again = browser.submit(&page, "name", &[("name", "Eve")]).await;
    assert_eq!(settle(&mut browser, again).await.status, StatusCode::GONE);
    let token = id_token(&test_app, &mut browser, attempt).await;
    assert_eq!(token["name"], "Ada Löwe");
}

/// AZ-20: the page has a way back to the client.
#[tokio::test]
async fn oc_6_az_20_a_user_may_cancel_instead_of_giving_a_name() {
    let test_app = TestApp::embedded().await;
    change_web(&test_app, json!({ "require_name": true }));
    let mut browser = signed_in(&test_app, "nameless@example.com").await;
    let asked = browser.open(&Attempt::new().path()).await;
    let page: Page = browser.follow(&asked).await;
    let canceled = browser.submit(&page, "cancel", &[]).await;
    let to = canceled.refresh().unwrap();
    let error = to.query_pairs().find(|(name, _)| name == "error");
    assert_eq!(error.unwrap().1, "access_denied");
}

/// The scope `profile` is not needed for the question, and a client that needs consent gets it
/// first.
#[tokio::test]
async fn oc_6_the_name_is_asked_for_after_consent() {
    let test_app = TestApp::embedded().await;
    change_web(
        &test_app,
        json!({ "require_name": true, "first_party": false }),
    );
    let mut browser = signed_in(&test_app, "consents@example.com").await;
    let asked = browser.open(&Attempt::new().path()).await;
    let page = browser.follow(&asked).await;
    let allowed = browser
        .submit(&page, "consent", &[("decision", "allow")])
        .await;
    let page = settle(&mut browser, allowed).await;
    assert!(page.has("form#name"), "{}", page.summary());
    let done = browser.submit(&page, "name", &[("name", "Ada")]).await;
    let back = settle(&mut browser, done).await;
    assert!(leads_to_client(&back), "{}", back.summary());
    assert!(parameter(&back, "code").is_some());
}
