//! Compares the address of a proof with the one that it must name (RFC 9449 §4.3, check 9).
//!
//! Both are normalised as RFC 3986 §6.2.2 and §6.2.3 say, and query and fragment are left out. The
//! `url` crate is not used: it also repairs what is no URI, such as backslashes and blanks, and two
//! texts that it repairs to one address are not the same address.

use std::fmt::Write as _;

/// Returns whether two addresses are the same. What is no absolute http address equals nothing.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let one = normalise(one);
    one.is_some() && one == normalise(other)
}

fn normalise(uri: &str) -> Option<String> {
    if !uri.bytes().all(is_of_uri) {
        return None;
    }
    let bare = uri.split(['?', '#']).next()?;
    let (scheme, rest) = bare.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => "443",
        "http" => "80",
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = split_authority(authority)?;
    let host = normalise_escapes(host)?.to_ascii_lowercase();
    let port = if port.is_empty() { default_port } else { port };
    let path = remove_dot_segments(&normalise_escapes(path)?);
    Some(format!("{scheme}://{host}:{port}{path}"))
}

/// RFC 3986 §2.2, §2.3, and the sign of an escape.
const fn is_of_uri(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'%' | b':' | b'/' | b'?' | b'#' | b'[' | b']' | b'@' // gen-delims
                | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Splits host and port. None with a user, without a host, or with a port that is no number.
fn split_authority(authority: &str) -> Option<(&str, &str)> {
    if authority.contains('@') {
        return None;
    }
    // The colons of an IPv6 address stand in brackets.
    let end = if authority.starts_with('[') {
        authority.find(']')?.saturating_add(1)
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at_checked(end)?;
    let port = match port {
        "" => "",
        port => port.strip_prefix(':')?,
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    (!host.is_empty() && is_number).then_some((host, port))
}

/// RFC 3986 §6.2.2.1, §6.2.2.2: an escape of an unreserved character is that character, and all
/// others are written in upper case. None for a malformed one.
fn normalise_escapes(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(char::from(byte));
            continue;
        }
        let byte = hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?;
        if is_unreserved(byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").ok()?;
        }
    }
    Some(out)
}

fn hex_digit(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

/// RFC 3986 §6.2.2.3, §6.2.3: a path without `.` and `..`. An empty one is `/`.
fn remove_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
        let is_last = segments.peek().is_none();
        if is_last && matches!(segment, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://id.example/oauth2/token";

    #[test]
    fn pp_2_addresses_are_compared_in_their_normal_form() {
        for same in [
            URL,
            "HTTPS://ID.Example/oauth2/token",
            "https://id.example:443/oauth2/token",
            "https://id.example:/oauth2/token",
            "https://id.example/oauth2/token?a=b",
            "https://id.example/oauth2/token#part",
            "https://id.example/oauth2/token?a=/../#b?c",
            "https://id.example/./oauth2/x/../token",
            "https://id.example/../oauth2/token",
            "https://id.example/oauth2/%74oken",
            "https://id.example/oauth2/x/%2e%2E/token",
            "https://%69d.example/oauth2/token",
        ] {
            assert!(is_same(same, URL) && is_same(URL, same), "{same}");
        }
    }

    #[test]
    fn pp_2_other_addresses_are_not_the_same() {
        for other in [
            "",
            "/oauth2/token",
            "https:/id.example/oauth2/token",
            "https:///oauth2/token",
            "http://id.example/oauth2/token",
            "wss://id.example/oauth2/token",
            "https://id.example:8443/oauth2/token",
            "https://id.example:80/oauth2/token",
            "https://id.example:0443/oauth2/token",
            "https://id.example:x/oauth2/token",
            "https://user@id.example/oauth2/token",
            "https://id.example.evil.example/oauth2/token",
            "https://id.example./oauth2/token",
            "https://id.example/oauth2/token/",
            "https://id.example/oauth2/Token",
            "https://id.example//oauth2/token",
            "https://id.example/oauth2/token/..",
            "https://id.example/oauth2%2Ftoken",
            "https://id.example/oauth2/%7token",
            "https://id.example/oauth2/%",
            "https://id.example\\oauth2\\token",
            " https://id.example/oauth2/token",
            "https://id.example/oauth2/\ttoken",
            "https://id.\u{e9}xample/oauth2/token",
        ] {
            assert!(!is_same(other, URL), "{other}");
        }
        assert!(!is_same("/oauth2/token", "/oauth2/token"), "not absolute");
    }

    #[test]
    fn pp_2_ports_brackets_and_paths_of_the_public_address_count() {
        for (one, other, is_equal) in [
            ("http://[::1]:80/a", "http://[::1]/a", true),
            ("http://[::1]:8080/a", "http://[::1]/a", false),
            ("http://[::1/a", "http://[::1/a", false),
            ("https://id.example", "https://id.example/", true),
            ("https://id.example/a/.", "https://id.example/a/", true),
            ("https://id.example/login/oauth2/token", URL, false),
            (
                "https://id.example/%c3%a9",
                "https://id.example/%C3%A9",
                true,
            ),
            ("https://id.example/%2f", "https://id.example//", false),
        ] {
            assert_eq!(is_same(one, other), is_equal, "{one} {other}");
        }
    }
}
