//! The configured providers and the two verbs: where to send a browser, and who came back.
//!
//! Nothing here waits for a provider at start-up; what is known of one is read when it is first needed, and kept by
//! `oidc`. Each call takes the configuration in force, so that a provider is changed or switched off without a restart.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    apple,
    doctor::{self, ProviderFinding},
    github,
    identity::{self, Identity},
    oidc::{
        exchange::{self, Tokens},
        id_token::{self, Expect},
        upstream::Upstream,
        userinfo,
    },
    request::{self, AuthorizationRedirect, AuthorizationRequest, RequestRecord},
    response::{self, AuthorizationResponse},
};
use crate::{
    app::App,
    audit,
    clock::Clock,
    config::{
        Live,
        providers::{Kind, ResponseMode},
    },
    db::Db,
    federation::error::{FederationError, RefusalCode},
    telemetry::metrics,
};

/// All calls for one answer together take at most so long.
const BUDGET: Duration = Duration::from_secs(10);

/// The configured providers. Clones share what is known of them.
#[derive(Clone, Debug)]
pub struct Providers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Live,
    public_url: Arc<str>,
    clock: Clock,
    /// For the trail.
    db: Option<Db>,
    /// What is known of each, for as long as its settings stay as they are but for its looks.
    known: Mutex<HashMap<String, Arc<Upstream>>>,
}

impl Providers {
    /// Over the configuration in force. Asks nobody.
    #[must_use]
    pub fn new(app: &App) -> Self {
        let (config, public_url) = (app.config.clone(), Arc::clone(&app.public_url));
        let (clock, db) = (app.clock().clone(), Some(app.db.clone()));
        Self(Arc::new(Inner {
            config,
            public_url,
            clock,
            db,
            known: Mutex::default(),
        }))
    }

    /// The same without a database, for a command that only looks.
    #[must_use]
    pub fn without_database(config: Live, public_url: &str, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            config,
            public_url: public_url.into(),
            clock,
            db: None,
            known: Mutex::default(),
        }))
    }

    /// What is known of a provider that is configured and switched on.
    pub(super) fn upstream(&self, id: &str) -> Option<Arc<Upstream>> {
        let config = self.0.config.get();
        let settings = config
            .providers
            .iter()
            .find(|provider| provider.id == id && provider.enabled)?;
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(upstream) = known
            .get(id)
            .filter(|upstream| upstream.settings.is_same_party(settings))
        {
            return Some(Arc::clone(upstream));
        }
        let upstream = Arc::new(Upstream::new(settings.clone(), &self.0.clock));
        known.insert(id.to_owned(), Arc::clone(&upstream));
        Some(upstream)
    }

    /// Where to send a browser, and what to keep until it is back (UP-06).
    ///
    /// # Errors
    /// [`RefusalCode::ProviderDisabled`]; what reading its documents came to.
    pub async fn start_authorization(
        &self,
        id: &str,
        ask: AuthorizationRequest<'_>,
    ) -> Result<AuthorizationRedirect, FederationError> {
        let upstream = self.upstream(id).ok_or(RefusalCode::ProviderDisabled)?;
        let metadata = upstream.metadata().await?;
        let record = request::record(&upstream.settings, &metadata, &self.0.public_url);
        Ok(AuthorizationRedirect {
            url: request::url(&upstream.settings, &metadata, &record, ask),
            record,
        })
    }

    /// Who came back: the answer's issuer, its error, the exchange, the ID token, userinfo (CB-06, CB-07, CB-09,
    /// CB-10). All calls together take at most ten seconds. The record must have been claimed before.
    ///
    /// # Errors
    /// The first check that failed.
    pub async fn identify(
        &self,
        record: &RequestRecord,
        answer: &AuthorizationResponse<'_>,
    ) -> Result<Identity, FederationError> {
        let upstream = self
            .upstream(&record.provider)
            .ok_or(RefusalCode::ProviderDisabled)?;
        // An answer to a request that began under other settings is worth nothing under these.
        if upstream.settings.issuer() != record.issuer {
            return Err(FederationError::new(
                RefusalCode::ProviderDisabled,
                "its issuer was changed",
            ));
        }
        response::is_from(record, answer.iss)?;
        let code = response::code(answer)?;
        let identified =
            tokio::time::timeout(BUDGET, exchanged(&upstream, record, answer, code)).await;
        identified.unwrap_or_else(|_| {
            Err(FederationError::new(
                RefusalCode::Timeout,
                "all calls together took over 10 s",
            ))
        })
    }

    /// Whether this provider's answers come as a form_post, else by GET (CB-01). None: there is no such provider.
    #[must_use]
    pub fn uses_form_post(&self, id: &str) -> Option<bool> {
        let config = self.0.config.get();
        let provider = config.providers.iter().find(|provider| provider.id == id)?;
        Some(provider.response_mode() == ResponseMode::FormPost)
    }

    /// Reads documents again that are nearly due, of all providers at once. For a job; failures are logged, and tried
    /// again later. What the trail must have is written to it.
    pub async fn refresh_due(&self) {
        let config = self.0.config.get();
        let ids = || config.providers.iter().map(|provider| provider.id.as_str());
        let is_on = |id: &str| {
            config
                .providers
                .iter()
                .any(|provider| provider.id == id && provider.enabled)
        };
        self.0
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|id, _| {
                if !is_on(id) {
                    // A gauge keeps its last value: nobody is to be called for a provider that was taken away.
                    metrics::upstream_stale(id, Duration::ZERO);
                }
                ids().any(|known| known == id)
            });
        let upstreams: Vec<_> = ids().filter_map(|id| self.upstream(id)).collect();
        futures_util::future::join_all(upstreams.iter().map(|upstream| upstream.refresh_due()))
            .await;
        for upstream in upstreams {
            let Some((refused, db)) = upstream.take_note().zip(self.0.db.as_ref()) else {
                continue;
            };
            if let Err(failure) =
                audit::provider(db, &format!("{}: {refused}", upstream.settings.id)).await
            {
                tracing::error!(cause = %failure, "the trail misses what became of a provider");
            }
        }
    }

    /// What `entree doctor` says of a provider: settings, discovery, keys, clock, and the redirect URI to register.
    pub async fn diagnose(&self, id: &str) -> Vec<ProviderFinding> {
        match self.upstream(id) {
            Some(upstream) => doctor::diagnose(&upstream, &self.0.public_url).await,
            None => vec![ProviderFinding {
                ok: false,
                check: "settings",
                message: "there is no such provider, or it is switched off".to_owned(),
                hint: "see [[providers]] in the configuration".to_owned(),
            }],
        }
    }
}

