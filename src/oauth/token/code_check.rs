//! What a request that redeems a code must repeat from the authorization request.

use super::code_secret::CodeBinding;
use crate::{
    oauth::{
        client_auth::TokenRequest,
        error::{EndpointError, ErrorCode, OauthError},
        reason::Reason,
    },
    pkce,
    web::params::Params,
};

pub(super) const fn invalid_grant(reason: Reason) -> OauthError {
    let description = "The code is unknown, expired, already used, or was issued to another client or for another redirect_uri or code_challenge.";
    OauthError::new(ErrorCode::InvalidGrant, description).with_reason(reason)
}

/// RFC 6749 §4.1.3: client, redirect URI and verifier must be those of the authorization request. The
/// key of a proof is checked after them, by `TokenRequest::check_key_of_code`.
pub(super) fn check_binding(
    request: &TokenRequest<'_>,
    binding: &CodeBinding,
) -> Result<(), EndpointError> {
    if request.client.client_id != binding.client_id {
        return Err(invalid_grant(Reason::OtherClient).into());
    }
    check_redirect_uri(request.params, &binding.redirect_uri)?;
    check_pkce(request.params, binding.code_challenge.as_deref())
}

fn check_redirect_uri(params: &Params, redirect_uri: &str) -> Result<(), EndpointError> {
    if params.optional_within("redirect_uri", 2048)? == Some(redirect_uri) {
        return Ok(());
    }
    Err(invalid_grant(Reason::RedirectUri).into())
}

/// RFC 7636 §4.6.
fn check_pkce(params: &Params, challenge: Option<&str>) -> Result<(), EndpointError> {
    let is_right = match (challenge, params.optional_within("code_verifier", 256)?) {
        (Some(challenge), Some(verifier)) => pkce::verify(challenge, verifier),
        (None, None) => true,
        // RFC 9700 §4.8.2: a verifier for a code without a challenge shows that an attacker has
        // removed the challenge from the request (TK-7).
        (None, Some(_)) | (Some(_), None) => false,
    };
    if is_right {
        return Ok(());
    }
    Err(invalid_grant(Reason::CodeVerifier).into())
}
