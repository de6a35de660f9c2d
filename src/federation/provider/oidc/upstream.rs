//! One provider: its settings, the calls to it, and its cached documents.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use poem::http::header;

use super::{
    breaker::Breaker,
    discovery_alert::DiscoveryAlert,
    document::{Document, DocumentUpdate, Validator, lifetime_of},
    keys::{Key, KeySet},
    metadata::Metadata,
};
use crate::{
    clock::{Clock, Time},
    config::{
        Provider,
        providers::{ProviderKind, UpstreamAlg},
    },
    federation::provider::error::{KeyError, ProviderError},
    telemetry::metrics,
    web::fetch::{FetchError, FetchRequest, FetchResponse, FetchScope, Fetcher},
};

/// For how long documents may be stale before operators are alerted (DJ-06).
const ALERT_AFTER: Duration = Duration::from_secs(6 * 3600);

#[derive(Debug)]
pub(crate) struct Upstream {
    /// The settings when the provider was first used. Other settings make another `Upstream`;
    /// another look of the button does not.
    pub(crate) settings: Provider,
    clock: Clock,
    scope: FetchScope,
    /// The reason why it cannot be built is reported at the first call.
    fetcher: Result<Fetcher, String>,
    breaker: Breaker,
    metadata: Document<Metadata>,
    keys: Mutex<Arc<KeyDocument>>,
    /// When a token last made the keys be read again (DJ-04).
    keys_forced_at: Mutex<Option<Time>>,
    discovery_alert: DiscoveryAlert,
}

/// The key set at one address. Another address has nothing of it (OC-11).
#[derive(Debug)]
struct KeyDocument {
    uri: String,
    document: Document<KeySet>,
}

impl KeyDocument {
    fn new(uri: &str, clock: &Clock) -> Arc<Self> {
        Arc::new(Self {
            uri: uri.to_owned(),
            document: Document::new(clock.clone()),
        })
    }
}

impl Upstream {
    /// Makes no call.
    pub(crate) fn new(settings: Provider, clock: &Clock) -> Self {
        let scope = FetchScope {
            private_hosts: settings.private_hosts.clone(),
            ca_file: settings.ca_file.clone(),
            loopback_http: settings.loopback_http,
        };
        Self {
            fetcher: Fetcher::new(scope.clone()),
            scope,
            settings,
            clock: clock.clone(),
            breaker: Breaker::default(),
            metadata: Document::new(clock.clone()),
            keys: Mutex::new(KeyDocument::new("", clock)),
            keys_forced_at: Mutex::default(),
            discovery_alert: DiscoveryAlert::default(),
        }
    }

    /// Returns the time by the service's clock.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Sends one request, once. `call` is the name for metrics, the log and errors: `discovery`,
    /// `keys`, `token`, `userinfo`, `emails`.
    pub(crate) async fn call(
        &self,
        call: &'static str,
        request: FetchRequest,
    ) -> Result<FetchResponse, ProviderError> {
        let fetcher = self
            .fetcher
            .as_ref()
            .map_err(|cause| ProviderError::Unavailable(cause.clone()))?;
        let Some(permit) = self.breaker.permit(self.clock.now()) else {
            metrics::upstream(&self.settings.id, call, "breaker", Duration::ZERO);
            return Err(ProviderError::Unavailable(
                "it could not be reached five times in a row, and is not called for a while"
                    .to_owned(),
            ));
        };
        let start = tokio::time::Instant::now();
        let result = fetcher.send(request).await;
        match &result {
            Err(error) if error.is_of_transport() => permit.failed(self.clock.now()),
            _ => permit.succeeded(),
        }
        metrics::upstream(&self.settings.id, call, outcome(&result), start.elapsed());
        result.map_err(|cause| {
            let provider = &self.settings.id;
            tracing::warn!(provider, call, %cause, "an upstream call failed");
            ProviderError::Call { call, cause }
        })
    }

