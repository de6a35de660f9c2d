//! One provider as it stands: its settings, the way to it, and what is known of it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use poem::http::header;

use super::{
    breaker::Breaker,
    document::{Document, Read, Validator, life},
    keys::{Key, KeySet, Miss},
    metadata::{self, Metadata},
};
use crate::{
    clock::{Clock, Time},
    config::{
        Provider,
        providers::{Kind, UpstreamAlg},
    },
    federation::error::{FederationError, RefusalCode},
    telemetry::metrics,
    web::fetch::{FetchError, FetchRequest, FetchResponse, FetchScope, Fetcher},
};

/// Ops are told of a document that has been old for so long (DJ-06).
const ALERT: Duration = Duration::from_secs(6 * 3600);

/// A provider.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Its settings when it was first asked for; other settings make another one of these, other looks do not.
    pub(crate) settings: Provider,
    clock: Clock,
    reach: FetchScope,
    fetcher: Result<Fetcher, String>,
    breaker: Breaker,
    metadata: Document<Metadata>,
    keys: Document<KeySet>,
    /// When a token last made its keys be read again (DJ-04).
    forced: Mutex<Option<Time>>,
    /// What the trail must have of its discovery document (DJ-07).
    noted: Mutex<Noted>,
}

/// The last refusal of a discovery document, and whether the trail has it: once, not at each try.
#[derive(Debug, Default)]
struct Noted {
    refused: Option<FederationError>,
    is_told: bool,
}

impl Upstream {
    /// Asks nobody.
    pub(crate) fn new(settings: Provider, clock: &Clock) -> Self {
        let reach = FetchScope {
            private_hosts: settings.private_hosts.clone(),
            ca_file: settings.ca_file.clone(),
            loopback_http: settings.loopback_http,
        };
        Self {
            fetcher: Fetcher::new(reach.clone()),
            reach,
            settings,
            clock: clock.clone(),
            breaker: Breaker::default(),
            metadata: Document::new(clock.clone()),
            keys: Document::new(clock.clone()),
            forced: Mutex::default(),
            noted: Mutex::default(),
        }
    }

    /// Now, by the service's clock.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Sends one request to it, once. `what` is for metrics and the log: `discovery`, `keys`, `token`, `userinfo`.
    ///
    /// # Errors
    /// What there is no answer for.
    pub(crate) async fn call(
        &self,
        what: &'static str,
        call: FetchRequest,
    ) -> Result<FetchResponse, FederationError> {
        let fetcher = self
            .fetcher
            .as_ref()
            .map_err(|words| FederationError::new(RefusalCode::ProviderDown, words))?;
        let Some(leave) = self.breaker.leave(self.clock.now()) else {
            metrics::upstream(&self.settings.id, what, "breaker", Duration::ZERO);
            return Err(FederationError::new(
                RefusalCode::ProviderDown,
                "it was away five times in a row and is left alone for now",
            ));
        };
        let began = tokio::time::Instant::now();
        let sent = fetcher.send(call).await;
        match &sent {
            Err(FetchError::Timeout | FetchError::Down(_)) => leave.failed(self.clock.now()),
            _ => leave.answered(),
        }
        let outcome = match &sent {
            Ok(reply) if reply.status < 400 => "ok",
            Ok(reply) if reply.status < 500 => "4xx",
            Ok(_) => "5xx",
            Err(refusal) => refusal.outcome(),
        };
        metrics::upstream(&self.settings.id, what, outcome, began.elapsed());
        sent.map_err(|refusal| {
            tracing::warn!(provider = self.settings.id, what, %refusal, "an upstream call failed");
            FederationError::new(code_of(refusal), format!("{what}: {refusal}"))
        })
    }

    /// A document of it (200), or word that it is still the one that `seen` names (304).
    async fn fetch(
        &self,
        what: &'static str,
        url: &str,
        seen: Option<Validator>,
    ) -> Result<FetchResponse, FederationError> {
        let mut call = FetchRequest::get(url).header(header::ACCEPT, "application/json");
        if let Some(seen) = seen.filter(|seen| seen.url == url) {
            call = call.header(header::IF_NONE_MATCH, &seen.etag);
        }
        let reply = self.call(what, call).await?;
        match reply.status {
            200 | 304 => Ok(reply),
            status => Err(FederationError::new(
                RefusalCode::ProviderDown,
                format!("{what} answered {status}"),
            )),
        }
    }

    /// Its metadata.
    ///
    /// # Errors
    /// What reading its discovery document came to.
    pub(crate) async fn metadata(&self) -> Result<Arc<Metadata>, FederationError> {
        self.metadata.get(|seen| self.read_metadata(seen)).await
    }

    async fn read_metadata(
        &self,
        seen: Option<Validator>,
    ) -> Result<Read<Metadata>, FederationError> {
        let Some(url) = self.settings.discovery_url() else {
            let forever = Duration::from_secs(self.settings.fresh_max_seconds);
            return Ok(Read::New {
                value: metadata::github(&self.settings),
                validator: None,
                life: forever,
            });
        };
        let read = async {
            let reply = self.fetch("discovery", &url, seen).await?;
            let life = life(&reply.headers, &self.settings);
            if reply.status == 304 {
                return Ok(Read::Unchanged { life });
            }
            let value = Metadata::read(&reply.body, &self.settings, &self.reach)?;
            Ok(Read::New {
                value,
                life,
                validator: validator(&url, &reply),
            })
        };
        let read = read.await;
        self.note(read.as_ref().err());
        read
    }

    fn note(&self, refused: Option<&FederationError>) {
        if let Some(refused) = refused {
            tracing::warn!(provider = self.settings.id, %refused, "the discovery document is not taken");
        }
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = refused.filter(|refused| refused.code.alerts());
        if noted.refused.as_ref() != refused {
            *noted = Noted {
                refused: refused.cloned(),
                is_told: false,
            };
        }
    }

