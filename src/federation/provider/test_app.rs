//! A provider on loopback and us beside it: what the tests of whole sign-ins stand on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use super::{
    AuthorizationRedirect, AuthorizationRequest, AuthorizationResponse, Identity, Providers,
    RequestRecord, oidc::id_token::tests::Signer,
};
use crate::{
    clock::Clock,
    config::{Config, Live, Reloadable},
    federation::error::{FederationError, RefusalCode},
    web::fetch::test_server::{TestServer, json_response as page, raw_response},
};

pub(super) const PUBLIC: &str = "https://login.example";

type Pages = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A provider on loopback and us beside it.
pub(super) struct World {
    pub(super) server: TestServer,
    pub(super) pages: Pages,
    pub(super) signer: Signer,
    pub(super) live: Live,
    pub(super) clock: Clock,
    pub(super) providers: Providers,
    pub(super) issuer: String,
}

impl World {
    /// `more` is the rest of the provider's block; `BASE` in it is the address of the server.
    pub(super) async fn new(more: &str) -> Self {
        Self::named("a", more).await
    }

    /// The same for a provider with an id of its own.
    pub(super) async fn named(id: &str, more: &str) -> Self {
        let pages = Pages::default();
        let answers = Arc::clone(&pages);
        let server = TestServer::start(move |asked| {
            answers
                .lock()
                .unwrap()
                .get(&asked.path)
                .cloned()
                .unwrap_or(raw_response(404, "", ""))
        })
        .await;
        let issuer = if more.contains("issuer") {
            ""
        } else {
            "issuer = \"BASE\"\n"
        };
        let text = format!(
            "id = \"{id}\"\nclient_id = \"us\"\nclient_secret = \"s e\"\nloopback_http = true\n\
             algs = [\"ES256\"]\n{issuer}{more}"
        );
        let provider = toml::from_str(&text.replace("BASE", &server.base)).unwrap();
        let config = Config {
            reloadable: Reloadable {
                providers: vec![provider],
                ..Reloadable::default()
            },
            ..Config::default()
        };
        let (live, clock) = (Live::new(config), Clock::default());
        let providers = Providers::without_database(live.clone(), PUBLIC, clock.clone());
        let issuer = live.get().providers[0].issuer();
        let world = Self {
            server,
            pages,
            signer: Signer::new("k1"),
            live,
            clock,
            providers,
            issuer,
        };
        world.document(json!({}));
        world.keys(&[world.signer.jwk()], "");
        world
    }

    pub(super) fn put(&self, path: &str, bytes: Vec<u8>) {
        self.pages.lock().unwrap().insert(path.to_owned(), bytes);
    }

    /// The discovery document, with changes.
    pub(super) fn document(&self, changes: Value) {
        let base = &self.server.base;
        let mut document = json!({
            "issuer": self.issuer,
            "authorization_endpoint": format!("{base}/auth"),
            "token_endpoint": format!("{base}/token"),
            "userinfo_endpoint": format!("{base}/userinfo"),
            "jwks_uri": format!("{base}/keys"),
        });
        document
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        let url = self.live.get().providers[0]
            .discovery_url()
            .unwrap_or_default();
        self.put(
            url.strip_prefix(base.as_str()).unwrap_or(&url),
            page(200, &document),
        );
    }

    pub(super) fn keys(&self, keys: &[Value], headers: &str) {
        self.put(
            "/keys",
            raw_response(200, headers, &json!({ "keys": keys }).to_string()),
        );
    }

    pub(super) async fn start(&self) -> Result<AuthorizationRedirect, FederationError> {
        self.providers
            .start_authorization(
                "a",
                AuthorizationRequest {
                    state: "s",
                    login_hint: None,
                    ui_locales: "",
                },
            )
            .await
    }

    /// Puts an ID token behind the token endpoint: what a good one says, with changes; null takes a claim away.
    pub(super) fn token(&self, record: &RequestRecord, changes: &Value) {
        self.token_by(&self.signer, record, changes);
    }

    pub(super) fn token_by(&self, signer: &Signer, record: &RequestRecord, changes: &Value) {
        let now = self.clock.now().seconds();
        let mut claims = json!({
            "iss": self.issuer, "sub": "person", "aud": "us", "exp": now + 300, "iat": now,
            "nonce": record.nonce, "email": "a@gmail.com", "email_verified": true,
        });
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        let body =
            json!({"access_token": "at", "token_type": "Bearer", "id_token": signer.sign(&claims)});
        self.put("/token", page(200, &body));
    }

    pub(super) async fn identify(
        &self,
        record: &RequestRecord,
    ) -> Result<Identity, FederationError> {
        self.providers
            .identify(
                record,
                &AuthorizationResponse {
                    code: Some("c"),
                    ..AuthorizationResponse::default()
                },
            )
            .await
    }

    /// A whole sign-in with these changes of the claims.
    pub(super) async fn sign_in(&self, changes: Value) -> Result<Identity, RefusalCode> {
        let record = self.start().await.map_err(|refused| refused.code)?.record;
        self.token(&record, &changes);
        self.identify(&record).await.map_err(|refused| refused.code)
    }

    pub(super) fn asked(&self, path: &str) -> usize {
        self.server.requests_for(path).len()
    }
}
