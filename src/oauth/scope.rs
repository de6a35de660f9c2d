//! Scopes: a set of names, in the order in which they were asked for (RFC 6749 §3.3).

use crate::config::Client;

/// What we can fill, in the metadata's order.
pub const SUPPORTED: [&str; 3] = ["openid", "profile", "email"];

/// The scopes of a request that this client may have; unknown ones are ignored (OIDC Core §3.1.2.1).
#[must_use]
pub fn granted(client: &Client, asked: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in asked.split(' ') {
        let allowed = SUPPORTED.contains(&name) && client.scopes.iter().any(|scope| scope == name);
        if allowed && !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" ")
}

/// Whether a scope is in a list.
#[must_use]
pub fn has(scope: &str, name: &str) -> bool {
    scope.split(' ').any(|one| one == name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn client(scopes: &str) -> Client {
        let json = format!(r#"{{"client_id":"c","name":"C","audience":"a","scopes":[{scopes}]}}"#);
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn az_6_unknown_and_foreign_scopes_are_left_out() {
        let all = client(r#""openid","profile","email""#);
        let few = client(r#""openid""#);
        for (client, asked, expected) in [
            (&all, "openid email", "openid email"),
            (&all, "email openid", "email openid"),
            (&all, "openid openid  email", "openid email"),
            (&all, "openid offline_access address phone nonsense", "openid"),
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
    fn a_client_is_never_given_what_we_do_not_offer() {
        assert_eq!(granted(&client(r#""entree:admin","openid""#), "entree:admin openid"), "openid");
    }

    #[test]
    fn has_compares_whole_names() {
        assert!(has("email openid", "openid"));
        assert!(!has("openid2 xopenid", "openid"));
        assert!(!has("", "openid"));
    }
}
