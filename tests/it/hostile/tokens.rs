//! The token endpoint and its neighbours.

use super::{
    Case,
    Expected::{Is, IsOrCut},
    FORM, JSON, MIB, PendingSignIn, case,
};
use crate::service::CLIENT;

pub(super) fn cases(sign_in: &PendingSignIn) -> Vec<Case> {
    let good = format!(
        "grant_type=authorization_code&client_id={CLIENT}&code={}",
        "A".repeat(43)
    );
    let mut cases = Vec::new();
    for (what, request, right) in [
        ("an empty body", sign_in.token(""), Is(400)),
        (
            "no grant",
            sign_in.token(format!("client_id={CLIENT}")),
            Is(400),
        ),
        (
            "an unknown grant",
            sign_in.token(format!("client_id={CLIENT}&grant_type=password")),
            Is(400),
        ),
        (
            "no client",
            sign_in.token("grant_type=authorization_code&code=a"),
            Is(400),
        ),
        (
            "no code",
            sign_in.token(format!("grant_type=authorization_code&client_id={CLIENT}")),
            Is(400),
        ),
        (
            "an unknown client",
            sign_in.exchange("unknown-client", "a", "a"),
            Is(401),
        ),
        (
            "the client twice",
            sign_in.token(format!("{good}&client_id={CLIENT}")),
            Is(400),
        ),
        (
            "the code twice",
            sign_in.token(format!("{good}&code=b")),
            Is(400),
        ),
        (
            "a NUL",
            sign_in.token(format!("{good}&code_verifier=%00")),
            Is(400),
        ),
        (
            "beyond UTF-8",
            sign_in.token(format!("{good}&redirect_uri=%ff")),
            Is(400),
        ),
        (
            "raw bytes beyond UTF-8",
            sign_in.token([good.as_bytes(), b"&redirect_uri=\xff\xfe"].concat()),
            Is(400),
        ),
        (
            "JSON",
            sign_in.token("{}").set("content-type", JSON),
            Is(400),
        ),
        (
            "no content type",
            sign_in.token(&good).without("content-type"),
            Is(400),
        ),
        (
            "in the query",
            sign_in
                .bare("POST", format!("/oauth2/token?{good}"))
                .body(FORM, ""),
            Is(400),
        ),
        (
            "a secret it has not",
            sign_in.token(format!("{good}&client_secret=a")),
            Is(401),
        ),
        (
            "Basic of nonsense",
            sign_in.token(&good).with("authorization", "Basic ???"),
            Is(401),
        ),
        (
            "Basic of 8 000 bytes",
            sign_in
                .token(&good)
                .with("authorization", format!("Basic {}", "A".repeat(8000))),
            Is(401),
        ),
        (
            "authorization beyond UTF-8",
            sign_in.token(&good).with("authorization", b"\xff\xfe"),
            Is(401),
        ),
        (
            "300 parameters",
            sign_in.token(format!("{good}{}", "&a=1".repeat(300))),
            Is(400),
        ),
        (
            "a chunked body of 100 KB",
            sign_in
                .token("")
                .without("content-length")
                .chunked(FORM, &[b'a'; 100_000]),
            Is(413),
        ),
    ] {
        cases.push(case(format!("token: {what}"), &request, right));
    }
    let posted = |body: String| sign_in.bare("POST", "/oauth2/authorize").body(FORM, body);
    cases.push(case(
        "authorize: JSON",
        &posted("{}".to_owned()).set("content-type", JSON),
        Is(415),
    ));
    cases.push(case(
        "authorize: a request of 17 000 bytes",
        &posted(format!("state={}", "a".repeat(17_000))),
        Is(400),
    ));
    cases.push(case(
        "authorize: 1 MiB",
        &posted("a".repeat(MIB)),
        IsOrCut(413),
    ));
    cases
}
