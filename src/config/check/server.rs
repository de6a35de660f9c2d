//! Checks `[server]` and `[management]`.

use std::path::Path;

use url::{Host, Url};

use super::values::is_web_address;
use crate::config::{
    master_key::parse_master_key,
    mode::Mode,
    problem::{Findings, Section},
    settings::{Config, Management, Server},
    tls_certificate,
    url::is_https_or_loopback,
};

pub(super) fn check(config: &Config, mode: &Mode, findings: &mut Findings) {
    let server = &config.startup.server;
    let section = &mut findings.section("server");
    // A port that the system picks cannot be in a URL yet: then, and in `entree dev`, the bound
    // address is the URL.
    let is_port_picked = server.listen.ip().is_loopback() && server.listen.port() == 0;
    let may_be_empty = mode.is_dev() || is_port_picked;
    if !(may_be_empty && server.public_url.is_empty()) {
        check_public_url(&server.public_url, section);
    }
    check_master_keys(server, section);
    for (at, network) in server.trusted_proxies.iter().enumerate() {
        section.require(
            network.prefix_len() > 0,
            format!("trusted_proxies[{at}]"),
            "trusts every client",
            "Name the networks of your own proxies. A client inside them chooses the address that limits count.",
        );
    }
    warn_about_unnamed_proxy(server, section);
    let connections = server.connections_per_network as u64;
    section.range(connections, 16..=4096, "connections_per_network");
    for (key, slots) in [
        ("email_slots", server.email_slots),
        ("provider_slots", server.provider_slots),
        ("quick_slots", server.quick_slots),
    ] {
        section.range(slots as u64, 0..=4096, key);
    }
    section.range(server.drain_seconds, 0..=600, "drain_seconds");
    check_reloadable(config, section);
    check_listeners(server, &config.startup.management, mode, findings);
    check_tls(server, findings);
}

/// OA-12: with https outside and plain http on loopback, a proxy on this machine must pass requests
/// on.
fn warn_about_unnamed_proxy(server: &Server, section: &mut Section<'_>) {
    let is_behind_proxy = server.public_url.starts_with("https://")
        && server.listen.ip().is_loopback()
        && server.tls.cert_file.is_none();
    section.warn_if(
        is_behind_proxy && server.trusted_proxies.is_empty(),
        "trusted_proxies",
        "names no proxy, while https ends in front of a loopback listener",
        "Name the proxy, for instance `[\"127.0.0.1/32\", \"::1/128\"]`. Otherwise all users share the limits of one network.",
    );
}

/// OpenID Connect Discovery §3: https, no query, no fragment; a path is allowed (OB-6). Ours has
/// exactly one form, because clients compare it byte by byte.
fn check_public_url(text: &str, section: &mut Section<'_>) {
    let mut refuse = |what, hint| section.refuse("public_url", what, hint);
    if text.is_empty() {
        return refuse(
            "is not set",
            "Set the address that users see, for instance `https://login.example.com`.",
        );
    }
    let example = "Write a URL such as `https://login.example.com`.";
    let Ok(url) = Url::parse(text) else {
        return refuse("is not a URL", example);
    };
    if !matches!(url.scheme(), "https" | "http") {
        return refuse("is neither https nor http", example);
    }
    if !is_https_or_loopback(&url) {
        return refuse(
            "is plain http",
            "Use https. Plain http is allowed for loopback addresses only.",
        );
    }
    if let Some(what) = path_fault(text) {
        return refuse(
            what,
            "Write a path such as `/auth`, of letters, digits, `-`, `_`, `~` and `.`.",
        );
    }
    let origin = url.origin().ascii_serialization();
    let canonical = format!("{origin}{}", url.path().trim_end_matches('/'));
    if text != canonical {
        let what = "has a query, a fragment, a user, a final slash, capitals in the host or a default port";
        refuse(what, &format!("Write `{canonical}`."));
    }
}

