//! Conversion between rows and keys in memory. A row is trusted only if its private part opens and
//! is the key that it names.

use std::sync::Arc;

use entity::signing_key::{self, State};
use sea_orm::{ActiveEnum as _, ActiveValue::Set};

use super::{
    pair::{self, SigningPair},
    public::{VerifyingKey, alg_name},
    seal::{self, Sealed},
};
use crate::{clock::Time, config::Alg, error::InfraError, secret::Sealer};

/// The algorithms that we sign with. Each always has an active key.
pub(super) const ALGS: [Alg; 2] = [Alg::ES256, Alg::RS256];

/// A new sealed key that is not in the table yet.
pub(super) struct NewKey {
    kid: String,
    public: VerifyingKey,
    sealed: Sealed,
}

/// Makes a key on a blocking thread: RSA takes tens of milliseconds.
pub(super) async fn make_key(alg: Alg, master: &Sealer) -> Result<NewKey, InfraError> {
    let pkcs8 = tokio::task::spawn_blocking(move || pair::generate(alg))
        .await
        .map_err(InfraError::internal)?;
    let failed = || InfraError::internal(format!("no {} key could be made", alg_name(alg)));
    let pkcs8 = pkcs8.ok_or_else(failed)?;
    let public = SigningPair::parse(alg, &pkcs8)
        .and_then(|pair| pair.verifying_key())
        .ok_or_else(failed)?;
    let kid = public.thumbprint();
    let sealed = seal::seal(master, &kid, alg, &pkcs8);
    Ok(NewKey {
        kid,
        public,
        sealed,
    })
}

impl NewKey {
    /// RFC 7638 thumbprint.
    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) const fn alg(&self) -> Alg {
        self.public.alg()
    }

    /// Returns the row: published now, and signing from now if `state` is active.
    pub(super) fn row(self, state: State, now: Time) -> signing_key::ActiveModel {
        signing_key::ActiveModel {
            kid: Set(self.kid),
            alg: Set(alg_name(self.public.alg()).to_owned()),
            state: Set(state),
            public_jwk: Set(self.public.jwk()),
            sealed_private: Set(Some(self.sealed.private)),
            wrapped_data_key: Set(Some(self.sealed.data_key)),
            created_at: Set(now),
            published_at: Set(now),
            activated_at: Set((state == State::Active).then_some(now)),
            demoted_at: Set(None),
        }
    }
}

/// A key as operators see it. It holds nothing secret and needs no master key.
#[derive(Clone, Debug, serde::Serialize)]
pub struct KeyInfo {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// `ES256` or `RS256`.
    pub alg: String,
    /// `pending`, `active`, `retiring`, `retired` or `compromised`.
    pub state: String,
    pub published_at: Time,
    pub activated_at: Option<Time>,
    /// When it stopped signing, or was compromised.
    pub demoted_at: Option<Time>,
}

impl From<signing_key::Model> for KeyInfo {
    fn from(row: signing_key::Model) -> Self {
        Self {
            kid: row.kid,
            alg: row.alg,
            state: row.state.to_value(),
            published_at: row.published_at,
            activated_at: row.activated_at,
            demoted_at: row.demoted_at,
        }
    }
}

/// A row that was checked.
#[derive(Clone, Debug)]
pub(super) struct LoadedKey {
    /// RFC 7638 thumbprint.
    pub(super) kid: String,
    pub(super) state: State,
    pub(super) public: VerifyingKey,
    pub(super) activated_at: Option<Time>,
    /// The private half, while the key is pending or active.
    pub(super) pair: Option<Arc<SigningPair>>,
}

/// Returns whether a key in this state is in the JWKS.
pub(super) const fn is_published(state: State) -> bool {
    matches!(state, State::Pending | State::Active | State::Retiring)
}

/// Returns whether a key in this state needs its private half.
const fn needs_private(state: State) -> bool {
    matches!(state, State::Pending | State::Active)
}

impl LoadedKey {
    /// Loads a row. The sealed private part must prove a published key: otherwise a public key that
    /// was written into the table would be trusted. `known` is the key that was loaded under this
    /// `kid`; once proven, it is not parsed again.
    ///
    /// # Errors
    /// [`InfraError::Internal`] for a row that does not open or is not the key that it names.
    pub(super) fn load(
        row: &signing_key::Model,
        master: &Sealer,
        known: Option<&Self>,
    ) -> Result<Self, InfraError> {
        let public = VerifyingKey::from_jwk(&row.public_jwk)
            .filter(|public| alg_name(public.alg()) == row.alg && public.thumbprint() == row.kid)
            .ok_or_else(|| damaged(&row.kid))?;
        let activated_at = row.activated_at;
        let loaded = |pair| Self {
            kid: row.kid.clone(),
            state: row.state,
            public: public.clone(),
            activated_at,
            pair,
        };
        if !is_published(row.state) {
            return Ok(loaded(None));
        }
        // A key that was not published is not proven: only a private part that opens restores it.
        match known.filter(|known| is_published(known.state)) {
            Some(_) if !needs_private(row.state) => return Ok(loaded(None)),
            Some(Self {
                pair: Some(pair), ..
            }) => return Ok(loaded(Some(Arc::clone(pair)))),
            _ => {}
        }
        let pair = unseal(row, public.alg(), master)?;
        if pair.verifying_key().as_ref() != Some(&public) {
            return Err(damaged(&row.kid));
        }
        Ok(loaded(needs_private(row.state).then(|| Arc::new(pair))))
    }
}

fn unseal(row: &signing_key::Model, alg: Alg, master: &Sealer) -> Result<SigningPair, InfraError> {
    let (Some(private), Some(data_key)) =
        (row.sealed_private.clone(), row.wrapped_data_key.clone())
    else {
        return Err(damaged(&row.kid));
    };
    let pkcs8 = seal::open(master, &row.kid, alg, &Sealed { private, data_key })
        .ok_or_else(|| unopened(&row.kid))?;
    SigningPair::parse(alg, &pkcs8).ok_or_else(|| damaged(&row.kid))
}

fn unopened(kid: &str) -> InfraError {
    InfraError::internal(format!(
        "signing key {kid} cannot be opened: wrong master key, or its row was altered. Start with the master key that \
         sealed it as server.master_key or among server.previous_master_keys. If that key is lost, set the row's state \
         to 'compromised' and start again: a new key is made, and tokens signed by the old one are no longer good."
    ))
}

fn damaged(kid: &str) -> InfraError {
    InfraError::internal(format!(
        "the row of signing key {kid} is damaged: it does not hold the key that it names. Restore signing_keys from a \
         backup, or set the row's state to 'compromised' (if its public part is damaged, delete it) and start again."
    ))
}
