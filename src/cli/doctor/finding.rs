//! What a check of `entree doctor` found.

use std::{fmt::Display, time::Duration};

use serde::Serialize;

use crate::config::Problem;

/// The time-out of one check, longer than the time-outs inside it.
pub(super) const CHECK_TIMEOUT: Duration = Duration::from_secs(8);

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FindingState {
    Ok,
    /// It works, but an operator should look at it.
    Warn,
    /// The service does not work, or not safely, until this is fixed.
    Fail,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) check: String,
    pub(super) state: FindingState,
    pub(super) what: String,
    /// The fix; empty if there is nothing to fix.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) hint: String,
}

impl Finding {
    pub(super) fn ok(check: impl Into<String>, what: impl Display) -> Self {
        Self {
            check: check.into(),
            state: FindingState::Ok,
            what: what.to_string(),
            hint: String::new(),
        }
    }

    pub(super) fn warn(check: impl Into<String>, what: impl Display, hint: impl Display) -> Self {
        Self {
            check: check.into(),
            state: FindingState::Warn,
            what: what.to_string(),
            hint: hint.to_string(),
        }
    }

    pub(super) fn fail(check: impl Into<String>, what: impl Display, hint: impl Display) -> Self {
        Self {
            check: check.into(),
            state: FindingState::Fail,
            what: what.to_string(),
            hint: hint.to_string(),
        }
    }

    pub(super) fn from_problem(problem: &Problem, state: FindingState) -> Self {
        let what = format!("{} {}", problem.key, problem.what);
        Self {
            check: "configuration".to_owned(),
            state,
            what,
            hint: problem.hint.clone(),
        }
    }
}

/// Returns a number with its noun: `1 client`, `2 clients`.
pub(super) fn count_of(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
