//! Numbers: counters, gauges and histograms of the whole process, as Prometheus text and, if wanted, by OTLP.
//!
//! Rooms call one function for each thing that is counted; this file knows no room. Labels take few values and come from
//! fixed words, patterns of routes and the identifiers of registered clients: never an address, a token, a path, a name.
//! Names are a contract with dashboards and alerts: [`NAMES`] lists them, and a test holds `deploy/` to the list.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use opentelemetry::{
    KeyValue, StringValue,
    metrics::{Counter, Gauge, Histogram, Meter, MeterProvider as _},
};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::{
    Resource,
    metrics::{MeterProviderBuilder, SdkMeterProvider},
};
use prometheus::{Registry, TextEncoder};

/// Every name under which `/metrics` may show a value; histograms add `_bucket`, `_count` and `_sum`.
pub const NAMES: [&str; 29] = [
    "entree_audit_events_total",
    "entree_build_info",
    "entree_database_connections",
    "entree_database_connections_max",
    "entree_http_request_duration_seconds",
    "entree_key_age_seconds",
    "entree_limit_refusals_total",
    "entree_mail_tries_total",
    "entree_mail_try_duration_seconds",
    "entree_outbox_mails",
    "entree_outbox_oldest_seconds",
    "entree_sign_in_consume_seconds",
    "entree_sign_in_consumed_total",
    "entree_sign_in_mailed_total",
    "entree_sign_in_opened_total",
    "entree_sign_in_refused_total",
    "entree_sign_in_requested_total",
    "entree_sql_duration_seconds",
    "entree_sql_errors_total",
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

/// Seconds of an answer: from a cached document to our own time-out.
const ANSWERS: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];
/// Seconds of a statement.
const STATEMENTS: [f64; 10] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0, 5.0,
];
/// Seconds of a try to send a mail.
const TRIES: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 30.0];
/// Seconds from asking for a mail to using it: people, not machines.
const PEOPLE: [f64; 10] = [
    5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0,
];

static METERS: OnceLock<Meters> = OnceLock::new();

struct Meters {
    provider: SdkMeterProvider,
    registry: Registry,
    audit: Counter<u64>,
    http: Histogram<f64>,
    sql: Histogram<f64>,
    sql_errors: Counter<u64>,
    ticket_errors: Counter<u64>,
    limited: Counter<u64>,
    mail_tries: Counter<u64>,
    mail_took: Histogram<f64>,
    requested: Counter<u64>,
    mailed: Counter<u64>,
    opened: Counter<u64>,
    consumed: Counter<u64>,
    consume_took: Histogram<f64>,
    refused: Counter<u64>,
    tokens: Counter<u64>,
    tokens_refused: Counter<u64>,
    upstream_started: Counter<u64>,
    upstream_signed_in: Counter<u64>,
    upstream_refused: Counter<u64>,
    upstream_calls: Counter<u64>,
    upstream_took: Histogram<f64>,
    upstream_stale: Gauge<f64>,
    outbox: Gauge<u64>,
    outbox_oldest: Gauge<f64>,
    pool: Gauge<u64>,
    pool_max: Gauge<u64>,
    key_age: Gauge<f64>,
    memory: Gauge<u64>,
}

fn meters() -> &'static Meters {
    METERS.get_or_init(|| Meters::new(None))
}

fn histogram(
    meter: &Meter,
    name: &'static str,
    help: &'static str,
    boundaries: &[f64],
) -> Histogram<f64> {
    meter
        .f64_histogram(name)
        .with_description(help)
        .with_boundaries(boundaries.to_vec())
        .build()
}

fn provider(exporter: Option<MetricExporter>, registry: &Registry) -> SdkMeterProvider {
    let with_push = |builder: MeterProviderBuilder| match exporter {
        Some(exporter) => builder.with_periodic_exporter(exporter),
        None => builder,
    };
    let text = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .without_target_info()
        .build();
    let builder = with_push(SdkMeterProvider::builder().with_resource(resource()));
    match text {
        Ok(text) => builder.with_reader(text).build(),
        Err(error) => {
            tracing::error!(%error, "there will be no /metrics");
            builder.build()
        }
    }
}

