//! The check of each request to a route: its token, and the response to one that is refused.
//!
//! | lack | response | remedy |
//! |---|---|---|
//! | no token | 401, `Bearer` and `DPoP` without an error (RFC 6750 §3.1, RFC 9449 §7.1) | signing in |
//! | a bad one, or a bound one as `Bearer` | 401, `invalid_token` | refreshing, signing in |
//! | a proof for a bound token | 401, `invalid_dpop_proof` | a new proof |
//! | a scope | 403, `insufficient_scope` | requesting a token with it |
//! | a role | 403 without a challenge, `missing_role` in the body | nothing the client can do |
//! | a recent sign-in | 401, `insufficient_user_authentication` with `max_age` (RFC 9470 §3) | an authorization request with that `max_age` |
//!
//! Every challenge says where this API describes itself (RFC 9728 §5.1), and the scope that the route demands.

use lessons_api::{
    demand::{Demand, DemandError},
    keys::KeyError,
    proof::{self, Expected, ProofError, Proofs},
    resource::ProtectedResource,
    verify::{Caller, TokenError, Verifier},
};
use poem::{
    Request, Response,
    http::{StatusCode, header, header::HeaderValue},
};
use serde_json::json;

/// Returns the caller, if the token is good and the demand is met.
///
/// # Errors
/// Returns the refusal to send to any other caller.
pub(crate) async fn admit(
    request: &Request,
    guard: &Guard,
    demand: &Demand,
) -> Result<Caller, Response> {
    let challenge = Challenge {
        resource: &guard.resource,
        scope: demand.scope,
    };
    let shown = credentials(request);
    let (scheme, token) = shown.map_err(|(status, error)| challenge.bearer(status, error))?;
    let now = lessons_api::now();
    let caller = match scheme {
        Scheme::Bearer => guard.verifier.verify(token, now).await,
        Scheme::Dpop => {
            let verified = guard.verifier.verify_bound(token, now).await;
            let (caller, jkt) = verified.map_err(|why| refused(why, challenge))?;
            let expected = Expected {
                method: request.method().as_str(),
                path: request.original_uri().path(),
                token,
                jkt: &jkt,
            };
            let proven = guard.proofs.check(&proofs_of(request), &expected, now);
            proven.map_err(|why| unproven(why, challenge))?;
            Ok(caller)
        }
    };
    let caller = caller.map_err(|why| refused(why, challenge))?;
    let checked = demand.check(&caller, now);
    checked.map_err(|why| denied(why, challenge))?;
    Ok(caller)
}

/// Returns the proofs of a request, one for each header.
fn proofs_of(request: &Request) -> Vec<&str> {
    let headers = request.headers().get_all("dpop").iter();
    headers
        .map(|value| value.to_str().unwrap_or_default())
        .collect()
}

/// The parts that judge the requests of every route.
pub(crate) struct Guard {
    pub(crate) verifier: Verifier,
    pub(crate) proofs: Proofs,
    pub(crate) resource: ProtectedResource,
}

/// The part of a challenge that does not depend on what is wrong.
#[derive(Clone, Copy)]
struct Challenge<'a> {
    resource: &'a ProtectedResource,
    /// The scope that the route demands.
    scope: Option<&'static str>,
}

