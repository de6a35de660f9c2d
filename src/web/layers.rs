//! What lies around every endpoint, once, from the outside in: the caller, one line in the log, the form and headers of
//! error answers, the host check, the body's bounds, the time-out, the net under panics.
//!
//! Promises: no answer of 5xx tells its cause; the log never holds a path, a query or a cookie, only the pattern of the
//! route; an endpoint sees a body of at most 64 KiB that has arrived whole.

use std::{fmt, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _};
use ipnet::IpNet;
use poem::{
    Body, Endpoint, IntoResponse, Middleware, PathPattern, Request, Response,
    http::{HeaderName, HeaderValue, Method, StatusCode, Version, header},
};
use tokio::time::{Instant, timeout};

use super::{
    caller::Caller,
    cors::Readable,
    error::{Audience, ErrorResponse},
    host::{PublicHost, Turned, is_of_this_machine},
    unread,
};
use crate::error::InfraError;
use crate::telemetry::{
    metrics,
    trace::{Span, Tag},
};

/// Draws an error for people as a page.
pub type ErrorPage = Arc<dyn Fn(&ErrorResponse, &Caller) -> Response + Send + Sync>;

/// What the layers of one listener know.
#[derive(Clone)]
pub struct Layers {
    /// Requests for another host get 421 (PX-01). None on the management listener, which has no public name.
    pub public_url: Option<Arc<str>>,
    /// Whether only names of this machine are answered to: for a management listener that only this machine reaches, which
    /// a page in a browser here could else read under a name of its own (DNS rebinding).
    pub loopback_only: bool,
    /// GET for another loopback name of the same port is sent to `public_url`: for `entree dev` alone.
    pub redirect_loopback: bool,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// How people are told of errors; plain words if none.
    pub error_page: Option<ErrorPage>,
    /// The most bytes of a body (PX-02).
    pub body_bytes: usize,
    /// How long a body may take to arrive: 408.
    pub body_timeout: Duration,
    /// How long an endpoint may take to answer: 503.
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
    /// The usual bounds: 64 KiB, 15 s for a body, 30 s for an answer; no page, no proxy.
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
        let site = self.public_url.as_deref().map(PublicHost::of);
        Layered {
            inner,
            layers: self.clone(),
            site,
        }
    }
}

/// An endpoint with the layers around it. It never gives an `Err`.
pub struct Layered<E> {
    inner: E,
    layers: Layers,
    /// None where every host is answered for.
    site: Option<PublicHost>,
}

impl<E: Endpoint> Endpoint for Layered<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let began = Instant::now();
        let caller = Caller::resolve(&request, &self.layers.trusted_proxies);
        // Whoever may name its trace may have it kept: our own proxies only.
        let believed = is_peer_trusted(&request, &self.layers.trusted_proxies);
        let span = Span::of_request(believed.then(|| request.headers()));
        request.set_data(caller.clone());
        let seen = Seen {
            method: request.method().clone(),
            audience: Audience::of(request.uri().path()),
            old_http: request.version() < Version::HTTP_2,
            caller,
        };
        tracing::trace!(request_id = seen.caller.request_id, "request begins");
        let mut response = match self.admit(&mut request).await {
            Ok(()) => span.around(self.run(request, &seen)).await,
            Err(Turned::Away(status)) => {
                self.refuse(&ErrorResponse::new(status, &seen.caller.request_id), &seen)
            }
            Err(Turned::To(response)) => *response,
        };
        self.finish(&mut response, &seen);
        tell(&seen, &response, began, span);
        Ok(response)
    }
}

/// What is remembered of a request once it has been handed on.
struct Seen {
    method: Method,
    audience: Audience,
    old_http: bool,
    caller: Caller,
}

impl<E: Endpoint> Layered<E> {
    /// The checks before the endpoint: host, then body.
    async fn admit(&self, request: &mut Request) -> Result<(), Turned> {
        if self.layers.loopback_only && !is_of_this_machine(request) {
            return Err(Turned::Away(StatusCode::MISDIRECTED_REQUEST));
        }
        if let Some(site) = &self.site {
            site.admit(request, self.layers.redirect_loopback)?;
        }
        let body = request.take_body();
        if body.is_empty() {
            return Ok(());
        }
        let whole = timeout(self.layers.body_timeout, read(body, self.layers.body_bytes)).await;
        let bytes = whole
            .unwrap_or(Err(StatusCode::REQUEST_TIMEOUT))
            .map_err(Turned::Away)?;
        request.set_body(bytes);
        Ok(())
    }

    async fn run(&self, request: Request, seen: &Seen) -> Response {
        let call = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        let request_id = &seen.caller.request_id;
        match timeout(self.layers.request_timeout, call).await {
            Ok(Ok(Ok(output))) => output.into_response(),
            Ok(Ok(Err(error))) => self.shape(error, seen),
            Ok(Err(_panic)) => {
                tracing::error!(request_id, "a request ended in a panic");
                self.refuse(
                    &ErrorResponse::new(StatusCode::INTERNAL_SERVER_ERROR, request_id),
                    seen,
                )
            }
            Err(_elapsed) => {
                tracing::error!(request_id, "a request took too long");
                self.refuse(
                    &ErrorResponse::new(StatusCode::SERVICE_UNAVAILABLE, request_id),
                    seen,
                )
            }
        }
    }

