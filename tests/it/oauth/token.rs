//! The token endpoint (TK, ER), and what a code is worth (RD-06).

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use entity::{grant_family, user};
use entree::{
    app::App,
    config::ClientAuth,
    federation::provider::Providers,
    key::ExpectedToken,
    routes,
    secret::{Hash, MasterKeys, Plain},
    session,
    ticket::{Space, TicketKind, Tickets},
};
use poem::{
    Endpoint as _, Request,
    http::{Method, StatusCode, header},
};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, sea_query::Expr,
};
use serde_json::{Value, json};
use testkit::page::Page;

use crate::{
    federation::{ProviderFixture, leads_to_client},
    oauth::{
        Attempt, CALLBACK, REGISTERED, error_of, register, settle, sign_in_from, signed_in, token,
        token_request, verified, with_clients,
    },
    test_app::{Browser, PUBLIC, TestApp, encoded},
};

async fn live_grants(test_app: &TestApp) -> u64 {
    grant_family::Entity::find()
        .filter(grant_family::Column::RevokedAt.is_null())
        .count(test_app.app.db.read())
        .await
        .unwrap()
}

async fn grants(test_app: &TestApp) -> u64 {
    grant_family::Entity::find()
        .count(test_app.app.db.read())
        .await
        .unwrap()
}

fn assert_refused(answer: &Page, status: StatusCode, code: &str, why: &str) {
    assert_eq!(
        (answer.status, error_of(answer).as_str()),
        (status, code),
        "{why}: {}",
        answer.body
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/json"),
        "{why}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{why}");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let description = body["error_description"].as_str().unwrap();
    assert!(
        description
            .chars()
            .all(|c| matches!(c, ' '..='~') && c != '"' && c != '\\'),
        "ER-1: {description}"
    );
}

on_both!(
    tk_4_tk_6_of_a_hundred_exchanges_one_wins_and_a_late_replay_revokes,
    tk_3_a_wrong_exchange_is_refused_and_spends_nothing,
    tk_14_a_session_that_ended_meanwhile_gives_nothing,
    tk_3_a_code_for_a_place_that_is_no_longer_the_clients_gives_nothing,
);

/// ST-03: early losers revoke nothing, a late replay does.
async fn tk_4_tk_6_of_a_hundred_exchanges_one_wins_and_a_late_replay_revokes(test_app: TestApp) {
    register(&test_app);
    let mut browser = signed_in(&test_app, "tk4@example.com").await;
    let attempt = Attempt::new();
    let fields = attempt.exchange(&attempt.code(&mut browser).await);
    let mut copies = vec![&test_app];
    let other = if test_app.app.db.is_postgres() {
        Some(test_app.copy().await)
    } else {
        None
    };
    copies.extend(other.as_ref());
    let answers =
        futures_util::future::join_all((0..100).map(|n| token(copies[n % copies.len()], &fields)))
            .await;
    let won = answers
        .iter()
        .filter(|answer| answer.status == StatusCode::OK)
        .count();
    assert_eq!(
        won,
        1,
        "{:?}",
        answers
            .iter()
            .map(|answer| answer.status.as_u16())
            .collect::<Vec<_>>()
    );
    for answer in answers
        .iter()
        .filter(|answer| answer.status != StatusCode::OK)
    {
        assert_refused(answer, StatusCode::BAD_REQUEST, "invalid_grant", "a loser");
    }
    assert_eq!(
        (grants(&test_app).await, live_grants(&test_app).await),
        (1, 1),
        "losers revoke nothing"
    );
    // The hundred took some of the ten seconds.
    test_app.pass(2);
    assert_refused(
        &token(&test_app, &fields).await,
        StatusCode::BAD_REQUEST,
        "invalid_grant",
        "after some seconds",
    );
    assert_eq!(
        live_grants(&test_app).await,
        1,
        "within ten seconds it is a race"
    );
    test_app.pass(9);
    // A replay that lacks a parameter shows no theft, and revokes nothing.
    for (name, value) in [
        ("code_verifier", "x".repeat(43)),
        ("redirect_uri", "x".into()),
        ("client_id", "other".into()),
    ] {
        let mut wrong = fields.clone();
        wrong.insert(name.to_owned(), value);
        assert_refused(
            &token(&test_app, &wrong).await,
            StatusCode::BAD_REQUEST,
            "invalid_grant",
            name,
        );
        assert_eq!(live_grants(&test_app).await, 1, "{name}");
    }
    assert_refused(
        &token(&test_app, &fields).await,
        StatusCode::BAD_REQUEST,
        "invalid_grant",
        "after 11 s",
    );
    assert_eq!(
        (grants(&test_app).await, live_grants(&test_app).await),
        (1, 0),
        "a theft revokes"
    );
    assert_refused(
        &token(&test_app, &fields).await,
        StatusCode::BAD_REQUEST,
        "invalid_grant",
        "once more",
    );
}

