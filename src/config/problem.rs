//! What is wrong with a configuration, and the list that the checks add to.

use std::fmt;

/// Ten years, in seconds: no setting needs more, and no sum of two overflows.
pub(super) const LONG: u64 = 3_650 * 86_400;

/// Something wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Where: `clients[0].redirect_uris[1]`.
    pub key: String,
    /// What is wrong, as a sentence that begins after the key: `is empty`.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

impl Problem {
    /// Makes one.
    #[must_use]
    pub fn new(key: impl Into<String>, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            what: what.into(),
            mend: mend.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.key, self.what, self.mend)
    }
}

/// What was found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl Findings {
    /// Records a problem unless `fine`.
    pub(super) fn need(&mut self, fine: bool, key: impl Into<String>, what: &str, mend: &str) {
        if !fine {
            self.problems.push(Problem::new(key, what, mend));
        }
    }

    /// Records a warning if `odd`.
    pub(super) fn warn(&mut self, odd: bool, key: &str, what: &str, mend: &str) {
        if odd {
            self.warnings.push(Problem::new(key, what, mend));
        }
    }

    pub(super) fn range(
        &mut self,
        value: u64,
        bounds: std::ops::RangeInclusive<u64>,
        key: impl Into<String>,
    ) {
        let (low, high) = (bounds.start(), bounds.end());
        let (what, mend) = (
            format!("is not within {low} and {high}"),
            format!("choose from {low} to {high}"),
        );
        self.need(bounds.contains(&value), key, &what, &mend);
    }
}
