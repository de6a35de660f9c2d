//! A service without sockets for the tests of this module: a database of its own, a client of every
//! kind, and one user with a session.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use poem::{
    Endpoint as _, EndpointExt as _, Request, Route,
    endpoint::BoxEndpoint,
    get,
    http::{HeaderMap, Method, StatusCode, header},
    post,
};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use super::{
    consent_store, exchange_rules,
    grant_check::SignIn,
    introspect, par, revoke,
    token::{
        self,
        code_secret::{CodeBinding, CodeSecret},
        code_store::{AuthorizationCode, CodeTerms, issue_code},
    },
    userinfo,
};
use crate::{
    app::{App, Macs},
    clock::Clock,
    config::{Config, Live, Reloadable},
    db::Db,
    key::{self, ClientKeys, Keys},
    pkce::challenge_of,
    secret::{Hash, MasterKeys, public_id},
    session::{self, AuthMethod, NewSession, Session},
    ticket::Tickets,
    user::{self, Address, ResolvedUser, User, VerifiedBy},
    web::{locale::Texts, reason::RefusalReason},
};

pub(super) const ISSUER: &str = "https://id.example";
pub(super) const API: &str = "https://api.example";
/// The form of a client that requests a token for itself.
pub(super) const CREDENTIALS: [(&str, &str); 1] = [("grant_type", "client_credentials")];
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(super) const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// An identifier and a secret with every character that a careless decoder gets wrong (CA-1).
pub(super) const ODD: (&str, &str) = (
    "odd:%+id",
    "s:e%63 r+e&t=%2B: of more than forty-three characters",
);

pub(super) struct TestApp {
    pub(super) app: App,
    pub(super) user: User,
    pub(super) session: Session,
    routes: BoxEndpoint<'static>,
    url: String,
    file: Option<PathBuf>,
}

impl Drop for TestApp {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm"] {
            let _ = self
                .file
                .as_ref()
                .map(|file| std::fs::remove_file(format!("{}{end}", file.display())));
        }
    }
}

/// A response with its body parsed as JSON.
#[derive(Debug)]
pub(super) struct TestResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
    /// The reason for the log; empty without one.
    pub(super) reason: String,
}

impl TestResponse {
    /// Returns the status and the error code.
    pub(super) fn error(&self) -> (u16, &str) {
        (
            self.status.as_u16(),
            self.body["error"].as_str().unwrap_or_default(),
        )
    }

    pub(super) fn header(&self, name: header::HeaderName) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.body[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
            .to_owned()
    }
}

fn config() -> Config {
    let client = |id: &str, method: &str, more: Value| {
        let mut client = json!({
            "client_id": id, "name": id, "audience": API, "token_endpoint_auth_method": method,
            "redirect_uris": ["https://app.example/cb"], "first_party": true,
            "scopes": ["openid", "profile", "email", "offline_access", "lessons:read"],
        });
        if method != "none" {
            client["client_secret_sha256"] = json!([Hash::of(SECRET.as_bytes()).to_hex()]);
        }
        client
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        client
    };
    let two = [
        Hash::of(b"the one before").to_hex(),
        Hash::of(SECRET.as_bytes()).to_hex().to_uppercase(),
    ];
    let both = json!(["authorization_code", "client_credentials"]);
    let clients = json!([
        client("web", "none", json!({})),
        client("other", "none", json!({})),
        client("app", "none", json!({ "refresh_tokens": "always" })),
        client("third", "none", json!({ "first_party": false })),
        client(
            "basic",
            "client_secret_basic",
            json!({ "client_secret_sha256": two, "grant_types": both, "require_pkce": false })
        ),
        client("post", "client_secret_post", json!({})),
        client(
            ODD.0,
            "client_secret_basic",
            json!({ "client_secret_sha256": [Hash::of(ODD.1.as_bytes()).to_hex()], "grant_types": both })
        ),
        client(
            "api",
            "client_secret_basic",
            json!({ "grant_types": [], "introspects": [API] })
        ),
        client(
            "elsewhere",
            "client_secret_basic",
            json!({ "audience": "https://elsewhere.example", "introspects": ["https://elsewhere.example"] })
        ),
    ]);
    Config {
        reloadable: Reloadable {
            clients: serde_json::from_value(clients).unwrap(),
            ..Reloadable::default()
        },
        ..Config::default()
    }
}

impl TestApp {
    pub(super) async fn new() -> Self {
        let file = std::env::temp_dir().join(format!("entree-oauth-{}.db", public_id()));
        Self::at(format!("sqlite:{}", file.display()), Some(file)).await
    }

