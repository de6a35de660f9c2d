//! Parses a sign-out request: who is meant, and where the browser should go afterwards.

use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    client,
    config::{Client, Reloadable},
    key::Claims,
    oauth::{access_token::text_claim, authorize::parse::MAX_HINT},
    session::CurrentSession,
    web::params::{ParamError, Params},
};

const KNOWN: [&str; 6] = [
    "id_token_hint",
    "post_logout_redirect_uri",
    "client_id",
    "state",
    "logout_hint",
    "ui_locales",
];

/// The most bytes of `state` (ST-15).
const MAX_STATE: usize = 4096;

/// A request that says without a mistake what it wants.
#[derive(Debug)]
pub(super) struct LogoutRequest {
    /// The claims of a hint that we signed.
    hint: Option<Claims>,
    pub(super) destination: Option<Destination>,
}

/// Why the browser is not sent back: the parameter at fault (ES-2, OC-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogoutRequestError {
    /// One of our own names.
    pub(super) parameter: &'static str,
    /// It is missing; otherwise it is wrong.
    pub(super) is_missing: bool,
}

impl LogoutRequestError {
    const fn wrong(parameter: &'static str) -> Self {
        Self {
            parameter,
            is_missing: false,
        }
    }
}

impl From<ParamError> for LogoutRequestError {
    fn from(error: ParamError) -> Self {
        Self {
            parameter: error.parameter().unwrap_or("the request"),
            is_missing: matches!(error, ParamError::Missing(_)),
        }
    }
}

impl LogoutRequest {
    /// # Errors
    /// The first parameter that is missing or wrong.
    pub(super) fn parse(
        app: &App,
        config: &Reloadable,
        params: &Params,
    ) -> Result<Self, LogoutRequestError> {
        params.check_all(&KNOWN)?;
        let hint = read_hint(app, params)?;
        let destination = read_destination(params, hint.as_ref(), config)?;
        Ok(Self { hint, destination })
    }

    /// Whether the hint names this browser's session.
    pub(super) fn names(&self, current: &CurrentSession) -> bool {
        self.hint.as_ref().is_some_and(|hint| {
            text_claim(hint, "sid") == current.session.id.to_string()
                && text_claim(hint, "sub") == current.user.public_id.to_string()
        })
    }
}

/// Returns the claims of the hint, if there is one. A hint that is not ours is a fault, whatever
/// else the request has.
fn read_hint(app: &App, params: &Params) -> Result<Option<Claims>, LogoutRequestError> {
    let Some(hint) = params.optional_within("id_token_hint", MAX_HINT)? else {
        return Ok(None);
    };
    app.keys
        .verify_hint(hint, &app.public_url)
        .map(Some)
        .map_err(|_| LogoutRequestError::wrong("id_token_hint"))
}

/// RPL §3: where the browser should go, which the client in the hint must have registered. A
/// `client_id` alone is no proof that the client asks.
fn read_destination(
    params: &Params,
    hint: Option<&Claims>,
    config: &Reloadable,
) -> Result<Option<Destination>, LogoutRequestError> {
    let client = find_hinted_client(params, hint, config)?;
    let Some(uri) = params.optional_within("post_logout_redirect_uri", 2048)? else {
        return Ok(None);
    };
    let client = client.ok_or(LogoutRequestError {
        parameter: "id_token_hint",
        is_missing: hint.is_none(),
    })?;
    let destination = Destination {
        client_id: client.client_id.clone(),
        uri: uri.to_owned(),
        state: params
            .optional_within("state", MAX_STATE)?
            .map(str::to_owned),
    };
    if destination.href(config).is_none() {
        return Err(LogoutRequestError::wrong("post_logout_redirect_uri"));
    }
    Ok(Some(destination))
}

/// Finds the client that the hint was issued to. A `client_id` in the request must name the same.
fn find_hinted_client<'a>(
    params: &Params,
    hint: Option<&Claims>,
    config: &'a Reloadable,
) -> Result<Option<&'a Client>, LogoutRequestError> {
    let client_id = params.optional_within("client_id", 255)?;
    let Some(hint) = hint else {
        return Ok(None);
    };
    let audience = text_claim(hint, "aud");
    if client_id.is_some_and(|id| id != audience) {
        return Err(LogoutRequestError::wrong("client_id"));
    }
    Ok(client::find(config, audience))
}

/// Where the browser goes after the sign-out. While the user is asked it is kept in the form, whose
/// token covers it, and not in the ticket store: a signed-in user may open any number of those
/// pages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Destination {
    pub(super) client_id: String,
    uri: String,
    state: Option<String>,
}

impl Destination {
    /// RPL §3: the URI with `state` as sent and nothing else (ES-4). None if the client has not
    /// registered exactly this URI.
    pub(super) fn href(&self, config: &Reloadable) -> Option<String> {
        let registered = &client::find(config, &self.client_id)?.post_logout_redirect_uris;
        if !registered.contains(&self.uri) {
            return None;
        }
        let Some(state) = &self.state else {
            return Some(self.uri.clone());
        };
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("state", state)
            .finish();
        let separator = if self.uri.contains('?') { '&' } else { '?' };
        Some(format!("{}{separator}{query}", self.uri))
    }
}
