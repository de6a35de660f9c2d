//! The loop that takes connections: HTTP/1.1 and HTTP/2 on one listener, every wait bounded.
//!
//! The framework's own server has no bound on the time and size of a header, no TCP_NODELAY and no cap on connections;
//! this one has them, and drives the same endpoints: one cap for all connections, one for those of one network, so that
//! nobody alone can take them all (`peers`). Bodies are bounded in `layers`. `connection` takes any stream: with
//! TLS, `handshake` goes before it, on the connection's own task and in its slot.

mod peers;

use std::{
    convert::Infallible, io, net::SocketAddr, pin::Pin, pin::pin, sync::Arc, task, time::Duration,
};

use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use ipnet::IpNet;
use peers::{Peers, Place};
use poem::{
    Addr, Endpoint, Request,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::telemetry::metrics;

/// Bounds of a listener.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// How long a header may take to arrive, and an idle HTTP/1.1 connection may wait for its next request.
    pub header_timeout: Duration,
    /// How long the TLS handshake may take, before any header.
    pub handshake_timeout: Duration,
    /// The most bytes of a header: 431. At least 8 KiB.
    pub header_bytes: usize,
    /// How long a connection may be without a request before it is closed.
    pub idle_timeout: Duration,
    /// How long a connection may stay busy without a request beginning or ending, or a part of an answer leaving: who
    /// never reads it.
    pub busy_timeout: Duration,
    /// More wait in the system's backlog.
    pub max_connections: usize,
    /// The most connections of one IPv4 address or IPv6 /64; more are closed at once.
    pub connections_per_network: usize,
    /// Those of these networks are not counted so: proxies, behind which everybody is.
    pub trusted_proxies: Arc<[IpNet]>,
    /// The most requests of one HTTP/2 connection at once.
    pub max_streams: u32,
    /// How long requests in flight may go on after the shutdown began.
    pub drain: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            header_bytes: 16 * 1024,
            idle_timeout: Duration::from_secs(60),
            busy_timeout: Duration::from_secs(300),
            max_connections: 4096,
            connections_per_network: 512,
            trusted_proxies: Arc::new([]),
            max_streams: 128,
            drain: Duration::from_secs(20),
        }
    }
}

/// Serves `endpoint` on `listener` until `shutdown` is ready, then takes no more connections, lets requests in flight
/// finish within `options.drain`, and returns. With `tls` it speaks https alone.
///
/// # Errors
/// Only if the listener is unusable from the start; a failed accept is logged and tried again.
pub async fn serve<E: Endpoint + 'static>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    endpoint: E,
    options: ServerOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.local_addr()?;
    let endpoint = Arc::new(endpoint);
    let slots = Arc::new(Semaphore::new(options.max_connections));
    let peers = Peers::new(
        options.connections_per_network,
        Arc::clone(&options.trusted_proxies),
    );
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (stream, ends, held) = accept(&listener, &slots, &peers) => {
                let (tls, endpoint, mut stopped) = (tls.clone(), Arc::clone(&endpoint), stopped.clone());
                let options = options.clone();
                connections.spawn(async move {
                    if let Some(tls) = tls {
                        let ends = Ends { scheme: Scheme::HTTPS, ..ends };
                        if let Some(stream) = handshake(&tls, stream, &options, &mut stopped).await {
                            connection(stream, ends, endpoint, &options, stopped).await;
                        }
                    } else {
                        connection(stream, ends, endpoint, &options, stopped).await;
                    }
                    drop(held);
                });
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let all_done = async { while connections.join_next().await.is_some() {} };
    if timeout(options.drain, all_done).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "connections cut at the end of the drain time"
        );
    }
    connections.shutdown().await;
    Ok(())
}

/// Both ends of a connection.
#[derive(Clone)]
struct Ends {
    local: LocalAddr,
    remote: RemoteAddr,
    scheme: Scheme,
}

/// What a connection holds until it ends: a slot among all, and a place among those of its network.
type BrowserState = (OwnedSemaphorePermit, Option<Place>);

