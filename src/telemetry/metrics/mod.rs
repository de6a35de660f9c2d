//! The metrics of the process, as Prometheus text and, if configured, by OTLP.
//!
//! Modules call one function for each thing that is counted; this module imports none of them. Labels take
//! few values, from fixed words, patterns of routes and the identifiers of registered clients and providers:
//! never an address, a token, a path or a name. Metric names are a contract with dashboards and alerts:
//! [`NAMES`] lists them, and a test compares `deploy/` with the list.

mod instruments;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use opentelemetry::{KeyValue, StringValue};
use opentelemetry_otlp::MetricExporter;
use prometheus::TextEncoder;

use instruments::Instruments;

pub(super) use instruments::resource;

/// Every name under which `/metrics` may show a value; histograms add `_bucket`, `_count` and `_sum`.
pub const NAMES: [&str; 42] = [
    "entree_audit_events_total",
    "entree_build_info",
    "entree_database_connections",
    "entree_database_connections_max",
    "entree_device_sign_ins_total",
    "entree_dpop_proofs_total",
    "entree_http_request_duration_seconds",
    "entree_key_age_seconds",
    "entree_limit_refusals_total",
    "entree_logout_deliveries_total",
    "entree_logout_oldest_seconds",
    "entree_logout_waiting",
    "entree_mail_ceiling",
    "entree_mail_domains_held_total",
    "entree_mail_held_total",
    "entree_mail_relay_held_total",
    "entree_mail_tries_total",
    "entree_mail_try_duration_seconds",
    "entree_outbox_mails",
    "entree_outbox_oldest_seconds",
    "entree_requests_push_refused_total",
    "entree_requests_pushed_total",
    "entree_sign_in_consume_seconds",
    "entree_sign_in_consumed_total",
    "entree_sign_in_mailed_total",
    "entree_sign_in_opened_total",
    "entree_sign_in_refused_total",
    "entree_sign_in_requested_total",
    "entree_sql_duration_seconds",
    "entree_sql_errors_total",
    "entree_ticket_bytes",
    "entree_ticket_bytes_max",
    "entree_ticket_errors_total",
    "entree_tokens_issued_total",
    "entree_tokens_refused_total",
    "entree_upstream_call_duration_seconds",
    "entree_upstream_calls_total",
    "entree_upstream_refused_total",
    "entree_upstream_signed_in_total",
    "entree_upstream_stale_seconds",
    "entree_upstream_started_total",
    "process_resident_memory_bytes",
];

static INSTRUMENTS: OnceLock<Instruments> = OnceLock::new();

fn instruments() -> &'static Instruments {
    INSTRUMENTS.get_or_init(|| Instruments::new(None))
}

/// Also pushes the metrics through `exporter`, once a minute. It has an effect only before the first
/// recording.
pub(super) fn push(exporter: MetricExporter) {
    let _ = INSTRUMENTS.get_or_init(|| Instruments::new(Some(exporter)));
}

/// Pushes the remaining metrics. It blocks, so it must not run on a thread of the runtime.
pub(super) fn flush() {
    if let Some(instruments) = INSTRUMENTS.get() {
        let _ = instruments.provider.force_flush();
    }
}

/// Returns all metrics in the text format of Prometheus.
///
/// # Errors
/// The reason for the log.
pub fn text() -> Result<String, String> {
    let instruments = instruments();
    if let Some(bytes) = resident_bytes() {
        instruments.memory.record(bytes, &[]);
    }
    TextEncoder::new()
        .encode_to_string(&instruments.registry.gather())
        .map_err(|error| error.to_string())
}

/// Returns the resident memory in bytes, on Linux; pages are taken for 4 KiB.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split_whitespace()
        .nth(1)?
        .parse::<u64>()
        .ok()
        .map(|pages| pages * 4096)
}

fn label(name: &'static str, value: &'static str) -> KeyValue {
    KeyValue::new(name, value)
}

/// Returns a known method, or `other`: the caller chooses the method.
#[must_use]
pub fn method(name: &str) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("other")
}

