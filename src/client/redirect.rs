//! Where a response may go: a redirect URI that was compared with the registered ones, and nothing
//! else.

use crate::config::Client;

/// An address that its client has registered. Only [`VerifiedRedirect::check`] and
/// [`VerifiedRedirect::home_of`] create one, so that a redirect to an unchecked URI does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedRedirect(String);

impl VerifiedRedirect {
    /// RFC 9700 §2.1: compares byte for byte with the registered URIs. RFC 8252 §7.3: the port is
    /// free for `http://127.0.0.1` and `http://[::1]` alone.
    #[must_use]
    pub fn check(client: &Client, given: &str) -> Option<Self> {
        let matches =
            |registered: &String| registered == given || same_but_for_port(registered, given);
        client
            .redirect_uris
            .iter()
            .any(matches)
            .then(|| Self(given.to_owned()))
    }

    /// OD-9: returns the home page of a client: its `client_uri`, or the root of the web site of its
    /// first redirect URI. An app with a scheme or a free port of its own has none.
    #[must_use]
    pub fn home_of(client: &Client) -> Option<Self> {
        if !client.client_uri.is_empty() {
            return Some(Self(client.client_uri.clone()));
        }
        let url = url::Url::parse(client.redirect_uris.first()?).ok()?;
        let is_site = url.scheme() == "https" || url.scheme() == "http" && url.port().is_some();
        is_site.then(|| Self(format!("{}/", url.origin().ascii_serialization())))
    }

    /// Returns the URI as the client sent it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// RFC 6749 §4.1.2: returns the URI with parameters added to its query; a registered query is
    /// kept.
    #[must_use]
    pub fn with_parameters(&self, parameters: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in parameters {
            query.append_pair(name, value);
        }
        let separator = match self.0.rsplit_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        format!("{}{separator}{}", self.0, query.finish())
    }
}

/// Compares the raw texts without their ports: a parser would accept spellings that a browser reads
/// differently.
fn same_but_for_port(registered: &str, given: &str) -> bool {
    ["http://127.0.0.1", "http://[::1]"].iter().any(|host| {
        let (Some(registered), Some(given)) =
            (after_port(registered, host), after_port(given, host))
        else {
            return false;
        };
        registered == given
    })
}

/// Returns what follows `host` and an optional port; none if anything else follows the host.
fn after_port<'a>(uri: &'a str, host: &str) -> Option<&'a str> {
    let rest = uri.strip_prefix(host)?;
    let Some(port_and_path) = rest.strip_prefix(':') else {
        return (rest.is_empty() || rest.starts_with(['/', '?'])).then_some(rest);
    };
    let end = port_and_path
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(port_and_path.len());
    let (port, path) = port_and_path.split_at(end);
    let valid = port.len() <= 5 && port.parse::<u16>().is_ok_and(|port| port > 0);
    (valid && (path.is_empty() || path.starts_with(['/', '?']))).then_some(path)
}

#[cfg(test)]
#[allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]
mod tests {
    use super::*;

    /// URIs that resemble the registered ones.
    const UNREGISTERED: &[&str] = &[
        "",
        "//evil",
        "/\\evil",
        "https://app.example/cb/",
        "https://app.example/cb?",
        "https://app.example/cb?x=1",
        "https://app.example/CB",
        "https://APP.example/cb",
        "https://app.example:443/cb",
        "https://app.example/cb#f",
        "https://app.example/q",
        "https://app.example/q?a=1&b=2",
        "https://app.example/q?a=2",
        "https://app.example.evil/cb",
        "https://app.example@evil/cb",
        "https://app.example/%63b",
        "https://app.example/cb\r\nX: y",
        "http://127.0.0.1:9000/cb/",
        "http://127.0.0.1:9000/cb?x",
        "http://127.0.0.1:1@evil/cb",
        "http://127.0.0.1.evil/cb",
        "http://127.1/cb",
        "http://2130706433/cb",
        "http://127.0.0.1:65536/cb",
        "http://127.0.0.1:0/cb",
        "http://127.0.0.1:/cb",
        "http://127.0.0.1:9000",
        "http://127.0.0.1:90 00/cb",
        "http://localhost:9000/cb",
        "https://127.0.0.1:9000/cb",
        "http://[::1]:9000/cb",
        "HTTP://127.0.0.1:9000/cb",
        "http://127.0.0.1:+80/cb",
        "http://127.0.0.1\\@evil/cb",
        "http://127.0.0.1:9000\\cb",
    ];

    fn client(uris: &[&str]) -> Client {
        let list = uris
            .iter()
            .map(|uri| format!("{uri:?}"))
            .collect::<Vec<_>>()
            .join(",");
        let json =
            format!(r#"{{"client_id":"c","name":"C","audience":"a","redirect_uris":[{list}]}}"#);
        serde_json::from_str(&json).expect("a client")
    }

    #[test]
    fn az_3_cw_05_only_exact_redirect_uris_pass() {
        let client = client(&[
            "https://app.example/cb",
            "https://app.example/q?a=1",
            "http://127.0.0.1:9000/cb",
        ]);
        let passing = [
            "https://app.example/cb",
            "https://app.example/q?a=1",
            "http://127.0.0.1:9000/cb",
            "http://127.0.0.1:1/cb",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:65535/cb",
        ];
        for uri in passing {
            assert!(
                VerifiedRedirect::check(&client, uri).is_some(),
                "{uri} is registered"
            );
        }
        for uri in UNREGISTERED {
            assert!(
                VerifiedRedirect::check(&client, uri).is_none(),
                "{uri:?} must be refused"
            );
        }
    }

    #[test]
    fn f_1_cw_05_none_of_the_payloads_escapes() {
        let client = client(&[
            "https://app.example/cb",
            "https://app.example/q?a=1",
            "http://127.0.0.1:9000/cb",
            "http://[::1]:9000/cb",
        ]);
        let payloads: Vec<String> = include_str!("../../tests/it/vectors/redirects.jsonl")
            .lines()
            .map(|line| serde_json::from_str(line).expect("a JSON string"))
            .collect();
        assert!(payloads.len() >= 200, "{}", payloads.len());
        let escapes: Vec<&String> = payloads
            .iter()
            .filter(|given| VerifiedRedirect::check(&client, given).is_some())
            .collect();
        assert!(escapes.is_empty(), "{escapes:?}");
        assert!(VerifiedRedirect::check(&client, "http://[::1]:1/cb").is_some());
        assert!(VerifiedRedirect::check(&client, "https://app.example/q?a=1").is_some());
    }

    #[test]
    fn parameters_are_added_to_a_registered_query() {
        let redirect = |uri: &str| {
            VerifiedRedirect::check(&client(&[uri]), uri)
                .expect("registered")
                .with_parameters(&[("a", "b c&")])
        };
        assert_eq!(
            redirect("https://x.example/cb"),
            "https://x.example/cb?a=b+c%26"
        );
        assert_eq!(
            redirect("https://x.example/cb?q=1"),
            "https://x.example/cb?q=1&a=b+c%26"
        );
        assert_eq!(
            redirect("https://x.example/cb?"),
            "https://x.example/cb?a=b+c%26"
        );
    }
}
