//! Links, codes and form tokens that do not fit.

use super::{
    Case,
    Expected::{Is, IsOrCut},
    JSON, MIB, PendingSignIn, case,
};
use crate::service::CLIENT;

pub(super) fn cases(sign_in: &PendingSignIn) -> Vec<Case> {
    let mut cases = Vec::new();
    for length in [1, 42, 43, 44, 64, 255, 256, 1024, 4096, 12_000] {
        let text = "A".repeat(length);
        cases.push(case(
            format!("a link of {length}, used"),
            &sign_in.link(&text),
            Is(403),
        ));
        // OD-12: a link that never existed says so.
        cases.push(case(
            format!("a link of {length}, opened"),
            &sign_in.get(format!("/login/link/{text}")),
            Is(410),
        ));
    }
    for length in [20_000, MIB] {
        cases.push(case(
            format!("a link of {length}, used"),
            &sign_in.link(&"A".repeat(length)),
            IsOrCut(431),
        ));
        cases.push(case(
            format!("a link of {length}, opened"),
            &sign_in.get(format!("/login/link/{}", "A".repeat(length))),
            IsOrCut(431),
        ));
    }
    for (what, token, right) in [
        ("with a NUL", format!("{}%00", sign_in.link), Is(403)),
        ("with a blank", format!("{}%20", sign_in.link), Is(403)),
        ("with padding", format!("{}=", sign_in.link), Is(403)),
        ("cut", sign_in.link[..42].to_owned(), Is(403)),
        ("in a broken escape", "%zz".to_owned(), Is(403)),
        (
            "with a full-width letter",
            format!("{}%ef%bc%a1", sign_in.link),
            Is(403),
        ),
    ] {
        cases.push(case(format!("a link {what}"), &sign_in.link(&token), right));
    }
    cases.push(case(
        "a link beyond UTF-8",
        &sign_in.link("%ff%fe"),
        Is(400),
    ));
    cases.push(case(
        "a link without form token",
        &sign_in.form(format!("/login/link/{}", sign_in.link), ""),
        Is(403),
    ));
    cases.push(case(
        "a link as JSON",
        &sign_in.link(&sign_in.link).set("content-type", JSON),
        Is(415),
    ));
    cases.push(case(
        "a link from elsewhere",
        &sign_in
            .link(&sign_in.link)
            .set("origin", "https://evil.example"),
        Is(403),
    ));
    let framed = sign_in
        .link(&sign_in.link)
        .set("origin", "null")
        .set("sec-fetch-site", "cross-site");
    cases.push(case("a link in a sandboxed frame", &framed, Is(403)));
    cases.push(case(
        "a link without cookie",
        &sign_in.link(&sign_in.link).without("cookie"),
        Is(400),
    ));
    for length in [1, 7, 9, 64, 65, 255, 1024, 2048] {
        cases.push(case(
            format!("a code of {length}"),
            &sign_in.code(&"1".repeat(length)),
            Is(303),
        ));
    }
    for length in [2049, 4096, 60_000] {
        cases.push(case(
            format!("a code of {length}"),
            &sign_in.code(&"1".repeat(length)),
            Is(400),
        ));
    }
    cases.push(case(
        "a code of 1 MiB",
        &sign_in.code(&"1".repeat(MIB)),
        IsOrCut(413),
    ));
    for (what, code, right) in [
        ("empty", "", Is(303)),
        ("of letters", "abcdefgh", Is(303)),
        ("negative", "-12345678901", Is(303)),
        (
            "of circled digits",
            "%e2%91%a0%e2%91%a1%e2%91%a2%e2%91%a3%e2%91%a4%e2%91%a5%e2%91%a6%e2%91%a7",
            Is(303),
        ),
        ("with a NUL", "1234567%00", Is(400)),
        ("beyond UTF-8", "1234567%ff", Is(400)),
        ("twice", "12345678&code=12345678", Is(400)),
        ("as a list", "12345678&code[]=1&x", Is(303)),
    ] {
        cases.push(case(format!("a code {what}"), &sign_in.code(code), right));
    }
    let flowless = format!("flow=x&code=12345678&form_token={}", sign_in.code_token);
    cases.push(case(
        "a code for no flow",
        &sign_in.form("/login/code", flowless),
        Is(410),
    ));
    let other = format!(
        "flow=00000000-0000-0000-0000-000000000000&code=12345678&form_token={}",
        sign_in.code_token
    );
    cases.push(case(
        "a code for another flow",
        &sign_in.form("/login/code", other),
        Is(403),
    ));
    cases.push(case(
        "a code without cookie",
        &sign_in.code("12345678").without("cookie"),
        Is(400),
    ));
    for length in [1, 42, 43, 44, 128, 255, 256, 1024, 4096, 4097, 60_000] {
        let text = "a".repeat(length);
        let right = if length <= 255 { 401 } else { 400 };
        cases.push(case(
            format!("a client_id of {length}"),
            &sign_in.exchange(&text, "a", "a"),
            Is(right),
        ));
        cases.push(case(
            format!("an authorization code of {length}"),
            &sign_in.exchange(CLIENT, &text, "a"),
            Is(400),
        ));
        cases.push(case(
            format!("a verifier of {length}"),
            &sign_in.exchange(CLIENT, &"A".repeat(43), &text),
            Is(400),
        ));
    }
    for field in ["client_id", "code", "code_verifier", "state"] {
        let body = format!("grant_type=authorization_code&{field}={}", "a".repeat(MIB));
        cases.push(case(
            format!("a {field} of 1 MiB"),
            &sign_in.token(body),
            IsOrCut(413),
        ));
    }
    cases
}
