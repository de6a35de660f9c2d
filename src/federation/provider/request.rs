//! The request that a browser takes to a provider (OpenID Connect Core §3.1.2.1; RFC 6749 §4.1.1; RFC 7636 §4.3).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};

use serde::{Deserialize, Serialize};

use super::oidc::metadata::Metadata;
use crate::{
    config::{
        Provider,
        providers::{Kind, ResponseMode},
    },
    secret::{Hash, Plain},
};

/// What is wanted of a provider.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationRequest<'a> {
    /// 43 characters that come back with the answer; their SHA-256 is the key of the ticket.
    pub state: &'a str,
    /// An address that was typed in this browser (UP-07).
    pub login_hint: Option<&'a str>,
    /// Languages for the provider's pages, the best first, separated by blanks; may be empty.
    pub ui_locales: &'a str,
}

/// A flow that may begin.
#[derive(Debug)]
pub struct AuthorizationRedirect {
    /// Where to send the browser.
    pub url: String,
    /// To be kept sealed until the answer comes.
    pub record: RequestRecord,
}

/// All that [`Providers::identify`] needs to know of the request that it sees the answer of (UP-03). It holds secrets:
/// it is kept sealed and has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct RequestRecord {
    /// The provider's id in the configuration.
    pub provider: String,
    /// The issuer that was asked; for many directories, their template.
    pub issuer: String,
    /// Where the code is exchanged.
    pub token_endpoint: String,
    /// Where userinfo is, if there is any.
    pub userinfo_endpoint: Option<String>,
    /// The redirect URI that was sent.
    pub redirect_uri: String,
    /// The nonce that was sent; none where there is no ID token.
    pub nonce: Option<String>,
    /// The PKCE verifier; none if PKCE is off.
    pub verifier: Option<String>,
    /// The answer must carry `iss` (RFC 9207 §2.4).
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

/// What is kept of a request that begins now: nonce and verifier are 32 bytes each, 43 characters (UP-04).
pub(super) fn record(settings: &Provider, metadata: &Metadata, public_url: &str) -> RequestRecord {
    let has_id_token = settings.kind != Kind::Github;
    RequestRecord {
        provider: settings.id.clone(),
        issuer: metadata.issuer.clone(),
        token_endpoint: metadata.token_endpoint.clone(),
        userinfo_endpoint: metadata.userinfo_endpoint.clone(),
        redirect_uri: settings.redirect_uri(public_url),
        nonce: has_id_token.then(|| Plain::generate().to_text()),
        verifier: settings.pkce.then(|| Plain::generate().to_text()),
        iss_required: metadata.requires_iss(settings),
    }
}

/// The URL, made from our own record alone. Blanks are `%20`: not every provider reads `+` as one (UP-06).
pub(super) fn url(
    settings: &Provider,
    metadata: &Metadata,
    record: &RequestRecord,
    ask: AuthorizationRequest<'_>,
) -> String {
    let scopes = settings.scopes().join(" ");
    let challenge = record
        .verifier
        .as_deref()
        .map(|verifier| BASE64.encode(Hash::of(verifier.as_bytes()).as_bytes()));
    let hd = settings.hosted_domains.as_slice();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", &settings.client_id)
        .append_pair("redirect_uri", &record.redirect_uri)
        .append_pair("scope", &scopes)
        .append_pair("state", ask.state);
    let optional = [
        ("nonce", record.nonce.as_deref()),
        ("code_challenge", challenge.as_deref()),
        ("code_challenge_method", challenge.as_ref().map(|_| "S256")),
        (
            "response_mode",
            (settings.response_mode() == ResponseMode::FormPost).then_some("form_post"),
        ),
        ("login_hint", ask.login_hint),
        (
            "ui_locales",
            Some(ask.ui_locales).filter(|locales| !locales.is_empty()),
        ),
        // A hint alone: the claim decides.
        (
            "hd",
            if let [one] = hd {
                Some(one.as_str())
            } else {
                None
            },
        ),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    // A plus sign in a value is `%2B` by now.
    let query = query.finish().replace('+', "%20");
    // RFC 6749 §3.1: the endpoint may have a query of its own, which stays.
    let endpoint = &metadata.authorization_endpoint;
    format!(
        "{endpoint}{}{query}",
        if endpoint.contains('?') { '&' } else { '?' }
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::collections::BTreeMap;

    use url::Url;

    use super::*;

    fn metadata() -> Metadata {
        Metadata {
            issuer: "https://op.example".into(),
            authorization_endpoint: "https://op.example/auth?realm=a".into(),
            token_endpoint: "https://op.example/token".into(),
            userinfo_endpoint: None,
            jwks_uri: Some("https://op.example/keys".into()),
            iss_advertised: true,
        }
    }

    fn asked(more: &str) -> (RequestRecord, String, BTreeMap<String, String>) {
        let text =
            format!("id = \"a\"\nclient_id = \"c +&\"\nissuer = \"https://op.example\"\n{more}");
        let settings: Provider = toml::from_str(&text).unwrap();
        let record = record(&settings, &metadata(), "https://login.example");
        let ask = AuthorizationRequest {
            state: "s",
            login_hint: Some("a+b@x.example"),
            ui_locales: "fr en",
        };
        let url = url(&settings, &metadata(), &record, ask);
        let query = Url::parse(&url)
            .unwrap()
            .query_pairs()
            .into_owned()
            .collect();
        (record, url, query)
    }

    #[test]
    fn up_06_the_request_carries_everything_and_blanks_as_20() {
        let (record, url, query) = asked("");
        let verifier = record.verifier.unwrap();
        let challenge = BASE64.encode(Hash::of(verifier.as_bytes()).as_bytes());
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
        let (first, _, _) = asked("");
        let (second, _, _) = asked("");
        let of = |record: &RequestRecord| {
            [
                record.nonce.clone().unwrap(),
                record.verifier.clone().unwrap(),
            ]
        };
        let all: std::collections::BTreeSet<String> =
            of(&first).into_iter().chain(of(&second)).collect();
        assert_eq!(
            (all.len(), all.iter().all(|text| text.len() == 43)),
            (4, true)
        );
    }

    #[test]
    fn up_06_each_kind_asks_in_its_way() {
        let (record, _, query) = asked("pkce = false\npkce_off_reason = \"old\"");
        assert!(record.verifier.is_none() && !query.contains_key("code_challenge_method"));
        let (_, _, query) = asked("kind = \"apple\"");
        assert_eq!(
            (query["response_mode"].as_str(), query["scope"].as_str()),
            ("form_post", "openid name email")
        );
        let (record, _, query) = asked("kind = \"github\"");
        assert!(
            record.nonce.is_none()
                && !query.contains_key("nonce")
                && query.contains_key("code_challenge")
        );
        let (_, _, query) = asked("kind = \"google\"\nhosted_domains = [\"x.example\"]");
        assert_eq!(query["hd"], "x.example");
    }
}
