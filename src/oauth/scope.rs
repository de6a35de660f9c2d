//! Scopes: a set of names, in the order in which they were asked for (RFC 6749 §3.3).

use crate::config::{Client, RefreshTokens};

/// Refresh tokens that outlive the session (OIDC Core §11).
pub const OFFLINE: &str = "offline_access";

/// Our own admin API: for clients that list it, and of people for those with the role `admin` (DESIGN §8, audience).
pub const ADMIN: &str = "entree:admin";

/// Scopes about a person, in the metadata's order. All others are names of the APIs that tokens are for.
pub const SUPPORTED: [&str; 4] = ["openid", "profile", "email", OFFLINE];

/// The scopes of a request that this client may have; unknown ones are ignored (OIDC Core §3.1.2.1). Access while the
/// person is away is one of them: the person is asked for it like for the others, by name, unless the client is
/// first-party (RF-1, OIDC Core §11).
#[must_use]
pub fn granted(client: &Client, asked: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in asked.split(' ') {
        let allowed = client.scopes.iter().any(|scope| scope == name);
        if allowed && !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" ")
}

/// What of a grant this person can hand on: [`ADMIN`] needs the role.
#[must_use]
pub fn of_person(granted: &str, roles: &[String]) -> String {
    let is_admin = roles.iter().any(|role| role == "admin");
    let names: Vec<&str> = granted
        .split(' ')
        .filter(|name| is_admin || *name != ADMIN)
        .collect();
    names.join(" ")
}

/// The scopes of a client that acts for itself (RFC 6749 §4.4.2): what it asked for, else all it has. None if it asks
/// for what it may not have. Scopes about a person are nothing that it could have.
#[must_use]
pub fn of_client(client: &Client, asked: Option<&str>) -> Option<String> {
    let may =
        |name: &str| !SUPPORTED.contains(&name) && client.scopes.iter().any(|scope| scope == name);
    let Some(asked) = asked else {
        let all: Vec<&str> = client
            .scopes
            .iter()
            .map(String::as_str)
            .filter(|name| may(name))
            .collect();
        return Some(all.join(" "));
    };
    let mut names: Vec<&str> = Vec::new();
    for name in asked.split(' ').filter(|name| !name.is_empty()) {
        if !may(name) {
            return None;
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Some(names.join(" "))
}

/// RFC 6749 §6: the scope of a refresh, equal to the grant's or narrower. None if it is wider. Asked for nothing: all.
#[must_use]
pub fn narrowed(stored: &str, asked: Option<&str>) -> Option<String> {
    let Some(asked) = asked else {
        return Some(stored.to_owned());
    };
    let mut names = asked.split(' ').filter(|name| !name.is_empty());
    if !names.all(|name| has(stored, name)) {
        return None;
    }
    let kept: Vec<&str> = stored.split(' ').filter(|name| has(asked, name)).collect();
    Some(kept.join(" "))
}

/// Whether a grant of this scope comes with a refresh token for this client.
#[must_use]
pub fn refreshes(client: &Client, scope: &str) -> bool {
    match client.refresh_tokens {
        RefreshTokens::OfflineAccess => {
            has(scope, OFFLINE) && client.scopes.iter().any(|scope| scope == OFFLINE)
        }
        RefreshTokens::Always => true,
    }
}

/// Whether a scope is in a list.
#[must_use]
pub fn has(scope: &str, name: &str) -> bool {
    scope.split(' ').any(|one| one == name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn client(more: &str) -> Client {
        let scopes = r#"["openid","email","offline_access","lessons:read","lessons:write"]"#;
        let text =
            format!(r#"{{"client_id":"c","name":"C","audience":"a","scopes":{scopes}{more}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn rf_1_offline_access_is_for_clients_that_list_it() {
        let asked = "openid offline_access profile lessons:read openid";
        let own = client("");
        assert_eq!(granted(&own, asked), "openid offline_access lessons:read");
        assert!(refreshes(&own, "openid offline_access") && !refreshes(&own, "openid"));
        let always = client(r#","first_party":true,"refresh_tokens":"always""#);
        assert!(refreshes(&always, "openid"));
        let mut withdrawn = own;
        withdrawn.scopes.retain(|scope| scope != OFFLINE);
        assert!(!refreshes(&withdrawn, "openid offline_access"));
    }

    #[test]
    fn rf_3_a_refresh_may_narrow_and_never_widen() {
        let stored = "openid email offline_access";
        for (asked, got) in [
            (None, Some(stored)),
            (Some("email"), Some("email")),
            (Some("email  openid"), Some("openid email")),
            (Some(stored), Some(stored)),
            (Some("openid profile"), None),
            (Some("Email"), None),
        ] {
            assert_eq!(narrowed(stored, asked).as_deref(), got, "{asked:?}");
        }
    }

    #[test]
    fn tk_15_a_client_has_its_own_scopes_and_none_about_people() {
        let client = client("");
        for (asked, got) in [
            (None, Some("lessons:read lessons:write")),
            (Some("lessons:write"), Some("lessons:write")),
            (Some("openid"), None),
            (Some("lessons:read offline_access"), None),
            (Some("lessons:delete"), None),
        ] {
            assert_eq!(of_client(&client, asked).as_deref(), got, "{asked:?}");
        }
    }

    fn listing(scopes: &str) -> Client {
        let json = format!(r#"{{"client_id":"c","name":"C","audience":"a","scopes":[{scopes}]}}"#);
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn az_6_unknown_and_foreign_scopes_are_left_out() {
        let all = listing(r#""openid","profile","email""#);
        let few = listing(r#""openid""#);
        for (client, asked, expected) in [
            (&all, "openid email", "openid email"),
            (&all, "email openid", "email openid"),
            (&all, "openid openid  email", "openid email"),
            (
                &all,
                "openid offline_access address phone nonsense",
                "openid",
            ),
            (&all, "OPENID Email", ""),
            (&all, "openid,email", ""),
            (&all, "", ""),
            (&few, "openid profile email", "openid"),
            (&few, "profile", ""),
        ] {
            assert_eq!(granted(client, asked), expected, "{asked}");
        }
    }

    #[test]
    fn az_6_scopes_of_apis_are_given_to_clients_that_list_them() {
        let client = listing(r#""openid","lessons:read""#);
        assert_eq!(
            granted(&client, "lessons:read lessons:write openid"),
            "lessons:read openid"
        );
        assert_eq!(
            granted(&listing(r#""openid""#), "entree:admin openid"),
            "openid"
        );
    }

    #[test]
    fn the_admin_scope_needs_the_role() {
        let asked = "openid entree:admin lessons:read";
        assert_eq!(
            of_person(asked, &["coach".to_owned(), "admins".to_owned()]),
            "openid lessons:read"
        );
        assert_eq!(of_person(asked, &["admin".to_owned()]), asked);
        assert_eq!(of_person("openid", &[]), "openid");
    }

    #[test]
    fn has_compares_whole_names() {
        assert!(has("email openid", "openid"));
        assert!(!has("openid2 xopenid", "openid"));
        assert!(!has("", "openid"));
    }
}
