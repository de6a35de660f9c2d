//! What a route demands beyond a good token, each refused by its own name: the caller has another remedy for each.
//!
//! The order matters: no person is sent to prove again who they are, only to be refused for want of a role.

use crate::verify::Caller;

/// What a route demands; `None`: nothing of that kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    /// What the client must have been granted.
    pub scope: Option<&'static str>,
    /// What the person must be.
    pub role: Option<&'static str>,
    /// For how many seconds at most the last proof of the person counts.
    pub max_age: Option<i64>,
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The client may ask for a token with this scope (RFC 6750 §3.1, `insufficient_scope`).
    #[error("the token lacks the scope {0}")]
    Scope(&'static str),
    /// Nothing that the client could ask for helps: operators give roles.
    #[error("for people with the role {0}")]
    Role(&'static str),
    /// The person must prove again who they are (RFC 9470 §3, `insufficient_user_authentication`).
    #[error("a more recent sign-in is required")]
    Stale {
        /// How old it may be, in seconds.
        max_age: i64,
    },
}

impl Demand {
    /// Whether the caller is let in at `now` (seconds since 1970).
    ///
    /// # Errors
    /// [`Denied`]: the first that is missing.
    pub fn check(&self, caller: &Caller, now: i64) -> Result<(), Denied> {
        let has = |list: &[String], wanted: &str| list.iter().any(|one| one == wanted);
        if let Some(scope) = self.scope.filter(|scope| !has(&caller.scopes, scope)) {
            return Err(Denied::Scope(scope));
        }
        if let Some(role) = self.role.filter(|role| !has(&caller.roles, role)) {
            return Err(Denied::Role(role));
        }
        // No leeway: the person who is asked once too often loses less than the one who is asked too late.
        let fresh = |max_age| {
            caller
                .auth_time
                .is_some_and(|at| now.saturating_sub(at) <= max_age)
        };
        match self.max_age {
            Some(max_age) if !fresh(max_age) => Err(Denied::Stale { max_age }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const COACHES: Demand = Demand {
        scope: Some("openid"),
        role: Some("coach"),
        max_age: Some(300),
    };

    fn check(scope: &str, role: &str, auth_time: Option<i64>) -> Result<(), Denied> {
        let list = |name: &str| vec![name.to_owned()];
        let caller = Caller {
            sub: "me".to_owned(),
            roles: list(role),
            scopes: list(scope),
            auth_time,
        };
        COACHES.check(&caller, NOW)
    }

    #[test]
    fn each_lack_has_its_name_and_the_proof_comes_last() {
        assert_eq!(check("openid", "coach", Some(NOW - 300)), Ok(()));
        assert_eq!(
            check("openid", "coach", Some(NOW - 301)),
            Err(Denied::Stale { max_age: 300 })
        );
        assert_eq!(
            check("openid", "coach", None),
            Err(Denied::Stale { max_age: 300 }),
            "the time is unknown"
        );
        assert_eq!(
            check("openid", "student", Some(NOW - 301)),
            Err(Denied::Role("coach"))
        );
        assert_eq!(
            check("openid", "coaches", Some(NOW)),
            Err(Denied::Role("coach")),
            "the whole name"
        );
        assert_eq!(
            check("email", "student", None),
            Err(Denied::Scope("openid"))
        );
    }

    /// A token carries the scopes of one API: those of another one open nothing here.
    #[test]
    fn rs_8_the_scope_of_another_api_opens_nothing() {
        let readers = Demand {
            scope: Some("lessons:read"),
            ..Demand::default()
        };
        for (scope, expected) in [
            ("lessons:read", Ok(())),
            ("music:read", Err(Denied::Scope("lessons:read"))),
            ("lessons:read:all", Err(Denied::Scope("lessons:read"))),
        ] {
            let caller = Caller {
                sub: "me".to_owned(),
                roles: vec![],
                scopes: vec!["openid".to_owned(), scope.to_owned()],
                auth_time: None,
            };
            assert_eq!(readers.check(&caller, NOW), expected, "{scope}");
        }
    }

    #[test]
    fn nothing_demanded_is_nothing_refused() {
        let caller = Caller {
            sub: "me".to_owned(),
            roles: vec![],
            scopes: vec![],
            auth_time: None,
        };
        assert_eq!(Demand::default().check(&caller, NOW), Ok(()));
    }
}
