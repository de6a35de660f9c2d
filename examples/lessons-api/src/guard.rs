//! The door of a route: the token of a request, and what to answer one that is not let in.
//!
//! | lack | answer | what helps |
//! |---|---|---|
//! | no token | 401, `Bearer` without an error (RFC 6750 §3.1) | signing in |
//! | a bad one | 401, `invalid_token` | refreshing, signing in |
//! | a scope | 403, `insufficient_scope` | asking for a token with it |
//! | a role | 403 without a challenge, `missing_role` in the body | nothing the client can do |
//! | a recent sign-in | 401, `insufficient_user_authentication` with `max_age` (RFC 9470 §3) | an authorization request with that `max_age` |
//!
//! Every challenge says where this API describes itself (RFC 9728 §5.1), and the scope that the route demands.

use lessons_api::{
    demand::{Demand, Denied},
    keys::NoKey,
    resource::ProtectedResource,
    verify::{Caller, Refused, Verifier},
};
use poem::{
    Request, Response,
    http::{StatusCode, header},
};
use serde_json::json;

/// Who calls, if the token is good and the demand is met.
///
/// # Errors
/// Returns the refusal to send to any other caller.
pub(crate) async fn admit(
    request: &Request,
    verifier: &Verifier,
    resource: &ProtectedResource,
    demand: &Demand,
) -> Result<Caller, Response> {
    let challenge = Challenge {
        resource,
        scope: demand.scope,
    };
    let token = bearer(request).map_err(|(status, words)| challenge.answer(status, words))?;
    let now = lessons_api::now();
    let verified = verifier.verify(token, now).await;
    let caller = verified.map_err(|why| refused(why, challenge))?;
    let checked = demand.check(&caller, now);
    checked.map_err(|why| denied(why, challenge))?;
    Ok(caller)
}

/// What each challenge of a route says, whatever is wrong.
#[derive(Clone, Copy)]
struct Challenge<'a> {
    resource: &'a ProtectedResource,
    /// The scope that the route demands.
    scope: Option<&'static str>,
}

impl Challenge<'_> {
    /// The answer with a challenge. `error` is what is wrong, as the parameters of RFC 6750 §3; empty if nothing is.
    fn answer(self, status: StatusCode, error: &str) -> Response {
        let scope = self.scope.map(|scope| format!(r#"scope="{scope}""#));
        let metadata = format!(r#"resource_metadata="{}""#, self.resource.url());
        let error = (!error.is_empty()).then(|| error.to_owned());
        let parameters: Vec<String> = [error, scope, Some(metadata)]
            .into_iter()
            .flatten()
            .collect();
        Response::builder()
            .status(status)
            .header(
                header::WWW_AUTHENTICATE,
                format!("Bearer {}", parameters.join(", ")),
            )
            .finish()
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750 §2.1), or what to answer a request without one.
fn bearer(request: &Request) -> Result<&str, (StatusCode, &'static str)> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION).iter();
    // RFC 6750 §3.1: who shows nothing learns only that something is asked for.
    let Some(value) = headers.next() else {
        return Err((StatusCode::UNAUTHORIZED, ""));
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .and_then(|(scheme, token)| {
            let token = token.trim();
            (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
        });
    match (token, headers.next()) {
        (Some(token), None) => Ok(token),
        _ => Err((StatusCode::BAD_REQUEST, r#"error="invalid_request""#)),
    }
}

fn refused(why: Refused, challenge: Challenge<'_>) -> Response {
    if why == Refused::Key(NoKey::Unavailable) {
        return Response::builder()
            .status(StatusCode::SERVICE_UNAVAILABLE)
            .header(header::RETRY_AFTER, "5")
            .finish();
    }
    tracing::info!(%why, "token refused");
    let error = format!(r#"error="invalid_token", error_description="{why}""#);
    challenge.answer(StatusCode::UNAUTHORIZED, &error)
}

fn denied(why: Denied, challenge: Challenge<'_>) -> Response {
    tracing::info!(%why, "not let in");
    match why {
        Denied::Scope(_) => {
            let error = format!(r#"error="insufficient_scope", error_description="{why}""#);
            challenge.answer(StatusCode::FORBIDDEN, &error)
        }
        Denied::Stale { max_age } => {
            let error = "insufficient_user_authentication";
            let words =
                format!(r#"error="{error}", error_description="{why}", max_age="{max_age}""#);
            challenge.answer(StatusCode::UNAUTHORIZED, &words)
        }
        // A challenge would have the client ask for a token that it cannot get.
        Denied::Role(role) => {
            let body = json!({"title": why.to_string(), "status": 403, "code": "missing_role", "role": role});
            Response::builder()
                .status(StatusCode::FORBIDDEN)
                .content_type("application/problem+json")
                .body(body.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn asks(answer: &Response) -> (u16, Option<&str>) {
        (
            answer.status().as_u16(),
            answer.header(header::WWW_AUTHENTICATE),
        )
    }

    fn resource() -> ProtectedResource {
        let issuer = "https://login.example";
        ProtectedResource::new("https://api.example/v1", issuer, vec![]).unwrap()
    }

    fn denied_by(why: Denied, scope: Option<&'static str>) -> Response {
        let resource = resource();
        let challenge = Challenge {
            resource: &resource,
            scope,
        };
        denied(why, challenge)
    }

    #[test]
    fn rfc_9470_3_an_old_sign_in_is_challenged_with_the_age_that_would_do() {
        let words = r#"Bearer error="insufficient_user_authentication", error_description="a more recent sign-in is required", max_age="300", resource_metadata="https://api.example/.well-known/oauth-protected-resource/v1""#;
        assert_eq!(
            asks(&denied_by(Denied::Stale { max_age: 300 }, None)),
            (401, Some(words))
        );
    }

    /// RS-7: the challenge leads to the document, and names the scope.
    #[tokio::test]
    async fn rfc_6750_3_1_a_missing_scope_and_a_missing_role_are_told_apart() {
        let words = r#"Bearer error="insufficient_scope", error_description="the token lacks the scope openid", scope="openid", resource_metadata="https://api.example/.well-known/oauth-protected-resource/v1""#;
        assert_eq!(
            asks(&denied_by(Denied::Scope("openid"), Some("openid"))),
            (403, Some(words))
        );
        let answer = denied_by(Denied::Role("coach"), Some("openid"));
        assert_eq!(asks(&answer), (403, None));
        let body: serde_json::Value = answer.into_body().into_json().await.unwrap();
        assert_eq!(
            (&body["code"], &body["role"]),
            (&json!("missing_role"), &json!("coach"))
        );
    }

    #[test]
    fn without_keys_no_token_is_called_bad() {
        let resource = resource();
        let challenge = Challenge {
            resource: &resource,
            scope: None,
        };
        let answer = refused(Refused::Key(NoKey::Unavailable), challenge);
        assert_eq!(
            (asks(&answer), answer.header("retry-after")),
            ((503, None), Some("5"))
        );
        assert_eq!(
            asks(&refused(Refused::Key(NoKey::Unknown), challenge)).0,
            401
        );
    }
}
