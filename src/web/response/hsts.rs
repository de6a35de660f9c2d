//! Strict-Transport-Security (RFC 6797).

/// A year, for the host alone.
pub(in crate::web) const VALUE: &str = "max-age=31536000";

/// Returns whether browsers are asked to stay with https. They are not on `localhost`: HSTS counts
/// for every port of a name, and other services of the same developer use plain http there.
pub(in crate::web) fn applies_to(public_url: &str) -> bool {
    let url = url::Url::parse(public_url)
        .ok()
        .filter(|url| url.scheme() == "https");
    let host = url
        .as_ref()
        .and_then(|url| url.domain().or_else(|| url.host_str()));
    host.is_some_and(|host| host != "localhost" && !host.ends_with(".localhost"))
}
