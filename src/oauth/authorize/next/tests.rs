#![allow(clippy::unwrap_used)]

use entity::{session, user};
use uuid::Uuid;

use super::*;
use crate::{
    client::VerifiedRedirect,
    config::Client,
    oauth::authorize::request::{AuthorizationParams, Prompt, ResponseMode, ResponseTarget},
};

/// When the request was made, in milliseconds.
const REQUESTED_AT: i64 = 1_800_000_000_000;

const EMAIL: &str = "urn:entree:acr:email";
const UPSTREAM: &str = "urn:entree:acr:upstream";

const ANY: Prompt = Prompt {
    none: false,
    login: false,
    consent: false,
    select_account: false,
};
const NONE: Prompt = Prompt { none: true, ..ANY };
const LOGIN: Prompt = Prompt { login: true, ..ANY };

fn client() -> Client {
    let json = r#"{"client_id":"web","name":"Web","audience":"api","redirect_uris":["https://app.example/cb"]}"#;
    serde_json::from_str(json).unwrap()
}

/// A session whose user signed in so many seconds before the request, with this `acr`.
fn signed_in(age: i64, acr: &str) -> CurrentSession {
    let auth_time = Time(REQUESTED_AT - age * 1000);
    let session = session::Model {
        id: Uuid::from_u128(1),
        user_id: Uuid::from_u128(2),
        secret_hash: vec![],
        previous_hash: None,
        previous_until: None,
        browser_hash: None,
        auth_epoch: 0,
        auth_time,
        acr: acr.to_owned(),
        amr: String::new(),
        identity_id: None,
        device: String::new(),
        remembered: false,
        created_at: auth_time,
        last_seen_at: auth_time,
        expires_at: Time(i64::MAX),
        revoked_at: None,
        told_at: None,
    };
    let user = user::Model {
        id: Uuid::from_u128(2),
        public_id: Uuid::from_u128(3),
        state: user::UserState::Active,
        auth_epoch: 0,
        roles: String::new(),
        name: None,
        locale: None,
        created_at: Time(0),
        updated_at: Time(0),
    };
    CurrentSession { session, user }
}

fn params(prompt: Prompt) -> AuthorizationParams {
    AuthorizationParams {
        client_id: "web".to_owned(),
        redirect_uri: "https://app.example/cb".to_owned(),
        state: None,
        nonce: None,
        scope: String::new(),
        code_challenge: None,
        mode: ResponseMode::Query,
        resources: None,
        hinted_sub: None,
        claims: String::new(),
        acr: Vec::new(),
        acr_values: String::new(),
        stale_auth_time: None,
        push: None,
        dpop_jkt: None,
        prompt,
        max_age: None,
        login_hint: String::new(),
        ui_locales: String::new(),
        requested_at: Time(REQUESTED_AT),
    }
}

fn request(client: &Client, params: AuthorizationParams) -> AuthorizationRequest<'_> {
    let uri = VerifiedRedirect::check(client, &params.redirect_uri).unwrap();
    let target = ResponseTarget {
        uri,
        state: None,
        mode: ResponseMode::Query,
        client_id: "web".to_owned(),
    };
    AuthorizationRequest {
        client,
        target,
        params,
    }
}

/// The next step in a word or two, or its error code, `later` seconds after the request.
fn outcome(
    params: AuthorizationParams,
    current: Option<&CurrentSession>,
    later: i64,
    has_consent: bool,
) -> &'static str {
    let client = client();
    let now = Time(REQUESTED_AT + later * 1000);
    match next_step(&request(&client, params), current, has_consent, now) {
        NextStep::IssueCode(_) => "code",
        NextStep::SignIn { fresh: false } => "sign in",
        NextStep::SignIn { fresh: true } => "sign in again",
        NextStep::AskConsent => "consent",
        NextStep::AskName => "name",
        NextStep::Refuse(error) => error.code.name(),
    }
}

/// The outcome for a user who signed in by email `age` seconds before the request, or none who is
/// signed in.
fn step(prompt: Prompt, max_age: Option<i64>, age: Option<i64>, later: i64) -> &'static str {
    let current = age.map(|age| signed_in(age, EMAIL));
    let params = AuthorizationParams {
        max_age,
        ..params(prompt)
    };
    outcome(params, current.as_ref(), later, true)
}

