//! The configured providers and the two verbs: where to send a browser, and who came back.
//!
//! Nothing here waits for a provider at start-up; what is known of one is read when it is first needed, and kept by
//! `oidc`. Each call takes the configuration in force, so that a provider is changed or switched off without a restart.

use serde::{Deserialize, Serialize};

use super::refused::{Code, Refused};
use crate::app::App;

/// The configured providers. Clones share what is known of them.
#[derive(Clone, Debug)]
pub struct Providers(App);

/// What is wanted of a provider.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// 43 characters that come back with the answer; their SHA-256 is the key of the ticket.
    pub state: &'a str,
    /// An address that was typed in this browser (UP-07).
    pub login_hint: Option<&'a str>,
    /// Languages for the provider's pages, the best first, separated by blanks; may be empty.
    pub ui_locales: &'a str,
}

/// A flow that may begin.
#[derive(Debug)]
pub struct Started {
    /// Where to send the browser.
    pub url: String,
    /// To be kept sealed until the answer comes.
    pub record: Record,
}

/// All that [`Providers::identify`] needs to know of the request that it sees the answer of (UP-03). It holds secrets:
/// it is kept sealed and has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Record {
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

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").field("provider", &self.provider).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// The parameters of a callback, after the shape checks. No `Debug`: a code is in it.
#[derive(Clone, Copy, Default)]
pub struct Answer<'a> {
    /// `code`.
    pub code: Option<&'a str>,
    /// `iss`.
    pub iss: Option<&'a str>,
    /// `error`.
    pub error: Option<&'a str>,
    /// `error_description`: for the log, cut and cleaned.
    pub error_description: Option<&'a str>,
    /// `user`: Apple's JSON, once, by form_post.
    pub user: Option<&'a str>,
}

/// Who came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider's id in the configuration.
    pub provider: String,
    /// With `subject` what a link hangs on. For Entra the issuer of the person's directory.
    pub issuer: String,
    /// The person there, for ever.
    pub subject: String,
    /// An address as given, not yet canonical.
    pub email: Option<String>,
    /// What the provider's word about `email` is worth.
    pub trust: Trust,
    /// What the person is called there: for display alone.
    pub name: Option<String>,
    /// The language that the person has there.
    pub locale: Option<String>,
    /// How the person proved themselves there (RFC 8176), if it says.
    pub amr: Vec<String>,
}

/// What a provider's word about an address is worth (federation §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// It runs the mailbox, or ops pinned it.
    Authoritative,
    /// It says that it verified the address.
    Asserted,
    /// Nothing.
    None,
}

/// One thing that `entree doctor` found at a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it is in order.
    pub ok: bool,
    /// What was looked at: `discovery`, `keys`, `clock`, `redirect_uri`.
    pub what: &'static str,
    /// What was found and, if it is not in order, how to mend it.
    pub words: String,
}

impl Providers {
    /// Over the configuration in force. Asks nobody.
    #[must_use]
    pub fn new(app: &App) -> Self {
        Self(app.clone())
    }

    /// Where to send a browser, and what to keep until it is back (UP-06).
    ///
    /// # Errors
    /// [`Code::ProviderDisabled`]; what reading its documents came to.
    pub async fn authorize_url(&self, id: &str, ask: Ask<'_>) -> Result<Started, Refused> {
        let _ = (id, ask, &self.0);
        Err(Code::ProviderDown.into())
    }

    /// Who came back: the answer's issuer, its error, the exchange, the ID token, userinfo (CB-06, CB-07, CB-09,
    /// CB-10). All calls together take at most ten seconds. The record must have been claimed before.
    ///
    /// # Errors
    /// The first check that failed.
    pub async fn identify(&self, record: &Record, answer: &Answer<'_>) -> Result<Identity, Refused> {
        let _ = (record, answer);
        Err(Code::ProviderDown.into())
    }

    /// Whether this provider's answers come as a form_post, else by GET (CB-01). None: there is no such provider.
    #[must_use]
    pub fn form_post(&self, id: &str) -> Option<bool> {
        let _ = id;
        None
    }

    /// Reads documents again that are nearly due. For a job; failures are logged, and tried again later.
    pub async fn refresh_due(&self) {}

    /// What `entree doctor` says of a provider.
    pub async fn examine(&self, id: &str) -> Vec<Finding> {
        let _ = id;
        Vec::new()
    }
}