/// The next connection, once there is a slot for it. One of a network that has its share is closed: left in the backlog
/// it would stand in everybody's way.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    peers: &Arc<Peers>,
) -> (TcpStream, Ends, BrowserState) {
    loop {
        // The semaphore is never closed.
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
            return std::future::pending().await;
        };
        match accept_one(listener).await {
            Ok((stream, ends)) => {
                let peer = ends.remote.as_socket_addr().map(|peer| peer.ip());
                match peers.take(peer) {
                    Ok(place) => return (stream, ends, (slot, place)),
                    Err(_full) => metrics::limited("connections"),
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Out of descriptors: without a pause this loop would take a whole core.
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn accept_one(listener: &TcpListener) -> io::Result<(TcpStream, Ends)> {
    let (stream, remote) = listener.accept().await?;
    // Without it an answer in two writes waits 40 ms for the peer's acknowledgement.
    stream.set_nodelay(true)?;
    let end = |address: SocketAddr| Addr::SocketAddr(address);
    let local = LocalAddr(end(stream.local_addr()?));
    Ok((
        stream,
        Ends {
            local,
            remote: RemoteAddr(end(remote)),
            scheme: Scheme::HTTP,
        },
    ))
}

/// The TLS handshake. None: it failed, it took too long, or the service stops.
async fn handshake(
    tls: &TlsAcceptor,
    stream: TcpStream,
    options: &ServerOptions,
    stopped: &mut watch::Receiver<bool>,
) -> Option<TlsStream<TcpStream>> {
    tokio::select! {
        done = timeout(options.handshake_timeout, tls.accept(stream)) => match done {
            Ok(Ok(stream)) => Some(stream),
            // Scanners bring this about all day: nothing for ops to look at.
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_elapsed) => None,
        },
        _stopping = stopped.wait_for(|stop| *stop) => None,
    }
}

/// Serves one connection to its end, or until it has been quiet for too long.
async fn connection<S, E>(
    stream: S,
    ends: Ends,
    endpoint: Arc<E>,
    options: &ServerOptions,
    mut stopped: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Endpoint + 'static,
{
    let (pulse, mut beats) = watch::channel(Pulse::default());
    let pulse = Arc::new(pulse);
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let beat = Beat::new(Arc::clone(&pulse));
        let request = Request::from((
            request,
            ends.local.clone(),
            ends.remote.clone(),
            ends.scheme.clone(),
        ));
        let endpoint = Arc::clone(&endpoint);
        async move {
            let response: hyper::Response<_> = endpoint.get_response(request).await.into();
            Ok::<_, Infallible>(response.map(|body| Held { body, beat }))
        }
    });
    let builder = builder(options);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut closing = *stopped.borrow_and_update();
    if closing {
        connection.as_mut().graceful_shutdown();
    }
    loop {
        tokio::select! {
            // In this order: what is ready to go out counts before the quiet that a busy machine made.
            biased;
            // How a connection ends is its peer's business.
            _ended = &mut connection => return,
            polite = quiet(&mut beats, options) => {
                if closing || !polite {
                    return;
                }
            }
            Ok(()) = stopped.changed() => {}
        }
        closing = true;
        connection.as_mut().graceful_shutdown();
    }
}

fn builder(options: &ServerOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(options.header_bytes.max(8 * 1024));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.max_streams)
        .max_header_list_size(u32::try_from(options.header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(20)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

/// What a connection is at.
#[derive(Clone, Copy, Default)]
struct Pulse {
    /// Whether a request ever came.
    began: bool,
    /// Requests whose answer has not been sent whole.
    at_work: usize,
}

/// Waits until the connection has been quiet for too long. False: it has no manners and is cut; true: it may be told.
async fn quiet(beats: &mut watch::Receiver<Pulse>, options: &ServerOptions) -> bool {
    loop {
        let pulse = *beats.borrow_and_update();
        let (limit, polite) = match pulse {
            Pulse { at_work: 1.., .. } => (options.busy_timeout, false),
            // Also covers the first bytes, before it is known which HTTP this is.
            Pulse { began: false, .. } => (options.header_timeout, false),
            Pulse { began: true, .. } => (options.idle_timeout, true),
        };
        match timeout(limit, beats.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_gone)) => std::future::pending().await,
            Err(_elapsed) => return polite,
        }
    }
}

/// A request at work, from its header to the last byte of its answer.
struct Beat(Arc<watch::Sender<Pulse>>);

impl Beat {
    fn new(pulse: Arc<watch::Sender<Pulse>>) -> Self {
        pulse.send_modify(|pulse| {
            *pulse = Pulse {
                began: true,
                at_work: pulse.at_work.saturating_add(1),
            }
        });
        Self(pulse)
    }

    /// A part of the answer leaves: an event stream may go on for as long as its reader reads.
    fn go_on(&self) {
        self.0.send_modify(|_same| {});
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.0
            .send_modify(|pulse| pulse.at_work = pulse.at_work.saturating_sub(1));
    }
}

/// A body that holds its request's [`Beat`] until it has been sent. Its parts are asked for only as far as its reader has
/// taken those before.
struct Held<B> {
    body: B,
    beat: Beat,
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> task::Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, task::Poll::Ready(Some(Ok(_)))) {
            self.beat.go_on();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
