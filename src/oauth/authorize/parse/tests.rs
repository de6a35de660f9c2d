#![allow(clippy::unwrap_used)]

use std::sync::OnceLock;

use super::*;
use crate::oauth::authorize::request::PushReference;

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

/// Accepts `hint SUBJECT` as an ID token that we issued.
struct FakeHints;

impl HintVerifier for FakeHints {
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

fn parse_with<'a>(
    params: &Params,
    config: &'a Reloadable,
) -> Result<AuthorizationRequest<'a>, AuthorizationRequestError> {
    parse_over(Channel::Browser, params, config)
}

fn parse_over<'a>(
    channel: Channel,
    params: &Params,
    config: &'a Reloadable,
) -> Result<AuthorizationRequest<'a>, AuthorizationRequestError> {
    let environment = RequestEnvironment {
        config,
        hints: &FakeHints,
        now: NOW,
        channel,
    };
    parse(params, &environment)
}

/// Parses the usual request without some of its parameters and with others at its end.
fn parse_request(
    without: &[&str],
    with: &[(&str, &str)],
) -> Result<AuthorizationRequest<'static>, AuthorizationRequestError> {
    let pairs = BASE
        .into_iter()
        .filter(|(name, _)| !without.contains(name))
        .chain(with.iter().copied());
    parse_with(&encoded(pairs), config())
}

/// Parses the usual request with another value of one parameter.
fn parse_changed(
    name: &str,
    value: &str,
) -> Result<AuthorizationRequest<'static>, AuthorizationRequestError> {
    parse_request(&[name], &[(name, value)])
}

/// `ok`, `page PARAMETER`, or the error code that is sent to the client.
fn outcome(result: &Result<AuthorizationRequest<'_>, AuthorizationRequestError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(AuthorizationRequestError::NoRedirect(parameter)) => format!("page {parameter}"),
        Err(AuthorizationRequestError::Redirect(target, error)) => {
            assert_eq!(target.uri.as_str(), CALLBACK);
            let is_allowed = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
            assert!(
                error.description().chars().all(is_allowed),
                "ER-1: {}",
                error.description()
            );
            error.code.name().to_owned()
        }
    }
}

#[test]
fn az_2_az_4_without_a_client_and_its_redirect_uri_there_is_only_a_page() {
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
            outcome(&parse_request(without, add)),
            expected,
            "without {without:?} with {add:?}"
        );
    }
    let long = format!("{CALLBACK}?{}", "x".repeat(3000));
    assert_eq!(
        outcome(&parse_changed("redirect_uri", &long)),
        "page redirect_uri"
    );
}

#[test]
fn az_2_a_wrong_client_or_redirect_uri_comes_before_every_other_error() {
    for other_error in [
        ("response_type", "token"),
        ("request", "x"),
        ("prompt", "none login"),
        ("state", "again"),
    ] {
        assert_eq!(
            outcome(&parse_request(
                &["client_id"],
                &[("client_id", "other"), other_error]
            )),
            "page client_id"
        );
        assert_eq!(
            outcome(&parse_request(
                &["redirect_uri"],
                &[("redirect_uri", "//evil"), other_error]
            )),
            "page redirect_uri"
        );
    }
}

#[test]
fn az_5_cp_2_only_the_code_flow() {
    assert_eq!(
        outcome(&parse_request(&["response_type"], &[])),
        "invalid_request"
    );
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
            outcome(&parse_changed("response_type", other)),
            "unsupported_response_type",
            "{other}"
        );
    }
}

#[test]
fn az_6_unknown_parameters_and_scopes_are_ignored() {
    let extra = [("foo", "bar"), ("foo", "baz"), ("audience", "x"), ("", "")];
    assert_eq!(outcome(&parse_request(&[], &extra)), "ok");
    let base = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(BASE)
        .finish();
    for broken in ["foo=%zz", "%ff=%ff", "foo", "=", "&&&", "foo=%00"] {
        let params = raw(&format!("{base}&{broken}"));
        assert_eq!(outcome(&parse_with(&params, config())), "ok", "{broken}");
    }
    assert_eq!(
        parse_changed("scope", "email unknown")
            .unwrap()
            .params
            .scope,
        "email"
    );
    assert_eq!(parse_request(&["scope"], &[]).unwrap().params.scope, "");
}

