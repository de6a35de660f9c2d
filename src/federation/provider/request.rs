//! The authorization request that a browser takes to a provider (OpenID Connect Core §3.1.2.1;
//! RFC 6749 §4.1.1; RFC 7636 §4.3), and the record of it that checking the response needs.

use serde::{Deserialize, Serialize};

use super::oidc::{client_auth, metadata::Metadata};
use crate::{
    config::{
        Provider,
        providers::{ProviderAuth, ProviderKind, ResponseMode},
    },
    pkce::challenge_of,
    secret::Plain,
};

/// What the caller wants in an authorization request.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationRequest<'a> {
    /// 43 characters that come back with the response; their SHA-256 is the key of the ticket.
    pub state: &'a str,
    /// An address that was typed in this browser (UP-07).
    pub login_hint: Option<&'a str>,
    /// Languages for the provider's pages, the best first, separated by spaces; may be empty.
    pub ui_locales: &'a str,
}

/// Where to send a browser, and what checking the response will need.
#[derive(Debug)]
pub struct AuthorizationRedirect {
    pub url: String,
    /// To be kept encrypted until the response arrives.
    pub record: RequestRecord,
}

/// All that [`Providers::identify`](super::Providers::identify) needs to know of the request whose
/// response it checks (UP-03). It contains secrets: it is stored encrypted, and `Debug` omits them.
#[derive(Clone, Serialize, Deserialize)]
pub struct RequestRecord {
    /// The provider's id in the configuration.
    pub provider: String,
    /// The issuer that the request went to; with many Entra tenants, their template.
    pub issuer: String,
    pub token_endpoint: String,
    /// How we authenticate there; `None` in a record of an older version.
    #[serde(default)]
    pub token_auth: Option<ProviderAuth>,
    pub userinfo_endpoint: Option<String>,
    pub redirect_uri: String,
    /// The nonce that was sent; `None` for a provider without ID tokens.
    pub nonce: Option<String>,
    /// The PKCE verifier; `None` if PKCE is off.
    pub verifier: Option<String>,
    /// Whether the response must carry `iss` (RFC 9207 §2.4).
    pub iss_required: bool,
}

impl std::fmt::Debug for RequestRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestRecord")
            .field("provider", &self.provider)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl RequestRecord {
    /// The record of a request that begins now, with a new nonce and a new verifier of 32 bytes
    /// each, which are 43 characters (UP-04).
    pub(super) fn new(settings: &Provider, metadata: &Metadata, public_url: &str) -> Self {
        let has_id_token = settings.kind != ProviderKind::Github;
        Self {
            provider: settings.id.clone(),
            issuer: metadata.issuer.clone(),
            token_endpoint: metadata.token_endpoint.clone(),
            token_auth: Some(client_auth::choose(
                settings,
                metadata.supported.auth_methods.as_deref(),
            )),
            userinfo_endpoint: metadata.userinfo_endpoint.clone(),
            redirect_uri: settings.redirect_uri(public_url),
            nonce: has_id_token.then(|| Plain::generate().to_text()),
            verifier: settings.pkce.then(|| Plain::generate().to_text()),
            iss_required: metadata.requires_iss(settings),
        }
    }
}

