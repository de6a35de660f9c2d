//! One connection: the TLS handshake, then HTTP/1.1 or HTTP/2 until it ends or has been quiet for
//! too long.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use hyper::body::{Body as _, Bytes, Incoming};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use ipnet::IpNet;
use poem::{
    Endpoint, Request, Response,
    http::{StatusCode, Uri, Version, header, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{Notify, watch},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    activity::{Activity, ActivityGuard, Closing, until_quiet},
    budget::{RequestBudget, RequestCost, RequestSpace},
    networks::Networks,
    options::ServerOptions,
    response_body::GuardedBody,
    streams::{StreamExecutor, Streams},
    unread_log::UnreadLog,
};
use crate::web::{caller, error::RETRY_AFTER};

/// The most of a body that a client may send before the service has taken it.
const STREAM_WINDOW: u16 = 16 * 1024;

/// The same for all bodies of an HTTP/2 connection: the least that there is (RFC 9113 §6.9.2).
const CONNECTION_WINDOW: u16 = u16::MAX;

/// The most that the server needs for one header line beside its text.
const HEADER_LINE_BYTES: usize = 128;

/// Both ends of a connection.
#[derive(Clone)]
pub(super) struct Addresses {
    pub(super) local: LocalAddr,
    pub(super) remote: RemoteAddr,
}

/// What the connections of one listener share.
pub(super) struct Context<E> {
    pub(super) endpoint: Arc<E>,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) options: ServerOptions,
    pub(super) networks: Arc<Networks>,
    pub(super) requests: Arc<RequestBudget>,
    pub(super) unread: UnreadLog,
    /// True once the service stops.
    pub(super) stopped: watch::Receiver<bool>,
}

impl<E> Clone for Context<E> {
    fn clone(&self) -> Self {
        Self {
            endpoint: Arc::clone(&self.endpoint),
            tls: self.tls.clone(),
            options: self.options.clone(),
            networks: Arc::clone(&self.networks),
            requests: Arc::clone(&self.requests),
            unread: self.unread.clone(),
            stopped: self.stopped.clone(),
        }
    }
}

impl<E: Endpoint + 'static> Context<E> {
    /// Serves a connection to its end.
    pub(super) async fn serve(
        mut self,
        stream: TcpStream,
        addresses: Addresses,
        activity: watch::Sender<Activity>,
    ) {
        let Some(tls) = self.tls.take() else {
            let scheme = Scheme::HTTP;
            return self.serve_http(stream, addresses, scheme, activity).await;
        };
        if let Some(stream) = self.handshake(&tls, stream).await {
            let scheme = Scheme::HTTPS;
            self.serve_http(stream, addresses, scheme, activity).await;
        }
    }

    /// Returns nothing if the handshake failed, took too long, or the service stops.
    async fn handshake(
        &mut self,
        tls: &TlsAcceptor,
        stream: TcpStream,
    ) -> Option<TlsStream<TcpStream>> {
        tokio::select! {
            result = timeout(self.options.handshake_timeout, tls.accept(stream)) => match result {
                Ok(Ok(stream)) => Some(stream),
                // Scanners cause this all day, and no operator can change it.
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a TLS handshake failed");
                    None
                }
                Err(_elapsed) => None,
            },
            _stopping = self.stopped.wait_for(|stopped| *stopped) => None,
        }
    }

    async fn serve_http<S>(
        mut self,
        stream: S,
        addresses: Addresses,
        scheme: Scheme,
        sender: watch::Sender<Activity>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut activity = sender.subscribe();
        let sender = Arc::new(sender);
        let cut = Arc::new(Notify::new());
        let remote = addresses.remote.clone();
        let receiver = Receiver {
            addresses,
            scheme,
            trusted_proxies: Arc::clone(&self.options.trusted_proxies),
            requests: Arc::clone(&self.requests),
            unread: self.unread.clone(),
            header_bytes: self.options.header_bytes,
            cut: Arc::clone(&cut),
        };
        let endpoint = Arc::clone(&self.endpoint);
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            let guard = ActivityGuard::new(Arc::clone(&sender));
            let version = request.version();
            let (request, space) = receiver.receive(request);
            let endpoint = Arc::clone(&endpoint);
            async move {
                let response = match request {
                    Ok(request) => endpoint.get_response(request).await,
                    Err(status) => unread(status, version),
                };
                let response: hyper::Response<_> = response.into();
                Ok::<_, Infallible>(GuardedBody::respond(response, guard, space))
            }
        });
        let networks = Arc::clone(&self.networks);
        let configured = self.options.idle_timeout;
        let idle_timeout = || networks.idle_timeout(configured);
        let mut streams = Streams::default();
        let builder = http_builder(&self.options, streams.executor());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut is_closing = *self.stopped.borrow_and_update();
        if is_closing {
            connection.as_mut().graceful_shutdown();
        }
        loop {
            tokio::select! {
                // In this order: space is made before more is read, and what is ready to leave
                // counts before a quiet time that a busy machine caused.
                biased;
                () = cut.notified() => return,
                // Clients end connections as they like.
                ended = streams.drive(connection.as_mut()) => {
                    if let Err(error) = ended {
                        self.unread.note_error(&*error, &remote);
                    }
                    return;
                }
                closing = until_quiet(&mut activity, &self.options, &idle_timeout) => {
                    if is_closing || closing == Closing::Forced {
                        return;
                    }
                }
                Ok(()) = self.stopped.changed() => {}
            }
            is_closing = true;
            connection.as_mut().graceful_shutdown();
        }
    }
}

