//! How a user authenticated, and whether that is recent enough for a sensitive action.

use std::time::Duration;

use entity::Time;
use uuid::Uuid;

use super::Session;

/// How long after an authentication an action that needs a fresh one is allowed.
pub const FRESH_FOR: Duration = Duration::from_secs(600);

/// The `acr` of an authentication at an upstream provider.
pub const UPSTREAM_ACR: &str = "urn:entree:acr:upstream";

/// How a user authenticated, for `acr` and `amr` (ST-16, RFC 8176).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod<'a> {
    /// By an emailed link or code.
    Email,
    /// At an upstream provider.
    Upstream {
        /// The linked account.
        identity_id: Uuid,
        /// The methods that the provider reports, separated by spaces; empty if it reports none.
        amr: &'a str,
    },
}

impl<'a> AuthMethod<'a> {
    #[must_use]
    pub const fn acr(self) -> &'static str {
        match self {
            Self::Email => "urn:entree:acr:email",
            Self::Upstream { .. } => UPSTREAM_ACR,
        }
    }

    /// Returns the `amr` values, separated by spaces. If empty, tokens leave `amr` out.
    #[must_use]
    pub const fn amr(self) -> &'a str {
        match self {
            Self::Email => "otp",
            Self::Upstream { amr, .. } => amr,
        }
    }

    #[must_use]
    pub const fn identity_id(self) -> Option<Uuid> {
        match self {
            Self::Email => None,
            Self::Upstream { identity_id, .. } => Some(identity_id),
        }
    }
}

/// Returns whether a provider authenticated the user of a session. The provider may have used a
/// session of its own, of any age, so this never counts as a fresh authentication (ST-12).
#[must_use]
pub fn is_from_upstream(session: &Session) -> bool {
    session.acr == UPSTREAM_ACR
}

/// Returns whether the user of a session authenticated within [`FRESH_FOR`], with us. Adding or
/// removing a sign-in method needs that: with an upstream authentication alone, an attacker who
/// took over the account at the provider could add methods of their own.
#[must_use]
pub fn is_fresh(session: &Session, now: Time) -> bool {
    !is_from_upstream(session) && now.since(session.auth_time) <= FRESH_FOR
}
