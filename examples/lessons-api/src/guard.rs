//! The door of a route: the token of a request, and what to answer one that is not let in.
//!
//! | lack | answer | what helps |
//! |---|---|---|
//! | no token | 401, bare `Bearer` and `DPoP` (RFC 6750 §3.1, RFC 9449 §7.1) | signing in |
//! | a bad one, or a bound one as `Bearer` | 401, `invalid_token` | refreshing, signing in |
//! | a proof for a bound token | 401, `invalid_dpop_proof` | a new proof |
//! | a scope | 403, `insufficient_scope` | asking for a token with it |
//! | a role | 403 without a challenge, `missing_role` in the body | nothing the client can do |
//! | a recent sign-in | 401, `insufficient_user_authentication` with `max_age` (RFC 9470 §3) | an authorization request with that `max_age` |

use lessons_api::{
    demand::{Demand, Denied},
    keys::NoKey,
    proof::{self, Expected, ProofError, Proofs},
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
    (verifier, proofs): (&Verifier, &Proofs),
    demand: &Demand,
) -> Result<Caller, Response> {
    let (scheme, token) =
        credentials(request).map_err(|(status, words)| challenge(status, words))?;
    let now = lessons_api::now();
    let caller = match scheme {
        Scheme::Bearer => verifier.verify(token, now).await.map_err(refused)?,
        Scheme::Dpop => {
            let (caller, jkt) = verifier.verify_bound(token, now).await.map_err(refused)?;
            let expected = Expected {
                method: request.method().as_str(),
                path: request.original_uri().path(),
                token,
                jkt: &jkt,
            };
            let headers = request.headers().get_all("dpop").iter();
            let shown: Vec<&str> = headers
                .map(|value| value.to_str().unwrap_or_default())
                .collect();
            proofs.check(&shown, &expected, now).map_err(unproven)?;
            caller
        }
    };
    demand.check(&caller, now).map_err(denied)?;
    Ok(caller)
}

/// How a token is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Dpop,
}

/// The token of `Authorization: Bearer …` (RFC 6750 §2.1) or `Authorization: DPoP …` (RFC 9449 §7.1), or what to
/// answer a request without one.
fn credentials(request: &Request) -> Result<(Scheme, &str), (StatusCode, &'static str)> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION).iter();
    // RFC 6750 §3.1: who shows nothing learns only that something is asked for.
    let Some(value) = headers.next() else {
        return Err((StatusCode::UNAUTHORIZED, "Bearer"));
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
        _ => Err((StatusCode::BAD_REQUEST, r#"Bearer error="invalid_request""#)),
    }
}

/// Challenges of both schemes stand in a header each.
fn challenge(status: StatusCode, challenge: &str) -> Response {
    let builder = Response::builder()
        .status(status)
        .header(header::WWW_AUTHENTICATE, challenge);
    if status == StatusCode::UNAUTHORIZED && challenge.starts_with("Bearer") {
        return builder
            .header(header::WWW_AUTHENTICATE, proof::CHALLENGE)
            .finish();
    }
    builder.finish()
}

fn unproven(why: ProofError) -> Response {
    tracing::info!(%why, "proof refused");
    if why == ProofError::Full {
        return Response::builder()
            .status(StatusCode::SERVICE_UNAVAILABLE)
            .header(header::RETRY_AFTER, "5")
            .finish();
    }
    let words = format!(
        r#"{}, error="invalid_dpop_proof", error_description="{why}""#,
        proof::CHALLENGE
    );
    challenge(StatusCode::UNAUTHORIZED, &words)
}

fn refused(why: Refused) -> Response {
    if why == Refused::Key(NoKey::Unavailable) {
        return Response::builder()
            .status(StatusCode::SERVICE_UNAVAILABLE)
            .header(header::RETRY_AFTER, "5")
            .finish();
    }
    tracing::info!(%why, "token refused");
    challenge(
        StatusCode::UNAUTHORIZED,
        &format!(r#"Bearer error="invalid_token", error_description="{why}""#),
    )
}

fn denied(why: Denied) -> Response {
    tracing::info!(%why, "not let in");
    match why {
        Denied::Scope(scope) => {
            let words = format!(
                r#"Bearer error="insufficient_scope", error_description="{why}", scope="{scope}""#
            );
            challenge(StatusCode::FORBIDDEN, &words)
        }
        Denied::Stale { max_age } => {
            let error = "insufficient_user_authentication";
            let words = format!(
                r#"Bearer error="{error}", error_description="{why}", max_age="{max_age}""#
            );
            challenge(StatusCode::UNAUTHORIZED, &words)
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

    #[test]
    fn rfc_9470_3_an_old_sign_in_is_challenged_with_the_age_that_would_do() {
        let words = r#"Bearer error="insufficient_user_authentication", error_description="a more recent sign-in is required", max_age="300""#;
        assert_eq!(
            asks(&denied(Denied::Stale { max_age: 300 })),
            (401, Some(words))
        );
    }

    #[tokio::test]
    async fn rfc_6750_3_1_a_missing_scope_and_a_missing_role_are_told_apart() {
        let words = r#"Bearer error="insufficient_scope", error_description="the token lacks the scope openid", scope="openid""#;
        assert_eq!(asks(&denied(Denied::Scope("openid"))), (403, Some(words)));
        let answer = denied(Denied::Role("coach"));
        assert_eq!(asks(&answer), (403, None));
        let body: serde_json::Value = answer.into_body().into_json().await.unwrap();
        assert_eq!(
            (&body["code"], &body["role"]),
            (&json!("missing_role"), &json!("coach"))
        );
    }

    #[test]
    fn pp_11_a_bad_proof_is_challenged_and_a_full_set_is_not_the_callers_fault() {
        let words =
            r#"DPoP algs="ES256", error="invalid_dpop_proof", error_description="used before""#;
        assert_eq!(asks(&unproven(ProofError::Used)), (401, Some(words)));
        let answer = unproven(ProofError::Full);
        assert_eq!(
            (asks(&answer), answer.header("retry-after")),
            ((503, None), Some("5"))
        );
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
        let answer = refused(Refused::Key(NoKey::Unavailable));
        assert_eq!(
            (asks(&answer), answer.header("retry-after")),
            ((503, None), Some("5"))
        );
        assert_eq!(asks(&refused(Refused::Key(NoKey::Unknown))).0, 401);
    }
}
