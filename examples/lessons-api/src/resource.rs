//! The metadata of this API (RFC 9728): a client that knows only its address finds there the provider whose tokens it
//! takes, and the scopes that they need.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

/// The part of the path of the document between the host and the path of the API (RFC 9728 §3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// This API as a protected resource.
#[derive(Clone, Debug)]
pub struct ProtectedResource {
    identifier: String,
    issuer: String,
    scopes: Vec<&'static str>,
    path: String,
    url: String,
}

impl ProtectedResource {
    /// Takes the audience of its tokens, the issuer, and the scopes that its routes demand.
    ///
    /// # Errors
    /// If `aud` is not a URL below which the document has a place (RFC 9728 §1.2).
    pub fn new(aud: &str, issuer: &str, scopes: Vec<&'static str>) -> anyhow::Result<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
        let (scheme, rest) = aud.split_once("://").context("the audience is no URL")?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        ensure!(
            matches!(scheme, "http" | "https")
                && !host.is_empty()
                && !host.contains(['?', '#', '@'])
                && path.chars().all(is_plain),
            "the audience is not the plain URL of an API"
        );
        // RFC 9728 §3: the slash of an empty path goes.
        let inserted = if path == "/" { "" } else { path };
        let path = format!("{WELL_KNOWN}{inserted}");
        Ok(Self {
            identifier: aud.to_owned(),
            issuer: issuer.to_owned(),
            scopes,
            url: format!("{scheme}://{host}{path}"),
            path,
        })
    }

    /// Returns the path of the document at this host.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the address of the document, for challenges (RFC 9728 §5.1).
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the document (RFC 9728 §2). `resource` is byte for byte what clients name and tokens carry.
    #[must_use]
    pub fn document(&self) -> Value {
        json!({
            "resource": self.identifier,
            "authorization_servers": [self.issuer],
            "scopes_supported": self.scopes,
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": ["ES256"],
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const ISSUER: &str = "https://login.example";

    #[test]
    fn rs_7_the_path_of_the_api_stands_behind_the_well_known_one() {
        for (aud, path, url) in [
            (
                "http://127.0.0.1:8082",
                "/.well-known/oauth-protected-resource",
                "http://127.0.0.1:8082/.well-known/oauth-protected-resource",
            ),
            (
                "https://api.example/",
                "/.well-known/oauth-protected-resource",
                "https://api.example/.well-known/oauth-protected-resource",
            ),
            (
                "https://api.example/lessons/v1",
                "/.well-known/oauth-protected-resource/lessons/v1",
                "https://api.example/.well-known/oauth-protected-resource/lessons/v1",
            ),
            (
                "https://api.example/v1/",
                "/.well-known/oauth-protected-resource/v1/",
                "https://api.example/.well-known/oauth-protected-resource/v1/",
            ),
        ] {
            let resource = ProtectedResource::new(aud, ISSUER, vec!["openid"]).unwrap();
            assert_eq!((resource.path(), resource.url()), (path, url));
            assert_eq!(
                resource.document(),
                json!({
                    "resource": aud,
                    "authorization_servers": [ISSUER],
                    "scopes_supported": ["openid"],
                    "bearer_methods_supported": ["header"],
                    "dpop_signing_alg_values_supported": ["ES256"],
                })
            );
        }
    }

    #[test]
    fn rs_7_an_audience_that_is_no_plain_url_is_refused() {
        for aud in [
            "lessons",
            "urn:example:lessons",
            "ftp://api.example",
            "https://",
            "https:///v1",
            "https://api.example?x",
            "https://api.example/v1?x",
            "https://api.example/v1#x",
            "https://ada@api.example",
            "https://api.example/:id",
            "https://api.example/*rest",
        ] {
            assert!(
                ProtectedResource::new(aud, ISSUER, vec![]).is_err(),
                "{aud}"
            );
        }
    }
}
