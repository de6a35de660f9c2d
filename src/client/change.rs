//! Changes that operators make to clients of the database, each recorded in the audit log.
//!
//! A definition is checked whole before it is stored, just as the configuration file is. Secrets
//! are generated here, shown once, and kept as their SHA-256; two are valid while a client moves
//! from one to the next (CA-5).

use toml::Value;

use super::{
    definition::DefinitionContext,
    store::{self, Row},
};
use crate::{
    audit::{AuditReason, ByOperator, Event, Kind},
    config::{Client, ClientAuth, ClientBlock, Problem, client_definition},
    db::Tx,
    error::InfraError,
    secret::{Hash, Plain, Text},
};

/// The keys of a definition that operators do not set: the identifier never changes, and a secret
/// on a command line is visible to all users of that machine.
pub const KEYS_NOT_SET_BY_HAND: [&str; 3] = ["client_id", "client_secret", "client_secret_file"];

/// A client after a change.
#[derive(Debug)]
pub struct ChangedClient {
    pub client: Client,
    /// The new secret, if there is one: it is shown now and never again.
    pub secret: Option<Text>,
    pub warnings: Vec<Problem>,
}

/// The reason why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ClientChangeError {
    #[error("a client with this identifier exists")]
    AlreadyExists,
    #[error("the database has no client with this identifier")]
    NotFound,
    #[error("the definition has problems")]
    Invalid(Vec<Problem>),
    /// The client authenticates without a secret of ours.
    #[error("the client has no secret")]
    NoSecret,
    #[error("the client is in this state already")]
    Unchanged,
    #[error("another change was made at the same time")]
    ConcurrentChange,
    #[error(transparent)]
    Infra(#[from] InfraError),
}

/// What happens to the secrets of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretRotation {
    /// A new secret is generated; the old one is valid until the next rotation or
    /// [`SecretRotation::EndOld`].
    KeepOld,
    /// A new secret is generated, and no old one is valid: they may have leaked.
    ReplaceAll,
    /// No new secret is generated, and the old one ends.
    EndOld,
}

impl AuditReason for SecretRotation {
    fn word(self) -> &'static str {
        match self {
            Self::KeepOld => "old_kept",
            Self::ReplaceAll => "old_ended",
            Self::EndOld => "finished",
        }
    }
}

/// Registers a client. A client that authenticates with a secret gets one, unless the block has
/// hashes of secrets.
pub async fn create(
    tx: &Tx,
    mut block: ClientBlock,
    context: DefinitionContext<'_>,
) -> Result<ChangedClient, ClientChangeError> {
    let method = block
        .keys
        .get("token_endpoint_auth_method")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let needs_secret =
        method.starts_with("client_secret_") && !block.keys.contains_key("client_secret_sha256");
    let secret = needs_secret.then(Plain::generate);
    if let Some(secret) = &secret {
        let hashes = Value::Array(vec![hash(secret).into()]);
        block.keys.insert("client_secret_sha256".to_owned(), hashes);
    }
    let (client, warnings) = context
        .parse_block(block)
        .map_err(ClientChangeError::Invalid)?;
    let text = client_definition(&client).map_err(InfraError::internal)?;
    if !store::insert(tx, &client.client_id, text).await? {
        return Err(ClientChangeError::AlreadyExists);
    }
    Event::new(Kind::ClientCreated)
        .client(Some(&client.client_id))
        .reason(ByOperator)
        .record(tx)
        .await?;
    Ok(ChangedClient {
        client,
        secret: secret.map(|secret| Text::new(secret.to_text())),
        warnings,
    })
}

/// Gives a client another secret, or ends an old one.
pub async fn rotate_secret(
    tx: &Tx,
    id: &str,
    rotation: SecretRotation,
    context: DefinitionContext<'_>,
) -> Result<ChangedClient, ClientChangeError> {
    let row = find_row(tx, id).await?;
    let (mut client, _) = context
        .parse_row(&row)
        .map_err(ClientChangeError::Invalid)?;
    if !matches!(
        client.token_endpoint_auth_method,
        ClientAuth::ClientSecretBasic | ClientAuth::ClientSecretPost
    ) {
        return Err(ClientChangeError::NoSecret);
    }
    let hashes = &mut client.client_secret_sha256;
    hashes.truncate(match rotation {
        SecretRotation::ReplaceAll => 0,
        SecretRotation::KeepOld | SecretRotation::EndOld => 1,
    });
    let secret = (rotation != SecretRotation::EndOld).then(Plain::generate);
    hashes.splice(0..0, secret.as_ref().map(hash));
    let event = Event::new(Kind::ClientSecretRotated).reason(rotation);
    update_definition(tx, &row, &client, event).await?;
    Ok(ChangedClient {
        client,
        secret: secret.map(|secret| Text::new(secret.to_text())),
        warnings: Vec::new(),
    })
}

/// Sets keys of a client, each to a text that is parsed by the type of its key. An empty text
/// removes the key.
pub async fn set_keys(
    tx: &Tx,
    id: &str,
    keys: &[(String, String)],
    context: DefinitionContext<'_>,
) -> Result<ChangedClient, ClientChangeError> {
    let row = find_row(tx, id).await?;
    let Some(mut block) = ClientBlock::from_definition(id, &row.definition) else {
        let problems = context.parse_row(&row).err();
        return Err(ClientChangeError::Invalid(problems.unwrap_or_default()));
    };
    for (key, text) in keys {
        if text.is_empty() {
            block.keys.remove(key);
        } else {
            block.set(key, text);
        }
    }
    let (client, warnings) = context
        .parse_block(block)
        .map_err(ClientChangeError::Invalid)?;
    let event = Event::new(Kind::ClientChanged).reason(ByOperator);
    update_definition(tx, &row, &client, event).await?;
    Ok(ChangedClient {
        client,
        secret: None,
        warnings,
    })
}

/// Enables or disables a client. Its definition may have problems: disabling always works.
pub async fn set_enabled(tx: &Tx, id: &str, enabled: bool) -> Result<Row, ClientChangeError> {
    let mut row = find_row(tx, id).await?;
    if row.enabled == enabled {
        return Err(ClientChangeError::Unchanged);
    }
    if !store::set_enabled(tx, &row, enabled).await? {
        return Err(ClientChangeError::ConcurrentChange);
    }
    let kind = if enabled {
        Kind::ClientEnabled
    } else {
        Kind::ClientDisabled
    };
    Event::new(kind)
        .client(Some(id))
        .reason(ByOperator)
        .record(tx)
        .await?;
    row.enabled = enabled;
    Ok(row)
}

async fn find_row(tx: &Tx, id: &str) -> Result<Row, ClientChangeError> {
    store::find(tx.conn(), id)
        .await?
        .ok_or(ClientChangeError::NotFound)
}

async fn update_definition(
    tx: &Tx,
    row: &Row,
    client: &Client,
    event: Event,
) -> Result<(), ClientChangeError> {
    let text = client_definition(client).map_err(InfraError::internal)?;
    if !store::update_definition(tx, row, text).await? {
        return Err(ClientChangeError::ConcurrentChange);
    }
    event.client(Some(&client.client_id)).record(tx).await?;
    Ok(())
}

/// Returns what is kept of a secret: the hash of its text, as the client presents it.
fn hash(secret: &Plain) -> String {
    Hash::of(secret.to_text().as_bytes()).to_hex()
}
