//! How each path that takes a POST is protected against requests from other sites (ST-06).

/// Why another site cannot use a POST route (CF-04).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostProtection {
    /// The form holds a token bound to the browser's cookie, and the origin is checked.
    FormToken,
    /// The route reads no cookie.
    CookieFree,
}

/// Every path that takes a POST. A test compares this with the routes.
pub const POST_ROUTES: &[(&str, PostProtection)] = &[
    ("/login/email", PostProtection::FormToken),
    ("/login/code", PostProtection::FormToken),
    ("/login/link/:token", PostProtection::FormToken),
    ("/login/upstream/:provider", PostProtection::FormToken),
    ("/login/identity", PostProtection::FormToken),
    (
        "/account/identities/:id/disconnect",
        PostProtection::FormToken,
    ),
    ("/upstream/:provider/callback", PostProtection::CookieFree),
    ("/account/sign-out", PostProtection::FormToken),
    ("/account/sign-out-everywhere", PostProtection::FormToken),
    ("/account/sessions/:id/end", PostProtection::FormToken),
    ("/account/access/remove", PostProtection::FormToken),
    ("/oauth2/authorize", PostProtection::CookieFree),
    ("/oauth2/authorize/cancel", PostProtection::FormToken),
    ("/login/name", PostProtection::FormToken),
    ("/consent", PostProtection::FormToken),
    ("/device", PostProtection::FormToken),
    ("/device/decide", PostProtection::FormToken),
    ("/oauth2/device_authorization", PostProtection::CookieFree),
    ("/oauth2/logout", PostProtection::CookieFree),
    ("/oauth2/logout/confirm", PostProtection::FormToken),
    ("/oauth2/token", PostProtection::CookieFree),
    ("/oauth2/par", PostProtection::CookieFree),
    ("/oauth2/userinfo", PostProtection::CookieFree),
    ("/oauth2/revoke", PostProtection::CookieFree),
    ("/oauth2/introspect", PostProtection::CookieFree),
    (
        "/api/v1/auth/magic-link/request",
        PostProtection::CookieFree,
    ),
    (
        "/api/v1/auth/magic-link/consume",
        PostProtection::CookieFree,
    ),
    (
        "/api/v1/auth/oidc/:provider/start",
        PostProtection::CookieFree,
    ),
    (
        "/api/v1/auth/oidc/:provider/callback",
        PostProtection::CookieFree,
    ),
    ("/api/v2/logins", PostProtection::CookieFree),
    ("/api/v2/logins/:id/code", PostProtection::CookieFree),
];
