//! A code for tokens (OpenID Connect Core §3.1.3; RFC 6749 §4.1.3, §5). Sent once, and nothing of the answer is printed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use poem::http::header;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    json::{self, Object, text},
    upstream::Upstream,
};
use crate::{
    config::providers::Auth,
    federation::{
        error::{FederationError, RefusalCode, upstream_words},
        provider::RequestRecord,
    },
    web::fetch::{FetchRequest, FetchResponse},
};

/// What came for a code. No `Debug`.
pub(crate) struct Tokens {
    /// Good for userinfo; dropped after use (CB-09).
    pub(crate) access_token: Zeroizing<String>,
    /// None: there was none.
    pub(crate) id_token: Option<Zeroizing<String>>,
    /// What was granted, if it says.
    pub(crate) scope: Option<String>,
}

/// Exchanges a code at the recorded token endpoint.
///
/// # Errors
/// The transport's; [`RefusalCode::TokenGrant`], [`RefusalCode::TokenHttp`], [`RefusalCode::TokenClient`], [`RefusalCode::TokenDown`],
/// [`RefusalCode::TokenType`], [`RefusalCode::IdTokenMalformed`].
pub(crate) async fn exchange(
    upstream: &Upstream,
    record: &RequestRecord,
    code: &str,
    secret: &str,
) -> Result<Tokens, FederationError> {
    let settings = &upstream.settings;
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &record.redirect_uri),
    ];
    if let Some(verifier) = &record.verifier {
        form.push(("code_verifier", verifier));
    }
    if settings.auth() == Auth::Post {
        form.extend([
            ("client_id", settings.client_id.as_str()),
            ("client_secret", secret),
        ]);
    }
    let mut call = FetchRequest::post_form(&record.token_endpoint, &form)
        .header(header::ACCEPT, "application/json");
    if settings.auth() == Auth::Basic {
        call = call.secret_header(header::AUTHORIZATION, &basic(&settings.client_id, secret));
    }
    read(&upstream.call("token", call).await?)
}

/// RFC 6749 §2.3.1: identifier and secret are form-encoded before they are joined.
fn basic(id: &str, secret: &str) -> Zeroizing<String> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Zeroizing::new(format!("{}:{}", encoded(id), encoded(secret)));
    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

/// RFC 6749 §5.1 and §5.2. Some answer an error with 200 (GitHub does).
fn read(reply: &FetchResponse) -> Result<Tokens, FederationError> {
    if reply.status >= 500 {
        return Err(FederationError::new(
            RefusalCode::TokenDown,
            format!("the token endpoint answered {}", reply.status),
        ));
    }
    let answer = json::object(&reply.body);
    if let Some(error) = answer.as_ref().and_then(|answer| text(answer, "error")) {
        return Err(refusal(error));
    }
    if reply.status != 200 {
        return Err(FederationError::new(
            RefusalCode::TokenHttp,
            format!("the token endpoint answered {}", reply.status),
        ));
    }
    let answer = answer.ok_or_else(|| {
        FederationError::new(
            RefusalCode::TokenHttp,
            "the token endpoint's answer is not a JSON object",
        )
    })?;
    if answer.contains_key("error") {
        return Err(FederationError::new(
            RefusalCode::TokenHttp,
            "the token endpoint's answer has an error that is no text",
        ));
    }
    is_bearer(&answer)?;
    let access_token = text(&answer, "access_token").filter(|token| !token.is_empty());
    let access_token = access_token
        .ok_or_else(|| FederationError::new(RefusalCode::TokenHttp, "there is no access token"))?;
    let id_token = match answer.get("id_token") {
        None | Some(Value::Null) => None,
        Some(Value::String(token)) => Some(token.clone().into()),
        Some(_) => {
            return Err(FederationError::new(
                RefusalCode::IdTokenMalformed,
                "it is no text",
            ));
        }
    };
    let scope = text(&answer, "scope").map(str::to_owned);
    Ok(Tokens {
        access_token: access_token.to_owned().into(),
        id_token,
        scope,
    })
}

