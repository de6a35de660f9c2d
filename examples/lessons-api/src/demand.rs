//! The rules of a route beyond a good token. Each has an error of its own, since the client has another remedy for
//! each.
//!
//! The order matters: no user signs in again only to be refused for want of a role.

use crate::verify::Caller;

/// The demands of a route. `None` demands nothing of that kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    /// The scope that the token must have.
    pub scope: Option<&'static str>,
    /// The role that the user must have.
    pub role: Option<&'static str>,
    /// The greatest age of the user's last sign-in, in seconds.
    pub max_age: Option<i64>,
}

/// Why a good token does not do for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DemandError {
    /// The client may request a token with this scope (RFC 6750 §3.1, `insufficient_scope`).
    #[error("the token lacks the scope {0}")]
    Scope(&'static str),
    /// Nothing that the client could request helps, because operators give roles.
    #[error("for people with the role {0}")]
    Role(&'static str),
    /// The user must sign in again (RFC 9470 §3, `insufficient_user_authentication`).
    #[error("a more recent sign-in is required")]
    Stale {
        /// The greatest age that the route accepts, in seconds.
        max_age: i64,
    },
}

impl Demand {
    /// Checks that the route is open to the caller at `now` (seconds since 1970).
    ///
    /// # Errors
    /// [`DemandError`] for the first demand that is not met.
    pub fn check(&self, caller: &Caller, now: i64) -> Result<(), DemandError> {
        let has = |list: &[String], wanted: &str| list.iter().any(|one| one == wanted);
        if let Some(scope) = self.scope.filter(|scope| !has(&caller.scopes, scope)) {
            return Err(DemandError::Scope(scope));
        }
        if let Some(role) = self.role.filter(|role| !has(&caller.roles, role)) {
            return Err(DemandError::Role(role));
        }
        // There is no leeway: a user who signs in once too often loses less than one who does so too late.
        let fresh = |max_age| {
            caller
                .auth_time
                .is_some_and(|at| now.saturating_sub(at) <= max_age)
        };
        match self.max_age {
            Some(max_age) if !fresh(max_age) => Err(DemandError::Stale { max_age }),
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

    fn check(scope: &str, role: &str, auth_time: Option<i64>) -> Result<(), DemandError> {
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
            Err(DemandError::Stale { max_age: 300 })
        );
        assert_eq!(
            check("openid", "coach", None),
            Err(DemandError::Stale { max_age: 300 }),
            "the time is unknown"
        );
        assert_eq!(
            check("openid", "student", Some(NOW - 301)),
            Err(DemandError::Role("coach"))
        );
        assert_eq!(
            check("openid", "coaches", Some(NOW)),
            Err(DemandError::Role("coach")),
            "the whole name"
        );
        assert_eq!(
            check("email", "student", None),
            Err(DemandError::Scope("openid"))
        );
    }

    /// A token carries the scopes of one API. Those of another one open nothing here.
    #[test]
    fn rs_8_the_scope_of_another_api_opens_nothing() {
        let readers = Demand {
            scope: Some("lessons:read"),
            ..Demand::default()
        };
        for (scope, expected) in [
            ("lessons:read", Ok(())),
            ("music:read", Err(DemandError::Scope("lessons:read"))),
            ("lessons:read:all", Err(DemandError::Scope("lessons:read"))),
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
