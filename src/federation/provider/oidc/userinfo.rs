//! Userinfo (OpenID Connect Core §5.3): read from the recorded endpoint, and accepted only for the
//! subject of the ID token.

use poem::http::header;
use serde_json::Value;

use super::{
    id_token::has_boolean_email_verified,
    json::{self, Object, string},
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
    subject: &str,
) -> Result<Object, ProviderError> {
    let request = FetchRequest::get(endpoint)
        .header(header::ACCEPT, "application/json")
        .secret_header(header::AUTHORIZATION, &format!("Bearer {access_token}"));
    let claims = parse(&upstream.call("userinfo", request).await?, subject)?;
    if !has_boolean_email_verified(&claims, &upstream.settings) {
        return Err(UserError::Claim {
            claim: "email_verified",
        }
        .into());
    }
    Ok(claims)
}

fn parse(response: &FetchResponse, subject: &str) -> Result<Object, ProviderError> {
    if response.status != 200 {
        return Err(ProviderError::Status {
            call: "userinfo",
            status: response.status,
        });
    }
    // A signed response (`application/jwt`) was not requested.
    let claims = json::object(&response.body).ok_or(UserError::Malformed {
        endpoint: "userinfo",
    })?;
    // Core §5.3.2: `sub` must be there and be the ID token's.
    if string(&claims, "sub") != Some(subject) {
        return Err(UserError::Subject.into());
    }
    for claim in ["email", "name", "locale"] {
        if !matches!(
            claims.get(claim),
            None | Some(Value::String(_) | Value::Null)
        ) {
            return Err(UserError::Claim { claim }.into());
        }
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderMap;

    use super::*;

    fn parse(status: u16, body: &str) -> Result<Object, ProviderError> {
        let body = body.as_bytes().to_vec();
        super::parse(
            &FetchResponse {
                status,
                headers: HeaderMap::new(),
                body,
            },
            "s",
        )
    }

    #[test]
    fn it_11_up_userinfo_sub_only_the_same_subject_is_accepted() {
        assert!(parse(200, r#"{"sub":"s","email":null}"#).is_ok());
        for other in [
            r#"{"sub":"other"}"#,
            r#"{"email":"a@example.com"}"#,
            r#"{"sub":7}"#,
        ] {
            assert_eq!(parse(200, other), Err(UserError::Subject.into()), "{other}");
        }
    }

    #[test]
    fn it_11_up_claims_malformed_userinfo_is_a_json_object_of_strings() {
        let malformed = UserError::Malformed {
            endpoint: "userinfo",
        };
        assert_eq!(
            parse(200, r#"{"sub":"s","sub":"s"}"#),
            Err(malformed.into())
        );
        assert_eq!(
            parse(200, "eyJhbGciOiJub25lIn0.e30."),
            Err(malformed.into())
        );
        let list = r#"{"sub":"s","email":["a@example.com"]}"#;
        assert_eq!(
            parse(200, list),
            Err(UserError::Claim { claim: "email" }.into())
        );
        let status = ProviderError::Status {
            call: "userinfo",
            status: 403,
        };
        assert_eq!(parse(403, r#"{"sub":"s"}"#), Err(status));
    }
}
