//! Parses an authorization request: first the client and where the response may go, then the rest.

use super::{
    request::{
        AuthorizationParams, AuthorizationRequest, Prompt, ResponseMode, ResponseTarget, UNMET_ACR,
    },
    target::{MAX_STATE, read_target},
};
use crate::{
    client::{self, VerifiedRedirect},
    clock::Time,
    config::{Client, ClientAuth, GrantType, Reloadable},
    oauth::{
        claims_request::{self, ClaimsRequest},
        error::{ErrorCode, OauthError},
        exchange_rules,
        reason::Reason,
        resource,
    },
    pkce::is_challenge,
    web::params::{ParamError, Params},
};

/// The parameters that must not be repeated or malformed (RFC 6749 §3.1). Parameters that are in
/// neither list are ignored.
const KNOWN: [&str; 13] = [
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
    "dpop_jkt",
];

/// The parameters that must not be repeated. Some are hints, which fail no request by their value
/// (OIDC Core §15.1); others are refused by an error of their own.
const NOT_REPEATED: [&str; 8] = [
    "login_hint",
    "ui_locales",
    "display",
    "acr_values",
    "claims",
    "claims_locales",
    "request",
    "request_uri",
];

/// The parameters whose control characters are refused: those that are stored while the user signs
/// in. `claims` is JSON, in which line breaks mean nothing.
const PRINTABLE: [&str; 8] = [
    "state",
    "nonce",
    "scope",
    "resource",
    "code_challenge",
    "login_hint",
    "ui_locales",
    "acr_values",
];

/// The most bytes of the whole request, decoded (ST-15). It bounds what is stored while the user
/// signs in.
const MAX_REQUEST: usize = 8192;

/// The most bytes of the `state` of a pushed request (PU-2).
const MAX_PUSHED_STATE: usize = 2048;

/// The longest `id_token_hint`: the longest of our tokens.
pub(in crate::oauth) const MAX_HINT: usize = 8192;

/// Why an authorization request is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorizationRequestError {
    /// There is no verified address to send an error to: the user sees a page that names the
    /// parameter (RFC 6749 §4.1.2.1).
    #[error("the parameter {0} is wrong")]
    NoRedirect(&'static str),
    #[error("{1}")]
    Redirect(Box<ResponseTarget>, OauthError),
}

/// What a request is read against.
#[derive(Clone, Copy)]
pub(crate) struct RequestEnvironment<'a, 'h> {
    pub(crate) config: &'a Reloadable,
    pub(crate) hints: &'h dyn HintVerifier,
    pub(crate) now: Time,
    pub(crate) channel: Channel,
}

/// How a request reaches us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// By the browser, at the authorization endpoint.
    Browser,
    /// Pushed by the client itself (RFC 9126).
    Pushed,
}

/// Verifies ID tokens that we issued earlier.
pub(crate) trait HintVerifier: Sync {
    /// Our public URL.
    fn issuer(&self) -> &str;

    /// Returns the `sub` of an `id_token_hint`. The signature must be ours; the token may be
    /// expired and its key retired (PM-7).
    ///
    /// # Errors
    /// `invalid_request` if the token is not ours.
    fn subject_of_hint(&self, hint: &str) -> Result<String, OauthError>;
}

/// Parses a request. Client and redirect URI come first: until both are verified there is no
/// address to send an error to.
///
/// # Errors
/// [`AuthorizationRequestError`].
pub(crate) fn parse<'a>(
    params: &Params,
    environment: &RequestEnvironment<'a, '_>,
) -> Result<AuthorizationRequest<'a>, AuthorizationRequestError> {
    let client = find_client(params, environment.config)?;
    parse_of_client(client, params, environment)
}

/// Parses a request of a client that is known. The parameter `client_id` is not read.
///
/// # Errors
/// [`AuthorizationRequestError`].
pub(crate) fn parse_of_client<'a>(
    client: &'a Client,
    params: &Params,
    environment: &RequestEnvironment<'a, '_>,
) -> Result<AuthorizationRequest<'a>, AuthorizationRequestError> {
    let uri = read_redirect_uri(params, client)?;
    let target =
        read_target(params, client, uri).ok_or(AuthorizationRequestError::NoRedirect("state"))?;
    let checked = check_state(params, environment.channel)
        .and_then(|()| params.check_all(&KNOWN))
        .and_then(|()| params.check_not_repeated(&NOT_REPEATED))
        .and_then(|()| params.check_printable(&PRINTABLE));
    let read = checked
        .map_err(OauthError::from)
        .and_then(|()| read_params(params, client, &target, environment));
    match read {
        Ok(params) => Ok(AuthorizationRequest {
            client,
            target,
            params,
        }),
        Err(error) => Err(AuthorizationRequestError::Redirect(Box::new(target), error)),
    }
}