#[test]
fn az_7_a_known_parameter_is_not_repeated() {
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
            outcome(&parse_request(&[name], &[(name, value), (name, value)])),
            expected,
            "{name} twice the same"
        );
        assert_eq!(
            outcome(&parse_request(&[name], &[(name, value), (name, "")])),
            expected,
            "{name} and empty"
        );
    }
    // Parameters of the standard that we do not read.
    for name in ["display", "claims_locales"] {
        assert_eq!(
            outcome(&parse_request(&[], &[(name, "x"), (name, "y")])),
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
        " spaces around ",
    ] {
        let request =
            parse_request(&["state", "nonce"], &[("state", text), ("nonce", text)]).unwrap();
        assert_eq!(request.params.nonce.as_deref(), Some(text));
        assert_eq!(request.params.state.as_deref(), Some(text));
        assert_eq!(request.target.state.as_deref(), Some(text));
    }
    for text in ["a\nb", "a\r", "a\u{1}", "\u{7f}"] {
        assert_eq!(
            outcome(&parse_request(&["state"], &[("state", text)])),
            "invalid_request",
            "a form or a store would change it"
        );
    }
    let absent = parse_request(&["state", "nonce"], &[]).unwrap();
    assert_eq!(
        (
            absent.params.state,
            absent.params.nonce,
            absent.target.state
        ),
        (None, None, None)
    );
}

/// The target and the error of a refused request.
fn refused(
    result: Result<AuthorizationRequest<'_>, AuthorizationRequestError>,
) -> (ResponseTarget, OauthError) {
    match result {
        Err(AuthorizationRequestError::Redirect(target, error)) => (*target, error),
        other => panic!("not redirected: {}", outcome(&other)),
    }
}

#[test]
fn oc_1_st_15_state_and_nonce_have_4096_bytes_and_a_request_8_kib() {
    let (most, long) = ("é".repeat(2048), "x".repeat(4097));
    for name in ["state", "nonce"] {
        let request = parse_changed(name, &most).unwrap();
        let value = match name {
            "state" => request.target.state,
            _ => request.params.nonce,
        };
        assert_eq!(value.as_deref(), Some(&*most));
        let (_, error) = refused(parse_changed(name, &long));
        assert_eq!(
            error.description(),
            format!("The parameter {name} is too long.")
        );
    }
    let whole = parse_request(
        &["state", "nonce"],
        &[("state", &most), ("nonce", &long[..3500])],
    );
    assert_eq!(outcome(&whole), "ok");
    let both = [("state", &*most), ("nonce", &most)];
    let (target, error) = refused(parse_request(&["state", "nonce"], &both));
    assert_eq!(target.state.as_deref(), Some(&*most));
    assert_eq!(error.description(), "The request is longer than 8 KiB.");
}

#[test]
fn oc_1_az_8_every_redirected_refusal_carries_the_state() {
    let long = "x".repeat(5000);
    for (bad, expected) in [
        (&[("state", "s"), ("response_type", "token")][..], "s"),
        (&[("state", "a"), ("state", "b")], "a"),
        (&[("state", ""), ("state", "b")], "b"),
        (&[("state", "a\nb")], "a\nb"),
        (&[("state", "a\0b")], "a\0b"),
        (&[("state", &long)], &long),
    ] {
        let (target, error) = refused(parse_request(&["state"], bad));
        assert_eq!(target.state.as_deref(), Some(expected));
        assert_eq!(error.code, ErrorCode::InvalidRequest, "{bad:?}");
    }
    let base = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(BASE.iter().filter(|(name, _)| *name != "state"))
        .finish();
    for broken in ["state=%zz", "state=%ff"] {
        let params = raw(&format!("{base}&{broken}"));
        assert_eq!(
            outcome(&parse_with(&params, config())),
            "page state",
            "{broken} cannot be repeated"
        );
    }
}

