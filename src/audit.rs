//! The audit trail: one row for each thing that matters, without secrets and without addresses.

use entity::audit_event;
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, TryIntoModel as _};
use uuid::Uuid;

use crate::{
    db::{Db, Tx},
    error::InfraError,
    key,
    secret::{Hash, row_id},
    telemetry::metrics,
};

/// The reason of an event that an operator caused by a command.
pub(crate) const BY_OPERATOR: &str = "ops";

/// The rows, for who lists them.
pub use audit_event::{Column, Entity, Model};

/// What happened. The names are the contract with whoever reads the trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A sign-in mail was asked for.
    MagicLinkRequested,
    /// The mail server took it.
    MagicLinkSent,
    /// Link or code was used.
    MagicLinkConsumed,
    /// Link, code or request was refused; the reason says why.
    MagicLinkRefused,
    /// A person signed in.
    SignedIn,
    /// A person signed out of one session, or of all.
    SignedOut,
    /// A first proof of an address made a user.
    UserCreated,
    /// A first proof of an address ended what was there before it.
    AccessReset,
    /// A client got tokens.
    TokenIssued,
    /// A client was refused tokens; the reason says why.
    TokenRefused,
    /// A client gave up what it had been granted.
    TokenRevoked,
    /// A person took an application's access away.
    AccessWithdrawn,
    /// A provider's discovery document was not taken; the one before it serves on, if there is one.
    ProviderRefused,
    /// A signing key was published; it does not sign yet.
    KeyPublished,
    /// A signing key began to sign.
    KeyActivated,
    /// A signing key stopped signing; its tokens are good until they run out.
    KeyRetiring,
    /// The private part of a signing key was destroyed.
    KeyRetired,
    /// A signing key was taken out at once.
    KeyRevoked,
    /// Ops gave a user other roles.
    UserRolesSet,
    /// Ops gave a user another name, or took it away.
    UserNameSet,
    /// Ops locked a user out.
    UserDisabled,
    /// Ops let a locked user in again.
    UserEnabled,
    /// What came back from an upstream provider, or was to be connected, was refused; the reason says why.
    UpstreamRefused,
    /// An account at a provider was connected to a user.
    IdentityLinked,
    /// An account at a provider was disconnected.
    IdentityUnlinked,
    /// Ops registered a client in the database.
    ClientCreated,
    /// Ops changed what a client may do.
    ClientChanged,
    /// Ops gave a client another secret, or took an old one away.
    ClientSecretRotated,
    /// Ops took a client out.
    ClientDisabled,
    /// Ops let a client count again.
    ClientEnabled,
}

impl Kind {
    /// The name in the trail.
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
            Self::TokenRefused => "token.refused",
            Self::TokenRevoked => "token.revoked",
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
        }
    }
}

/// An event: what happened, and whatever is known of whom and where.
#[derive(Clone, Debug)]
pub struct Event {
    kind: Kind,
    reason: Option<&'static str>,
    row: audit_event::ActiveModel,
}

impl Event {
    /// Of this kind.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        // Every column is named, so that all events are one statement: a refused one costs what another does (A2).
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

    /// Why it was refused: a fixed word, never input.
    #[must_use]
    pub fn reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self.row.reason = Set(Some(reason.to_owned()));
        self
    }

    /// Which signing key, by its published identifier, or what became of a provider. It stands where refusals have their
    /// reason.
    #[must_use]
    pub fn key(mut self, kid: &str) -> Self {
        self.row.reason = Set(Some(kid.to_owned()));
        self
    }

    /// Who.
    #[must_use]
    pub fn user(mut self, id: Uuid) -> Self {
        self.row.user_id = Set(Some(id));
        self
    }

    /// In which session.
    #[must_use]
    pub fn session(mut self, id: Uuid) -> Self {
        self.row.session_id = Set(Some(id));
        self
    }

    /// In which flow.
    #[must_use]
    pub fn flow(mut self, id: Uuid) -> Self {
        self.row.flow_id = Set(Some(id));
        self
    }

    /// For which client.
    #[must_use]
    pub fn client(mut self, id: Option<&str>) -> Self {
        self.row.client_id = Set(id.map(str::to_owned));
        self
    }

    /// By which upstream provider: its id in the configuration.
    #[must_use]
    pub fn provider(mut self, id: &str) -> Self {
        self.row.provider = Set(Some(id.to_owned()));
        self
    }

    /// For which address: the keyed hash of its folded form.
    #[must_use]
    pub fn address(mut self, key: &[u8]) -> Self {
        self.row.address_key = Set(Some(key.to_vec()));
        self
    }

    /// From where: network and request.
    #[must_use]
    pub fn caller(mut self, network: &str, request_id: &str) -> Self {
        self.row.network = Set(Some(network.to_owned()));
        self.row.request_id = Set(Some(request_id.to_owned()));
        self
    }

    /// Writes it, in the unit of work of what it tells of.
    ///
    /// # Errors
    /// The database's own.
    pub async fn record(mut self, tx: &Tx) -> Result<(), InfraError> {
        self.row.id = Set(row_id(tx.now));
        self.row.at = Set(tx.now);
        self.row.insert(tx.conn()).await?.try_into_model()?;
        tx.on_commit(move || count(self.kind, self.reason));
        Ok(())
    }
}

/// Writes down and logs what became of signing keys: one row each.
///
/// # Errors
/// The database's own.
pub async fn keys(
    db: &Db,
    changes: impl Iterator<Item = (key::State, &str)>,
) -> Result<(), InfraError> {
    let changes: Vec<_> = changes.collect();
    if changes.is_empty() {
        return Ok(());
    }
    let tx = db.begin().await?;
    for (state, kid) in changes {
        tracing::info!(kid, ?state, "a signing key changed");
        Event::new(of_key(state)).key(kid).record(&tx).await?;
    }
    tx.commit().await
}

/// Writes down that a provider's discovery document was refused, and why (DJ-07).
///
/// # Errors
/// The database's own.
pub async fn provider(db: &Db, words: &str) -> Result<(), InfraError> {
    let tx = db.begin().await?;
    Event::new(Kind::ProviderRefused)
        .key(words)
        .record(&tx)
        .await?;
    tx.commit().await
}

const fn of_key(state: key::State) -> Kind {
    use key::State;
    match state {
        State::Pending => Kind::KeyPublished,
        State::Active => Kind::KeyActivated,
        State::Retiring => Kind::KeyRetiring,
        State::Retired => Kind::KeyRetired,
        State::Compromised => Kind::KeyRevoked,
    }
}

/// What the trail tells, the metrics count: by kind, and the steps of a sign-in.
fn count(kind: Kind, reason: Option<&'static str>) {
    metrics::audited(kind.name());
    match kind {
        Kind::MagicLinkRequested => metrics::requested(),
        Kind::MagicLinkSent => metrics::mailed(),
        Kind::MagicLinkRefused => metrics::refused(reason.unwrap_or("unknown")),
        _ => {}
    }
}

/// Deletes events older than 13 months, at most `most`; gives how many.
///
/// # Errors
/// The database's own.
pub async fn sweep(tx: &Tx, most: u64) -> Result<u64, InfraError> {
    let old = tx.now - std::time::Duration::from_secs(396 * 86_400);
    tx.delete_some::<audit_event::Entity>(
        audit_event::Column::Id,
        audit_event::Column::At.lt(old),
        most,
    )
    .await
}

/// The keyed hash of an address in the trail and in counters is made by whoever folds addresses.
pub type AddressKey = Hash;
