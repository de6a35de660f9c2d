//! An authorization request whose client and redirect URI are verified. `parse` makes one.
//!
//! While the user signs in or decides, its parameters are stored; then they are compared with the
//! configuration again.

use serde::{Deserialize, Serialize};

use crate::{
    client::{self, VerifiedRedirect},
    clock::Time,
    config::{Client, Reloadable},
    oauth::{
        error::{ErrorCode, OauthError},
        exchange_rules,
    },
};

/// The error for a request whose `acr` no sign-in reaches.
pub(crate) const UNMET_ACR: OauthError = OauthError::new(
    ErrorCode::UnmetAuthenticationRequirements,
    "No sign-in reaches the authentication context class (acr) that the request demands.",
);

/// Where an authorization response goes, and what it repeats.
#[derive(Clone, Debug)]
pub(crate) struct ResponseTarget {
    pub(crate) uri: VerifiedRedirect,
    /// The client's `state`, byte for byte.
    pub(crate) state: Option<String>,
    pub(crate) mode: ResponseMode,
    pub(crate) client_id: String,
}

/// `response_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ResponseMode {
    #[default]
    Query,
    /// A form that posts itself (OAuth 2.0 Form Post Response Mode).
    FormPost,
}

impl ResponseMode {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "query" => Some(Self::Query),
            "form_post" => Some(Self::FormPost),
            _ => None,
        }
    }
}

/// The parameters of a request that may be granted, as they are stored while the user signs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthorizationParams {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) nonce: Option<String>,
    /// The requested scope as far as the client may have it.
    pub(crate) scope: String,
    /// None only for a confidential client that need not use PKCE.
    pub(crate) code_challenge: Option<String>,
    pub(crate) mode: ResponseMode,
    /// The requested resources, separated by spaces (RFC 8707 §2).
    #[serde(rename = "resource")]
    pub(crate) resources: Option<String>,
    /// The user that `id_token_hint`, or a `sub` in `claims`, names.
    pub(crate) hinted_sub: Option<String>,
    /// What `claims` names, as far as the client may have it.
    #[serde(default)]
    pub(crate) claims: String,
    /// An essential `acr`: the sign-in must be one of these. Empty if the request demands none.
    #[serde(default)]
    pub(crate) acr: Vec<String>,
    /// `acr_values`: the client prefers one of these and accepts any (OIDC Core §3.1.2.1).
    #[serde(default)]
    pub(crate) acr_values: String,
    pub(crate) prompt: Prompt,
    /// In seconds.
    pub(crate) max_age: Option<i64>,
    /// Only fills the address field in (AZ-11).
    pub(crate) login_hint: String,
    pub(crate) ui_locales: String,
    /// When the request was made: a fresh sign-in is one since then.
    #[serde(rename = "asked_at")]
    pub(crate) requested_at: Time,
    /// The `auth_time` that was not good enough: a fresh sign-in has another one, whatever the
    /// clocks of two machines say.
    #[serde(default, rename = "proven_before")]
    pub(crate) stale_auth_time: Option<Time>,
    /// The push that the request comes from, if it was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) push: Option<PushReference>,
    /// The thumbprint of the key to which the code is bound (RFC 9449 §10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dpop_jkt: Option<String>,
}

/// Names the push that a request comes from (RFC 9126). All copies of the request have it, and only
/// one of them is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PushReference {
    /// The hash of the secret in the request URI.
    pub(crate) handle: Vec<u8>,
    pub(crate) at: Time,
}

/// `prompt` (OIDC Core §3.1.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Prompt {
    pub(crate) none: bool,
    pub(crate) login: bool,
    pub(crate) consent: bool,
    /// The user chooses the account on the sign-in page.
    pub(crate) select_account: bool,
}

/// An authorization request whose response may be sent to the client.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationRequest<'a> {
    pub(crate) client: &'a Client,
    pub(crate) target: ResponseTarget,
    pub(crate) params: AuthorizationParams,
}

impl<'a> AuthorizationRequest<'a> {
    /// Restores a stored request if its client and redirect URI are still registered, with those of
    /// its scopes that the client may still have. None if the client has to push, or to use PKCE, since
    /// then and the request does neither.
    #[must_use]
    pub(crate) fn restore(mut params: AuthorizationParams, config: &'a Reloadable) -> Option<Self> {
        let client = client::find(config, &params.client_id)?;
        let lacks_push = client.require_pushed_authorization_requests && params.push.is_none();
        if lacks_push || client.require_pkce && params.code_challenge.is_none() {
            return None;
        }
        let resources = params.resources.as_deref();
        params.scope = exchange_rules::requestable(config, client, resources, &params.scope);
        let target = ResponseTarget {
            uri: VerifiedRedirect::check(client, &params.redirect_uri)?,
            state: params.state.clone(),
            mode: params.mode,
            client_id: client.client_id.clone(),
        };
        Some(Self {
            client,
            target,
            params,
        })
    }
}
