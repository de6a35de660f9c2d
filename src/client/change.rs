//! What ops change of the clients in the database, each with its row in the trail, in one unit of work.
//!
//! A definition is checked whole before it is stored, as the file is. Secrets are made here, told once, and kept as
//! their SHA-256; two count while a client moves from one to the next (CA-5).

use toml::Value;

use super::{
    registry::read,
    store::{self, Row},
};
use crate::{
    audit::{Event, Kind},
    config::{Block, Client, ClientAuth, Problem, Reloadable, definition},
    db::Tx,
    error::InfraError,
    secret::{Plain, Text},
};

/// Keys of a block that are not set by hand in the database: the identifier never changes, and a secret on a command
/// line is everybody's on that machine.
pub const NOT_BY_HAND: [&str; 3] = ["client_id", "client_secret", "client_secret_file"];

/// What a definition is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// Has the lives that a client has not.
    pub config: &'a Reloadable,
    /// Our public URL.
    pub ours: &'a str,
}

/// A client after a change.
#[derive(Debug)]
pub struct Changed {
    /// It.
    pub client: Client,
    /// Its new secret, if it got one: told now and never again.
    pub secret: Option<Text>,
    /// What works but should be looked at.
    pub warnings: Vec<Problem>,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is one of this identifier.
    There,
    /// There is none in the database.
    Unknown,
    /// The definition has problems.
    Problems(Vec<Problem>),
    /// It authenticates without a secret of ours.
    NoSecret,
    /// It is so already.
    Already,
    /// Somebody else changed it at the same moment.
    Raced,
}

/// What happens to the secrets before the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The one before stays good until the next rotation or [`Rotation::Finish`].
    Keep,
    /// None stays: somebody else may have it.
    AtOnce,
    /// No new one is made, and the one before ends.
    Finish,
}

/// Registers a client. One that authenticates with a secret gets one, unless hashes are given.
///
/// # Errors
/// The database's own.
pub async fn create(
    tx: &Tx,
    mut block: Block,
    against: Against<'_>,
) -> Result<Result<Changed, Refused>, InfraError> {
    let method = block
        .keys
        .get("token_endpoint_auth_method")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let wanted =
        method.starts_with("client_secret_") && !block.keys.contains_key("client_secret_sha256");
    let secret = wanted.then(Plain::generate);
    if let Some(secret) = &secret {
        block.keys.insert(
            "client_secret_sha256".to_owned(),
            Value::Array(vec![hash(secret).into()]),
        );
    }
    let (client, warnings) = match block.read(&against.config.token, against.ours) {
        Ok(read) => read,
        Err(problems) => return Ok(Err(Refused::Problems(problems))),
    };
    let text = definition(&client).map_err(InfraError::internal)?;
    if !store::add(tx, &client.client_id, text).await? {
        return Ok(Err(Refused::There));
    }
    Event::new(Kind::ClientCreated)
        .client(Some(&client.client_id))
        .reason("ops")
        .record(tx)
        .await?;
    Ok(Ok(Changed {
        client,
        secret: secret.map(|secret| Text::new(secret.to_text())),
        warnings,
    }))
}

/// Gives a client another secret, or ends an old one.
///
/// # Errors
/// The database's own.
pub async fn rotate(
    tx: &Tx,
    id: &str,
    rotation: Rotation,
    against: Against<'_>,
) -> Result<Result<Changed, Refused>, InfraError> {
    let (row, mut client) = match look(tx, id, against).await? {
        Ok(found) => found,
        Err(refused) => return Ok(Err(refused)),
    };
    if !matches!(
        client.token_endpoint_auth_method,
        ClientAuth::ClientSecretBasic | ClientAuth::ClientSecretPost
    ) {
        return Ok(Err(Refused::NoSecret));
    }
    let hashes = &mut client.client_secret_sha256;
    hashes.truncate(if rotation == Rotation::AtOnce { 0 } else { 1 });
    let secret = (rotation != Rotation::Finish).then(Plain::generate);
    hashes.splice(0..0, secret.as_ref().map(hash));
    let reason = match rotation {
        Rotation::Keep => "old_kept",
        Rotation::AtOnce => "old_ended",
        Rotation::Finish => "finished",
    };
    let event = Event::new(Kind::ClientSecretRotated).reason(reason);
    let done = define(tx, &row, client, event).await?;
    Ok(done.map(|changed| Changed {
        secret: secret.map(|secret| Text::new(secret.to_text())),
        ..changed
    }))
}

/// Sets keys of a client, each to a text that is read by the type of its key; an empty one takes the key away.
///
/// # Errors
/// The database's own.
pub async fn set(
    tx: &Tx,
    id: &str,
    keys: &[(String, String)],
    against: Against<'_>,
) -> Result<Result<Changed, Refused>, InfraError> {
    let Some(row) = store::by_id(tx.conn(), id).await? else {
        return Ok(Err(Refused::Unknown));
    };
    let Some(mut block) = Block::of(id, &row.definition) else {
        return Ok(Err(Refused::Problems(
            read(&row, against.config, against.ours)
                .err()
                .unwrap_or_default(),
        )));
    };
    for (key, text) in keys {
        if text.is_empty() {
            block.keys.remove(key);
        } else {
            block.set(key, text);
        }
    }
    let (client, warnings) = match block.read(&against.config.token, against.ours) {
        Ok(read) => read,
        Err(problems) => return Ok(Err(Refused::Problems(problems))),
    };
    let done = define(
        tx,
        &row,
        client,
        Event::new(Kind::ClientChanged).reason("ops"),
    )
    .await?;
    Ok(done.map(|changed| Changed {
        warnings,
        ..changed
    }))
}

/// Takes a client out, or lets it count again. Its definition may have problems: taking out always works.
///
/// # Errors
/// The database's own.
pub async fn enable(tx: &Tx, id: &str, enabled: bool) -> Result<Result<Row, Refused>, InfraError> {
    let Some(mut row) = store::by_id(tx.conn(), id).await? else {
        return Ok(Err(Refused::Unknown));
    };
    if row.enabled == enabled {
        return Ok(Err(Refused::Already));
    }
    if !store::enable(tx, &row, enabled).await? {
        return Ok(Err(Refused::Raced));
    }
    let kind = if enabled {
        Kind::ClientEnabled
    } else {
        Kind::ClientDisabled
    };
    Event::new(kind)
        .client(Some(id))
        .reason("ops")
        .record(tx)
        .await?;
    row.enabled = enabled;
    Ok(Ok(row))
}

async fn look(
    tx: &Tx,
    id: &str,
    against: Against<'_>,
) -> Result<Result<(Row, Client), Refused>, InfraError> {
    let Some(row) = store::by_id(tx.conn(), id).await? else {
        return Ok(Err(Refused::Unknown));
    };
    Ok(match read(&row, against.config, against.ours) {
        Ok((client, _)) => Ok((row, client)),
        Err(problems) => Err(Refused::Problems(problems)),
    })
}

async fn define(
    tx: &Tx,
    row: &Row,
    client: Client,
    event: Event,
) -> Result<Result<Changed, Refused>, InfraError> {
    let text = definition(&client).map_err(InfraError::internal)?;
    if !store::define(tx, row, text).await? {
        return Ok(Err(Refused::Raced));
    }
    event.client(Some(&client.client_id)).record(tx).await?;
    Ok(Ok(Changed {
        client,
        secret: None,
        warnings: Vec::new(),
    }))
}

/// What is kept of a secret: of its text, as the client shows it.
fn hash(secret: &Plain) -> String {
    crate::secret::Hash::of(secret.to_text().as_bytes()).to_hex()
}
