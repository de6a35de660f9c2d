//! What an authorization request may say, and what is said to one that may not.
#![allow(clippy::unwrap_used)]

use std::sync::OnceLock;

use super::*;

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CALLBACK: &str = "https://app.example/cb";
const NOW: Time = Time(1_800_000_000_000);

const BASE: [(&str, &str); 8] = [
    ("client_id", "web"),
    ("redirect_uri", CALLBACK),
    ("response_type", "code"),
    ("scope", "openid email"),
    ("state", "s"),
    ("nonce", "n"),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
];

fn config() -> &'static Reloadable {
    static CONFIG: OnceLock<Reloadable> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let client = r#"{"client_id":"web","name":"Web","audience":"api","redirect_uris":["https://app.example/cb"]}"#;
        Reloadable { clients: vec![serde_json::from_str(client).unwrap()], ..Reloadable::default() }
    })
}

/// Takes `hint SUBJECT` for an ID token of ours.
struct Subjects;

impl HintVerifier for Subjects {
    fn issuer(&self) -> &str {
        "https://id.example"
    }

    fn subject_of_hint(&self, hint: &str) -> Result<String, OauthError> {
        hint.strip_prefix("hint ")
            .map(str::to_owned)
            .ok_or(invalid("The hint is not ours."))
    }
}

fn encoded<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Params {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    raw(&query)
}

fn raw(query: &str) -> Params {
    Params::from_form(query.as_bytes(), Some("application/x-www-form-urlencoded")).unwrap()
}

fn parse<'a>(
    params: &Params,
    config: &'a Reloadable,
) -> Result<AuthorizationRequest<'a>, AuthorizationRequestError> {
    let environment = RequestEnvironment {
        config,
        hints: &Subjects,
        now: NOW,
    };
    AuthorizationRequest::parse(params, &environment)
}

/// The usual request without some of its parameters and with others at its end.
fn ask(
    without: &[&str],
    with: &[(&str, &str)],
) -> Result<AuthorizationRequest<'static>, AuthorizationRequestError> {
    let pairs = BASE
        .into_iter()
        .filter(|(name, _)| !without.contains(name))
        .chain(with.iter().copied());
    parse(&encoded(pairs), config())
}

/// The usual request with one parameter of another value.
fn with(
    name: &str,
    value: &str,
) -> Result<AuthorizationRequest<'static>, AuthorizationRequestError> {
    ask(&[name], &[(name, value)])
}

/// In a word or two: `ok`, `page PARAMETER`, or the error code that is sent back.
fn outcome(result: &Result<AuthorizationRequest<'_>, AuthorizationRequestError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(AuthorizationRequestError::NoRedirect(parameter)) => format!("page {parameter}"),
        Err(AuthorizationRequestError::Redirect(back, error)) => {
            assert_eq!(back.uri.as_str(), CALLBACK);
            let sound = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
            assert!(
                error.description().chars().all(sound),
                "ER-1: {}",
                error.description()
            );
            error.code.name().to_owned()
        }
    }
}

#[test]
fn az_2_az_4_without_a_client_and_its_own_place_there_is_only_a_page() {
    for (without, add, expected) in [
        (&["client_id"][..], &[][..], "page client_id"),
        (&["client_id"], &[("client_id", "")], "page client_id"),
        (&["client_id"], &[("client_id", "WEB")], "page client_id"),
        (&["client_id"], &[("client_id", "other")], "page client_id"),
        (&[], &[("client_id", "web")], "page client_id"),
        (&[], &[("client_id", "other")], "page client_id"),
        (&["redirect_uri"], &[], "page redirect_uri"),
        (
            &["redirect_uri"],
            &[("redirect_uri", "")],
            "page redirect_uri",
        ),
        (
            &["redirect_uri"],
            &[("redirect_uri", "https://evil.example/cb")],
            "page redirect_uri",
        ),
        (&[], &[("redirect_uri", CALLBACK)], "page redirect_uri"),
        (
            &[],
            &[("redirect_uri", "https://evil.example/cb")],
            "page redirect_uri",
        ),
    ] {
        assert_eq!(
            outcome(&ask(without, add)),
            expected,
            "without {without:?} with {add:?}"
        );
    }
    let long = format!("{CALLBACK}?{}", "x".repeat(3000));
    assert_eq!(outcome(&with("redirect_uri", &long)), "page redirect_uri");
}

