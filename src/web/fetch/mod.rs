//! The one way out over HTTP: for documents and answers of upstream providers, and for URLs that our own clients name.
//!
//! https to public addresses alone, decided when the connection is made, so that a name that resolves twice resolves to
//! no private address (HT-03). No redirects, no proxy, no cookies, no second try; 3 s to connect, 5 s for everything,
//! 512 KiB. What one provider's settings open is a [`FetchScope`], and nothing else opens anything. Errors are fixed words:
//! a URL may hold a secret, and a body does (HT-08).

mod address;
#[cfg(test)]
pub(crate) mod test_server;

use std::{error::Error, fmt, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use poem::http::{HeaderMap, HeaderValue, Method, header};
use reqwest::{
    Certificate, Client,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect, retry,
};
use url::{Host, Url};

use crate::telemetry::trace::{self, Span, Tag};
pub use address::is_public;

/// How long connecting may take, TLS included.
const CONNECT: Duration = Duration::from_secs(3);

/// How long everything may take, to the last byte of the answer.
const TOTAL: Duration = Duration::from_secs(5);

/// Longer answers are refused, counted while they stream in.
pub const MAX_BYTES: usize = 512 * 1024;

/// What the settings of one provider open beside public addresses (HT-06).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchScope {
    /// Hosts that may be at addresses that are not public: exactly these, as a parsed URL has them.
    pub private_hosts: Vec<String>,
    /// A PEM file with further roots.
    pub ca_file: Option<PathBuf>,
    /// Plain http to loopback addresses.
    pub loopback_http: bool,
}

/// Why there is no answer. Nothing of the URL or the body is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The address must not be reached: the words say why. No connection was made.
    #[error("refused to connect: {0}")]
    Blocked(&'static str),
    /// The URL is not https. No connection was made.
    #[error("refused to connect: its URL is not https")]
    NotHttps,
    /// The answer is a redirect.
    #[error("answered with a redirect")]
    Redirect,
    /// The answer is over 512 KiB.
    #[error("answered with more than 512 KiB")]
    TooLarge,
    /// There was no whole answer in time.
    #[error("did not answer in time")]
    Timeout,
    /// No connection, or one that ended early: the words say which.
    #[error("{0}")]
    Down(&'static str),
}

impl FetchError {
    /// For metrics and spans.
    #[must_use]
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::Blocked(_) | Self::NotHttps => "blocked",
            Self::Redirect => "redirect",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::Down(_) => "down",
        }
    }
}

/// A request. No `Debug`: there are secrets in it.
pub struct FetchRequest {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl FetchRequest {
    /// A GET of this URL.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            url: url.into(),
            headers: HeaderMap::new(),
            body: Vec::new(),
        }
    }

    /// A POST of this form to this URL.
    #[must_use]
    pub fn post_form(url: impl Into<String>, form: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish()
            .into_bytes();
        let call = Self {
            method: Method::POST,
            url: url.into(),
            headers: HeaderMap::new(),
            body,
        };
        call.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
    }

    /// With a header; a value that no header can have is left out.
    #[must_use]
    pub fn header(mut self, name: header::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// With a header whose value is a secret: it is not printed and not indexed by HTTP/2.
    #[must_use]
    pub fn secret_header(mut self, name: header::HeaderName, value: &str) -> Self {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
        self
    }
}

/// A whole answer; any status but a redirect. A 304 comes only to who asked with `If-None-Match`.
pub struct FetchResponse {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// At most [`MAX_BYTES`].
    pub body: Vec<u8>,
}

impl fmt::Debug for FetchResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchResponse")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Sends requests within one reach. Clones share it. Every request has a connection of its own: nothing that was checked
/// once is used again, and no request can be repeated on a connection that turned out to be closed (HT-09).
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    reach: Arc<FetchScope>,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher")
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