impl Challenge<'_> {
    /// Returns the response with a challenge for each scheme that helps. `error` has the parameters of RFC 6750 §3. It
    /// is empty if nothing is wrong.
    fn bearer(self, status: StatusCode, error: &str) -> Response {
        let mut answer = self.answer(status, "Bearer", error);
        if status == StatusCode::UNAUTHORIZED {
            let dpop = HeaderValue::from_static(proof::CHALLENGE);
            answer.headers_mut().append(header::WWW_AUTHENTICATE, dpop);
        }
        answer
    }

    /// Returns the response with a challenge of one scheme.
    fn answer(self, status: StatusCode, scheme: &str, error: &str) -> Response {
        let separator = if scheme.contains(' ') { ", " } else { " " };
        let scope = self.scope.map(|scope| format!(r#"scope="{scope}""#));
        let metadata = format!(r#"resource_metadata="{}""#, self.resource.url());
        let error = (!error.is_empty()).then(|| error.to_owned());
        let parameters: Vec<String> = [error, scope, Some(metadata)]
            .into_iter()
            .flatten()
            .collect();
        let words = format!("{scheme}{separator}{}", parameters.join(", "));
        Response::builder()
            .status(status)
            .header(header::WWW_AUTHENTICATE, words)
            .finish()
    }
}

/// The scheme by which a token is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Dpop,
}

/// Returns the token of `Authorization: Bearer …` (RFC 6750 §2.1) or `Authorization: DPoP …` (RFC 9449 §7.1), or the
/// status and error of a request without one.
fn credentials(request: &Request) -> Result<(Scheme, &str), (StatusCode, &'static str)> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION).iter();
    // RFC 6750 §3.1: a request without a token gets a challenge without an error.
    let Some(value) = headers.next() else {
        return Err((StatusCode::UNAUTHORIZED, ""));
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .and_then(|(scheme, token)| {
            let is = |name: &str| scheme.eq_ignore_ascii_case(name);
            let scheme = match (is("bearer"), is("dpop")) {
                (true, _) => Scheme::Bearer,
                (_, true) => Scheme::Dpop,
                _ => return None,
            };
            let token = token.trim();
            (!token.is_empty()).then_some((scheme, token))
        });
    match (token, headers.next()) {
        (Some(token), None) => Ok(token),
        _ => Err((StatusCode::BAD_REQUEST, r#"error="invalid_request""#)),
    }
}

fn unproven(why: ProofError, challenge: Challenge<'_>) -> Response {
    tracing::info!(%why, "proof refused");
    let wait = match why {
        ProofError::Full => Some("5"),
        ProofError::JustBegun => Some("30"),
        _ => None,
    };
    if let Some(wait) = wait {
        return Response::builder()
            .status(StatusCode::SERVICE_UNAVAILABLE)
            .header(header::RETRY_AFTER, wait)
            .finish();
    }
    let error = format!(r#"error="invalid_dpop_proof", error_description="{why}""#);
    challenge.answer(StatusCode::UNAUTHORIZED, proof::CHALLENGE, &error)
}

fn refused(why: TokenError, challenge: Challenge<'_>) -> Response {
    if why == TokenError::Key(KeyError::Unavailable) {
        return Response::builder()
            .status(StatusCode::SERVICE_UNAVAILABLE)
            .header(header::RETRY_AFTER, "5")
            .finish();
    }
    tracing::info!(%why, "token refused");
    let error = format!(r#"error="invalid_token", error_description="{why}""#);
    challenge.bearer(StatusCode::UNAUTHORIZED, &error)
}

fn denied(why: DemandError, challenge: Challenge<'_>) -> Response {
    tracing::info!(%why, "not let in");
    match why {
        DemandError::Scope(_) => {
            let error = format!(r#"error="insufficient_scope", error_description="{why}""#);
            challenge.bearer(StatusCode::FORBIDDEN, &error)
        }
        DemandError::Stale { max_age } => {
            let error = "insufficient_user_authentication";
            let words =
                format!(r#"error="{error}", error_description="{why}", max_age="{max_age}""#);
            challenge.answer(StatusCode::UNAUTHORIZED, "Bearer", &words)
        }
        // A challenge would make the client request a token that it cannot get.
        DemandError::Role(role) => {
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

    fn denied_by(why: DemandError, scope: Option<&'static str>) -> Response {
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
            asks(&denied_by(DemandError::Stale { max_age: 300 }, None)),
            (401, Some(words))
        );
    }

    /// RS-7: the challenge leads to the document, and names the scope.
    #[tokio::test]
    async fn rfc_6750_3_1_a_missing_scope_and_a_missing_role_are_told_apart() {
        let words = r#"Bearer error="insufficient_scope", error_description="the token lacks the scope openid", scope="openid", resource_metadata="https://api.example/.well-known/oauth-protected-resource/v1""#;
        assert_eq!(
            asks(&denied_by(DemandError::Scope("openid"), Some("openid"))),
            (403, Some(words))
        );
        let answer = denied_by(DemandError::Role("coach"), Some("openid"));
        assert_eq!(asks(&answer), (403, None));
        let body: serde_json::Value = answer.into_body().into_json().await.unwrap();
        assert_eq!(
            (&body["code"], &body["role"]),
            (&json!("missing_role"), &json!("coach"))
        );
    }

    #[test]
    fn pp_11_a_bad_proof_is_challenged_and_a_full_set_is_not_the_callers_fault() {
        let words = r#"DPoP algs="ES256", error="invalid_dpop_proof", error_description="used before", resource_metadata="https://api.example/.well-known/oauth-protected-resource/v1""#;
        let resource = resource();
        let challenge = Challenge {
            resource: &resource,
            scope: None,
        };
        let answer = unproven(ProofError::Used, challenge);
        assert_eq!(asks(&answer), (401, Some(words)));
        for (why, wait) in [(ProofError::Full, "5"), (ProofError::JustBegun, "30")] {
            let answer = unproven(why, challenge);
            assert_eq!(
                (asks(&answer), answer.header("retry-after")),
                ((503, None), Some(wait))
            );
        }
    }

    #[test]
    fn pp_11_each_scheme_is_read_in_any_case() {
        for (value, expected) in [
            ("Bearer a", Some((Scheme::Bearer, "a"))),
            ("bEARER a", Some((Scheme::Bearer, "a"))),
            ("DPoP a", Some((Scheme::Dpop, "a"))),
            ("dpop  a", Some((Scheme::Dpop, "a"))),
            ("DPoP", None),
            ("Basic a", None),
        ] {
            let request = Request::builder().header("authorization", value).finish();
            assert_eq!(credentials(&request).ok(), expected, "{value}");
        }
    }

    #[test]
    fn without_keys_no_token_is_called_bad() {
        let resource = resource();
        let challenge = Challenge {
            resource: &resource,
            scope: None,
        };
        let answer = refused(TokenError::Key(KeyError::Unavailable), challenge);
        assert_eq!(
            (asks(&answer), answer.header("retry-after")),
            ((503, None), Some("5"))
        );
        assert_eq!(
            asks(&refused(TokenError::Key(KeyError::Unknown), challenge)).0,
            401
        );
    }
}
