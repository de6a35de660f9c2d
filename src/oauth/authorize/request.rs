//! Reading an authorization request: first who asks and where the answer may go, then all else.

use serde::{Deserialize, Serialize};

use crate::{
    client::{self, VerifiedRedirect},
    clock::Time,
    config::{Client, ClientAuth, GrantType, Reloadable},
    oauth::{
        claims_request::{self, ClaimsRequest},
        error::{Code, OauthError},
        resource, scope,
    },
    pkce::is_challenge,
    web::params::{ParamError, Params},
};

/// Every parameter that decides something here; a repeated or broken one is refused (RFC 6749 §3.1), others are ignored.
const KNOWN: [&str; 12] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "max_age",
    "id_token_hint",
];

/// What may help and never fails a request (OIDC Core §15.1), unless it is repeated; and what is refused by its own name.
const ONCE: [&str; 8] = [
    "login_hint",
    "ui_locales",
    "display",
    "acr_values",
    "claims",
    "claims_locales",
    "request",
    "request_uri",
];

/// The most bytes of `state` and `nonce` (AZ-8, AZ-9).
const MAX_STATE: usize = 512;

/// The longest request that we take.
pub const MAX_QUERY: usize = 8192;

/// The most bytes of an ID token as a hint.
const MAX_HINT: usize = 4096;

/// Why a request is not answered as asked.
#[derive(Debug)]
pub enum Rejected {
    /// Nowhere to send an answer: a page for the person, naming the parameter (RFC 6749 §4.1.2.1).
    Page(&'static str),
    /// An error for the client.
    Redirect(Box<Back>, OauthError),
}

/// Where an answer goes, and what it must repeat.
#[derive(Clone, Debug)]
pub struct Back {
    /// The verified place.
    pub uri: VerifiedRedirect,
    /// The client's `state`, byte for byte.
    pub state: Option<String>,
    /// How the answer travels.
    pub mode: Mode,
    /// Whose request it is.
    pub client_id: String,
}

/// What a request says, as it waits for a sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Who asks.
    pub client_id: String,
    /// Where the answer goes.
    pub redirect_uri: String,
    /// The client's state.
    pub state: Option<String>,
    /// The client's nonce.
    pub nonce: Option<String>,
    /// What is asked for and may be granted.
    pub scope: String,
    /// PKCE S256; none only for a confidential client that need not use it.
    pub code_challenge: Option<String>,
    /// How the answer travels.
    pub mode: Mode,
    /// For which resource servers, separated by spaces, if the client said (RFC 8707 §2).
    pub resource: Option<String>,
    /// The user that `id_token_hint`, or a `sub` in `claims`, names.
    pub hinted_sub: Option<String>,
    /// What `claims` asks for and may be granted (see `claims_request`).
    #[serde(default)]
    pub claims: String,
    /// An essential `acr`: one of these, or no sign-in. Empty: none is demanded.
    #[serde(default)]
    pub acr: Vec<String>,
    /// `acr_values`: the client would rather have one of these, and takes any (OIDC Core §3.1.2.1).
    #[serde(default)]
    pub acr_values: String,
    /// Whether pages may be shown, and which must be.
    pub prompt: Prompt,
    /// The oldest proof that is good enough, in seconds.
    pub max_age: Option<i64>,
    /// A guess at the address; only pre-fills a field (AZ-11).
    pub login_hint: String,
    /// Languages.
    pub ui_locales: String,
    /// When it was asked: a fresh proof is one since then.
    pub asked_at: Time,
    /// The proof that was not good enough: a fresh one is another, whatever two machines' clocks say.
    #[serde(default)]
    pub proven_before: Option<Time>,
}

/// `response_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// In the redirect URI's query.
    #[default]
    Query,
    /// In a form that posts itself (OAuth 2.0 Form Post Response Mode).
    FormPost,
}

/// `prompt` (OIDC Core §3.1.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// No page at all.
    pub none: bool,
    /// A fresh proof.
    pub login: bool,
    /// Ask for consent in any case.
    pub consent: bool,
    /// Let the person choose who they are: the sign-in page does.
    pub select_account: bool,
}

/// A request that may be answered.
#[derive(Clone, Debug)]
pub struct AuthorizeRequest<'a> {
    /// The client.
    pub client: &'a Client,
    /// Where the answer goes.
    pub redirect: Back,
    /// What it says.
    pub stored: Stored,
}

