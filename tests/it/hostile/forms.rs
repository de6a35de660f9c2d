//! Forms of the pages and the cookies that come with them.

use super::{
    Case,
    Expected::{Is, IsOrCut},
    FORM, JSON, MIB, PendingSignIn, case,
};

pub(super) fn cases(sign_in: &PendingSignIn) -> Vec<Case> {
    let [pre, sid, dev] = ["pre", "sid", "dev"].map(|word| sign_in.cookie_name(word));
    let mut cases = Vec::new();
    let token = &sign_in.sign_in_token;
    for (what, address) in [
        ("an empty address", String::new()),
        ("a word", "a".to_owned()),
        ("no domain", "a%40".to_owned()),
        ("no local part", "%40example.test".to_owned()),
        ("a name without a dot", "a%40localhost".to_owned()),
        ("two signs", "a%40b%40example.test".to_owned()),
        ("a list", "a%40example.test,b%40example.test".to_owned()),
        ("a quoted local part", "%22a+b%22%40example.test".to_owned()),
        ("an IP literal", "a%40%5B127.0.0.1%5D".to_owned()),
        (
            "a header injection",
            "a%40example.test%0d%0aBcc:b%40example.test".to_owned(),
        ),
        ("a lone line feed", "a%0a%40example.test".to_owned()),
        (
            "a right-to-left override",
            "a%e2%80%aeb%40example.test".to_owned(),
        ),
        ("a Kelvin sign", "%e2%84%aa%40example.test".to_owned()),
        (
            "a Cyrillic look-alike",
            "p%d0%b0ul%40example.test".to_owned(),
        ),
        (
            "a local part of 65",
            format!("{}%40example.test", "a".repeat(65)),
        ),
        (
            "an address of 255",
            format!("a%40{}.test", "a.".repeat(125)),
        ),
        ("an address of 2 048", "a".repeat(2048)),
        (
            "a thousand combining marks",
            format!("a{}%40example.test", "%cc%81".repeat(600)),
        ),
        (
            "an XSS",
            "%3Cscript%3Ealert(1)%3C%2Fscript%3E%40example.test".to_owned(),
        ),
        (
            "an SQL injection",
            "a'%20OR%201=1--%40example.test".to_owned(),
        ),
    ] {
        cases.push(case(
            format!("as address: {what}"),
            &sign_in.email(&address),
            Is(422),
        ));
    }
    for (what, address) in [
        ("a NUL", "a%00%40example.test".to_owned()),
        ("beyond UTF-8", "%ff%fe%40example.test".to_owned()),
        ("a broken escape", "a%4%40example.test".to_owned()),
        ("over-long UTF-8", "a%c0%80%40example.test".to_owned()),
        (
            "a surrogate in UTF-8",
            "a%ed%a0%80%40example.test".to_owned(),
        ),
        ("2 049 bytes", "a".repeat(2049)),
        ("60 KiB", "a".repeat(60 * 1024)),
    ] {
        cases.push(case(
            format!("as address: {what}"),
            &sign_in.email(&address),
            Is(400),
        ));
    }
    cases.push(case(
        "as address: 1 MiB",
        &sign_in.email(&"a".repeat(MIB)),
        IsOrCut(413),
    ));
    let body = format!("email=a%40example.test&form_token={token}");
    let good = || sign_in.form("/login/email", &body);
    for (what, request, right) in [
        (
            "no form token",
            sign_in.form("/login/email", "email=a%40example.test"),
            Is(403),
        ),
        ("an empty body", sign_in.form("/login/email", ""), Is(403)),
        (
            "another form's token",
            sign_in.form(
                "/login/email",
                format!("email=a%40b.test&form_token={}", sign_in.code_token),
            ),
            Is(403),
        ),
        (
            "a form token of 1 byte",
            sign_in.form("/login/email", "email=a%40b.test&form_token=a"),
            Is(403),
        ),
        (
            "a form token of 2 048 bytes",
            sign_in.form(
                "/login/email",
                format!("email=a%40b.test&form_token={}", "a".repeat(2048)),
            ),
            Is(403),
        ),
        (
            "a form token of 60 KiB",
            sign_in.form(
                "/login/email",
                format!("email=a%40b.test&form_token={}", "a".repeat(60 * 1024)),
            ),
            Is(400),
        ),
        (
            "the token twice",
            sign_in.form("/login/email", format!("{body}&form_token={token}")),
            Is(400),
        ),
        (
            "the address twice",
            sign_in.form("/login/email", format!("{body}&email=b%40example.test")),
            Is(400),
        ),
        (
            "remember twice",
            sign_in.form("/login/email", format!("{body}&remember=1&remember=1")),
            Is(400),
        ),
        (
            "300 fields",
            sign_in.form("/login/email", format!("{body}{}", "&a=1".repeat(300))),
            Is(400),
        ),
        ("JSON", good().set("content-type", JSON), Is(415)),
        (
            "multipart",
            good().set("content-type", "multipart/form-data; boundary=x"),
            Is(415),
        ),
        ("no content type", good().without("content-type"), Is(415)),
        (
            "a content type beyond ASCII",
            good().set("content-type", b"\xff"),
            Is(415),
        ),
        ("no cookie", good().without("cookie"), Is(400)),
        ("an empty cookie", good().set("cookie", ""), Is(400)),
        (
            "a cookie of 1 byte",
            good().set("cookie", format!("{pre}=a")),
            Is(400),
        ),
        (
            "a cookie of 44 bytes",
            good().set("cookie", format!("{pre}={}a", sign_in.pre)),
            Is(400),
        ),
        (
            "a cookie of 8 000 bytes",
            good().set("cookie", format!("{pre}={}", "a".repeat(8000))),
            Is(400),
        ),
        (
            "a cookie beyond UTF-8",
            good().set("cookie", [pre.as_bytes(), b"=\xff\xfe"].concat()),
            Is(400),
        ),
        (
            "a quoted cookie",
            good().set("cookie", format!("{pre}=\"{}\"", sign_in.pre)),
            Is(400),
        ),
        (
            "a forged cookie",
            good().set("cookie", format!("{pre}={}", "A".repeat(43))),
            Is(403),
        ),
        (
            "two different cookies",
            good().set(
                "cookie",
                format!("{pre}={}; {pre}={}", sign_in.pre, "A".repeat(43)),
            ),
            Is(400),
        ),
        (
            "two cookie headers",
            good().with("cookie", format!("{pre}={}", "A".repeat(43))),
            Is(400),
        ),
        (
            "two different session cookies",
            good().set("cookie", format!("{pre}={}; {sid}=a; {sid}=b", sign_in.pre)),
            Is(400),
        ),
        (
            "two different device cookies",
            good().set("cookie", format!("{pre}={}; {dev}=a; {dev}=b", sign_in.pre)),
            Is(400),
        ),
        (
            "another origin",
            good().set("origin", "https://evil.example"),
            Is(403),
        ),
        ("a null origin", good().set("origin", "null"), Is(403)),
        (
            "two origins",
            good().with("origin", "https://evil.example"),
            Is(403),
        ),
        (
            "our origin as a prefix",
            good().set("origin", format!("http://{}.evil.example", sign_in.host)),
            Is(403),
        ),
        (
            "an origin beyond UTF-8",
            good().set("origin", b"\xff"),
            Is(403),
        ),
        (
            "another site",
            good().set("sec-fetch-site", "cross-site"),
            Is(403),
        ),
        (
            "a neighbouring site",
            good().set("sec-fetch-site", "same-site"),
            Is(403),
        ),
        (
            "neither origin nor site",
            good().without("origin").without("sec-fetch-site"),
            Is(403),
        ),
        (
            "an unknown upstream handle",
            sign_in.form("/login/email", format!("{body}&txn={}", "A".repeat(43))),
            Is(403),
        ),
        (
            "a body of 1 MiB",
            sign_in.form("/login/email", "a".repeat(MIB)),
            IsOrCut(413),
        ),
        (
            "a chunked body of 1 MiB",
            sign_in
                .form("/login/email", "")
                .without("content-length")
                .chunked(FORM, &vec![b'a'; MIB]),
            IsOrCut(413),
        ),
        (
            "a chunked body of 65 537 bytes",
            sign_in
                .form("/login/email", "")
                .without("content-length")
                .chunked(FORM, &[b'a'; 65_537]),
            Is(413),
        ),
        (
            "a resend for no flow",
            sign_in.form(
                "/login/email",
                format!("flow=x&form_token={}", sign_in.resend_token),
            ),
            Is(410),
        ),
        (
            "a resend with another form's token",
            sign_in.form(
                "/login/email",
                format!("flow={}&form_token={token}", sign_in.flow),
            ),
            Is(403),
        ),
        (
            "a resend too early",
            sign_in.form(
                "/login/email",
                format!("flow={}&form_token={}", sign_in.flow, sign_in.resend_token),
            ),
            Is(303),
        ),
    ] {
        cases.push(case(format!("sign-in form: {what}"), &request, right));
    }
    // A browser without a session is signed out already: 303 to the page that says so.
    for (what, request, right) in [
        (
            "no session",
            sign_in.form("/account/sign-out", "form_token=x"),
            Is(303),
        ),
        (
            "a forged session",
            sign_in
                .form("/account/sign-out", "form_token=x")
                .with("cookie", format!("{sid}={}", "A".repeat(43))),
            Is(303),
        ),
        (
            "a session of 8 000 bytes",
            sign_in
                .form("/account/sign-out", "")
                .with("cookie", format!("{sid}={}", "a".repeat(8000))),
            Is(303),
        ),
        (
            "two sessions",
            sign_in
                .form("/account/sign-out", "")
                .with("cookie", format!("{sid}=a; {sid}=b")),
            Is(400),
        ),
        (
            "everywhere",
            sign_in.form("/account/sign-out-everywhere", "form_token="),
            Is(303),
        ),
        (
            "a session that is no id",
            sign_in.form("/account/sessions/%00/end", "form_token=x"),
            Is(404),
        ),
        (
            "a session's id of 2 000 bytes",
            sign_in.form(format!("/account/sessions/{}/end", "a".repeat(2000)), ""),
            Is(404),
        ),
    ] {
        cases.push(case(format!("account: {what}"), &request, right));
    }
    cases
}