async fn tk_3_a_wrong_exchange_is_refused_and_spends_nothing(test_app: TestApp) {
    register(&test_app);
    let mut browser = signed_in(&test_app, "tk3@example.com").await;
    let attempt = Attempt::new();
    let right = attempt.exchange(&attempt.code(&mut browser).await);
    let unknown = Plain::generate().to_text();
    for (name, value) in [
        ("code", Some(unknown.as_str())),
        ("code", Some("x")),
        ("code", Some("%00")),
        ("redirect_uri", Some("https://app.example/q?a=1")),
        ("redirect_uri", Some("https://app.example/cb/")),
        ("redirect_uri", None),
        ("code_verifier", Some(unknown.as_str())),
        ("code_verifier", Some("short")),
        ("code_verifier", None),
        ("client_id", Some("other")),
    ] {
        let mut wrong = right.clone();
        match value {
            Some(value) => wrong.insert(name.to_owned(), value.to_owned()),
            None => wrong.remove(name),
        };
        assert_refused(
            &token(&test_app, &wrong).await,
            StatusCode::BAD_REQUEST,
            "invalid_grant",
            name,
        );
    }
    assert_eq!(grants(&test_app).await, 0);
    assert_eq!(token(&test_app, &right).await.status, StatusCode::OK);
    assert_eq!(live_grants(&test_app).await, 1);
}

async fn tk_14_a_session_that_ended_meanwhile_gives_nothing(test_app: TestApp) {
    register(&test_app);
    for how in ["signed out", "epoch", "locked"] {
        let email = format!("tk14-{}@example.com", how.replace(' ', "-"));
        let mut browser = signed_in(&test_app, &email).await;
        let attempt = Attempt::new();
        let fields = attempt.exchange(&attempt.code(&mut browser).await);
        let address = entree::user::Address::parse(&email, false).unwrap();
        let owner = entree::user::find_by_address(test_app.app.db.read(), &address)
            .await
            .unwrap()
            .unwrap();
        let tx = test_app.app.db.begin().await.unwrap();
        match how {
            "signed out" => drop(session::end_all(&tx, owner.id).await.unwrap()),
            "epoch" => drop(entree::user::bump_epoch(&tx, owner.id).await.unwrap()),
            _ => {
                let lock = user::Entity::update_many()
                    .col_expr(user::Column::State, Expr::value("disabled"));
                lock.filter(user::Column::Id.eq(owner.id))
                    .exec(tx.conn())
                    .await
                    .unwrap();
            }
        }
        tx.commit().await.unwrap();
        assert_refused(
            &token(&test_app, &fields).await,
            StatusCode::BAD_REQUEST,
            "invalid_grant",
            how,
        );
        assert_eq!(grants(&test_app).await, 0, "{how}");
    }
}

async fn tk_3_a_code_for_a_place_that_is_no_longer_the_clients_gives_nothing(test_app: TestApp) {
    register(&test_app);
    let places = |uris: &[&str]| {
        let uris: Vec<String> = uris.iter().map(|uri| (*uri).to_owned()).collect();
        test_app.configure(|config| config.clients[0].redirect_uris.clone_from(&uris));
    };
    let mut browser = signed_in(&test_app, "tk3-place@example.com").await;
    let attempt = Attempt::new();
    let fields = attempt.exchange(&attempt.code(&mut browser).await);
    places(&REGISTERED[1..]);
    assert_refused(
        &token(&test_app, &fields).await,
        StatusCode::BAD_REQUEST,
        "invalid_grant",
        "taken out",
    );
    assert_eq!(grants(&test_app).await, 0);
    places(&REGISTERED);
    assert_eq!(
        token(&test_app, &fields).await.status,
        StatusCode::OK,
        "nothing was spent"
    );
    // A theft stays one.
    places(&REGISTERED[1..]);
    test_app.pass(11);
    assert_refused(
        &token(&test_app, &fields).await,
        StatusCode::BAD_REQUEST,
        "invalid_grant",
        "a replay",
    );
    assert_eq!(live_grants(&test_app).await, 0, "TK-6");
}

