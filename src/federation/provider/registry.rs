//! The configured providers and what is known of each of them.
//!
//! No provider is called at start-up: its documents are read when they are first needed, and cached
//! by `oidc`. Each call takes the configuration in force, so that a provider is changed or switched
//! off without a restart.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;

use super::{
    doctor::{self, ProviderFinding},
    error::ProviderError,
    identify::{self, AuthorizationResponse},
    identity::ProviderIdentity,
    oidc::upstream::Upstream,
    request::{AuthorizationRedirect, AuthorizationRequest, RequestRecord, authorization_url},
};
use crate::{
    app::App,
    audit,
    clock::Clock,
    config::{Live, Provider, providers::ResponseMode},
    db::Db,
    telemetry::metrics,
};

/// The configured providers. Clones share what is known of them.
#[derive(Clone, Debug)]
pub struct Providers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Live,
    public_url: Arc<str>,
    clock: Clock,
    /// For the audit log.
    db: Option<Db>,
    /// By id. An entry is replaced when other settings than those of its button change, and when
    /// the provider was removed meanwhile.
    upstreams: Mutex<HashMap<String, Known>>,
}

/// What is known of a provider.
#[derive(Debug)]
struct Known {
    upstream: Arc<Upstream>,
    /// [`Live::departures`] when it was first used.
    departures: u64,
}

impl Providers {
    #[must_use]
    pub fn new(app: &App) -> Self {
        Self(Arc::new(Inner {
            config: app.config.clone(),
            public_url: Arc::clone(&app.public_url),
            clock: app.clock().clone(),
            db: Some(app.db.clone()),
            upstreams: Mutex::default(),
        }))
    }

    /// The same for `entree doctor`, which writes nothing.
    #[must_use]
    pub fn without_database(config: Live, public_url: &str, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            config,
            public_url: public_url.into(),
            clock,
            db: None,
            upstreams: Mutex::default(),
        }))
    }

    fn upstreams(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0
            .upstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a provider that is configured and switched on.
    pub(super) fn upstream(&self, id: &str) -> Result<Arc<Upstream>, ProviderError> {
        let config = self.0.config.get();
        let settings = config
            .providers
            .iter()
            .find(|provider| provider.id == id && provider.enabled)
            .ok_or(ProviderError::Disabled)?;
        let departures = self.0.config.departures(id);
        let mut upstreams = self.upstreams();
        let known = upstreams.get(id).filter(|known| {
            known.departures == departures && known.upstream.settings.is_same_party(settings)
        });
        if let Some(known) = known {
            return Ok(Arc::clone(&known.upstream));
        }
        let upstream = Arc::new(Upstream::new(settings.clone(), &self.0.clock));
        let known = Known {
            upstream: Arc::clone(&upstream),
            departures,
        };
        upstreams.insert(id.to_owned(), known);
        Ok(upstream)
    }

    /// Returns where to send a browser, and what to keep until it is back (UP-06).
    pub async fn start_authorization(
        &self,
        id: &str,
        request: AuthorizationRequest<'_>,
    ) -> Result<AuthorizationRedirect, ProviderError> {
        let upstream = self.upstream(id)?;
        let metadata = upstream.metadata_for_new_sign_in().await?;
        let settings = &upstream.settings;
        let record = RequestRecord::new(settings, &metadata, &self.0.public_url);
        let url = authorization_url(settings, &metadata, &record, request);
        Ok(AuthorizationRedirect { url, record })
    }

    /// Returns the identity of the user who came back. All calls to the provider together take at
    /// most ten seconds. The record must have been claimed before.
    ///
    /// # Errors
    /// The first check that failed.
    pub async fn identify(
        &self,
        record: &RequestRecord,
        response: &AuthorizationResponse<'_>,
    ) -> Result<ProviderIdentity, ProviderError> {
        let upstream = self.upstream(&record.provider)?;
        identify::identify(&upstream, record, response).await
    }

    /// Whether this provider's responses arrive as a form_post, else by GET (CB-01); `None` if it
    /// is not configured.
    #[must_use]
    pub fn uses_form_post(&self, id: &str) -> Option<bool> {
        let config = self.0.config.get();
        let provider = config.providers.iter().find(|provider| provider.id == id)?;
        Some(provider.response_mode() == ResponseMode::FormPost)
    }

    /// Reads the documents of all providers that are due, and writes refused discovery documents to
    /// the audit log. For a job: failures are logged, and tried again later.
    pub async fn refresh_due(&self) {
        let config = self.0.config.get();
        self.forget_removed(&config.providers);
        let upstreams: Vec<_> = config
            .providers
            .iter()
            .filter_map(|provider| self.upstream(&provider.id).ok())
            .collect();
        join_all(upstreams.iter().map(|upstream| upstream.refresh_due())).await;
        let Some(db) = &self.0.db else { return };
        for upstream in upstreams {
            let Some(error) = upstream.take_discovery_alert() else {
                continue;
            };
            let message = format!("{}: {}: {error}", upstream.settings.id, error.code());
            if let Err(error) = audit::record_provider_refusal(db, &message).await {
                tracing::error!(cause = %error, "a provider's refusal is missing in the audit log");
            }
        }
    }

    fn forget_removed(&self, providers: &[Provider]) {
        self.upstreams().retain(|id, _| {
            let settings = providers.iter().find(|provider| provider.id == *id);
            if settings.is_none_or(|settings| !settings.enabled) {
                // A gauge keeps its last value, and must not raise an alert for a provider that is
                // not in use.
                metrics::upstream_stale(id, Duration::ZERO);
            }
            settings.is_some()
        });
    }

    /// Returns what `entree doctor` reports of a provider: settings, redirect URI to register,
    /// discovery, clock and keys.
    pub async fn diagnose(&self, id: &str) -> Vec<ProviderFinding> {
        match self.upstream(id) {
            Ok(upstream) => doctor::diagnose(&upstream, &self.0.public_url).await,
            Err(_) => vec![ProviderFinding::disabled()],
        }
    }
}
