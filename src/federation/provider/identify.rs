//! From an authorization response to an identity: the checks of the response before any call to the
//! provider, the exchange of the code, the ID token, userinfo (CB-06, CB-07, CB-09, CB-10, UE-01).

use std::time::Duration;

use super::{
    apple,
    error::{ProviderError, ResponseError, TokenError},
    github,
    identity::{ProviderIdentity, identity_of},
    oidc::{
        client_auth,
        exchange::{CodeExchange, TokenResponse},
        id_token::{self, Expected, VerifiedToken},
        json::Object,
        upstream::Upstream,
        userinfo,
    },
    request::RequestRecord,
};
use crate::{
    config::providers::{ProviderKind, TENANT, directory_of_issuer},
    federation::error::{RefusalCode, upstream_words},
};

/// How long all calls for one response may take together.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The parameters of a callback. It has no `Debug`, because it contains a code.
#[derive(Clone, Copy, Default)]
pub struct AuthorizationResponse<'a> {
    pub code: Option<&'a str>,
    pub iss: Option<&'a str>,
    pub error: Option<&'a str>,
    pub error_description: Option<&'a str>,
    /// Apple's JSON about the user, sent once, by form_post.
    pub user: Option<&'a str>,
}

/// Returns the identity of the user who came back. Nothing is sent to the provider unless the
/// response is from it and has a code. The record must have been claimed before.
pub(super) async fn identify(
    upstream: &Upstream,
    record: &RequestRecord,
    response: &AuthorizationResponse<'_>,
) -> Result<ProviderIdentity, ProviderError> {
    // A response to a request that began under other settings is worth nothing under these.
    if upstream.settings.issuer() != record.issuer {
        return Err(ProviderError::IssuerChanged);
    }
    check_issuer(record, response.iss)?;
    let code = code_of(response)?;
    tokio::time::timeout(TIMEOUT, async {
        let tokens = exchange(upstream, record, code).await?;
        if upstream.settings.kind == ProviderKind::Github {
            return github::identify(upstream, record, &tokens).await;
        }
        identify_by_id_token(upstream, record, response, &tokens).await
    })
    .await
    .unwrap_or(Err(ProviderError::Timeout))
}

/// RFC 9207 §2.4: `iss` is there if it must be, and if it is there it is the recorded issuer, also
/// beside an error.
fn check_issuer(record: &RequestRecord, iss: Option<&str>) -> Result<(), ResponseError> {
    match iss {
        None if record.iss_required => Err(ResponseError::NoIssuer),
        None => Ok(()),
        Some(iss) if is_recorded_issuer(&record.issuer, iss) => Ok(()),
        Some(iss) => Err(ResponseError::Issuer {
            expected: record.issuer.clone(),
            found: upstream_words(iss),
        }),
    }
}

/// Whether `iss` is the recorded issuer exactly, or its template with one tenant filled in.
fn is_recorded_issuer(recorded: &str, iss: &str) -> bool {
    if recorded.contains(TENANT) {
        directory_of_issuer(recorded, iss).is_some()
    } else {
        recorded == iss
    }
}

/// Returns the code. An error beside it takes precedence.
fn code_of<'a>(response: &AuthorizationResponse<'a>) -> Result<&'a str, ResponseError> {
    if let Some(error) = response.error {
        return Err(ResponseError::Provider {
            reason: reason_of(error),
            error: upstream_words(error),
            description: response
                .error_description
                .map(upstream_words)
                .unwrap_or_default(),
        });
    }
    response
        .code
        .filter(|code| !code.is_empty())
        .ok_or(ResponseError::NoCode)
}

/// RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6, and the names that Apple and GitHub use
/// (UE-01).
fn reason_of(error: &str) -> RefusalCode {
    match error {
        "access_denied" | "user_cancelled_authorize" => RefusalCode::Denied,
        "server_error" => RefusalCode::ProviderFault,
        "temporarily_unavailable" => RefusalCode::ProviderBusy,
        "login_required" => RefusalCode::LoginRequired,
        "interaction_required" | "account_selection_required" | "consent_required" => {
            RefusalCode::InteractionRequired
        }
        "invalid_request"
        | "unauthorized_client"
        | "unsupported_response_type"
        | "invalid_scope"
        | "invalid_client"
        | "redirect_uri_mismatch"
        | "application_suspended" => RefusalCode::ReportedMisconfigured,
        _ => RefusalCode::ProviderError,
    }
}

/// Sends a code to the recorded token endpoint. A method that is set meanwhile wins over the
/// recorded one.
pub(super) async fn exchange(
    upstream: &Upstream,
    record: &RequestRecord,
    code: &str,
) -> Result<TokenResponse, ProviderError> {
    let (settings, now) = (&upstream.settings, upstream.now().seconds());
    let endpoint = record.token_endpoint.as_str();
    let auth = settings
        .fixed_auth()
        .or(record.token_auth)
        .unwrap_or_else(|| client_auth::choose(settings, None));
    let credential = if settings.kind == ProviderKind::Apple {
        apple::client_secret(settings, now)?
    } else {
        client_auth::credential(settings, auth, endpoint, now)?
    };
    let exchange = CodeExchange {
        token_endpoint: endpoint,
        redirect_uri: &record.redirect_uri,
        verifier: record.verifier.as_deref(),
        code,
        auth,
        credential: &credential,
    };
    exchange.send(upstream).await
}