#[tokio::test]
async fn tk_2_tk_9_tk_11_tk_12_tokens_say_what_they_must_and_no_more() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, "tk9@example.com").await;
    let now = test_app.app.clock().now().seconds();
    for (client, id_alg, access_alg) in [("web", "RS256", "ES256"), ("es", "ES256", "RS256")] {
        let tokens = Attempt::new()
            .with("client_id", client)
            .tokens(&mut browser)
            .await;
        assert_eq!(tokens["token_type"], "Bearer");
        assert_eq!(tokens["expires_in"], 600);
        assert_eq!(tokens["scope"], "openid email");
        let id = verified(&test_app, &tokens["id_token"]).await;
        let access = verified(&test_app, &tokens["access_token"]).await;
        assert_eq!(
            (&id.header["alg"], &id.header["typ"]),
            (&id_alg.into(), &"JWT".into())
        );
        assert_eq!(
            (&access.header["alg"], &access.header["typ"]),
            (&access_alg.into(), &"at+jwt".into())
        );

        let members = |claims: &Value| {
            claims
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        let mut expected = [
            "iss",
            "sub",
            "aud",
            "exp",
            "iat",
            "auth_time",
            "nonce",
            "acr",
            "amr",
            "sid",
            "at_hash",
        ]
        .map(str::to_owned);
        expected.sort();
        assert_eq!(
            members(&id.claims),
            expected,
            "TK-9, TK-10: no azp, no address"
        );
        let mut expected = [
            "iss",
            "sub",
            "aud",
            "exp",
            "iat",
            "jti",
            "client_id",
            "scope",
            "auth_time",
            "acr",
            "amr",
            "sid",
            "roles",
        ]
        .map(str::to_owned);
        expected.sort();
        assert_eq!(members(&access.claims), expected, "TK-12: no personal data");

        assert_eq!(id.claims["aud"], client, "a string");
        assert_eq!(id.claims["nonce"], "the nonce");
        assert_eq!(access.claims["aud"], "https://api.example");
        assert_eq!(access.claims["client_id"], client);
        assert_eq!(access.claims["roles"], serde_json::json!([]));
        for claims in [&id.claims, &access.claims] {
            assert_eq!(claims["iss"], PUBLIC);
            let (iat, exp) = (
                claims["iat"].as_i64().unwrap(),
                claims["exp"].as_i64().unwrap(),
            );
            assert!(
                (now..now + 60).contains(&iat) && exp == iat + 600,
                "{iat} {exp}"
            );
            assert!(!claims["acr"].as_str().unwrap().is_empty());
        }
        assert_eq!(id.claims["sub"], access.claims["sub"]);
        assert_eq!(id.claims["sid"], access.claims["sid"]);
        let whole = ring::digest::digest(
            &ring::digest::SHA256,
            tokens["access_token"].as_str().unwrap().as_bytes(),
        );
        let half = URL_SAFE_NO_PAD.encode(&whole.as_ref()[..16]);
        assert_eq!(id.claims["at_hash"], half.as_str(), "OIDC Core §3.1.3.6");
    }
}

#[tokio::test]
async fn tk_2_az_6_az_9_no_openid_no_id_token_and_no_nonce_no_nonce() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, "tk2@example.com").await;
    let tokens = Attempt::new()
        .with("scope", "email unknown")
        .tokens(&mut browser)
        .await;
    assert!(tokens.get("id_token").is_none());
    assert_eq!(tokens["scope"], "email");
    let tokens = Attempt::new().with("scope", "").tokens(&mut browser).await;
    assert!(tokens.get("id_token").is_none() && tokens["access_token"].is_string());
    let tokens = Attempt::new().without("nonce").tokens(&mut browser).await;
    assert!(
        verified(&test_app, &tokens["id_token"])
            .await
            .claims
            .get("nonce")
            .is_none()
    );
    let long = "-._~aZ09".repeat(48);
    let tokens = Attempt::new()
        .with("nonce", &long)
        .tokens(&mut browser)
        .await;
    assert_eq!(
        verified(&test_app, &tokens["id_token"]).await.claims["nonce"],
        long.as_str()
    );
}

