//! The layers around every endpoint, from the outside in: the caller, one line in the log, the form
//! and the headers of error responses, the host check, the bounds of the body, the time-out, and
//! the handling of panics.
//!
//! They promise: no 5xx response tells its cause; the log holds the pattern of the route, and never
//! a path, a query or a cookie; an endpoint gets a body of at most 64 KiB that has arrived whole.

use std::{fmt, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use ipnet::IpNet;
use poem::{
    Endpoint, IntoResponse, Middleware, PathPattern, Request, Response,
    http::{HeaderName, HeaderValue, Method, StatusCode, Version, header},
};
use tokio::time::{Instant, timeout};

use super::{
    body::read_whole,
    cors::ReadableBy,
    host::{EarlyResponse, PublicHost, is_by_loopback_name},
    rejection,
};
use crate::{
    error::InfraError,
    telemetry::{
        metrics,
        trace::{Span, Tag},
    },
    web::{
        caller::Caller,
        error::{Audience, ErrorResponse},
        response::hsts,
    },
};

/// Renders an error for people as a page.
pub type ErrorPage = Arc<dyn Fn(&ErrorResponse, &Caller) -> Response + Send + Sync>;

/// The settings of the layers on one listener.
#[derive(Clone)]
pub struct Layers {
    /// Requests for another host get 421 (PX-01). None on the management listener, which has no
    /// public name.
    pub public_url: Option<Arc<str>>,
    /// Whether only loopback names are served: for a management listener that only this machine
    /// reaches, which a page in a browser here could otherwise read under a name of its own (DNS
    /// rebinding).
    pub loopback_only: bool,
    /// Whether a GET for another loopback name of our port is redirected to `public_url`: for
    /// `entree dev` alone.
    pub redirect_loopback: bool,
    /// The proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Without it errors for people are plain text.
    pub error_page: Option<ErrorPage>,
    /// The most bytes of a body (PX-02).
    pub body_bytes: usize,
    /// How long a body may take to arrive: 408.
    pub body_timeout: Duration,
    /// How long an endpoint may take: 503.
    pub request_timeout: Duration,
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers")
            .field("public_url", &self.public_url)
            .finish_non_exhaustive()
    }
}

impl Layers {
    /// Returns the usual bounds: 64 KiB, 15 s for a body, 30 s for a response; no page, no proxy.
    #[must_use]
    pub fn new(public_url: Option<Arc<str>>) -> Self {
        Self {
            public_url,
            loopback_only: false,
            redirect_loopback: false,
            trusted_proxies: Arc::new([]),
            error_page: None,
            body_bytes: 64 * 1024,
            body_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(30),
        }
    }
}

impl<E: Endpoint> Middleware<E> for Layers {
    type Output = Layered<E>;

    fn transform(&self, inner: E) -> Self::Output {
        let public_host = self.public_url.as_deref().map(PublicHost::of_url);
        Layered {
            inner,
            layers: self.clone(),
            public_host,
        }
    }
}

/// An endpoint with the layers around it. It never returns an `Err`.
pub struct Layered<E> {
    inner: E,
    layers: Layers,
    /// None where every host is served.
    public_host: Option<PublicHost>,
}

/// What is kept of a request once the endpoint has taken it.
struct RequestSummary {
    method: Method,
    audience: Audience,
    is_http_1: bool,
    caller: Caller,
    started: Instant,
}

impl<E: Endpoint> Endpoint for Layered<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let summary = RequestSummary {
            method: request.method().clone(),
            audience: Audience::of_path(request.uri().path()),
            is_http_1: request.version() < Version::HTTP_2,
            caller: Caller::resolve(&request, &self.layers.trusted_proxies),
            started: Instant::now(),
        };
        request.set_data(summary.caller.clone());
        // Only our own proxies may choose the trace of a request, and have it kept.
        let may_choose_trace = is_peer_trusted(&request, &self.layers.trusted_proxies);
        let span = Span::of_request(may_choose_trace.then(|| request.headers()));
        let request_id = &summary.caller.request_id;
        tracing::trace!(request_id, "request begins");
        let mut response = match self.check(&mut request).await {
            Ok(()) => span.around(self.run(request, &summary)).await,
            Err(EarlyResponse::Error(status)) => {
                self.render(&ErrorResponse::new(status, request_id), &summary)
            }
            Err(EarlyResponse::Redirect(response)) => *response,
        };
        self.set_headers(&mut response, &summary);
        record(&summary, &response, span);
        Ok(response)
    }
}

impl<E: Endpoint> Layered<E> {
    /// Checks the host and reads the body.
    async fn check(&self, request: &mut Request) -> Result<(), EarlyResponse> {
        if self.layers.loopback_only && !is_by_loopback_name(request) {
            return Err(EarlyResponse::Error(StatusCode::MISDIRECTED_REQUEST));
        }
        if let Some(public_host) = &self.public_host {
            public_host.check(request, self.layers.redirect_loopback)?;
        }
        let body = request.take_body();
        if body.is_empty() {
            return Ok(());
        }
        let reading = read_whole(body, self.layers.body_bytes);
        let bytes = timeout(self.layers.body_timeout, reading)
            .await
            .unwrap_or(Err(StatusCode::REQUEST_TIMEOUT))
            .map_err(EarlyResponse::Error)?;
        request.set_body(bytes);
        Ok(())
    }

