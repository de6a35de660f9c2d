//! The host of a request: requests for another host are refused (PX-01).

use std::sync::atomic::{AtomicI64, Ordering};

use poem::{
    Request, Response,
    http::{Method, StatusCode, header},
};

use super::{body::BodyError, lane::LaneName};
use crate::{
    clock::Clock,
    web::{deployment::loggable_text, response::hsts},
};

/// The response to a request that does not reach its endpoint.
pub(super) enum EarlyResponse {
    Error(StatusCode),
    /// The request has to end, to make space for others.
    Ended,
    /// There is no slot in its lane.
    LaneFull(LaneName),
    Redirect(Box<Response>),
}

impl From<BodyError> for EarlyResponse {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Status(status) => Self::Error(status),
            BodyError::Ended => Self::Ended,
        }
    }
}

/// The host of the public URL.
pub(super) struct PublicHost {
    /// `https://id.example:8443`.
    origin: String,
    /// `id.example:8443`, lower case, without the scheme's own port.
    authority: String,
    https: bool,
    /// Whether responses carry Strict-Transport-Security.
    pub(super) hsts: bool,
}

impl PublicHost {
    /// Returns the host of `public_url`. No request is for the host of a malformed URL.
    pub(super) fn of_url(public_url: &str) -> Self {
        let url = url::Url::parse(public_url).ok();
        let origin = url
            .as_ref()
            .map(|url| url.origin().ascii_serialization())
            .unwrap_or_default();
        let authority = origin
            .split_once("://")
            .map(|(_, authority)| authority.to_owned())
            .unwrap_or_default();
        let https = url.is_some_and(|url| url.scheme() == "https");
        Self {
            origin,
            authority,
            https,
            hsts: hsts::applies_to(public_url),
        }
    }

    /// Checks the host of a request. Another host is 421 (RFC 9110 §15.5.20), none or several are
    /// 400 (RFC 9112 §3.2). With `redirect_loopback`, a GET for another loopback name of our port
    /// is redirected to the public URL.
    pub(super) fn check(
        &self,
        request: &Request,
        redirect_loopback: bool,
    ) -> Result<(), EarlyResponse> {
        let authority =
            authority_of(request).ok_or(EarlyResponse::Error(StatusCode::BAD_REQUEST))?;
        let authority = self.without_default_port(authority.to_ascii_lowercase());
        if authority == self.authority && !authority.is_empty() {
            return Ok(());
        }
        let is_redirected = redirect_loopback
            && *request.method() == Method::GET
            && self.is_loopback_alias(&authority);
        if !is_redirected {
            self.log_other_host(&authority);
            return Err(EarlyResponse::Error(StatusCode::MISDIRECTED_REQUEST));
        }
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let response = Response::builder().status(StatusCode::SEE_OTHER);
        Err(EarlyResponse::Redirect(Box::new(
            response
                .header(header::LOCATION, format!("{}{path}", self.origin))
                .finish(),
        )))
    }

    /// OC-9: names what came and what was expected, at most once in ten seconds: any caller may send any
    /// host.
    fn log_other_host(&self, authority: &str) {
        static LAST: AtomicI64 = AtomicI64::new(0);
        let (now, last) = (
            Clock::default().now().seconds(),
            LAST.load(Ordering::Relaxed),
        );
        let is_due = now.saturating_sub(last) >= 10
            && LAST
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_due {
            tracing::warn!(
                came = loggable_text(authority),
                expected = self.authority,
                "a request named another host than server.public_url: if it came through your proxy, \
                 let it pass Host on unchanged, or correct server.public_url"
            );
        }
    }

    fn without_default_port(&self, authority: String) -> String {
        let default = if self.https { ":443" } else { ":80" };
        authority
            .strip_suffix(default)
            .map(str::to_owned)
            .unwrap_or(authority)
    }

    /// Returns whether `authority` is a loopback name with our port while the public URL has one,
    /// too.
    fn is_loopback_alias(&self, authority: &str) -> bool {
        let split = |authority: &str| {
            let port = authority
                .rsplit_once(':')
                .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
            let (host, port) = port.unwrap_or((authority, ""));
            matches!(host, "localhost" | "127.0.0.1" | "[::1]").then(|| port.to_owned())
        };
        split(authority).is_some_and(|port| split(&self.authority) == Some(port))
    }
}

/// Returns whether a request names this machine by `localhost` or by an address, as no page under a
/// name of its own can (DNS rebinding).
pub(super) fn is_by_loopback_name(request: &Request) -> bool {
    let Some(authority) = authority_of(request) else {
        return false;
    };
    let url = url::Url::parse(&format!("http://{authority}/")).ok();
    url.is_some_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(_) => true,
        None => false,
    })
}

/// Returns the one authority of a request: `:authority` or an absolute target, or Host. Where both
/// are given they must agree.
pub(super) fn authority_of(request: &Request) -> Option<&str> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().map(|host| host.to_str());
    if hosts.next().is_some() {
        return None;
    }
    match (
        request
            .uri()
            .authority()
            .map(|authority| authority.as_str()),
        host,
    ) {
        (Some(target), Some(Ok(host))) if target.eq_ignore_ascii_case(host) => Some(target),
        (Some(target), None) => Some(target),
        (None, Some(Ok(host))) => Some(host),
        _ => None,
    }
}
