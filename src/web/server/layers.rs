//! The layers around every endpoint, from the outside in: the caller, one line in the log, the form
//! and the headers of error responses, the host check, the bounds of the body, the time-out, and
//! the handling of panics.
//!
//! They promise: no 5xx response tells its cause; the log holds the pattern of the route, and never
//! a path, a query or a cookie; an endpoint gets a body of at most 64 KiB that has arrived whole.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::FutureExt as _;
use hyper::body::Bytes;
use ipnet::IpNet;
use poem::{
    Endpoint, IntoResponse, Middleware, Request, Response,
    http::{HeaderName, HeaderValue, StatusCode, Version, header},
};
use tokio::time::{Instant, timeout};

pub use super::failed::{ErrorPage, FailedRequest};
use super::{
    body::{BodyBounds, BodyError, read_whole},
    budget::RequestSpace,
    cors::ReadableBy,
    host::{EarlyResponse, PublicHost, authority_of, is_by_loopback_name},
    mount::{self, PathStripping},
    rejection,
};
use crate::{
    error::InfraError,
    telemetry::trace::Span,
    web::{
        again::Repeatable,
        base_path::BasePath,
        caller::Caller,
        deployment::loggable,
        error::{Audience, ErrorResponse},
        line_budget::LineBudget,
        look::PageLook,
        named_client::NamedClient,
        response::{hsts, reason::RefusalReason},
        unnamed_proxy::UnnamedProxy,
    },
};

mod record;

use record::{RequestSummary, area, record, with_reference};

/// The settings of the layers on one listener.
#[derive(Clone)]
pub struct Layers {
    /// Requests for another host get 421 (PX-01), and those that are not below its path 404 (OB-6).
    /// None on the management listener, which has no public name.
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
    /// Where a proxy that is not among them is noted.
    pub unnamed_proxy: UnnamedProxy,
    /// Where a proxy that takes the path of `public_url` off is noted.
    pub path_stripping: PathStripping,
    /// The lines that the requests of strangers have in the log (OA-19). Without it each has one.
    pub lines: Option<LineBudget>,
    /// Without it errors for people are plain text.
    pub error_page: Option<ErrorPage>,
    /// The most bytes of a body (PX-02).
    pub body_bytes: usize,
    /// How long no part of a body may arrive: 408.
    pub body_pause: Duration,
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
    /// Returns the usual bounds: 64 KiB, 60 s for a body and 15 s for its next part, 30 s for a
    /// response; no page, no proxy.
    #[must_use]
    pub fn new(public_url: Option<Arc<str>>) -> Self {
        Self {
            public_url,
            loopback_only: false,
            redirect_loopback: false,
            trusted_proxies: Arc::new([]),
            unnamed_proxy: UnnamedProxy::default(),
            path_stripping: PathStripping::default(),
            lines: None,
            error_page: None,
            body_bytes: 64 * 1024,
            body_pause: Duration::from_secs(15),
            body_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(30),
        }
    }
}

impl<E: Endpoint> Middleware<E> for Layers {
    type Output = Layered<E>;

    fn transform(&self, inner: E) -> Self::Output {
        let public_url = self.public_url.as_deref();
        Layered {
            inner,
            layers: self.clone(),
            public_host: public_url.map(PublicHost::of_url),
            base_path: public_url.map(BasePath::of_url).unwrap_or_default(),
        }
    }
}

/// An endpoint with the layers around it. It never returns an `Err`.
pub struct Layered<E> {
    inner: E,
    layers: Layers,
    /// None where every host is served.
    public_host: Option<PublicHost>,
    base_path: BasePath,
}

