//! A provider on loopback, and the [`Providers`] that sign users in with it, for tests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use super::{
    AuthorizationRedirect, AuthorizationRequest, AuthorizationResponse, ProviderError,
    ProviderIdentity, Providers, RequestRecord, oidc::test_signer::TestSigner,
};
use crate::{
    clock::Clock,
    config::{Config, Live, Provider, Reloadable},
    federation::error::RefusalCode,
    web::fetch::test_server::{TestServer, json_response, raw_response},
};

pub(super) const PUBLIC_URL: &str = "https://login.example";

/// Changes of an ID token's claims after which userinfo is read.
pub(super) fn claims_without_address() -> Value {
    json!({"email": null, "email_verified": null})
}

pub(super) struct TestProvider {
    pub(super) server: TestServer,
    /// The response of each path, in bytes.
    responses: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    pub(super) signer: TestSigner,
    pub(super) live: Live,
    pub(super) clock: Clock,
    pub(super) providers: Providers,
    pub(super) issuer: String,
}

impl TestProvider {
    /// Starts a provider. `settings` is the rest of its block in the configuration, and `BASE` in
    /// it stands for the URL of the server.
    pub(super) async fn start(settings: &str) -> Self {
        Self::start_as("a", settings).await
    }

    pub(super) async fn start_as(id: &str, settings: &str) -> Self {
        let responses = Arc::<Mutex<BTreeMap<String, Vec<u8>>>>::default();
        let served = Arc::clone(&responses);
        let server = TestServer::start(move |request| {
            let response = served.lock().unwrap().get(&request.path).cloned();
            response.unwrap_or_else(|| raw_response(404, "", ""))
        })
        .await;
        let issuer = if settings.contains("issuer") {
            ""
        } else {
            "issuer = \"BASE\"\n"
        };
        let text = format!(
            "id = \"{id}\"\nclient_id = \"us\"\nclient_secret = \"s e\"\nloopback_http = true\n\
             algs = [\"ES256\"]\n{issuer}{settings}"
        );
        let settings: Provider = toml::from_str(&text.replace("BASE", &server.base)).unwrap();
        let issuer = settings.issuer();
        let providers = vec![settings];
        let reloadable = Reloadable {
            providers,
            ..Reloadable::default()
        };
        let config = Config {
            reloadable,
            ..Config::default()
        };
        let (live, clock) = (Live::new(config), Clock::default());
        let providers = Providers::without_database(live.clone(), PUBLIC_URL, clock.clone());
        let signer = TestSigner::new("k1");
        let provider = Self {
            server,
            responses,
            signer,
            live,
            clock,
            providers,
            issuer,
        };
        provider.serve_metadata(json!({}));
        provider.serve_keys(&[provider.signer.jwk()], "");
        provider
    }

    /// Returns another instance of `Providers`, which knows nothing yet.
    pub(super) fn new_instance(&self) -> Providers {
        Providers::without_database(self.live.clone(), PUBLIC_URL, self.clock.clone())
    }

    /// Changes the settings of the provider, as a reload of the configuration does.
    pub(super) fn change_settings(&self, change: impl Fn(&mut Provider)) {
        self.change_config(|config| change(&mut config.providers[0]));
    }

    pub(super) fn change_config(&self, change: impl Fn(&mut Reloadable)) {
        let mut config = (*self.live.get()).clone();
        change(&mut config);
        self.live.replace(config);
    }

    pub(super) fn serve(&self, path: &str, response: Vec<u8>) {
        self.responses
            .lock()
            .unwrap()
            .insert(path.to_owned(), response);
    }

    pub(super) fn serve_json(&self, path: &str, body: &Value) {
        self.serve(path, json_response(200, body));
    }

    /// Serves a discovery document with these changes.
    pub(super) fn serve_metadata(&self, changes: Value) {
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
        self.serve_json(url.strip_prefix(base.as_str()).unwrap_or(&url), &document);
    }

    pub(super) fn serve_keys(&self, keys: &[Value], headers: &str) {
        let body = json!({ "keys": keys }).to_string();
        self.serve("/keys", raw_response(200, headers, &body));
    }

    /// Serves an ID token: the claims of a valid one with these changes; null removes a claim.
    pub(super) fn serve_token(&self, record: &RequestRecord, changes: &Value) {
        self.serve_token_of(&self.signer, record, changes);
    }

    pub(super) fn serve_token_of(
        &self,
        signer: &TestSigner,
        record: &RequestRecord,
        changes: &Value,
    ) {
        let now = self.clock.now().seconds();
        let mut claims = json!({
            "iss": self.issuer,
            "sub": "person",
            "aud": "us",
            "exp": now + 300,
            "iat": now,
            "nonce": record.nonce,
            "email": "a@gmail.com",
            "email_verified": true,
        });
        let claims_object = claims.as_object_mut().unwrap();
        claims_object.extend(changes.as_object().unwrap().clone());
        claims_object.retain(|_, value| !value.is_null());
        let id_token = signer.sign(&claims);
        let body = json!({"access_token": "at", "token_type": "Bearer", "id_token": id_token});
        self.serve_json("/token", &body);
    }

    pub(super) async fn start_authorization(&self) -> Result<AuthorizationRedirect, ProviderError> {
        let request = AuthorizationRequest {
            state: "s",
            login_hint: None,
            ui_locales: "",
        };
        self.providers.start_authorization("a", request).await
    }

    pub(super) async fn identify(
        &self,
        record: &RequestRecord,
    ) -> Result<ProviderIdentity, ProviderError> {
        let response = AuthorizationResponse {
            code: Some("c"),
            ..AuthorizationResponse::default()
        };
        self.providers.identify(record, &response).await
    }

    /// Signs in from the request to the identity, with these changes of the claims.
    pub(super) async fn sign_in(&self, changes: Value) -> Result<ProviderIdentity, RefusalCode> {
        let redirect = self
            .start_authorization()
            .await
            .map_err(|error| error.code())?;
        self.serve_token(&redirect.record, &changes);
        self.identify(&redirect.record)
            .await
            .map_err(|error| error.code())
    }

    /// Counts the requests for a path so far.
    pub(super) fn requests(&self, path: &str) -> usize {
        self.server.requests_for(path).len()
    }
}