/// Returns what is wrong with the path of a URL: it stands in cookies and in the paths of proxies, which
/// must all read it alike.
fn path_fault(text: &str) -> Option<&'static str> {
    const LONGEST: usize = 100;
    let (_, rest) = text.split_once("://")?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (_, path) = rest.split_once('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_~./".contains(c);
    let mut segments = path.split('/');
    if !path.chars().all(is_plain) {
        Some("has a path with encoded or unusual characters")
    } else if path.len() > LONGEST {
        Some("has a path of more than 100 characters")
    } else if !path.is_empty()
        && segments.any(|segment| segment.is_empty() || segment.starts_with('.'))
    {
        Some("has a path with an empty segment or one that begins with a dot")
    } else {
        None
    }
}

fn check_master_keys(server: &Server, section: &mut Section<'_>) {
    let mut require_key = |is_valid, key: String| {
        let hint =
            "Create one with `openssl rand -hex 32`: 64 hexadecimal or 43 base64url characters.";
        section.require(is_valid, key, "is not 32 random bytes", hint);
    };
    let current = &server.master_key;
    require_key(
        current.is_empty() || parse_master_key(current).is_some(),
        "master_key".to_owned(),
    );
    for (at, text) in server.previous_master_keys.iter().enumerate() {
        let key = format!("previous_master_keys[{at}]");
        require_key(parse_master_key(text).is_some(), key);
    }
    section.require(
        current.is_empty() || !server.previous_master_keys.contains(current),
        "previous_master_keys",
        "has the current master key, too",
        "Keep only the older keys there.",
    );
}

fn check_reloadable(config: &Config, section: &mut Section<'_>) {
    let server = &config.reloadable.server;
    section.require(
        server.texts_dir.as_deref().is_none_or(Path::is_dir),
        "texts_dir",
        "is not a directory",
        "Create the directory, or remove the key.",
    );
    for (key, text) in [
        ("service_documentation", &server.service_documentation),
        ("op_policy_uri", &server.op_policy_uri),
    ] {
        section.require(
            text.is_empty() || is_web_address(text),
            key,
            "is not the address of a page",
            "Write an address such as `https://example.com/policy`, or leave it empty.",
        );
    }
}

fn check_listeners(server: &Server, management: &Management, mode: &Mode, findings: &mut Findings) {
    let is_same = server.listen.port() != 0 && server.listen == management.listen;
    findings.section("management").require(
        !is_same,
        "listen",
        "is the address of server.listen",
        "Set another port.",
    );
    for (name, address) in [("server", server.listen), ("management", management.listen)] {
        findings.section(name).require(
            !mode.is_dev() || address.ip().is_loopback(),
            "listen",
            "is not a loopback address",
            "`entree dev` serves loopback only. Use 127.0.0.1, or run `entree serve`.",
        );
    }
    findings.section("management").warn_if(
        !mode.is_dev() && !management.listen.ip().is_loopback(),
        "listen",
        "is open to other machines",
        "Make sure that only your own network reaches it.",
    );
}

/// Checks the certificate, and that the public URL is one that it serves.
fn check_tls(server: &Server, findings: &mut Findings) {
    let certificate = match tls_certificate::load_certificate(&server.tls) {
        Ok(Some(certificate)) => certificate,
        Ok(None) => return,
        Err(problem) => return findings.problems.push(problem),
    };
    let section = &mut findings.section("server");
    section.require(
        !server.public_url.starts_with("http://"),
        "public_url",
        "is http although server.tls is set",
        "Write https://, or remove server.tls if a proxy in front handles TLS.",
    );
    let url = Url::parse(&server.public_url).ok();
    let host = match url.as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => ip.to_string(),
        None => server.listen.ip().to_string(),
    };
    section.warn_if(
        !tls_certificate::is_for_host(&certificate, &host),
        "tls.cert_file",
        "is not for the host of server.public_url",
        "Browsers will refuse it. Get a certificate for that name.",
    );
    let key_file = server.tls.key_file.as_deref();
    section.warn_if(
        key_file.is_some_and(tls_certificate::is_open_to_others),
        "tls.key_file",
        "can be read by every user of this machine",
        "Run `chmod o=` on the file.",
    );
}