const fn status_class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// Records a response. `route` is the pattern of the route, never the path.
pub fn answered(method: &'static str, route: Option<Arc<str>>, status: u16, took: Duration) {
    let route = route.map_or_else(|| StringValue::from("unmatched"), StringValue::from);
    let labels = [
        label("method", method),
        KeyValue::new("route", route),
        label("status", status_class(status)),
    ];
    instruments().http.record(took.as_secs_f64(), &labels);
}

/// Records a statement.
pub fn statement(operation: &'static str, took: Duration, failed: bool) {
    let labels = [label("operation", operation)];
    instruments().stores.sql.record(took.as_secs_f64(), &labels);
    if failed {
        instruments().stores.sql_errors.add(1, &labels);
    }
}

/// Counts a failed operation of the ticket store.
pub fn ticket_error(operation: &'static str) {
    instruments()
        .stores
        .ticket_errors
        .add(1, &[label("operation", operation)]);
}

/// Counts a refusal by a budget.
pub fn limited(budget: &'static str) {
    instruments().limited.add(1, &[label("limit", budget)]);
}

/// Counts a committed row of the audit log.
pub fn audited(kind: &'static str) {
    instruments().audit.add(1, &[label("kind", kind)]);
}

/// Counts a sign-in email that was requested and allowed.
pub fn requested() {
    instruments().sign_in.requested.add(1, &[]);
}

/// Counts a sign-in email that the mail server accepted.
pub fn mailed() {
    instruments().sign_in.mailed.add(1, &[]);
}

/// Counts an opened link: in the browser that requested it, or in another (a phone, a scanner).
pub fn opened(same_browser: bool) {
    instruments().sign_in.opened.add(
        1,
        &[label(
            "browser",
            if same_browser { "same" } else { "other" },
        )],
    );
}

/// Counts a sign-in by `link` or `code`, and records the time since the request.
pub fn consumed(by: &'static str, after: Duration) {
    let labels = [label("by", by)];
    instruments().sign_in.consumed.add(1, &labels);
    instruments()
        .sign_in
        .duration
        .record(after.as_secs_f64(), &labels);
}

/// Counts a refused link, code or request for an email.
pub fn refused(reason: &'static str) {
    instruments()
        .sign_in
        .refused
        .add(1, &[label("reason", reason)]);
}

/// Records a delivery attempt: `accepted`, `deferred`, `refused`, `in_doubt`.
pub fn mail_tried(outcome: &'static str, took: Duration) {
    let labels = [label("outcome", outcome)];
    instruments().mail.attempts.add(1, &labels);
    instruments()
        .mail
        .duration
        .record(took.as_secs_f64(), &labels);
}

/// Records the ceiling of emails a minute.
pub fn mail_ceiling(per_minute: u64) {
    instruments().mail.ceiling.record(per_minute, &[]);
}

/// Counts an email that waits because emails are too many.
pub fn mail_held() {
    instruments().mail.held.add(1, &[]);
}

/// Counts a recipient domain whose emails begin to wait because its mail server does not respond.
pub fn mail_domain_held() {
    instruments().mail.domains_held.add(1, &[]);
}

/// Counts that all emails begin to wait because our mail server does not respond.
pub fn mail_relay_held() {
    instruments().mail.relay_held.add(1, &[]);
}

/// Counts a token response to a registered client.
pub fn tokens(grant: &'static str, client: &str) {
    instruments().tokens.add(
        1,
        &[
            label("grant", grant),
            KeyValue::new("client", client.to_owned()),
        ],
    );
}

/// Counts a refused token request by its error.
pub fn tokens_refused(error: &'static str) {
    instruments()
        .tokens_refused
        .add(1, &[label("error", error)]);
}

/// Counts an authorization request that a client pushed.
pub fn pushed(client: &str) {
    let client = KeyValue::new("client", client.to_owned());
    instruments().pushed.add(1, &[client]);
}

/// Counts a refused push by its error.
pub fn push_refused(error: &'static str) {
    let error = label("error", error);
    instruments().push_refused.add(1, &[error]);
}

/// Counts a step of a device's sign-in: `started`, `approved`, `denied` or `delivered`.
pub fn device(step: &'static str) {
    let step = label("step", step);
    instruments().device.add(1, &[step]);
}