/// Who speaks, in metrics and traces that are pushed.
pub(super) fn resource() -> Resource {
    Resource::builder_empty()
        .with_service_name("entree")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

impl Meters {
    fn new(exporter: Option<MetricExporter>) -> Self {
        let registry = Registry::new();
        let provider = provider(exporter, &registry);
        let m = provider.meter("entree");
        let counter = |name, help: &'static str| m.u64_counter(name).with_description(help).build();
        let gauge = |name, help: &'static str| m.u64_gauge(name).with_description(help).build();
        let seconds = |name, help: &'static str| m.f64_gauge(name).with_description(help).build();
        gauge(
            "entree_build_info",
            "Always 1; the label tells the version.",
        )
        .record(1, &[KeyValue::new("version", env!("CARGO_PKG_VERSION"))]);
        Self {
            audit: counter("entree_audit_events", "Rows of the audit trail, by kind."),
            http: histogram(
                &m,
                "entree_http_request_duration_seconds",
                "Answers, by route and status class.",
                &ANSWERS,
            ),
            sql: histogram(
                &m,
                "entree_sql_duration_seconds",
                "Statements, by operation.",
                &STATEMENTS,
            ),
            sql_errors: counter("entree_sql_errors", "Statements that failed, by operation."),
            ticket_errors: counter(
                "entree_ticket_errors",
                "Steps of the ticket store that failed, by operation.",
            ),
            limited: counter("entree_limit_refusals", "What a budget refused, by budget."),
            mail_tries: counter("entree_mail_tries", "Tries to send a mail, by outcome."),
            mail_took: histogram(
                &m,
                "entree_mail_try_duration_seconds",
                "Tries to send a mail.",
                &TRIES,
            ),
            requested: counter(
                "entree_sign_in_requested",
                "Sign-in mails that were asked for and allowed.",
            ),
            mailed: counter(
                "entree_sign_in_mailed",
                "Sign-in mails that the mail server took.",
            ),
            opened: counter(
                "entree_sign_in_opened",
                "Links that were opened, in the browser that asked or another.",
            ),
            consumed: counter("entree_sign_in_consumed", "Sign-ins, by link or code."),
            consume_took: histogram(
                &m,
                "entree_sign_in_consume_seconds",
                "From asking to signing in.",
                &PEOPLE,
            ),
            refused: counter(
                "entree_sign_in_refused",
                "Links, codes and requests that were refused, by reason.",
            ),
            tokens: counter(
                "entree_tokens_issued",
                "Token responses, by grant and client.",
            ),
            tokens_refused: counter(
                "entree_tokens_refused",
                "Token requests that were refused, by error.",
            ),
            upstream_started: counter(
                "entree_upstream_started",
                "Sign-ins begun at an upstream provider, by provider.",
            ),
            upstream_signed_in: counter(
                "entree_upstream_signed_in",
                "Sign-ins by an upstream provider, by provider.",
            ),
            upstream_refused: counter(
                "entree_upstream_refused",
                "Refused upstream sign-ins, by code and provider.",
            ),
            upstream_calls: counter(
                "entree_upstream_calls",
                "Calls to upstream providers, by provider and outcome.",
            ),
            upstream_took: histogram(
                &m,
                "entree_upstream_call_duration_seconds",
                "Calls to upstream providers.",
                &TRIES,
            ),
            upstream_stale: seconds(
                "entree_upstream_stale_seconds",
                "For how long old documents of a provider serve.",
            ),
            outbox: gauge("entree_outbox_mails", "Mails that wait to be sent."),
            outbox_oldest: seconds(
                "entree_outbox_oldest_seconds",
                "How long the oldest waiting mail is overdue.",
            ),
            pool: gauge(
                "entree_database_connections",
                "Open connections, by pool and state.",
            ),
            pool_max: gauge(
                "entree_database_connections_max",
                "The most connections of a pool.",
            ),
            key_age: seconds(
                "entree_key_age_seconds",
                "For how long the active key has been signing, by algorithm.",
            ),
            memory: gauge("process_resident_memory_bytes", "Resident memory."),
            provider,
            registry,
        }
    }
}

/// Also pushes the numbers through `exporter`, once a minute. Before anything is counted; later it does nothing.
pub(super) fn push(exporter: MetricExporter) {
    let _ = METERS.get_or_init(|| Meters::new(Some(exporter)));
}

/// Pushes what is left. Blocks: not on a thread of the runtime.
pub(super) fn flush() {
    if let Some(meters) = METERS.get() {
        let _ = meters.provider.force_flush();
    }
}

/// Everything, in the text format of Prometheus.
///
/// # Errors
/// Why it could not be written, in words for the log.
pub fn text() -> Result<String, String> {
    let meters = meters();
    if let Some(bytes) = resident() {
        meters.memory.record(bytes, &[]);
    }
    TextEncoder::new()
        .encode_to_string(&meters.registry.gather())
        .map_err(|error| error.to_string())
}

/// Resident memory in bytes, where the system tells; pages are taken for 4 KiB.
fn resident() -> Option<u64> {
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

/// A method that we know, else `other`: the caller chooses it.
#[must_use]
pub fn method(name: &str) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("other")
}

const fn class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// An answer left. `route` is the pattern of the route, never the path.
pub fn answered(method: &'static str, route: Option<Arc<str>>, status: u16, took: Duration) {
    let route = route.map_or_else(|| StringValue::from("unmatched"), StringValue::from);
    let labels = [
        label("method", method),
        KeyValue::new("route", route),
        label("status", class(status)),
    ];
    meters().http.record(took.as_secs_f64(), &labels);
}

/// A statement came back.
pub fn statement(operation: &'static str, took: Duration, failed: bool) {
    let labels = [label("operation", operation)];
    meters().sql.record(took.as_secs_f64(), &labels);
    if failed {
        meters().sql_errors.add(1, &labels);
    }
}

/// A step of the ticket store failed.
pub fn ticket_error(operation: &'static str) {
    meters()
        .ticket_errors
        .add(1, &[label("operation", operation)]);
}

/// A budget refused something.
pub fn limited(budget: &'static str) {
    meters().limited.add(1, &[label("limit", budget)]);
}

/// A row of the audit trail was committed.
pub fn audited(kind: &'static str) {
    meters().audit.add(1, &[label("kind", kind)]);
}

/// Somebody asked for a sign-in mail, and may have it.
pub fn requested() {
    meters().requested.add(1, &[]);
}

/// The mail server took a sign-in mail.
pub fn mailed() {
    meters().mailed.add(1, &[]);
}

/// A link was opened: in the browser that asked for it, or in another (a phone, a scanner).
pub fn opened(same_browser: bool) {
    meters().opened.add(
        1,
        &[label(
            "browser",
            if same_browser { "same" } else { "other" },
        )],
    );
}

/// Somebody signed in with a `link` or a `code`, so long after asking.
pub fn consumed(by: &'static str, after: Duration) {
    let labels = [label("by", by)];
    meters().consumed.add(1, &labels);
    meters().consume_took.record(after.as_secs_f64(), &labels);
}

/// A link, a code or a request for a mail was refused.
pub fn refused(reason: &'static str) {
    meters().refused.add(1, &[label("reason", reason)]);
}

/// A try to send a mail ended: `accepted`, `deferred`, `refused`, `in_doubt`.
pub fn mail_tried(outcome: &'static str, took: Duration) {
    let labels = [label("outcome", outcome)];
    meters().mail_tries.add(1, &labels);
    meters().mail_took.record(took.as_secs_f64(), &labels);
}

/// A registered client got tokens.
pub fn tokens(grant: &'static str, client: &str) {
    meters().tokens.add(
        1,
        &[
            label("grant", grant),
            KeyValue::new("client", client.to_owned()),
        ],
    );
}

/// A token request was refused with this error.
pub fn tokens_refused(error: &'static str) {
    meters().tokens_refused.add(1, &[label("error", error)]);
}

/// Somebody set out for an upstream provider. `provider` is its id in the configuration.
pub fn upstream_started(provider: &str) {
    meters()
        .upstream_started
        .add(1, &[KeyValue::new("provider", provider.to_owned())]);
}

/// Somebody signed in with an upstream provider.
pub fn upstream_signed_in(provider: &str) {
    meters()
        .upstream_signed_in
        .add(1, &[KeyValue::new("provider", provider.to_owned())]);
}

/// An upstream sign-in was refused, by its code.
pub fn upstream_refused(code: &'static str, provider: &str) {
    meters().upstream_refused.add(
        1,
        &[
            label("code", code),
            KeyValue::new("provider", provider.to_owned()),
        ],
    );
}

/// A call to a configured provider ended: `ok`, `4xx`, `5xx`, `timeout`, `down`, `breaker` and so on. `call` is one of a
/// few words: `discovery`, `keys`, `token`, `userinfo`, `emails`.
pub fn upstream(provider: &str, call: &'static str, outcome: &'static str, took: Duration) {
    let provider = KeyValue::new("provider", provider.to_owned());
    meters().upstream_calls.add(
        1,
        &[
            provider.clone(),
            label("call", call),
            label("outcome", outcome),
        ],
    );
    meters()
        .upstream_took
        .record(took.as_secs_f64(), &[provider, label("call", call)]);
}

/// For how long documents of a configured provider have been serving past their life; zero if they are fresh.
pub fn upstream_stale(provider: &str, stale: Duration) {
    meters().upstream_stale.record(
        stale.as_secs_f64(),
        &[KeyValue::new("provider", provider.to_owned())],
    );
}

/// How many mails wait, and how long the oldest is overdue.
pub fn outbox(waiting: u64, oldest: Duration) {
    meters().outbox.record(waiting, &[]);
    meters().outbox_oldest.record(oldest.as_secs_f64(), &[]);
}

/// How a pool of connections stands.
pub fn pool(name: &'static str, open: u64, idle: u64, most: u64) {
    let of = |state| [label("pool", name), label("state", state)];
    meters().pool.record(idle.min(open), &of("idle"));
    meters().pool.record(open.saturating_sub(idle), &of("busy"));
    meters().pool_max.record(most, &[label("pool", name)]);
}

/// For how long the active key of an algorithm has been signing.
pub fn key_age(alg: &'static str, age: Duration) {
    meters()
        .key_age
        .record(age.as_secs_f64(), &[label("alg", alg)]);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Calls everything once.
    fn everything() {
        answered("GET", Some("/login".into()), 200, Duration::from_millis(3));
        statement("SELECT", Duration::from_micros(80), true);
        ticket_error("claim");
        limited("network");
        audited("session.signed_in");
        requested();
        mailed();
        opened(false);
        consumed("link", Duration::from_secs(20));
        refused("wrong_code");
        mail_tried("accepted", Duration::from_millis(40));
        tokens("authorization_code", "lessons-web");
        tokens_refused("invalid_grant");
        upstream_started("work");
        upstream_signed_in("work");
        upstream_refused("up_denied", "work");
        upstream("work", "keys", "ok", Duration::from_millis(9));
        upstream_stale("work", Duration::ZERO);
        outbox(2, Duration::from_secs(1));
        pool("write", 3, 1, 16);
        key_age("ES256", Duration::from_secs(60));
    }

    /// The names of metrics in a text of Prometheus.
    fn shown(text: &str) -> BTreeSet<&str> {
        text.lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect()
    }

    #[test]
    fn what_is_shown_is_what_is_listed() {
        everything();
        let text = text().unwrap();
        assert_eq!(
            shown(&text),
            NAMES.into_iter().collect::<BTreeSet<_>>(),
            "{text}"
        );
        assert!(
            text.contains("entree_http_request_duration_seconds_bucket{"),
            "{text}"
        );
        assert!(
            text.contains(r#"entree_sign_in_opened_total{browser="other"}"#),
            "{text}"
        );
        assert!(
            text.contains(r#"le="0.0005""#),
            "a histogram without boundaries of its own: {text}"
        );
    }

    #[test]
    fn what_a_caller_chooses_makes_no_label() {
        answered(method("BREW"), None, 999, Duration::ZERO);
        let text = text().unwrap();
        assert!(!text.contains("BREW") && !text.contains("\"999"), "{text}");
        assert!(
            text.contains(r#"method="other",route="unmatched",status="5xx""#),
            "{text}"
        );
    }

    /// Words in a text that look like names of ours.
    fn named(text: &str) -> BTreeSet<String> {
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let words = text.split(|c| !is_part(c));
        let ours = words.filter(|word| word.starts_with("entree_") || word.starts_with("process_"));
        let bare = |word: &str| {
            let cut = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|end| word.strip_suffix(end));
            cut.filter(|cut| NAMES.contains(cut))
                .unwrap_or(word)
                .to_owned()
        };
        ours.map(bare).collect()
    }

    #[test]
    fn dashboard_and_alerts_name_only_metrics_that_there_are() {
        let dashboard = include_str!("../../deploy/grafana-dashboard.json");
        let alerts = include_str!("../../deploy/alerts.yml");
        serde_json::from_str::<serde_json::Value>(dashboard).unwrap();
        let there: BTreeSet<String> = NAMES.into_iter().map(str::to_owned).collect();
        for (file, text) in [("dashboard", dashboard), ("alerts", alerts)] {
            let named = named(text);
            assert!(named.len() > 5, "{file} names {named:?}");
            assert!(
                named.is_subset(&there),
                "{file}: {:?}",
                named.difference(&there)
            );
        }
        let pages = include_str!("../../docs/operations.md");
        let missing: Vec<_> = there
            .iter()
            .filter(|name| !pages.contains(name.as_str()))
            .collect();
        assert!(
            missing.is_empty(),
            "docs/operations.md explains every metric: {missing:?}"
        );
    }

    #[test]
    fn every_alert_leads_to_a_part_of_the_runbook_that_names_it() {
        let pages = include_str!("../../docs/operations.md");
        let anchor = |part: &str| {
            part.lines()
                .next()
                .unwrap_or_default()
                .to_lowercase()
                .replace(' ', "-")
        };
        for alert in include_str!("../../deploy/alerts.yml")
            .split("- alert: ")
            .skip(1)
        {
            let name = alert.lines().next().unwrap();
            let runbook = alert
                .lines()
                .find_map(|line| line.trim().strip_prefix("runbook: docs/operations.md#"));
            let part = pages
                .split("\n## ")
                .skip(1)
                .find(|part| Some(anchor(part).as_str()) == runbook);
            assert!(
                part.is_some_and(|part| part.contains(name)),
                "{name}: {runbook:?}"
            );
        }
    }
}
