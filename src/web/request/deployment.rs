//! Faults of a proxy or a deployment that a request shows (OC-9): the browser calls the service by another
//! scheme, host or port than `server.public_url`. Its forms and cookies fail then, and no user is to blame.

use poem::{
    Request,
    http::{HeaderName, HeaderValue, header},
};

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The most characters of a header in the log.
const MAX_LOGGED: usize = 200;

/// What came, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    pub came: String,
    pub expected: String,
}

impl Mismatch {
    /// Logs the fault with what an operator can change.
    pub fn log(&self, request_id: &str) {
        tracing::warn!(
            request_id,
            came = self.came,
            expected = self.expected,
            "the browser reaches this service by another address than server.public_url: \
             check scheme, host and port of the proxy and of server.public_url"
        );
    }
}

/// Returns how the address that the browser uses differs from ours, as far as the request says so. Only
/// the sender of a request is affected by what it says.
#[must_use]
pub fn mismatch(request: &Request, public_url: &str) -> Option<Mismatch> {
    let url = url::Url::parse(public_url).ok()?;
    let expected = url.origin().ascii_serialization();
    let is_same_site = text(request, &HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| site == "same-origin");
    let origin = text(request, &header::ORIGIN).filter(|origin| is_same_site && *origin != "null");
    let proto = text(request, &FORWARDED_PROTO)
        .and_then(|proto| proto.split(',').next())
        .map(str::trim)
        .filter(|proto| !proto.eq_ignore_ascii_case(url.scheme()));
    let came = match (origin, proto) {
        (Some(origin), _) if origin != expected => origin.to_owned(),
        (_, Some(proto)) => {
            let host = text(request, &header::HOST).unwrap_or_default();
            format!("{proto}://{host}")
        }
        _ => return None,
    };
    Some(Mismatch {
        came: loggable_text(&came),
        expected,
    })
}

fn text<'a>(request: &'a Request, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name).map(HeaderValue::to_str)?.ok()
}

/// Returns a text from outside as a log line may hold it.
pub(crate) fn loggable_text(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_graphic)
        .take(MAX_LOGGED)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(headers: &[(&str, &str)]) -> Option<String> {
        let request = headers
            .iter()
            .fold(Request::builder(), |request, (name, value)| {
                request.header(*name, *value)
            });
        mismatch(&request.finish(), "https://id.example").map(|mismatch| mismatch.came)
    }

    #[test]
    fn oc_9_a_wrong_scheme_host_or_port_is_named() {
        let own = ("sec-fetch-site", "same-origin");
        assert_eq!(came(&[own, ("origin", "https://id.example")]), None);
        for origin in [
            "http://id.example",
            "https://id.example:8443",
            "https://other.example",
        ] {
            assert_eq!(came(&[own, ("origin", origin)]).as_deref(), Some(origin));
        }
        let http = [("x-forwarded-proto", "http"), ("host", "id.example")];
        assert_eq!(came(&http).as_deref(), Some("http://id.example"));
        assert_eq!(came(&[("x-forwarded-proto", "https, http")]), None);
    }

    #[test]
    fn oc_9_a_request_of_another_site_is_no_fault_of_the_deployment() {
        let cross = [
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://evil.example"),
        ];
        assert_eq!(came(&cross), None);
        assert_eq!(came(&[("origin", "https://evil.example")]), None);
        assert_eq!(came(&[]), None);
    }

    #[test]
    fn oc_9_what_is_logged_is_short_and_plain() {
        assert_eq!(loggable_text("a\nb\u{e9}c"), "abc");
        assert_eq!(loggable_text(&"a".repeat(1000)).len(), MAX_LOGGED);
    }
}