impl<'a> AuthorizeRequest<'a> {
    /// Reads a request. Client and redirect URI come first: until both are good there is nowhere to send an error.
    ///
    /// # Errors
    /// [`Rejected`].
    pub fn parse(
        params: &Params,
        config: &'a Reloadable,
        hints: &dyn Hints,
        now: Time,
    ) -> Result<Self, Rejected> {
        let (client, uri) = addressee(params, config)?;
        let state = params
            .optional_within("state", MAX_STATE)
            .and_then(one_line)
            .map(|state| state.map(str::to_owned));
        // An error, too, travels as the client asked (AZ-14); an unknown mode's in the query.
        let mode = params
            .optional_within("response_mode", 64)
            .ok()
            .flatten()
            .and_then(mode)
            .unwrap_or_default();
        let client_id = client.client_id.clone();
        let back = Back {
            uri,
            state: state.clone().unwrap_or_default(),
            mode,
            client_id,
        };
        let reject = |error| Rejected::Redirect(Box::new(back.clone()), error);
        state.map_err(|error| reject(error.into()))?;
        params
            .check_all(&KNOWN)
            .and_then(|()| params.check_not_repeated(&ONCE))
            .map_err(|error| reject(error.into()))?;
        let stored = read(params, (client, config), &back, hints, now).map_err(reject)?;
        Ok(Self {
            client,
            redirect: back,
            stored,
        })
    }

    /// A request that waited, if its client and redirect URI are still registered; of its scopes those that still are.
    #[must_use]
    pub fn restore(mut stored: Stored, config: &'a Reloadable) -> Option<Self> {
        let client = client::find(config, &stored.client_id)?;
        stored.scope = scope::granted(client, &stored.scope);
        let uri = VerifiedRedirect::check(client, &stored.redirect_uri)?;
        let client_id = client.client_id.clone();
        let redirect = Back {
            uri,
            state: stored.state.clone(),
            mode: stored.mode,
            client_id,
        };
        Some(Self {
            client,
            redirect,
            stored,
        })
    }
}

/// AZ-2, AZ-4: unknown client; missing, repeated or unmatched redirect URI: a page, never a redirect.
fn addressee<'a>(
    params: &Params,
    config: &'a Reloadable,
) -> Result<(&'a Client, VerifiedRedirect), Rejected> {
    let page = Rejected::Page;
    let id = params
        .required("client_id", 255)
        .map_err(|_| page("client_id"))?;
    let client = client::find(config, id).ok_or(page("client_id"))?;
    let uri = params
        .required("redirect_uri", 2048)
        .map_err(|_| page("redirect_uri"))?;
    let uri = VerifiedRedirect::check(client, uri).ok_or(page("redirect_uri"))?;
    Ok((client, uri))
}

/// RFC 6749 appendix A.5: `state` has no line breaks. A form would not bring them back as sent (AZ-8).
fn one_line(state: Option<&str>) -> Result<Option<&str>, ParamError> {
    if state.is_some_and(|state| state.contains(['\r', '\n'])) {
        return Err(ParamError::Character("state"));
    }
    Ok(state)
}

const fn invalid(description: &'static str) -> OauthError {
    OauthError::new(Code::InvalidRequest, description)
}

fn read(
    params: &Params,
    (client, config): (&Client, &Reloadable),
    back: &Back,
    hints: &dyn Hints,
    now: Time,
) -> Result<Stored, OauthError> {
    let text = |name: &'static str, max: usize| {
        params
            .optional_within(name, max)
            .map(|value| value.map(str::to_owned))
            .map_err(OauthError::from)
    };
    request_object(params)?;
    if !client.grant_types.contains(&GrantType::AuthorizationCode) {
        return Err(OauthError::new(
            Code::UnauthorizedClient,
            "The client is not registered for codes.",
        ));
    }
    response(
        text("response_type", 64)?.as_deref(),
        text("response_mode", 64)?.as_deref(),
    )?;
    let scope = scope::granted(client, text("scope", 1024)?.as_deref().unwrap_or_default());
    let claims = ClaimsRequest::read(&hint(params, "claims", MAX_QUERY));
    Ok(Stored {
        client_id: client.client_id.clone(),
        redirect_uri: back.uri.as_str().to_owned(),
        state: back.state.clone(),
        nonce: text("nonce", MAX_STATE)?,
        claims: claims.granted(client, &scope),
        acr: reachable(&claims, config)?,
        acr_values: hint(params, "acr_values", 512),
        scope,
        code_challenge: challenge(
            client,
            text("code_challenge", 128)?,
            text("code_challenge_method", 16)?.as_deref(),
        )?,
        mode: back.mode,
        resource: resource::asked(params, client, hints.ours())?,
        hinted_sub: subject(
            text("id_token_hint", MAX_HINT)?
                .map(|hint| hints.subject(&hint))
                .transpose()?,
            claims.sub,
        )?,
        prompt: prompt(text("prompt", 64)?.as_deref().unwrap_or_default())?,
        max_age: max_age(text("max_age", 16)?.as_deref())?,
        login_hint: hint(params, "login_hint", 254),
        ui_locales: hint(params, "ui_locales", 512),
        asked_at: now,
        proven_before: None,
    })
}

/// OIDC Core §3.1.2.2: one person at most can be meant.
fn subject(hinted: Option<String>, claimed: Option<String>) -> Result<Option<String>, OauthError> {
    match (hinted, claimed) {
        (Some(hinted), Some(claimed)) if hinted != claimed => Err(invalid(
            "The parameters id_token_hint and claims name two different users.",
        )),
        (hinted, claimed) => Ok(hinted.or(claimed)),
    }
}

