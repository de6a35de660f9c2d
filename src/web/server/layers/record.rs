//! What is left of a request when its response is complete: one line in the log, metrics, the span, and
//! the reference in the body of a problem.

use std::sync::{Arc, OnceLock};

use poem::{
    PathPattern, Response,
    http::{HeaderValue, Method, StatusCode, Uri},
};
use tokio::time::Instant;

use crate::{
    telemetry::{
        metrics,
        trace::{Span, Tag},
    },
    web::{
        again::Repeatable,
        caller::Caller,
        error::{Audience, ErrorResponse},
        look::PageLook,
        named_client::NamedClient,
        problem::Problem,
        response::reason::RefusalReason,
    },
};

/// What is kept of a request once the endpoint has taken it.
pub(super) struct RequestSummary {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) audience: Audience,
    /// Stands for the route where there is none.
    pub(super) area: &'static str,
    pub(super) origin: Option<HeaderValue>,
    pub(super) is_http_1: bool,
    pub(super) caller: Caller,
    pub(super) named_client: NamedClient,
    pub(super) look: PageLook,
    pub(super) repeatable: OnceLock<Option<Repeatable>>,
    pub(super) started: Instant,
}

impl RequestSummary {
    /// Returns an error, without its reference if that leads to no line in the log (OA-19).
    pub(super) fn without_dead_reference(&self, error: &ErrorResponse) -> ErrorResponse {
        let is_findable = self.caller.reference(error.status).is_some();
        let reference = error.reference.clone().filter(|_| is_findable);
        ErrorResponse {
            reference,
            ..error.clone()
        }
    }
}

/// Puts the reference into a problem of `/api` that has none yet: every reference leads to its line in
/// the log (OD-4).
pub(super) fn with_reference(mut response: Response, caller: &Caller) -> Response {
    let problem = response.extensions_mut().remove::<Problem>();
    if let Some(problem) = problem.filter(|problem| problem.reference.is_none())
        && let Some(reference) = caller.reference(response.status())
    {
        let problem = problem.with_reference(reference);
        response.set_body(problem.to_body());
    }
    response
}

/// Returns the part of a path that is logged where no route was found, or the request was refused
/// before it: secrets stand further back.
pub(super) fn path_area(path: &str) -> &'static str {
    let first = path.split('/').nth(1).unwrap_or_default();
    match first {
        "api" => "/api/…",
        "account" => "/account/…",
        "login" => "/login/…",
        "oauth2" => "/oauth2/…",
        "upstream" => "/upstream/…",
        ".well-known" => "/.well-known/…",
        _ => "unmatched",
    }
}

/// The status of a request whose client was gone before its response, in the log and the metrics alone.
const CLIENT_GONE: u16 = 499;

/// A request without a response. Dropped before [`Unanswered::end`], it is recorded: its client is gone,
/// while its unit of work may go on (SP-3).
pub(super) struct Unanswered<'a>(Option<&'a RequestSummary>);

impl<'a> Unanswered<'a> {
    pub(super) const fn new(summary: &'a RequestSummary) -> Self {
        Self(Some(summary))
    }

    pub(super) fn end(mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let Some(summary) = self.0 else { return };
        let elapsed = summary.started.elapsed();
        let method = metrics::method(summary.method.as_str());
        metrics::answered(method, None, CLIENT_GONE, elapsed);
        let status = StatusCode::from_u16(CLIENT_GONE).unwrap_or(StatusCode::BAD_REQUEST);
        let (log_line, reason) = (&summary.caller.log_line, "client_gone");
        if !log_line.is_written(status) {
            log_line.leave_out(status, Some(reason.into()));
            return;
        }
        tracing::info!(
            method = %summary.method,
            route = summary.area,
            status = CLIENT_GONE,
            ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            request_id = summary.caller.request_id,
            reason,
            client_id = summary.named_client.get(),
            network = summary.caller.network,
            "request"
        );
    }
}

/// Writes one line to the log, and the metrics and the span. The pattern of the route stands for
/// the path: the token of a mailed link is in the path.
pub(super) fn record(summary: &RequestSummary, response: &Response, span: Span) {
    let pattern = response
        .data::<PathPattern>()
        .map(|pattern| Arc::clone(&pattern.0));
    let route = pattern.as_deref().unwrap_or(summary.area);
    let (status, elapsed) = (response.status().as_u16(), summary.started.elapsed());
    log_request(summary, response, route, &span);
    let method = metrics::method(summary.method.as_str());
    metrics::answered(method, pattern.clone(), status, elapsed);
    let tags = || {
        let route = pattern.clone().map(Tag::Route);
        [Tag::Method(method), Tag::HttpStatus(status)]
            .into_iter()
            .chain(route)
            .collect()
    };
    span.end(|| Some(format!("{method} {route}")), tags, status >= 500);
}

/// Writes the line of a request, at INFO. At DEBUG are probes and reads of the metrics, which come every
/// few seconds (OD-14), and requests of strangers beyond their budget (OA-19). A probe that fails is at
/// WARN.
fn log_request(summary: &RequestSummary, response: &Response, route: &str, span: &Span) {
    let status = response.status();
    let reason = response.data::<RefusalReason>();
    // The line of a 503 always has a reason (OC-12), also where the response carries none.
    let unnamed = (status == StatusCode::SERVICE_UNAVAILABLE).then_some("unnamed");
    let code = reason.map(|reason| &*reason.code).or(unnamed);
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                $level,
                method = %summary.method,
                route,
                status = status.as_u16(),
                ms = u64::try_from(summary.started.elapsed().as_millis()).unwrap_or(u64::MAX),
                request_id = summary.caller.request_id,
                reason = code,
                parameter = reason.and_then(|reason| reason.parameter.as_deref()),
                client_id = summary.named_client.get(),
                trace_id = span.trace_id(),
                network = summary.caller.network,
                "request"
            )
        };
    }
    let is_probe = matches!(route, "/livez" | "/readyz" | "/metrics");
    if is_probe && status.is_server_error() {
        line!(tracing::Level::WARN);
    } else if is_probe {
        line!(tracing::Level::DEBUG);
    } else if summary.caller.log_line.is_written(status) {
        line!(tracing::Level::INFO);
    } else {
        summary
            .caller
            .log_line
            .leave_out(status, code.map(|code| code.to_owned().into()));
        line!(tracing::Level::DEBUG);
    }
}
