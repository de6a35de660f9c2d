//! What the metrics and traces show of statements.

use std::time::Duration;

use crate::telemetry::{metrics, trace};

/// Counts and traces a statement. Of its text only the operation and the table are looked at, of its values nothing.
pub(super) fn observe(system: &'static str, sql: &str, elapsed: Duration, failed: bool) {
    let operation = trace::operation(sql);
    metrics::statement(operation, elapsed, failed);
    trace::statement(system, operation, sql, elapsed, failed);
}
