//! Accepting connections, within the bounds on their number.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use poem::{
    Addr, Endpoint,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    activity::Activity,
    budget::RequestBudget,
    connection::{Addresses, Context},
    networks::{NetworkSlot, Networks},
    options::ServerOptions,
    unread_log::UnreadLog,
};
use crate::telemetry::metrics;

/// Serves `endpoint` on `listener` until `shutdown` is ready, then accepts no more connections,
/// lets requests in flight finish within `options.drain_timeout`, and what is at work for clients that
/// are gone within `options.work_timeout`, and returns. With `tls` it serves https alone.
///
/// # Errors
/// If the listener is unusable from the start. A connection that cannot be accepted is logged.
pub async fn serve<E: Endpoint + 'static>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    endpoint: E,
    options: ServerOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.local_addr()?;
    let slots = Slots::new(&options);
    let (drain_timeout, work_timeout) = (options.drain_timeout, options.work_timeout);
    let (stop, stopped) = watch::channel(false);
    let requests = RequestBudget::new(options.request_bytes);
    let context = Context {
        endpoint: Arc::new(endpoint),
        tls,
        requests: Arc::clone(&requests),
        unread: UnreadLog::default(),
        options,
        networks: Arc::clone(&slots.networks),
        stopped,
    };
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = slots.accept(&listener) => {
                let context = context.clone();
                connections.spawn(accepted.serve(context));
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(drain_timeout, drained).await.is_err() {
        let connections = connections.len();
        tracing::warn!(
            connections,
            "connections cut at the end of the drain time-out"
        );
    }
    connections.shutdown().await;
    let at_work = async {
        while !requests.is_idle() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(work_timeout, at_work).await.is_err() {
        tracing::warn!("units of work did not end in time");
    }
    Ok(())
}

/// The bounds on connections: one for all, and one for each network, so that one network cannot
/// take them all.
struct Slots {
    all: Arc<Semaphore>,
    networks: Arc<Networks>,
}

/// A connection that was accepted, with what it holds until it ends.
struct Accepted {
    stream: TcpStream,
    addresses: Addresses,
    activity: watch::Sender<Activity>,
    of_network: NetworkSlot,
    _of_all: OwnedSemaphorePermit,
}

impl Accepted {
    /// Serves the connection until it ends, or has to make space for another one.
    async fn serve<E: Endpoint + 'static>(self, context: Context<E>) {
        tokio::select! {
            () = context.serve(self.stream, self.addresses, self.activity) => {}
            () = self.of_network.closed() => metrics::limited("connections"),
        }
    }
}

impl Slots {
    fn new(options: &ServerOptions) -> Self {
        Self {
            all: Arc::new(Semaphore::new(options.max_connections)),
            networks: Networks::new(options),
        }
    }

    /// Accepts the next connection once there is a slot for it. A connection of a network that has
    /// its share is closed: in the backlog it would keep the others waiting.
    async fn accept(&self, listener: &TcpListener) -> Accepted {
        loop {
            // The semaphore is never closed.
            let Ok(of_all) = Arc::clone(&self.all).acquire_owned().await else {
                return std::future::pending().await;
            };
            match accept_one(listener).await {
                Ok((stream, addresses)) => {
                    let peer = addresses.remote.as_socket_addr().map(|peer| peer.ip());
                    let activity = watch::Sender::new(Activity::new());
                    match self.networks.try_acquire(peer, &activity.subscribe()) {
                        Ok(of_network) => {
                            return Accepted {
                                stream,
                                addresses,
                                activity,
                                of_network,
                                _of_all: of_all,
                            };
                        }
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
}

pub(super) async fn accept_one(listener: &TcpListener) -> io::Result<(TcpStream, Addresses)> {
    let (stream, remote) = listener.accept().await?;
    // Otherwise a response in two writes waits 40 ms for the peer's acknowledgement.
    stream.set_nodelay(true)?;
    let address = |address: SocketAddr| Addr::SocketAddr(address);
    let addresses = Addresses {
        local: LocalAddr(address(stream.local_addr()?)),
        remote: RemoteAddr(address(remote)),
    };
    Ok((stream, addresses))
}
