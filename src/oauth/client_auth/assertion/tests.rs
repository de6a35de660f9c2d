//! Clients that sign: each rule alone, and that nothing is taken twice.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use futures_util::future::join_all;
use poem::http::header;
use serde_json::{Value, json};

use super::*;
use crate::{
    config::{Budget, ClientAuth, ClientBlock, Token},
    oauth::test_app::{ISSUER, SECRET, TestApp, TestResponse},
    secret::{MasterKeys, public_id},
    ticket::Tickets,
    web::fetch::test_server::{TestServer, raw_response},
};

/// The client of the bed that is made to sign.
const SIGNER: &str = "basic";

/// One key of a client.
struct Key(EcdsaKeyPair);

impl Key {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn jwk(&self, kid: Option<&str>) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let mut jwk =
            json!({ "kty": "EC", "crv": "P-256", "x": BASE64.encode(x), "y": BASE64.encode(y) });
        if let Some(kid) = kid {
            jwk["kid"] = kid.into();
        }
        jwk
    }

    fn set(&self) -> Jwks {
        Jwks::try_from(json!({ "keys": [self.jwk(None)] })).unwrap()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!(
            "{}.{}",
            BASE64.encode(header.to_string()),
            BASE64.encode(claims.to_string())
        );
        let signature = self
            .0
            .sign(&SystemRandom::new(), message.as_bytes())
            .unwrap();
        format!("{message}.{}", BASE64.encode(signature.as_ref()))
    }
}

