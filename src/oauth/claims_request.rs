//! The `claims` parameter (OIDC Core §5.5): which facts a client wants beside those of its scopes, and where.
//!
//! It never fails a request (CL-5): what we do not know is ignored, and so is the whole of a text that is not what the
//! standard describes. What is granted stays with the grant as a list of names such as `id_token.email userinfo.name`;
//! it widens no scope. A client gets no more this way than its registered scopes stand for, and a third party's people
//! are asked for the scope that a fact belongs to (`wanted`).

use sea_orm::ConnectionTrait;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{grant_store::Grant, scope};
use crate::{
    config::{Client, Reloadable},
    error::InfraError,
    session,
    user::{self, User},
};

/// The longest text that is read.
const MAX_BYTES: usize = 4096;

/// The longest value that is kept, in characters, and the most of one claim.
const MAX_VALUE: usize = 255;
const MOST_VALUES: usize = 16;

/// What can be asked for at userinfo, and the scope that it belongs to; none: whoever gets a token knows it anyway.
const AT_USERINFO: [(&str, Option<&str>); 10] = [
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

/// The same for ID tokens: the rest stands there in any case.
const IN_ID_TOKEN: usize = 6;

/// Everything that we may say of a sign-in or a person, at either place, for the metadata.
pub const SUPPORTED: [&str; 17] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "nonce",
    "acr",
    "amr",
    "sid",
    "at_hash",
    "name",
    "locale",
    "updated_at",
    "email",
    "email_verified",
    "roles",
];

/// The strengths of sign-ins that can be reached now, for the metadata (DI-12).
#[must_use]
pub fn acr_values(config: &Reloadable) -> Vec<&'static str> {
    let upstream = config.providers.iter().any(|provider| provider.enabled);
    [session::AuthMethod::Email.acr()]
        .into_iter()
        .chain(upstream.then_some(session::UPSTREAM_ACR))
        .collect()
}

/// What a text asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimsRequest {
    /// Known names at userinfo.
    userinfo: Vec<&'static str>,
    /// Known names in the ID token.
    id_token: Vec<&'static str>,
    /// The one user that the answer may be about (`sub` with a value, OIDC Core §3.1.2.2).
    pub sub: Option<String>,
    /// An essential `acr`: one of these or no sign-in at all (OIDC Core §5.5.1.1). Empty: none is demanded.
    pub acr: Vec<String>,
}

impl ClaimsRequest {
    /// Reads the parameter.
    #[must_use]
    pub fn read(text: &str) -> Self {
        if text.len() > MAX_BYTES {
            return Self::default();
        }
        serde_json::from_str::<Value>(text)
            .ok()
            .and_then(|value| Self::of(&value))
            .unwrap_or_default()
    }

    fn of(value: &Value) -> Option<Self> {
        let members = value.as_object()?;
        let (userinfo, id_token) = (place(members, "userinfo")?, place(members, "id_token")?);
        let names = |place: &Map<String, Value>, most: usize| -> Vec<&'static str> {
            let known = AT_USERINFO.iter().take(most).map(|(name, _)| *name);
            known.filter(|name| place.contains_key(*name)).collect()
        };
        let acr = id_token
            .get("acr")
            .filter(|acr| acr.get("essential") == Some(&Value::Bool(true)));
        Some(Self {
            userinfo: names(&userinfo, AT_USERINFO.len()),
            id_token: names(&id_token, IN_ID_TOKEN),
            sub: id_token
                .get("sub")
                .and_then(|sub| sub.get("value")?.as_str())
                .map(cut),
            acr: acr.map(values).unwrap_or_default(),
        })
    }

    /// What of it this client may have, as the grant keeps it. Nothing without `openid`: there is neither place then.
    #[must_use]
    pub fn granted(&self, client: &Client, scope: &str) -> String {
        if !scope::has(scope, "openid") {
            return String::new();
        }
        let may = |name: &&&str| {
            scope_of(name).is_none_or(|scope| client.scopes.iter().any(|own| own == scope))
        };
        let id_token = self
            .id_token
            .iter()
            .filter(may)
            .map(|name| format!("id_token.{name}"));
        let userinfo = self
            .userinfo
            .iter()
            .filter(may)
            .map(|name| format!("userinfo.{name}"));
        id_token.chain(userinfo).collect::<Vec<_>>().join(" ")
    }
}

/// One place: absent or null is nothing; every claim in it is null or an object.
fn place(members: &Map<String, Value>, name: &str) -> Option<Map<String, Value>> {
    match members.get(name) {
        None | Some(Value::Null) => Some(Map::new()),
        Some(Value::Object(claims))
            if claims
                .values()
                .all(|claim| claim.is_null() || claim.is_object()) =>
        {
            Some(claims.clone())
        }
        Some(_) => None,
    }
}

/// `value`, or `values` (OIDC Core §5.5.1).
fn values(claim: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(cut);
    match (
        claim.get("value"),
        claim.get("values").and_then(Value::as_array),
    ) {
        (Some(one), _) => text(one).into_iter().collect(),
        (None, Some(list)) => list.iter().filter_map(text).take(MOST_VALUES).collect(),
        (None, None) => Vec::new(),
    }
}

