//! Userinfo (OpenID Connect Core §5.3): asked at the recorded endpoint, and believed only of the person that the ID token
//! names.

use poem::http::header;
use serde_json::Value;

use super::{
    id_token::has_plain_booleans,
    json::{self, Object, text},
    upstream::Upstream,
};
use crate::{
    config::providers::Userinfo,
    federation::error::{FederationError, RefusalCode},
    web::fetch::{FetchRequest, FetchResponse},
};

/// Whether it is asked, given what the ID token says.
pub(crate) fn is_wanted(upstream: &Upstream, claims: &Object) -> bool {
    match upstream.settings.userinfo() {
        Userinfo::Never => false,
        Userinfo::IfMissing => !claims.contains_key("email"),
        Userinfo::Always => true,
    }
}

/// What it says of `subject`.
///
/// # Errors
/// The transport's; [`RefusalCode::UserinfoSub`], [`RefusalCode::ClaimsMalformed`], [`RefusalCode::ProviderDown`].
pub(crate) async fn ask(
    upstream: &Upstream,
    endpoint: &str,
    access_token: &str,
    subject: &str,
) -> Result<Object, FederationError> {
    let call = FetchRequest::get(endpoint)
        .header(header::ACCEPT, "application/json")
        .secret_header(header::AUTHORIZATION, &format!("Bearer {access_token}"));
    let claims = read(&upstream.call("userinfo", call).await?, subject)?;
    has_plain_booleans(&claims, &upstream.settings)?;
    Ok(claims)
}

/// Core §5.3.2: `sub` must be there and be the ID token's.
fn read(reply: &FetchResponse, subject: &str) -> Result<Object, FederationError> {
    if reply.status != 200 {
        return Err(FederationError::new(
            RefusalCode::ProviderDown,
            format!("userinfo answered {}", reply.status),
        ));
    }
    // A signed answer (`application/jwt`) is none that we asked for.
    let malformed = |words: String| FederationError::new(RefusalCode::ClaimsMalformed, words);
    let claims = json::object(&reply.body)
        .ok_or_else(|| malformed("userinfo is not a JSON object".to_owned()))?;
    if text(&claims, "sub") != Some(subject) {
        return Err(FederationError::new(
            RefusalCode::UserinfoSub,
            "it is missing, or another person's",
        ));
    }
    for claim in ["email", "name", "locale"] {
        if claims
            .get(claim)
            .is_some_and(|value| !matches!(value, Value::String(_) | Value::Null))
        {
            return Err(malformed(format!("{claim} in userinfo is no text")));
        }
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderMap;

    use super::*;

    #[test]
    fn it_11_up_userinfo_sub_only_the_same_person_is_believed() {
        for (status, body, code) in [
            (200, r#"{"sub":"other"}"#, RefusalCode::UserinfoSub),
            (
                200,
                r#"{"email":"a@example.com"}"#,
                RefusalCode::UserinfoSub,
            ),
            (200, r#"{"sub":7}"#, RefusalCode::UserinfoSub),
            (
                200,
                r#"{"sub":"s","sub":"s"}"#,
                RefusalCode::ClaimsMalformed,
            ),
            (
                200,
                r#"{"sub":"s","email":["a@example.com"]}"#,
                RefusalCode::ClaimsMalformed,
            ),
            (
                200,
                "eyJhbGciOiJub25lIn0.e30.",
                RefusalCode::ClaimsMalformed,
            ),
            (403, r#"{"sub":"s"}"#, RefusalCode::ProviderDown),
        ] {
            let reply = FetchResponse {
                status,
                headers: HeaderMap::new(),
                body: body.as_bytes().to_vec(),
            };
            assert_eq!(
                read(&reply, "s").err().map(|refused| refused.code),
                Some(code),
                "{body}"
            );
        }
        let reply = FetchResponse {
            status: 200,
            headers: HeaderMap::new(),
            body: br#"{"sub":"s","email":null}"#.to_vec(),
        };
        assert!(read(&reply, "s").is_ok());
    }
}
