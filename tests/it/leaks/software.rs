//! Walks of applications that have a secret or a key.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use testkit::{browser::Browser, oidc::Client};

use super::{BASIC, GOODBYE, LATER, POST, SIGNER, collected::Loot};
use crate::service::{CALLBACK, Stage, fresh_network};

/// The key of the client that signs, and its public half as a JWK set.
pub(super) fn signing_key() -> (EcdsaKeyPair, String) {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random)
        .unwrap();
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    (
        key,
        json!({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y}]}).to_string(),
    )
}

/// RFC 7523 §3: what it shows instead of a secret.
fn assertion(stage: &Stage, key: &EcdsaKeyPair) -> String {
    let now = lessons_api::now() + LATER;
    let claims = json!({
        "iss": SIGNER, "sub": SIGNER, "aud": stage.service.url, "iat": now, "exp": now + 60,
        "jti": format!("canary-{now}"),
    });
    let part = |part: &str| URL_SAFE_NO_PAD.encode(part);
    let message = format!(
        "{}.{}",
        part(r#"{"alg":"ES256"}"#),
        part(&claims.to_string())
    );
    let signature = key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

/// Software's POST; status and JSON.
async fn post(
    stage: &Stage,
    path: &str,
    basic: Option<(&str, &str)>,
    form: &[(&str, &str)],
) -> (u16, Value) {
    let mut request = testkit::browser::client()
        .post(stage.service.at(path))
        .form(form);
    request = request.header("x-forwarded-for", fresh_network().to_string());
    if let Some((id, secret)) = basic {
        request = request.basic_auth(id, Some(secret));
    }
    let answer = request.send().await.unwrap();
    (
        answer.status().as_u16(),
        answer.json().await.unwrap_or_default(),
    )
}

/// A posted request of an application, up to the code, for which a person consents; gives the attempt and the code.
async fn posted(stage: &Stage, loot: &mut Loot, browser: &mut Browser) -> (Client, String) {
    let client = Client::new(&stage.service.url, BASIC.0, CALLBACK);
    let url = client.authorize_url("openid email offline_access").await;
    let fields: Vec<_> = url.query_pairs().into_owned().collect();
    loot.note("state", &client.state);
    loot.note("nonce", &client.nonce);
    loot.note("verifier", &client.verifier);
    let answer = browser
        .forged(
            &stage.service.at("/oauth2/authorize").parse().unwrap(),
            &fields,
        )
        .await;
    let consent = browser.settle(answer).await;
    loot.look(browser, &consent);
    let page = browser
        .submit(&consent, "consent", &[("decision", "allow")])
        .await;
    let code = client.code(&page);
    loot.note("authorization code", &code);
    (client, code)
}

/// A pushed request, its reference at another client's visit, and its own visit up to the sign-in
/// page.
async fn pushed(stage: &Stage, loot: &mut Loot) {
    let client = Client::new(&stage.service.url, POST.0, CALLBACK);
    let challenge = client.challenge();
    loot.note("state", &client.state);
    loot.note("nonce", &client.nonce);
    let form = |secret: &'static str| {
        [
            ("client_id", POST.0),
            ("client_secret", secret),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid"),
            ("state", client.state.as_str()),
            ("nonce", client.nonce.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ]
    };
    let (status, body) = post(stage, "/oauth2/par", None, &form(BASIC.1)).await;
    loot.error(
        "a push with another client's secret",
        status,
        &body.to_string(),
    );
    let (status, body) = post(stage, "/oauth2/par", None, &form(POST.1)).await;
    assert_eq!(status, 201, "{body}");
    let uri = body["request_uri"].as_str().unwrap();
    loot.note("request URI", uri.rsplit(':').next().unwrap());
    let visit = |client: &str| {
        let query = [("client_id", client), ("request_uri", uri)];
        url::Url::parse_with_params(&stage.service.at("/oauth2/authorize"), query).unwrap()
    };
    let mut browser = Browser::new(fresh_network());
    let page = browser.open(visit(BASIC.0).as_str()).await;
    loot.error_page("a visit for another client", &page);
    let login = browser.open(visit(POST.0).as_str()).await;
    let login = browser.settle(login).await;
    assert!(login.has("form#sign-in"), "{}", login.summary());
    loot.look(&browser, &login);
}

fn note_tokens(loot: &mut Loot, tokens: &Value) {
    for (name, what) in [("access_token", "access token"), ("id_token", "ID token")] {
        if let Some(token) = tokens[name].as_str() {
            loot.note(what, token);
            loot.note("signature of a token", token.rsplit('.').next().unwrap());
        }
    }
    if let Some(token) = tokens["refresh_token"].as_str() {
        loot.note("refresh token", token);
        // Family and generation stand before it, its MAC behind.
        loot.note("secret of a refresh token", &token[27..70]);
    }
}

/// What applications with a secret or a key do, with errors on the way, to the person's sign-out.
pub(super) async fn by_software(
    stage: &Stage,
    loot: &mut Loot,
    browser: &mut Browser,
    key: &EcdsaKeyPair,
) {
    for (id, secret) in [BASIC, POST] {
        loot.note("client secret", secret);
        loot.note(
            "client secret in a header",
            &STANDARD.encode(format!("{id}:{secret}")),
        );
    }
    pushed(stage, loot).await;
    let (client, code) = posted(stage, loot, browser).await;
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", client.verifier.as_str()),
    ];
    let (status, body) = post(stage, "/oauth2/token", Some((BASIC.0, POST.1)), &exchange).await;
    loot.error(
        "an exchange with another client's secret",
        status,
        &body.to_string(),
    );
    let (status, first) = post(stage, "/oauth2/token", Some(BASIC), &exchange).await;
    assert_eq!(status, 200, "{}", first["error"]);
    note_tokens(loot, &first);
    let text = |tokens: &Value, name: &str| tokens[name].as_str().unwrap_or_default().to_owned();
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &text(&first, "refresh_token")),
    ];
    let (status, second) = post(stage, "/oauth2/token", Some(BASIC), &refresh).await;
    assert_eq!(status, 200, "{}", second["error"]);
    note_tokens(loot, &second);
    let longer = text(&second, "refresh_token") + "A";
    for (what, basic, form) in [
        ("a refresh by another client", Some(POST), refresh),
        (
            "a longer refresh token",
            Some(BASIC),
            [refresh[0], ("refresh_token", longer.as_str())],
        ),
        (
            "a refresh token as a code",
            Some(BASIC),
            [
                ("grant_type", "authorization_code"),
                ("code", longer.as_str()),
            ],
        ),
        (
            "a secret as a grant",
            Some(BASIC),
            [("grant_type", BASIC.1), ("scope", BASIC.1)],
        ),
    ] {
        let (status, body) = post(stage, "/oauth2/token", basic, &form).await;
        loot.error(what, status, &body.to_string());
    }
    let (access, newest) = (
        text(&second, "access_token"),
        text(&second, "refresh_token"),
    );
    for token in [&access, &newest] {
        let (status, body) = post(
            stage,
            "/oauth2/introspect",
            Some(BASIC),
            &[("token", token)],
        )
        .await;
        assert_eq!((status, &body["active"]), (200, &json!(true)));
        let wrong = [
            ("token", token.as_str()),
            ("client_id", POST.0),
            ("client_secret", BASIC.1),
        ];
        let (status, body) = post(stage, "/oauth2/introspect", None, &wrong).await;
        loot.error(
            "a question with another client's secret",
            status,
            &body.to_string(),
        );
        let (status, body) = post(stage, "/oauth2/revoke", None, &wrong).await;
        loot.error(
            "a revocation with another client's secret",
            status,
            &body.to_string(),
        );
    }
    let asked = testkit::browser::client()
        .get(stage.service.at("/oauth2/userinfo"))
        .bearer_auth(format!("{access}x"));
    let answer = asked.send().await.unwrap();
    assert!(answer.headers().contains_key("date"), "UI-6");
    let headers = format!("{:?}", answer.headers());
    loot.error(
        "an altered token at userinfo",
        answer.status().as_u16(),
        &(headers + &answer.text().await.unwrap()),
    );
    let form = [
        ("token", newest.as_str()),
        ("client_id", POST.0),
        ("client_secret", POST.1),
    ];
    let (status, body) = post(stage, "/oauth2/revoke", None, &form).await;
    loot.error(
        "a revocation of another client's token",
        status,
        &body.to_string(),
    );
    assert_eq!(
        post(stage, "/oauth2/revoke", Some(BASIC), &[("token", &newest)])
            .await
            .0,
        200
    );

    let signed = assertion(stage, key);
    loot.note("client assertion", &signed);
    loot.note(
        "signature of a client assertion",
        signed.rsplit('.').next().unwrap(),
    );
    let form = |assertion: &str| {
        [
            ("grant_type", "client_credentials".to_owned()),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
            ),
            ("client_assertion", assertion.to_owned()),
        ]
    };
    let sent = async |assertion: &str| {
        let form = form(assertion);
        let form: Vec<_> = form
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        post(stage, "/oauth2/token", None, &form).await
    };
    let (status, body) = sent(&signed).await;
    assert_eq!(status, 200, "{body}");
    note_tokens(loot, &body);
    for (what, assertion) in [
        ("a second use of an assertion", signed.clone()),
        ("an altered assertion", signed + "A"),
    ] {
        let (status, body) = sent(&assertion).await;
        loot.error(what, status, &body.to_string());
    }
    sign_out(stage, loot, browser, &text(&first, "id_token")).await;
}

/// RP-Initiated Logout by POST, first with a hint that was altered: by a visitor, since a signed-in
/// user is asked about the own address.
async fn sign_out(stage: &Stage, loot: &mut Loot, browser: &mut Browser, hint: &str) {
    let state = "canary-of-a-state-at-sign-out-51c0";
    loot.note("state", state);
    let url = stage.service.at("/oauth2/logout").parse().unwrap();
    let mut visitor = Browser::new(fresh_network());
    for (browser, hint, leads) in [
        (&mut visitor, format!("{hint}x"), false),
        (browser, hint.to_owned(), true),
    ] {
        let fields = [
            ("id_token_hint", hint.as_str()),
            ("post_logout_redirect_uri", GOODBYE),
            ("state", state),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let answer = browser.forged(&url, &fields).await;
        let page = browser.settle(answer).await;
        let to = page.location().or_else(|| page.refresh());
        assert_eq!(
            to.is_some_and(|to| to.as_str().starts_with(GOODBYE)),
            leads,
            "{}",
            page.summary()
        );
        if !leads {
            loot.error_page("a sign-out with an altered hint", &page);
        }
    }
}