impl<E: Endpoint> Endpoint for Layered<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let summary = RequestSummary {
            method: request.method().clone(),
            uri: request.uri().clone(),
            audience: self.audience(request.uri().path()),
            area: self.area(request.uri().path()),
            is_http_1: request.version() < Version::HTTP_2,
            caller: Caller::resolve(&request, &self.layers.trusted_proxies)
                .with_lines_of(self.layers.lines.as_ref()),
            named_client: NamedClient::default(),
            look: PageLook::default(),
            repeatable: OnceLock::new(),
            started: Instant::now(),
        };
        self.layers
            .unnamed_proxy
            .look(&request, &self.layers.trusted_proxies);
        request.set_data(summary.caller.clone());
        request.set_data(summary.look.clone());
        request.set_data(summary.named_client.clone());
        // Only our own proxies may choose the trace of a request, and have it kept.
        let may_choose_trace = is_peer_trusted(&request, &self.layers.trusted_proxies);
        let span = Span::of_request(may_choose_trace.then(|| request.headers()));
        let request_id = &summary.caller.request_id;
        tracing::trace!(request_id, "request begins");
        let space = request.extensions_mut().remove::<Arc<RequestSpace>>();
        let response = tokio::select! {
            // In this order: a request that has to end frees its memory first.
            biased;
            () = ended(space.as_deref()) => self.render_ended(&summary),
            response = self.respond(request, space.as_deref(), &summary, &span) => response,
        };
        let mut response = with_reference(response, &summary.caller);
        self.set_headers(&mut response, &summary);
        record(&summary, &response, span);
        Ok(response)
    }
}

/// Waits until the request has to end, to make space for others.
async fn ended(space: Option<&RequestSpace>) {
    match space {
        Some(space) => space.ended().await,
        None => std::future::pending().await,
    }
}

impl<E: Endpoint> Layered<E> {
    fn audience(&self, path: &str) -> Audience {
        Audience::of_path(self.base_path.inside(path).unwrap_or(path))
    }