    /// Returns one on SQLite and, with `TEST_POSTGRES_URL`, one on PostgreSQL.
    pub(super) async fn all() -> Vec<Self> {
        let mut apps = vec![Self::new().await];
        if let Ok(server) = std::env::var("TEST_POSTGRES_URL") {
            let name = format!("oauth_{}", public_id().simple());
            let admin = Db::connect(&server, 1, Clock::default()).await.unwrap();
            admin
                .pool()
                .execute_unprepared(&format!("CREATE DATABASE {name}"))
                .await
                .unwrap();
            let mut url = url::Url::parse(&server).unwrap();
            url.set_path(&name);
            apps.push(Self::at(url.into(), None).await);
        }
        apps
    }

    async fn at(url: String, file: Option<PathBuf>) -> Self {
        key::install();
        let clock = Clock::default();
        let db = Db::connect(&url, 8, clock.clone()).await.unwrap();
        db.migrate().await.unwrap();
        let masters = MasterKeys::new([7; 32], []);
        let app = App {
            config: Live::new(config()),
            public_url: ISSUER.into(),
            keys: Keys::open(&db, &masters).await.unwrap(),
            client_keys: ClientKeys::default(),
            tickets: Tickets::memory(16 << 20, clock, &masters),
            texts: Texts::load(None).unwrap(),
            macs: Macs::new(&masters),
            outbox: Arc::default(),
            unnamed_proxy: Default::default(),
            path_stripping: Default::default(),
            db,
        };
        let tx = app.db.begin().await.unwrap();
        let address = Address::parse("coach@example.com", false).unwrap();
        let ResolvedUser::Created(user) = user::resolve(&tx, &address, VerifiedBy::Email, true)
            .await
            .unwrap()
        else {
            panic!("a new user")
        };
        let browser = Some(Hash::of(b"browser"));
        let start = NewSession {
            user: &user,
            method: AuthMethod::Email,
            device: "Test",
            remembered: false,
            browser,
        };
        let (session, _) = session::start(&tx, start, &app.config.get().session)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let routes = routes(&app);
        Self {
            app,
            user,
            session,
            routes,
            url,
            file,
        }
    }