impl Fetcher {
    /// Within `reach`; `Reach::default()` is public addresses alone.
    ///
    /// # Errors
    /// What is wrong with the roots to trust, in words.
    pub fn new(reach: FetchScope) -> Result<Self, String> {
        // The only TLS stack; where `main` has installed it already, this changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let reach = Arc::new(reach);
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .retry(retry::never())
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .user_agent(concat!("entree/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Resolver(Arc::clone(&reach)));
        if let Some(file) = reach
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
        Ok(Self { client, reach })
    }

    /// Sends it, once.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn send(&self, call: FetchRequest) -> Result<FetchResponse, FetchError> {
        let span = Span::of_call("fetch");
        let sent = span.around(async {
            tokio::time::timeout(TOTAL, self.whole(call))
                .await
                .unwrap_or(Err(FetchError::Timeout))
        });
        let reply = sent.await;
        let tags = || match &reply {
            Ok(reply) => vec![Tag::HttpStatus(reply.status)],
            Err(refusal) => vec![Tag::Outcome(refusal.outcome())],
        };
        span.end(|| None, tags, reply.is_err());
        reply
    }

    async fn whole(&self, call: FetchRequest) -> Result<FetchResponse, FetchError> {
        let url = self.reach.admits(&call.url)?;
        let conditional = call.headers.contains_key(header::IF_NONE_MATCH);
        let mut headers = call.headers;
        trace::inject(&mut headers);
        let request = self
            .client
            .request(call.method, url)
            .headers(headers)
            .body(call.body);
        let mut response = request.send().await.map_err(|error| refusal(&error))?;
        let status = response.status();
        if status.is_redirection() && !(conditional && status.as_u16() == 304) {
            return Err(FetchError::Redirect);
        }
        // What is announced needs no reading; what is not is counted.
        if response
            .content_length()
            .is_some_and(|length| length > MAX_BYTES as u64)
        {
            return Err(FetchError::TooLarge);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| refusal(&error))? {
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

impl FetchScope {
    /// The parsed URL, if it may be connected to as far as can be told without resolving its name: a resolver is not
    /// asked for hosts that are addresses, in whatever notation (HT-04).
    ///
    /// # Errors
    /// [`FetchError::Blocked`], [`FetchError::NotHttps`].
    pub fn admits(&self, url: &str) -> Result<Url, FetchError> {
        let url = Url::parse(url).map_err(|_| FetchError::Blocked("it is not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Blocked("its URL has a user in it"));
        }
        let host = url
            .host()
            .map(|host| host.to_owned())
            .ok_or(FetchError::Blocked("its URL has no host"))?;
        let loopback = match &host {
            Host::Domain(name) => name.trim_end_matches('.') == "localhost",
            Host::Ipv4(ip) => ip.is_loopback(),
            Host::Ipv6(ip) => ip.is_loopback(),
        };
        if url.scheme() == "http" && self.loopback_http && loopback {
            return Ok(url);
        }
        let public = match &host {
            Host::Domain(_) => !loopback,
            Host::Ipv4(ip) => is_public((*ip).into()),
            Host::Ipv6(ip) => is_public((*ip).into()),
        };
        if !public && !self.opens(&host.to_string()) {
            return Err(FetchError::Blocked(NOT_PUBLIC));
        }
        if url.scheme() == "https" {
            Ok(url)
        } else {
            Err(FetchError::NotHttps)
        }
    }

    fn opens(&self, host: &str) -> bool {
        self.private_hosts.iter().any(|open| open == host)
    }
}

const NOT_PUBLIC: &str = "its address is not public";

/// Hands out the public addresses of a name, and others only as the reach says.
struct Resolver(Arc<FetchScope>);

/// A name that has addresses, but none that may be reached.
#[derive(Debug, thiserror::Error)]
#[error("no public address")]
struct NotPublic;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = Arc::clone(&self.0);
        Box::pin(async move {
            let open = reach.opens(name.as_str());
            // `admits` lets this name pass over plain http alone.
            let loopback = reach.loopback_http && name.as_str() == "localhost";
            let all = addresses(name.as_str()).await?;
            let some = !all.is_empty();
            let fit = |ip| open || is_public(ip) || (loopback && ip.is_loopback());
            let kept: Vec<_> = all
                .into_iter()
                .filter(|address| fit(address.ip()))
                .collect();
            if some && kept.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}

/// What the system's resolver says of a name.
async fn addresses(name: &str) -> io::Result<Vec<SocketAddr>> {
    // What a hostile name server answers, no resolver says at a test's wish.
    #[cfg(test)]
    if name == tests::REBOUND {
        return Ok(vec![(std::net::Ipv4Addr::LOCALHOST, 0).into()]);
    }
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}

/// Whether this is an error of TLS, however often it is wrapped.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let inner = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || inner.is_some_and(|inner| is_tls(inner))
}

/// What an error of the client comes to. Its own text holds the URL, so it is not used.
fn refusal(error: &reqwest::Error) -> FetchError {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(at) = cause {
        if at.is::<NotPublic>() {
            return FetchError::Blocked(NOT_PUBLIC);
        }
        if is_tls(at) {
            return FetchError::Down(
                "TLS failed: its certificate is not trusted, or it speaks no TLS",
            );
        }
        cause = at.source();
    }
    if error.is_timeout() {
        FetchError::Timeout
    } else if error.is_connect() {
        FetchError::Down("no connection: its name does not resolve, or nothing listens there")
    } else {
        FetchError::Down("the connection ended before the answer was whole")
    }
}

#[cfg(test)]
mod tests;
