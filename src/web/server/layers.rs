//! The layers around every endpoint, from the outside in: the caller, one line in the log, the form
//! and the headers of error responses, the host check, the bounds of the body, the slot of its lane,
//! the time-out, and the task of its own.
//!
//! They promise: no 5xx response tells its cause; the log holds the pattern of the route, and never
//! a path, a query or a cookie; an endpoint gets a body of at most 64 KiB that has arrived whole.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use hyper::body::Bytes;
use ipnet::IpNet;
use poem::{
    Endpoint, Middleware, Request, Response,
    http::{Method, StatusCode, Version, header},
};
use tokio::time::{Instant, timeout};

pub use super::failed::{ErrorPage, FailedRequest};
use super::{
    body::{BodyBounds, BodyError, read_whole},
    budget::RequestSpace,
    cors::CorsEndpoints,
    host::{EarlyResponse, PublicHost, authority_of, is_by_loopback_name},
    lane::{LaneFull, Lanes, Slot},
    mount::{self, PathStripping},
    unit::Unit,
};
use crate::{
    telemetry::trace::Span,
    web::{
        again::Repeatable, base_path::BasePath, caller::Caller, deployment::loggable_text,
        error::Audience, line_budget::LineBudget, look::PageLook, named_client::NamedClient,
        unnamed_proxy::UnnamedProxy,
    },
};

mod record;
mod render;

use record::{RequestSummary, Unanswered, path_area, record, with_reference};

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
    /// Without them any number of requests is at work.
    pub lanes: Option<Arc<Lanes>>,
    /// Without them no page of another origin reads the errors of the layers themselves.
    pub cors: Option<CorsEndpoints>,
    /// The most bytes of a body (PX-02).
    pub body_bytes: usize,
    /// How long no part of a body may arrive: 408.
    pub body_pause: Duration,
    /// How long a body may take to arrive: 408.
    pub body_timeout: Duration,
    /// How long an endpoint may take: 503, while its unit of work goes on.
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
            lanes: None,
            cors: None,
            body_bytes: 64 * 1024,
            body_pause: Duration::from_secs(15),
            body_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(30),
        }
    }
}

impl<E: Endpoint + 'static> Middleware<E> for Layers {
    type Output = Layered<E>;

    fn transform(&self, inner: E) -> Self::Output {
        let public_url = self.public_url.as_deref();
        Layered {
            inner: Arc::new(inner),
            layers: self.clone(),
            public_host: public_url.map(PublicHost::of_url),
            base_path: public_url.map(BasePath::of_url).unwrap_or_default(),
        }
    }
}

/// An endpoint with the layers around it. It never returns an `Err`.
pub struct Layered<E> {
    inner: Arc<E>,
    layers: Layers,
    /// None where every host is served.
    public_host: Option<PublicHost>,
    base_path: BasePath,
}

impl<E: Endpoint + 'static> Endpoint for Layered<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let summary = RequestSummary {
            method: request.method().clone(),
            uri: request.uri().clone(),
            audience: self.audience(request.uri().path()),
            area: self.area(request.uri().path()),
            origin: request.headers().get(header::ORIGIN).cloned(),
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
            .note_request(&request, &self.layers.trusted_proxies);
        request.set_data(summary.caller.clone());
        request.set_data(summary.look.clone());
        request.set_data(summary.named_client.clone());
        // Only our own proxies may choose the trace of a request, and have it kept.
        let may_choose_trace = is_peer_trusted(&request, &self.layers.trusted_proxies);
        let span = Span::of_request(may_choose_trace.then(|| request.headers()));
        let request_id = &summary.caller.request_id;
        tracing::trace!(request_id, "request begins");
        let space = request.extensions_mut().remove::<Arc<RequestSpace>>();
        let unanswered = Unanswered::new(&summary);
        let response = self.respond(request, space, &summary, &span).await;
        let mut response = with_reference(response, &summary.caller);
        self.set_headers(&mut response, &summary);
        unanswered.end();
        record(&summary, &response, span);
        Ok(response)
    }
}

/// Where an endpoint runs.
enum Place {
    /// In a task of its own, with a slot of its lane.
    Task(Option<Slot>),
    /// In the task of its connection: it asks no store.
    Here,
}

/// Waits until the request has to end, to make space for others.
async fn ended(space: Option<&RequestSpace>) {
    match space {
        Some(space) => space.ended().await,
        None => std::future::pending().await,
    }
}

impl<E: Endpoint + 'static> Layered<E> {
    fn audience(&self, path: &str) -> Audience {
        Audience::of_path(self.base_path.inside(path).unwrap_or(path))
    }

    fn area(&self, path: &str) -> &'static str {
        path_area(self.base_path.inside(path).unwrap_or(path))
    }

    async fn respond(
        &self,
        mut request: Request,
        space: Option<Arc<RequestSpace>>,
        summary: &RequestSummary,
        span: &Span,
    ) -> Response {
        let named_host = authority_of(&request).map(loggable_text);
        let arrived = tokio::select! {
            // In this order: a request that has to end frees its memory first.
            biased;
            () = ended(space.as_deref()) => Err(EarlyResponse::Ended),
            arrived = self.arrive(&mut request, space.as_deref(), summary) => arrived,
        };
        let place = match arrived {
            Ok(place) => place,
            Err(early) => {
                drop(request);
                return self.render_early(early, named_host.as_deref(), summary);
            }
        };
        let unit = Unit {
            endpoint: Arc::clone(&self.inner),
            request,
            slot: None,
            space,
        };
        let limit = self.layers.request_timeout;
        let result = match place {
            Place::Here => unit.run_here(span, limit).await,
            Place::Task(slot) => Unit { slot, ..unit }.run(span, limit).await,
        };
        self.render_result(result, summary)
    }

    /// Lets a request arrive whole, and waits for a slot in its lane.
    async fn arrive(
        &self,
        request: &mut Request,
        space: Option<&RequestSpace>,
        summary: &RequestSummary,
    ) -> Result<Place, EarlyResponse> {
        let repeatable = self.check(request, space).await?;
        let _ = summary.repeatable.set(repeatable);
        let Some(lanes) = &self.layers.lanes else {
            return Ok(Place::Task(None));
        };
        // What a browser asks before a request (CORS) needs no store, whatever the path.
        let lane = lanes
            .of(request)
            .filter(|_| *request.method() != Method::OPTIONS);
        let Some(name) = lane else {
            return Ok(Place::Here);
        };
        let peer = request.remote_addr().as_socket_addr().copied();
        match lanes.enter(name, summary.caller.ip, peer).await {
            Ok(slot) => Ok(Place::Task(Some(slot))),
            Err(LaneFull) => Err(EarlyResponse::LaneFull(name)),
        }
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
