//! `private_key_jwt` (OIDC Core §9, RFC 7523 §2.2, §3): a client signs, with a key of its own, that it is itself, to us,
//! now, and once.
//!
//! Whatever is wrong, the client hears what everybody hears who is not believed; the word here is for the trail.

use std::time::Duration;

use serde_json::Value;

use crate::{
    app::App,
    clock::Time,
    config::{Client, jwks::Jwks},
    key::{Claims, Foreign},
    oauth::{
        error::{Code, OauthError},
        refused::Refused,
    },
    secret::Hash,
    ticket::{Kind, Once},
    web::params::Params,
};

/// `client_assertion_type` (RFC 7523 §2.2).
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The longest assertion.
const MAX_BYTES: usize = 8 * 1024;

/// Types that an assertion may have, or none: with either it is told from the tokens that we make (RFC 8725 §3.11).
const TYPES: [&str; 2] = ["JWT", "client-authentication+jwt"];

/// The most that an assertion may have left to live, and the oldest that it may be, in seconds.
const MAX_LIFE: i64 = 300;

/// How far the client's clock may be ahead of ours, in seconds. (Ten pass in any case, over sixty never: CA-8.)
const AHEAD: i64 = 30;

/// A store that began to remember less than this after an assertion was made may have forgotten it (RD-09). It is more
/// than [`AHEAD`], so that no clock ahead of ours carries an assertion over the loss.
const DOUBT: i64 = 60;

/// For how long an assertion is remembered beyond its end (RD-04).
const REMEMBERED: i64 = 60;

/// The longest `jti`.
const MAX_JTI: usize = 512;

/// Whether an assertion was sent, in either of its parameters.
pub fn is_shown(params: &Params) -> bool {
    params.contains("client_assertion") || params.contains("client_assertion_type")
}

/// The assertion of a request, taken apart and not believed; none if it is no signed token at all.
///
/// # Errors
/// `invalid_request` without exactly its two parameters (RFC 7521 §4.2).
pub fn read(params: &Params) -> Result<Option<Foreign>, Refused> {
    if params.optional_within("client_assertion_type", 128)? != Some(TYPE) {
        let words = "The parameter client_assertion_type must be that of a JWT (RFC 7523).";
        return Err(OauthError::new(Code::InvalidRequest, words).into());
    }
    let text = params.required("client_assertion", MAX_BYTES)?;
    Ok(Foreign::read(text, &TYPES).ok())
}

/// Whom an assertion says that it is of: for looking up whose keys to check it with.
pub fn named(assertion: &Foreign) -> &str {
    assertion
        .claims
        .get("sub")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Checks an assertion of `client`: everything that can be seen of it, then the signature, then that it is new.
///
/// # Errors
/// [`Doubt`].
pub async fn check(app: &App, client: &Client, assertion: &Foreign) -> Result<(), Doubt> {
    let now = app.clock().now();
    let endpoint = format!("{}/oauth2/token", app.public_url);
    let said = says(
        &assertion.claims,
        &client.client_id,
        &[&app.public_url, &endpoint],
        now.seconds(),
    )?;
    if !is_signed(app, client, assertion).await? {
        return Err(Doubt::Refused("signature"));
    }
    is_new(app, client, &said, now).await
}

/// Why an assertion does not count.
#[derive(Debug)]
pub enum Doubt {
    /// It is wrong; in a word.
    Refused(&'static str),
    /// It may be right, and nobody can tell for so long: the client may come again with a new one.
    Later(Duration),
    /// Something of ours is away.
    Ours(crate::error::InfraError),
}

impl From<crate::error::InfraError> for Doubt {
    fn from(failure: crate::error::InfraError) -> Self {
        Self::Ours(failure)
    }
}

/// What is left of an assertion once its claims hold.
#[derive(Debug, PartialEq, Eq)]
struct Said<'a> {
    jti: &'a str,
    /// When it ends, in seconds.
    exp: i64,
    /// When it was made; without `iat` the earliest moment that its end allows.
    made: i64,
}

/// RFC 7523 §3, with the bounds of CA-8 and the one audience of CA-9.
fn says<'a>(
    claims: &'a Claims,
    client: &str,
    audiences: &[&str],
    now: i64,
) -> Result<Said<'a>, Doubt> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let refuse = |why| Err(Doubt::Refused(why));
    if text("iss") != Some(client) || text("sub") != Some(client) {
        return refuse("issuer");
    }
    if !text("aud").is_some_and(|audience| audiences.contains(&audience)) {
        return refuse("audience");
    }
    let Some(exp) = number(claims, "exp")? else {
        return refuse("no_expiry");
    };
    if exp <= now || exp > now.saturating_add(MAX_LIFE) {
        return refuse("expiry");
    }
    let issued = number(claims, "iat")?;
    // Older than any that counts: no store has to be asked, and none could make it good again.
    if issued.is_some_and(|at| at < now.saturating_sub(MAX_LIFE)) {
        return refuse("old");
    }
    for from in [issued, number(claims, "nbf")?].into_iter().flatten() {
        if from > now.saturating_add(AHEAD) {
            return refuse("ahead");
        }
    }
    match text("jti") {
        Some(jti) if (1..=MAX_JTI).contains(&jti.len()) => Ok(Said {
            jti,
            exp,
            made: issued.unwrap_or(exp.saturating_sub(MAX_LIFE)),
        }),
        _ => refuse("no_jti"),
    }
}

/// RFC 7519 §2, NumericDate: a number of seconds, whole or not.
fn number(claims: &Claims, name: &str) -> Result<Option<i64>, Doubt> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    #[allow(
        clippy::cast_possible_truncation,
        reason = "what does not fit is bounded, and refused as far away"
    )]
    let whole = value
        .as_i64()
        .or_else(|| value.as_f64().map(|number| number.floor() as i64));
    whole.map(Some).ok_or(Doubt::Refused("number"))
}

async fn is_signed(app: &App, client: &Client, assertion: &Foreign) -> Result<bool, Doubt> {
    if let Some(keys) = &client.jwks {
        return Ok(assertion.is_by(keys));
    }
    let by = |keys: &Jwks| assertion.is_by(keys);
    let known = |keys: &Jwks| assertion.names_one_of(keys) || by(keys);
    let keys = app
        .client_keys
        .of(&client.jwks_uri, known, app.clock().now())
        .await;
    Ok(keys.is_some_and(|keys| by(&keys)))
}

/// CA-8: each `jti` of a client counts once, as long as the assertion lives. Last, so that nobody spends another's; and
/// where the store cannot know, nothing counts (RD-09).
async fn is_new(app: &App, client: &Client, said: &Said<'_>, now: Time) -> Result<(), Doubt> {
    let id = Hash::of(format!("assertion {} {}", client.client_id, said.jti).as_bytes());
    let left = said
        .exp
        .saturating_sub(now.seconds())
        .saturating_add(REMEMBERED);
    let kept = Duration::from_secs(u64::try_from(left).unwrap_or(0));
    let since = match app.tickets.once(Kind::Jti, &id, kept, now).await? {
        Once::First { since } => since.seconds(),
        Once::Again => return Err(Doubt::Refused("replayed")),
        Once::Forgotten => now.seconds(),
    };
    let safe = since.saturating_add(DOUBT);
    if said.made >= safe {
        return Ok(());
    }
    let wait = safe.saturating_sub(now.seconds()).saturating_add(1);
    Err(Doubt::Later(Duration::from_secs(
        u64::try_from(wait).unwrap_or(1).max(1),
    )))
}

#[cfg(test)]
mod tests;