/// An unsecured request object with these members (RFC 7519 §6).
fn request_object(members: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(members))
}

#[test]
fn oc_10_a_refused_request_object_says_how_its_error_travels() {
    let object = request_object(
        r#"{"state":"inside","response_mode":"form_post","redirect_uri":"https://evil.example"}"#,
    );
    let outside = [("request", &*object)];
    let (target, error) = refused(parse_request(&["state"], &outside));
    assert_eq!(error.code, ErrorCode::RequestNotSupported);
    assert_eq!(target.state.as_deref(), Some("inside"));
    assert_eq!(target.mode, ResponseMode::FormPost);
    assert_eq!(target.uri.as_str(), CALLBACK);
    // What the query says wins.
    let both = [("request", &*object), ("response_mode", "query")];
    let (target, _) = refused(parse_request(&[], &both));
    assert_eq!(target.state.as_deref(), Some("s"));
    assert_eq!(target.mode, ResponseMode::Query);
    // The redirect URI and the client are never read from it.
    assert_eq!(
        outcome(&parse_request(&["redirect_uri"], &outside)),
        "page redirect_uri"
    );
}

#[test]
fn oc_10_a_request_object_that_cannot_be_read_says_nothing() {
    for object in [
        "x",
        "a.b.c",
        "..",
        &request_object("[]"),
        &request_object(r#"{"state":7,"response_mode":"form_post"}"#),
        &request_object(r#"{"state":"","response_mode":"fragment"}"#),
        &request_object("\u{7}"),
    ] {
        let (target, error) = refused(parse_request(&["state"], &[("request", object)]));
        assert_eq!(error.code, ErrorCode::RequestNotSupported, "{object}");
        assert_eq!(target.state, None, "{object}");
        assert_eq!(target.mode, ResponseMode::Query, "{object}");
    }
    let object = request_object(r#"{"state":"inside"}"#);
    let (target, error) = refused(parse_request(&["state"], &[("request_uri", &object)]));
    assert_eq!(
        (target.state, error.code),
        (None, ErrorCode::RequestUriNotSupported)
    );
    // A request that has none is no refused one.
    let request = parse_request(&["state"], &[("request", "")]).unwrap();
    assert_eq!(request.target.state, None);
}

/// The bounds of a `state` in the query hold for one in a request object, too.
#[test]
fn oc_10_a_request_object_carries_a_state_that_a_query_could_have() {
    let carried = |state: &str| {
        let object = request_object(&serde_json::json!({ "state": state }).to_string());
        let (target, error) = refused(parse_request(&["state"], &[("request", &object)]));
        assert_eq!(error.code, ErrorCode::RequestNotSupported);
        target.state
    };
    let longest = "x".repeat(4096);
    assert_eq!(carried(&longest), Some(longest.clone()));
    for state in [&format!("{longest}x"), "a\nb", "a\0b", "\u{7f}", "a\u{85}b"] {
        assert_eq!(carried(state), None, "{} bytes", state.len());
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
            outcome(&parse_request(&[], &[(name, value)])),
            "ok",
            "{name}={value:.20}"
        );
    }
    let params = parse_request(
        &[],
        &[("login_hint", "ada@example.com"), ("ui_locales", "fr")],
    )
    .unwrap()
    .params;
    assert_eq!(
        (params.login_hint.as_str(), params.ui_locales.as_str()),
        ("ada@example.com", "fr")
    );
    assert_eq!(
        parse_request(&[], &[("login_hint", &long)])
            .unwrap()
            .params
            .login_hint,
        ""
    );
    assert_eq!(
        parse_request(&[], &[("acr_values", "a b")])
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
        outcome(&parse_request(&[], &[("request", value)])),
        "request_not_supported"
    );
    assert_eq!(
        outcome(&parse_request(&[], &[("request_uri", value)])),
        "request_uri_not_supported"
    );
    for name in ["request", "request_uri"] {
        assert_eq!(
            outcome(&parse_request(&[], &[(name, "")])),
            "ok",
            "absent without a value: {name}"
        );
        assert_eq!(
            outcome(&parse_request(&[], &[(name, ""), (name, "")])),
            "invalid_request",
            "{name}"
        );
    }
    let bad = [("redirect_uri", "https://evil.example"), ("request", "x")];
    assert_eq!(
        outcome(&parse_request(&["redirect_uri"], &bad)),
        "page redirect_uri"
    );
}

#[test]
fn az_14_responses_and_errors_travel_in_the_requested_mode() {
    for (name, mode) in [
        ("query", ResponseMode::Query),
        ("form_post", ResponseMode::FormPost),
    ] {
        let request = parse_request(&[], &[("response_mode", name)]).unwrap();
        assert_eq!((request.target.mode, request.params.mode), (mode, mode));
        let Err(AuthorizationRequestError::Redirect(target, _)) = parse_request(
            &["scope", "nonce", "response_type"],
            &[("response_mode", name)],
        ) else {
            unreachable!()
        };
        assert_eq!(target.mode, mode);
    }
    for mode in ["fragment", "FORM_POST", "query.jwt", "web_message", "x"] {
        assert_eq!(
            outcome(&parse_request(&[], &[("response_mode", mode)])),
            "invalid_request",
            "{mode}"
        );
    }
}

#[test]
fn az_23_one_registered_resource() {
    assert_eq!(
        parse_request(&[], &[("resource", "api")])
            .unwrap()
            .params
            .resources
            .as_deref(),
        Some("api")
    );
    assert_eq!(parse_request(&[], &[]).unwrap().params.resources, None);
    for resource in ["https://other.example", "API", "api/", "api#x"] {
        assert_eq!(
            outcome(&parse_request(&[], &[("resource", resource)])),
            "invalid_target",
            "{resource}"
        );
    }
    let twice = parse_request(&[], &[("resource", "api"), ("resource", "api")]).unwrap();
    assert_eq!(
        twice.params.resources.as_deref(),
        Some("api"),
        "RFC 8707 §2: it may be repeated"
    );
}

#[test]
fn pm_7_a_hint_that_is_not_ours_is_refused() {
    assert_eq!(
        parse_request(&[], &[("id_token_hint", "hint ada")])
            .unwrap()
            .params
            .hinted_sub
            .as_deref(),
        Some("ada")
    );
    assert_eq!(
        outcome(&parse_request(&[], &[("id_token_hint", "nonsense")])),
        "invalid_request"
    );
}

#[test]
fn az_18_rd_07_pkce_with_s256_and_nothing_less() {
    assert_eq!(
        outcome(&parse_request(&["code_challenge"], &[])),
        "invalid_request"
    );
    assert_eq!(
        outcome(&parse_request(&["code_challenge_method"], &[])),
        "invalid_request",
        "the default would be plain"
    );
    assert_eq!(
        outcome(&parse_request(
            &["code_challenge", "code_challenge_method"],
            &[]
        )),
        "invalid_request"
    );
    for method in ["plain", "s256", "S512", "none"] {
        assert_eq!(
            outcome(&parse_changed("code_challenge_method", method)),
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
            outcome(&parse_changed("code_challenge", challenge)),
            "invalid_request",
            "{challenge}"
        );
    }
}

#[test]
fn cp_1_rd_07_only_a_confidential_client_may_request_without_pkce() {
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
        let parse_without = |without: &[&str]| {
            let pairs = BASE.into_iter().filter(|(name, _)| !without.contains(name));
            let request = parse_with(&encoded(pairs), &config);
            (
                outcome(&request),
                request
                    .ok()
                    .and_then(|request| request.params.code_challenge),
            )
        };
        let none = parse_without(&["code_challenge", "code_challenge_method"]);
        assert_eq!(
            none,
            (expected.to_owned(), None),
            "{method}, {require_pkce}"
        );
        // A challenge that is sent counts, and a method without one is an error.
        assert_eq!(
            parse_without(&[]),
            ("ok".to_owned(), Some(CHALLENGE.to_owned())),
            "{method}, {require_pkce}"
        );
        assert_eq!(
            parse_without(&["code_challenge"]).0,
            "invalid_request",
            "{method}, {require_pkce}"
        );
        assert_eq!(
            parse_without(&["code_challenge_method"]).0,
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
            outcome(&parse_request(&[], &[("prompt", both)])),
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
            parse_request(&[], &[("prompt", value)])
                .unwrap()
                .params
                .prompt,
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
            parse_request(&[], &[("max_age", text)])
                .unwrap()
                .params
                .max_age,
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
            outcome(&parse_request(&[], &[("max_age", text)])),
            "invalid_request",
            "{text}"
        );
    }
}

#[test]
fn cw_05_a_stored_request_is_compared_with_the_current_registration() {
    let params = parse_request(&[], &[]).unwrap().params;
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

#[test]
fn pu_2_a_pushed_request_names_no_request_uri_and_its_state_is_shorter() {
    let over = |channel, with: &[(&'static str, &str)]| {
        let params = encoded(
            BASE.into_iter()
                .filter(|(name, _)| *name != "state")
                .chain(with.iter().copied()),
        );
        outcome(&parse_over(channel, &params, config()))
    };
    let (longest, longer) = ("s".repeat(2048), "s".repeat(2049));
    for (with, pushed, plain) in [
        (&[][..], "ok", "ok"),
        (&[("state", &*longest)], "ok", "ok"),
        (&[("state", &*longer)], "invalid_request", "ok"),
        (
            &[("request_uri", "https://app.example/r")],
            "invalid_request",
            "request_uri_not_supported",
        ),
        (
            &[("request_uri", "urn:ietf:params:oauth:request_uri:x")],
            "invalid_request",
            "request_uri_not_supported",
        ),
        (&[("request_uri", "")], "ok", "ok"),
        (
            &[("request", "e30.e30.")],
            "request_not_supported",
            "request_not_supported",
        ),
        (
            &[("response_type", "code id_token")],
            "invalid_request",
            "invalid_request",
        ),
    ] {
        assert_eq!(over(Channel::Pushed, with), pushed, "{with:?}");
        assert_eq!(over(Channel::Browser, with), plain, "{with:?}");
    }
}

#[test]
fn pu_7_a_client_that_must_push_gets_no_plain_request_answered() {
    let mut config = config().clone();
    config.clients[0].require_pushed_authorization_requests = true;
    let params = encoded(BASE);
    let plain = parse_over(Channel::Browser, &params, &config);
    assert_eq!(outcome(&plain), "invalid_request");
    assert_eq!(
        outcome(&parse_over(Channel::Pushed, &params, &config)),
        "ok"
    );
}

/// A request that waits for a sign-in is held to what an operator demands since then.
#[test]
fn fs_1_pu_7_a_stored_request_is_pushed_and_has_a_challenge_if_its_client_now_must() {
    let params = parse_request(&[], &[]).unwrap().params;
    let pushed = AuthorizationParams {
        push: Some(PushReference {
            handle: Vec::new(),
            at: NOW,
        }),
        ..params.clone()
    };
    let without_challenge = AuthorizationParams {
        code_challenge: None,
        ..pushed.clone()
    };
    let mut config = config().clone();
    for (must_push, must_have_challenge, expected) in [
        (false, false, [true, true, true]),
        (true, false, [false, true, true]),
        (false, true, [true, true, false]),
        (true, true, [false, true, false]),
    ] {
        config.clients[0].require_pushed_authorization_requests = must_push;
        config.clients[0].require_pkce = must_have_challenge;
        let is_restored = [&params, &pushed, &without_challenge]
            .map(|params| AuthorizationRequest::restore(params.clone(), &config).is_some());
        assert_eq!(is_restored, expected, "{must_push} {must_have_challenge}");
    }
}