/// RFC 6749 §7.1: a token of a type that we do not know must not be used. The name's case does not count.
fn is_bearer(answer: &Object) -> Result<(), FederationError> {
    let bearer = text(answer, "token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
    if bearer {
        Ok(())
    } else {
        Err(FederationError::new(
            RefusalCode::TokenType,
            "it is not `Bearer`",
        ))
    }
}

/// RFC 6749 §5.2: only a code that is used up or too old is mended by starting again (UE-04); a client that is not known
/// there, by ops alone: most often its secret has expired (UE-01). The longer names are GitHub's.
fn refusal(error: &str) -> FederationError {
    let code = match error {
        "invalid_grant" | "bad_verification_code" => RefusalCode::TokenGrant,
        "invalid_client"
        | "unauthorized_client"
        | "incorrect_client_credentials"
        | "redirect_uri_mismatch" => RefusalCode::TokenClient,
        "server_error" | "temporarily_unavailable" => RefusalCode::TokenDown,
        _ => RefusalCode::TokenHttp,
    };
    FederationError::new(
        code,
        format!("the token endpoint said `{}`", upstream_words(error)),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poem::http::HeaderMap;

    use super::*;

    fn read(status: u16, body: &str) -> Result<Tokens, RefusalCode> {
        let reply = FetchResponse {
            status,
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        };
        super::read(&reply).map_err(|refused| refused.code)
    }

    #[test]
    fn ue_04_up_token_http_each_answer_has_its_code() {
        for (status, body, code) in [
            (400, r#"{"error":"invalid_grant"}"#, RefusalCode::TokenGrant),
            (
                200,
                r#"{"error":"bad_verification_code"}"#,
                RefusalCode::TokenGrant,
            ),
            (
                401,
                r#"{"error":"invalid_client"}"#,
                RefusalCode::TokenClient,
            ),
            (
                400,
                r#"{"error":"unauthorized_client"}"#,
                RefusalCode::TokenClient,
            ),
            (
                200,
                r#"{"error":"incorrect_client_credentials"}"#,
                RefusalCode::TokenClient,
            ),
            (
                200,
                r#"{"error":"redirect_uri_mismatch"}"#,
                RefusalCode::TokenClient,
            ),
            (
                400,
                r#"{"error":"invalid_request"}"#,
                RefusalCode::TokenHttp,
            ),
            (401, "", RefusalCode::TokenHttp),
            (500, r#"{"error":"invalid_grant"}"#, RefusalCode::TokenDown),
            (503, "", RefusalCode::TokenDown),
            (
                400,
                r#"{"error":"temporarily_unavailable"}"#,
                RefusalCode::TokenDown,
            ),
            (200, "<html>", RefusalCode::TokenHttp),
            (
                200,
                "access_token=a&token_type=bearer",
                RefusalCode::TokenHttp,
            ),
            (
                200,
                r#"{"error":"access_denied","access_token":"a","token_type":"bearer"}"#,
                RefusalCode::TokenHttp,
            ),
            (
                200,
                r#"{"error":{"message":"x"},"access_token":"a","token_type":"bearer"}"#,
                RefusalCode::TokenHttp,
            ),
            (200, r#"{"token_type":"bearer"}"#, RefusalCode::TokenHttp),
            (
                200,
                r#"{"access_token":"a","access_token":"b","token_type":"bearer"}"#,
                RefusalCode::TokenHttp,
            ),
            (
                201,
                r#"{"access_token":"a","token_type":"bearer"}"#,
                RefusalCode::TokenHttp,
            ),
            (
                200,
                r#"{"access_token":"a","token_type":"mac"}"#,
                RefusalCode::TokenType,
            ),
            (200, r#"{"access_token":"a"}"#, RefusalCode::TokenType),
            (
                200,
                r#"{"access_token":"a","token_type":"bearer","id_token":7}"#,
                RefusalCode::IdTokenMalformed,
            ),
        ] {
            assert_eq!(read(status, body).err(), Some(code), "{status} {body}");
        }
        let tokens = read(
            200,
            r#"{"access_token":"a","token_type":"bEaReR","id_token":"i","scope":"s"}"#,
        )
        .ok()
        .unwrap();
        assert_eq!(
            (
                tokens.access_token.as_str(),
                tokens.id_token.unwrap().as_str()
            ),
            ("a", "i")
        );
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
    fn ht_08_nothing_of_a_body_is_in_a_refusal() {
        let bodies = [
            r#"{"access_token":"hunter2"}"#,
            r#"{"access_token":"hunter2","token_type":"mac"}"#,
            "hunter2",
        ];
        for body in bodies {
            let reply = FetchResponse {
                status: 200,
                headers: HeaderMap::new(),
                body: body.as_bytes().to_vec(),
            };
            let refused = super::read(&reply).err().unwrap();
            assert!(!format!("{refused:?}").contains("hunter2"), "{refused:?}");
        }
    }
}
