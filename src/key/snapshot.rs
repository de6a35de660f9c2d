//! All keys as the database had them when they were last read.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use entity::signing_key::{self, State};
use sea_orm::{EntityTrait as _, QueryOrder as _};

use super::{
    public::VerifyingKey,
    row::{LoadedKey, is_published},
};
use crate::{
    config::Alg,
    db::Db,
    error::InfraError,
    secret::{Hash, Sealer},
};

/// The published key set, encoded once per change.
#[derive(Debug)]
pub struct PublishedKeys {
    /// RFC 7517 §5 JSON.
    pub body: Vec<u8>,
    /// A strong ETag, quoted.
    pub etag: String,
}

pub(super) struct Snapshot {
    /// The rows, with sealed private parts.
    pub(super) rows: Vec<signing_key::Model>,
    pub(super) keys: HashMap<String, LoadedKey>,
    pub(super) es256: Option<LoadedKey>,
    rs256: Option<LoadedKey>,
    pub(super) published: Arc<PublishedKeys>,
}

impl Snapshot {
    /// Loads every row. Keys that `old` holds are not parsed again.
    pub(super) fn load(
        rows: Vec<signing_key::Model>,
        master: &Sealer,
        old: &Self,
    ) -> Result<Self, InfraError> {
        let mut keys = HashMap::with_capacity(rows.len());
        for row in &rows {
            keys.insert(
                row.kid.clone(),
                LoadedKey::load(row, master, old.keys.get(&row.kid))?,
            );
        }
        let active = |alg| {
            keys.values()
                .find(|key| key.state == State::Active && key.public.alg() == alg)
                .cloned()
        };
        let (es256, rs256) = (active(Alg::ES256), active(Alg::RS256));
        Ok(Self {
            es256,
            rs256,
            published: Arc::new(publish(&rows)),
            keys,
            rows,
        })
    }

    pub(super) fn empty() -> Self {
        Self {
            rows: Vec::new(),
            keys: HashMap::new(),
            es256: None,
            rs256: None,
            published: Arc::new(publish(&[])),
        }
    }

    pub(super) const fn active(&self, alg: Alg) -> Option<&LoadedKey> {
        match alg {
            Alg::ES256 => self.es256.as_ref(),
            Alg::RS256 => self.rs256.as_ref(),
        }
    }

    pub(super) fn published_key(&self, kid: &str) -> Option<&VerifyingKey> {
        self.keys
            .get(kid)
            .filter(|key| is_published(key.state))
            .map(|key| &key.public)
    }
}

pub(super) async fn read_rows(db: &Db) -> Result<Vec<signing_key::Model>, InfraError> {
    use signing_key::{Column, Entity};
    Ok(Entity::find()
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::Kid)
        .all(db.read())
        .await?)
}

/// RFC 7517 §5: the public halves of published keys, the oldest first.
fn publish(rows: &[signing_key::Model]) -> PublishedKeys {
    let jwks: Vec<&str> = rows
        .iter()
        .filter(|row| is_published(row.state))
        .map(|row| row.public_jwk.as_str())
        .collect();
    let body = format!("{{\"keys\":[{}]}}", jwks.join(",")).into_bytes();
    let etag = format!("\"{}\"", BASE64.encode(Hash::of(&body).as_bytes()));
    PublishedKeys { body, etag }
}
