//! Query strings, mostly of the authorization endpoint.

use super::{Case, Expected::Is, PendingSignIn, case};
use crate::service::{CALLBACK, CLIENT};

pub(super) fn cases(sign_in: &PendingSignIn) -> Vec<Case> {
    let nil = "00000000-0000-0000-0000-000000000000";
    let good = format!("client_id={CLIENT}&redirect_uri={CALLBACK}&response_type=code");
    let long = "a".repeat(8000);
    let mut cases = Vec::new();
    for (target, right) in [
        ("/login/sent".to_owned(), Is(400)),
        ("/login/sent?flow=".to_owned(), Is(400)),
        ("/login/sent?flow=x".to_owned(), Is(410)),
        (format!("/login/sent?flow={nil}"), Is(410)),
        (
            format!("/login/sent?flow={0}&flow={0}", sign_in.flow),
            Is(400),
        ),
        ("/login/sent?flow=%ff".to_owned(), Is(400)),
        ("/login/sent?flow=%".to_owned(), Is(400)),
        ("/login/sent?flow=%00".to_owned(), Is(400)),
        (format!("/login/sent?flow={}%00", sign_in.flow), Is(400)),
        (format!("/login/sent?flow={long}"), Is(400)),
        (format!("/login/sent/state?flow={nil}"), Is(404)),
        ("/login/sent/state".to_owned(), Is(400)),
        (format!("/login/continue?flow={nil}"), Is(410)),
        ("/login/continue?flow=%f0%9f%98%80".to_owned(), Is(410)),
        ("/login/restart".to_owned(), Is(400)),
        ("/login?txn=%zz".to_owned(), Is(400)),
        ("/login?txn=x".to_owned(), Is(410)),
        (format!("/login?txn={}", "A".repeat(43)), Is(410)),
        (format!("/login?txn={}", "A".repeat(44)), Is(400)),
        ("/login?txn=a&txn=b".to_owned(), Is(400)),
        (format!("/login?login_hint={}", "a".repeat(255)), Is(400)),
        (format!("/login?ui_locales={}", "a".repeat(513)), Is(400)),
        (format!("/login?{}", "a=1&".repeat(300)), Is(400)),
        ("/oauth2/authorize".to_owned(), Is(400)),
        (
            "/oauth2/authorize?client_id=unknown-client".to_owned(),
            Is(400),
        ),
        (
            format!("/oauth2/authorize?client_id={}", "a".repeat(256)),
            Is(400),
        ),
        (format!("/oauth2/authorize?client_id={long}"), Is(400)),
        ("/oauth2/authorize?client_id=%00".to_owned(), Is(400)),
        (format!("/oauth2/authorize?client_id={CLIENT}"), Is(400)),
        (
            format!("/oauth2/authorize?client_id={CLIENT}&{good}"),
            Is(400),
        ),
        (
            format!("/oauth2/authorize?{good}&redirect_uri={CALLBACK}"),
            Is(400),
        ),
        (
            format!("/oauth2/authorize?client_id={CLIENT}&redirect_uri=https://evil.example/"),
            Is(400),
        ),
        (
            format!("/oauth2/authorize?client_id={CLIENT}&redirect_uri={CALLBACK}/../evil"),
            Is(400),
        ),
        (
            format!("/oauth2/authorize?client_id={CLIENT}&redirect_uri={CALLBACK}%00"),
            Is(400),
        ),
        (
            format!(
                "/oauth2/authorize?client_id={CLIENT}&redirect_uri=http://a@127.0.0.1:7777/callback"
            ),
            Is(400),
        ),
        (
            format!("/oauth2/authorize?client_id={CLIENT}&redirect_uri=javascript:alert(1)"),
            Is(400),
        ),
        (
            format!("/oauth2/authorize?client_id={CLIENT}&redirect_uri={long}"),
            Is(400),
        ),
        ("/oauth2/authorize/resume".to_owned(), Is(400)),
        (
            format!("/oauth2/authorize/resume?txn={}", "A".repeat(43)),
            Is(410),
        ),
        (format!("/oauth2/authorize/resume?txn={long}"), Is(400)),
    ] {
        let short: String = target.chars().take(70).collect();
        cases.push(case(format!("GET {short}"), &sign_in.get(&target), right));
    }
    // With a registered redirect URI the client receives the error there (RFC 6749 §4.1.2.1).
    for (what, more) in [
        ("a state of 1 byte alone", "&state=a".to_owned()),
        (
            "a state of 4 097 bytes",
            format!("&state={}", "a".repeat(4097)),
        ),
        ("a state twice", "&state=a&state=b".to_owned()),
        ("a state with a NUL", "&state=%00".to_owned()),
        ("a nonce of 8 000 bytes", format!("&nonce={long}")),
        (
            "a challenge of 8 000 bytes",
            format!("&code_challenge={long}"),
        ),
        (
            "a max_age of a million digits' kind",
            "&max_age=99999999999999".to_owned(),
        ),
    ] {
        cases.push(case(
            what,
            &sign_in.authorize(&format!("{good}{more}")),
            Is(303),
        ));
    }
    cases.push(case(
        "a state beyond UTF-8, which no answer could repeat",
        &sign_in.authorize(&format!("{good}&state=%ff")),
        Is(400),
    ));
    cases
}