/// OIDC Core §5.5.1.1: an essential `acr` that nobody here can reach fails at once, whoever is signed in (PM-8).
fn reachable(claims: &ClaimsRequest, config: &Reloadable) -> Result<Vec<String>, OauthError> {
    let known = claims_request::acr_values(config);
    if claims.acr.is_empty() || claims.acr.iter().any(|acr| known.contains(&acr.as_str())) {
        return Ok(claims.acr.clone());
    }
    Err(UNMET)
}

/// What a client hears whose demand on the strength of a sign-in is not met.
pub const UNMET: OauthError = OauthError::new(
    Code::UnmetAuthenticationRequirements,
    "No sign-in reaches an authentication context class (acr) that the request demands.",
);

/// What may help and never fails (OIDC Core §15.1): a hint that is too long is none.
fn hint(params: &Params, name: &'static str, max: usize) -> String {
    params
        .optional_within(name, max)
        .ok()
        .flatten()
        .unwrap_or_default()
        .to_owned()
}

/// OIDC Core §6: request objects and request URIs are not supported, and saying so beats ignoring them (AZ-12).
fn request_object(params: &Params) -> Result<(), OauthError> {
    // Without a value it counts as left out (RFC 6749 §3.1).
    let given = |name| !matches!(params.optional_within(name, MAX_QUERY), Ok(None));
    if given("request") {
        return Err(OauthError::new(
            Code::RequestNotSupported,
            "Request objects are not supported.",
        ));
    }
    if given("request_uri") {
        return Err(OauthError::new(
            Code::RequestUriNotSupported,
            "Request URIs are not supported.",
        ));
    }
    Ok(())
}

/// RFC 6749 §3.1.1: `code` and nothing else (CP-2, AZ-5); the answer goes into the query or a form.
fn response(kind: Option<&str>, mode: Option<&str>) -> Result<(), OauthError> {
    match kind {
        Some("code") => {}
        None => return Err(invalid("The parameter response_type is missing.")),
        Some(_) => {
            return Err(OauthError::new(
                Code::UnsupportedResponseType,
                "Only response_type=code is supported.",
            ));
        }
    }
    match self::mode(mode.unwrap_or("query")) {
        Some(_) => Ok(()),
        None => Err(invalid(
            "The parameter response_mode must be query or form_post.",
        )),
    }
}

fn mode(name: &str) -> Option<Mode> {
    match name {
        "query" => Some(Mode::Query),
        "form_post" => Some(Mode::FormPost),
        _ => None,
    }
}

/// Who we are, and who reads an ID token that we issued earlier.
pub trait Hints {
    /// Our public URL.
    fn ours(&self) -> &str;

    /// The `sub` of a hint: ours, by signature; expired or by a retired key is fine (PM-7).
    ///
    /// # Errors
    /// `invalid_request` if it is not ours.
    fn subject(&self, hint: &str) -> Result<String, OauthError>;
}

/// RFC 7636 §4.3: S256 alone; `plain` is refused (AZ-18), and so is a request without a challenge, but for a
/// confidential client that has switched that off (CP-1).
fn challenge(
    client: &Client,
    challenge: Option<String>,
    method: Option<&str>,
) -> Result<Option<String>, OauthError> {
    let Some(challenge) = challenge else {
        let without = !client.require_pkce && client.token_endpoint_auth_method != ClientAuth::None;
        if without && method.is_none() {
            return Ok(None);
        }
        return Err(invalid("PKCE is required: code_challenge is missing."));
    };
    if method != Some("S256") {
        return Err(invalid("The parameter code_challenge_method must be S256."));
    }
    if !is_challenge(&challenge) {
        return Err(invalid(
            "The parameter code_challenge must be 43 characters of base64url.",
        ));
    }
    Ok(Some(challenge))
}

/// OIDC Core §3.1.2.1: `none` stands alone; unknown values are ignored.
fn prompt(values: &str) -> Result<Prompt, OauthError> {
    let values: Vec<&str> = values.split_ascii_whitespace().collect();
    if values.contains(&"none") {
        return match values.len() {
            1 => Ok(Prompt {
                none: true,
                ..Prompt::default()
            }),
            _ => Err(invalid(
                "The parameter prompt has none together with another value.",
            )),
        };
    }
    let has = |value: &str| values.contains(&value);
    Ok(Prompt {
        none: false,
        login: has("login"),
        consent: has("consent"),
        select_account: has("select_account"),
    })
}

fn max_age(text: Option<&str>) -> Result<Option<i64>, OauthError> {
    let parse = |text: &str| text.parse::<u32>().map(i64::from);
    text.map(parse)
        .transpose()
        .map_err(|_| invalid("The parameter max_age must be a number of seconds."))
}

#[cfg(test)]
mod tests;
