//! Traces: spans of requests, statements, the ticket store and mail, pushed by OTLP when an endpoint is configured.
//!
//! A span carries a name and [`Tag`]s, and both are made of fixed words, patterns of routes and names of tables: there
//! is no tag that a query string, a token or an address would fit into. Statements and tickets are spans only within
//! another one, so that jobs that look for work make no traces. Off, the cost is one look at a static.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
    time::Duration,
};

use opentelemetry::{
    Context, KeyValue, StringValue,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::{
        FutureExt as _, Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _,
        TracerProvider as _,
    },
};
use opentelemetry_otlp::{MetricExporter, Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use poem::http::HeaderMap;

use super::metrics;

static TRACING: OnceLock<Tracing> = OnceLock::new();

struct Tracing {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// What a span may say. This is the list of what may leave; add nothing that holds input.
#[derive(Clone, Debug)]
pub enum Tag {
    /// The method, if we know it.
    Method(&'static str),
    /// The pattern of the route.
    Route(Arc<str>),
    /// The status of the answer.
    HttpStatus(u16),
    /// `postgresql` or `sqlite`.
    Database(&'static str),
    /// `accepted`, `refused` and so on.
    Outcome(&'static str),
}

impl From<Tag> for KeyValue {
    fn from(tag: Tag) -> Self {
        match tag {
            Tag::Method(method) => Self::new("http.request.method", method),
            Tag::Route(route) => Self::new("http.route", StringValue::from(route)),
            Tag::HttpStatus(status) => Self::new("http.response.status_code", i64::from(status)),
            Tag::Database(system) => Self::new("db.system.name", system),
            Tag::Outcome(outcome) => Self::new("entree.outcome", outcome),
        }
    }
}

/// Starts pushing traces and metrics to `endpoint` (OTLP over HTTP, protobuf); `per_mille` of the traces that begin
/// here are kept. Not within the runtime: the exporters block, in threads of their own.
///
/// # Errors
/// What is wrong with the endpoint, in words.
pub fn start(endpoint: &str, per_mille: u32) -> Result<(), String> {
    let at = |signal: &str| format!("{}/v1/{signal}", endpoint.trim_end_matches('/'));
    let limit = Duration::from_secs(5);
    let spans = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(at("traces"))
        .with_timeout(limit)
        .build()
        .map_err(|error| error.to_string())?;
    let numbers = MetricExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(at("metrics"))
        .with_timeout(limit)
        .build()
        .map_err(|error| error.to_string())?;
    metrics::push(numbers);
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
        f64::from(per_mille) / 1000.0,
    )));
    let provider = SdkTracerProvider::builder()
        .with_resource(metrics::resource())
        .with_sampler(sampler)
        .with_batch_exporter(spans)
        .build();
    let tracer = provider.tracer("entree");
    let _ = TRACING.set(Tracing { provider, tracer });
    Ok(())
}

/// Pushes what is left. Blocks: not on a thread of the runtime.
pub fn stop() {
    if let Some(tracing) = TRACING.get() {
        let _ = tracing
            .provider
            .shutdown_with_timeout(Duration::from_secs(3));
        metrics::flush();
    }
}

/// A span that is under way, and nothing if traces are off.
#[derive(Debug)]
pub struct Span(Option<Context>);

impl Span {
    /// A request that came in. `headers` only of a caller that we trust to choose its trace (W3C Trace Context §3.2).
    #[must_use]
    pub fn of_request(headers: Option<&HeaderMap>) -> Self {
        let from = headers.map(|headers| TraceContextPropagator::new().extract(&Incoming(headers)));
        Self::begin(
            "request".into(),
            SpanKind::Server,
            &from.unwrap_or_default(),
        )
    }

    /// Work of our own that belongs to no request.
    #[must_use]
    pub fn of_job(name: &'static str) -> Self {
        Self::begin(name.into(), SpanKind::Internal, &Context::new())
    }

    /// A call to something else, within the span that is under way here; nothing if there is none.
    #[must_use]
    pub fn of_call(name: &'static str) -> Self {
        match within_one() {
            Some(parent) => Self::begin(name.into(), SpanKind::Client, &parent),
            None => Self(None),
        }
    }

    fn begin(name: Cow<'static, str>, kind: SpanKind, parent: &Context) -> Self {
        Self(TRACING.get().map(|tracing| {
            let span = tracing
                .tracer
                .span_builder(name)
                .with_kind(kind)
                .start_with_context(&tracing.tracer, parent);
            parent.with_span(span)
        }))
    }

    /// Does work within it: what the work begins hangs below.
    pub fn around<T, W: Future<Output = T>>(&self, work: W) -> impl Future<Output = T> + use<T, W> {
        let context = self.0.clone();
        async move {
            match context {
                Some(context) => work.with_context(context).await,
                None => work.await,
            }
        }
    }

    /// The trace, for the log; none if it is not kept.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        let of = self.0.as_ref()?.span().span_context().clone();
        of.is_sampled().then(|| of.trace_id().to_string())
    }

    /// Ends it, with what is known by now.
    pub fn end(
        self,
        name: impl FnOnce() -> Option<String>,
        tags: impl FnOnce() -> Vec<Tag>,
        failed: bool,
    ) {
        let Some(context) = self.0 else { return };
        let span = context.span();
        if span.is_recording() {
            if let Some(name) = name() {
                span.update_name(name);
            }
            span.set_attributes(tags().into_iter().map(KeyValue::from));
            if failed {
                span.set_status(Status::error(""));
            }
        }
        span.end();
    }
}

/// The context here, if it holds a span that is kept.
fn within_one() -> Option<Context> {
    TRACING.get()?;
    Context::map_current(|context| {
        (context.has_active_span() && context.span().span_context().is_sampled())
            .then(|| context.clone())
    })
}

/// Records a statement that has just returned. Its text holds no values, and the span holds only the
/// operation and the tables.
pub fn statement(
    system: &'static str,
    operation: &'static str,
    sql: &str,
    took: Duration,
    failed: bool,
) {
    let (Some(parent), Some(tracing)) = (within_one(), TRACING.get()) else {
        return;
    };
    let began = opentelemetry::time::now()
        .checked_sub(took)
        .unwrap_or_else(opentelemetry::time::now);
    let name = [operation, &tables(sql).join(", ")].join(" ");
    let name = name.trim_end().to_owned();
    let mut span = tracing
        .tracer
        .span_builder(name)
        .with_kind(SpanKind::Client)
        .with_start_time(began)
        .with_attributes([KeyValue::from(Tag::Database(system))])
        .start_with_context(&tracing.tracer, &parent);
    if failed {
        span.set_status(Status::error(""));
    }
    span.end();
}

/// What a statement does, in one of a few words.
#[must_use]
pub fn operation(sql: &str) -> &'static str {
    let known = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];
    let first = sql.split_whitespace().next().unwrap_or_default();
    known
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(first))
        .unwrap_or("OTHER")
}