#[test]
fn az_2_bad_addressee_comes_before_every_other_fault() {
    for fault in [
        ("response_type", "token"),
        ("request", "x"),
        ("prompt", "none login"),
        ("state", "again"),
    ] {
        assert_eq!(
            outcome(&ask(&["client_id"], &[("client_id", "other"), fault])),
            "page client_id"
        );
        assert_eq!(
            outcome(&ask(
                &["redirect_uri"],
                &[("redirect_uri", "//evil"), fault]
            )),
            "page redirect_uri"
        );
    }
}

#[test]
fn az_5_cp_2_only_the_code_flow() {
    assert_eq!(outcome(&ask(&["response_type"], &[])), "invalid_request");
    for other in [
        "token",
        "id_token",
        "code id_token",
        "code token",
        "none",
        "CODE",
        "code ",
        "code code",
        "x",
    ] {
        assert_eq!(
            outcome(&with("response_type", other)),
            "unsupported_response_type",
            "{other}"
        );
    }
}

#[test]
fn az_6_what_we_do_not_know_is_ignored() {
    let extra = [("foo", "bar"), ("foo", "baz"), ("audience", "x"), ("", "")];
    assert_eq!(outcome(&ask(&[], &extra)), "ok");
    let base = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(BASE)
        .finish();
    for broken in ["foo=%zz", "%ff=%ff", "foo", "=", "&&&", "foo=%00"] {
        let params = raw(&format!("{base}&{broken}"));
        assert_eq!(outcome(&parse(&params, config())), "ok", "{broken}");
    }
    assert_eq!(
        with("scope", "email unknown").unwrap().params.scope,
        "email"
    );
    assert_eq!(ask(&["scope"], &[]).unwrap().params.scope, "");
}

#[test]
fn az_7_a_known_parameter_stands_once() {
    for name in KNOWN {
        let expected = match name {
            "client_id" => "page client_id",
            "redirect_uri" => "page redirect_uri",
            _ => "invalid_request",
        };
        let value = BASE
            .iter()
            .find(|(known, _)| *known == name)
            .map_or("x", |(_, value)| value);
        assert_eq!(
            outcome(&ask(&[name], &[(name, value), (name, value)])),
            expected,
            "{name} twice the same"
        );
        assert_eq!(
            outcome(&ask(&[name], &[(name, value), (name, "")])),
            expected,
            "{name} and empty"
        );
    }
    // Known by the standard alone: we act on neither.
    for name in ["display", "claims_locales"] {
        assert_eq!(
            outcome(&ask(&[], &[(name, "x"), (name, "y")])),
            "invalid_request",
            "{name}"
        );
    }
}

#[test]
fn az_8_az_9_state_and_nonce_come_back_byte_for_byte() {
    let long = "-._~".repeat(96);
    for text in [
        "x",
        long.as_str(),
        "a b+c%20&=#",
        "ünïcödé ✓",
        "\"<script>\\",
        "\u{7f}\u{1}",
        " lead and trail ",
    ] {
        let asked = ask(&["state", "nonce"], &[("state", text), ("nonce", text)]).unwrap();
        assert_eq!(asked.params.nonce.as_deref(), Some(text));
        assert_eq!(asked.params.state.as_deref(), Some(text));
        assert_eq!(asked.target.state.as_deref(), Some(text));
    }
    for text in ["a\nb", "a\r"] {
        assert_eq!(
            outcome(&ask(&["state"], &[("state", text)])),
            "invalid_request",
            "a form would change it"
        );
    }
    let absent = ask(&["state", "nonce"], &[]).unwrap();
    assert_eq!(
        (
            absent.params.state,
            absent.params.nonce,
            absent.target.state
        ),
        (None, None, None)
    );
}

#[test]
fn az_8_an_error_brings_the_state_back_unless_the_state_is_the_error() {
    let Err(AuthorizationRequestError::Redirect(back, _)) = with("response_type", "token") else {
        unreachable!()
    };
    assert_eq!(back.state.as_deref(), Some("s"));
    for bad in [
        &[("state", "a"), ("state", "b")][..],
        &[("state", &"x".repeat(5000))],
    ] {
        let Err(AuthorizationRequestError::Redirect(back, error)) = ask(&["state"], bad) else {
            unreachable!()
        };
        assert_eq!((back.state, error.code), (None, ErrorCode::InvalidRequest));
    }
}

