//! The audit trail: one row for each thing that matters, without secrets and without addresses.

use entity::audit_event;
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _,
    TryIntoModel as _,
};
use uuid::Uuid;

use crate::{
    db::Tx,
    secret::{Hash, row_id},
    web::error::Failure,
};

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
        }
    }
}

/// An event: what happened, and whatever is known of whom and where.
#[derive(Clone, Debug)]
pub struct Event {
    row: audit_event::ActiveModel,
}

impl Event {
    /// Of this kind.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self { row: audit_event::ActiveModel { kind: Set(kind.name().to_owned()), ..Default::default() } }
    }

    /// Why it was refused: a fixed word, never input.
    #[must_use]
    pub fn reason(mut self, reason: &'static str) -> Self {
        self.row.reason = Set(Some(reason.to_owned()));
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
    pub async fn record(mut self, tx: &Tx) -> Result<(), Failure> {
        self.row.id = Set(row_id(tx.now));
        self.row.at = Set(tx.now);
        self.row.insert(tx.conn()).await?.try_into_model()?;
        Ok(())
    }
}

/// Deletes events older than 13 months, at most `most`; gives how many.
///
/// # Errors
/// The database's own.
pub async fn sweep(tx: &Tx, most: u64) -> Result<u64, Failure> {
    let old = tx.now - std::time::Duration::from_secs(396 * 86_400);
    let ids: Vec<Uuid> = audit_event::Entity::find()
        .select_only()
        .column(audit_event::Column::Id)
        .filter(audit_event::Column::At.lt(old))
        .limit(most)
        .into_tuple()
        .all(tx.conn())
        .await?;
    if ids.is_empty() {
        return Ok(0);
    }
    Ok(audit_event::Entity::delete_many()
        .filter(audit_event::Column::Id.is_in(ids))
        .exec(tx.conn())
        .await?
        .rows_affected)
}

/// The keyed hash of an address in the trail and in counters is made by whoever folds addresses.
pub type AddressKey = Hash;
