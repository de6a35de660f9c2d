//! What a callback's parameters say, before anything is asked (CB-06, CB-07, UE-01).

use super::request::RequestRecord;
use crate::{
    config::providers::{TENANT, directory},
    federation::error::{FederationError, RefusalCode, upstream_words},
};

/// The parameters of a callback, after the shape checks. No `Debug`: a code is in it.
#[derive(Clone, Copy, Default)]
pub struct AuthorizationResponse<'a> {
    /// `code`.
    pub code: Option<&'a str>,
    /// `iss`.
    pub iss: Option<&'a str>,
    /// `error`.
    pub error: Option<&'a str>,
    /// `error_description`: for the log, cut and cleaned.
    pub error_description: Option<&'a str>,
    /// `user`: Apple's JSON, once, by form_post.
    pub user: Option<&'a str>,
}

/// RFC 9207 §2.4: `iss` is there if it must be, and if it is there it is the recorded issuer, also beside an error.
///
/// # Errors
/// [`RefusalCode::IssMissing`], [`RefusalCode::IssMismatch`].
pub(super) fn is_from(record: &RequestRecord, iss: Option<&str>) -> Result<(), FederationError> {
    match iss {
        None if record.iss_required => Err(FederationError::new(
            RefusalCode::IssMissing,
            "the provider says that it sends iss",
        )),
        None => Ok(()),
        Some(iss) if fits(&record.issuer, iss) => Ok(()),
        Some(iss) => {
            let words = format!(
                "asked was `{}`, the answer is from `{}`",
                record.issuer,
                upstream_words(iss)
            );
            Err(FederationError::new(RefusalCode::IssMismatch, words))
        }
    }
}

/// The issuer exactly; for the template of many directories, with one of them in it.
fn fits(issuer: &str, iss: &str) -> bool {
    if issuer.contains(TENANT) {
        directory(issuer, iss).is_some()
    } else {
        issuer == iss
    }
}

/// The code. An error beside it wins.
///
/// # Errors
/// What the provider's error comes to; [`RefusalCode::CodeMissing`].
pub(super) fn code<'a>(answer: &AuthorizationResponse<'a>) -> Result<&'a str, FederationError> {
    if let Some(error) = answer.error {
        let description = answer
            .error_description
            .map(upstream_words)
            .unwrap_or_default();
        return Err(FederationError::new(
            meaning(error),
            format!("it said `{}`: {description}", upstream_words(error)),
        ));
    }
    answer
        .code
        .filter(|code| !code.is_empty())
        .ok_or_else(|| RefusalCode::CodeMissing.into())
}

/// RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6, and what Apple and GitHub say in their own words (UE-01).
fn meaning(error: &str) -> RefusalCode {
    match error {
        "access_denied" | "user_cancelled_authorize" => RefusalCode::Denied,
        "server_error" | "temporarily_unavailable" => RefusalCode::ProviderTrouble,
        "invalid_request"
        | "unauthorized_client"
        | "unsupported_response_type"
        | "invalid_scope"
        | "invalid_client"
        | "redirect_uri_mismatch"
        | "application_suspended" => RefusalCode::Misconfigured,
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
        for (required, iss, code) in [
            (false, None, None),
            (true, None, Some(RefusalCode::IssMissing)),
            (true, Some(issuer), None),
            (false, Some(issuer), None),
            (
                false,
                Some("https://op.example/"),
                Some(RefusalCode::IssMismatch),
            ),
            (
                false,
                Some("https://evil.example"),
                Some(RefusalCode::IssMismatch),
            ),
            (true, Some(""), Some(RefusalCode::IssMismatch)),
        ] {
            let found = is_from(&record(issuer, required), iss)
                .err()
                .map(|refused| refused.code);
            assert_eq!(found, code, "{required} {iss:?}");
        }
        let many = record("https://login.example/{tenantid}/v2.0", false);
        let of =
            |tid: &str| is_from(&many, Some(&format!("https://login.example/{tid}/v2.0"))).is_ok();
        assert!(of("0f0e0d0c-0000-4000-8000-00000000000a"));
        for bad in [
            "{tenantid}",
            "0F0E0D0C-0000-4000-8000-00000000000A",
            "",
            "x",
            "0f0e0d0c-0000-4000-8000-00000000000a/x",
        ] {
            assert!(!of(bad), "{bad}");
        }
    }

    #[test]
    fn cb_07_ue_01_each_error_has_its_meaning_and_wins_over_a_code() {
        for (error, meaning) in [
            ("access_denied", RefusalCode::Denied),
            ("user_cancelled_authorize", RefusalCode::Denied),
            ("server_error", RefusalCode::ProviderTrouble),
            ("temporarily_unavailable", RefusalCode::ProviderTrouble),
            ("invalid_request", RefusalCode::Misconfigured),
            ("unauthorized_client", RefusalCode::Misconfigured),
            ("unsupported_response_type", RefusalCode::Misconfigured),
            ("invalid_scope", RefusalCode::Misconfigured),
            ("invalid_client", RefusalCode::Misconfigured),
            ("login_required", RefusalCode::ProviderError),
            ("", RefusalCode::ProviderError),
        ] {
            let answer = AuthorizationResponse {
                code: Some("c"),
                error: Some(error),
                ..AuthorizationResponse::default()
            };
            assert_eq!(
                code(&answer).err().map(|refused| refused.code),
                Some(meaning),
                "{error}"
            );
        }
        assert_eq!(
            code(&AuthorizationResponse::default()).err(),
            Some(RefusalCode::CodeMissing.into())
        );
        assert_eq!(
            code(&AuthorizationResponse {
                code: Some(""),
                ..AuthorizationResponse::default()
            })
            .err(),
            Some(RefusalCode::CodeMissing.into())
        );
        assert_eq!(
            code(&AuthorizationResponse {
                code: Some("c"),
                ..AuthorizationResponse::default()
            }),
            Ok("c")
        );
    }

    #[test]
    fn ue_03_a_description_is_cut_and_cleaned() {
        let long = format!("a\n{}", "b".repeat(500));
        let answer = AuthorizationResponse {
            error: Some("x\r"),
            error_description: Some(&long),
            ..AuthorizationResponse::default()
        };
        let words = code(&answer)
            .err()
            .map(|refused| refused.detail)
            .unwrap_or_default();
        assert!(
            words.len() < 230 && !words.contains(char::is_control),
            "{words}"
        );
    }
}
