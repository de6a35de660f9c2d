//! Which host a request is for: ours, or none that we answer for (PX-01).

use poem::{
    Request, Response,
    http::{Method, StatusCode, header},
};

/// A request that does not reach its endpoint.
pub(super) enum Turned {
    /// An error of this status.
    Away(StatusCode),
    /// An answer of its own.
    To(Box<Response>),
}

/// The host that we answer for.
pub(super) struct PublicHost {
    /// `https://id.example:8443`.
    origin: String,
    /// `id.example:8443`, lower case, without the scheme's own port.
    authority: String,
    https: bool,
    /// Browsers are told to stay with https.
    pub(super) kept_https: bool,
}

/// Whether browsers are told to stay with https (RFC 6797): if it is, and the name is not this machine's own. HSTS counts
/// for every port of a name, and on `localhost` other services of the same person listen, most of them in plain http.
pub(super) fn keeps_https(public_url: &str) -> bool {
    let url = url::Url::parse(public_url)
        .ok()
        .filter(|url| url.scheme() == "https");
    let name = url
        .as_ref()
        .and_then(|url| url.domain().or_else(|| url.host_str()));
    name.is_some_and(|name| name != "localhost" && !name.ends_with(".localhost"))
}

impl PublicHost {
    /// The host of `public_url`. Of one that cannot be read comes a site that nothing is for.
    pub(super) fn of(public_url: &str) -> Self {
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
            kept_https: keeps_https(public_url),
        }
    }

    /// Lets through what is for us; another name gets 421 (RFC 9110 §15.5.20), none or several get 400 (RFC 9112 §3.2).
    pub(super) fn admit(&self, request: &Request, redirect_loopback: bool) -> Result<(), Turned> {
        let given = authority(request).ok_or(Turned::Away(StatusCode::BAD_REQUEST))?;
        let given = self.without_default_port(given.to_ascii_lowercase());
        if given == self.authority && !given.is_empty() {
            return Ok(());
        }
        let is_neighbour =
            redirect_loopback && *request.method() == Method::GET && self.is_loopback_name(&given);
        if !is_neighbour {
            return Err(Turned::Away(StatusCode::MISDIRECTED_REQUEST));
        }
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let answer = Response::builder().status(StatusCode::SEE_OTHER);
        Err(Turned::To(Box::new(
            answer
                .header(header::LOCATION, format!("{}{path}", self.origin))
                .finish(),
        )))
    }

    fn without_default_port(&self, authority: String) -> String {
        let default = if self.https { ":443" } else { ":80" };
        authority
            .strip_suffix(default)
            .map(str::to_owned)
            .unwrap_or(authority)
    }

    /// Another name of this machine with our port, where we are on loopback ourselves.
    fn is_loopback_name(&self, given: &str) -> bool {
        let split = |authority: &str| {
            let port = authority
                .rsplit_once(':')
                .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
            let (host, port) = port.unwrap_or((authority, ""));
            matches!(host, "localhost" | "127.0.0.1" | "[::1]").then(|| port.to_owned())
        };
        split(given).is_some_and(|port| split(&self.authority) == Some(port))
    }
}

/// Whether a request names this machine as only it does itself: `localhost`, or an address instead of a name.
pub(super) fn is_of_this_machine(request: &Request) -> bool {
    let Some(given) = authority(request) else {
        return false;
    };
    let url = url::Url::parse(&format!("http://{given}/")).ok();
    url.is_some_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(_) => true,
        None => false,
    })
}

/// The one authority of a request: `:authority` or an absolute target, or Host; where both are given they must agree.
fn authority(request: &Request) -> Option<&str> {
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