    /// Reads a document (200), or learns that it is still the one that `cached` names (304).
    async fn read(
        &self,
        call: &'static str,
        url: &str,
        cached: Option<Validator>,
    ) -> Result<FetchResponse, ProviderError> {
        let mut request = FetchRequest::get(url).header(header::ACCEPT, "application/json");
        if let Some(cached) = cached.filter(|cached| cached.url == url) {
            request = request.header(header::IF_NONE_MATCH, &cached.etag);
        }
        let response = self.call(call, request).await?;
        match response.status {
            200 | 304 => Ok(response),
            status => Err(ProviderError::Status { call, status }),
        }
    }

    pub(crate) async fn metadata(&self) -> Result<Arc<Metadata>, ProviderError> {
        self.metadata.get(|cached| self.read_metadata(cached)).await
    }

    async fn read_metadata(
        &self,
        cached: Option<Validator>,
    ) -> Result<DocumentUpdate<Metadata>, ProviderError> {
        let Some(url) = self.settings.discovery_url() else {
            return Ok(DocumentUpdate::New {
                value: Metadata::of_github(&self.settings),
                validator: None,
                lifetime: Duration::from_secs(self.settings.fresh_max_seconds),
            });
        };
        let update = self.read_discovery_document(&url, cached).await;
        if let Err(error) = &update {
            let provider = &self.settings.id;
            tracing::warn!(provider, cause = %error, "the discovery document is not accepted");
        }
        self.discovery_alert.record(update.as_ref().err());
        update
    }

    /// Returns the metadata for a sign-in that begins now. A document that names another issuer
    /// stops these at once, although the old one serves the sign-ins that are under way (DJ-07).
    pub(crate) async fn metadata_for_new_sign_in(&self) -> Result<Arc<Metadata>, ProviderError> {
        let metadata = self.metadata().await?;
        match self.discovery_alert.other_issuer() {
            None => Ok(metadata),
            Some(error) => Err(error),
        }
    }

    async fn read_discovery_document(
        &self,
        url: &str,
        cached: Option<Validator>,
    ) -> Result<DocumentUpdate<Metadata>, ProviderError> {
        let response = self.read("discovery", url, cached).await?;
        let lifetime = lifetime_of(&response.headers, &self.settings);
        if response.status == 304 {
            return Ok(DocumentUpdate::Unchanged { lifetime });
        }
        let value = Metadata::parse(&response.body, &self.settings, &self.scope)?;
        Ok(DocumentUpdate::New {
            value,
            lifetime,
            validator: validator(url, &response),
        })
    }

    /// Returns what the audit log should have of the discovery document and has not yet.
    pub(crate) fn take_discovery_alert(&self) -> Option<ProviderError> {
        self.discovery_alert.take()
    }

    pub(crate) async fn keys(&self) -> Result<Arc<KeySet>, ProviderError> {
        let keys = self.key_document().await?;
        keys.document
            .get(|cached| self.read_keys(&keys.uri, cached))
            .await
    }

    /// Returns the document at the address that the metadata names now.
    async fn key_document(&self) -> Result<Arc<KeyDocument>, ProviderError> {
        let uri = self.jwks_uri().await?;
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.uri != uri {
            *keys = KeyDocument::new(&uri, &self.clock);
        }
        Ok(Arc::clone(&keys))
    }