#[test]
fn az_10_hints_never_fail() {
    let long = "x".repeat(5000);
    for (name, value) in [
        ("display", "page"),
        ("display", "popup"),
        ("display", "nonsense"),
        ("ui_locales", "fr-CA fr en"),
        ("ui_locales", "!!!"),
        ("ui_locales", &long),
        ("claims_locales", "de"),
        ("login_hint", "not an address"),
        ("login_hint", &long),
        ("acr_values", "urn:nothing 1 2"),
        ("acr_values", &long),
        ("claims", "{\"userinfo\":{\"name\":null}}"),
        ("claims", "{{{"),
    ] {
        assert_eq!(
            outcome(&ask(&[], &[(name, value)])),
            "ok",
            "{name}={value:.20}"
        );
    }
    let hinted = ask(
        &[],
        &[("login_hint", "ada@example.com"), ("ui_locales", "fr")],
    )
    .unwrap()
    .params;
    assert_eq!(
        (hinted.login_hint.as_str(), hinted.ui_locales.as_str()),
        ("ada@example.com", "fr")
    );
    assert_eq!(
        ask(&[], &[("login_hint", &long)])
            .unwrap()
            .params
            .login_hint,
        ""
    );
    assert_eq!(
        ask(&[], &[("acr_values", "a b")])
            .unwrap()
            .params
            .acr_values,
        "a b"
    );
}

#[test]
fn az_12_az_13_request_objects_are_refused_by_name() {
    let value = "eyJhbGciOiJub25lIn0.e30.";
    assert_eq!(
        outcome(&ask(&[], &[("request", value)])),
        "request_not_supported"
    );
    assert_eq!(
        outcome(&ask(&[], &[("request_uri", value)])),
        "request_uri_not_supported"
    );
    for name in ["request", "request_uri"] {
        assert_eq!(
            outcome(&ask(&[], &[(name, "")])),
            "ok",
            "without a value it is left out: {name}"
        );
        assert_eq!(
            outcome(&ask(&[], &[(name, ""), (name, "")])),
            "invalid_request",
            "{name}"
        );
    }
    let bad = [("redirect_uri", "https://evil.example"), ("request", "x")];
    assert_eq!(outcome(&ask(&["redirect_uri"], &bad)), "page redirect_uri");
}

#[test]
fn az_14_answers_and_errors_travel_as_asked() {
    for (name, mode) in [
        ("query", ResponseMode::Query),
        ("form_post", ResponseMode::FormPost),
    ] {
        let asked = ask(&[], &[("response_mode", name)]).unwrap();
        assert_eq!((asked.target.mode, asked.params.mode), (mode, mode));
        let Err(AuthorizationRequestError::Redirect(back, _)) = ask(
            &["scope", "nonce", "response_type"],
            &[("response_mode", name)],
        ) else {
            unreachable!()
        };
        assert_eq!(back.mode, mode);
    }
    for mode in ["fragment", "FORM_POST", "query.jwt", "web_message", "x"] {
        assert_eq!(
            outcome(&ask(&[], &[("response_mode", mode)])),
            "invalid_request",
            "{mode}"
        );
    }
}

#[test]
fn az_23_one_registered_resource() {
    assert_eq!(
        ask(&[], &[("resource", "api")])
            .unwrap()
            .params
            .resources
            .as_deref(),
        Some("api")
    );
    assert_eq!(ask(&[], &[]).unwrap().params.resources, None);
    for resource in ["https://other.example", "API", "api/", "api#x"] {
        assert_eq!(
            outcome(&ask(&[], &[("resource", resource)])),
            "invalid_target",
            "{resource}"
        );
    }
    let twice = ask(&[], &[("resource", "api"), ("resource", "api")]).unwrap();
    assert_eq!(
        twice.params.resources.as_deref(),
        Some("api"),
        "RFC 8707 §2: it may be repeated"
    );
}

#[test]
fn pm_7_a_hint_that_is_not_ours_is_refused() {
    assert_eq!(
        ask(&[], &[("id_token_hint", "hint ada")])
            .unwrap()
            .params
            .hinted_sub
            .as_deref(),
        Some("ada")
    );
    assert_eq!(
        outcome(&ask(&[], &[("id_token_hint", "nonsense")])),
        "invalid_request"
    );
}

#[test]
fn az_18_rd_07_pkce_with_s256_and_nothing_less() {
    assert_eq!(outcome(&ask(&["code_challenge"], &[])), "invalid_request");
    assert_eq!(
        outcome(&ask(&["code_challenge_method"], &[])),
        "invalid_request",
        "the default would be plain"
    );
    assert_eq!(
        outcome(&ask(&["code_challenge", "code_challenge_method"], &[])),
        "invalid_request"
    );
    for method in ["plain", "s256", "S512", "none"] {
        assert_eq!(
            outcome(&with("code_challenge_method", method)),
            "invalid_request",
            "{method}"
        );
    }
    let with_padding = format!("{CHALLENGE}=");
    for challenge in [
        &CHALLENGE[1..],
        &with_padding,
        &"+".repeat(43),
        &"=".repeat(43),
        &"A".repeat(44),
        "x",
    ] {
        assert_eq!(
            outcome(&with("code_challenge", challenge)),
            "invalid_request",
            "{challenge}"
        );
    }
}