/// AZ-2, AZ-4: an unknown client and a missing, repeated or unregistered redirect URI give a page
/// and never a redirect.
pub(super) fn find_client<'a>(
    params: &Params,
    config: &'a Reloadable,
) -> Result<&'a Client, AuthorizationRequestError> {
    let id = params.required("client_id", 255).ok();
    id.and_then(|id| client::find(config, id))
        .ok_or(AuthorizationRequestError::NoRedirect("client_id"))
}

fn read_redirect_uri(
    params: &Params,
    client: &Client,
) -> Result<VerifiedRedirect, AuthorizationRequestError> {
    let uri = params.required("redirect_uri", 2048).ok();
    uri.and_then(|uri| VerifiedRedirect::check(client, uri))
        .ok_or(AuthorizationRequestError::NoRedirect("redirect_uri"))
}

/// RFC 6749 appendix A.5: `state` has no line breaks. A form would not return them as sent (AZ-8).
fn check_state(params: &Params, channel: Channel) -> Result<(), ParamError> {
    let max = match channel {
        Channel::Browser => MAX_STATE,
        Channel::Pushed => MAX_PUSHED_STATE,
    };
    let state = params.optional_within("state", max)?;
    if state.is_some_and(|state| state.contains(['\r', '\n'])) {
        return Err(ParamError::Character("state"));
    }
    Ok(())
}

const fn invalid(description: &'static str) -> OauthError {
    OauthError::new(ErrorCode::InvalidRequest, description)
}

fn read_params(
    params: &Params,
    client: &Client,
    target: &ResponseTarget,
    environment: &RequestEnvironment<'_, '_>,
) -> Result<AuthorizationParams, OauthError> {
    let RequestEnvironment {
        config,
        hints,
        now,
        channel,
    } = *environment;
    check_no_request_object(params, channel)?;
    check_channel(client, channel)?;
    if params.decoded_bytes() > MAX_REQUEST {
        return Err(invalid("The request is longer than 8 KiB."));
    }
    if !client.grant_types.contains(&GrantType::AuthorizationCode) {
        let description = "The client is not registered for authorization codes.";
        return Err(OauthError::new(ErrorCode::UnauthorizedClient, description));
    }
    check_response(params)?;
    let requested_scope = params.optional_within("scope", 1024)?.unwrap_or_default();
    let resources = resource::requested(params, config, client, hints.issuer())?;
    let scope = exchange_rules::requestable(config, client, resources.as_deref(), requested_scope);
    let claims = ClaimsRequest::parse(&read_hint(params, "claims", MAX_REQUEST));
    Ok(AuthorizationParams {
        client_id: client.client_id.clone(),
        redirect_uri: target.uri.as_str().to_owned(),
        state: target.state.clone(),
        nonce: params
            .optional_within("nonce", MAX_STATE)?
            .map(str::to_owned),
        claims: claims.granted(client, &scope),
        acr: check_acr(&claims, config)?,
        acr_values: read_hint(params, "acr_values", 512),
        scope,
        code_challenge: read_challenge(params, client)?,
        mode: target.mode,
        resources,
        hinted_sub: read_subject(params, hints, claims.sub)?,
        prompt: parse_prompt(params.optional_within("prompt", 64)?.unwrap_or_default())?,
        max_age: params
            .optional_within("max_age", 16)?
            .map(parse_max_age)
            .transpose()?,
        login_hint: read_hint(params, "login_hint", 254),
        ui_locales: read_hint(params, "ui_locales", 512),
        requested_at: now,
        stale_auth_time: None,
        push: None,
        dpop_jkt: read_thumbprint(params)?,
    })
}

/// OIDC Core §3.1.2.2: `id_token_hint` and `claims` may name one user at most.
fn read_subject(
    params: &Params,
    hints: &dyn HintVerifier,
    claimed: Option<String>,
) -> Result<Option<String>, OauthError> {
    let hint = params.optional_within("id_token_hint", MAX_HINT)?;
    let hinted = hint.map(|hint| hints.subject_of_hint(hint)).transpose()?;
    match (hinted, claimed) {
        (Some(hinted), Some(claimed)) if hinted != claimed => Err(invalid(
            "The parameters id_token_hint and claims name two different users.",
        )),
        (hinted, claimed) => Ok(hinted.or(claimed)),
    }
}

/// OIDC Core §5.5.1.1: an essential `acr` that no sign-in reaches fails at once, whether or not a
/// user is signed in (PM-8).
fn check_acr(claims: &ClaimsRequest, config: &Reloadable) -> Result<Vec<String>, OauthError> {
    let reachable = claims_request::acr_values(config);
    let is_reachable = |acr: &String| reachable.contains(&acr.as_str());
    if claims.acr.is_empty() || claims.acr.iter().any(is_reachable) {
        return Ok(claims.acr.clone());
    }
    Err(UNMET_ACR)
}

