//! The path of `server.public_url` (OB-6), for a service that shares its host with others.
//!
//! Inside the service every path begins at the root: routes, redirects and links are written as if
//! the service had a host of its own. The layers take the path off a request where it comes in
//! (`server/mount.rs`) and put it before a `Location`; the filter `link` puts it before the
//! addresses in pages (`response/filters.rs`). Addresses that leave the service otherwise begin
//! with `server.public_url`, which holds the path.

use std::{borrow::Cow, sync::Arc};

/// The documents that RFC 8414 §3.1 looks for with the path of the issuer inserted behind their own;
/// clients look for both.
const INSERTED: [&str; 2] = [
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
];

/// Empty for a service at the root of its host, and otherwise as in `/auth`: it begins with a slash
/// and does not end with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasePath(Arc<str>);

impl Default for BasePath {
    fn default() -> Self {
        Self("".into())
    }
}

impl BasePath {
    /// Returns the path of `public_url`, empty for a malformed URL.
    #[must_use]
    pub fn of_url(public_url: &str) -> Self {
        match url::Url::parse(public_url) {
            Ok(url) => Self(url.path().trim_end_matches('/').into()),
            Err(_) => Self::default(),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the address of a path of ours as browsers need it. Any other address stays.
    #[must_use]
    pub fn link<'a>(&self, address: &'a str) -> Cow<'a, str> {
        // Browsers read these two as the beginning of another host.
        let is_own =
            address.starts_with('/') && !address.starts_with("//") && !address.starts_with("/\\");
        if is_own && !self.is_root() {
            format!("{}{address}", self.0).into()
        } else {
            address.into()
        }
    }

    /// Returns the path inside the service of the path of a request; none if it is not below ours.
    #[must_use]
    pub fn inside<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.is_root() {
            return Some(path);
        }
        match path.strip_prefix(&*self.0) {
            Some("") => Some("/"),
            Some(rest) if rest.starts_with('/') => Some(rest),
            _ => INSERTED
                .into_iter()
                .find(|document| path.strip_prefix(document) == Some(&self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(url: &str) -> BasePath {
        BasePath::of_url(url)
    }

    #[test]
    fn ob_6_the_path_is_that_of_the_public_url() {
        for (url, path) in [
            ("https://id.example", ""),
            ("https://id.example/", ""),
            ("https://id.example/auth", "/auth"),
            ("http://localhost:8080/a/b", "/a/b"),
            ("not a URL", ""),
        ] {
            assert_eq!(base(url).as_str(), path, "{url}");
        }
    }

    #[test]
    fn ob_6_only_paths_of_ours_get_the_base() {
        let auth = base("https://id.example/auth");
        for (address, link) in [
            ("/", "/auth/"),
            ("/login?txn=1", "/auth/login?txn=1"),
            (
                "https://app.example/callback",
                "https://app.example/callback",
            ),
            ("com.example.app:/callback", "com.example.app:/callback"),
            ("//evil.example/", "//evil.example/"),
            ("/\\evil.example", "/\\evil.example"),
            ("#part", "#part"),
            ("", ""),
        ] {
            assert_eq!(auth.link(address), link, "{address}");
            assert_eq!(BasePath::default().link(address), address);
        }
    }

    #[test]
    fn ob_6_requests_outside_of_the_path_are_not_ours() {
        let auth = base("https://id.example/auth");
        for (path, inside) in [
            ("/auth", Some("/")),
            ("/auth/", Some("/")),
            ("/auth/login", Some("/login")),
            ("/auth/auth/login", Some("/auth/login")),
            ("/login", None),
            ("/", None),
            ("/authx/login", None),
            ("/AUTH/login", None),
            ("/%61uth/login", None),
            ("//auth/login", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(auth.inside(path), inside, "{path}");
        }
        assert_eq!(
            BasePath::default().inside("/auth/login"),
            Some("/auth/login")
        );
    }

    /// RFC 8414 §3.1: the path of the issuer stands behind the document's own.
    #[test]
    fn ob_6_the_metadata_are_at_both_places() {
        let auth = base("https://id.example/auth");
        for document in INSERTED {
            assert_eq!(auth.inside(&format!("{document}/auth")), Some(document));
            assert_eq!(auth.inside(&format!("/auth{document}")), Some(document));
            assert_eq!(auth.inside(document), None);
            assert_eq!(auth.inside(&format!("{document}/other")), None);
            assert_eq!(auth.inside(&format!("{document}/auth/x")), None);
        }
        assert_eq!(auth.inside("/.well-known/jwks.json/auth"), None);
    }
}
