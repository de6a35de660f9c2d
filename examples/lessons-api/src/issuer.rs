//! The provider's endpoints, which are read once from its discovery document.
//!
//! The issuer is a name as well as an address: tokens carry it, and it must be the same text everywhere. Inside a
//! container the same provider may be reachable under another address only; then the requests of this process go to
//! `internal`, with the `Host` of the issuer, and nothing else changes.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::{Client, RequestBuilder, header::HOST, redirect::Policy};
use serde::Deserialize;
use tokio::sync::OnceCell;

/// The part of the discovery document that is used here (OpenID Connect Discovery 1.0 §3).
#[derive(Clone, Debug, Deserialize)]
pub struct Metadata {
    /// The issuer, which must equal the configured one.
    pub issuer: String,
    /// The address to which browsers are sent.
    pub authorization_endpoint: String,
    /// The address at which codes are exchanged.
    pub token_endpoint: String,
    /// The address of the keys.
    pub jwks_uri: String,
    /// The address at which tokens are revoked (RFC 7009). Not every provider has one.
    pub revocation_endpoint: Option<String>,
    /// The address at which users sign out (RP-Initiated Logout 1.0 §2.1). Not every provider has one.
    pub end_session_endpoint: Option<String>,
}

/// The provider.
#[derive(Debug)]
pub struct Issuer {
    url: String,
    internal: Option<String>,
    http: Client,
    metadata: OnceCell<Metadata>,
}

impl Issuer {
    /// Takes the issuer URL and, if this process must reach it otherwise, the base for its own requests.
    ///
    /// # Errors
    /// If the client cannot be built: [`crate::install_tls`] was not called.
    pub fn new(url: &str, internal: Option<&str>) -> anyhow::Result<Self> {
        let trim = |url: &str| url.trim_end_matches('/').to_owned();
        // A redirect would let another server choose the keys that we trust.
        let http = Client::builder()
            .redirect(Policy::none())
            .timeout(Duration::from_secs(5))
            .build()?;
        let internal = internal.filter(|base| !base.is_empty()).map(trim);
        Ok(Self {
            url: trim(url),
            internal,
            http,
            metadata: OnceCell::new(),
        })
    }

    /// Returns the issuer as it stands in tokens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the endpoints. They are requested once, and again only if that failed.
    ///
    /// # Errors
    /// If the provider does not respond, or names another issuer (OpenID Connect Discovery 1.0 §4.3).
    pub async fn metadata(&self) -> anyhow::Result<&Metadata> {
        self.metadata.get_or_try_init(|| self.discover()).await
    }

    async fn discover(&self) -> anyhow::Result<Metadata> {
        let url = format!("{}/.well-known/openid-configuration", self.url);
        let answer = self
            .get(&url)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status);
        let metadata: Metadata = answer
            .context("the provider does not answer")?
            .json()
            .await?;
        ensure!(
            metadata.issuer == self.url,
            "the provider calls itself {}, not {}",
            metadata.issuer,
            self.url
        );
        Ok(metadata)
    }

    /// Returns a GET request from this process to a URL of the provider.
    pub fn get(&self, url: &str) -> RequestBuilder {
        self.through(url, |url| self.http.get(url))
    }

    /// Returns a POST request from this process to a URL of the provider.
    pub fn post(&self, url: &str) -> RequestBuilder {
        self.through(url, |url| self.http.post(url))
    }

    fn through(&self, url: &str, request: impl Fn(&str) -> RequestBuilder) -> RequestBuilder {
        let path = url
            .strip_prefix(&self.url)
            .filter(|path| path.starts_with('/'));
        let (Some(internal), Some(path)) = (&self.internal, path) else {
            return request(url);
        };
        let host = self.url.split_once("://").map_or("", |(_, host)| host);
        request(&format!("{internal}{path}")).header(HOST, host)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn issuer(internal: Option<&str>) -> Issuer {
        crate::install_tls();
        Issuer::new("http://127.0.0.1:8080/", internal).unwrap()
    }

    #[test]
    fn requests_go_to_the_issuer_itself() {
        let request = issuer(None)
            .get("http://127.0.0.1:8080/jwks")
            .build()
            .unwrap();
        assert_eq!(request.url().as_str(), "http://127.0.0.1:8080/jwks");
        assert!(request.headers().get(HOST).is_none());
    }

    #[test]
    fn requests_go_to_the_internal_address_under_the_issuers_name() {
        let issuer = issuer(Some("http://entree:8080/"));
        let request = issuer.get("http://127.0.0.1:8080/jwks").build().unwrap();
        assert_eq!(request.url().as_str(), "http://entree:8080/jwks");
        assert_eq!(request.headers().get(HOST).unwrap(), "127.0.0.1:8080");
        // A port that only begins alike is another server.
        let other = issuer.get("http://127.0.0.1:80801/jwks").build();
        assert!(other.is_err() || other.unwrap().url().host_str() == Some("127.0.0.1"));
    }
}