#[test]
fn cp_1_rd_07_to_ask_without_pkce_is_a_confidential_clients_own_choice() {
    for (method, require_pkce, expected) in [
        ("client_secret_basic", false, "ok"),
        ("client_secret_post", false, "ok"),
        ("private_key_jwt", false, "ok"),
        ("client_secret_basic", true, "invalid_request"),
        ("private_key_jwt", true, "invalid_request"),
        ("none", true, "invalid_request"),
        ("none", false, "invalid_request"),
    ] {
        let client = format!(
            r#"{{"client_id":"web","name":"Web","audience":"api","redirect_uris":["{CALLBACK}"],
            "token_endpoint_auth_method":"{method}","require_pkce":{require_pkce}}}"#
        );
        let config = Reloadable {
            clients: vec![serde_json::from_str(&client).unwrap()],
            ..Reloadable::default()
        };
        let ask = |without: &[&str]| {
            let pairs = BASE.into_iter().filter(|(name, _)| !without.contains(name));
            let asked = parse(&encoded(pairs), &config);
            (
                outcome(&asked),
                asked.ok().and_then(|asked| asked.params.code_challenge),
            )
        };
        let none = ask(&["code_challenge", "code_challenge_method"]);
        assert_eq!(
            none,
            (expected.to_owned(), None),
            "{method}, {require_pkce}"
        );
        // Whoever sends a challenge is held to it, and a method alone is half a thought.
        assert_eq!(
            ask(&[]),
            ("ok".to_owned(), Some(CHALLENGE.to_owned())),
            "{method}, {require_pkce}"
        );
        assert_eq!(
            ask(&["code_challenge"]).0,
            "invalid_request",
            "{method}, {require_pkce}"
        );
        assert_eq!(
            ask(&["code_challenge_method"]).0,
            "invalid_request",
            "AZ-18: plain; {method}, {require_pkce}"
        );
    }
}

#[test]
fn pm_2_prompt_none_stands_alone() {
    for both in [
        "none login",
        "login none",
        "none consent",
        "none none",
        "none x",
    ] {
        assert_eq!(
            outcome(&ask(&[], &[("prompt", both)])),
            "invalid_request",
            "{both}"
        );
    }
    let any = Prompt::default();
    for (value, expected) in [
        ("none", Prompt { none: true, ..any }),
        ("login", Prompt { login: true, ..any }),
        (
            "consent login",
            Prompt {
                login: true,
                consent: true,
                ..any
            },
        ),
        (
            "select_account",
            Prompt {
                select_account: true,
                ..any
            },
        ),
        (
            "consent",
            Prompt {
                consent: true,
                ..any
            },
        ),
        ("create", any),
        ("NONE", any),
        ("", any),
    ] {
        assert_eq!(
            ask(&[], &[("prompt", value)]).unwrap().params.prompt,
            expected,
            "{value}"
        );
    }
}

#[test]
fn pm_4_max_age_is_a_number_of_seconds() {
    for (text, expected) in [
        ("0", Some(0)),
        ("1", Some(1)),
        ("4294967295", Some(4_294_967_295)),
        ("", None),
    ] {
        assert_eq!(
            ask(&[], &[("max_age", text)]).unwrap().params.max_age,
            expected,
            "{text}"
        );
    }
    for text in [
        "-1",
        "1.5",
        "1s",
        "x",
        "4294967296",
        "99999999999999999999",
        " 1",
        "0x1",
    ] {
        assert_eq!(
            outcome(&ask(&[], &[("max_age", text)])),
            "invalid_request",
            "{text}"
        );
    }
}

#[test]
fn cw_05_a_request_that_waited_is_compared_with_what_is_registered_now() {
    let params = ask(&[], &[]).unwrap().params;
    let text = serde_json::to_string(&params).unwrap();
    assert_eq!(
        serde_json::from_str::<AuthorizationParams>(&text).unwrap(),
        params
    );
    assert!(AuthorizationRequest::restore(params.clone(), config()).is_some());
    let moved = AuthorizationParams {
        redirect_uri: "https://evil.example/cb".to_owned(),
        ..params.clone()
    };
    assert!(AuthorizationRequest::restore(moved, config()).is_none());
    assert!(AuthorizationRequest::restore(params, &Reloadable::default()).is_none());
}