    /// What the trail must have since the last time that this was asked.
    pub(crate) fn take_note(&self) -> Option<FederationError> {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut noted.is_told, true) {
            None
        } else {
            noted.refused.clone()
        }
    }

    /// Its keys.
    ///
    /// # Errors
    /// What reading them came to.
    pub(crate) async fn keys(&self) -> Result<Arc<KeySet>, FederationError> {
        let uri = self.jwks_uri().await?;
        self.keys.get(|seen| self.read_keys(uri, seen)).await
    }

    async fn jwks_uri(&self) -> Result<String, FederationError> {
        let metadata = self.metadata().await?;
        metadata
            .jwks_uri
            .clone()
            .ok_or_else(|| FederationError::new(RefusalCode::KeyUnknown, "it has no keys"))
    }

    async fn read_keys(
        &self,
        uri: String,
        seen: Option<Validator>,
    ) -> Result<Read<KeySet>, FederationError> {
        let reply = self.fetch("keys", &uri, seen).await?;
        let life = life(&reply.headers, &self.settings);
        if reply.status == 304 {
            return Ok(Read::Unchanged { life });
        }
        let words = "its keys are no JWKS, or more than a hundred";
        let value = KeySet::read(&reply.body)
            .ok_or_else(|| FederationError::new(RefusalCode::ProviderDown, words))?;
        if value.repeated() > 0 {
            tracing::warn!(
                provider = self.settings.id,
                "keys with one name are not used"
            );
        }
        Ok(Read::New {
            value,
            life,
            validator: validator(&uri, &reply),
        })
    }

    /// The key for a token, and the keys that it is of. One that is unknown makes the keys be read again, at most once in a while (DJ-04, DJ-10).
    ///
    /// # Errors
    /// [`RefusalCode::KeyUnknown`]; what reading the keys came to.
    pub(crate) async fn key(
        &self,
        kid: Option<&str>,
        alg: UpstreamAlg,
    ) -> Result<(Key, Arc<KeySet>), FederationError> {
        let keys = self.keys().await?;
        let missed = match keys.select(kid, alg) {
            Ok(key) => return Ok((key.clone(), Arc::clone(&keys))),
            Err(Miss::Unknown) => self.keys_again(&keys).await?,
            Err(Miss::Ambiguous) => {
                return Err(FederationError::new(
                    RefusalCode::KeyUnknown,
                    "more than one key could be meant",
                ));
            }
            Err(Miss::Unfit) => {
                return Err(FederationError::new(
                    RefusalCode::KeyUnknown,
                    "the key is for another algorithm",
                ));
            }
        };
        let fresh = missed.ok_or_else(|| {
            FederationError::new(
                RefusalCode::KeyUnknown,
                "no key fits, and they were read just now",
            )
        })?;
        let unknown = |miss| {
            FederationError::new(
                RefusalCode::KeyUnknown,
                format!("no key fits, read again ({miss:?})"),
            )
        };
        let key = fresh.select(kid, alg).cloned().map_err(unknown)?;
        Ok((key, fresh))
    }

    /// The keys, read again because `known` are not good enough; none if they are the same and were read just now.
    ///
    /// # Errors
    /// What reading them came to.
    pub(crate) async fn keys_again(
        &self,
        known: &Arc<KeySet>,
    ) -> Result<Option<Arc<KeySet>>, FederationError> {
        let uri = self.jwks_uri().await?;
        if self.may_force() {
            return self
                .keys
                .force(|seen| self.read_keys(uri, seen))
                .await
                .map(Some);
        }
        // Somebody else's token may be the one that has them read right now.
        self.keys.settled().await;
        let now = self.keys().await?;
        Ok(if Arc::ptr_eq(&now, known) {
            None
        } else {
            Some(now)
        })
    }

    /// At most once in so many seconds, whatever comes of it (DJ-04).
    fn may_force(&self) -> bool {
        let now = self.clock.now();
        let pause = Duration::from_secs(self.settings.key_refresh_seconds);
        let mut forced = self.forced.lock().unwrap_or_else(PoisonError::into_inner);
        let may = forced.is_none_or(|at| now >= at + pause);
        if may {
            *forced = Some(now);
        }
        may
    }

    /// Reads what is nearly due (DJ-02), and tells how old what serves is.
    pub(crate) async fn refresh_due(&self) {
        if self.metadata.is_due() {
            let _ = self.metadata.force(|seen| self.read_metadata(seen)).await;
        }
        if self.settings.kind != Kind::Github
            && self.keys.is_due()
            && let Ok(uri) = self.jwks_uri().await
        {
            let _ = self.keys.force(|seen| self.read_keys(uri, seen)).await;
        }
        let stale = self.metadata.stale().max(self.keys.stale());
        metrics::upstream_stale(&self.settings.id, stale);
        if stale > ALERT {
            let hours = stale.as_secs() / 3600;
            tracing::error!(
                provider = self.settings.id,
                hours,
                "its documents are old and cannot be read"
            );
        }
    }
}

fn validator(url: &str, reply: &FetchResponse) -> Option<Validator> {
    let etag = reply.headers.get(header::ETAG)?.to_str().ok()?.to_owned();
    Some(Validator {
        url: url.to_owned(),
        etag,
    })
}

const fn code_of(refusal: FetchError) -> RefusalCode {
    match refusal {
        FetchError::Blocked(_) => RefusalCode::Blocked,
        FetchError::Redirect => RefusalCode::Redirect,
        FetchError::TooLarge => RefusalCode::TooLarge,
        FetchError::Timeout => RefusalCode::Timeout,
        FetchError::Down(_) => RefusalCode::ProviderDown,
    }
}