/// Counts a proof of possession by what became of it: `accepted`, `invalid`, `nonce_demanded`,
/// `limited`, or `failed`. A proof that is right and whose request is refused for another reason does
/// not count.
pub fn dpop_proof(outcome: &'static str) {
    let outcome = label("outcome", outcome);
    instruments().dpop_proofs.add(1, &[outcome]);
}

/// Counts a sign-in that begins at an upstream provider. `provider` is its id in the configuration.
pub fn upstream_started(provider: &str) {
    instruments()
        .upstream
        .started
        .add(1, &[KeyValue::new("provider", provider.to_owned())]);
}

/// Counts a sign-in with an upstream provider.
pub fn upstream_signed_in(provider: &str) {
    instruments()
        .upstream
        .signed_in
        .add(1, &[KeyValue::new("provider", provider.to_owned())]);
}

/// Counts a refused upstream sign-in by its code.
pub fn upstream_refused(code: &'static str, provider: &str) {
    instruments().upstream.refused.add(
        1,
        &[
            label("code", code),
            KeyValue::new("provider", provider.to_owned()),
        ],
    );
}

/// Records a call to a configured provider: `ok`, `4xx`, `5xx`, `timeout`, `down`, `breaker` and so on.
/// `call` is `discovery`, `keys`, `token`, `userinfo` or `emails`.
pub fn upstream(provider: &str, call: &'static str, outcome: &'static str, took: Duration) {
    let provider = KeyValue::new("provider", provider.to_owned());
    instruments().upstream.calls.add(
        1,
        &[
            provider.clone(),
            label("call", call),
            label("outcome", outcome),
        ],
    );
    instruments()
        .upstream
        .duration
        .record(took.as_secs_f64(), &[provider, label("call", call)]);
}

/// Records for how long a provider's documents have been used past their lifetime; zero if they are
/// fresh.
pub fn upstream_stale(provider: &str, stale: Duration) {
    instruments().upstream.stale.record(
        stale.as_secs_f64(),
        &[KeyValue::new("provider", provider.to_owned())],
    );
}

/// Records the number of emails that wait, and how long the oldest is overdue.
pub fn outbox(waiting: u64, oldest: Duration) {
    instruments().mail.waiting.record(waiting, &[]);
    instruments().mail.oldest.record(oldest.as_secs_f64(), &[]);
}

/// Records an attempt to deliver a logout token: `delivered`, `failed`, `dropped` or `not_wanted`.
pub fn logout_delivery(client: &str, outcome: &'static str) {
    instruments().logout.deliveries.add(
        1,
        &[
            KeyValue::new("client", client.to_owned()),
            label("outcome", outcome),
        ],
    );
}

/// Records the number of logout tokens that wait, and how long the oldest is overdue.
pub fn logouts(waiting: u64, oldest: Duration) {
    let logout = &instruments().logout;
    logout.waiting.record(waiting, &[]);
    logout.oldest.record(oldest.as_secs_f64(), &[]);
}

/// Records the space that a pool of the ticket store takes, and the most of all pools together.
pub fn ticket_bytes(pool: &'static str, used: usize, limit: usize) {
    let stores = &instruments().stores;
    stores
        .ticket_bytes
        .record(used as u64, &[label("pool", pool)]);
    stores.ticket_bytes_max.record(limit as u64, &[]);
}

/// Records the connections of a pool.
pub fn pool(name: &'static str, open: u64, idle: u64, most: u64) {
    let labels = |state| [label("pool", name), label("state", state)];
    instruments()
        .stores
        .connections
        .record(idle.min(open), &labels("idle"));
    instruments()
        .stores
        .connections
        .record(open.saturating_sub(idle), &labels("busy"));
    instruments()
        .stores
        .connections_max
        .record(most, &[label("pool", name)]);
}

/// Records for how long the active key of an algorithm has been signing.
pub fn key_age(alg: &'static str, age: Duration) {
    instruments()
        .key_age
        .record(age.as_secs_f64(), &[label("alg", alg)]);
}

#[cfg(test)]
mod tests;