#[test]
fn pm_8_a_demanded_acr_is_there_or_reached_by_a_new_sign_in_or_refused() {
    for (demanded, held, prompt, expected) in [
        (&[EMAIL][..], Some(EMAIL), ANY, "code"),
        (&["phr", EMAIL], Some(EMAIL), NONE, "code"),
        (&[EMAIL], Some(UPSTREAM), ANY, "sign in again"),
        (&[EMAIL], Some(UPSTREAM), NONE, "login_required"),
        (
            &[UPSTREAM],
            Some(EMAIL),
            ANY,
            "unmet_authentication_requirements",
        ),
        (
            &[UPSTREAM],
            Some(EMAIL),
            NONE,
            "unmet_authentication_requirements",
        ),
        (&[UPSTREAM], Some(EMAIL), LOGIN, "sign in again"),
        (&[UPSTREAM], None, ANY, "sign in"),
        (&[], Some("anything"), ANY, "code"),
    ] {
        let params = AuthorizationParams {
            acr: demanded.iter().map(|acr| (*acr).to_owned()).collect(),
            ..params(prompt)
        };
        let current = held.map(|acr| signed_in(1, acr));
        let step = outcome(params, current.as_ref(), 0, true);
        assert_eq!(step, expected, "{demanded:?} with {held:?}");
    }
}

#[test]
fn az_10_a_preferred_acr_leads_to_a_new_sign_in_where_email_reaches_it_and_never_fails() {
    for (preferred, demanded, held, prompt, expected, needs_email_page) in [
        (EMAIL, &[][..], Some(UPSTREAM), ANY, "sign in again", true),
        (
            "phr urn:entree:acr:email",
            &[],
            Some(UPSTREAM),
            ANY,
            "sign in again",
            true,
        ),
        (EMAIL, &[], Some(UPSTREAM), NONE, "code", true),
        (EMAIL, &[], Some(EMAIL), ANY, "code", true),
        (EMAIL, &[], None, ANY, "sign in", true),
        (
            "urn:entree:acr:email urn:entree:acr:upstream",
            &[],
            Some(UPSTREAM),
            ANY,
            "code",
            false,
        ),
        (UPSTREAM, &[], Some(EMAIL), ANY, "code", false),
        ("phr", &[], Some(UPSTREAM), ANY, "code", false),
        (EMAIL, &[UPSTREAM], Some(UPSTREAM), ANY, "code", false),
        ("", &[], Some(UPSTREAM), ANY, "code", false),
    ] {
        let case = format!("{preferred} beside {demanded:?} with {held:?}");
        let params = AuthorizationParams {
            acr: demanded
                .iter()
                .map(|acr: &&str| (*acr).to_owned())
                .collect(),
            acr_values: preferred.to_owned(),
            ..params(prompt)
        };
        let current = held.map(|acr| signed_in(1, acr));
        let step = outcome(params.clone(), current.as_ref(), 0, true);
        assert_eq!(step, expected, "{case}");
        let client = client();
        assert_eq!(
            needs_email(&request(&client, params)),
            needs_email_page,
            "{case}"
        );
    }
}

#[test]
fn se_3_a_session_is_enough() {
    assert_eq!(step(ANY, None, Some(100_000), 0), "code");
    assert_eq!(step(ANY, None, None, 0), "sign in");
}

#[test]
fn pm_1_prompt_none_never_shows_a_page() {
    assert_eq!(step(NONE, None, None, 0), "login_required");
    assert_eq!(step(NONE, None, Some(100), 0), "code");
    assert_eq!(step(NONE, Some(50), Some(100), 0), "login_required");
}

#[test]
fn pm_3_prompt_login_demands_a_sign_in_since_the_request() {
    assert_eq!(step(LOGIN, None, Some(1), 0), "sign in again");
    assert_eq!(step(LOGIN, Some(10_000), Some(1), 0), "sign in again");
    assert_eq!(
        step(LOGIN, None, Some(-30), 60),
        "code",
        "half a minute after the request"
    );
    assert_eq!(step(LOGIN, None, None, 0), "sign in");
}

