//! The instruments behind the metrics: names, help texts and histogram boundaries, made once a process.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, Meter, MeterProvider as _},
};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::{
    Resource,
    metrics::{MeterProviderBuilder, SdkMeterProvider},
};
use prometheus::Registry;

/// Boundaries of responses in seconds: from a cached document to the service's time-out.
const RESPONSE_SECONDS: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];
/// Boundaries of statements in seconds.
const STATEMENT_SECONDS: [f64; 10] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0, 5.0,
];
/// Boundaries of calls to other servers in seconds.
const CALL_SECONDS: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 30.0];
/// Boundaries of a sign-in in seconds, from the request of an email to its use by a person.
const SIGN_IN_SECONDS: [f64; 10] = [
    5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0,
];

/// All instruments of the process.
pub(super) struct Instruments {
    pub(super) provider: SdkMeterProvider,
    pub(super) registry: Registry,
    pub(super) audit: Counter<u64>,
    pub(super) http: Histogram<f64>,
    pub(super) limited: Counter<u64>,
    pub(super) tokens: Counter<u64>,
    pub(super) tokens_refused: Counter<u64>,
    pub(super) pushed: Counter<u64>,
    pub(super) push_refused: Counter<u64>,
    pub(super) device: Counter<u64>,
    pub(super) dpop_proofs: Counter<u64>,
    pub(super) key_age: Gauge<f64>,
    pub(super) memory: Gauge<u64>,
    pub(super) sign_in: SignIn,
    pub(super) mail: Mail,
    pub(super) upstream: Upstream,
    pub(super) logout: Logout,
    pub(super) stores: Stores,
}

/// Sign-in by email.
pub(super) struct SignIn {
    pub(super) requested: Counter<u64>,
    pub(super) mailed: Counter<u64>,
    pub(super) opened: Counter<u64>,
    pub(super) consumed: Counter<u64>,
    pub(super) duration: Histogram<f64>,
    pub(super) refused: Counter<u64>,
}

/// The outbox and the mail server.
pub(super) struct Mail {
    pub(super) attempts: Counter<u64>,
    pub(super) duration: Histogram<f64>,
    pub(super) waiting: Gauge<u64>,
    pub(super) oldest: Gauge<f64>,
    pub(super) domains_held: Counter<u64>,
    pub(super) relay_held: Counter<u64>,
    pub(super) ceiling: Gauge<u64>,
    pub(super) held: Counter<u64>,
}

/// The instruments of sign-ins with providers.
pub(super) struct Upstream {
    pub(super) started: Counter<u64>,
    pub(super) signed_in: Counter<u64>,
    pub(super) refused: Counter<u64>,
    pub(super) calls: Counter<u64>,
    pub(super) duration: Histogram<f64>,
    pub(super) stale: Gauge<f64>,
}

/// Logout tokens to clients.
pub(super) struct Logout {
    pub(super) deliveries: Counter<u64>,
    pub(super) waiting: Gauge<u64>,
    pub(super) oldest: Gauge<f64>,
}

/// The database and the ticket store.
pub(super) struct Stores {
    pub(super) sql: Histogram<f64>,
    pub(super) sql_errors: Counter<u64>,
    pub(super) ticket_errors: Counter<u64>,
    pub(super) ticket_bytes: Gauge<u64>,
    pub(super) ticket_bytes_max: Gauge<u64>,
    pub(super) connections: Gauge<u64>,
    pub(super) connections_max: Gauge<u64>,
}

/// Makes instruments with a name and a help text.
struct Builder(Meter);

impl Builder {
    fn counter(&self, name: &'static str, help: &'static str) -> Counter<u64> {
        self.0.u64_counter(name).with_description(help).build()
    }

    fn gauge(&self, name: &'static str, help: &'static str) -> Gauge<u64> {
        self.0.u64_gauge(name).with_description(help).build()
    }

    fn seconds(&self, name: &'static str, help: &'static str) -> Gauge<f64> {
        self.0.f64_gauge(name).with_description(help).build()
    }

    fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        boundaries: &[f64],
    ) -> Histogram<f64> {
        self.0
            .f64_histogram(name)
            .with_description(help)
            .with_boundaries(boundaries.to_vec())
            .build()
    }
}

impl Instruments {
    pub(super) fn new(exporter: Option<MetricExporter>) -> Self {
        let registry = Registry::new();
        let provider = meter_provider(exporter, &registry);
        let make = Builder(provider.meter("entree"));
        let version = [KeyValue::new("version", env!("CARGO_PKG_VERSION"))];
        make.gauge("entree_build_info", "Always 1; the label is the version.")
            .record(1, &version);
        Self {
            audit: make.counter("entree_audit_events", "Rows of the audit log, by kind."),
            http: make.histogram(
                "entree_http_request_duration_seconds",
                "Responses, by route and status class.",
                &RESPONSE_SECONDS,
            ),
            limited: make.counter("entree_limit_refusals", "Refusals by a budget, by budget."),
            tokens: make.counter(
                "entree_tokens_issued",
                "Token responses, by grant and client.",
            ),
            tokens_refused: make
                .counter("entree_tokens_refused", "Refused token requests, by error."),
            pushed: make.counter(
                "entree_requests_pushed",
                "Pushed authorization requests, by client.",
            ),
            push_refused: make.counter(
                "entree_requests_push_refused",
                "Refused pushes of authorization requests, by error.",
            ),
            device: make.counter("entree_device_sign_ins", "Sign-ins of devices, by step."),
            dpop_proofs: make.counter(
                "entree_dpop_proofs",
                "Proofs of possession (DPoP), by outcome.",
            ),
            key_age: make.seconds(
                "entree_key_age_seconds",
                "For how long the active key has been signing, by algorithm.",
            ),
            memory: make.gauge("process_resident_memory_bytes", "Resident memory."),
            sign_in: SignIn::new(&make),
            mail: Mail::new(&make),
            upstream: Upstream::new(&make),
            logout: Logout::new(&make),
            stores: Stores::new(&make),
            provider,
            registry,
        }
    }
}