    /// Returns the document that was used last.
    fn last_key_document(&self) -> Arc<KeyDocument> {
        Arc::clone(&self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn jwks_uri(&self) -> Result<String, ProviderError> {
        let metadata = self.metadata().await?;
        Ok(metadata.jwks_uri.clone().ok_or(KeyError::NoKeySet)?)
    }

    async fn read_keys(
        &self,
        uri: &str,
        cached: Option<Validator>,
    ) -> Result<DocumentUpdate<KeySet>, ProviderError> {
        let response = self.read("keys", uri, cached).await?;
        let lifetime = lifetime_of(&response.headers, &self.settings);
        if response.status == 304 {
            return Ok(DocumentUpdate::Unchanged { lifetime });
        }
        let value = KeySet::parse(&response.body).ok_or_else(|| {
            ProviderError::Unavailable("its keys are not a JWKS, or more than a hundred".to_owned())
        })?;
        if value.count_repeated() > 0 {
            tracing::warn!(
                provider = self.settings.id,
                "a provider publishes several keys under one kid; none of them is used"
            );
        }
        Ok(DocumentUpdate::New {
            value,
            lifetime,
            validator: validator(uri, &response),
        })
    }

    /// Returns the key for a token, and the key set that it is in. For an unknown key the key set
    /// is read again, at most once in a while (DJ-04, DJ-10).
    pub(crate) async fn key(
        &self,
        kid: Option<&str>,
        alg: UpstreamAlg,
    ) -> Result<(Key, Arc<KeySet>), ProviderError> {
        let keys = self.keys().await?;
        match keys.select(kid, alg) {
            Ok(key) => return Ok((key.clone(), Arc::clone(&keys))),
            Err(KeyError::Unknown) => {}
            Err(error) => return Err(error.into()),
        }
        let newer = self
            .newer_keys(&keys)
            .await?
            .ok_or(KeyError::RecentlyRead)?;
        let key = newer.select(kid, alg)?.clone();
        Ok((key, newer))
    }

    /// Returns the keys, read again because `known` did not verify a token; `None` if they are the
    /// same and were read a moment ago.
    pub(crate) async fn newer_keys(
        &self,
        known: &Arc<KeySet>,
    ) -> Result<Option<Arc<KeySet>>, ProviderError> {
        let keys = self.key_document().await?;
        if self.may_force_keys() {
            return keys
                .document
                .refresh(|cached| self.read_keys(&keys.uri, cached))
                .await
                .map(Some);
        }
        // Another token may have them read right now.
        keys.document.wait_for_read().await;
        let current = self.keys().await?;
        Ok((!Arc::ptr_eq(&current, known)).then_some(current))
    }

    /// At most once in `key_refresh_seconds`, whether the read succeeds or not (DJ-04).
    fn may_force_keys(&self) -> bool {
        let now = self.clock.now();
        let pause = Duration::from_secs(self.settings.key_refresh_seconds);
        let mut forced_at = self
            .keys_forced_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let may_force = forced_at.is_none_or(|at| now >= at + pause);
        if may_force {
            *forced_at = Some(now);
        }
        may_force
    }

    /// Reads the documents that are due (DJ-02), and reports how stale those in use are (DJ-06).
    pub(crate) async fn refresh_due(&self) {
        if self.metadata.is_due() {
            let _ = self
                .metadata
                .refresh(|cached| self.read_metadata(cached))
                .await;
        }
        if self.settings.kind != ProviderKind::Github
            && self.last_key_document().document.is_due()
            && let Ok(keys) = self.key_document().await
        {
            let _ = keys
                .document
                .refresh(|cached| self.read_keys(&keys.uri, cached))
                .await;
        }
        let keys = self.last_key_document();
        let staleness = self.metadata.staleness().max(keys.document.staleness());
        metrics::upstream_stale(&self.settings.id, staleness);
        if staleness > ALERT_AFTER {
            let hours = staleness.as_secs() / 3600;
            tracing::error!(
                provider = self.settings.id,
                hours,
                "the documents of a provider are old and cannot be read again"
            );
        }
    }
}

/// Returns the label of a call's outcome for the metrics.
const fn outcome(result: &Result<FetchResponse, FetchError>) -> &'static str {
    match result {
        Ok(FetchResponse { status: ..400, .. }) => "ok",
        Ok(FetchResponse { status: ..500, .. }) => "4xx",
        Ok(_) => "5xx",
        Err(error) => error.outcome(),
    }
}

fn validator(url: &str, response: &FetchResponse) -> Option<Validator> {
    let etag = response
        .headers
        .get(header::ETAG)?
        .to_str()
        .ok()?
        .to_owned();
    Some(Validator {
        url: url.to_owned(),
        etag,
    })
}
