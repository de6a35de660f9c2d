//! Who must sign in, who must prove again, and who goes on at once.
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
const ASKED: i64 = 1_800_000_000_000;

fn client() -> Client {
    let json = r#"{"client_id":"web","name":"Web","audience":"api","redirect_uris":["https://app.example/cb"]}"#;
    serde_json::from_str(json).unwrap()
}

/// By mail, or by a provider where `auth_time` is odd: the tests below count in whole seconds.
fn proven_at(auth_time: i64) -> CurrentSession {
    let acr = if auth_time % 2 == 0 {
        "urn:entree:acr:email"
    } else {
        "urn:entree:acr:upstream"
    };
    let session = session::Model {
        id: Uuid::from_u128(1),
        user_id: Uuid::from_u128(2),
        secret_hash: vec![],
        previous_hash: None,
        previous_until: None,
        browser_hash: None,
        auth_epoch: 0,
        auth_time: Time(auth_time),
        acr: acr.to_owned(),
        amr: String::new(),
        identity_id: None,
        device: String::new(),
        remembered: false,
        created_at: Time(auth_time),
        last_seen_at: Time(auth_time),
        expires_at: Time(i64::MAX),
        revoked_at: None,
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

const ANY: Prompt = Prompt {
    none: false,
    login: false,
    consent: false,
    select_account: false,
};
const NONE: Prompt = Prompt { none: true, ..ANY };
const LOGIN: Prompt = Prompt { login: true, ..ANY };

fn step(prompt: Prompt, max_age: Option<i64>, age: Option<i64>, later: i64) -> &'static str {
    consented(prompt, max_age, age, later, true)
}

/// In a word: `code`, `sign in`, `prove again`, `consent`, or the error code. `age`: how many seconds before the request the
/// session was proven; `later`: how many seconds after the request it is now.
fn consented(
    prompt: Prompt,
    max_age: Option<i64>,
    age: Option<i64>,
    later: i64,
    consented: bool,
) -> &'static str {
    let current = age.map(|age| proven_at(ASKED - age * 1000));
    outcome(
        AuthorizationParams {
            max_age,
            ..stored(prompt)
        },
        current.as_ref(),
        later,
        consented,
    )
}

fn stored(prompt: Prompt) -> AuthorizationParams {
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
        prompt,
        max_age: None,
        login_hint: String::new(),
        ui_locales: String::new(),
        requested_at: Time(ASKED),
    }
}

fn asked(client: &Client, stored: AuthorizationParams) -> AuthorizationRequest<'_> {
    let uri = VerifiedRedirect::check(client, &stored.redirect_uri).unwrap();
    AuthorizationRequest {
        client,
        target: ResponseTarget {
            uri,
            state: None,
            mode: ResponseMode::Query,
            client_id: "web".to_owned(),
        },
        params: stored,
    }
}

fn only_mail(stored: AuthorizationParams) -> bool {
    needs_email(&asked(&client(), stored))
}

fn outcome(
    stored: AuthorizationParams,
    current: Option<&CurrentSession>,
    later: i64,
    consented: bool,
) -> &'static str {
    match next_step(
        &asked(&client(), stored),
        current,
        consented,
        Time(ASKED + later * 1000),
    ) {
        NextStep::IssueCode(_) => "code",
        NextStep::SignIn { fresh: false } => "sign in",
        NextStep::SignIn { fresh: true } => "prove again",
        NextStep::AskConsent => "consent",
        NextStep::Refuse(error) => error.code.name(),
    }
}

#[test]
fn pm_8_a_strength_that_is_demanded_is_had_proven_again_or_refused() {
    const MAIL: &str = "urn:entree:acr:email";
    for (wanted, held, prompt, expected) in [
        (&[MAIL][..], Some(MAIL), ANY, "code"),
        (&["phr", MAIL], Some(MAIL), NONE, "code"),
        (&[MAIL], Some("urn:entree:acr:upstream"), ANY, "prove again"),
        (
            &[MAIL],
            Some("urn:entree:acr:upstream"),
            NONE,
            "login_required",
        ),
        (
            &["urn:entree:acr:upstream"],
            Some(MAIL),
            ANY,
            "unmet_authentication_requirements",
        ),
        (
            &["urn:entree:acr:upstream"],
            Some(MAIL),
            NONE,
            "unmet_authentication_requirements",
        ),
        (
            &["urn:entree:acr:upstream"],
            Some(MAIL),
            LOGIN,
            "prove again",
        ),
        (&["urn:entree:acr:upstream"], None, ANY, "sign in"),
        (&[], Some("anything"), ANY, "code"),
    ] {
        let acr = wanted.iter().map(|acr| (*acr).to_owned()).collect();
        let current = held.map(|held| {
            let mut current = proven_at(ASKED - 1000);
            held.clone_into(&mut current.session.acr);
            current
        });
        let told = outcome(
            AuthorizationParams {
                acr,
                ..stored(prompt)
            },
            current.as_ref(),
            0,
            true,
        );
        assert_eq!(told, expected, "{wanted:?} of {held:?}");
    }
}