#[tokio::test]
async fn cl_6_sub_is_a_random_id_that_stays() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut subs = Vec::new();
    for email in [
        "cl6@example.com",
        "cl6@example.com",
        "cl6-other@example.com",
    ] {
        let mut browser = signed_in(&test_app, email).await;
        let tokens = Attempt::new().tokens(&mut browser).await;
        let sub = verified(&test_app, &tokens["id_token"]).await.claims["sub"]
            .as_str()
            .unwrap()
            .to_owned();
        let id = uuid::Uuid::parse_str(&sub).unwrap();
        assert_eq!(
            id.get_version_num(),
            4,
            "random: it tells neither time nor address"
        );
        subs.push(sub);
    }
    assert_eq!(subs[0], subs[1]);
    assert_ne!(subs[0], subs[2]);
}

#[tokio::test]
async fn tk_13_no_token_passes_for_another_kind() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, "tk13@example.com").await;
    let tokens = Attempt::new().tokens(&mut browser).await;
    let [id, access] =
        ["id_token", "access_token"].map(|name| tokens[name].as_str().unwrap().to_owned());
    let audiences = ["https://api.example", "web"];
    let expect = |typ| ExpectedToken {
        typ,
        issuer: PUBLIC,
        audiences: &audiences,
    };
    assert!(test_app.app.keys.verify(&access, &expect("at+jwt")).is_ok());
    assert!(
        test_app.app.keys.verify(&id, &expect("at+jwt")).is_err(),
        "an ID token as an access token"
    );
    assert!(
        test_app.app.keys.verify(&access, &expect("JWT")).is_err(),
        "an access token as an ID token"
    );
    assert!(test_app.app.keys.verify_hint(&id, PUBLIC).is_ok());
    assert!(
        test_app.app.keys.verify_hint(&access, PUBLIC).is_err(),
        "an access token as a hint"
    );
    for wrong in [&id, &access] {
        let attempt = Attempt::new();
        let answer = token(&test_app, &attempt.exchange(wrong)).await;
        assert_refused(
            &answer,
            StatusCode::BAD_REQUEST,
            "invalid_grant",
            "a token as a code",
        );
    }
}

#[tokio::test]
async fn tk_1_er_2_only_a_posted_form_and_always_json() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let body = encoded(&Attempt::new().exchange("x").into_iter().collect::<Vec<_>>());
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::HEAD] {
        let request = Request::builder()
            .method(method.clone())
            .uri_str(format!("/oauth2/token?{body}"));
        let answer = test_app
            .call(request.header(header::HOST, "id.test").finish())
            .await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(
            answer
                .header("allow")
                .is_some_and(|allow| allow.contains("POST"))
        );
        if method != Method::HEAD {
            assert!(
                serde_json::from_str::<Value>(&answer.body).is_ok(),
                "{method}: {}",
                answer.body
            );
        }
    }
    for kind in [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
        "",
    ] {
        let mut request = token_request(body.clone());
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, kind.parse().unwrap());
        assert_refused(
            &test_app.call(request).await,
            StatusCode::BAD_REQUEST,
            "invalid_request",
            kind,
        );
    }
    let huge = test_app
        .call(token_request("x=".to_owned() + &"y".repeat(100_000)))
        .await;
    assert_eq!(huge.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(
        serde_json::from_str::<Value>(&huge.body).unwrap()["error"].is_string(),
        "{}",
        huge.body
    );
    assert_eq!(huge.header("cache-control"), Some("no-store"));
    // Parameters in the query are none: RFC 6749 §3.2 wants them in the body.
    let mut query = token_request(String::new());
    *query.uri_mut() = format!("/oauth2/token?{body}").parse().unwrap();
    assert_refused(
        &test_app.call(query).await,
        StatusCode::BAD_REQUEST,
        "invalid_request",
        "in the query",
    );
}

