//! The audit log: one row for each security event, without secrets and without addresses.
//!
//! A row is written in the unit of work of what it records, and counted in the metrics once that
//! commits. Only a request that belongs to a flow, session, user, client or grant writes a row (ST-17).

use entity::audit_event;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, EntityTrait as _, QueryTrait as _,
    sea_query::InsertStatement,
};
use uuid::Uuid;

use crate::{
    db::{Db, Tx},
    error::InfraError,
    key,
    secret::{Hash, row_id},
    telemetry::metrics,
};

/// A reason of an event. Each module lists its own reasons, as an enum. The words are a contract with
/// readers of the audit log, and never input.
pub trait AuditReason {
    /// Returns the word in the audit log.
    fn word(self) -> &'static str;
}

/// The reason of an event that an operator caused by a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByOperator;

impl AuditReason for ByOperator {
    fn word(self) -> &'static str {
        "ops"
    }
}

pub use audit_event::{Column, Entity, Model};

/// The kind of an event. The names are a contract with readers of the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A sign-in email was requested.
    MagicLinkRequested,
    /// The mail server accepted the email.
    MagicLinkSent,
    /// A link or code was used.
    MagicLinkConsumed,
    /// A link, code or request was refused.
    MagicLinkRefused,
    SignedIn,
    /// A user signed out of one session, or of all.
    SignedOut,
    /// The first sign-in with an address created a user.
    UserCreated,
    /// The first verification of an address ended older access (E2).
    AccessReset,
    TokenIssued,
    /// A client exchanged an access token of another client for the user.
    TokenExchanged,
    TokenRefused,
    /// A client revoked its grant.
    TokenRevoked,
    /// A user allowed a device to use their account.
    DeviceApproved,
    /// A user denied it.
    DeviceDenied,
    /// A user removed an application's access.
    AccessWithdrawn,
    /// A provider's discovery document was refused; the previous one stays in use.
    ProviderRefused,
    /// A signing key was published and does not sign yet.
    KeyPublished,
    /// A signing key began to sign.
    KeyActivated,
    /// A signing key stopped signing; its tokens are valid until they expire.
    KeyRetiring,
    /// The private part of a signing key was destroyed.
    KeyRetired,
    /// A signing key was removed from the key set at once.
    KeyRevoked,
    UserRolesSet,
    UserNameSet,
    UserDisabled,
    UserEnabled,
    /// A provider's response or a connection with an account there was refused.
    UpstreamRefused,
    /// An account at a provider was connected to a user.
    IdentityLinked,
    /// An account at a provider was disconnected.
    IdentityUnlinked,
    ClientCreated,
    ClientChanged,
    ClientSecretRotated,
    ClientDisabled,
    ClientEnabled,
    /// A client was not notified of the end of a session: the last attempt failed.
    LogoutDropped,
}

impl Kind {
    /// Returns the name in the audit log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MagicLinkRequested => "magic_link.requested",
            Self::MagicLinkSent => "magic_link.sent",
            Self::MagicLinkConsumed => "magic_link.consumed",
            Self::MagicLinkRefused => "magic_link.refused",
            Self::SignedIn => "session.signed_in",
            Self::SignedOut => "session.signed_out",
            Self::UserCreated => "user.created",
            Self::AccessReset => "user.access_reset",
            Self::TokenIssued => "token.issued",
            Self::TokenExchanged => "token.exchanged",
            Self::TokenRefused => "token.refused",
            Self::TokenRevoked => "token.revoked",
            Self::DeviceApproved => "device.approved",
            Self::DeviceDenied => "device.denied",
            Self::AccessWithdrawn => "access.withdrawn",
            Self::ProviderRefused => "provider.refused",
            Self::KeyPublished => "key.published",
            Self::KeyActivated => "key.activated",
            Self::KeyRetiring => "key.retiring",
            Self::KeyRetired => "key.retired",
            Self::KeyRevoked => "key.revoked",
            Self::UserRolesSet => "user.roles_set",
            Self::UserNameSet => "user.name_set",
            Self::UserDisabled => "user.disabled",
            Self::UserEnabled => "user.enabled",
            Self::UpstreamRefused => "upstream.refused",
            Self::IdentityLinked => "identity.linked",
            Self::IdentityUnlinked => "identity.unlinked",
            Self::ClientCreated => "client.created",
            Self::ClientChanged => "client.changed",
            Self::ClientSecretRotated => "client.secret_rotated",
            Self::ClientDisabled => "client.disabled",
            Self::ClientEnabled => "client.enabled",
            Self::LogoutDropped => "logout.dropped",
        }
    }
}

/// An event with the user, session, client and caller that are known.
#[derive(Clone, Debug)]
pub struct Event {
    kind: Kind,
    reason: Option<&'static str>,
    row: audit_event::ActiveModel,
}

