//! Clients of the database: in force on every copy without a restart, on both back ends.

use std::{collections::BTreeSet, sync::Arc};

use entree::{
    client::{
        self,
        change::{self, ChangedClient, ClientChangeError, SecretRotation},
        definition::DefinitionContext,
        registry, store,
    },
    config::ClientBlock,
};
use poem::http::{StatusCode, header};
use sea_orm::ConnectionTrait as _;
use testkit::page::Page;

use crate::{
    oauth::{
        Attempt, CALLBACK, error_of, leads_to_client, register, signed_in, token, token_request,
    },
    test_app::{PUBLIC, TestApp, encoded},
};

const WORKER: [(&str, &str); 4] = [
    ("token_endpoint_auth_method", "client_secret_post"),
    ("grant_types", "client_credentials"),
    ("scopes", "lessons:read"),
    ("first_party", "true"),
];

const WEB: [(&str, &str); 3] = [
    ("redirect_uris", CALLBACK),
    ("first_party", "true"),
    ("scopes", "openid,email,offline_access"),
];

fn block(id: &str, more: &[(&str, &str)]) -> ClientBlock {
    let mut block = ClientBlock::default();
    for (key, text) in [
        &[
            ("client_id", id),
            ("name", "Shop"),
            ("audience", "https://api.example"),
        ],
        more,
    ]
    .concat()
    {
        block.set(key, text);
    }
    block
}

async fn try_create(
    test_app: &TestApp,
    block: ClientBlock,
) -> Result<ChangedClient, ClientChangeError> {
    let config = test_app.app.config.get();
    let tx = test_app.tx().await;
    let context = DefinitionContext {
        token: &config.token,
        public_url: PUBLIC,
    };
    let changed = change::create(&tx, block, context).await?;
    tx.commit().await.unwrap();
    Ok(changed)
}

/// Registers a client, and this copy follows.
async fn create(test_app: &TestApp, id: &str, more: &[(&str, &str)]) -> String {
    let done = try_create(test_app, block(id, more)).await.unwrap();
    assert!(registry::refresh(&test_app.app).await.unwrap());
    done.secret
        .map(|secret| secret.expose().to_owned())
        .unwrap_or_default()
}

async fn rotate(
    test_app: &TestApp,
    id: &str,
    rotation: SecretRotation,
) -> Result<String, ClientChangeError> {
    let config = test_app.app.config.get();
    let tx = test_app.tx().await;
    let context = DefinitionContext {
        token: &config.token,
        public_url: PUBLIC,
    };
    let changed = change::rotate_secret(&tx, id, rotation, context).await?;
    tx.commit().await.unwrap();
    registry::refresh(&test_app.app).await.unwrap();
    let secret = changed.secret.map(|secret| secret.expose().to_owned());
    Ok(secret.unwrap_or_default())
}

async fn enable(test_app: &TestApp, id: &str, enabled: bool) {
    let tx = test_app.tx().await;
    change::set_enabled(&tx, id, enabled).await.unwrap();
    tx.commit().await.unwrap();
    registry::refresh(&test_app.app).await.unwrap();
}

async fn credentials(test_app: &TestApp, id: &str, secret: &str) -> Page {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", id),
        ("client_secret", secret),
    ];
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    test_app.call(token_request(encoded(&fields))).await
}

on_both!(
    ca_5_a_secret_is_shown_once_and_two_are_valid_during_a_change,
    a_client_of_the_database_gets_tokens_and_none_once_it_is_disabled,
    a_client_of_the_file_wins_and_the_other_appears_when_it_goes,
    of_many_creates_of_one_identifier_one_wins,
    changes_at_the_same_moment_lose_none,
    a_client_that_cannot_be_read_is_left_out_alone,
);

async fn ca_5_a_secret_is_shown_once_and_two_are_valid_during_a_change(test_app: TestApp) {
    let first = create(&test_app, "worker", &WORKER).await;
    assert!(first.len() == 43 && first.chars().collect::<BTreeSet<_>>().len() > 10);
    let good = async |secret: &str| {
        credentials(&test_app, "worker", secret).await.status == StatusCode::OK
    };
    assert!(good(&first).await && !good("x").await && !good("").await);
    let second = rotate(&test_app, "worker", SecretRotation::KeepOld)
        .await
        .unwrap();
    assert!(
        first != second && good(&first).await && good(&second).await,
        "both, while it moves over"
    );
    let third = rotate(&test_app, "worker", SecretRotation::KeepOld)
        .await
        .unwrap();
    assert!(
        !good(&first).await && good(&second).await && good(&third).await,
        "never more than two"
    );
    assert_eq!(
        rotate(&test_app, "worker", SecretRotation::EndOld)
            .await
            .unwrap(),
        ""
    );
    assert!(!good(&second).await && good(&third).await);
    let fourth = rotate(&test_app, "worker", SecretRotation::ReplaceAll)
        .await
        .unwrap();
    assert!(!good(&third).await && good(&fourth).await);
    let stored = test_app.stored().await;
    for secret in [first, second, third, fourth] {
        assert!(
            !stored
                .windows(secret.len())
                .any(|part| part == secret.as_bytes()),
            "no secret is kept"
        );
    }
    create(&test_app, "web", &WEB).await;
    assert!(matches!(
        rotate(&test_app, "web", SecretRotation::KeepOld).await,
        Err(ClientChangeError::NoSecret)
    ));
    assert!(matches!(
        rotate(&test_app, "unknown", SecretRotation::KeepOld).await,
        Err(ClientChangeError::NotFound)
    ));
}

