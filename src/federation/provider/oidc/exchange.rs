//! The exchange of a code for tokens (OpenID Connect Core §3.1.3; RFC 6749 §4.1.3, §5). A code is
//! sent once, and nothing of the response is printed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use poem::http::header;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    json::{self, Object, string_member},
    upstream::Upstream,
};
use crate::{
    config::{Provider, providers::ProviderAuth},
    federation::{
        error::{RefusalCode, upstream_words},
        provider::error::{IdTokenError, ProviderError, TokenError},
    },
    web::fetch::{FetchRequest, FetchResponse},
};

/// The tokens that came for a code. It has no `Debug`, because it contains secrets.
pub(crate) struct TokenResponse {
    /// For userinfo; dropped after use (CB-09).
    pub(crate) access_token: Zeroizing<String>,
    pub(crate) id_token: Option<Zeroizing<String>>,
    /// The granted scopes, if the response states them.
    pub(crate) scope: Option<String>,
}

/// What is sent to a token endpoint, which is the recorded one and not that of a newer document.
pub(crate) struct CodeExchange<'a> {
    pub(crate) token_endpoint: &'a str,
    pub(crate) redirect_uri: &'a str,
    /// The PKCE verifier; `None` if PKCE is off.
    pub(crate) verifier: Option<&'a str>,
    pub(crate) code: &'a str,
    pub(crate) auth: ProviderAuth,
    /// The secret or the assertion.
    pub(crate) credential: &'a str,
}

/// RFC 7523 §2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl CodeExchange<'_> {
    pub(crate) async fn send(&self, upstream: &Upstream) -> Result<TokenResponse, ProviderError> {
        parse(
            &upstream
                .call("token", self.request(&upstream.settings))
                .await?,
        )
    }

    fn request(&self, settings: &Provider) -> FetchRequest {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", self.code),
            ("redirect_uri", self.redirect_uri),
        ];
        if let Some(verifier) = self.verifier {
            form.push(("code_verifier", verifier));
        }
        let client_id = settings.client_id.as_str();
        match self.auth {
            ProviderAuth::Basic => {}
            ProviderAuth::Post => {
                form.extend([("client_id", client_id), ("client_secret", self.credential)])
            }
            ProviderAuth::PrivateKeyJwt => form.extend([
                ("client_id", client_id),
                ("client_assertion_type", ASSERTION_TYPE),
                ("client_assertion", self.credential),
            ]),
        }
        let request = FetchRequest::post_form(self.token_endpoint, &form)
            .header(header::ACCEPT, "application/json");
        match self.auth {
            ProviderAuth::Basic => {
                request.secret_header(header::AUTHORIZATION, &basic(client_id, self.credential))
            }
            ProviderAuth::Post | ProviderAuth::PrivateKeyJwt => request,
        }
    }
}

/// RFC 6749 §2.3.1: identifier and secret are form-encoded before they are joined.
fn basic(id: &str, secret: &str) -> Zeroizing<String> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Zeroizing::new(format!("{}:{}", encoded(id), encoded(secret)));
    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

/// RFC 6749 §5.1 and §5.2. Some providers send an error with 200, such as GitHub.
fn parse(response: &FetchResponse) -> Result<TokenResponse, ProviderError> {
    if response.status >= 500 {
        return Err(TokenError::Status(response.status).into());
    }
    let body = json::object(&response.body);
    if let Some(error) = body.as_ref().and_then(|body| string_member(body, "error")) {
        return Err(provider_error(error).into());
    }
    if response.status != 200 {
        return Err(TokenError::Status(response.status).into());
    }
    let body = body.ok_or(TokenError::NotAnObject)?;
    if body.contains_key("error") {
        return Err(TokenError::ErrorNotAString.into());
    }
    check_bearer(&body)?;
    let access_token = string_member(&body, "access_token").filter(|token| !token.is_empty());
    let id_token = match body.get("id_token") {
        None | Some(Value::Null) => None,
        Some(Value::String(token)) => Some(token.clone().into()),
        Some(_) => return Err(IdTokenError::Malformed("is not a string").into()),
    };
    Ok(TokenResponse {
        access_token: access_token
            .ok_or(TokenError::NoAccessToken)?
            .to_owned()
            .into(),
        id_token,
        scope: string_member(&body, "scope").map(str::to_owned),
    })
}

/// RFC 6749 §7.1: a token of a type that the client does not know must not be used. The type's case
/// does not count (§5.1).
fn check_bearer(body: &Object) -> Result<(), TokenError> {
    let token_type = string_member(body, "token_type");
    if token_type.is_some_and(|token_type| token_type.eq_ignore_ascii_case("bearer")) {
        Ok(())
    } else {
        Err(TokenError::NotBearer)
    }
}

