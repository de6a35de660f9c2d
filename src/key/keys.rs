//! The keys in use: loaded, reloaded, and used to sign and to verify.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use entity::signing_key::State;
use serde::Serialize;
use tokio::sync::Notify;

use super::{
    jwt::{self, Claims, ExpectedToken, TokenError},
    lifecycle, provider,
    public::alg_name,
    row::{self, ALGS, KeyInfo},
    seal,
    snapshot::{PublishedKeys, Snapshot, read_rows},
    verified::VerifiedTokens,
};
use crate::{
    clock::Time,
    config::Alg,
    db::Db,
    error::InfraError,
    secret::{MasterKeys, Sealer},
};

/// The pause after a first key could not be made.
const FIRST_KEY_PAUSE: Duration = Duration::from_secs(1);

/// Signing stops while the clock is further behind the last signature, in milliseconds (ST-13).
const MAX_STEP_BACK: i64 = 5_000;

/// The signing keys in use. Clones share them.
#[derive(Clone)]
pub struct Keys {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    db: Db,
    master: Sealer,
    pub(super) snapshot: ArcSwap<Snapshot>,
    /// Allows one reload at a time, so that older rows never replace newer ones.
    reloading: tokio::sync::Mutex<()>,
    /// Wakes those that wait for the first keys.
    changed: Notify,
    /// When `snapshot` was last confirmed by the database, in seconds since `started`.
    pub(super) confirmed_at: AtomicI64,
    started: Instant,
    /// The latest moment of a signature.
    pub(super) signed_at: AtomicI64,
    verified: VerifiedTokens,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.inner.snapshot.load();
        f.debug_struct("Keys")
            .field("kids", &snapshot.keys.keys())
            .finish_non_exhaustive()
    }
}

/// The header of our tokens (RFC 7515 §4).
#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: &'static str,
    kid: &'a str,
}

impl Keys {
    /// Loads the keys. At the first start it makes an active key for each algorithm; of instances
    /// that start together, one makes it and the others use it.
    ///
    /// # Errors
    /// [`InfraError::Internal`], with words that help, if a private key does not open (a wrong
    /// master key), if a row was altered, or if jsonwebtoken was used before [`super::install`].
    pub async fn open(db: &Db, masters: &MasterKeys) -> Result<Self, InfraError> {
        let keys = Self::load(db, masters).await?;
        for alg in ALGS {
            keys.make_if_missing(alg).await?;
        }
        Ok(keys)
    }

    /// Loads the keys as [`Keys::open`] does, but makes a first RS256 key in the background: a new
    /// instance listens at once, and only what needs that key waits for it
    /// ([`Keys::until_complete`], SP-6).
    ///
    /// # Errors
    /// As [`Keys::open`].
    pub async fn open_for_service(db: &Db, masters: &MasterKeys) -> Result<Self, InfraError> {
        let keys = Self::load(db, masters).await?;
        keys.make_if_missing(Alg::ES256).await?;
        if !keys.has_active(Alg::RS256) {
            let keys = keys.clone();
            tokio::spawn(async move {
                while let Err(error) = keys.make_if_missing(Alg::RS256).await {
                    tracing::warn!("the first RS256 key could not be made, trying again: {error}");
                    tokio::time::sleep(FIRST_KEY_PAUSE).await;
                }
            });
        }
        Ok(keys)
    }

    async fn load(db: &Db, masters: &MasterKeys) -> Result<Self, InfraError> {
        if !provider::is_installed() {
            return Err(InfraError::internal(
                "jsonwebtoken was used before key::install(): call it first in main",
            ));
        }
        let keys = Self {
            inner: Arc::new(Inner {
                db: db.clone(),
                master: masters.sealer(seal::WRAP),
                snapshot: ArcSwap::from_pointee(Snapshot::empty()),
                reloading: tokio::sync::Mutex::default(),
                changed: Notify::new(),
                confirmed_at: AtomicI64::new(0),
                started: Instant::now(),
                signed_at: AtomicI64::new(i64::MIN),
                verified: VerifiedTokens::default(),
            }),
        };
        keys.reload().await?;
        Ok(keys)
    }

    /// Makes a first key, unless there is one.
    async fn make_if_missing(&self, alg: Alg) -> Result<(), InfraError> {
        if self.has_active(alg) {
            return Ok(());
        }
        let new_key = row::make_key(alg, self.master()).await?;
        let tx = self.db().begin().await?;
        lifecycle::insert_first(&tx, new_key).await?;
        tx.commit().await?;
        self.reload().await
    }

    fn has_active(&self, alg: Alg) -> bool {
        self.inner.snapshot.load().active(alg).is_some()
    }

    /// Waits until there is a key for each algorithm: at once, but during the first second of the
    /// first start. Not to be awaited within a unit of work, which the first key may wait for.
    pub async fn until_complete(&self) {
        loop {
            let changed = self.inner.changed.notified();
            if ALGS.into_iter().all(|alg| self.has_active(alg)) {
                return;
            }
            changed.await;
        }
    }

    /// Reads the keys again, for a job that runs every few seconds: one query, and no more if
    /// nothing changed. Only new keys are parsed.
    ///
    /// # Errors
    /// Also for a row that is damaged. The keys in use stay.
    pub async fn reload(&self) -> Result<(), InfraError> {
        let _guard = self.inner.reloading.lock().await;
        let started = self.age();
        let rows = read_rows(self.db()).await?;
        let old = self.inner.snapshot.load();
        if rows != old.rows {
            self.inner
                .snapshot
                .store(Arc::new(Snapshot::load(rows, self.master(), &old)?));
            self.inner.changed.notify_waiters();
        }
        self.inner.confirmed_at.store(started, Ordering::Relaxed);
        Ok(())
    }