/// A value as it waits with its request: anybody may send it. What is longer than any of ours stays unlike them.
fn cut(value: &str) -> String {
    value.chars().take(MAX_VALUE).collect()
}

fn scope_of(name: &str) -> Option<&'static str> {
    AT_USERINFO
        .iter()
        .find(|(known, _)| *known == name)
        .and_then(|(_, scope)| *scope)
}

/// What a person is asked for, and must still allow when it is given (RF-9): the scopes, and those that granted claims
/// belong to.
#[must_use]
pub fn wanted(scope: &str, claims: &str) -> String {
    let behind = scopes_behind(claims)
        .into_iter()
        .filter(|name| !scope::has(scope, name));
    scope
        .split_ascii_whitespace()
        .chain(behind)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The scopes that granted claims belong to.
fn scopes_behind(claims: &str) -> Vec<&'static str> {
    let mut scopes = Vec::new();
    for scope in claims
        .split(' ')
        .filter_map(|claim| scope_of(claim.split_once('.')?.1))
    {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    scopes
}

/// A grant, whose client it is for, and the scope of the token at hand: the grant's or less.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// The grant.
    pub grant: &'a Grant,
    /// The client, as it is registered now.
    pub client: &'a Client,
    /// The token's scope.
    pub scope: &'a str,
}

impl Reach<'_> {
    fn at_userinfo(&self, name: &str) -> bool {
        scope_of(name).is_some_and(|scope| scope::has(self.scope, scope))
            || self.asked("userinfo", name)
    }

    /// TK-10: nothing but by `claims`.
    fn in_id_token(&self, name: &str) -> bool {
        self.asked("id_token", name)
    }

    /// Whether the request asked for it. A refresh that left a scope out leaves out what belongs to it, too, and so do ops
    /// who took it from the client.
    fn asked(&self, place: &str, name: &str) -> bool {
        let listed = |scope: &str| self.client.scopes.iter().any(|own| own == scope);
        let narrowed =
            |scope: &str| scope::has(&self.grant.scope, scope) && !scope::has(self.scope, scope);
        let left_out = |scope: &str| !listed(scope) || narrowed(scope);
        scope::has(&self.grant.claims, &format!("{place}.{name}"))
            && !scope_of(name).is_some_and(left_out)
    }
}

/// Facts of a person and their sign-in (OIDC Core §5.1, §2). What is not known is left out, never null or blank (CL-2).
#[derive(Debug, Default, Serialize)]
pub struct Told {
    /// Display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// BCP 47 tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Last change of the profile, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<i64>,
    /// The address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether it was proven, to us or by a provider that runs it (CL-4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_verified: Option<bool>,
    /// Roles set by ops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// When the person proved who they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// How strong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// How.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amr: Option<Vec<String>>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
}

/// What userinfo tells: the claims of the granted scopes (OIDC Core §5.4, CL-3), and what `claims` asked for.
///
/// # Errors
/// The database's own.
pub async fn at_userinfo(
    conn: &impl ConnectionTrait,
    user: &User,
    reach: &Reach<'_>,
) -> Result<Told, InfraError> {
    let grant = reach.grant;
    let amr = || {
        grant
            .amr
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let told = told(conn, user, |name| reach.at_userinfo(name)).await?;
    Ok(Told {
        auth_time: reach
            .at_userinfo("auth_time")
            .then(|| grant.auth_time.seconds()),
        acr: reach.at_userinfo("acr").then(|| grant.acr.clone()),
        amr: reach
            .at_userinfo("amr")
            .then(amr)
            .filter(|amr| !amr.is_empty()),
        sid: grant
            .session_id
            .filter(|_| reach.at_userinfo("sid"))
            .map(|id| id.to_string()),
        ..told
    })
}

/// What an ID token tells beside what it always does.
///
/// # Errors
/// The database's own.
pub async fn in_id_token(
    conn: &impl ConnectionTrait,
    user: &User,
    reach: &Reach<'_>,
) -> Result<Told, InfraError> {
    told(conn, user, |name| reach.in_id_token(name)).await
}

async fn told(
    conn: &impl ConnectionTrait,
    user: &User,
    wanted: impl Fn(&str) -> bool + Send + Sync,
) -> Result<Told, InfraError> {
    let known = |name: &str, text: &Option<String>| {
        text.clone()
            .filter(|text| wanted(name) && !text.trim().is_empty())
    };
    let mut told = Told {
        name: known("name", &user.name),
        locale: known("locale", &user.locale),
        updated_at: wanted("updated_at").then(|| user.updated_at.seconds()),
        roles: wanted("roles").then(|| user::roles(user)),
        ..Told::default()
    };
    if (wanted("email") || wanted("email_verified"))
        && let Some(row) = user::primary_address(conn, user.id).await?
    {
        told.email_verified = wanted("email_verified").then_some(row.verified_at.is_some());
        told.email = wanted("email").then_some(row.email);
    }
    Ok(told)
}

#[cfg(test)]
mod tests;