/// RFC 6749 §5.2: starting again helps only if the code is used up or too old (UE-04). A client
/// that the provider does not know needs an operator: most often its secret has expired (UE-01).
/// The longer names are GitHub's.
fn provider_error(error: &str) -> TokenError {
    let reason = match error {
        "invalid_grant" | "bad_verification_code" => RefusalCode::TokenGrant,
        "invalid_client"
        | "unauthorized_client"
        | "incorrect_client_credentials"
        | "redirect_uri_mismatch" => RefusalCode::TokenClient,
        "server_error" | "temporarily_unavailable" => RefusalCode::TokenDown,
        _ => RefusalCode::TokenHttp,
    };
    TokenError::Provider {
        reason,
        error: upstream_words(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poem::http::HeaderMap;

    use super::*;

    fn parse(status: u16, body: &str) -> Result<TokenResponse, ProviderError> {
        let body = body.as_bytes().to_vec();
        super::parse(&FetchResponse {
            status,
            headers: HeaderMap::new(),
            body,
        })
    }

    fn assert_code(status: u16, body: &str, expected: RefusalCode) {
        let code = parse(status, body).err().map(|error| error.code());
        assert_eq!(code, Some(expected), "{status} {body}");
    }

    #[test]
    fn ue_04_up_token_http_each_error_has_its_code() {
        for (error, expected) in [
            ("invalid_grant", RefusalCode::TokenGrant),
            ("bad_verification_code", RefusalCode::TokenGrant),
            ("invalid_client", RefusalCode::TokenClient),
            ("unauthorized_client", RefusalCode::TokenClient),
            ("incorrect_client_credentials", RefusalCode::TokenClient),
            ("redirect_uri_mismatch", RefusalCode::TokenClient),
            ("invalid_request", RefusalCode::TokenHttp),
            ("access_denied", RefusalCode::TokenHttp),
            ("temporarily_unavailable", RefusalCode::TokenDown),
        ] {
            let body = format!(
                "{{\"error\":\"{error}\",\"access_token\":\"a\",\"token_type\":\"bearer\"}}"
            );
            for status in [200, 400, 401] {
                assert_code(status, &body, expected);
            }
            assert_code(500, &body, RefusalCode::TokenDown);
        }
    }

    #[test]
    fn ue_04_up_token_http_each_malformed_response_has_its_code() {
        let bearer = r#"{"access_token":"a","token_type":"bearer"}"#;
        assert_code(401, "", RefusalCode::TokenHttp);
        assert_code(503, "", RefusalCode::TokenDown);
        assert_code(201, bearer, RefusalCode::TokenHttp);
        for body in [
            "<html>",
            "access_token=a&token_type=bearer",
            r#"{"error":{"message":"x"},"access_token":"a","token_type":"bearer"}"#,
            r#"{"token_type":"bearer"}"#,
            r#"{"access_token":"a","access_token":"b","token_type":"bearer"}"#,
        ] {
            assert_code(200, body, RefusalCode::TokenHttp);
        }
        assert_code(
            200,
            r#"{"access_token":"a","token_type":"mac"}"#,
            RefusalCode::TokenType,
        );
        assert_code(200, r#"{"access_token":"a"}"#, RefusalCode::TokenType);
        let number = r#"{"access_token":"a","token_type":"bearer","id_token":7}"#;
        assert_code(200, number, RefusalCode::IdTokenMalformed);
    }

    #[test]
    fn cb_09_a_bearer_token_is_accepted_in_any_case() {
        let body = r#"{"access_token":"a","token_type":"bEaReR","id_token":"i","scope":"s"}"#;
        let tokens = parse(200, body).ok().unwrap();
        assert_eq!(tokens.access_token.as_str(), "a");
        assert_eq!(tokens.id_token.unwrap().as_str(), "i");
        assert_eq!(tokens.scope.as_deref(), Some("s"));
    }

    #[test]
    fn cb_09_identifier_and_secret_are_form_encoded() {
        let header = basic("a:b", "p s/+é");
        assert_eq!(
            STANDARD.decode(&header[6..]).unwrap(),
            b"a%3Ab:p+s%2F%2B%C3%A9"
        );
    }

    #[test]
    fn ht_08_an_error_contains_nothing_of_a_body() {
        for body in [
            r#"{"access_token":"hunter2"}"#,
            r#"{"access_token":"hunter2","token_type":"mac"}"#,
            "hunter2",
        ] {
            let error = parse(200, body).err().unwrap();
            assert!(
                !format!("{error:?} {error}").contains("hunter2"),
                "{error:?}"
            );
        }
    }
}