/// How many tables a span names at most.
const MAX_TABLES: usize = 4;

/// The tables that a statement names, in their order: writes that wait are sent together.
fn tables(sql: &str) -> Vec<&str> {
    let is_before = |word: &str| {
        ["FROM", "INTO", "UPDATE"]
            .iter()
            .any(|before| before.eq_ignore_ascii_case(word))
    };
    let mut tables = Vec::new();
    let mut words = sql.split_whitespace();
    while words.any(|word| is_before(word.trim_start_matches('('))) && tables.len() < MAX_TABLES {
        let name = words.next().and_then(table_name);
        tables.extend(name.filter(|name| !tables.contains(name)));
    }
    tables
}

fn table_name(word: &str) -> Option<&str> {
    let name = word.split(['(', ')', ';']).next()?.trim_matches(['"', '`']);
    let is_name = !name.is_empty()
        && name.len() <= 40
        && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    is_name.then_some(name)
}

/// Adds `traceparent` to an outgoing request, so that its receiver can continue the trace.
pub fn inject(headers: &mut HeaderMap) {
    if let Some(context) = within_one() {
        TraceContextPropagator::new().inject_context(&context, &mut Outgoing(headers));
    }
}

struct Incoming<'a>(&'a HeaderMap);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(poem::http::HeaderName::as_str).collect()
    }
}

struct Outgoing<'a>(&'a mut HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = poem::http::HeaderName::try_from(key);
        if let (Ok(name), Ok(value)) = (name, value.try_into()) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
