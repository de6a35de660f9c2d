//! Claims about a user and their sign-in, as userinfo and ID tokens deliver them (OIDC Core §5.1,
//! §2).
//!
//! A claim is delivered if its scope was granted (userinfo only) or if the request named it in the
//! parameter `claims` (see [`super::claims_request`]). What the service does not know is left out,
//! never null or blank (CL-2).

use sea_orm::ConnectionTrait;
use serde::Serialize;

use super::{grant_store::Grant, scope};
use crate::{
    config::Client,
    error::InfraError,
    user::{self, User, UserEmail},
};

/// The claims that can be requested at userinfo, each with the scope that it belongs to. Claims
/// without one tell a client nothing that its token does not.
pub(crate) const CLAIMS: [(&str, Option<&str>); 10] = [
    ("name", Some("profile")),
    ("locale", Some("profile")),
    ("updated_at", Some("profile")),
    ("email", Some("email")),
    ("email_verified", Some("email")),
    ("roles", None),
    ("auth_time", None),
    ("acr", None),
    ("amr", None),
    ("sid", None),
];

/// Returns the scope that a claim belongs to.
#[must_use]
pub(crate) fn scope_of_claim(name: &str) -> Option<&'static str> {
    CLAIMS
        .iter()
        .find(|(known, _)| *known == name)
        .and_then(|(_, scope)| *scope)
}

/// The scopes that the user of a third-party client is asked to allow and must still allow when
/// tokens are issued (RF-9): those of the request, and those that its granted claims belong to.
#[must_use]
pub(crate) fn consent_scopes(scope: &str, claims: &str) -> String {
    let mut names: Vec<&str> = scope.split_ascii_whitespace().collect();
    for claim in claims.split(' ') {
        let implied = claim
            .split_once('.')
            .and_then(|(_, name)| scope_of_claim(name));
        if let Some(name) = implied.filter(|name| !names.contains(name)) {
            names.push(name);
        }
    }
    names.join(" ")
}

/// Decides which claims a client receives with the token at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClaimFilter<'a> {
    pub(crate) grant: &'a Grant,
    /// The client as it is registered now.
    pub(crate) client: &'a Client,
    /// The token's scope: the grant's or a part of it.
    pub(crate) scope: &'a str,
}

impl ClaimFilter<'_> {
    fn allows_in_userinfo(&self, name: &str) -> bool {
        scope_of_claim(name).is_some_and(|scope| scope::has(self.scope, scope))
            || self.was_requested("userinfo", name)
    }

    /// TK-10: an ID token has no claim about the user that neither `claims` nor the client's
    /// registration names. What the registration names still needs the claim's scope (OC-5).
    fn allows_in_id_token(&self, name: &str) -> bool {
        let registered = &self.client.id_token_claims;
        let is_registered = registered.iter().any(|claim| claim.name() == name);
        let has_scope = scope_of_claim(name).is_none_or(|scope| scope::has(self.scope, scope));
        is_registered && has_scope || self.was_requested("id_token", name)
    }

    /// Whether `claims` named it. A refresh that left a scope out leaves out the claims that belong
    /// to it, and so does an operator who takes the scope from the client.
    fn was_requested(&self, member: &str, name: &str) -> bool {
        let is_registered = |scope: &str| self.client.scopes.iter().any(|listed| listed == scope);
        let is_left_out =
            |scope: &str| scope::has(&self.grant.scope, scope) && !scope::has(self.scope, scope);
        let is_blocked = |scope: &str| !is_registered(scope) || is_left_out(scope);
        scope::has(&self.grant.claims, &format!("{member}.{name}"))
            && !scope_of_claim(name).is_some_and(is_blocked)
    }
}

/// Claims about a user and their sign-in.
#[derive(Debug, Default, Serialize)]
pub(crate) struct UserClaims {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// BCP 47 tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) locale: Option<String>,
    /// The last change of the profile, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) updated_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    /// Whether we, or the provider that runs the address, verified it (CL-4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) roles: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) amr: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sid: Option<String>,
}

/// The claims of a userinfo response: those of the granted scopes (OIDC Core §5.4, CL-3) and those
/// that the request named.
#[must_use]
pub(crate) fn for_userinfo(
    user: &User,
    address: Option<&UserEmail>,
    filter: &ClaimFilter<'_>,
) -> UserClaims {
    let (grant, allows) = (filter.grant, |name: &str| filter.allows_in_userinfo(name));
    let amr = || {
        grant
            .amr
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    UserClaims {
        auth_time: allows("auth_time").then(|| grant.auth_time.seconds()),
        acr: allows("acr").then(|| grant.acr.clone()),
        amr: allows("amr").then(amr).filter(|amr| !amr.is_empty()),
        sid: grant
            .session_id
            .filter(|_| allows("sid"))
            .map(|id| id.to_string()),
        ..claims_of(user, address, allows)
    }
}

/// The claims of an ID token beside those that it always has.
pub(crate) async fn load_for_id_token(
    conn: &impl ConnectionTrait,
    user: &User,
    filter: &ClaimFilter<'_>,
) -> Result<UserClaims, InfraError> {
    let allows = |name: &str| filter.allows_in_id_token(name);
    let address = match allows("email") || allows("email_verified") {
        true => user::primary_address(conn, user.id).await?,
        false => None,
    };
    Ok(claims_of(user, address.as_ref(), allows))
}

fn claims_of(
    user: &User,
    address: Option<&UserEmail>,
    allows: impl Fn(&str) -> bool,
) -> UserClaims {
    let known = |name: &str, text: &Option<String>| {
        text.clone()
            .filter(|text| allows(name) && !text.trim().is_empty())
    };
    let is_verified = |address: &UserEmail| address.verified_at.is_some();
    UserClaims {
        name: known("name", &user.name),
        locale: known("locale", &user.locale),
        updated_at: allows("updated_at").then(|| user.updated_at.seconds()),
        roles: allows("roles").then(|| user::roles(user)),
        email: address
            .filter(|_| allows("email"))
            .map(|address| address.email.clone()),
        email_verified: address
            .filter(|_| allows("email_verified"))
            .map(is_verified),
        ..UserClaims::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::IdTokenClaim;

    #[test]
    fn oc_5_the_claims_of_a_registration_are_ours_with_the_same_scopes() {
        let registered = IdTokenClaim::ALL.map(|claim| (claim.name(), claim.scope()));
        assert_eq!(CLAIMS[..registered.len()], registered);
    }
}
