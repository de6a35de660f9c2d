//! Which lane each path has (SP-4).

use crate::web::{assets, lane::LaneName};

/// What asks neither the database nor the ticket store, by the beginning of the path.
const NONE: &[&str] = &["/.well-known/", "/assets/", "/docs", "/openapi.json"];

/// The beginnings of paths with another lane than [`LaneName::Quick`].
const LANES: &[(&str, LaneName)] = &[
    ("/login/upstream/", LaneName::Provider),
    ("/upstream/", LaneName::Provider),
    ("/api/v1/auth/oidc/", LaneName::Provider),
];

/// The paths that look up or queue an email.
const EMAIL: &[&str] = &[
    "/login/email",
    "/api/v1/auth/magic-link/request",
    "/api/v2/logins",
];

/// Returns the lane of a path; none for what asks no store. A path without a route may be in any.
pub(super) fn lane_of(path: &str) -> Option<LaneName> {
    let is_static = path == "/" || assets::ICON_PATHS.contains(&path);
    if is_static || NONE.iter().any(|start| path.starts_with(start)) {
        return None;
    }
    if EMAIL.contains(&path) {
        return Some(LaneName::Email);
    }
    let lane = LANES.iter().find(|(start, _)| path.starts_with(start));
    Some(lane.map_or(LaneName::Quick, |(_, lane)| *lane))
}

#[cfg(test)]
mod tests {
    use super::{super::post_protection::POST_ROUTES, *};

    /// SP-4: every POST, and what is read most.
    #[test]
    fn sp_4_each_path_has_its_lane() {
        for (path, _) in POST_ROUTES {
            let expected = match *path {
                "/login/email" | "/api/v1/auth/magic-link/request" | "/api/v2/logins" => {
                    LaneName::Email
                }
                "/login/upstream/:provider"
                | "/upstream/:provider/callback"
                | "/api/v1/auth/oidc/:provider/start"
                | "/api/v1/auth/oidc/:provider/callback" => LaneName::Provider,
                _ => LaneName::Quick,
            };
            assert_eq!(lane_of(path), Some(expected), "{path}");
        }
        for path in [
            "/login",
            "/login/sent",
            "/login/link/abc",
            "/account",
            "/oauth2/authorize",
            "/api/v2/logins/1/events",
            "/nowhere",
        ] {
            assert_eq!(lane_of(path), Some(LaneName::Quick), "{path}");
        }
        let resume = "/upstream/google/callback/resume";
        assert_eq!(lane_of(resume), Some(LaneName::Provider));
        for path in [
            "/",
            "/.well-known/jwks.json",
            "/.well-known/openid-configuration",
            "/assets/entree.css",
            "/docs",
            "/favicon.ico",
        ] {
            assert_eq!(lane_of(path), None, "{path}");
        }
    }
}
