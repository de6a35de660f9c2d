//! Paths that no route has.

use super::{Case, Expected::Is, PendingSignIn, case};

pub(super) fn cases(sign_in: &PendingSignIn) -> Vec<Case> {
    let mut cases: Vec<Case> = [
        "/no-such-page",
        "//login",
        "/login/",
        "/LOGIN",
        "/./login",
        "/login/../account",
        "/login/..%2faccount",
        "/login;x=1",
        "/login%2flink/x",
        "/login%00",
        "/login%20",
        "/login/link/",
        "/login/link/a/b",
        "/login/link/a%2fb/c",
        "/%ef%bd%8cogin",
        "/assets/..%2f..%2fetc%2fpasswd",
        "/assets/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/.env",
        "/.git/config",
        "/metrics",
        "/readyz",
        "/api/admin/v1/users",
        "/dev/mailbox",
        "/dev/mailbox.json?to=a@example.test",
        "/api",
        "/api/v1",
        "/api/v3/logins",
        "/api/v2/logins/00000000-0000-0000-0000-000000000000",
        "/.well-known/nonsense",
        "/oauth2/nonsense",
    ]
    .into_iter()
    .map(|path| case(format!("GET {path}"), &sign_in.get(path), Is(404)))
    .collect();
    for (method, path) in [
        ("POST", "/login"),
        ("PUT", "/login/email"),
        ("GET", "/login/email"),
        ("GET", "/login/code"),
        ("DELETE", "/login/sent"),
        ("HEAD", "/login/link/x"),
        ("PUT", "/login/link/x"),
        ("OPTIONS", "/login/link/x"),
        ("HEAD", "/login/continue"),
        ("PATCH", "/account"),
        ("GET", "/account/sign-out"),
        ("GET", "/account/sign-out-everywhere"),
        ("HEAD", "/oauth2/authorize"),
        ("PUT", "/oauth2/authorize"),
        ("GET", "/oauth2/token"),
        ("DELETE", "/oauth2/token"),
        ("GET", "/api/v1/auth/magic-link/request"),
        ("PUT", "/api/v1/auth/magic-link/consume"),
        ("POST", "/.well-known/jwks.json"),
    ] {
        cases.push(case(
            format!("{method} {path}"),
            &sign_in.bare(method, path),
            Is(405),
        ));
    }
    cases
}
