//! Clients of the FAPI 2.0 Security Profile (FS), by the modules of the conformance suite: client software that signs
//! assertions and proofs, pushes its requests, and keeps its refresh token.
//!
//! docs/requirements/provider-extensions.md says which test holds which module.

mod assertion;
mod flow;
mod metadata;
mod proof;
mod push;
mod refresh;

use entree::config::{Budget, ClientBlock, Reloadable, Token};
use poem::{
    Request,
    http::{Method, StatusCode, header},
};
use serde_json::{Value, json};
use testkit::{
    dpop::{self, Prover},
    page::Page,
};

use crate::{
    oauth::{self, Attempt, CALLBACK, par::visit, parameter},
    test_app::{Browser, PUBLIC, TestApp, encoded},
};

const PAR: &str = "/oauth2/par";
const TOKEN: &str = "/oauth2/token";
const USERINFO: &str = "/oauth2/userinfo";

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const SCOPE: &str = "openid email profile offline_access";

type Fields = Vec<(String, String)>;

/// A client with two keys: one for its assertions, and one for its proofs.
struct Software {
    id: &'static str,
    signer: Prover,
    prover: Prover,
}

/// What a request shows.
#[derive(Clone, Default)]
struct Shown {
    assertion: Option<String>,
    proof: Option<String>,
}

/// Registers `bank` and `broker`, and passes the minute in which the ticket store takes no assertion.
async fn register(test_app: &TestApp) -> (Software, Software) {
    oauth::register(test_app);
    let (bank, broker) = (Software::new("bank"), Software::new("broker"));
    test_app.configure(|config| {
        for software in [&bank, &broker] {
            software.add_to(config);
        }
        // A failure of a table is no attack.
        let many = vec![Budget {
            count: 10_000,
            seconds: 60,
        }];
        config.limits.client_failures.clone_from(&many);
        config.limits.session_codes = many;
    });
    let began = test_app.app.clock().now();
    test_app.app.tickets.keep_epoch(began).await.unwrap();
    test_app.pass(61);
    (bank, broker)
}

impl Software {
    fn new(id: &'static str) -> Self {
        Self {
            id,
            signer: Prover::new(),
            prover: Prover::new(),
        }
    }

    /// The block of an operator: the profile sets all else.
    fn add_to(&self, config: &mut Reloadable) {
        let definition = json!({
            "name": format!("The {}", self.id), "audience": "https://api.example", "profile": "fapi2",
            "redirect_uris": [CALLBACK], "first_party": true, "scopes": SCOPE.split(' ').collect::<Vec<_>>(),
            "jwks": { "keys": [self.signer.jwk()] },
        });
        let block = ClientBlock::from_definition(self.id, &definition.to_string()).unwrap();
        let read = block.into_client(&Token::default(), PUBLIC);
        config.clients.push(read.unwrap().0);
    }

    /// The claims of a right assertion.
    fn assertion_claims(&self, test_app: &TestApp) -> Value {
        let now = now(test_app);
        json!({
            "iss": self.id, "sub": self.id, "aud": PUBLIC, "iat": now, "exp": now + 60,
            "jti": entree::secret::Plain::generate().to_text(),
        })
    }

    fn assertion(&self, claims: &Value) -> String {
        self.signer.sign(&json!({ "alg": "ES256" }), claims)
    }

    /// The claims of a right proof for a POST.
    fn proof_claims(&self, test_app: &TestApp, path: &str) -> Value {
        dpop::claims("POST", &format!("{PUBLIC}{path}"), now(test_app))
    }

    /// A right assertion and a right proof for a POST.
    fn shown(&self, test_app: &TestApp, path: &str) -> Shown {
        Shown {
            assertion: Some(self.assertion(&self.assertion_claims(test_app))),
            proof: Some(self.prover.proof(&self.proof_claims(test_app, path))),
        }
    }

    /// Posts a form as this client does.
    async fn post(&self, test_app: &TestApp, path: &str, fields: &Fields) -> Page {
        let shown = self.shown(test_app, path);
        post(test_app, path, fields, &shown).await
    }

    /// The usual request of this client.
    fn attempt(&self) -> Attempt {
        let attempt = Attempt::new().with("client_id", self.id);
        attempt.with("scope", SCOPE)
    }

    async fn push(&self, test_app: &TestApp, attempt: &Attempt) -> Page {
        self.post(test_app, PAR, &attempt.parameters).await
    }

