//! Checks what a client says about requests that we send to it: its logout tokens and its keys.

use url::Url;

use super::values::has_certificates;
use crate::config::{
    client::Client,
    problem::Section,
    url::{has_user, is_host, is_https_or_loopback},
};

pub(super) fn check(client: &Client, section: &mut Section<'_>) {
    check_logout(client, section);
    check_network(client, section);
}

/// Back-Channel Logout 1.0 §2.2 (LO-1).
fn check_logout(client: &Client, section: &mut Section<'_>) {
    let text = client.backchannel_logout_uri.as_str();
    let is_address =
        |url: Url| is_https_or_loopback(&url) && !has_user(&url) && !text.contains('#');
    section.require(
        text.is_empty()
            || Url::parse(text).is_ok_and(is_address) && text.chars().all(|c| c.is_ascii_graphic()),
        "backchannel_logout_uri",
        "is not an address to which logout tokens can be sent",
        "Write its exact https address without a fragment, for instance \
         `https://app.example.com/backchannel-logout`.",
    );
    section.require(
        !text.is_empty() || !client.backchannel_logout_session_required,
        "backchannel_logout_session_required",
        "is set without backchannel_logout_uri",
        "Set backchannel_logout_uri, or remove it.",
    );
    section.warn_if(
        !text.is_empty() && !client.scopes.iter().any(|scope| scope == "openid"),
        "backchannel_logout_uri",
        "is set for a client that signs no user in",
        "Add `openid` to its scopes: only sign-ins with it are followed by a logout token.",
    );
}

/// LO-3: what these requests may reach beside public addresses.
fn check_network(client: &Client, section: &mut Section<'_>) {
    let sends = !client.jwks_uri.is_empty() || !client.backchannel_logout_uri.is_empty();
    let has_ca_file = client
        .ca_file
        .as_deref()
        .is_some_and(|file| !file.as_os_str().is_empty());
    for (key, is_set) in [
        ("private_hosts", !client.private_hosts.is_empty()),
        ("ca_file", has_ca_file),
    ] {
        section.require(
            sends || !is_set,
            key,
            "is set for a client to which nothing is sent",
            "Remove it, or set jwks_uri or backchannel_logout_uri.",
        );
    }
    for (at, host) in client.private_hosts.iter().enumerate() {
        section.require(
            is_host(host),
            format!("private_hosts[{at}]"),
            "is not a host",
            "Write one host in lower case without scheme, port or `*`, for instance `app.example.com`.",
        );
    }
    section.require(
        !has_ca_file || client.ca_file.as_deref().is_some_and(has_certificates),
        "ca_file",
        "names a file without certificates, or one that cannot be read",
        "Name a PEM file with certificates that the user of the service may read.",
    );
}