#[tokio::test]
async fn tk_8_ca_4_grants_and_clients_that_are_not_here() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let right = Attempt::new().exchange(&Plain::generate().to_text());
    for grant in ["password", "implicit", "AUTHORIZATION_CODE", "x"] {
        let mut fields = right.clone();
        fields.insert("grant_type".to_owned(), grant.to_owned());
        let answer = token(&test_app, &fields).await;
        assert_refused(
            &answer,
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            grant,
        );
    }
    for name in ["grant_type", "client_id", "code"] {
        let mut fields = right.clone();
        fields.remove(name);
        assert_refused(
            &token(&test_app, &fields).await,
            StatusCode::BAD_REQUEST,
            "invalid_request",
            name,
        );
    }
    for name in [
        "grant_type",
        "client_id",
        "code",
        "redirect_uri",
        "code_verifier",
    ] {
        let mut pairs: Vec<_> = right.clone().into_iter().collect();
        pairs.push((name.to_owned(), right[name].clone()));
        let answer = test_app.call(token_request(encoded(&pairs))).await;
        assert_refused(
            &answer,
            StatusCode::BAD_REQUEST,
            "invalid_request",
            &format!("{name} twice"),
        );
    }
    let mut unknown = right.clone();
    unknown.insert("client_id".to_owned(), "unknown-client".to_owned());
    let unknown = token(&test_app, &unknown).await;
    let mut secret = right.clone();
    secret.insert("client_secret".to_owned(), "x".to_owned());
    let secret = token(&test_app, &secret).await;
    let mut basic = token_request(encoded(&right.into_iter().collect::<Vec<_>>()));
    basic
        .headers_mut()
        .insert(header::AUTHORIZATION, "Basic d2ViOng=".parse().unwrap());
    let basic = test_app.call(basic).await;
    for answer in [&unknown, &secret, &basic] {
        assert_refused(
            answer,
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "not a client",
        );
        assert_eq!(
            answer.body, unknown.body,
            "unknown and unauthenticated look alike"
        );
    }
    assert_eq!(
        basic.header("www-authenticate"),
        Some("Basic realm=\"entree\", charset=\"UTF-8\""),
        "RFC 6749 §5.2"
    );
    assert_eq!(unknown.header("www-authenticate"), None);
}

#[tokio::test]
async fn px_02_scripts_of_registered_origins_alone_read_tokens() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    for (origin, reads) in [
        ("https://app.example", true),
        ("https://evil.example", false),
        ("null", false),
    ] {
        let mut request = token_request("grant_type=x".to_owned());
        request
            .headers_mut()
            .insert(header::ORIGIN, origin.parse().unwrap());
        let answer = test_app.call(request).await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            reads.then_some(origin),
            "{origin}"
        );
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
}

/// The same service with other handles, for what is away or was lost.
async fn call(app: &App, request: Request) -> (StatusCode, Option<String>, String) {
    let mut answer = routes::public(app, None, &Providers::new(app))
        .call(request)
        .await
        .unwrap();
    let wait = answer.header(header::RETRY_AFTER).map(str::to_owned);
    let body = answer.take_body().into_string().await.unwrap();
    (answer.status(), wait, body)
}

pub(crate) fn without_tickets(app: &App) -> App {
    let nowhere = "redis+unix:///nonexistent/entree-test.sock";
    App {
        tickets: Tickets::connect(
            nowhere,
            Space {
                prefix: "x",
                max_bytes: 1 << 20,
            },
            &MasterKeys::new([7; 32], []),
        )
        .unwrap(),
        ..app.clone()
    }
}

#[tokio::test]
async fn er_3_rd_08_without_the_ticket_store_it_is_503_and_never_invalid_grant() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, "er3@example.com").await;
    let attempt = Attempt::new();
    let body = encoded(
        &attempt
            .exchange(&attempt.code(&mut browser).await)
            .into_iter()
            .collect::<Vec<_>>(),
    );
    let away = without_tickets(&test_app.app);
    let (status, wait, answer) = call(&away, token_request(body.clone())).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(
        wait.is_some() && answer.contains("temporarily_unavailable") && !answer.contains("redis"),
        "{answer}"
    );
    for path in [
        attempt.path(),
        attempt.clone().with("prompt", "login").path(),
    ] {
        let (status, wait, answer) =
            call(&away, browser.request(Method::GET, &path).finish()).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(wait.is_some() && !answer.contains("nonexistent"));
    }
    // A signed-in user stays signed in, and the keys are read.
    for path in ["/account", "/.well-known/jwks.json"] {
        assert_eq!(
            call(&away, browser.request(Method::GET, path).finish())
                .await
                .0,
            StatusCode::OK,
            "{path}"
        );
    }
    // The store is back: the code was never spent.
    assert_eq!(
        test_app.call(token_request(body)).await.status,
        StatusCode::OK
    );
}

/// The secret of a client.
const KEPT: &str = "a secret of more than forty-three characters, of a test";

/// What the client `kept` posts, and the JSON that it gets.
async fn at(test_app: &TestApp, path: &str, form: [(&str, &str); 2]) -> (StatusCode, Value) {
    let form: Vec<_> = form
        .iter()
        .chain(&[("client_id", "kept"), ("client_secret", KEPT)])
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let mut request = token_request(encoded(&form));
    *request.uri_mut() = path.parse().unwrap();
    let answer = test_app.call(request).await;
    (
        answer.status,
        serde_json::from_str(&answer.body).unwrap_or_default(),
    )
}

