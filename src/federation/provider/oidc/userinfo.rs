//! Userinfo (OpenID Connect Core §5.3): read from the recorded endpoint, as JSON or signed, and
//! accepted only for the subject of the ID token.

use poem::http::header;
use serde_json::Value;

use super::{
    id_token::{VerifiedToken, has_boolean_email_verified, verify_userinfo},
    json::{self, Object, string_member},
    upstream::Upstream,
};
use crate::{
    config::providers::UserinfoUse,
    federation::provider::error::{ProviderError, UserError},
    web::fetch::{FetchRequest, FetchResponse},
};

/// Whether userinfo is read, given the claims of the ID token.
pub(crate) fn is_wanted(upstream: &Upstream, claims: &Object) -> bool {
    match upstream.settings.userinfo() {
        UserinfoUse::Never => false,
        UserinfoUse::IfMissing => !claims.contains_key("email"),
        UserinfoUse::Always => true,
    }
}

pub(crate) async fn fetch(
    upstream: &Upstream,
    endpoint: &str,
    access_token: &str,
    id_token: &VerifiedToken,
) -> Result<Object, ProviderError> {
    let request = FetchRequest::get(endpoint)
        .header(header::ACCEPT, "application/json, application/jwt")
        .secret_header(header::AUTHORIZATION, &format!("Bearer {access_token}"));
    let response = upstream.call("userinfo", request).await?;
    if response.status != 200 {
        let status = response.status;
        return Err(ProviderError::of_user_status("userinfo", status));
    }
    let claims = match signed(&response) {
        Some(token) => verify_userinfo(upstream, token, &id_token.issuer).await?,
        None => json::object(&response.body).ok_or(UserError::Malformed {
            endpoint: "userinfo",
        })?,
    };
    check_claims(&claims, &id_token.subject)?;
    if !has_boolean_email_verified(&claims, &upstream.settings) {
        return Err(UserError::Claim {
            claim: "email_verified",
        }
        .into());
    }
    Ok(claims)
}

/// Returns the token of a response that is signed, by its media type (Core §5.3.2).
fn signed(response: &FetchResponse) -> Option<&str> {
    let media_type = response.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/jwt") {
        return None;
    }
    // What is not text is no token, and the empty text is refused as one.
    Some(std::str::from_utf8(&response.body).unwrap_or_default())
}

fn check_claims(claims: &Object, subject: &str) -> Result<(), UserError> {
    // Core §5.3.2: `sub` must be there and be the ID token's.
    if string_member(claims, "sub") != Some(subject) {
        return Err(UserError::Subject);
    }
    for claim in ["email", "name", "locale"] {
        if !matches!(
            claims.get(claim),
            None | Some(Value::String(_) | Value::Null)
        ) {
            return Err(UserError::Claim { claim });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(claims: &str) -> Option<Result<(), UserError>> {
        json::object(claims.as_bytes()).map(|claims| check_claims(&claims, "s"))
    }

    #[test]
    fn it_11_up_userinfo_sub_only_the_same_subject_is_accepted() {
        assert_eq!(check(r#"{"sub":"s","email":null}"#), Some(Ok(())));
        for other in [
            r#"{"sub":"other"}"#,
            r#"{"email":"a@example.com"}"#,
            r#"{"sub":7}"#,
        ] {
            assert_eq!(check(other), Some(Err(UserError::Subject)), "{other}");
        }
    }

    #[test]
    fn it_11_up_claims_malformed_userinfo_is_a_json_object_of_strings() {
        assert_eq!(check(r#"{"sub":"s","sub":"s"}"#), None);
        let list = r#"{"sub":"s","email":["a@example.com"]}"#;
        let error = UserError::Claim { claim: "email" };
        assert_eq!(check(list), Some(Err(error)));
    }
}