#[test]
fn az_10_a_wished_strength_is_proven_again_where_mail_reaches_it_and_never_refused() {
    const MAIL: &str = "urn:entree:acr:email";
    const UPSTREAM: &str = "urn:entree:acr:upstream";
    for (wished, demanded, held, prompt, expected, mail_only) in [
        (MAIL, &[][..], Some(UPSTREAM), ANY, "prove again", true),
        (
            "phr urn:entree:acr:email",
            &[],
            Some(UPSTREAM),
            ANY,
            "prove again",
            true,
        ),
        (MAIL, &[], Some(UPSTREAM), NONE, "code", true),
        (MAIL, &[], Some(MAIL), ANY, "code", true),
        (MAIL, &[], None, ANY, "sign in", true),
        (
            "urn:entree:acr:email urn:entree:acr:upstream",
            &[],
            Some(UPSTREAM),
            ANY,
            "code",
            false,
        ),
        (UPSTREAM, &[], Some(MAIL), ANY, "code", false),
        ("phr", &[], Some(UPSTREAM), ANY, "code", false),
        (MAIL, &[UPSTREAM], Some(UPSTREAM), ANY, "code", false),
        ("", &[], Some(UPSTREAM), ANY, "code", false),
    ] {
        let acr = demanded
            .iter()
            .map(|acr: &&str| (*acr).to_owned())
            .collect();
        let current = held.map(|held| {
            let mut current = proven_at(ASKED - 1000);
            held.clone_into(&mut current.session.acr);
            current
        });
        let stored = AuthorizationParams {
            acr,
            acr_values: wished.to_owned(),
            ..stored(prompt)
        };
        let told = outcome(stored.clone(), current.as_ref(), 0, true);
        assert_eq!(told, expected, "{wished} beside {demanded:?} of {held:?}");
        assert_eq!(
            only_mail(stored),
            mail_only,
            "{wished} beside {demanded:?}: the sign-in page"
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
fn pm_3_prompt_login_wants_a_proof_since_the_request() {
    assert_eq!(step(LOGIN, None, Some(1), 0), "prove again");
    assert_eq!(step(LOGIN, Some(10_000), Some(1), 0), "prove again");
    assert_eq!(
        step(LOGIN, None, Some(-30), 60),
        "code",
        "proven half a minute after the request"
    );
    assert_eq!(step(LOGIN, None, None, 0), "sign in");
}

#[test]
fn pm_4_max_age_counts_from_the_proof() {
    assert_eq!(step(ANY, Some(100), Some(100), 0), "code", "to the second");
    assert_eq!(step(ANY, Some(100), Some(101), 0), "prove again");
    assert_eq!(
        step(ANY, Some(100), Some(90), 11),
        "prove again",
        "it grew too old while the request waited"
    );
    assert_eq!(step(ANY, Some(0), Some(1), 0), "prove again", "0 always");
    assert_eq!(
        step(ANY, Some(0), Some(-5), 60),
        "code",
        "a proof since the request satisfies it"
    );
    assert_eq!(
        step(ANY, Some(1), Some(-1), 61),
        "code",
        "on the way back from the mail"
    );
    assert_eq!(
        step(ANY, Some(1), Some(-1), 62),
        "prove again",
        "the question for consent lay there for a minute"
    );
    assert_eq!(step(ANY, Some(300), Some(-1), 301), "code");
    assert_eq!(
        step(LOGIN, None, Some(-1), 3_000),
        "code",
        "prompt=login names no age"
    );
}

#[test]
fn up_08_only_a_proof_by_mail_is_fresh() {
    // A millisecond more: see `proven_at`.
    let by_provider = |prompt, max_age, age: i64, later| {
        let current = proven_at(ASKED - age * 1000 + 1);
        outcome(
            AuthorizationParams {
                max_age,
                ..stored(prompt)
            },
            Some(&current),
            later,
            true,
        )
    };
    assert_eq!(
        by_provider(ANY, None, 100_000, 0),
        "code",
        "where nothing fresh is wanted"
    );
    assert_eq!(
        by_provider(LOGIN, None, -30, 60),
        "prove again",
        "since the request, but by a provider"
    );
    assert_eq!(by_provider(ANY, Some(100), 1, 0), "prove again");
    assert_eq!(by_provider(NONE, Some(100), 1, 0), "login_required");
    let choose = Prompt {
        select_account: true,
        ..ANY
    };
    assert_eq!(
        by_provider(choose, None, -30, 60),
        "code",
        "who chose a provider has chosen"
    );
}

#[test]
fn pm_2_pm_6_consent_is_asked_where_it_is_missing_or_wanted() {
    let wants = Prompt {
        consent: true,
        ..ANY
    };
    assert_eq!(consented(ANY, None, Some(1), 0, false), "consent");
    assert_eq!(consented(NONE, None, Some(1), 0, false), "consent_required");
    assert_eq!(
        consented(wants, None, Some(1), 0, true),
        "consent",
        "always asks"
    );
    assert_eq!(
        consented(LOGIN, None, Some(1), 0, false),
        "prove again",
        "first who, then what"
    );
    assert_eq!(consented(ANY, None, None, 0, true), "sign in");
}

#[test]
fn pm_6_choosing_an_account_shows_the_page() {
    assert_eq!(
        step(
            Prompt {
                select_account: true,
                ..ANY
            },
            None,
            Some(1),
            0
        ),
        "sign in"
    );
}