/// Reads a parameter that never fails the request (OIDC Core §15.1): one that is too long is
/// ignored.
fn read_hint(params: &Params, name: &'static str, max: usize) -> String {
    let value = params.optional_within(name, max).ok().flatten();
    value.unwrap_or_default().to_owned()
}

/// RFC 9126 §6: a client that must push its requests gets no other one answered (PU-7).
fn check_channel(client: &Client, channel: Channel) -> Result<(), OauthError> {
    if client.require_pushed_authorization_requests && channel == Channel::Browser {
        let description = "The client must push its requests to /oauth2/par (RFC 9126).";
        return Err(invalid(description).with_reason(Reason::RequestNotPushed));
    }
    Ok(())
}

/// OIDC Core §6: an error for request objects and request URIs is better than ignoring them
/// (AZ-12). A pushed request must not have a request URI (RFC 9126 §2.1).
fn check_no_request_object(params: &Params, channel: Channel) -> Result<(), OauthError> {
    // A parameter without a value counts as absent (RFC 6749 §3.1).
    let has_value = |name| !matches!(params.optional_within(name, usize::MAX), Ok(None));
    if has_value("request") {
        let description = "Request objects are not supported. Send the parameters themselves.";
        return Err(OauthError::new(ErrorCode::RequestNotSupported, description));
    }
    if has_value("request_uri") && channel == Channel::Pushed {
        return Err(invalid(
            "A pushed request must not have the parameter request_uri.",
        ));
    }
    if has_value("request_uri") {
        let description = "Request URIs are not supported. Send the parameters themselves.";
        return Err(OauthError::new(
            ErrorCode::RequestUriNotSupported,
            description,
        ));
    }
    Ok(())
}

/// RFC 6749 §3.1.1: the response type is `code` (CP-2, AZ-5). The response goes into the query or a
/// form.
fn check_response(params: &Params) -> Result<(), OauthError> {
    if params.required("response_type", 64)? != "code" {
        let description = "The response type must be code.";
        return Err(OauthError::new(
            ErrorCode::UnsupportedResponseType,
            description,
        ));
    }
    let mode = params.optional_within("response_mode", 64)?;
    if mode.is_some_and(|mode| ResponseMode::parse(mode).is_none()) {
        return Err(invalid(
            "The parameter response_mode must be query or form_post.",
        ));
    }
    Ok(())
}

/// RFC 7636 §4.3: the method is S256. `plain` is refused (AZ-18), and so is a request without a
/// challenge, except from a confidential client that need not use PKCE (CP-1).
fn read_challenge(params: &Params, client: &Client) -> Result<Option<String>, OauthError> {
    let challenge = params.optional_within("code_challenge", 128)?;
    let method = params.optional_within("code_challenge_method", 16)?;
    let Some(challenge) = challenge else {
        let is_optional =
            !client.require_pkce && client.token_endpoint_auth_method != ClientAuth::None;
        if is_optional && method.is_none() {
            return Ok(None);
        }
        return Err(invalid(
            "PKCE is required. Send code_challenge and code_challenge_method.",
        ));
    };
    if method != Some("S256") {
        return Err(invalid("The parameter code_challenge_method must be S256."));
    }
    if !is_challenge(challenge) {
        return Err(invalid(
            "The parameter code_challenge must be 43 characters of base64url.",
        ));
    }
    Ok(Some(challenge.to_owned()))
}

/// RFC 9449 §10: the thumbprint of the key to which the code is bound, a SHA-256 as a challenge is.
fn read_thumbprint(params: &Params) -> Result<Option<String>, OauthError> {
    let Some(thumbprint) = params.optional_within("dpop_jkt", 128)? else {
        return Ok(None);
    };
    if !is_challenge(thumbprint) {
        return Err(invalid(
            "The parameter dpop_jkt must be 43 characters of base64url.",
        ));
    }
    Ok(Some(thumbprint.to_owned()))
}

/// OIDC Core §3.1.2.1: `none` is the only value where it is used. Unknown values are ignored.
fn parse_prompt(text: &str) -> Result<Prompt, OauthError> {
    let values: Vec<&str> = text.split_ascii_whitespace().collect();
    let has = |value: &str| values.contains(&value);
    if has("none") && values.len() > 1 {
        return Err(invalid(
            "The parameter prompt has none together with another value.",
        ));
    }
    Ok(Prompt {
        none: has("none"),
        login: has("login"),
        consent: has("consent"),
        select_account: has("select_account"),
    })
}

fn parse_max_age(text: &str) -> Result<i64, OauthError> {
    let invalid_number = |_| invalid("The parameter max_age must be a number of seconds.");
    text.parse::<u32>().map(i64::from).map_err(invalid_number)
}

#[cfg(test)]
mod tests;