    async fn run(&self, request: Request, summary: &RequestSummary) -> Response {
        let call = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        let request_id = &summary.caller.request_id;
        let status = match timeout(self.layers.request_timeout, call).await {
            Ok(Ok(Ok(output))) => return output.into_response(),
            Ok(Ok(Err(error))) => return self.render_error(error, summary),
            Ok(Err(_panic)) => {
                tracing::error!(request_id, "a request ended in a panic");
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Err(_elapsed) => {
                tracing::error!(request_id, "a request took too long");
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        self.render(&ErrorResponse::new(status, request_id), summary)
    }

    /// Logs an error of an endpoint and gives it the form of its audience. An error with a response
    /// of its own keeps that one. Plain text is the framework's, and may tell a cause.
    fn render_error(&self, error: poem::Error, summary: &RequestSummary) -> Response {
        let status = error.status();
        let request_id = &summary.caller.request_id;
        let infra_error = error.downcast_ref::<InfraError>();
        match infra_error {
            Some(infra_error) => infra_error.log(request_id),
            None if status.is_server_error() => {
                tracing::error!(request_id, cause = %error, "answered {status}");
            }
            None => {}
        }
        let is_infra_error = infra_error.is_some();
        let detail = if is_routing_status(status) {
            String::new()
        } else {
            rejection::detail(&error)
        };
        let mut original = error.into_response();
        if !is_infra_error && !is_plain_text(&original) {
            return original;
        }
        let error = ErrorResponse::new(status, request_id).with_detail(&detail);
        let mut response = self.render(&error, summary);
        // Retry-After, Allow and WWW-Authenticate stay, and so does the pattern of the route.
        let kept = original.headers().iter();
        for (name, value) in kept.filter(|(name, _)| !name.as_str().starts_with("content-")) {
            response.headers_mut().insert(name, value.clone());
        }
        *response.extensions_mut() = std::mem::take(original.extensions_mut());
        response
    }

    fn render(&self, error: &ErrorResponse, summary: &RequestSummary) -> Response {
        let mut response = match (&self.layers.error_page, summary.audience) {
            (Some(page), Audience::People) => page(error, &summary.caller),
            (_, audience) => error.render(audience),
        };
        // The rest of the body is not read.
        let has_unread_body = matches!(
            error.status,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
        );
        if has_unread_body && summary.is_http_1 {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Sets the headers of every response. One that the endpoint has set stays: pages set theirs.
    fn set_headers(&self, response: &mut Response, summary: &RequestSummary) {
        const DEFAULTS: [(HeaderName, &str); 4] = [
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
            ),
        ];
        let readable_by = response.data::<ReadableBy>().cloned();
        let headers = response.headers_mut();
        if let Some(readable_by) = readable_by {
            readable_by.write_headers(headers);
        }
        for (name, value) in DEFAULTS {
            headers
                .entry(name)
                .or_insert(HeaderValue::from_static(value));
        }
        if self.public_host.as_ref().is_some_and(|host| host.hsts) {
            headers
                .entry(header::STRICT_TRANSPORT_SECURITY)
                .or_insert(HeaderValue::from_static(hsts::VALUE));
        }
        if let Ok(id) = HeaderValue::try_from(summary.caller.request_id.as_str()) {
            headers.insert(HeaderName::from_static("x-request-id"), id);
        }
    }
}

/// Returns whether the fixed words of the status say all there is to say.
fn is_routing_status(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
    )
}

fn is_plain_text(response: &Response) -> bool {
    let content_type = response.content_type();
    content_type.is_none_or(|content_type| content_type.starts_with("text/plain"))
}

/// Writes one line to the log, and the metrics and the span. The pattern of the route stands for
/// the path: the token of a mailed link is in the path.
fn record(summary: &RequestSummary, response: &Response, span: Span) {
    let pattern = response
        .data::<PathPattern>()
        .map(|pattern| Arc::clone(&pattern.0));
    let route = pattern.as_deref().unwrap_or("unmatched");
    let (status, elapsed) = (response.status().as_u16(), summary.started.elapsed());
    tracing::info!(
        method = %summary.method,
        route,
        status,
        ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        request_id = summary.caller.request_id,
        trace_id = span.trace_id(),
        network = summary.caller.network,
        "request"
    );
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

fn is_peer_trusted(request: &Request, trusted: &[IpNet]) -> bool {
    let peer = request
        .remote_addr()
        .as_socket_addr()
        .map(|address| address.ip().to_canonical());
    peer.is_some_and(|peer| trusted.iter().any(|network| network.contains(&peer)))
}

#[cfg(test)]
mod tests;
