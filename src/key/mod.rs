//! The keys that sign our tokens: made, kept, published, changed, and used to sign and to verify.
//!
//! Signing reads one snapshot in memory: it parses nothing, waits for no lock and asks no database. What the database
//! says reaches the snapshot with [`Keys::reload`]. Private keys leave this room only sealed (`seal`); the life of a
//! key is in `rotation`, the strict verifier in `jwt`.

mod foreign;
mod jwt;
mod pair;
mod provider;
mod public;
mod remote;
mod rotation;
mod row;
mod seal;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use entity::signing_key;
pub use entity::signing_key::State;
use sea_orm::{EntityTrait as _, QueryOrder as _};
use serde::Serialize;

pub use foreign::Foreign;
pub use jwt::{Claims, Expect, Refusal};
pub use provider::install;
pub use remote::ClientKeys;
pub use rotation::Change;
pub use row::Listed;

use crate::{
    clock::Time,
    config::Alg,
    db::Db,
    error::InfraError,
    secret::{Hash, MasterKeys, Sealer},
};
use public::{Public, name};
use row::{ALGS, Held, is_published};

/// How far the clock may fall behind the last signature before none is made any more, in milliseconds.
const MAX_STEP_BACK: i64 = 5_000;

/// The signing keys in force. Clones share them.
#[derive(Clone)]
pub struct Keys {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    master: Sealer,
    snapshot: ArcSwap<Snapshot>,
    /// One reload at a time, so that an older reading never replaces a newer one.
    reloading: tokio::sync::Mutex<()>,
    /// When `snapshot` was last found to be what the database says, in seconds since `born`.
    read_at: AtomicI64,
    born: Instant,
    /// The latest moment of a signature.
    signed_at: AtomicI64,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.inner.snapshot.load();
        f.debug_struct("Keys")
            .field("kids", &snapshot.held.keys())
            .finish_non_exhaustive()
    }
}

/// The published key set as bytes, made once per change.
#[derive(Debug)]
pub struct Published {
    /// RFC 7517 §5 JSON.
    pub body: Vec<u8>,
    /// A strong ETag, quoted.
    pub etag: String,
}

/// All keys as the database had them.
struct Snapshot {
    /// What was read; private parts are sealed in it.
    rows: Vec<signing_key::Model>,
    held: HashMap<String, Held>,
    es256: Option<Held>,
    rs256: Option<Held>,
    published: Arc<Published>,
}

impl Snapshot {
    /// Reads every row; what `old` holds is not parsed again.
    fn read(
        rows: Vec<signing_key::Model>,
        master: &Sealer,
        old: &Self,
    ) -> Result<Self, InfraError> {
        let mut held = HashMap::with_capacity(rows.len());
        for row in &rows {
            held.insert(
                row.kid.clone(),
                Held::read(row, master, old.held.get(&row.kid))?,
            );
        }
        let active = |alg| {
            held.values()
                .find(|key| key.state == State::Active && key.public.alg() == alg)
                .cloned()
        };
        let (es256, rs256) = (active(Alg::ES256), active(Alg::RS256));
        Ok(Self {
            es256,
            rs256,
            published: Arc::new(publish(&rows)),
            held,
            rows,
        })
    }

    fn empty() -> Self {
        Self {
            rows: Vec::new(),
            held: HashMap::new(),
            es256: None,
            rs256: None,
            published: Arc::new(publish(&[])),
        }
    }

    const fn active(&self, alg: Alg) -> Option<&Held> {
        match alg {
            Alg::ES256 => self.es256.as_ref(),
            Alg::RS256 => self.rs256.as_ref(),
        }
    }

    fn published_key(&self, kid: &str) -> Option<&Public> {
        self.held
            .get(kid)
            .filter(|key| is_published(key.state))
            .map(|key| &key.public)
    }
}

async fn rows(db: &Db) -> Result<Vec<signing_key::Model>, InfraError> {
    use signing_key::{Column, Entity};
    Ok(Entity::find()
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::Kid)
        .all(db.read())
        .await?)
}

/// RFC 7517 §5: the public halves of published keys, the oldest first.
fn publish(rows: &[signing_key::Model]) -> Published {
    let jwks: Vec<&str> = rows
        .iter()
        .filter(|row| is_published(row.state))
        .map(|row| row.public_jwk.as_str())
        .collect();
    let body = format!("{{\"keys\":[{}]}}", jwks.join(",")).into_bytes();
    let etag = format!("\"{}\"", BASE64.encode(Hash::of(&body).as_bytes()));
    Published { body, etag }
}

/// The ES256 signature of `message` with a key that is not ours to keep: PKCS#8 from the configuration (RFC 7518 §3.4).
/// None: it is no such key.
#[must_use]
pub fn sign_es256(pkcs8: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    pair::Pair::parse(Alg::ES256, pkcs8)?.sign(message)
}

/// RFC 7515 §4: what our tokens say of themselves.
#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: &'static str,
    kid: &'a str,
}

