//! An application, and what the tests of the protocol share.

mod answer;
mod authorize;
mod claims;
mod connected;
mod consent;
mod dpop;
mod flood;
mod interop;
mod look;
mod metadata;
pub(crate) mod par;
mod prompt;
mod resource;
mod rows;
mod sign_out;
mod sizes;
mod token;

pub(crate) use token::without_tickets;

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use entree::config::{Budget, Client, Reloadable};
use poem::{
    Request,
    http::{Method, StatusCode, header},
};
use serde_json::{Value, json};
use testkit::{
    oidc::{Verified, check_signature},
    page::Page,
};

use crate::test_app::{Browser, PUBLIC, TestApp, encoded};

/// Where the usual client gets its answers.
pub(crate) const CALLBACK: &str = "https://app.example/cb";

/// The redirect URIs of the usual client.
pub(crate) const REGISTERED: [&str; 4] = [
    CALLBACK,
    "https://app.example/q?a=1",
    "http://127.0.0.1:9000/cb",
    "http://[::1]:9000/cb",
];

/// Registers the usual client `web`, an `other` one with the same place, a `foreign` one that needs consent, and `es`,
/// whose ID tokens are ES256; and lets one address have as many mails as a test wants.
pub(crate) fn register(test_app: &TestApp) {
    test_app.configure(with_clients);
}

/// The same, for a bed that is still to start.
pub(crate) fn with_clients(config: &mut Reloadable) {
    let client = |id: &str, more: Value| -> Client {
        let mut client = json!({
            "client_id": id,
            "name": format!("The {id} application"),
            "audience": "https://api.example",
            "redirect_uris": REGISTERED,
            "first_party": true,
            "app_sign_in": true,
            "allowed_origins": ["https://app.example"],
        });
        client
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        serde_json::from_value(client).unwrap()
    };
    config.clients = vec![
        client("web", json!({})),
        client("other", json!({})),
        client("foreign", json!({"first_party": false})),
        client(
            "es",
            json!({"id_token_signed_response_alg": "ES256", "access_token_alg": "RS256"}),
        ),
    ];
    let many = vec![Budget {
        count: 10_000,
        seconds: 60,
    }];
    config.limits.address.clone_from(&many);
    config.limits.domain.clone_from(&many);
    config.limits.network_address.clone_from(&many);
    config.limits.known_device.clone_from(&many);
    config.limits.network.clone_from(&many);
    config.limits.authorize = many;
}

/// One request of an application: its parameters, and the verifier that it keeps.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) verifier: String,
}

impl Attempt {
    /// The usual request of the client `web`.
    pub(crate) fn new() -> Self {
        let verifier = entree::secret::Plain::generate().to_text();
        let challenge = URL_SAFE_NO_PAD.encode(ring::digest::digest(
            &ring::digest::SHA256,
            verifier.as_bytes(),
        ));
        let parameters = [
            ("response_type", "code"),
            ("client_id", "web"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid email"),
            ("state", "the state"),
            ("nonce", "the nonce"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        Self {
            parameters: parameters
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            verifier,
        }
    }

    /// With a parameter of another value, or a further one.
    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        let mut this = self.without(name);
        this.parameters.push((name.to_owned(), value.to_owned()));
        this
    }

    /// Without a parameter.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.parameters.retain(|(known, _)| known != name);
        self
    }

    /// The path that the browser is sent to.
    pub(crate) fn path(&self) -> String {
        format!("/oauth2/authorize?{}", encoded(&self.parameters))
    }

    fn parameter(&self, name: &str) -> String {
        self.parameters
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
            .unwrap_or_default()
    }

    /// What the client sends to the token endpoint for a code.
    pub(crate) fn exchange(&self, code: &str) -> BTreeMap<String, String> {
        [
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", self.parameter("redirect_uri")),
            ("client_id", self.parameter("client_id")),
            ("code_verifier", self.verifier.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// A code, in a browser with a session.
    pub(crate) async fn code(&self, browser: &mut Browser<'_>) -> String {
        let answer = browser.open(&self.path()).await;
        parameter(&answer, "code").unwrap_or_else(|| panic!("no code: {}", answer.summary()))
    }

    /// Tokens, in a browser with a session.
    pub(crate) async fn tokens(&self, browser: &mut Browser<'_>) -> Value {
        let code = self.code(browser).await;
        let answer = token(browser.test_app, &self.exchange(&code)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }
}

/// A browser with a session.
pub(crate) async fn signed_in<'a>(test_app: &'a TestApp, email: &str) -> Browser<'a> {
    let mut browser = test_app.browser();
    browser.sign_in(email).await;
    browser
}

/// A parameter of the redirect to the client.
pub(crate) fn parameter(answer: &Page, name: &str) -> Option<String> {
    let to = answer.location()?;
    to.query_pairs()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.into_owned())
}

/// Whether an answer leads to the client.
pub(crate) fn leads_to_client(answer: &Page) -> bool {
    answer
        .location()
        .is_some_and(|to| to.as_str().starts_with(CALLBACK))
}

/// Follows redirects and pages that go on by themselves, as long as they stay with us.
pub(crate) async fn settle(browser: &mut Browser<'_>, mut page: Page) -> Page {
    for _ in 0..10 {
        let Some(next) = page.location().or_else(|| page.refresh()) else {
            return page;
        };
        if next.origin().ascii_serialization() != PUBLIC {
            return page;
        }
        browser.test_app.assert_below_path(&next);
        page = browser.open(&next[url::Position::BeforePath..]).await;
    }
    panic!("no end of redirects at {}", page.url.path());
}

/// Signs in from a page of ours that asks for an address, by the mailed link; gives where that ends.
pub(crate) async fn sign_in_from(browser: &mut Browser<'_>, login: &Page, email: &str) -> Page {
    let answer = browser.submit(login, "sign-in", &[("email", email)]).await;
    browser.follow(&answer).await;
    let link = browser.test_app.mail(email).await.link();
    let done = browser.click(&link).await;
    settle(browser, done).await
}

/// A request to the token endpoint, as software sends it.
pub(crate) fn token_request(body: String) -> Request {
    Request::builder()
        .method(Method::POST)
        .uri_str("/oauth2/token")
        .header(header::HOST, "id.test")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body)
}

/// Asks for tokens.
pub(crate) async fn token(test_app: &TestApp, fields: &BTreeMap<String, String>) -> Page {
    let fields: Vec<_> = fields.clone().into_iter().collect();
    test_app.call(token_request(encoded(&fields))).await
}

/// A GET without a browser.
pub(crate) async fn get(test_app: &TestApp, path: &str) -> Page {
    test_app
        .call(
            Request::builder()
                .uri_str(path)
                .header(header::HOST, "id.test")
                .finish(),
        )
        .await
}

/// The error code of a JSON answer.
pub(crate) fn error_of(answer: &Page) -> String {
    let body: Value =
        serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("not JSON: {}", answer.body));
    body["error"]
        .as_str()
        .unwrap_or_else(|| panic!("no error: {body}"))
        .to_owned()
}

/// Checks a token's signature with the published keys alone.
pub(crate) async fn verified(test_app: &TestApp, token: &Value) -> Verified {
    let jwks: Value =
        serde_json::from_str(&get(test_app, "/.well-known/jwks.json").await.body).unwrap();
    check_signature(token.as_str().expect("a token"), &jwks).unwrap()
}