    /// Lists every key that ever was, the oldest first. It needs no master key.
    pub async fn list(db: &Db) -> Result<Vec<KeyInfo>, InfraError> {
        Ok(read_rows(db)
            .await?
            .into_iter()
            .map(KeyInfo::from)
            .collect())
    }

    /// Signs `claims` (a JSON object) as a compact JWS (RFC 7515 §7.1) with `alg`, `kid` and `typ`
    /// in the header.
    ///
    /// # Errors
    /// [`InfraError::Unavailable`] while the clock is more than 5 s behind the last signature, if
    /// the keys have not been confirmed for so long that others may be in use, or while the first
    /// key is made.
    pub fn sign<C: Serialize>(
        &self,
        alg: Alg,
        typ: &str,
        claims: &C,
    ) -> Result<String, InfraError> {
        self.check_confirmed()?;
        self.check_clock(self.db().clock().now())?;
        let snapshot = self.inner.snapshot.load();
        let key = snapshot
            .active(alg)
            .ok_or_else(|| InfraError::Unavailable {
                dependency: "signing keys",
                cause: format!("there is no active {} key yet", alg_name(alg)),
            })?;
        let pair = key
            .pair
            .as_ref()
            .ok_or_else(|| InfraError::internal("an active key without its private part"))?;
        let header = Header {
            typ,
            alg: alg_name(alg),
            kid: &key.kid,
        };
        let mut token = String::with_capacity(1536);
        BASE64.encode_string(
            serde_json::to_vec(&header).map_err(InfraError::internal)?,
            &mut token,
        );
        token.push('.');
        BASE64.encode_string(
            serde_json::to_vec(claims).map_err(InfraError::internal)?,
            &mut token,
        );
        let signature = pair
            .sign(token.as_bytes())
            .ok_or_else(|| InfraError::internal("a key cannot sign"))?;
        token.push('.');
        BASE64.encode_string(signature, &mut token);
        Ok(token)
    }

    /// Verifies a token of ours strictly, with the keys that are published now.
    pub fn verify(&self, token: &str, expect: &ExpectedToken<'_>) -> Result<Claims, TokenError> {
        let snapshot = self.inner.snapshot.load();
        jwt::verify(
            token,
            &self.inner.verified,
            |kid| snapshot.published_key(kid),
            expect,
            self.db().clock().now(),
        )
    }

    /// Verifies an ID token given as `id_token_hint`: it may have expired and its key may be
    /// retired. The caller compares `aud` (OpenID Connect RP-Initiated Logout 1.0 §2).
    pub fn verify_hint(&self, token: &str, issuer: &str) -> Result<Claims, TokenError> {
        let snapshot = self.inner.snapshot.load();
        let known = |kid: &str| {
            snapshot
                .keys
                .get(kid)
                .filter(|key| key.state != State::Compromised)
        };
        let find = |kid: &str| known(kid).map(|key| &key.public);
        jwt::verify_hint(token, &self.inner.verified, find, issuer)
    }

    /// Returns how long the active key of each algorithm has been signing.
    #[must_use]
    pub fn ages(&self) -> Vec<(&'static str, Duration)> {
        let (snapshot, now) = (self.inner.snapshot.load(), self.db().clock().now());
        let age = |alg| {
            Some((
                alg_name(alg),
                now.since(snapshot.active(alg)?.activated_at?),
            ))
        };
        ALGS.into_iter().filter_map(age).collect()
    }

    #[must_use]
    pub fn published(&self) -> Arc<PublishedKeys> {
        Arc::clone(&self.inner.snapshot.load().published)
    }

    /// ST-13: a clock that stepped back would date tokens before others that were already issued.
    fn check_clock(&self, now: Time) -> Result<(), InfraError> {
        let last = self.inner.signed_at.load(Ordering::Relaxed);
        if now.0 > last {
            self.inner.signed_at.fetch_max(now.0, Ordering::Relaxed);
            return Ok(());
        }
        let behind = last.saturating_sub(now.0);
        if behind <= MAX_STEP_BACK {
            return Ok(());
        }
        Err(InfraError::Unavailable {
            dependency: "clock",
            cause: format!("{behind} ms behind the last signature"),
        })
    }

    /// An instance that cannot read the keys must stop signing before its key may be out of the
    /// JWKS. This counts time that passed, so that a moved wall clock has no influence.
    fn check_confirmed(&self) -> Result<(), InfraError> {
        let age = self
            .age()
            .saturating_sub(self.inner.confirmed_at.load(Ordering::Relaxed));
        if u64::try_from(age).unwrap_or(0) <= lifecycle::MAX_UNCONFIRMED.as_secs() {
            return Ok(());
        }
        Err(InfraError::Unavailable {
            dependency: "signing keys",
            cause: format!("not read for {age} s"),
        })
    }

    fn age(&self) -> i64 {
        i64::try_from(self.inner.started.elapsed().as_secs()).unwrap_or(i64::MAX)
    }

    pub(super) fn db(&self) -> &Db {
        &self.inner.db
    }

    pub(super) fn master(&self) -> &Sealer {
        &self.inner.master
    }
}

#[cfg(test)]
mod tests;