impl Keys {
    /// Loads the keys, and makes an active one for each algorithm that has none: at first start. Of copies that start
    /// together one makes it and the others take it over.
    ///
    /// # Errors
    /// [`InfraError::Internal`] with words that help if a private key does not open (a wrong master key) or a row was
    /// altered, and if jsonwebtoken was used before [`install`]; the database's own.
    pub async fn open(db: &Db, masters: &MasterKeys) -> Result<Self, InfraError> {
        if !provider::installed() {
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
                read_at: AtomicI64::new(0),
                born: Instant::now(),
                signed_at: AtomicI64::new(i64::MIN),
            }),
        };
        keys.reload().await?;
        for alg in ALGS {
            if keys.inner.snapshot.load().active(alg).is_none() {
                keys.make_first(alg).await?;
            }
        }
        Ok(keys)
    }

    async fn make_first(&self, alg: Alg) -> Result<(), InfraError> {
        let made = row::make(alg, self.master()).await?;
        let tx = self.db().begin().await?;
        rotation::first(&tx, made).await?;
        tx.commit().await?;
        self.reload().await
    }

    /// Takes over what the database says now. For a job, every few seconds: one query, and nothing else where nothing
    /// changed. Parses only keys that are new.
    ///
    /// # Errors
    /// The database's own, or a row that cannot be believed; the keys in force stay.
    pub async fn reload(&self) -> Result<(), InfraError> {
        let _one = self.inner.reloading.lock().await;
        let began = self.age();
        let rows = rows(self.db()).await?;
        let old = self.inner.snapshot.load();
        if rows != old.rows {
            self.inner
                .snapshot
                .store(Arc::new(Snapshot::read(rows, self.master(), &old)?));
        }
        self.inner.read_at.store(began, Ordering::Relaxed);
        Ok(())
    }

    /// Every key that there ever was, the oldest first. Needs no master key.
    ///
    /// # Errors
    /// The database's own.
    pub async fn list(db: &Db) -> Result<Vec<Listed>, InfraError> {
        Ok(rows(db).await?.into_iter().map(Listed::from).collect())
    }

    /// Signs `claims` (a JSON object) as a compact JWS (RFC 7515 §7.1) with `alg`, `kid` and `typ` in the header.
    ///
    /// # Errors
    /// [`InfraError::Unavailable`] while the clock is more than 5 s behind the last signature, or if the keys in force were not
    /// confirmed for so long that they may be others by now; [`InfraError::Internal`] for claims that are not JSON.
    pub fn sign<C: Serialize>(
        &self,
        alg: Alg,
        typ: &str,
        claims: &C,
    ) -> Result<String, InfraError> {
        self.is_confirmed()?;
        self.is_forward(self.db().clock().now())?;
        let snapshot = self.inner.snapshot.load();
        let key = snapshot
            .active(alg)
            .ok_or_else(|| InfraError::internal(format!("no active {} key", name(alg))))?;
        let pair = key
            .pair
            .as_ref()
            .ok_or_else(|| InfraError::internal("an active key without its private part"))?;
        let header = Header {
            typ,
            alg: name(alg),
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
            .ok_or_else(|| InfraError::internal("a key refused to sign"))?;
        token.push('.');
        BASE64.encode_string(signature, &mut token);
        Ok(token)
    }

    /// Verifies a token of ours strictly; the keys are those published now, and nothing in the token names others.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify(&self, token: &str, expect: &Expect<'_>) -> Result<Claims, Refusal> {
        let snapshot = self.inner.snapshot.load();
        jwt::verify(
            token,
            |kid| snapshot.published_key(kid),
            expect,
            self.db().clock().now(),
        )
    }

    /// Verifies an ID token given as `id_token_hint`: it may have expired, its key may be retired, and `aud` is the
    /// caller's to compare (OpenID Connect RP-Initiated Logout 1.0 §2).
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify_hint(&self, token: &str, issuer: &str) -> Result<Claims, Refusal> {
        let snapshot = self.inner.snapshot.load();
        let known = |kid: &str| {
            snapshot
                .held
                .get(kid)
                .filter(|key| key.state != State::Compromised)
        };
        jwt::verify_hint(token, |kid| known(kid).map(|key| &key.public), issuer)
    }

    /// For how long the active key of each algorithm has been signing.
    #[must_use]
    pub fn ages(&self) -> Vec<(&'static str, Duration)> {
        let (snapshot, now) = (self.inner.snapshot.load(), self.db().clock().now());
        let age = |alg| Some((name(alg), now.since(snapshot.active(alg)?.activated_at?)));
        ALGS.into_iter().filter_map(age).collect()
    }

    /// The JWKS.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.inner.snapshot.load().published)
    }

    /// A clock that stepped back would date tokens before others that are already out.
    fn is_forward(&self, now: Time) -> Result<(), InfraError> {
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

    /// A copy that cannot read the keys must stop before its own may be out of the JWKS. Time that passed, not time of
    /// day: a moved wall clock neither stops nor prolongs it.
    fn is_confirmed(&self) -> Result<(), InfraError> {
        let age = self
            .age()
            .saturating_sub(self.inner.read_at.load(Ordering::Relaxed));
        if u64::try_from(age).unwrap_or(0) <= rotation::STALE.as_secs() {
            return Ok(());
        }
        Err(InfraError::Unavailable {
            dependency: "signing keys",
            cause: format!("not read for {age} s"),
        })
    }

    fn age(&self) -> i64 {
        i64::try_from(self.inner.born.elapsed().as_secs()).unwrap_or(i64::MAX)
    }

    fn db(&self) -> &Db {
        &self.inner.db
    }

    fn master(&self) -> &Sealer {
        &self.inner.master
    }
}

#[cfg(test)]
mod tests;