    /// The address to which the client sends the browser, after a push.
    async fn visit(&self, test_app: &TestApp, attempt: &Attempt) -> String {
        let pushed = self.push(test_app, attempt).await;
        assert_eq!(pushed.status, StatusCode::CREATED, "{}", pushed.body);
        let body: Value = serde_json::from_str(&pushed.body).unwrap();
        visit(self.id, body["request_uri"].as_str().unwrap())
    }

    /// A code, in a browser with a session.
    async fn code(&self, browser: &mut Browser<'_>, attempt: &Attempt) -> String {
        let path = self.visit(browser.test_app, attempt).await;
        let back = browser.open(&path).await;
        assert_eq!(back.status, StatusCode::SEE_OTHER, "{}", back.summary());
        parameter(&back, "code").unwrap_or_else(|| panic!("no code: {}", back.summary()))
    }

    /// Tokens, in a browser with a session.
    async fn tokens(&self, browser: &mut Browser<'_>, attempt: &Attempt) -> Value {
        let code = self.code(browser, attempt).await;
        let answer = self
            .post(browser.test_app, TOKEN, &exchange(attempt, &code))
            .await;
        json_of(&answer)
    }

    async fn refresh(&self, test_app: &TestApp, tokens: &Value) -> Page {
        self.post(test_app, TOKEN, &refreshing(self.id, tokens))
            .await
    }

    /// Asks userinfo with a new proof by this client's key.
    async fn userinfo(&self, test_app: &TestApp, tokens: &Value) -> Page {
        let token = tokens["access_token"].as_str().unwrap();
        let claims = self.userinfo_claims(test_app, token);
        userinfo(
            test_app,
            &format!("DPoP {token}"),
            &self.prover.proof(&claims),
        )
        .await
    }

    fn userinfo_claims(&self, test_app: &TestApp, token: &str) -> Value {
        let url = format!("{PUBLIC}{USERINFO}");
        dpop::claims_with_token("GET", &url, now(test_app), token)
    }
}

fn now(test_app: &TestApp) -> i64 {
    test_app.app.clock().now().seconds()
}

/// Posts a form that shows this.
async fn post(test_app: &TestApp, path: &str, fields: &Fields, shown: &Shown) -> Page {
    let mut fields = fields.clone();
    if let Some(assertion) = &shown.assertion {
        for (name, value) in [
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion),
        ] {
            fields.push((name.to_owned(), value.to_owned()));
        }
    }
    let mut request = Request::builder()
        .method(Method::POST)
        .uri_str(path)
        .header(header::HOST, "id.test")
        .header("x-forwarded-for", "192.0.2.1")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(proof) = &shown.proof {
        request = request.header("dpop", proof);
    }
    test_app.call(request.body(encoded(&fields))).await
}

async fn userinfo(test_app: &TestApp, authorization: &str, proof: &str) -> Page {
    let request = Request::builder()
        .uri_str(USERINFO)
        .header(header::HOST, "id.test")
        .header(header::AUTHORIZATION, authorization)
        .header("dpop", proof);
    test_app.call(request.finish()).await
}

fn exchange(attempt: &Attempt, code: &str) -> Fields {
    attempt.exchange(code).into_iter().collect()
}

fn refreshing(client: &str, tokens: &Value) -> Fields {
    let token = tokens["refresh_token"].as_str().expect("a refresh token");
    [
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("client_id", client),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// With a field of another value, or without it.
fn with(fields: &Fields, name: &str, value: Option<&str>) -> Fields {
    let mut fields = fields.clone();
    fields.retain(|(known, _)| known != name);
    fields.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    fields
}

/// Changes one claim, or removes it if the value is null.
fn with_claim(mut claims: Value, name: &str, value: Value) -> Value {
    let members = claims.as_object_mut().unwrap();
    match value {
        Value::Null => drop(members.remove(name)),
        value => drop(members.insert(name.to_owned(), value)),
    }
    claims
}

fn json_of(answer: &Page) -> Value {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

/// Checks the status and the error code of a JSON response.
fn assert_error(answer: &Page, status: u16, error: &str, why: &str) {
    let found = (answer.status.as_u16(), oauth::error_of(answer));
    assert_eq!(found, (status, error.to_owned()), "{why}: {}", answer.body);
}