#[test]
fn pm_4_max_age_counts_from_the_sign_in() {
    assert_eq!(step(ANY, Some(100), Some(100), 0), "code", "to the second");
    assert_eq!(step(ANY, Some(100), Some(101), 0), "sign in again");
    assert_eq!(
        step(ANY, Some(100), Some(90), 11),
        "sign in again",
        "too old once the request continues"
    );
    assert_eq!(step(ANY, Some(0), Some(1), 0), "sign in again", "0 always");
    assert_eq!(
        step(ANY, Some(0), Some(-5), 60),
        "code",
        "a sign-in since the request satisfies it"
    );
    assert_eq!(
        step(ANY, Some(1), Some(-1), 61),
        "code",
        "on the way back from the email"
    );
    assert_eq!(
        step(ANY, Some(1), Some(-1), 62),
        "sign in again",
        "the consent page was open for a minute"
    );
    assert_eq!(step(ANY, Some(300), Some(-1), 301), "code");
    assert_eq!(
        step(LOGIN, None, Some(-1), 3_000),
        "code",
        "prompt=login names no age"
    );
}

#[test]
fn up_08_only_a_sign_in_by_email_is_fresh() {
    let by_provider = |prompt, max_age, age: i64, later| {
        let params = AuthorizationParams {
            max_age,
            ..params(prompt)
        };
        outcome(params, Some(&signed_in(age, UPSTREAM)), later, true)
    };
    assert_eq!(
        by_provider(ANY, None, 100_000, 0),
        "code",
        "without a demand for a fresh one"
    );
    assert_eq!(
        by_provider(LOGIN, None, -30, 60),
        "sign in again",
        "since the request, but at a provider"
    );
    assert_eq!(by_provider(ANY, Some(100), 1, 0), "sign in again");
    assert_eq!(by_provider(NONE, Some(100), 1, 0), "login_required");
    let choose = Prompt {
        select_account: true,
        ..ANY
    };
    assert_eq!(
        by_provider(choose, None, -30, 60),
        "code",
        "a user who chose a provider has chosen"
    );
}

#[test]
fn pm_2_pm_6_consent_is_asked_where_it_is_missing_or_requested() {
    let request_consent = Prompt {
        consent: true,
        ..ANY
    };
    for (prompt, age, has_consent, expected) in [
        (ANY, Some(1), false, "consent"),
        (NONE, Some(1), false, "consent_required"),
        (request_consent, Some(1), true, "consent"),
        (LOGIN, Some(1), false, "sign in again"),
        (ANY, None, true, "sign in"),
    ] {
        let current = age.map(|age| signed_in(age, EMAIL));
        let step = outcome(params(prompt), current.as_ref(), 0, has_consent);
        assert_eq!(step, expected, "{prompt:?}");
    }
}

#[test]
fn oc_6_a_missing_name_is_asked_for_last() {
    let client = Client {
        require_name: true,
        ..client()
    };
    let step = |prompt, name: Option<&str>, has_consent| {
        let mut current = signed_in(1, EMAIL);
        current.user.name = name.map(str::to_owned);
        let request = request(&client, params(prompt));
        let now = Time(REQUESTED_AT);
        match next_step(&request, Some(&current), has_consent, now) {
            NextStep::IssueCode(_) => "code",
            NextStep::AskConsent => "consent",
            NextStep::AskName => "name",
            NextStep::Refuse(error) => error.code.name(),
            NextStep::SignIn { .. } => "sign in",
        }
    };
    for (prompt, name, has_consent, expected) in [
        (ANY, None, true, "name"),
        (ANY, Some(" "), true, "name"),
        (ANY, Some("Ada"), true, "code"),
        (ANY, None, false, "consent"),
        (NONE, None, true, "interaction_required"),
        (NONE, None, false, "consent_required"),
        (NONE, Some("Ada"), true, "code"),
        (LOGIN, None, true, "sign in"),
    ] {
        assert_eq!(step(prompt, name, has_consent), expected, "{prompt:?}");
    }
}

#[test]
fn pm_6_choosing_an_account_shows_the_page() {
    let choose = Prompt {
        select_account: true,
        ..ANY
    };
    assert_eq!(step(choose, None, Some(1), 0), "sign in");
}

#[test]
fn pm_7_another_user_than_the_hinted_one_signs_in_or_is_refused() {
    for (hinted, prompt, age, expected) in [
        (Uuid::from_u128(3), ANY, 1, "code"),
        (Uuid::from_u128(4), ANY, 1, "sign in"),
        (Uuid::from_u128(4), NONE, 1, "login_required"),
        // The user has just signed in for this request, as another one.
        (Uuid::from_u128(4), ANY, -1, "login_required"),
    ] {
        let params = AuthorizationParams {
            hinted_sub: Some(hinted.to_string()),
            ..params(prompt)
        };
        let step = outcome(params, Some(&signed_in(age, EMAIL)), 1, true);
        assert_eq!(step, expected, "{hinted} {prompt:?}");
    }
}