    /// Gives an error the form of its audience. An error that brings an answer of its own keeps it; plain text is the
    /// framework's way, and its words may tell a cause.
    fn shape(&self, error: poem::Error, seen: &Seen) -> Response {
        let status = error.status();
        let request_id = &seen.caller.request_id;
        let failure = error.downcast_ref::<InfraError>();
        match failure {
            Some(failure) => failure.log(request_id),
            None if status.is_server_error() => {
                tracing::error!(request_id, cause = %error, "answered {status}")
            }
            None => {}
        }
        let ours = failure.is_some();
        let words = unread::words(&error);
        let mut response = error.into_response();
        if ours || is_plain(&response) {
            let fault = ErrorResponse::new(status, request_id).with_detail(if is_routing(status) {
                ""
            } else {
                &words
            });
            let shaped = self.refuse(&fault, seen);
            // Retry-After, Allow, WWW-Authenticate stay, and the pattern of the route.
            let (kept, notes) = (
                std::mem::take(response.headers_mut()),
                std::mem::take(response.extensions_mut()),
            );
            response = shaped;
            for (name, value) in kept
                .iter()
                .filter(|(name, _)| !name.as_str().starts_with("content-"))
            {
                response.headers_mut().insert(name, value.clone());
            }
            *response.extensions_mut() = notes;
        }
        response
    }

    fn refuse(&self, fault: &ErrorResponse, seen: &Seen) -> Response {
        let mut response = match (&self.layers.error_page, seen.audience) {
            (Some(page), Audience::People) => page(fault, &seen.caller),
            (_, audience) => fault.answer(audience),
        };
        // What is left of the body is not waited for.
        let cut = matches!(
            fault.status,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
        );
        if cut && seen.old_http {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The headers that every answer has unless it brings its own: pages bring theirs.
    fn finish(&self, response: &mut Response, seen: &Seen) {
        const DEFAULTS: [(HeaderName, HeaderValue); 4] = [
            (
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            ),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (
                header::REFERRER_POLICY,
                HeaderValue::from_static("no-referrer"),
            ),
            (
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static(
                    "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
                ),
            ),
        ];
        let readable = response.data::<Readable>().cloned();
        let headers = response.headers_mut();
        if let Some(readable) = readable {
            readable.write(headers);
        }
        for (name, value) in DEFAULTS {
            headers.entry(name).or_insert(value);
        }
        if self.site.as_ref().is_some_and(|site| site.kept_https) {
            let year = HeaderValue::from_static("max-age=31536000");
            headers
                .entry(header::STRICT_TRANSPORT_SECURITY)
                .or_insert(year);
        }
        if let Ok(id) = HeaderValue::try_from(seen.caller.request_id.as_str()) {
            headers.insert(HeaderName::from_static("x-request-id"), id);
        }
    }
}

/// 404 and 405 say all there is to say in the fixed words.
fn is_routing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
    )
}

fn is_plain(response: &Response) -> bool {
    response
        .content_type()
        .is_none_or(|kind| kind.starts_with("text/plain"))
}

/// One line a request. The pattern stands for the path: a mailed link's token is in the path.
fn tell(seen: &Seen, response: &Response, began: Instant, span: Span) {
    let pattern = response
        .data::<PathPattern>()
        .map(|pattern| Arc::clone(&pattern.0));
    let route = pattern.as_deref().unwrap_or("unmatched");
    let (status, took) = (response.status().as_u16(), began.elapsed());
    tracing::info!(
        method = %seen.method,
        route,
        status,
        ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        request_id = seen.caller.request_id,
        trace_id = span.trace_id(),
        network = seen.caller.network,
        "request"
    );
    let method = metrics::method(seen.method.as_str());
    metrics::answered(method, pattern.clone(), status, took);
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

/// Reads a body whole, counting: Content-Length is not believed, and may be absent (PO-04). Of one that is too large
/// some more is taken in, so that the sender gets to reading the answer.
async fn read(body: Body, limit: usize) -> Result<Vec<u8>, StatusCode> {
    let mut stream = std::pin::pin!(body.into_bytes_stream());
    let (mut whole, mut taken) = (Vec::new(), 0_usize);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| StatusCode::BAD_REQUEST)?;
        taken = taken.saturating_add(chunk.len());
        if taken <= limit {
            whole.extend_from_slice(&chunk);
        } else if taken > limit.saturating_mul(4) {
            break;
        }
    }
    if taken > limit {
        Err(StatusCode::PAYLOAD_TOO_LARGE)
    } else {
        Ok(whole)
    }
}

/// Answers 405 with Allow to every method that is not listed in `allow` (`"GET"`, `"GET, POST"`).
///
/// The framework answers HEAD by running the GET handler; where a GET looks at a secret or changes something (mailed
/// links, callbacks, authorize) HEAD is left out of the list (PO-01, CF-05).
pub fn allow_methods<E: Endpoint>(allow: &'static str, inner: E) -> AllowMethods<E> {
    AllowMethods { allow, inner }
}

/// Made by [`allow_methods`].
pub struct AllowMethods<E> {
    allow: &'static str,
    inner: E,
}

impl<E: Endpoint> Endpoint for AllowMethods<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        if self
            .allow
            .split(", ")
            .any(|method| method == request.method().as_str())
        {
            return self
                .inner
                .call(request)
                .await
                .map(IntoResponse::into_response);
        }
        let response = Response::builder().status(StatusCode::METHOD_NOT_ALLOWED);
        Err(poem::Error::from_response(
            response.header(header::ALLOW, self.allow).finish(),
        ))
    }
}

#[cfg(test)]
mod tests;