impl Event {
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        // Every column is set, so that all events are one statement and cost the same (A2).
        let row = audit_event::ActiveModel {
            kind: Set(kind.name().to_owned()),
            reason: Set(None),
            user_id: Set(None),
            session_id: Set(None),
            flow_id: Set(None),
            client_id: Set(None),
            address_key: Set(None),
            network: Set(None),
            request_id: Set(None),
            provider: Set(None),
            ..Default::default()
        };
        Self {
            kind,
            reason: None,
            row,
        }
    }

    #[must_use]
    pub fn reason(mut self, reason: impl AuditReason) -> Self {
        let word = reason.word();
        self.reason = Some(word);
        self.row.reason = Set(Some(word.to_owned()));
        self
    }

    /// Sets the subject of an event of a key or provider, in the column of the reason.
    #[must_use]
    pub fn key(mut self, kid: &str) -> Self {
        self.row.reason = Set(Some(kid.to_owned()));
        self
    }

    #[must_use]
    pub fn user(mut self, id: Uuid) -> Self {
        self.row.user_id = Set(Some(id));
        self
    }

    #[must_use]
    pub fn session(mut self, id: Uuid) -> Self {
        self.row.session_id = Set(Some(id));
        self
    }

    #[must_use]
    pub fn flow(mut self, id: Uuid) -> Self {
        self.row.flow_id = Set(Some(id));
        self
    }

    #[must_use]
    pub fn client(mut self, id: Option<&str>) -> Self {
        self.row.client_id = Set(id.map(str::to_owned));
        self
    }

    /// Sets the upstream provider: its id in the configuration.
    #[must_use]
    pub fn provider(mut self, id: &str) -> Self {
        self.row.provider = Set(Some(id.to_owned()));
        self
    }

    /// Sets the address: the keyed hash of its folded form.
    #[must_use]
    pub fn address(mut self, key: &[u8]) -> Self {
        self.row.address_key = Set(Some(key.to_vec()));
        self
    }

    /// Sets the caller's network and the request's id.
    #[must_use]
    pub fn caller(mut self, network: &str, request_id: &str) -> Self {
        self.row.network = Set(Some(network.to_owned()));
        self.row.request_id = Set(Some(request_id.to_owned()));
        self
    }

    /// Writes the row in the unit of work of what it records.
    pub async fn record(self, tx: &Tx) -> Result<(), InfraError> {
        let insert = self.into_insert(tx);
        tx.defer::<audit_event::Entity>(insert).await
    }

    /// Writes the row together with another insertion, by one statement. Returns how many rows the
    /// other inserted. The row is written even if that is none.
    pub async fn record_with(self, tx: &Tx, other: InsertStatement) -> Result<u64, InfraError> {
        let insert = self.into_insert(tx);
        tx.insert_and(insert, other).await
    }

    /// Returns the statement that writes the row, which is counted once the unit of work commits.
    fn into_insert(mut self, tx: &Tx) -> InsertStatement {
        self.row.id = Set(row_id(tx.now));
        self.row.at = Set(tx.now);
        tx.on_commit(move || count(self.kind, self.reason));
        audit_event::Entity::insert(self.row).into_query()
    }
}

/// Records and logs changes of signing keys, one row each.
pub async fn record_key_changes(
    db: &Db,
    changes: impl Iterator<Item = (key::KeyState, &str)>,
) -> Result<(), InfraError> {
    let changes: Vec<_> = changes.collect();
    if changes.is_empty() {
        return Ok(());
    }
    let tx = db.begin().await?;
    for (state, kid) in changes {
        tracing::info!(kid, ?state, "a signing key changed");
        Event::new(key_event(state)).key(kid).record(&tx).await?;
    }
    tx.commit().await
}

/// Records that a provider's discovery document was refused, and why (DJ-07).
pub async fn record_provider_refusal(db: &Db, reason: &str) -> Result<(), InfraError> {
    let tx = db.begin().await?;
    Event::new(Kind::ProviderRefused)
        .key(reason)
        .record(&tx)
        .await?;
    tx.commit().await
}

const fn key_event(state: key::KeyState) -> Kind {
    use key::KeyState;
    match state {
        KeyState::Pending => Kind::KeyPublished,
        KeyState::Active => Kind::KeyActivated,
        KeyState::Retiring => Kind::KeyRetiring,
        KeyState::Retired => Kind::KeyRetired,
        KeyState::Compromised => Kind::KeyRevoked,
    }
}

/// Counts an event in the metrics: by kind, and the steps of a sign-in.
fn count(kind: Kind, reason: Option<&'static str>) {
    metrics::audited(kind.name());
    match kind {
        Kind::MagicLinkRequested => metrics::requested(),
        Kind::MagicLinkSent => metrics::mailed(),
        Kind::MagicLinkRefused => metrics::refused(reason.unwrap_or("unknown")),
        _ => {}
    }
}

/// Deletes at most `most` events older than 13 months, and returns their number.
pub async fn sweep(tx: &Tx, most: u64) -> Result<u64, InfraError> {
    let old = tx.now - std::time::Duration::from_secs(396 * 86_400);
    tx.delete_some::<audit_event::Entity>(
        audit_event::Column::Id,
        audit_event::Column::At.lt(old),
        most,
    )
    .await
}

/// The keyed hash of an address, in the audit log and in counters (E6).
pub type AddressKey = Hash;