async fn a_client_of_the_database_gets_tokens_and_none_once_it_is_disabled(test_app: TestApp) {
    let mut browser = signed_in(&test_app, "shop@example.com").await;
    let attempt = Attempt::new()
        .with("client_id", "shop")
        .with("scope", "openid offline_access");
    assert_eq!(
        browser.open(&attempt.path()).await.status,
        StatusCode::BAD_REQUEST,
        "not there yet"
    );
    create(&test_app, "shop", &WEB).await;
    let tokens = attempt.tokens(&mut browser).await;
    let userinfo = async || {
        let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
        let request = poem::Request::builder()
            .uri_str("/oauth2/userinfo")
            .header(header::HOST, "id.test");
        test_app
            .call(request.header(header::AUTHORIZATION, bearer).finish())
            .await
            .status
    };
    assert_eq!(userinfo().await, StatusCode::OK);
    let refreshing = |token: &str| {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", "shop"),
            ("refresh_token", token),
        ];
        fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    };
    let refresh = refreshing(tokens["refresh_token"].as_str().unwrap());
    let unused = attempt.code(&mut browser).await;

    enable(&test_app, "shop", false).await;
    let page = browser.open(&attempt.path()).await;
    assert!(
        page.status == StatusCode::BAD_REQUEST && !leads_to_client(&page),
        "{}",
        page.summary()
    );
    for fields in [&refresh, &attempt.exchange(&unused)] {
        let refused = token(&test_app, fields).await;
        assert_eq!(
            (refused.status, error_of(&refused).as_str()),
            (StatusCode::UNAUTHORIZED, "invalid_client")
        );
    }
    assert_eq!(userinfo().await, StatusCode::UNAUTHORIZED);

    enable(&test_app, "shop", true).await;
    assert_eq!(
        userinfo().await,
        StatusCode::OK,
        "what it was given lives on"
    );
    assert_eq!(token(&test_app, &refresh).await.status, StatusCode::OK);
}

async fn a_client_of_the_file_wins_and_the_other_appears_when_it_goes(test_app: TestApp) {
    register(&test_app);
    create(
        &test_app,
        "web",
        &[("first_party", "true"), ("name", "Of the database")],
    )
    .await;
    let name = || client::find(&test_app.app.config.get(), "web").map(|client| client.name.clone());
    assert_eq!(name().as_deref(), Some("The web application"));
    assert_eq!(registry::duplicate_ids(&test_app.app.config.get()), ["web"]);
    enable(&test_app, "web", false).await;
    assert!(
        registry::duplicate_ids(&test_app.app.config.get()).is_empty() && name().is_some(),
        "disabling hits its own alone"
    );
    enable(&test_app, "web", true).await;
    test_app.configure(|config| config.clients.clear());
    assert_eq!(
        name().as_deref(),
        Some("Of the database"),
        "without another look"
    );
    assert!(!registry::refresh(&test_app.app).await.unwrap());
}

async fn of_many_creates_of_one_identifier_one_wins(test_app: TestApp) {
    let test_app = Arc::new(test_app);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let test_app = Arc::clone(&test_app);
        tasks.spawn(async move { try_create(&test_app, block("worker", &WORKER)).await });
    }
    let done = tasks.join_all().await;
    let won: Vec<_> = done.iter().filter_map(|done| done.as_ref().ok()).collect();
    assert_eq!(won.len(), 1);
    assert!(
        done.iter()
            .filter_map(|done| done.as_ref().err())
            .all(|error| matches!(error, ClientChangeError::AlreadyExists))
    );
    registry::refresh(&test_app.app).await.unwrap();
    let secret = won[0].secret.as_ref().unwrap().expose();
    assert_eq!(
        credentials(&test_app, "worker", secret).await.status,
        StatusCode::OK,
        "the winner's secret is the client's"
    );
}

