//! What this service uses of a provider's metadata, and where its endpoints may be (OpenID Connect
//! Discovery 1.0 §3, §4.3).

use serde_json::Value;
use url::Url;

use super::json::{self, Object, string_member};
use crate::{
    config::{Provider, providers::IssParam},
    federation::{error::upstream_words, provider::error::MetadataError},
    web::fetch::{FetchError, FetchScope},
};

/// The part of a provider's metadata that this service uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// The configured issuer, byte for byte.
    pub(crate) issuer: String,
    pub(crate) authorization_endpoint: String,
    pub(crate) token_endpoint: String,
    pub(crate) userinfo_endpoint: Option<String>,
    /// `None` for a provider without ID tokens.
    pub(crate) jwks_uri: Option<String>,
    /// Whether the provider promises `iss` in its responses (RFC 9207 §3).
    pub(crate) iss_advertised: bool,
    pub(crate) supported: Supported,
}

/// What a provider says that it supports. A list that is absent or malformed says nothing, and is
/// no reason to refuse the document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Supported {
    pub(crate) auth_methods: Option<Vec<String>>,
    pub(crate) auth_algs: Option<Vec<String>>,
    pub(crate) id_token_algs: Option<Vec<String>>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) response_modes: Option<Vec<String>>,
}

impl Supported {
    fn of(document: &Object) -> Self {
        let list = |name| {
            let values = document.get(name)?.as_array()?;
            values
                .iter()
                .map(|value| value.as_str().map(str::to_owned))
                .collect()
        };
        Self {
            auth_methods: list("token_endpoint_auth_methods_supported"),
            auth_algs: list("token_endpoint_auth_signing_alg_values_supported"),
            id_token_algs: list("id_token_signing_alg_values_supported"),
            scopes: list("scopes_supported"),
            response_modes: list("response_modes_supported"),
        }
    }
}

impl Metadata {
    /// Parses a discovery document.
    pub(crate) fn parse(
        body: &[u8],
        provider: &Provider,
        scope: &FetchScope,
    ) -> Result<Self, MetadataError> {
        let document = json::object(body).ok_or(MetadataError::NotAnObject)?;
        let issuer = provider.issuer();
        check_issuer(&document, &issuer)?;
        let optional = |name: &'static str| match document.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(url)) => {
                check_endpoint(url, name, provider, scope)?;
                Ok(Some(url.clone()))
            }
            Some(_) => Err(MetadataError::NotAString(name)),
        };
        let required = |name| optional(name)?.ok_or(MetadataError::Missing(name));
        let iss_advertised = document.get("authorization_response_iss_parameter_supported");
        Ok(Self {
            authorization_endpoint: required("authorization_endpoint")?,
            token_endpoint: required("token_endpoint")?,
            userinfo_endpoint: optional("userinfo_endpoint")?,
            jwks_uri: Some(required("jwks_uri")?),
            iss_advertised: iss_advertised == Some(&Value::Bool(true)),
            supported: Supported::of(&document),
            issuer,
        })
    }

    /// Returns what stands in for a discovery document at GitHub, which has none. An Enterprise
    /// server has its API below `/api/v3`.
    pub(crate) fn of_github(provider: &Provider) -> Self {
        let issuer = provider.issuer();
        let base = issuer.trim_end_matches('/');
        let api = if base == "https://github.com" {
            "https://api.github.com".to_owned()
        } else {
            format!("{base}/api/v3")
        };
        Self {
            authorization_endpoint: format!("{base}/login/oauth/authorize"),
            token_endpoint: format!("{base}/login/oauth/access_token"),
            userinfo_endpoint: Some(format!("{api}/user")),
            jwks_uri: None,
            iss_advertised: false,
            supported: Supported::default(),
            issuer,
        }
    }

    /// Whether a response must carry `iss` (RFC 9207 §2.4).
    pub(crate) fn requires_iss(&self, provider: &Provider) -> bool {
        match provider.iss_param() {
            IssParam::Required => true,
            IssParam::Optional => false,
            IssParam::Auto => self.iss_advertised,
        }
    }
}

/// Discovery §4.3, RFC 8414 §3.3: the issuer in the document is the configured one, byte for byte
/// (DJ-01).
fn check_issuer(document: &Object, configured: &str) -> Result<(), MetadataError> {
    match string_member(document, "issuer") {
        Some(found) if found == configured => Ok(()),
        Some(found) => Err(MetadataError::Issuer {
            configured: configured.to_owned(),
            found: upstream_words(found),
        }),
        None => Err(MetadataError::NoIssuer),
    }
}

/// HT-07: https, and on the issuer's host, below it, or on a host of the settings or below that.
fn check_endpoint(
    url: &str,
    endpoint: &'static str,
    provider: &Provider,
    scope: &FetchScope,
) -> Result<(), MetadataError> {
    let parsed = scope.check_url(url).map_err(|cause| match cause {
        FetchError::NotHttps => MetadataError::NotHttps { endpoint },
        cause => MetadataError::Blocked { endpoint, cause },
    })?;
    // A fragment is never sent, and no endpoint has one (RFC 6749 §3.1, §3.2).
    if parsed.fragment().is_some() {
        return Err(MetadataError::Fragment { endpoint });
    }
    let host = parsed.host_str().unwrap_or_default();
    let is_within = |home: &str| {
        host == home
            || host
                .strip_suffix(home)
                .is_some_and(|below| below.ends_with('.'))
    };
    let issuer = Url::parse(&provider.issuer()).ok();
    let issuer_host = issuer.as_ref().and_then(Url::host_str);
    if issuer_host
        .into_iter()
        .chain(provider.other_hosts())
        .any(is_within)
    {
        Ok(())
    } else {
        Err(MetadataError::Host {
            endpoint,
            host: upstream_words(host),
        })
    }
}

#[cfg(test)]
mod tests;
