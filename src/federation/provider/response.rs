//! The checks of an authorization response before any call to the provider (CB-06, CB-07, UE-01).

use super::{error::ResponseError, request::RequestRecord};
use crate::{
    config::providers::{TENANT, directory},
    federation::error::{RefusalCode, upstream_words},
};

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

/// RFC 9207 §2.4: `iss` is there if it must be, and if it is there it is the recorded issuer, also
/// beside an error.
pub(super) fn check_issuer(record: &RequestRecord, iss: Option<&str>) -> Result<(), ResponseError> {
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
        directory(recorded, iss).is_some()
    } else {
        recorded == iss
    }
}

/// Returns the code. An error beside it takes precedence.
pub(super) fn code<'a>(response: &AuthorizationResponse<'a>) -> Result<&'a str, ResponseError> {
    if let Some(error) = response.error {
        return Err(ResponseError::Provider {
            reason: reason(error),
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
fn reason(error: &str) -> RefusalCode {
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
                code(&response),
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
        assert_eq!(code(&with_code(None)), Err(ResponseError::NoCode));
        assert_eq!(code(&with_code(Some(""))), Err(ResponseError::NoCode));
        assert_eq!(code(&with_code(Some("c"))), Ok("c"));
    }

    #[test]
    fn ue_03_a_description_is_cut_and_cleaned() {
        let long = format!("a\n{}", "b".repeat(500));
        let response = AuthorizationResponse {
            error: Some("x\r"),
            error_description: Some(&long),
            ..AuthorizationResponse::default()
        };
        let text = code(&response)
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
