//! Each code has the status, the texts and the alert that the list of refusals gives it.

use std::collections::BTreeSet;

use super::*;

#[test]
fn codes_have_the_status_that_the_list_gives_them() {
    for (status, codes) in [
        (200, "up_denied up_provider_error"),
        (
            400,
            "up_param_duplicate up_param_too_long up_state_malformed up_state_unknown up_state_used up_provider_mismatch \
             up_browser_mismatch up_iss_missing up_iss_mismatch up_code_missing up_app_code up_token_http lk_browser",
        ),
        (
            403,
            "up_tenant up_hd up_provider_disabled up_user_disabled up_sign_up_closed lk_stale_auth",
        ),
        (405, "up_method"),
        (409, "up_session_changed lk_taken lk_last_method"),
        (
            502,
            "up_token_http up_token_type up_id_token_missing up_id_token_malformed up_alg up_typ up_crit \
             up_key_unknown up_signature up_iss_claim up_aud up_azp up_expired up_iat up_nbf up_nonce up_at_hash \
             up_sub up_userinfo_http up_userinfo_sub up_claims_malformed up_provider_error up_misconfigured \
             up_misconfigured_reported",
        ),
        (
            503,
            "up_blocked up_redirect up_too_large up_timeout up_discovery_issuer up_endpoint_host up_provider_down \
             up_token_http up_store_down",
        ),
    ] {
        let found: BTreeSet<&str> = RefusalCode::ALL
            .iter()
            .filter(|code| code.status() == status)
            .map(|code| code.as_str())
            .collect();
        assert_eq!(found, codes.split_whitespace().collect(), "{status}");
    }
}

#[test]
fn ue_04_a_refusal_that_passes_names_the_time_of_the_next_try() {
    assert_eq!(RefusalCode::TokenDown.retry_after(), Some(30));
    assert_eq!(RefusalCode::StoreDown.retry_after(), Some(5));
    assert_eq!(RefusalCode::TokenGrant.retry_after(), None);
    assert_eq!(
        RefusalCode::DiscoveryIssuer.retry_after(),
        None,
        "a wrong issuer does not pass by itself"
    );
}

#[test]
fn ue_01_dj_07_the_operator_is_alerted_of_what_only_an_operator_can_resolve() {
    let all: Vec<RefusalCode> = RefusalCode::ALL
        .iter()
        .copied()
        .filter(|code| code.alerts())
        .collect();
    let expected = [
        RefusalCode::Blocked,
        RefusalCode::DiscoveryIssuer,
        RefusalCode::EndpointHost,
        RefusalCode::TokenClient,
        RefusalCode::Misconfigured,
    ];
    assert_eq!(all, expected);
    assert!(
        all.iter()
            .all(|code| code.stem() == "upstream-misconfigured")
    );
    // The alert rule names each of them.
    let rules = include_str!("../../../deploy/alerts.yml");
    for code in all {
        assert!(rules.contains(code.as_str()), "{code}");
    }
}

#[test]
fn ue_01_a_user_who_connects_a_provider_is_not_advised_to_sign_in_by_email() {
    let texts = crate::web::locale::Texts::default();
    let known = [("provider", "Office".to_owned())];
    for (language, mail) in [("en", "by email"), ("fr", "par e-mail")] {
        let localizer = texts.localizer(language);
        for code in RefusalCode::ALL {
            let stem = code.stem_connecting();
            let (title, text) = (
                localizer.text_with(&format!("{stem}-title"), &known),
                localizer.text_with(stem, &known),
            );
            assert!(
                !title.starts_with("upstream-") && !text.starts_with("upstream-"),
                "{code} in {language}"
            );
            // A stale session needs a new sign-in by email, and a new user is not signed in.
            let may = matches!(code, RefusalCode::LinkStaleAuth | RefusalCode::SignUpClosed);
            assert!(may || !text.contains(mail), "{code} in {language}: {text}");
        }
    }
}

#[test]
fn ue_03_upstream_words_are_cut_and_lose_control_characters() {
    assert_eq!(upstream_words("a\r\nb\u{1b}[31m"), "ab[31m");
    assert_eq!(upstream_words(&"é".repeat(300)).chars().count(), 200);
}