async fn userinfo(test_app: &TestApp, token: &str) -> StatusCode {
    let request = Request::builder()
        .uri_str("/oauth2/userinfo")
        .header(header::HOST, "id.test");
    test_app
        .call(
            request
                .header(header::AUTHORIZATION, format!("Bearer {token}"))
                .finish(),
        )
        .await
        .status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rd_13_a_flow_that_begins_at_one_instance_ends_at_the_other() {
    let kept = json!({
        "client_id": "kept", "name": "Kept", "audience": "https://api.example", "redirect_uris": [CALLBACK],
        "token_endpoint_auth_method": "client_secret_post",
        "client_secret_sha256": [Hash::of(KEPT.as_bytes()).to_hex()],
        "scopes": ["openid", "email", "offline_access"],
    });
    let Some(a) = TestApp::servers_with(|config| {
        with_clients(&mut config.reloadable);
        config
            .reloadable
            .clients
            .push(serde_json::from_value(kept).unwrap());
    })
    .await
    else {
        return;
    };
    let stage = ProviderFixture::new(&a, json!({})).await;
    let b = a.copy().await;

    // A provider's callback at the other copy.
    let (browser, _, back) = stage.go_to_provider().await;
    let mut browser = Browser {
        test_app: &b,
        ..browser
    };
    let answer = browser.open(&back.path()).await;
    let page = settle(&mut browser, answer).await;
    assert!(
        browser.is_signed_in() && leads_to_client(&page),
        "{}",
        page.summary()
    );

    // The request at one, the mailed link at the other; consent is asked here and given there.
    let attempt = Attempt::new()
        .with("client_id", "kept")
        .with("scope", "openid email offline_access");
    let mut browser = a.browser();
    let asked = browser.open(&attempt.path()).await;
    let login = settle(&mut browser, asked).await;
    let asked = browser
        .submit(&login, "sign-in", &[("email", "ann@x.test")])
        .await;
    browser.follow(&asked).await;
    let link = a.mail("ann@x.test").await.link();
    browser.test_app = &b;
    let done = browser.click(&link).await;
    browser.test_app = &a;
    let consent = settle(&mut browser, done).await;
    browser.test_app = &b;
    let allowed = browser
        .submit(&consent, "consent", &[("decision", "allow")])
        .await;
    let to = allowed
        .refresh()
        .unwrap_or_else(|| panic!("{}", allowed.summary()));
    let code = to
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();

    // Tokens of one are good at the other, in turns.
    let mut form = attempt.exchange(&code);
    form.insert("client_secret".into(), KEPT.to_owned());
    let answer = token(&a, &form).await;
    let mut tokens: Value = serde_json::from_str(&answer.body).unwrap();
    for test_app in [&b, &a, &b] {
        let access = tokens["access_token"].as_str().unwrap();
        assert_eq!(userinfo(test_app, access).await, StatusCode::OK);
        assert_eq!(
            at(
                test_app,
                "/oauth2/introspect",
                [("token", access), ("x", "")]
            )
            .await
            .1["active"],
            true
        );
        let refresh = tokens["refresh_token"].as_str().unwrap().to_owned();
        let (status, next) = at(
            test_app,
            "/oauth2/token",
            [("grant_type", "refresh_token"), ("refresh_token", &refresh)],
        )
        .await;
        assert_eq!(status, StatusCode::OK, "{next}");
        tokens = next;
    }

    // What is revoked at one is dead at the other.
    let (access, refresh) = (
        tokens["access_token"].as_str().unwrap(),
        tokens["refresh_token"].as_str().unwrap(),
    );
    assert_eq!(
        at(&a, "/oauth2/revoke", [("token", refresh), ("x", "")])
            .await
            .0,
        StatusCode::OK
    );
    let (status, body) = at(
        &b,
        "/oauth2/token",
        [("grant_type", "refresh_token"), ("refresh_token", refresh)],
    )
    .await;
    assert_eq!(
        (status, &body["error"]),
        (StatusCode::BAD_REQUEST, &json!("invalid_grant"))
    );
    assert_eq!(userinfo(&b, access).await, StatusCode::UNAUTHORIZED);
    assert_eq!(
        at(&b, "/oauth2/introspect", [("token", access), ("x", "")])
            .await
            .1,
        json!({ "active": false })
    );
}

#[tokio::test]
async fn rd_08_without_the_ticket_store_what_needs_no_ticket_works() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    test_app.configure(|config| {
        let mut client = config.clients[0].clone();
        client.scopes = ["openid", "email", "offline_access"]
            .map(str::to_owned)
            .to_vec();
        client.post_logout_redirect_uris = vec!["https://app.example/bye".to_owned()];
        config.clients[0] = client.clone();
        client.client_id = "api".to_owned();
        client.token_endpoint_auth_method = ClientAuth::ClientSecretPost;
        client.client_secret_sha256 = vec![Hash::of(KEPT.as_bytes()).to_hex()];
        client.introspects = vec!["https://api.example".to_owned()];
        config.clients.push(client);
    });
    let mut browser = signed_in(&test_app, "rd8@example.com").await;
    let tokens = Attempt::new()
        .with("scope", "openid offline_access")
        .tokens(&mut browser)
        .await;
    let mut late = test_app.browser();
    late.ask("late@example.com").await;
    let link = test_app.mail("late@example.com").await.link();

    let away = test_app.over(without_tickets(&test_app.app));
    let post = async |path: &str, fields: &[(&str, &str)]| {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let answer = away.call(away.browser().posted(path).body(body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        serde_json::from_str::<Value>(&answer.body).unwrap()
    };
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", "web"),
        ("refresh_token", refresh),
    ];
    let next = post("/oauth2/token", &fields).await;
    let access = next["access_token"].as_str().unwrap();
    let fields = [
        ("client_id", "api"),
        ("client_secret", KEPT),
        ("token", access),
    ];
    assert_eq!(post("/oauth2/introspect", &fields).await["active"], true);
    post(
        "/oauth2/revoke",
        &[
            ("client_id", "web"),
            ("token", next["refresh_token"].as_str().unwrap()),
        ],
    )
    .await;
    assert_eq!(post("/oauth2/introspect", &fields).await["active"], false);

    // A mail that was sent before.
    let mut late = Browser {
        test_app: &away,
        ..late
    };
    late.click(&link).await;
    assert!(
        late.account()
            .await
            .is_some_and(|page| page.contains("late@example.com"))
    );

    // Signing out at the client's wish: asked, for what was posted cannot be kept, and only the way back is lost.
    let mut browser = Browser {
        test_app: &away,
        ..browser
    };
    let wish = [
        ("id_token_hint", tokens["id_token"].as_str().unwrap()),
        ("post_logout_redirect_uri", "https://app.example/bye"),
    ];
    let wish = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(wish)
        .finish();
    let posted = browser
        .posted("/oauth2/logout")
        .header("sec-fetch-site", "cross-site")
        .body(wish.clone());
    let answer = browser.send(posted).await;
    let question = browser.follow(&answer).await;
    assert!(browser.account().await.is_some(), "not before they agree");
    browser.submit(&question, "logout", &[]).await;
    assert!(browser.account().await.is_none());
    // By a GET with another user's hint the return address stays, too: the form carries it.
    let question = late.open(&format!("/oauth2/logout?{wish}")).await;
    let done = late.submit(&question, "logout", &[]).await;
    assert!(
        done.refresh()
            .is_some_and(|to| to.as_str() == "https://app.example/bye"),
        "{}",
        done.summary()
    );
    assert!(late.account().await.is_none());
}

/// What is in the ticket store may be lost, and nothing else is: a crash without a copy of its data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn se_4_rd_01_an_emptied_ticket_store_starts_and_ends_no_session() {
    let Some(test_app) = TestApp::servers_with(|config| with_clients(&mut config.reloadable)).await
    else {
        return;
    };
    let mut browser = signed_in(&test_app, "ann@x.test").await;
    let attempt = Attempt::new();
    let spent = attempt.code(&mut browser).await;
    let tokens: Value =
        serde_json::from_str(&token(&test_app, &attempt.exchange(&spent)).await.body).unwrap();
    let open = attempt.code(&mut browser).await;
    let mut other = test_app.browser();
    other.ask("ben@x.test").await;
    let link = test_app.mail("ben@x.test").await.link();
    let mut waiting = test_app.browser();
    let asked = waiting.open(&attempt.path()).await;
    let login = settle(&mut waiting, asked).await;

    let (mut redis, keys) = test_app.redis().await;
    assert!(!keys.is_empty());
    let () = redis::cmd("DEL")
        .arg(keys)
        .query_async(&mut redis)
        .await
        .unwrap();

    assert!(browser.account().await.is_some(), "the session");
    for code in [&open, &spent] {
        let answer = token(&test_app, &attempt.exchange(code)).await;
        assert_refused(
            &answer,
            StatusCode::BAD_REQUEST,
            "invalid_grant",
            "lost, and a spent one that came back",
        );
    }
    assert_eq!(
        userinfo(&test_app, tokens["access_token"].as_str().unwrap()).await,
        StatusCode::OK,
        "the grant"
    );
    other.click(&link).await;
    assert!(other.is_signed_in(), "the mailed link");
    let answer = waiting
        .submit(&login, "sign-in", &[("email", "cid@x.test")])
        .await;
    assert_eq!(
        answer.status,
        StatusCode::GONE,
        "a request in flight starts again: {}",
        answer.summary()
    );
    let asked = waiting.open(&attempt.path()).await;
    let login = settle(&mut waiting, asked).await;
    let done = sign_in_from(&mut waiting, &login, "cid@x.test").await;
    assert!(
        waiting.is_signed_in() && leads_to_client(&done),
        "{}",
        done.summary()
    );
    attempt.tokens(&mut browser).await;
}

