//! What the handles to a database have sent: counted work, which `tests/work.toml` bounds (SP-1).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Statements and commits since the database was opened. BEGIN and COMMIT are statements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub statements: u64,
    pub commits: u64,
}

/// Counts what is sent. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub(super) struct SentCounter {
    statements: Arc<AtomicU64>,
    commits: Arc<AtomicU64>,
}

impl SentCounter {
    pub(super) fn statement(&self) {
        self.statements.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn commit(&self) {
        self.statement();
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Sent {
        Sent {
            statements: self.statements.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
        }
    }
}
