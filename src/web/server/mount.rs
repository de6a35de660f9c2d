//! Where the service is mounted: the path of `server.public_url` is taken off the requests and put
//! before the redirects (OB-6).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use poem::{
    Request, Response,
    http::{HeaderValue, Uri, header, uri::PathAndQuery},
};

use crate::web::base_path::BasePath;

/// How long a sighting counts, and how often it is logged.
const HOUR: Duration = Duration::from_secs(3600);

/// The first segments of paths of ours, by which a request is known whose path a proxy has cut.
const SEGMENTS: [&str; 10] = [
    ".well-known",
    "account",
    "api",
    "assets",
    "consent",
    "docs",
    "logged-out",
    "login",
    "oauth2",
    "upstream",
];

/// The sightings of a proxy that takes the path of `server.public_url` off the requests. Clones share
/// them.
#[derive(Clone, Debug, Default)]
pub struct PathStripping(Arc<Mutex<Sightings>>);

#[derive(Debug, Default)]
struct Sightings {
    /// When a request last came with the path.
    inside: Option<Instant>,
    /// When a request last came without it that would be ours with it.
    stripped: Option<Instant>,
    logged: Option<Instant>,
}

impl PathStripping {
    /// Notes a request below our path: the proxy leaves it on.
    fn note_inside(&self) {
        self.lock().inside = Some(Instant::now());
    }

    /// Notes a request that is not below our path (OC-9). The log gets a word of ours and no path,
    /// which may hold a token.
    fn note_outside(&self, path: &str, base: &BasePath) {
        let first = path.split('/').nth(1).unwrap_or_default();
        let Some(segment) = SEGMENTS.into_iter().find(|segment| *segment == first) else {
            return;
        };
        let now = Instant::now();
        let mut sightings = self.lock();
        sightings.stripped = Some(now);
        let is_known = [sightings.inside, sightings.logged]
            .into_iter()
            .any(|at| is_within_an_hour(at, now));
        if is_known {
            return;
        }
        sightings.logged = Some(now);
        tracing::warn!(
            came = format!("/{segment}"),
            expected = format!("{}/{segment}", base.as_str()),
            "a request came without the path of server.public_url: if it came through your proxy, \
             let it pass the path on unchanged, or correct server.public_url"
        );
    }

    /// Whether requests came without the path during the last hour, and none with it.
    #[must_use]
    pub fn was_seen(&self) -> bool {
        let (now, sightings) = (Instant::now(), self.lock());
        is_within_an_hour(sightings.stripped, now) && !is_within_an_hour(sightings.inside, now)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sightings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_within_an_hour(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| now.duration_since(at) < HOUR)
}

/// Takes the base path off a request, so that its path begins at the root. Returns false for a
/// request that is not for this service.
pub(super) fn enter(request: &mut Request, base: &BasePath, stripping: &PathStripping) -> bool {
    if base.is_root() {
        return true;
    }
    match inside(request.uri(), base) {
        Some(uri) => {
            *request.uri_mut() = uri;
            stripping.note_inside();
            true
        }
        None => {
            stripping.note_outside(request.uri().path(), base);
            false
        }
    }
}

fn inside(uri: &Uri, base: &BasePath) -> Option<Uri> {
    let path = base.inside(uri.path())?;
    let target = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.ok()?);
    Uri::from_parts(parts).ok()
}

/// Puts the base path before a redirect to a path of ours.
pub(super) fn complete_location(response: &mut Response, base: &BasePath) {
    let Some(location) = response.headers().get(header::LOCATION) else {
        return;
    };
    let Ok(address) = location.to_str() else {
        return;
    };
    if let Ok(mut complete) = HeaderValue::try_from(&*base.link(address)) {
        complete.set_sensitive(location.is_sensitive());
        response.headers_mut().insert(header::LOCATION, complete);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth() -> BasePath {
        BasePath::of_url("https://id.example/auth")
    }

    fn entered(target: &str) -> Option<String> {
        let mut request = Request::builder().uri_str(target).finish();
        enter(&mut request, &auth(), &PathStripping::default()).then(|| request.uri().to_string())
    }

    #[test]
    fn ob_6_a_request_enters_without_the_base_and_keeps_the_rest() {
        assert_eq!(
            entered("/auth/login?a=%2Fauth").as_deref(),
            Some("/login?a=%2Fauth")
        );
        assert_eq!(entered("/auth").as_deref(), Some("/"));
        assert_eq!(entered("/auth?x").as_deref(), Some("/?x"));
        assert_eq!(
            entered("https://id.example/auth/login").as_deref(),
            Some("https://id.example/login")
        );
        assert_eq!(entered("/login"), None);
    }

    #[test]
    fn ob_6_redirects_to_paths_of_ours_get_the_base() {
        for (from, to) in [
            ("/account", "/auth/account"),
            (
                "https://app.example/cb?code=1",
                "https://app.example/cb?code=1",
            ),
            ("com.example.app:/cb", "com.example.app:/cb"),
        ] {
            let mut response = Response::builder().header(header::LOCATION, from).finish();
            complete_location(&mut response, &auth());
            assert_eq!(response.headers()[header::LOCATION], to);
        }
    }

    #[test]
    fn oc_9_a_proxy_that_strips_the_path_is_seen() {
        let seen = |targets: &[&str]| {
            let stripping = PathStripping::default();
            for target in targets {
                let mut request = Request::builder().uri_str(*target).finish();
                enter(&mut request, &auth(), &stripping);
            }
            stripping.was_seen()
        };
        assert!(seen(&["/login"]));
        assert!(seen(&["/.well-known/openid-configuration"]));
        assert!(!seen(&["/"]) && !seen(&["/wp-admin"]), "nothing of ours");
        assert!(
            !seen(&["/login", "/auth/login"]),
            "others come with the path"
        );
        assert!(
            !seen(&["/auth/login", "/login"]),
            "others come with the path"
        );
        assert!(!seen(&[]));
    }
}