#[tokio::test]
async fn er_3_without_the_database_it_is_503_too() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, "er3b@example.com").await;
    let attempt = Attempt::new();
    let body = encoded(
        &attempt
            .exchange(&attempt.code(&mut browser).await)
            .into_iter()
            .collect::<Vec<_>>(),
    );
    test_app.app.db.close().await;
    let answer = test_app.call(token_request(body)).await;
    assert_refused(
        &answer,
        StatusCode::SERVICE_UNAVAILABLE,
        "temporarily_unavailable",
        "no database",
    );
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn tk_5_rd_06_a_code_that_comes_back_meets_its_grant() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, "rd6@example.com").await;
    let attempt = Attempt::new();
    let code = attempt.code(&mut browser).await;
    let handle = Plain::parse(&code).unwrap().hash();
    let value = test_app
        .app
        .tickets
        .peek(TicketKind::Code, &handle)
        .await
        .unwrap()
        .unwrap();
    let fields = attempt.exchange(&code);
    assert_eq!(token(&test_app, &fields).await.status, StatusCode::OK);
    // The store lost its memory, as after a failover to an older copy.
    let older = Tickets::memory(
        1 << 20,
        test_app.app.clock().clone(),
        &MasterKeys::new([7; 32], []),
    );
    assert!(
        older
            .issue(TicketKind::Code, &handle, &value, Duration::from_secs(60))
            .await
            .unwrap()
    );
    let app = App {
        tickets: older,
        ..test_app.app.clone()
    };
    let body = encoded(&fields.clone().into_iter().collect::<Vec<_>>());
    let (status, _, answer) = call(&app, token_request(body.clone())).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer.contains("invalid_grant"), "{answer}");
    assert_eq!(
        (grants(&test_app).await, live_grants(&test_app).await),
        (1, 1)
    );
    // An empty store forgets codes and never makes a spent one good.
    let empty = App {
        tickets: Tickets::memory(
            1 << 20,
            test_app.app.clock().clone(),
            &MasterKeys::new([7; 32], []),
        ),
        ..app
    };
    assert!(
        call(&empty, token_request(body))
            .await
            .2
            .contains("invalid_grant")
    );
}

#[tokio::test]
async fn rd_04_a_spent_code_is_remembered_for_ten_minutes() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, "rd4@example.com").await;
    for (age, live) in [(590, 0), (601, 1)] {
        let attempt = Attempt::new();
        let fields = attempt.exchange(&attempt.code(&mut browser).await);
        assert_eq!(token(&test_app, &fields).await.status, StatusCode::OK);
        test_app.pass(age);
        assert_refused(
            &token(&test_app, &fields).await,
            StatusCode::BAD_REQUEST,
            "invalid_grant",
            "a replay",
        );
        assert_eq!(live_grants(&test_app).await, live, "after {age} s");
    }
}

#[tokio::test]
async fn er_5_answers_of_the_endpoint_repeat_no_secret() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let fields = Attempt::new().exchange(&Plain::generate().to_text());
    let answer = token(&test_app, &fields).await;
    for secret in [&fields["code"], &fields["code_verifier"]] {
        assert!(!answer.body.contains(secret.as_str()));
    }
}