/// The exchange and what comes after it.
async fn exchanged(
    upstream: &Upstream,
    record: &RequestRecord,
    answer: &AuthorizationResponse<'_>,
    code: &str,
) -> Result<Identity, FederationError> {
    let settings = &upstream.settings;
    let signed;
    let secret = if settings.kind == Kind::Apple {
        signed = apple::client_secret(settings, upstream.now().seconds())?;
        signed.as_str()
    } else {
        settings.client_secret.expose()
    };
    let tokens = exchange::exchange(upstream, record, code, secret).await?;
    if settings.kind == Kind::Github {
        return github::identify(upstream, record, &tokens).await;
    }
    named(upstream, record, answer, &tokens).await
}

/// Whom the ID token names, with what userinfo adds.
async fn named(
    upstream: &Upstream,
    record: &RequestRecord,
    answer: &AuthorizationResponse<'_>,
    tokens: &Tokens,
) -> Result<Identity, FederationError> {
    let settings = &upstream.settings;
    let token = tokens
        .id_token
        .as_ref()
        .ok_or(RefusalCode::IdTokenMissing)?;
    let expect = Expect {
        settings,
        issuer: &record.issuer,
        nonce: record.nonce.as_deref().unwrap_or_default(),
        pkce: record.verifier.is_some(),
        access_token: &tokens.access_token,
        now: upstream.now().seconds(),
    };
    let verified = id_token::verify(upstream, token, expect).await?;
    // For many directories the answer's issuer could only be compared with their template before.
    if answer.iss.is_some_and(|iss| iss != verified.issuer) {
        return Err(FederationError::new(
            RefusalCode::IssMismatch,
            "the answer and the ID token name different issuers",
        ));
    }
    let info = match &record.userinfo_endpoint {
        Some(endpoint) if userinfo::is_wanted(upstream, &verified.claims) => {
            Some(userinfo::ask(upstream, endpoint, &tokens.access_token, &verified.subject).await?)
        }
        _ => None,
    };
    let user = answer.user.filter(|_| settings.kind == Kind::Apple);
    Ok(identity::identity(settings, verified, info.as_ref(), user))
}
