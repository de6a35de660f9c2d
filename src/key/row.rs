//! Between rows and keys in memory: a row is believed only if its private part opens and is what its name says.

use std::sync::Arc;

use entity::signing_key::{self, State};
use sea_orm::{ActiveEnum as _, ActiveValue::Set};

use super::{
    pair::{self, Pair},
    public::{Public, name},
    seal::{self, Sealed},
};
use crate::{clock::Time, config::Alg, error::InfraError, secret::Sealer};

/// The algorithms that we sign with; each always has an active key.
pub(super) const ALGS: [Alg; 2] = [Alg::ES256, Alg::RS256];

/// A new key, sealed, not yet in the table.
pub(super) struct Made {
    kid: String,
    public: Public,
    sealed: Sealed,
}

/// Makes a key, off the threads that serve: RSA takes tens of milliseconds.
///
/// # Errors
/// If the cryptography refuses.
pub(super) async fn make(alg: Alg, master: &Sealer) -> Result<Made, InfraError> {
    let pkcs8 = tokio::task::spawn_blocking(move || pair::generate(alg))
        .await
        .map_err(InfraError::internal)?;
    let refused = || InfraError::internal(format!("no {} key could be made", name(alg)));
    let pkcs8 = pkcs8.ok_or_else(refused)?;
    let public = Pair::parse(alg, &pkcs8)
        .and_then(|pair| pair.public())
        .ok_or_else(refused)?;
    let kid = public.thumbprint();
    let sealed = seal::seal(master, &kid, alg, &pkcs8);
    Ok(Made {
        kid,
        public,
        sealed,
    })
}

impl Made {
    /// RFC 7638 thumbprint.
    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    /// Its algorithm.
    pub(super) const fn alg(&self) -> Alg {
        self.public.alg()
    }

    /// Its row, published now, and signing from now if `state` is active.
    pub(super) fn row(self, state: State, now: Time) -> signing_key::ActiveModel {
        signing_key::ActiveModel {
            kid: Set(self.kid),
            alg: Set(name(self.public.alg()).to_owned()),
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

/// A key as ops may see it: nothing secret, and nothing that would need the master key.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Listed {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// `ES256` or `RS256`.
    pub alg: String,
    /// `pending`, `active`, `retiring`, `retired` or `compromised`.
    pub state: String,
    /// In the JWKS since.
    pub published_at: Time,
    /// Signing since.
    pub activated_at: Option<Time>,
    /// Signing until, or taken out at.
    pub demoted_at: Option<Time>,
}

impl From<signing_key::Model> for Listed {
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

/// A row, read and believed.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// RFC 7638 thumbprint.
    pub(super) kid: String,
    /// Where in its life.
    pub(super) state: State,
    /// The public half.
    pub(super) public: Public,
    /// Signing since.
    pub(super) activated_at: Option<Time>,
    /// The private half of keys that sign or will: dropped when they stop.
    pub(super) pair: Option<Arc<Pair>>,
}

/// Whether a key in this state is in the JWKS.
pub(super) const fn is_published(state: State) -> bool {
    matches!(state, State::Pending | State::Active | State::Retiring)
}

/// Whether a key in this state signs or will.
const fn is_needed(state: State) -> bool {
    matches!(state, State::Pending | State::Active)
}

impl Held {
    /// Reads a row. A published key must prove itself by its sealed private part: a public key that someone wrote into
    /// the table would otherwise be believed by everyone. `known` is what was held under this `kid`, and thus the same
    /// key: once proven, it is not parsed again.
    ///
    /// # Errors
    /// [`InfraError::Internal`] for a row that does not open or is not what its name says.
    pub(super) fn read(
        row: &signing_key::Model,
        master: &Sealer,
        known: Option<&Self>,
    ) -> Result<Self, InfraError> {
        let public = Public::from_jwk(&row.public_jwk)
            .filter(|public| name(public.alg()) == row.alg && public.thumbprint() == row.kid)
            .ok_or_else(|| damaged(&row.kid))?;
        let activated_at = row.activated_at;
        let held = |pair| Self {
            kid: row.kid.clone(),
            state: row.state,
            public: public.clone(),
            activated_at,
            pair,
        };
        if !is_published(row.state) {
            return Ok(held(None));
        }
        // One that was not published is not proven: only a private part that opens puts a key back.
        match known.filter(|known| is_published(known.state)) {
            Some(_) if !is_needed(row.state) => return Ok(held(None)),
            Some(Self {
                pair: Some(pair), ..
            }) => return Ok(held(Some(Arc::clone(pair)))),
            _ => {}
        }
        let pair = unseal(row, public.alg(), master)?;
        if pair.public().as_ref() != Some(&public) {
            return Err(damaged(&row.kid));
        }
        Ok(held(is_needed(row.state).then(|| Arc::new(pair))))
    }
}

fn unseal(row: &signing_key::Model, alg: Alg, master: &Sealer) -> Result<Pair, InfraError> {
    let (Some(private), Some(data_key)) =
        (row.sealed_private.clone(), row.wrapped_data_key.clone())
    else {
        return Err(damaged(&row.kid));
    };
    let pkcs8 = seal::open(master, &row.kid, alg, &Sealed { private, data_key })
        .ok_or_else(|| unopened(&row.kid))?;
    Pair::parse(alg, &pkcs8).ok_or_else(|| damaged(&row.kid))
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