async fn changes_at_the_same_moment_lose_none(test_app: TestApp) {
    create(&test_app, "worker", &WORKER).await;
    let test_app = Arc::new(test_app);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let test_app = Arc::clone(&test_app);
        tasks.spawn(async move { rotate(&test_app, "worker", SecretRotation::KeepOld).await });
    }
    let done = tasks.join_all().await;
    let made = done.iter().filter(|done| done.is_ok()).count();
    assert!(
        made >= 1
            && done
                .iter()
                .all(|done| matches!(done, Ok(_) | Err(ClientChangeError::ConcurrentChange)))
    );
    let row = store::find(test_app.app.db.read(), "worker")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        row.revision,
        i64::try_from(made).unwrap() + 1,
        "one revision a change"
    );
    registry::refresh(&test_app.app).await.unwrap();
    let mut good = 0;
    for secret in done.iter().filter_map(|done| done.as_ref().ok()) {
        good +=
            usize::from(credentials(&test_app, "worker", secret).await.status == StatusCode::OK);
    }
    assert_eq!(good, made.min(2), "the last two count");
}

async fn a_client_that_cannot_be_read_is_left_out_alone(test_app: TestApp) {
    let secret = create(&test_app, "worker", &WORKER).await;
    for (id, definition) in [
        ("no-json", "{"),
        ("a-list", "[]"),
        (
            "no-name",
            "{\"audience\":\"https://a.example\",\"first_party\":true}",
        ),
        (
            "newer",
            "{\"name\":\"N\",\"audience\":\"https://a.example\",\"first_party\":true,\"key_of_tomorrow\":1}",
        ),
        (
            "wild",
            "{\"name\":\"N\",\"audience\":\"https://a.example\",\"redirect_uris\":[\"https://*.example/cb\"]}",
        ),
        (
            "ours",
            "{\"name\":\"N\",\"audience\":\"https://id.test\",\"first_party\":true}",
        ),
    ] {
        let sql = format!("INSERT INTO clients VALUES ('{id}', '{definition}', true, 1, 0, 0)");
        test_app
            .app
            .db
            .pool()
            .execute_unprepared(&sql)
            .await
            .unwrap();
    }
    assert!(registry::refresh(&test_app.app).await.unwrap());
    let config = test_app.app.config.get();
    for id in ["no-json", "a-list", "no-name", "newer", "wild", "ours"] {
        assert!(client::find(&config, id).is_none(), "{id}");
    }
    assert_eq!(
        credentials(&test_app, "worker", &secret).await.status,
        StatusCode::OK
    );
    enable(&test_app, "wild", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_instance_follows_at_its_next_poll() {
    let Some(test_app) = TestApp::servers().await else {
        return;
    };
    let other = test_app.copy().await;
    assert!(
        registry::refresh(&other.app).await.unwrap(),
        "the first look"
    );
    let secret = create(&test_app, "worker", &WORKER).await;
    assert_eq!(
        credentials(&test_app, "worker", &secret).await.status,
        StatusCode::OK,
        "at once where it was changed"
    );
    assert_eq!(
        credentials(&other, "worker", &secret).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert!(registry::refresh(&other.app).await.unwrap());
    let before = other.app.config.get();
    assert_eq!(
        credentials(&other, "worker", &secret).await.status,
        StatusCode::OK
    );
    assert!(
        !registry::refresh(&other.app).await.unwrap(),
        "nothing changed"
    );
    assert!(Arc::ptr_eq(&before, &other.app.config.get()));
    // What was read last stays in force while the database is away.
    other.app.db.clone().close().await;
    assert!(registry::refresh(&other.app).await.is_err());
    assert_eq!(
        credentials(&other, "worker", &secret).await.status,
        StatusCode::OK
    );
}

const OWN: &str = "https://shop.example";
const FOREIGN: &str = "https://other.example";

async fn asked_from(
    test_app: &TestApp,
    origin: &str,
    mut request: poem::Request,
) -> Option<String> {
    request
        .headers_mut()
        .insert(header::ORIGIN, origin.parse().unwrap());
    test_app
        .call(request)
        .await
        .header("access-control-allow-origin")
        .map(str::to_owned)
}

#[tokio::test]
async fn px_02_pages_of_one_client_do_not_read_what_another_is_answered() {
    let test_app = TestApp::embedded().await;
    create(
        &test_app,
        "shop",
        &[&WEB[..], &[("allowed_origins", OWN)]].concat(),
    )
    .await;
    create(
        &test_app,
        "other",
        &[&WEB[..], &[("allowed_origins", FOREIGN)]].concat(),
    )
    .await;
    let mut browser = signed_in(&test_app, "cors@example.com").await;
    let attempt = Attempt::new().with("client_id", "shop");
    let tokens = attempt.tokens(&mut browser).await;
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let json = |path: &str, body: serde_json::Value| {
        let request = poem::Request::builder()
            .method(poem::http::Method::POST)
            .uri_str(path);
        request
            .header(header::HOST, "id.test")
            .content_type("application/json")
            .body(body.to_string())
    };
    let form = |path: &str, fields: &str| {
        let request = poem::Request::builder()
            .method(poem::http::Method::POST)
            .uri_str(path);
        let request = request.header(header::HOST, "id.test");
        request
            .content_type("application/x-www-form-urlencoded")
            .body(fields.to_owned())
    };
    let ask = serde_json::json!({
        "client_id": "shop", "email": "x@example.com", "code_challenge": "x".repeat(43), "code_challenge_method": "S256",
    });
    let request = |name: &str| match name {
        "token" => form(
            "/oauth2/token",
            "grant_type=authorization_code&client_id=shop&code=x",
        ),
        "revoke" => form("/oauth2/revoke", "client_id=shop&token=x"),
        "app" => json("/api/v1/auth/magic-link/request", ask.clone()),
        _ => {
            let request = poem::Request::builder()
                .uri_str("/oauth2/userinfo")
                .header(header::HOST, "id.test");
            request.header(header::AUTHORIZATION, &bearer).finish()
        }
    };
    for name in ["token", "revoke", "app", "userinfo"] {
        assert_eq!(
            asked_from(&test_app, OWN, request(name)).await.as_deref(),
            Some(OWN),
            "{name}"
        );
        assert_eq!(
            asked_from(&test_app, FOREIGN, request(name)).await,
            None,
            "{name}: the other client's page"
        );
        assert_eq!(
            asked_from(&test_app, "https://evil.example", request(name)).await,
            None,
            "{name}"
        );
    }
    // No client is named, or an unknown one: any registered origin may send, and read the refusal.
    let preflight = || {
        let request = poem::Request::builder()
            .method(poem::http::Method::OPTIONS)
            .uri_str("/oauth2/token");
        request
            .header(header::HOST, "id.test")
            .header("access-control-request-method", "POST")
            .finish()
    };
    assert_eq!(
        asked_from(&test_app, FOREIGN, preflight()).await.as_deref(),
        Some(FOREIGN)
    );
    assert_eq!(
        asked_from(&test_app, "https://evil.example", preflight()).await,
        None
    );
    let unknown = form(
        "/oauth2/token",
        "grant_type=authorization_code&client_id=unknown-client",
    );
    assert_eq!(
        asked_from(&test_app, FOREIGN, unknown).await.as_deref(),
        Some(FOREIGN)
    );
}

#[tokio::test]
async fn az_23_di_5_a_client_of_the_database_has_scopes_and_audiences_of_its_own() {
    let test_app = TestApp::embedded().await;
    let documents = async || {
        let body = crate::oauth::get(&test_app, "/.well-known/openid-configuration")
            .await
            .body;
        serde_json::from_str::<serde_json::Value>(&body).unwrap()["scopes_supported"].clone()
    };
    let of_people = serde_json::json!(["openid", "profile", "email", "offline_access"]);
    assert_eq!(documents().await, of_people);
    let keys = [
        ("redirect_uris", CALLBACK),
        ("scopes", "openid,lessons:read"),
        ("resources", "https://second.example"),
    ];
    create(&test_app, "third", &keys).await;
    assert_eq!(documents().await[4], "lessons:read", "at once");
    let mut browser = signed_in(&test_app, "scopes@example.com").await;
    let attempt = Attempt::new()
        .with("client_id", "third")
        .with("scope", "openid lessons:read lessons:write");
    let attempt = attempt.with("resource", "https://second.example");
    let consent = browser.open(&attempt.path()).await;
    let consent = crate::oauth::settle(&mut browser, consent).await;
    assert!(
        consent
            .text_of("ul#scopes")
            .unwrap()
            .contains("lessons:read"),
        "{}",
        consent.summary()
    );
    assert!(!consent.text().contains("lessons:write"));
    let answer = browser
        .submit(&consent, "consent", &[("decision", "allow")])
        .await;
    let to = answer.refresh().unwrap();
    let (_, code) = to.query_pairs().find(|(name, _)| name == "code").unwrap();
    let tokens = token(&test_app, &attempt.exchange(&code)).await;
    let tokens: serde_json::Value = serde_json::from_str(&tokens.body).unwrap();
    let said = crate::oauth::verified(&test_app, &tokens["access_token"])
        .await
        .claims;
    assert_eq!(
        (&said["aud"], &said["scope"]),
        (
            &"https://second.example".into(),
            &"openid lessons:read".into()
        )
    );
    enable(&test_app, "third", false).await;
    assert_eq!(documents().await, of_people);
}