impl SignIn {
    fn new(make: &Builder) -> Self {
        Self {
            requested: make.counter(
                "entree_sign_in_requested",
                "Sign-in emails that were requested and allowed.",
            ),
            mailed: make.counter(
                "entree_sign_in_mailed",
                "Sign-in emails that the mail server accepted.",
            ),
            opened: make.counter(
                "entree_sign_in_opened",
                "Opened links, in the browser of the request or another.",
            ),
            consumed: make.counter("entree_sign_in_consumed", "Sign-ins, by link or code."),
            duration: make.histogram(
                "entree_sign_in_consume_seconds",
                "From the request to the sign-in.",
                &SIGN_IN_SECONDS,
            ),
            refused: make.counter(
                "entree_sign_in_refused",
                "Refused links, codes and requests, by reason.",
            ),
        }
    }
}

impl Mail {
    fn new(make: &Builder) -> Self {
        Self {
            attempts: make.counter("entree_mail_tries", "Delivery attempts, by outcome."),
            duration: make.histogram(
                "entree_mail_try_duration_seconds",
                "Delivery attempts.",
                &CALL_SECONDS,
            ),
            waiting: make.gauge("entree_outbox_mails", "Emails that wait to be sent."),
            oldest: make.seconds(
                "entree_outbox_oldest_seconds",
                "How long the oldest waiting email is overdue.",
            ),
            ceiling: make.gauge("entree_mail_ceiling", "The ceiling of emails a minute."),
            held: make.counter(
                "entree_mail_held",
                "Times that an email had to wait because emails were too many.",
            ),
            domains_held: make.counter(
                "entree_mail_domains_held",
                "Recipient domains whose emails began to wait: the server did not respond for them.",
            ),
            relay_held: make.counter(
                "entree_mail_relay_held",
                "Times that all emails began to wait: our mail server did not respond.",
            ),
        }
    }
}

impl Upstream {
    fn new(make: &Builder) -> Self {
        Self {
            started: make.counter(
                "entree_upstream_started",
                "Sign-ins begun at an upstream provider, by provider.",
            ),
            signed_in: make.counter(
                "entree_upstream_signed_in",
                "Sign-ins with an upstream provider, by provider.",
            ),
            refused: make.counter(
                "entree_upstream_refused",
                "Refused upstream sign-ins, by code and provider.",
            ),
            calls: make.counter(
                "entree_upstream_calls",
                "Calls to upstream providers, by provider and outcome.",
            ),
            duration: make.histogram(
                "entree_upstream_call_duration_seconds",
                "Calls to upstream providers.",
                &CALL_SECONDS,
            ),
            stale: make.seconds(
                "entree_upstream_stale_seconds",
                "For how long a provider's documents have been used past their lifetime.",
            ),
        }
    }
}

impl Logout {
    fn new(make: &Builder) -> Self {
        Self {
            deliveries: make.counter(
                "entree_logout_deliveries",
                "Attempts to deliver logout tokens, by client and outcome.",
            ),
            waiting: make.gauge(
                "entree_logout_waiting",
                "Logout tokens that wait to be delivered.",
            ),
            oldest: make.seconds(
                "entree_logout_oldest_seconds",
                "How long the oldest waiting logout token is overdue.",
            ),
        }
    }
}

impl Stores {
    fn new(make: &Builder) -> Self {
        Self {
            sql: make.histogram(
                "entree_sql_duration_seconds",
                "Statements, by operation.",
                &STATEMENT_SECONDS,
            ),
            sql_errors: make.counter("entree_sql_errors", "Failed statements, by operation."),
            ticket_errors: make.counter(
                "entree_ticket_errors",
                "Failed operations of the ticket store, by operation.",
            ),
            ticket_bytes: make.gauge(
                "entree_ticket_bytes",
                "Space of the ticket store in use, in bytes, by pool.",
            ),
            ticket_bytes_max: make.gauge(
                "entree_ticket_bytes_max",
                "The most bytes of all pools of the ticket store.",
            ),
            connections: make.gauge(
                "entree_database_connections",
                "Open connections, by pool and state.",
            ),
            connections_max: make.gauge(
                "entree_database_connections_max",
                "The most connections of a pool.",
            ),
        }
    }
}

fn meter_provider(exporter: Option<MetricExporter>, registry: &Registry) -> SdkMeterProvider {
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
            tracing::error!(%error, "/metrics is not available");
            builder.build()
        }
    }
}

/// Returns the resource that metrics and traces name when they are pushed.
pub(in crate::telemetry) fn resource() -> Resource {
    Resource::builder_empty()
        .with_service_name("entree")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}
