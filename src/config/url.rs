//! Properties of URLs that several checks and rules need.

use url::{Host, Url};

/// Whether the host of a URL is this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether a URL is https, or http on this machine.
pub(super) fn is_https_or_loopback(url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => is_loopback(url),
        _ => false,
    }
}

/// Whether a URL names a user.
pub(super) fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Whether a text is a host as a URL has it: a name in lower case, or an address.
pub(super) fn is_host(text: &str) -> bool {
    let has_host_characters = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-.:[]".contains(c));
    let is_whole_host = |url: Url| {
        url.host().is_some_and(|host| host.to_string() == text)
            && url.port().is_none()
            && url.path() == "/"
    };
    has_host_characters && Url::parse(&format!("https://{text}/")).is_ok_and(is_whole_host)
}

/// Whether a text is a domain as it stands after the `@` of an address, in lower case.
pub(super) fn is_domain(text: &str) -> bool {
    is_host(text) && text.contains('.')
}
