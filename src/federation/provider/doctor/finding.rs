//! What a check of a provider found.

use serde::Serialize;

/// The result of one check of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProviderFinding {
    pub ok: bool,
    /// Whether sign-ins may work all the same, if it is not in order.
    pub is_warning: bool,
    /// What was checked: `settings`, `redirect_uri`, `discovery`, `metadata`, `clock`, `keys`,
    /// `client`.
    pub check: &'static str,
    pub message: String,
    /// What the operator can do; empty if it is in order.
    pub hint: String,
}

impl ProviderFinding {
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self {
            ok: true,
            is_warning: false,
            check,
            message: message.into(),
            hint: String::new(),
        }
    }

    pub(super) fn problem(check: &'static str, message: impl Into<String>, hint: &str) -> Self {
        Self {
            ok: false,
            is_warning: false,
            check,
            message: message.into(),
            hint: hint.to_owned(),
        }
    }

    pub(super) fn warning(check: &'static str, message: impl Into<String>, hint: &str) -> Self {
        Self {
            is_warning: true,
            ..Self::problem(check, message, hint)
        }
    }

    /// The finding for an id that names no provider in use.
    pub(in super::super) fn disabled() -> Self {
        Self::problem(
            "settings",
            "there is no such provider, or it is switched off",
            "see [[providers]] in the configuration",
        )
    }
}
