//! The client that sends requests to other hosts.

use std::{error::Error, fmt, io, sync::Arc, time::Duration};

use poem::http::header;
use reqwest::{Certificate, Client, redirect, retry};

use super::{
    error::FetchError,
    message::{FetchRequest, FetchResponse},
    resolver::{NotPublicError, NotResolvedError, Resolver},
    scope::{FetchScope, NOT_PUBLIC},
};
use crate::telemetry::trace::{self, Span, Tag};

/// How long connecting may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long everything may take, to the last byte of the response.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Larger responses are refused. Bytes are counted while they arrive.
pub const MAX_BYTES: usize = 512 * 1024;

/// Sends requests within one scope. Clones share it. Every request has a connection of its own: a
/// check is never used again, and no request is repeated because a connection was closed (HT-09).
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    scope: Arc<FetchScope>,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl Fetcher {
    /// `FetchScope::default()` allows public addresses alone.
    ///
    /// # Errors
    /// What is wrong with the root certificates, in words.
    pub fn new(scope: FetchScope) -> Result<Self, String> {
        // `main` installs the one TLS provider; tests run without `main`.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let scope = Arc::new(scope);
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .retry(retry::never())
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .user_agent(concat!("entree/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Resolver(Arc::clone(&scope)));
        if let Some(file) = scope
            .ca_file
            .as_deref()
            .filter(|file| !file.as_os_str().is_empty())
        {
            let pem = std::fs::read(file)
                .map_err(|error| format!("ca_file cannot be read ({})", error.kind()))?;
            let roots = Certificate::from_pem_bundle(&pem)
                .map_err(|_| "ca_file holds no certificates".to_owned())?;
            builder = builder.tls_certs_merge(roots);
        }
        let client = builder
            .build()
            .map_err(|_| "the system's certificate authorities cannot be read".to_owned())?;
        Ok(Self { client, scope })
    }

    /// Sends a request once.
    pub async fn send(&self, request: FetchRequest) -> Result<FetchResponse, FetchError> {
        let span = Span::of_call("fetch");
        let sending = span.around(async {
            tokio::time::timeout(TOTAL_TIMEOUT, self.send_within_scope(request))
                .await
                .unwrap_or(Err(FetchError::Timeout))
        });
        let result = sending.await;
        let tags = || match &result {
            Ok(response) => vec![Tag::HttpStatus(response.status)],
            Err(error) => vec![Tag::Outcome(error.outcome())],
        };
        span.end(|| None, tags, result.is_err());
        result
    }

    async fn send_within_scope(&self, request: FetchRequest) -> Result<FetchResponse, FetchError> {
        let url = self.scope.check_url(&request.url)?;
        let is_conditional = request.headers.contains_key(header::IF_NONE_MATCH);
        let mut headers = request.headers;
        trace::inject(&mut headers);
        let mut response = self
            .client
            .request(request.method, url)
            .headers(headers)
            .body(request.body)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        let status = response.status();
        if status.is_redirection() && !(is_conditional && status.as_u16() == 304) {
            return Err(FetchError::Redirect);
        }
        let announced = response.content_length();
        if announced.is_some_and(|length| length > MAX_BYTES as u64) {
            return Err(FetchError::TooLarge);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(FetchResponse {
            status: status.as_u16(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }
}

/// Returns whether an error is one of TLS, however often it is wrapped.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let inner = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || inner.is_some_and(|inner| is_tls(inner))
}

/// Returns whether the machine is there and nothing listens on the port.
fn is_refused(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Classifies an error of the client. Its own text holds the URL and is not used.
fn classify(error: &reqwest::Error) -> FetchError {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(cause) = source {
        if cause.is::<NotPublicError>() {
            return FetchError::Blocked(NOT_PUBLIC);
        }
        if cause.is::<NotResolvedError>() {
            return FetchError::Dns;
        }
        if is_tls(cause) {
            return FetchError::Tls;
        }
        if is_refused(cause) {
            return FetchError::Refused;
        }
        source = cause.source();
    }
    if error.is_timeout() {
        FetchError::Timeout
    } else if error.is_connect() {
        FetchError::Down("no connection: the network does not lead there")
    } else {
        FetchError::Down("the connection ended before the response was complete")
    }
}
