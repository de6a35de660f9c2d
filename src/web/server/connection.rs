//! One connection: the TLS handshake, then HTTP/1.1 or HTTP/2 until it ends or has been quiet for
//! too long.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use poem::{
    Endpoint, Request,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    activity::{Activity, ActivityGuard, Closing, GuardedBody, quiet},
    options::ServerOptions,
};

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
    /// True once the service stops.
    pub(super) stopped: watch::Receiver<bool>,
}

impl<E> Clone for Context<E> {
    fn clone(&self) -> Self {
        Self {
            endpoint: Arc::clone(&self.endpoint),
            tls: self.tls.clone(),
            options: self.options.clone(),
            stopped: self.stopped.clone(),
        }
    }
}

impl<E: Endpoint + 'static> Context<E> {
    /// Serves a connection to its end.
    pub(super) async fn serve(mut self, stream: TcpStream, addresses: Addresses) {
        let Some(tls) = self.tls.take() else {
            return self.serve_http(stream, addresses, Scheme::HTTP).await;
        };
        if let Some(stream) = self.handshake(&tls, stream).await {
            self.serve_http(stream, addresses, Scheme::HTTPS).await;
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

    async fn serve_http<S>(mut self, stream: S, addresses: Addresses, scheme: Scheme)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, mut activity) = watch::channel(Activity::default());
        let sender = Arc::new(sender);
        let endpoint = Arc::clone(&self.endpoint);
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            let guard = ActivityGuard::new(Arc::clone(&sender));
            let Addresses { local, remote } = addresses.clone();
            let request = Request::from((request, local, remote, scheme.clone()));
            let endpoint = Arc::clone(&endpoint);
            async move {
                let response: hyper::Response<_> = endpoint.get_response(request).await.into();
                Ok::<_, Infallible>(response.map(|body| GuardedBody { body, guard }))
            }
        });
        let builder = http_builder(&self.options);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut is_closing = *self.stopped.borrow_and_update();
        if is_closing {
            connection.as_mut().graceful_shutdown();
        }
        loop {
            tokio::select! {
                // In this order: what is ready to leave counts before a quiet time that a busy
                // machine caused.
                biased;
                // The result is of no interest: clients end connections as they like.
                _ended = &mut connection => return,
                closing = quiet(&mut activity, &self.options) => {
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

fn http_builder(options: &ServerOptions) -> auto::Builder<TokioExecutor> {
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