async fn identify_by_id_token(
    upstream: &Upstream,
    record: &RequestRecord,
    response: &AuthorizationResponse<'_>,
    tokens: &TokenResponse,
) -> Result<ProviderIdentity, ProviderError> {
    let settings = &upstream.settings;
    let id_token = tokens.id_token.as_ref().ok_or(TokenError::NoIdToken)?;
    let expected = Expected {
        settings,
        issuer: &record.issuer,
        nonce: record.nonce.as_deref().unwrap_or_default(),
        pkce: record.verifier.is_some(),
        access_token: &tokens.access_token,
        now: upstream.now().seconds(),
    };
    let verified = id_token::verify(upstream, id_token, expected).await?;
    // With many tenants, the response's issuer could only be compared with their template before.
    if response.iss.is_some_and(|iss| iss != verified.issuer) {
        return Err(ResponseError::IssuerOfIdToken.into());
    }
    let userinfo = fetch_userinfo(upstream, record, tokens, &verified).await?;
    let user = response
        .user
        .filter(|_| settings.kind == ProviderKind::Apple);
    let name = user.and_then(apple::name_in_user_parameter);
    Ok(identity_of(settings, verified, userinfo.as_ref(), name))
}

async fn fetch_userinfo(
    upstream: &Upstream,
    record: &RequestRecord,
    tokens: &TokenResponse,
    verified: &VerifiedToken,
) -> Result<Option<Object>, ProviderError> {
    match &record.userinfo_endpoint {
        Some(endpoint) if userinfo::is_wanted(upstream, &verified.claims) => {
            let access_token = &tokens.access_token;
            userinfo::fetch(upstream, endpoint, access_token, verified)
                .await
                .map(Some)
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(issuer: &str, iss_required: bool) -> RequestRecord {
        RequestRecord {
            provider: "a".into(),
            issuer: issuer.into(),
            token_endpoint: String::new(),
            token_auth: None,
            userinfo_endpoint: None,
            redirect_uri: String::new(),
            nonce: None,
            verifier: None,
            iss_required,
        }
    }

    #[test]
    fn cb_06_up_iss_missing_up_iss_mismatch() {
        let issuer = "https://op.example";
        let accepted = |required, iss| check_issuer(&record(issuer, required), iss).is_ok();
        assert!(accepted(false, None) && accepted(false, Some(issuer)));
        assert!(accepted(true, Some(issuer)));
        assert_eq!(
            check_issuer(&record(issuer, true), None),
            Err(ResponseError::NoIssuer)
        );
        for (required, iss) in [
            (false, "https://op.example/"),
            (false, "https://evil.example"),
            (true, ""),
        ] {
            let error = check_issuer(&record(issuer, required), Some(iss)).err();
            let expected = issuer.to_owned();
            assert_eq!(
                error,
                Some(ResponseError::Issuer {
                    expected,
                    found: iss.to_owned()
                })
            );
        }
    }

    #[test]
    fn cb_06_up_iss_mismatch_a_template_takes_the_issuer_of_one_tenant() {
        let template = record("https://login.example/{tenantid}/v2.0", false);
        let accepts = |tenant: &str| {
            let iss = format!("https://login.example/{tenant}/v2.0");
            check_issuer(&template, Some(&iss)).is_ok()
        };
        assert!(accepts("0f0e0d0c-0000-4000-8000-00000000000a"));
        for bad in [
            "{tenantid}",
            "0F0E0D0C-0000-4000-8000-00000000000A",
            "",
            "x",
            "0f0e0d0c-0000-4000-8000-00000000000a/x",
        ] {
            assert!(!accepts(bad), "{bad}");
        }
    }

    #[test]
    fn cb_07_ue_01_oc_4_each_error_has_its_meaning_and_wins_over_a_code() {
        for (error, expected) in [
            ("access_denied", RefusalCode::Denied),
            ("user_cancelled_authorize", RefusalCode::Denied),
            ("server_error", RefusalCode::ProviderFault),
            ("temporarily_unavailable", RefusalCode::ProviderBusy),
            ("login_required", RefusalCode::LoginRequired),
            ("interaction_required", RefusalCode::InteractionRequired),
            (
                "account_selection_required",
                RefusalCode::InteractionRequired,
            ),
            ("consent_required", RefusalCode::InteractionRequired),
            ("invalid_request", RefusalCode::ReportedMisconfigured),
            ("unauthorized_client", RefusalCode::ReportedMisconfigured),
            (
                "unsupported_response_type",
                RefusalCode::ReportedMisconfigured,
            ),
            ("invalid_scope", RefusalCode::ReportedMisconfigured),
            ("invalid_client", RefusalCode::ReportedMisconfigured),
            ("registration_not_supported", RefusalCode::ProviderError),
            ("", RefusalCode::ProviderError),
        ] {
            let response = AuthorizationResponse {
                code: Some("c"),
                error: Some(error),
                ..AuthorizationResponse::default()
            };
            let (error, description) = (error.to_owned(), String::new());
            assert_eq!(
                code_of(&response),
                Err(ResponseError::Provider {
                    reason: expected,
                    error,
                    description
                })
            );
        }
    }

    #[test]
    fn cb_07_up_code_missing() {
        let with_code = |code| AuthorizationResponse {
            code,
            ..AuthorizationResponse::default()
        };
        assert_eq!(code_of(&with_code(None)), Err(ResponseError::NoCode));
        assert_eq!(code_of(&with_code(Some(""))), Err(ResponseError::NoCode));
        assert_eq!(code_of(&with_code(Some("c"))), Ok("c"));
    }

    #[test]
    fn ue_03_a_description_is_cut_and_cleaned() {
        let long = format!("a\n{}", "b".repeat(500));
        let response = AuthorizationResponse {
            error: Some("x\r"),
            error_description: Some(&long),
            ..AuthorizationResponse::default()
        };
        let text = code_of(&response)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(text.contains("`x`: abbb"), "{text}");
        assert!(
            text.len() < 250 && !text.contains(char::is_control),
            "{text}"
        );
    }
}
