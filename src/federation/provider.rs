//! The configured providers and the two verbs: where to send a browser, and who came back.
//!
//! Nothing here waits for a provider at start-up; what is known of one is read when it is first needed, and kept by
//! `oidc`. Each call takes the configuration in force, so that a provider is changed or switched off without a restart.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    answer, apple, authorize,
    error::{FederationError, RefusalCode},
    examine, github,
    oidc::{
        exchange::{self, Tokens},
        facts,
        id_token::{self, Expect},
        upstream::Upstream,
        userinfo,
    },
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

/// What is wanted of a provider.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// 43 characters that come back with the answer; their SHA-256 is the key of the ticket.
    pub state: &'a str,
    /// An address that was typed in this browser (UP-07).
    pub login_hint: Option<&'a str>,
    /// Languages for the provider's pages, the best first, separated by blanks; may be empty.
    pub ui_locales: &'a str,
}

/// A flow that may begin.
#[derive(Debug)]
pub struct Started {
    /// Where to send the browser.
    pub url: String,
    /// To be kept sealed until the answer comes.
    pub record: Record,
}

/// All that [`Providers::identify`] needs to know of the request that it sees the answer of (UP-03). It holds secrets:
/// it is kept sealed and has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Record {
    /// The provider's id in the configuration.
    pub provider: String,
    /// The issuer that was asked; for many directories, their template.
    pub issuer: String,
    /// Where the code is exchanged.
    pub token_endpoint: String,
    /// Where userinfo is, if there is any.
    pub userinfo_endpoint: Option<String>,
    /// The redirect URI that was sent.
    pub redirect_uri: String,
    /// The nonce that was sent; none where there is no ID token.
    pub nonce: Option<String>,
    /// The PKCE verifier; none if PKCE is off.
    pub verifier: Option<String>,
    /// The answer must carry `iss` (RFC 9207 §2.4).
    pub iss_required: bool,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("provider", &self.provider)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// The parameters of a callback, after the shape checks. No `Debug`: a code is in it.
#[derive(Clone, Copy, Default)]
pub struct Answer<'a> {
    /// `code`.
    pub code: Option<&'a str>,
    /// `iss`.
    pub iss: Option<&'a str>,
    /// `error`.
    pub error: Option<&'a str>,
    /// `error_description`: for the log, cut and cleaned.
    pub error_description: Option<&'a str>,
    /// `user`: Apple's JSON, once, by form_post.
    pub user: Option<&'a str>,
}

/// Who came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider's id in the configuration.
    pub provider: String,
    /// With `subject` what a link hangs on. For Entra the issuer of the person's directory.
    pub issuer: String,
    /// The person there, for ever.
    pub subject: String,
    /// An address as given, not yet canonical.
    pub email: Option<String>,
    /// What the provider's word about `email` is worth.
    pub trust: Trust,
    /// What the person is called there: for display alone.
    pub name: Option<String>,
    /// The language that the person has there.
    pub locale: Option<String>,
    /// How the person proved themselves there (RFC 8176), if it says.
    pub amr: Vec<String>,
}

/// What a provider's word about an address is worth (federation §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// It runs the mailbox, or ops pinned it.
    Authoritative,
    /// It says that it verified the address.
    Asserted,
    /// Nothing.
    None,
}

/// One thing that `entree doctor` found at a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it is in order.
    pub ok: bool,
    /// What was looked at: `discovery`, `keys`, `clock`, `redirect_uri`.
    pub what: &'static str,
    /// What was found.
    pub words: String,
    /// How to mend it; empty if it is in order.
    pub mend: String,
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
    pub fn looking(config: Live, public_url: &str, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            config,
            public_url: public_url.into(),
            clock,
            db: None,
            known: Mutex::default(),
        }))
    }

    /// What is known of a provider that is configured and switched on.
    fn upstream(&self, id: &str) -> Option<Arc<Upstream>> {
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
    pub async fn authorize_url(&self, id: &str, ask: Ask<'_>) -> Result<Started, FederationError> {
        let upstream = self.upstream(id).ok_or(RefusalCode::ProviderDisabled)?;
        let metadata = upstream.metadata().await?;
        let record = authorize::record(&upstream.settings, &metadata, &self.0.public_url);
        Ok(Started {
            url: authorize::url(&upstream.settings, &metadata, &record, ask),
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
        record: &Record,
        answer: &Answer<'_>,
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
        answer::is_from(record, answer.iss)?;
        let code = answer::code(answer)?;
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
    pub fn form_post(&self, id: &str) -> Option<bool> {
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
    pub async fn examine(&self, id: &str) -> Vec<Finding> {
        match self.upstream(id) {
            Some(upstream) => examine::examine(&upstream, &self.0.public_url).await,
            None => vec![Finding {
                ok: false,
                what: "settings",
                words: "there is no such provider, or it is switched off".to_owned(),
                mend: "see [[providers]] in the configuration".to_owned(),
            }],
        }
    }
}

/// The exchange and what comes after it.
async fn exchanged(
    upstream: &Upstream,
    record: &Record,
    answer: &Answer<'_>,
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
    record: &Record,
    answer: &Answer<'_>,
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
    Ok(facts::identity(settings, verified, info.as_ref(), user))
}

#[cfg(test)]
#[path = "provider_documents_tests.rs"]
mod documents_tests;

#[cfg(test)]
#[path = "provider_tests.rs"]
mod tests;