    fn area(&self, path: &str) -> &'static str {
        area(self.base_path.inside(path).unwrap_or(path))
    }

    async fn respond(
        &self,
        mut request: Request,
        space: Option<&RequestSpace>,
        summary: &RequestSummary,
        span: &Span,
    ) -> Response {
        let named_host = authority_of(&request).map(loggable);
        match self.check(&mut request, space).await {
            Ok(repeatable) => {
                let _ = summary.repeatable.set(repeatable);
                // In a box: a request that waits for its body does not need the space of the endpoint.
                Box::pin(span.around(self.run(request, summary))).await
            }
            Err(EarlyResponse::Error(status)) => {
                let error = ErrorResponse::new(status, &summary.caller.request_id);
                let host = (status == StatusCode::MISDIRECTED_REQUEST)
                    .then_some(named_host)
                    .flatten();
                RefusalReason::of_status(status)
                    .about(host.as_deref())
                    .attach_to(self.render(&error, summary))
            }
            Err(EarlyResponse::Ended) => self.render_ended(summary),
            Err(EarlyResponse::Redirect(response)) => *response,
        }
    }

    /// Renders the response to a request that ends to make space for others.
    fn render_ended(&self, summary: &RequestSummary) -> Response {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let error = ErrorResponse::new(status, &summary.caller.request_id);
        let mut response = self.render(&error, summary);
        close_after(&mut response, summary);
        RefusalReason::new("request_space").attach_to(response)
    }

    /// Checks the host, takes the base path off, reads the body, and notes how a person could send the
    /// request again.
    async fn check(
        &self,
        request: &mut Request,
        space: Option<&RequestSpace>,
    ) -> Result<Option<Repeatable>, EarlyResponse> {
        if self.layers.loopback_only && !is_by_loopback_name(request) {
            return Err(EarlyResponse::Error(StatusCode::MISDIRECTED_REQUEST));
        }
        if let Some(public_host) = &self.public_host {
            public_host.check(request, self.layers.redirect_loopback)?;
        }
        if !mount::enter(request, &self.base_path, &self.layers.path_stripping) {
            return Err(EarlyResponse::Error(StatusCode::NOT_FOUND));
        }
        let body = request.take_body();
        if body.is_empty() {
            return Ok(self.note_repeatable(request, &Bytes::new()));
        }
        let bounds = BodyBounds {
            bytes: self.layers.body_bytes,
            pause: self.layers.body_pause,
        };
        let reading = read_whole(body, bounds, space);
        let bytes = timeout(self.layers.body_timeout, reading)
            .await
            .unwrap_or(Err(BodyError::Status(StatusCode::REQUEST_TIMEOUT)))?;
        let bytes = Bytes::from(bytes);
        let repeatable = self.note_repeatable(request, &bytes);
        request.set_body(bytes);
        Ok(repeatable)
    }

    fn note_repeatable(&self, request: &mut Request, body: &Bytes) -> Option<Repeatable> {
        let public_url = self.layers.public_url.as_deref()?;
        if Audience::of_path(request.uri().path()) != Audience::People {
            return None;
        }
        let repeatable = Repeatable::read(request, body, public_url)?;
        request.set_data(repeatable.clone());
        Some(repeatable)
    }

    async fn run(&self, request: Request, summary: &RequestSummary) -> Response {
        let call = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        let request_id = &summary.caller.request_id;
        let (status, reason) = match timeout(self.layers.request_timeout, call).await {
            Ok(Ok(Ok(output))) => return output.into_response(),
            Ok(Ok(Err(error))) => return self.render_error(error, summary),
            Ok(Err(_panic)) => {
                tracing::error!(request_id, "a request ended in a panic");
                (StatusCode::INTERNAL_SERVER_ERROR, "panic")
            }
            Err(_elapsed) => {
                summary.caller.log_line.keep();
                tracing::error!(request_id, "a request took too long");
                (StatusCode::SERVICE_UNAVAILABLE, "request_timeout")
            }
        };
        let response = self.render(&ErrorResponse::new(status, request_id), summary);
        RefusalReason::new(reason).attach_to(response)
    }

    /// Logs an error of an endpoint and gives it the form of its audience. An error with a response
    /// of its own keeps that one. Plain text is the framework's, and may tell a cause.
    fn render_error(&self, error: poem::Error, summary: &RequestSummary) -> Response {
        let status = error.status();
        let request_id = &summary.caller.request_id;
        let infra_error = error.downcast_ref::<InfraError>();
        // A fault of ours has its line, and its reference leads there.
        if infra_error.is_some() || status.is_server_error() {
            summary.caller.log_line.keep();
        }
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
        // The reason of an endpoint stays; fixed words of the framework have none.
        if is_infra_error || response.data::<RefusalReason>().is_none() {
            response = RefusalReason::of_status(status).attach_to(response);
        }
        response
    }

    fn render(&self, error: &ErrorResponse, summary: &RequestSummary) -> Response {
        let error = &summary.with_findable_reference(error);
        let mut response = match (&self.layers.error_page, summary.audience) {
            (Some(page), Audience::People) => {
                let failed = FailedRequest {
                    uri: summary.uri.clone(),
                    caller: summary.caller.clone(),
                    look: summary.look.clone(),
                    repeatable: summary.repeatable.get().cloned().flatten(),
                };
                page(error, &failed)
            }
            (_, audience) => error.render(audience),
        };
        // The rest of the body is not read.
        let has_unread_body = matches!(
            error.status,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
        );
        if has_unread_body {
            close_after(&mut response, summary);
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
        mount::complete_location(response, &self.base_path);
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

/// Has the connection of a request whose body was not read closed after the response.
fn close_after(response: &mut Response, summary: &RequestSummary) {
    if summary.is_http_1 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
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

fn is_peer_trusted(request: &Request, trusted: &[IpNet]) -> bool {
    let peer = request
        .remote_addr()
        .as_socket_addr()
        .map(|address| address.ip().to_canonical());
    peer.is_some_and(|peer| trusted.iter().any(|network| network.contains(&peer)))
}

#[cfg(test)]
mod tests;
