//! The token endpoint and its neighbours.

use super::{
    Case, FORM, JSON, MIB,
    Right::{Is, IsOrCut},
    Way, case,
};
use crate::service::CLIENT;

pub(super) fn cases(way: &Way) -> Vec<Case> {
    let good = format!(
        "grant_type=authorization_code&client_id={CLIENT}&code={}",
        "A".repeat(43)
    );
    let mut cases = Vec::new();
    for (what, request, right) in [
        ("an empty body", way.token(""), Is(400)),
        (
            "no grant",
            way.token(format!("client_id={CLIENT}")),
            Is(400),
        ),
        (
            "a grant nobody knows",
            way.token(format!("client_id={CLIENT}&grant_type=password")),
            Is(400),
        ),
        (
            "no client",
            way.token("grant_type=authorization_code&code=a"),
            Is(400),
        ),
        (
            "no code",
            way.token(format!("grant_type=authorization_code&client_id={CLIENT}")),
            Is(400),
        ),
        (
            "a client nobody knows",
            way.exchange("nobody", "a", "a"),
            Is(401),
        ),
        (
            "the client twice",
            way.token(format!("{good}&client_id={CLIENT}")),
            Is(400),
        ),
        (
            "the code twice",
            way.token(format!("{good}&code=b")),
            Is(400),
        ),
        (
            "a NUL",
            way.token(format!("{good}&code_verifier=%00")),
            Is(400),
        ),
        (
            "beyond UTF-8",
            way.token(format!("{good}&redirect_uri=%ff")),
            Is(400),
        ),
        (
            "raw bytes beyond UTF-8",
            way.token([good.as_bytes(), b"&redirect_uri=\xff\xfe"].concat()),
            Is(400),
        ),
        ("JSON", way.token("{}").set("content-type", JSON), Is(400)),
        (
            "no content type",
            way.token(&good).without("content-type"),
            Is(400),
        ),
        (
            "in the query",
            way.bare("POST", format!("/oauth2/token?{good}"))
                .body(FORM, ""),
            Is(400),
        ),
        (
            "a secret it has not",
            way.token(format!("{good}&client_secret=a")),
            Is(401),
        ),
        (
            "Basic of nonsense",
            way.token(&good).with("authorization", "Basic ???"),
            Is(401),
        ),
        (
            "Basic of 8 000 bytes",
            way.token(&good)
                .with("authorization", format!("Basic {}", "A".repeat(8000))),
            Is(401),
        ),
        (
            "authorization beyond UTF-8",
            way.token(&good).with("authorization", b"\xff\xfe"),
            Is(401),
        ),
        (
            "300 parameters",
            way.token(format!("{good}{}", "&a=1".repeat(300))),
            Is(400),
        ),
        (
            "a chunked body of 100 KB",
            way.token("")
                .without("content-length")
                .chunked(FORM, &[b'a'; 100_000]),
            Is(413),
        ),
    ] {
        cases.push(case(format!("token: {what}"), &request, right));
    }
    let posted = |body: String| way.bare("POST", "/oauth2/authorize").body(FORM, body);
    cases.push(case(
        "authorize: JSON",
        &posted("{}".to_owned()).set("content-type", JSON),
        Is(415),
    ));
    cases.push(case(
        "authorize: a request of 9 000 bytes",
        &posted(format!("state={}", "a".repeat(9000))),
        Is(400),
    ));
    cases.push(case(
        "authorize: 1 MiB",
        &posted("a".repeat(MIB)),
        IsOrCut(413),
    ));
    cases
}
