//! Any OpenID provider, and the kinds of work that clients have it do.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::Value;
use url::Url;

use super::{
    connection::{Connection, Target},
    process::Watched,
};
use crate::browser::Browser;

/// Where the client's responses go. Nothing listens there: callers read the code in the redirect.
pub const REDIRECT: &str = "http://127.0.0.1:9/callback";

/// The most redirects and pages from a client's request to its code.
pub(super) const STEPS: usize = 8;

/// What a client has a provider do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// The authorization request of a browser with a session, until its code.
    Authorize,
    /// The same, until its tokens.
    CodeFlow,
    ClientCredentials,
    Refresh,
    Userinfo,
    Introspection,
    Discovery,
}

impl Work {
    /// The name in tables and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authorize => "authorize with a session",
            Self::CodeFlow => "code flow with a session",
            Self::ClientCredentials => "client credentials",
            Self::Refresh => "refresh",
            Self::Userinfo => "userinfo",
            Self::Introspection => "introspection",
            Self::Discovery => "discovery",
        }
    }
}

/// A client with a secret.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub id: String,
    pub secret: String,
}

impl Credentials {
    /// RFC 6749 §2.3.1. Identifiers and secrets of measurements need no escaping.
    #[must_use]
    pub fn basic(&self) -> String {
        let pair = format!("{}:{}", self.id, self.secret);
        format!("Basic {}", STANDARD.encode(pair))
    }
}

/// The paths of the endpoints, as the metadata names them.
#[derive(Clone, Debug)]
pub struct Endpoints {
    pub discovery: String,
    pub authorize: String,
    pub token: String,
    pub userinfo: Option<String>,
    pub introspection: Option<String>,
}

/// A provider that runs, and what its clients need.
#[derive(Clone, Debug)]
pub struct Provider {
    pub name: String,
    pub issuer: String,
    pub target: Target,
    pub endpoints: Endpoints,
    /// The client with which users sign in.
    pub client: Credentials,
    /// The client that acts for itself and introspects tokens.
    pub software: Credentials,
    pub scope: String,
    /// The parameter `resource` of client credentials, for a provider that signs no access token without it.
    pub resource: Option<String>,
    pub watched: Vec<Watched>,
}

/// A browser that is signed in, with the client's request.
#[derive(Clone, Debug)]
pub struct Session {
    pub cookies: String,
    /// Path and query of the authorization request.
    pub authorize: String,
    pub verifier: String,
}

impl Endpoints {
    /// Reads the metadata of a provider that is public as `target.host`.
    ///
    /// # Errors
    /// There is no metadata, or it lacks an endpoint that each provider has.
    pub async fn read(target: &Target, issuer: &str) -> Result<Self, String> {
        let base = path_of(issuer);
        let discovery = format!(
            "{}/.well-known/openid-configuration",
            base.trim_end_matches('/')
        );
        let request = target.get(&discovery, &[]);
        let response = Connection::new(target.address).send(&request).await;
        let response = response.map_err(|error| format!("{discovery}: {error}"))?;
        let metadata: Value = serde_json::from_slice(&response.body)
            .map_err(|error| format!("{discovery}: {}: {error}", response.status))?;
        let path = |name: &str| metadata[name].as_str().map(path_of);
        let needed = |name: &str| path(name).ok_or_else(|| format!("{discovery}: no {name}"));
        Ok(Self {
            authorize: needed("authorization_endpoint")?,
            token: needed("token_endpoint")?,
            userinfo: path("userinfo_endpoint"),
            introspection: path("introspection_endpoint"),
            discovery,
        })
    }
}

impl Provider {
    /// The client's request, and the verifier of its challenge (RFC 7636 §4.1, §4.2).
    #[must_use]
    pub fn authorization_request(&self) -> (String, String) {
        let [verifier, state, nonce] = [(); 3].map(|()| random());
        let digest = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
        let challenge = URL_SAFE_NO_PAD.encode(digest);
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", &self.client.id),
                ("redirect_uri", REDIRECT),
                ("scope", &self.scope),
                ("state", &state),
                ("nonce", &nonce),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ])
            .finish();
        (format!("{}?{query}", self.endpoints.authorize), verifier)
    }

    /// The session of a browser that has just signed in, with a client's request of its own.
    #[must_use]
    pub fn session(&self, browser: &Browser) -> Session {
        let (authorize, verifier) = self.authorization_request();
        Session {
            cookies: browser.cookie_header(),
            authorize,
            verifier,
        }
    }

    /// Signs a user in at the provider's own pages: fills in each form until the client's address is reached.
    ///
    /// # Panics
    /// The pages lead nowhere.
    pub async fn sign_in_at_forms(&self, fields: &[(String, String)]) -> Session {
        let mut browser = Browser::new([127, 0, 0, 1].into());
        let origin = Url::parse(&self.issuer).expect("an issuer");
        let (authorize, _) = self.authorization_request();
        let begin = origin.join(&authorize).expect("an address");
        let mut page = browser.open(begin.as_str()).await;
        for _ in 0..STEPS {
            page = browser.settle(page).await;
            let is_back = |to: Url| to.as_str().starts_with(REDIRECT);
            if page.location().is_some_and(is_back) {
                return self.session(&browser);
            }
            let form = page.forms("form").into_iter().find(|form| form.post);
            let form = form.unwrap_or_else(|| panic!("{}: {}", self.name, page.summary()));
            let known = fields
                .iter()
                .filter(|(name, _)| form.open.iter().any(|(open, _)| open == name));
            let known: Vec<(&str, &str)> = known
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            page = browser.send_form(&page, &form, &known).await;
        }
        panic!("{}: no end of pages: {}", self.name, page.summary());
    }
}

fn random() -> String {
    let uuid = || uuid::Uuid::new_v4().simple();
    format!("{}{}", uuid(), uuid())
}

/// Path and query of an address that may be relative.
#[must_use]
pub fn path_of(address: &str) -> String {
    let Some((_, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    rest.find('/')
        .map_or_else(String::new, |at| rest[at..].to_owned())
}

/// A parameter of an address.
pub(super) fn parameter(address: &str, name: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let mut pairs = url.query_pairs();
    pairs
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_parameters_of_addresses() {
        assert_eq!(path_of("http://a.test:1/b?c=d"), "/b?c=d");
        assert_eq!(path_of("http://a.test"), "");
        assert_eq!(path_of("/b"), "/b");
        let back = "http://127.0.0.1:9/callback?state=s&code=a%2Bb";
        assert_eq!(parameter(back, "code").as_deref(), Some("a+b"));
        assert_eq!(parameter(back, "error"), None);
    }
}