/// What a good assertion says now.
fn claims(test_app: &TestApp) -> Value {
    let now = test_app.app.clock().now().seconds();
    json!({
        "iss": SIGNER, "sub": SIGNER, "aud": ISSUER, "exp": now + 60, "iat": now, "jti": public_id().to_string(),
    })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

/// A bed with a client that signs, long enough after its start.
async fn test_app(key: &Key) -> TestApp {
    let test_app = TestApp::new().await;
    test_app.configure(SIGNER, |client| {
        client.token_endpoint_auth_method = ClientAuth::PrivateKeyJwt;
        client.client_secret_sha256.clear();
        client.jwks = Some(key.set());
    });
    // Tables of refusals are longer than the budget for them.
    test_app.reconfigure(|config| {
        config.limits.client_failures = vec![Budget {
            count: 10_000,
            seconds: 60,
        }]
    });
    test_app.advance(61);
    test_app
}

async fn shown_at(
    test_app: &TestApp,
    path: &str,
    assertion: &str,
    more: &[(&str, &str)],
) -> TestResponse {
    let mut form = vec![
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    form.extend_from_slice(more);
    test_app.post(path, None, &form).await
}

async fn shown(test_app: &TestApp, assertion: &str) -> TestResponse {
    shown_at(
        test_app,
        "/oauth2/token",
        assertion,
        &[("grant_type", "client_credentials")],
    )
    .await
}

#[tokio::test]
async fn ca_7_ca_8_tk_15_a_client_that_signs_is_believed_at_every_endpoint() {
    let key = Key::new();
    let test_app = test_app(&key).await;
    let sign = || key.sign(&json!({ "alg": "ES256" }), &claims(&test_app));
    let tokens = shown(&test_app, &sign()).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    assert!(tokens.body.get("refresh_token").is_none() && tokens.body.get("id_token").is_none());
    let token = tokens.text("access_token");
    let told = shown_at(
        &test_app,
        "/oauth2/introspect",
        &sign(),
        &[("token", &token)],
    )
    .await;
    assert_eq!(
        (told.status.as_u16(), &told.body["sub"]),
        (200, &SIGNER.into()),
        "{told:?}"
    );
    let gone = shown_at(
        &test_app,
        "/oauth2/revoke",
        &sign(),
        &[("token", "unknown")],
    )
    .await;
    assert_eq!(gone.status, 200, "{gone:?}");
    let named = [("grant_type", "client_credentials"), ("client_id", SIGNER)];
    assert_eq!(
        shown_at(&test_app, "/oauth2/token", &sign(), &named)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn ca_7_after_too_many_failures_no_signature_is_checked_and_none_is_spent() {
    let key = Key::new();
    let test_app = test_app(&key).await;
    test_app.reconfigure(|config| {
        config.limits.client_failures = vec![Budget {
            count: 2,
            seconds: 50,
        }]
    });
    let right = key.sign(&json!({ "alg": "ES256" }), &claims(&test_app));
    let other = || key.sign(&json!({ "alg": "ES256" }), &claims(&test_app));
    let wrong = Key::new().sign(&json!({ "alg": "ES256" }), &claims(&test_app));
    assert_eq!(shown(&test_app, &wrong).await.status, 401);
    // Right ones count nowhere.
    for _ in 0..3 {
        assert_eq!(shown(&test_app, &other()).await.status, 200);
    }
    assert_eq!(shown(&test_app, &wrong).await.status, 401);
    assert_eq!(shown(&test_app, &right).await.status, 429);
    test_app.advance(51);
    assert_eq!(
        shown(&test_app, &right).await.status,
        200,
        "it was not looked at before"
    );
}

#[tokio::test]
async fn ca_4_ca_7_a_neighbours_failures_keep_no_other_client_waiting() {
    let key = Key::new();
    let test_app = test_app(&key).await;
    test_app.configure("api", |client| {
        client.token_endpoint_auth_method = ClientAuth::PrivateKeyJwt;
        client.client_secret_sha256.clear();
        client.jwks = Some(key.set());
    });
    test_app.reconfigure(|config| {
        config.limits.client_failures = vec![Budget {
            count: 3,
            seconds: 50,
        }]
    });
    let of = |client: &str| {
        with(
            with(claims(&test_app), "iss", client.into()),
            "sub",
            client.into(),
        )
    };
    let sign = |key: &Key, client: &str| key.sign(&json!({ "alg": "ES256" }), &of(client));
    // Somebody behind the same address makes up clients, and guesses at one.
    let credentials = [("grant_type", "client_credentials")];
    for _ in 0..5 {
        test_app
            .post("/oauth2/token", Some(("nobody", "x")), &credentials)
            .await;
        shown(&test_app, &sign(&key, "nobody")).await;
        shown(&test_app, &sign(&Key::new(), "api")).await;
    }
    assert_eq!(
        shown(&test_app, &sign(&key, SIGNER)).await.status,
        200,
        "another's failures"
    );
    assert_eq!(
        shown_at(
            &test_app,
            "/oauth2/introspect",
            &sign(&key, "api"),
            &[("token", "x")]
        )
        .await
        .status,
        429
    );
    // A wrong one still hears what everybody hears there, known or not, and no more are looked at than elsewhere.
    for _ in 0..3 {
        let (wrong, unknown) = (
            shown(&test_app, &sign(&Key::new(), SIGNER)).await,
            shown(&test_app, &sign(&key, "nobody")).await,
        );
        assert_eq!((wrong.status.as_u16(), &wrong.body), (429, &unknown.body));
    }
    assert_eq!(
        shown(&test_app, &sign(&key, SIGNER)).await.status,
        429,
        "guessed at too often by itself"
    );
    test_app.advance(51);
    for client in [SIGNER, "api"] {
        let answer = shown_at(
            &test_app,
            "/oauth2/introspect",
            &sign(&key, client),
            &[("token", "x")],
        )
        .await;
        assert_eq!(answer.status, 200, "{client}");
    }
}

#[tokio::test]
async fn ca_8_rd_09_one_that_is_older_than_any_may_be_is_refused_and_not_put_off() {
    let key = Key::new();
    let test_app = test_app(&key).await;
    let made = |ago: i64| {
        let now = test_app.app.clock().now().seconds();
        key.sign(
            &json!({ "alg": "ES256" }),
            &with(claims(&test_app), "iat", (now - ago).into()),
        )
    };
    // The store began a minute ago: what it may have seen before cannot be told, but this is wrong in any case.
    let long_ago = key.sign(
        &json!({ "alg": "ES256" }),
        &with(claims(&test_app), "iat", 1.into()),
    );
    for old in [long_ago, made(MAX_LIFETIME + 1)] {
        assert_eq!(
            shown(&test_app, &old).await.error(),
            (401, "invalid_client")
        );
    }
    assert_eq!(
        shown(&test_app, &made(MAX_LIFETIME - 10)).await.error(),
        (503, "temporarily_unavailable")
    );
    test_app.advance(400);
    assert_eq!(shown(&test_app, &made(MAX_LIFETIME - 10)).await.status, 200);
    assert_eq!(
        shown(&test_app, &made(MAX_LIFETIME + 1)).await.error(),
        (401, "invalid_client")
    );
}

#[tokio::test]
async fn ca_8_ca_9_each_claim_is_checked() {
    let key = Key::new();
    let test_app = test_app(&key).await;
    let now = test_app.app.clock().now().seconds();
    let endpoint = format!("{ISSUER}/oauth2/token");
    for (name, value, fine) in [
        ("aud", json!(ISSUER), true),
        ("aud", json!(endpoint), true),
        ("aud", json!([ISSUER]), false),
        ("aud", json!([ISSUER, "https://other.example"]), false),
        ("aud", json!(format!("{ISSUER}/")), false),
        ("aud", json!(format!("{ISSUER}/oauth2/revoke")), false),
        ("aud", json!("https://other.example"), false),
        ("aud", Value::Null, false),
        ("iss", json!("web"), false),
        ("iss", json!([SIGNER]), false),
        ("iss", Value::Null, false),
        ("exp", json!(now + 290), true),
        ("exp", json!((now + 200) as f64 + 0.5), true),
        ("exp", json!(now + 330), false),
        ("exp", json!(now - 1), false),
        ("exp", json!((now + 60).to_string()), false),
        ("exp", Value::Null, false),
        ("iat", json!(now + 10), true),
        ("iat", json!(now + 61), false),
        ("iat", json!("now"), false),
        ("nbf", json!(now + 10), true),
        ("nbf", json!(now + 61), false),
        ("jti", json!(""), false),
        ("jti", json!(7), false),
        ("jti", json!("x".repeat(MAX_JTI + 1)), false),
        ("jti", Value::Null, false),
        ("more", json!({ "whatever": 1 }), true),
    ] {
        let assertion = key.sign(
            &json!({ "alg": "ES256", "typ": "JWT" }),
            &with(claims(&test_app), name, value.clone()),
        );
        let answer = shown(&test_app, &assertion).await;
        let expected = if fine {
            (200, "")
        } else {
            (401, "invalid_client")
        };
        assert_eq!(answer.error(), expected, "{name} {value}");
        if !fine {
            let unknown = shown(&test_app, "x.y.z").await;
            assert_eq!(
                (answer.body, answer.headers),
                (unknown.body, unknown.headers),
                "ca_4 {name} {value}"
            );
        }
    }
}

#[tokio::test]
async fn ca_8_tk_13_the_signature_must_be_the_clients_and_the_token_an_assertion() {
    let (key, other) = (Key::new(), Key::new());
    let test_app = test_app(&key).await;
    let header = json!({ "alg": "ES256" });
    let claims = || claims(&test_app);
    let tokens = test_app.tokens("web", "openid").await;
    let mut unsigned = key.sign(&header, &claims());
    unsigned.truncate(unsigned.rfind('.').unwrap() + 1);
    for (what, assertion) in [
        ("another key", other.sign(&header, &claims())),
        ("no signature", unsigned),
        ("alg none", key.sign(&json!({ "alg": "none" }), &claims())),
        (
            "a shared secret",
            key.sign(&json!({ "alg": "HS256" }), &claims()),
        ),
        (
            "crit",
            key.sign(&json!({ "alg": "ES256", "crit": ["exp"] }), &claims()),
        ),
        (
            "its own key",
            key.sign(
                &json!({ "alg": "ES256", "kid": "x", "jwk": other.jwk(None) }),
                &claims(),
            ),
        ),
        (
            "type of an access token",
            key.sign(&json!({ "alg": "ES256", "typ": "at+jwt" }), &claims()),
        ),
        (
            "type of a proof",
            key.sign(&json!({ "alg": "ES256", "typ": "dpop+jwt" }), &claims()),
        ),
        ("an access token", tokens.text("access_token")),
        ("an ID token", tokens.text("id_token")),
        (
            "too long",
            key.sign(&header, &with(claims(), "x", "x".repeat(MAX_BYTES).into())),
        ),
    ] {
        let answer = shown(&test_app, &assertion).await;
        match what {
            // A key in the header is not looked at: the client's own has made this signature.
            "its own key" => assert_eq!(answer.status, 200, "{what}"),
            "too long" => assert_eq!(answer.error(), (400, "invalid_request"), "{what}"),
            _ => assert_eq!(answer.error(), (401, "invalid_client"), "{what}"),
        }
    }
}

#[tokio::test]
async fn ca_3_ca_6_ca_8_one_way_alone_with_exactly_its_parameters() {
    let key = Key::new();
    let test_app = test_app(&key).await;
    let sign = || key.sign(&json!({ "alg": "ES256" }), &claims(&test_app));
    let credentials = ("grant_type", "client_credentials");
    let (request, client) = ((400, "invalid_request"), (401, "invalid_client"));
    for (what, basic, form, expected) in [
        ("no type", None, vec![("client_assertion", sign())], request),
        (
            "no assertion",
            None,
            vec![("client_assertion_type", ASSERTION_TYPE.to_owned())],
            request,
        ),
        (
            "another type",
            None,
            vec![
                ("client_assertion", sign()),
                (
                    "client_assertion_type",
                    ASSERTION_TYPE.replace("jwt", "saml2"),
                ),
            ],
            request,
        ),
        (
            "twice",
            None,
            vec![
                ("client_assertion", sign()),
                ("client_assertion", sign()),
                ("client_assertion_type", ASSERTION_TYPE.to_owned()),
            ],
            request,
        ),
        (
            "with a secret",
            None,
            vec![
                ("client_assertion", sign()),
                ("client_assertion_type", ASSERTION_TYPE.to_owned()),
                ("client_secret", "x".into()),
            ],
            request,
        ),
        (
            "with a header",
            Some((SIGNER, SECRET)),
            vec![
                ("client_assertion", sign()),
                ("client_assertion_type", ASSERTION_TYPE.to_owned()),
            ],
            request,
        ),
        (
            "of another client_id",
            None,
            vec![
                ("client_assertion", sign()),
                ("client_assertion_type", ASSERTION_TYPE.to_owned()),
                ("client_id", "web".into()),
            ],
            request,
        ),
        ("a secret instead", Some((SIGNER, SECRET)), vec![], client),
        (
            "a secret in the form instead",
            None,
            vec![
                ("client_id", SIGNER.into()),
                ("client_secret", SECRET.into()),
            ],
            client,
        ),
        ("nothing", None, vec![("client_id", SIGNER.into())], client),
    ] {
        let mut form: Vec<(&str, &str)> = form
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        form.push(credentials);
        let answer = test_app.post("/oauth2/token", basic, &form).await;
        assert_eq!(answer.error(), expected, "{what}");
    }
    // A client that registered a secret cannot sign instead.
    let claims = with(
        with(claims(&test_app), "iss", "post".into()),
        "sub",
        "post".into(),
    );
    test_app.configure("post", |client| client.jwks = Some(key.set()));
    assert_eq!(
        shown(&test_app, &key.sign(&json!({ "alg": "ES256" }), &claims))
            .await
            .error(),
        client
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ca_8_of_64_uses_of_one_assertion_one_is_believed() {
    let key = Key::new();
    let test_app = test_app(&key).await;
    let assertion = key.sign(&json!({ "alg": "ES256" }), &claims(&test_app));
    let answers = join_all((0..64).map(|_| shown(&test_app, &assertion))).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 200).count(),
        1
    );
    assert!(
        answers
            .iter()
            .all(|answer| [200, 401].contains(&answer.status.as_u16()))
    );
    // Until it ends, at another endpoint too.
    test_app.advance(59);
    let again = shown_at(
        &test_app,
        "/oauth2/introspect",
        &assertion,
        &[("token", "x")],
    )
    .await;
    assert_ne!(again.status, 200);
    // The identifier is this client's alone.
    test_app.configure("api", |client| {
        client.token_endpoint_auth_method = ClientAuth::PrivateKeyJwt;
        client.client_secret_sha256.clear();
        client.jwks = Some(key.set());
    });
    let mut claims = claims(&test_app);
    for (client, expected) in [(SIGNER, 200), ("api", 200), ("api", 401)] {
        (claims["iss"], claims["sub"]) = (client.into(), client.into());
        let assertion = key.sign(&json!({ "alg": "ES256" }), &claims);
        let answer = shown_at(
            &test_app,
            "/oauth2/introspect",
            &assertion,
            &[("token", "x")],
        )
        .await;
        assert_eq!(answer.status, expected, "{client}");
    }
}

#[tokio::test]
async fn rd_09_an_assertion_that_was_used_is_refused_when_the_store_has_lost_it() {
    let key = Key::new();
    let mut test_app = test_app(&key).await;
    // Without `iat` an assertion may be as old as its end allows.
    let undated = with(claims(&test_app), "iat", Value::Null);
    assert_eq!(
        shown(&test_app, &key.sign(&json!({ "alg": "ES256" }), &undated))
            .await
            .status,
        503
    );
    test_app.advance(300);
    let sign = |claims: &Value| key.sign(&json!({ "alg": "ES256" }), claims);
    let now = test_app.app.clock().now().seconds();
    let long = with(claims(&test_app), "exp", (now + 290).into());
    let (used, undated) = (
        sign(&long),
        sign(&with(
            with(long, "iat", Value::Null),
            "jti",
            "another".into(),
        )),
    );
    assert_eq!(shown(&test_app, &used).await.status, 200);
    assert_eq!(shown(&test_app, &undated).await.status, 200);
    test_app.replace_tickets(Tickets::memory(
        1000,
        test_app.app.clock().clone(),
        &MasterKeys::new([7; 32], []),
    ));
    for _ in 0..2 {
        for assertion in [&used, &undated] {
            let replayed = shown(&test_app, assertion).await;
            assert_ne!(replayed.status, 200, "{replayed:?}");
        }
        // A new one cannot be told from an old one of a clock ahead: later, with another.
        let fresh = shown(&test_app, &sign(&claims(&test_app))).await;
        assert_eq!(fresh.error(), (503, "temporarily_unavailable"), "{fresh:?}");
        let wait: u64 = fresh.header(header::RETRY_AFTER).parse().unwrap();
        assert!((1..=61).contains(&wait), "{wait}");
        test_app.advance(29);
    }
    test_app.advance(5);
    assert_eq!(
        shown(&test_app, &sign(&claims(&test_app))).await.status,
        200,
        "a minute later"
    );
    for assertion in [&used, &undated] {
        assert_ne!(
            shown(&test_app, assertion).await.status,
            200,
            "and the old ones never again"
        );
    }
}

#[tokio::test]
async fn rd_08_without_the_store_nothing_signed_is_believed() {
    let key = Key::new();
    let mut test_app = test_app(&key).await;
    let nowhere = "redis+unix:///nonexistent/entree-test.sock";
    test_app
        .replace_tickets(Tickets::connect(nowhere, "x", &MasterKeys::new([7; 32], [])).unwrap());
    let answer = shown(
        &test_app,
        &key.sign(&json!({ "alg": "ES256" }), &claims(&test_app)),
    )
    .await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable"));
}

#[tokio::test]
async fn ca_10_published_keys_are_read_again_for_an_unknown_kid_at_most_once_a_minute() {
    let (first, second) = (Key::new(), Key::new());
    let (one, both) = (
        json!({ "keys": [first.jwk(Some("1"))] }),
        json!({
            "keys": [{ "kty": "oct", "k": "AA" }, first.jwk(Some("1")), second.jwk(Some("2"))]
        }),
    );
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&asked);
    let server = TestServer::start(move |_| {
        let turn = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        raw_response(
            200,
            "content-type: application/json\r\n",
            &if turn == 0 { &one } else { &both }.to_string(),
        )
    })
    .await;
    let times = || asked.load(std::sync::atomic::Ordering::SeqCst);
    let test_app = test_app(&first).await;
    test_app.configure(SIGNER, |client| {
        client.jwks = None;
        client.jwks_uri = format!("{}/jwks", server.base);
    });
    let by =
        |key: &Key, kid: &str| key.sign(&json!({ "alg": "ES256", "kid": kid }), &claims(&test_app));
    let status = async |assertion: String| shown(&test_app, &assertion).await.status.as_u16();
    assert_eq!(status(by(&first, "1")).await, 200);
    assert_eq!(status(by(&first, "1")).await, 200);
    assert_eq!(times(), 1, "kept");
    for kid in ["2", "3", "4"] {
        assert_eq!(status(by(&second, kid)).await, 401);
    }
    assert_eq!(times(), 1, "not again within a minute, whatever is made up");
    test_app.advance(60);
    assert_eq!(status(by(&second, "2")).await, 200, "the new key");
    assert_eq!((status(by(&first, "1")).await, times()), (200, 2));
    assert_eq!(
        status(by(&first, "2")).await,
        401,
        "a name does not make a key"
    );
    let unnamed = first.sign(&json!({ "alg": "ES256" }), &claims(&test_app));
    assert_eq!(
        status(unnamed).await,
        200,
        "without a kid any fitting key counts"
    );
    drop(server);
    test_app.advance(601);
    assert_eq!(
        status(by(&first, "1")).await,
        200,
        "while the document is away its keys count on"
    );
    test_app.advance(3600);
    assert_eq!(status(by(&first, "1")).await, 401, "but not for ever");
}

#[test]
fn ca_10_a_document_is_fetched_from_public_addresses_alone() {
    // What ops may write, and what `web::fetch` would refuse in any case, is refused where it is written.
    let check = |uri: &str| {
        let definition = json!({
            "name": "A", "audience": "https://api.example", "redirect_uris": ["https://a.example/cb"],
            "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": uri,
        });
        let block = ClientBlock::from_definition("a", &definition.to_string()).unwrap();
        let problems = block.into_client(&Token::default(), ISSUER).err();
        let keys = problems.into_iter().flatten().map(|problem| problem.key);
        keys.collect::<Vec<_>>()
    };
    for fine in ["https://a.example/jwks.json", "http://127.0.0.1:9/jwks"] {
        assert_eq!(check(fine), Vec::<String>::new(), "{fine}");
    }
    for bad in [
        "http://a.example/jwks",
        "https://u:p@a.example/",
        "https://a.example/#x",
        "file:///etc/passwd",
        "jwks",
    ] {
        assert_eq!(check(bad), ["jwks_uri"], "{bad}");
    }
}