/// What the requests of one connection share.
struct Receiver {
    addresses: Addresses,
    scheme: Scheme,
    trusted_proxies: Arc<[IpNet]>,
    requests: Arc<RequestBudget>,
    unread: UnreadLog,
    header_bytes: usize,
    cut: Arc<Notify>,
}

impl Receiver {
    /// Charges a request. One for which there is no space, or whose header is too large, is dropped here.
    fn receive(
        &self,
        mut request: hyper::Request<Incoming>,
    ) -> (Result<Request, StatusCode>, Arc<RequestSpace>) {
        let cost = cost_of(&request);
        let is_too_large = is_header_over(&request, self.header_bytes);
        unpin_uri(&mut request);
        let Addresses { local, remote } = self.addresses.clone();
        let mut request = Request::from((request, local, remote, self.scheme.clone()));
        let from = caller::address_of(&request, &self.trusted_proxies);
        let space = self.requests.begin(from, cost, Arc::clone(&self.cut));
        let space = Arc::new(space);
        request.set_data(Arc::clone(&space));
        let request = if space.is_refused {
            Err(StatusCode::SERVICE_UNAVAILABLE)
        } else if is_too_large {
            self.unread.note_too_large(&self.addresses.remote);
            Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        } else {
            Ok(request)
        };
        (request, space)
    }
}

/// Returns what a request takes in memory.
fn cost_of(request: &hyper::Request<Incoming>) -> RequestCost {
    let lines = request.headers().iter();
    let lines = lines.map(|(name, value)| name.as_str().len() + value.len() + HEADER_LINE_BYTES);
    let window = u64::from(STREAM_WINDOW);
    let unread = match request.body().size_hint().upper() {
        _ if request.body().is_end_stream() => 0,
        declared => declared.unwrap_or(window).min(window),
    };
    RequestCost {
        header: lines.sum::<usize>() + request.uri().to_string().len(),
        unread: usize::try_from(unread).unwrap_or_default(),
    }
}

/// Returns whether the header of an HTTP/2 request has more bytes than it may, as RFC 9113 §10.5.1
/// counts them. Over HTTP/1.1 such a header is not read to its end.
fn is_header_over(request: &hyper::Request<Incoming>, most: usize) -> bool {
    const FIELD_BYTES: usize = 32;
    let fields = request.headers().iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES);
    request.version() == Version::HTTP_2
        && fields.sum::<usize>() + request.uri().to_string().len() > most
}

/// Copies the URI: HTTP/2 leaves it in the buffer that was read, and would keep all of that.
fn unpin_uri(request: &mut hyper::Request<Incoming>) {
    let text = Bytes::from(request.uri().to_string());
    if let Ok(uri) = Uri::from_maybe_shared(text) {
        *request.uri_mut() = uri;
    }
}

/// Returns the response to a request that was not read. It is counted in a line of the log.
fn unread(status: StatusCode, version: Version) -> Response {
    let mut response = Response::builder().status(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response = response.header(header::RETRY_AFTER, RETRY_AFTER);
    }
    if version < Version::HTTP_2 {
        response = response.header(header::CONNECTION, "close");
    }
    response.finish()
}

fn http_builder(
    options: &ServerOptions,
    executor: StreamExecutor,
) -> auto::Builder<StreamExecutor> {
    let mut builder = auto::Builder::new(executor);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(options.header_bytes.max(8 * 1024));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.max_streams)
        .initial_stream_window_size(u32::from(STREAM_WINDOW))
        .initial_connection_window_size(u32::from(CONNECTION_WINDOW))
        .max_send_buf_size(64 * 1024)
        .max_header_list_size(max_header_list(options))
        .max_pending_accept_reset_streams(20)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

/// Returns how large a header the HTTP/2 library reads: twice of what is served, because the library
/// refuses a larger one without a word, and one in between can be counted.
fn max_header_list(options: &ServerOptions) -> u32 {
    u32::try_from(options.header_bytes.saturating_mul(2)).unwrap_or(u32::MAX)
}
