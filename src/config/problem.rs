//! The problems of a configuration, and the list to which the checks add them.

use std::{
    fmt::{self, Display},
    ops::RangeInclusive,
};

/// Ten years, in seconds: no setting needs more, and no sum of two overflows.
pub(super) const MAX_SECONDS: u64 = 3_650 * 86_400;

/// Something that is wrong with the configuration. No part of it shows a value, which may be a
/// secret.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Where: `clients[0].redirect_uris[1]`.
    pub key: String,
    /// What is wrong, as the words that follow the key: `is empty`.
    pub what: String,
    /// What to do, as a sentence.
    pub hint: String,
}

impl Problem {
    #[must_use]
    pub fn new(key: impl Into<String>, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            what: what.into(),
            hint: hint.into(),
        }
    }

    /// Whether this problem follows from the one at `cause`: it is at the same place, inside that
    /// place, or at the secret whose `_file` that is.
    fn follows_from(&self, cause: &str) -> bool {
        let is_within = |outer: &str| {
            self.key
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        is_within(cause) || cause.strip_suffix("_file").is_some_and(is_within)
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}. {}", self.key, self.what, self.hint)
    }
}

/// Adds the problems that the checks found, except those that follow from a known one: what could
/// not be read was replaced, and checks of the replacement say nothing.
pub(super) fn add_unrelated(problems: &mut Vec<Problem>, found: Vec<Problem>) {
    let causes: Vec<String> = problems.iter().map(|problem| problem.key.clone()).collect();
    let is_unrelated = |problem: &Problem| !causes.iter().any(|cause| problem.follows_from(cause));
    problems.extend(found.into_iter().filter(is_unrelated));
}

/// The result of the checks.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    /// What works but deserves a look.
    pub(super) warnings: Vec<Problem>,
}

impl Findings {
    /// Returns the list for one section, whose keys begin with `prefix`.
    pub(super) fn section(&mut self, prefix: impl Into<String>) -> Section<'_> {
        Section {
            prefix: prefix.into(),
            findings: self,
        }
    }
}

/// The findings of one section: `mail`, `clients[0]`.
pub(super) struct Section<'a> {
    prefix: String,
    findings: &'a mut Findings,
}

impl Section<'_> {
    fn problem(&self, key: impl Display, what: &str, hint: &str) -> Problem {
        Problem::new(format!("{}.{key}", self.prefix), what, hint)
    }

    /// Adds a problem.
    pub(super) fn refuse(&mut self, key: impl Display, what: &str, hint: &str) {
        let problem = self.problem(key, what, hint);
        self.findings.problems.push(problem);
    }

    /// Adds a problem unless the setting `is_valid`.
    pub(super) fn require(&mut self, is_valid: bool, key: impl Display, what: &str, hint: &str) {
        if !is_valid {
            self.refuse(key, what, hint);
        }
    }

    /// Adds a warning if the setting `is_risky`.
    pub(super) fn warn_if(&mut self, is_risky: bool, key: impl Display, what: &str, hint: &str) {
        if is_risky {
            let warning = self.problem(key, what, hint);
            self.findings.warnings.push(warning);
        }
    }

    /// Adds a problem unless the number is within its bounds.
    pub(super) fn range(&mut self, value: u64, bounds: RangeInclusive<u64>, key: impl Display) {
        let (low, high) = (bounds.start(), bounds.end());
        let what = format!("is {value}");
        let hint = format!("Set a number from {low} to {high}.");
        self.require(bounds.contains(&value), key, &what, &hint);
    }
}
