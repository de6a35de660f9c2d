//! The JSON API.

use super::{
    Case,
    Expected::{Is, IsOrCut},
    FORM, JSON, MIB, PendingSignIn, case,
};
use crate::service::CLIENT;

pub(super) fn cases(sign_in: &PendingSignIn) -> Vec<Case> {
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let verifier = "v".repeat(43);
    let ask = |client: &str, email: &str, challenge: &str, method: &str| {
        format!(
            r#"{{"client_id":"{client}","email":"{email}","code_challenge":"{challenge}","code_challenge_method":"{method}"}}"#
        )
    };
    let good = ask(CLIENT, "a@example.test", challenge, "S256");
    let with = |more: &str| format!("{},{more}}}", good.trim_end_matches('}'));
    let mut cases = Vec::new();
    for (what, body) in [
        ("nothing", String::new()),
        ("null", "null".to_owned()),
        ("a list", "[]".to_owned()),
        ("a number", "1e999".to_owned()),
        ("an empty object", "{}".to_owned()),
        ("half an object", "{".to_owned()),
        ("half a word", good[..40].to_owned()),
        ("words behind", format!("{good} x")),
        ("a comma too many", good.replace("\"}", "\",}")),
        ("a comment", format!("/* */{good}")),
        ("single quotes", good.replace('"', "'")),
        ("a byte order mark", format!("\u{feff}{good}")),
        ("a lone surrogate", with(r#""ui_locales":"\ud800""#)),
        ("a raw control character", with("\"ui_locales\":\"\n\"")),
        ("an unknown field", with(r#""more":1"#)),
        ("a prototype", with(r#""__proto__":{"admin":true}"#)),
        (
            "a number for a word",
            good.replace("\"a@example.test\"", "1"),
        ),
        (
            "a number for an optional word",
            with(r#""device_secret":1"#),
        ),
        (
            "a boolean for a word with a default",
            with(r#""ui_locales":true"#),
        ),
        (
            "a list for a word",
            good.replace("\"a@example.test\"", "[\"a@example.test\"]"),
        ),
        (
            "null for a word",
            good.replace("\"a@example.test\"", "null"),
        ),
        (
            "a field missing",
            good.replace("\"email\":\"a@example.test\",", ""),
        ),
        ("10 000 lists deep", "[".repeat(10_000)),
        ("10 000 objects deep", "{\"a\":".repeat(10_000)),
        (
            "deep in a field",
            with(&format!(
                "\"ui_locales\":{}{}",
                "[".repeat(10_000),
                "]".repeat(10_000)
            )),
        ),
        (
            "an empty client",
            ask("", "a@example.test", challenge, "S256"),
        ),
        (
            "an unknown client",
            ask("unknown-client", "a@example.test", challenge, "S256"),
        ),
        (
            "a client of 256",
            ask(&"a".repeat(256), "a@example.test", challenge, "S256"),
        ),
        (
            "a client of 60 000",
            ask(&"a".repeat(60_000), "a@example.test", challenge, "S256"),
        ),
        (
            "a client with a NUL",
            ask("a\\u0000", "a@example.test", challenge, "S256"),
        ),
        ("an empty address", ask(CLIENT, "", challenge, "S256")),
        (
            "an address of 1 017",
            ask(CLIENT, &"a".repeat(1017), challenge, "S256"),
        ),
        (
            "an address with a NUL",
            ask(CLIENT, "a\\u0000@example.test", challenge, "S256"),
        ),
        (
            "an address with a line feed",
            ask(CLIENT, "a\\n@example.test", challenge, "S256"),
        ),
        (
            "an address of marks",
            ask(
                CLIENT,
                &format!("a{}@example.test", "\\u0301".repeat(500)),
                challenge,
                "S256",
            ),
        ),
        (
            "a challenge of 42",
            ask(CLIENT, "a@example.test", &challenge[..42], "S256"),
        ),
        (
            "a challenge of 44",
            ask(CLIENT, "a@example.test", &format!("{challenge}A"), "S256"),
        ),
        (
            "a challenge of 60 000",
            ask(CLIENT, "a@example.test", &"A".repeat(60_000), "S256"),
        ),
        (
            "a challenge of the other alphabet",
            ask(
                CLIENT,
                "a@example.test",
                &challenge.replace('-', "+"),
                "S256",
            ),
        ),
        ("plain", ask(CLIENT, "a@example.test", challenge, "plain")),
        (
            "locales of 513",
            with(&format!("\"ui_locales\":\"{}\"", "a".repeat(513))),
        ),
    ] {
        cases.push(case(
            format!("API request: {what}"),
            &sign_in.request(body),
            Is(400),
        ));
    }
    // RFC 8259 §4 leaves it open which of two counts; nothing between us and the sender reads the other.
    let twice = with(r#""email":"b@example.test""#);
    cases.push(case(
        "API request: a key twice",
        &sign_in.request(twice),
        Is(202),
    ));
    cases.push(case(
        "API request: beyond UTF-8",
        &sign_in.request(b"{\"client_id\":\"\xff\xfe\"}"),
        Is(400),
    ));
    let wide: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    cases.push(case("API request: UTF-16", &sign_in.request(wide), Is(400)));
    cases.push(case(
        "API request: 1 MiB",
        &sign_in.request(vec![b' '; MIB]),
        IsOrCut(413),
    ));
    let chunked = sign_in
        .bare("POST", "/api/v1/auth/magic-link/request")
        .chunked(JSON, &[b' '; 70_000]);
    cases.push(case(
        "API request: 70 000 bytes in chunks",
        &chunked,
        Is(413),
    ));
    for (what, kind) in [
        ("plain text", "text/plain"),
        ("a form", FORM),
        ("XML", "application/xml"),
    ] {
        cases.push(case(
            format!("API request: {what}"),
            &sign_in.request(&good).set("content-type", kind),
            Is(415),
        ));
    }
    cases.push(case(
        "API request: no content type",
        &sign_in.request(&good).without("content-type"),
        Is(415),
    ));
    let use_it = |flow: &str, verifier: &str, more: &str| {
        sign_in.consume(format!(
            r#"{{"flow_id":"{flow}","code_verifier":"{verifier}"{more}}}"#
        ))
    };
    let code = r#","code":"12345678""#;
    for length in [0, 1, 42, 129, 256, 4096, 60_000] {
        cases.push(case(
            format!("API: a verifier of {length}"),
            &use_it(&sign_in.flow, &"v".repeat(length), code),
            Is(400),
        ));
    }
    for length in [0, 1, 35, 37, 1024, 60_000] {
        cases.push(case(
            format!("API: a flow of {length}"),
            &use_it(&"0".repeat(length), &verifier, code),
            Is(400),
        ));
    }
    for length in [0, 1, 42, 44, 64, 65, 1024, 60_000] {
        let link = format!(r#","link_token":"{}""#, "A".repeat(length));
        cases.push(case(
            format!("API: a link of {length}"),
            &use_it(&sign_in.flow, &verifier, &link),
            Is(400),
        ));
        let code = format!(r#","code":"{}""#, "1".repeat(length));
        cases.push(case(
            format!("API: a code of {length}"),
            &use_it(&sign_in.flow, &verifier, &code),
            Is(400),
        ));
    }
    for (what, request) in [
        (
            "the browser's flow with another's verifier",
            use_it(&sign_in.flow, &verifier, code),
        ),
        (
            "a code and a link",
            use_it(
                &sign_in.flow,
                &verifier,
                &format!(r#"{code},"link_token":"{}""#, sign_in.link),
            ),
        ),
        (
            "neither code nor link",
            use_it(&sign_in.flow, &verifier, ""),
        ),
        (
            "the browser's link without its cookie",
            use_it(
                &sign_in.flow,
                &verifier,
                &format!(r#","link_token":"{}""#, sign_in.link),
            ),
        ),
        (
            "a scope of 1 025",
            use_it(
                &sign_in.flow,
                &verifier,
                &format!(r#"{code},"scope":"{}""#, "a".repeat(1025)),
            ),
        ),
        (
            "a nonce of 385",
            use_it(
                &sign_in.flow,
                &verifier,
                &format!(r#"{code},"nonce":"{}""#, "a".repeat(385)),
            ),
        ),
        (
            "a verifier with a NUL",
            use_it(&sign_in.flow, &format!("{verifier}\\u0000"), code),
        ),
        (
            "a code with a NUL",
            use_it(&sign_in.flow, &verifier, r#","code":"1234567\u0000""#),
        ),
        (
            "a code as a number",
            use_it(&sign_in.flow, &verifier, r#","code":12345678"#),
        ),
    ] {
        cases.push(case(format!("API: {what}"), &request, Is(400)));
    }
    for field in [
        "code_verifier",
        "link_token",
        "code",
        "flow_id",
        "client_id",
    ] {
        let body = format!(r#"{{"{field}":"{}"}}"#, "a".repeat(MIB));
        cases.push(case(
            format!("API: a {field} of 1 MiB"),
            &sign_in.consume(body),
            IsOrCut(413),
        ));
    }
    let second = sign_in.bare("POST", "/api/v2/logins").body(JSON, &good);
    cases.push(case(
        "API: the second version, which is closed",
        &second,
        Is(404),
    ));
    cases
}