    /// The endpoints of another instance: connections of its own to the same database, the same
    /// ticket store and clock.
    pub(super) async fn second_instance(&self) -> BoxEndpoint<'static> {
        let mut app = self.app.clone();
        app.db = Db::connect(&self.url, 8, self.app.clock().clone())
            .await
            .unwrap();
        routes(&app)
    }

    /// Replaces the ticket store, as if its data were lost.
    pub(super) fn replace_tickets(&mut self, tickets: Tickets) {
        self.app.tickets = tickets;
        self.routes = routes(&self.app);
    }

    pub(super) fn advance(&self, seconds: u64) {
        self.app.clock().advance(Duration::from_secs(seconds));
    }

    /// Changes the configuration of one client.
    pub(super) fn configure(&self, id: &str, change: impl FnOnce(&mut crate::config::Client)) {
        self.reconfigure(|config| {
            change(
                config
                    .clients
                    .iter_mut()
                    .find(|client| client.client_id == id)
                    .unwrap(),
            )
        });
    }

    /// Changes the configuration.
    pub(super) fn reconfigure(&self, change: impl FnOnce(&mut Reloadable)) {
        let mut config = Reloadable::clone(&self.app.config.get());
        change(&mut config);
        self.app.config.replace(config);
    }

    /// A code for `client`, as the authorization endpoint issues it. `verifier` belongs to its
    /// challenge.
    pub(super) async fn code(&self, client: &str, scope: &str, verifier: Option<&str>) -> String {
        self.code_for(client, scope, verifier, None).await
    }

    /// A code for a request that named resources.
    pub(super) async fn code_for(
        &self,
        client: &str,
        scope: &str,
        verifier: Option<&str>,
        resources: Option<&str>,
    ) -> String {
        let config = self.app.config.get();
        let registered = crate::client::find(&config, client).unwrap();
        let scope = exchange_rules::requestable(&config, registered, resources, scope);
        if !registered.first_party {
            let tx = self.app.db.begin().await.unwrap();
            consent_store::allow(&tx, &self.user, client, &scope)
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
        let binding = CodeBinding {
            client_id: client.to_owned(),
            redirect_uri: "https://app.example/cb".to_owned(),
            code_challenge: verifier.map(challenge_of),
            dpop_jkt: None,
        };
        let secret = CodeSecret::generate(&self.app.macs.authorization_code, &binding);
        let code = AuthorizationCode {
            grant_id: secret.grant_id(),
            binding,
            nonce: Some("n".to_owned()),
            scope,
            claims: String::new(),
            resources: resources.map(str::to_owned),
            expires_at: None,
            sign_in: SignIn::from(&self.session),
        };
        let terms = CodeTerms {
            user_id: self.session.user_id,
            lifetime: Duration::from_secs(60),
            budgets: &[],
        };
        let is_issued = issue_code(&self.app, &secret, &code, terms).await;
        assert!(is_issued.unwrap());
        secret.to_text()
    }

    /// Tokens for a fresh code of a public client.
    pub(super) async fn tokens(&self, client: &str, scope: &str) -> TestResponse {
        let code = self.code(client, scope, Some(VERIFIER)).await;
        let response = self
            .post("/oauth2/token", None, &exchange(client, &code))
            .await;
        assert_eq!(response.status, 200, "{response:?}");
        response
    }

    pub(super) async fn refresh(&self, client: &str, token: &str) -> TestResponse {
        self.post("/oauth2/token", None, &refreshing(client, token))
            .await
    }

    /// Posts a form. `basic` goes into the Authorization header, form-encoded (RFC 6749 §2.3.1).
    pub(super) async fn post(
        &self,
        path: &str,
        basic: Option<(&str, &str)>,
        form: &[(&str, &str)],
    ) -> TestResponse {
        self.post_proving(path, basic, form, &[]).await
    }

    /// The same with DPoP proofs, each in a header of its own.
    pub(super) async fn post_proving(
        &self,
        path: &str,
        basic: Option<(&str, &str)>,
        form: &[(&str, &str)],
        proofs: &[&str],
    ) -> TestResponse {
        let mut request = form_request(path, form);
        if let Some((id, secret)) = basic {
            let encode =
                |part: &str| form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>();
            let credentials = STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
            request.headers_mut().insert(
                header::AUTHORIZATION,
                format!("Basic {credentials}").parse().unwrap(),
            );
        }
        for proof in proofs {
            let headers = request.headers_mut();
            headers.append("dpop", proof.parse().unwrap());
        }
        self.send(request).await
    }

    pub(super) async fn userinfo(&self, token: &str) -> TestResponse {
        let request = Request::builder()
            .uri_str("/oauth2/userinfo")
            .header("authorization", format!("Bearer {token}"));
        self.send(request.finish()).await
    }

    pub(super) async fn send(&self, request: Request) -> TestResponse {
        send(&self.routes, request).await
    }

    /// Runs one SQL statement.
    pub(super) async fn sql(&self, statement: &str) {
        self.app
            .db
            .pool()
            .execute_unprepared(statement)
            .await
            .unwrap();
    }
}

fn routes(app: &App) -> BoxEndpoint<'static> {
    Route::new()
        .at("/oauth2/token", post(token::token))
        .at(
            "/oauth2/userinfo",
            get(userinfo::userinfo).post(userinfo::userinfo),
        )
        .at("/oauth2/par", post(par::push_request))
        .at("/oauth2/revoke", post(revoke::revoke))
        .at("/oauth2/introspect", post(introspect::introspect))
        .data(app.clone())
        .map_to_response()
        .boxed()
}

pub(super) fn exchange<'a>(client: &'a str, code: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("redirect_uri", "https://app.example/cb"),
        ("code_verifier", VERIFIER),
    ]
}

pub(super) fn refreshing<'a>(client: &'a str, token: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "refresh_token"),
        ("client_id", client),
        ("refresh_token", token),
    ]
}

pub(super) fn form_request(path: &str, form: &[(&str, &str)]) -> Request {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let request = Request::builder().method(Method::POST).uri_str(path);
    request
        .content_type("application/x-www-form-urlencoded")
        .body(body)
}

pub(super) async fn send(routes: &BoxEndpoint<'static>, request: Request) -> TestResponse {
    let response = routes.call(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let reason = response.data::<RefusalReason>();
    let reason = reason.map(|reason| reason.code.to_string());
    let body = response.into_body().into_string().await.unwrap();
    TestResponse {
        status,
        headers,
        body: serde_json::from_str(&body).unwrap_or(Value::Null),
        reason: reason.unwrap_or_default(),
    }
}

/// The claims of a JWT, unverified.
pub(super) fn claims(token: &str) -> Value {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    serde_json::from_slice(
        &URL_SAFE_NO_PAD
            .decode(token.split('.').nth(1).unwrap())
            .unwrap(),
    )
    .unwrap()
}