/// Returns the URL of an authorization request, made from our own record alone (UP-06).
pub(super) fn authorization_url(
    settings: &Provider,
    metadata: &Metadata,
    record: &RequestRecord,
    request: AuthorizationRequest<'_>,
) -> String {
    let scopes = settings.scopes().join(" ");
    let challenge = record.verifier.as_deref().map(challenge_of);
    let form_post = settings.response_mode() == ResponseMode::FormPost;
    // A hint alone: the claim in the ID token decides.
    let hosted_domain = match settings.hosted_domains.as_slice() {
        [domain] => Some(domain.as_str()),
        _ => None,
    };
    let parameters = [
        ("response_type", Some("code")),
        ("client_id", Some(settings.client_id.as_str())),
        ("redirect_uri", Some(record.redirect_uri.as_str())),
        ("scope", Some(scopes.as_str())),
        ("state", Some(request.state)),
        ("nonce", record.nonce.as_deref()),
        ("code_challenge", challenge.as_deref()),
        ("code_challenge_method", challenge.as_ref().map(|_| "S256")),
        ("response_mode", form_post.then_some("form_post")),
        ("login_hint", request.login_hint),
        (
            "ui_locales",
            Some(request.ui_locales).filter(|locales| !locales.is_empty()),
        ),
        ("hd", hosted_domain),
    ];
    let present = parameters
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(present)
        .finish();
    // Not every provider reads `+` as a space. A plus sign in a value is `%2B` by now.
    let query = query.replace('+', "%20");
    // RFC 6749 §3.1: the endpoint may have a query of its own, which stays.
    let endpoint = &metadata.authorization_endpoint;
    let separator = if endpoint.contains('?') { '&' } else { '?' };
    format!("{endpoint}{separator}{query}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::collections::BTreeMap;

    use url::Url;

    use super::*;
    use crate::federation::provider::oidc::metadata::Supported;

    fn metadata() -> Metadata {
        Metadata {
            issuer: "https://op.example".into(),
            authorization_endpoint: "https://op.example/auth?realm=a".into(),
            token_endpoint: "https://op.example/token".into(),
            userinfo_endpoint: None,
            jwks_uri: Some("https://op.example/keys".into()),
            iss_advertised: true,
            supported: Supported::default(),
        }
    }

    fn request(more: &str) -> (RequestRecord, String, BTreeMap<String, String>) {
        let text =
            format!("id = \"a\"\nclient_id = \"c +&\"\nissuer = \"https://op.example\"\n{more}");
        let settings: Provider = toml::from_str(&text).unwrap();
        let record = RequestRecord::new(&settings, &metadata(), "https://login.example");
        let parameters = AuthorizationRequest {
            state: "s",
            login_hint: Some("a+b@x.example"),
            ui_locales: "fr en",
        };
        let url = authorization_url(&settings, &metadata(), &record, parameters);
        let query = Url::parse(&url)
            .unwrap()
            .query_pairs()
            .into_owned()
            .collect();
        (record, url, query)
    }

    #[test]
    fn up_06_the_request_carries_everything_and_spaces_as_20() {
        let (record, url, query) = request("");
        let verifier = record.verifier.unwrap();
        let challenge = challenge_of(&verifier);
        for (name, value) in [
            ("realm", "a"),
            ("response_type", "code"),
            ("client_id", "c +&"),
            ("redirect_uri", "https://login.example/upstream/a/callback"),
            ("scope", "openid profile email"),
            ("state", "s"),
            ("nonce", record.nonce.as_deref().unwrap()),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("login_hint", "a+b@x.example"),
            ("ui_locales", "fr en"),
        ] {
            assert_eq!(
                query.get(name).map(String::as_str),
                Some(value),
                "{name} in {url}"
            );
        }
        assert_eq!(query.len(), 11, "{url}");
        assert!(
            url.contains("scope=openid%20profile%20email") && !url.contains('+'),
            "{url}"
        );
        assert!(!url.contains(&verifier) && record.iss_required);
    }

    #[test]
    fn up_04_nonce_and_verifier_are_256_bits_each_and_new_each_time() {
        let (first, _, _) = request("");
        let (second, _, _) = request("");
        let secrets = |record: &RequestRecord| {
            [
                record.nonce.clone().unwrap(),
                record.verifier.clone().unwrap(),
            ]
        };
        let all: std::collections::BTreeSet<String> = secrets(&first)
            .into_iter()
            .chain(secrets(&second))
            .collect();
        assert_eq!(
            (all.len(), all.iter().all(|text| text.len() == 43)),
            (4, true)
        );
    }

    #[test]
    fn up_06_the_request_of_each_kind_has_its_own_parameters() {
        let (record, _, query) = request("pkce = false\npkce_off_reason = \"old\"");
        assert!(record.verifier.is_none() && !query.contains_key("code_challenge_method"));
        let (_, _, query) = request("kind = \"apple\"");
        assert_eq!(
            (query["response_mode"].as_str(), query["scope"].as_str()),
            ("form_post", "openid name email")
        );
        let (record, _, query) = request("kind = \"github\"");
        assert!(
            record.nonce.is_none()
                && !query.contains_key("nonce")
                && query.contains_key("code_challenge")
        );
        let (_, _, query) = request("kind = \"google\"\nhosted_domains = [\"x.example\"]");
        assert_eq!(query["hd"], "x.example");
    }
}
