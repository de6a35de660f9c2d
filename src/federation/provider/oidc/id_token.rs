//! The ID token: what it must be before a word of it is believed (OpenID Connect Core §3.1.3.7).
//!
//! Each check is a function of its own on the raw JSON, with its code. The library comes last, as a second net: it reads
//! every optional claim by its type, and checks signature, issuer and audience once more in its own way.

use std::str::FromStr as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use openidconnect::{
    ClientId, IssuerUrl, JsonWebKey as _, JsonWebKeySet, Nonce,
    core::{CoreIdToken, CoreIdTokenClaims, CoreIdTokenVerifier},
};
use serde_json::Value;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::{
    json::{self, Object, text},
    keys::{Key, core, name},
    upstream::Upstream,
};
use crate::{
    config::{
        Provider,
        providers::{Kind, TENANT, UpstreamAlg},
    },
    federation::error::{FederationError, RefusalCode},
};

/// Longer tokens are not looked at.
const MAX_BYTES: usize = 16 * 1024;

/// How far two clocks may differ, in seconds.
const SKEW: i64 = 60;

/// What the token must fit.
#[derive(Clone, Copy)]
pub(crate) struct Expect<'a> {
    pub(crate) settings: &'a Provider,
    /// The recorded issuer; for many directories, their template.
    pub(crate) issuer: &'a str,
    /// The recorded nonce.
    pub(crate) nonce: &'a str,
    /// PKCE was used, so that a code is bound to this browser without a nonce too.
    pub(crate) pkce: bool,
    /// The access token that came with it.
    pub(crate) access_token: &'a str,
    /// Now, in seconds since 1970.
    pub(crate) now: i64,
}

/// A token whose every check passed.
pub(crate) struct Verified {
    /// Who issued it: for many directories, the person's own.
    pub(crate) issuer: String,
    /// The person there.
    pub(crate) subject: String,
    /// All claims.
    pub(crate) claims: Object,
}

/// A compact JWS, taken apart.
struct Parts<'a> {
    whole: &'a str,
    message: &'a str,
    header: Object,
    claims: Object,
    signature: Vec<u8>,
}

type Checked = Result<(), FederationError>;

fn refuse<T>(code: RefusalCode, words: &str) -> Result<T, FederationError> {
    Err(FederationError::new(code, words))
}

/// All checks of section 5, in its order.
///
/// # Errors
/// The first that failed.
pub(crate) async fn verify(
    upstream: &Upstream,
    token: &str,
    expect: Expect<'_>,
) -> Result<Verified, FederationError> {
    let parts = parse(token)?;
    not_critical(&parts.header)?;
    is_jwt(&parts.header)?;
    let alg = algorithm(&parts.header, expect.settings)?;
    let kid = key_name(&parts.header, expect.settings)?;
    let (mut key, known) = upstream.key(kid, alg).await?;
    if !is_signed(&parts, &key, alg) {
        // The key may have been replaced under its name (DJ-04).
        let again = upstream.keys_again(&known).await?;
        let other = again
            .as_ref()
            .and_then(|keys| keys.select(kid, alg).ok())
            .filter(|key| is_signed(&parts, key, alg));
        key = other
            .cloned()
            .ok_or_else(|| FederationError::new(RefusalCode::Signature, "it is not the key's"))?;
    }
    claims(&parts, &key, alg, &expect)
}

/// What the claims must say, once the signature holds.
fn claims(
    parts: &Parts<'_>,
    key: &Key,
    alg: UpstreamAlg,
    expect: &Expect<'_>,
) -> Result<Verified, FederationError> {
    let found = &parts.claims;
    let issuer = is_issuer(found, expect)?;
    is_key_of(key, &issuer, found, expect.settings)?;
    is_for_us(found, &expect.settings.client_id)?;
    is_authorized_party(found, &expect.settings.client_id)?;
    is_not_expired(found, expect.now)?;
    is_recent(found, expect)?;
    is_valid_already(found, expect.now)?;
    has_nonce(found, expect)?;
    has_access_token_hash(found, key, alg, expect.access_token)?;
    let subject = subject(found)?;
    is_of_domain(found, expect.settings)?;
    has_plain_booleans(found, expect.settings)?;
    second_net(parts, key, alg, &issuer, expect)?;
    Ok(Verified {
        issuer,
        subject,
        claims: found.clone(),
    })
}

/// RFC 7515 §7.1, §4; RFC 7519 §4: three parts of strict base64url, two of them JSON objects without repeated members.
/// What is encrypted has five parts, or names `enc` (IT-01).
fn parse(token: &str) -> Result<Parts<'_>, FederationError> {
    if token.len() > MAX_BYTES {
        return refuse(RefusalCode::IdTokenMalformed, "it is over 16 KiB");
    }
    let parts: Vec<&str> = token.split('.').collect();
    let &[header, payload, signature] = parts.as_slice() else {
        return refuse(RefusalCode::IdTokenMalformed, "it has not three parts");
    };
    let decode = |part: &str| BASE64.decode(part).ok();
    let object = |part: &str| decode(part).and_then(|bytes| json::object(&bytes));
    let (Some(header_object), Some(claims), Some(bytes)) =
        (object(header), object(payload), decode(signature))
    else {
        return refuse(
            RefusalCode::IdTokenMalformed,
            "a part is not base64url of a JSON object, or repeats a member",
        );
    };
    if header_object.contains_key("enc") || header_object.contains_key("zip") {
        return refuse(
            RefusalCode::IdTokenMalformed,
            "it is encrypted or compressed",
        );
    }
    let message = token
        .get(..header.len() + 1 + payload.len())
        .unwrap_or_default();
    Ok(Parts {
        whole: token,
        message,
        header: header_object,
        claims,
        signature: bytes,
    })
}

/// RFC 7515 §4.1.11: we know no extension, and an empty list is not allowed either.
fn not_critical(header: &Object) -> Checked {
    if header.contains_key("crit") {
        refuse(RefusalCode::Crit, "it demands an extension")
    } else {
        Ok(())
    }
}

/// RFC 8725 §3.11, RFC 7519 §5.1: absent or `JWT`.
fn is_jwt(header: &Object) -> Checked {
    let fits = header.get("typ").is_none_or(|typ| {
        typ.as_str()
            .is_some_and(|typ| typ.eq_ignore_ascii_case("JWT"))
    });
    if fits {
        Ok(())
    } else {
        refuse(RefusalCode::Typ, "it is another kind of token")
    }
}

/// Core §3.1.3.7(7), RFC 8725 §3.1: one of the configured algorithms; none and HS* cannot be configured.
fn algorithm(header: &Object, settings: &Provider) -> Result<UpstreamAlg, FederationError> {
    let found = text(header, "alg");
    let alg = settings
        .algs
        .iter()
        .copied()
        .find(|alg| Some(name(*alg)) == found);
    alg.ok_or_else(|| FederationError::new(RefusalCode::Alg, "its algorithm is not configured"))
}

/// `kid`: a text if it is there, and there if the settings ask for it. Keys in the header itself (`jku`, `jwk`, `x5u`,
/// `x5c`) are never looked at (RFC 8725 §3.10).
fn key_name<'a>(
    header: &'a Object,
    settings: &Provider,
) -> Result<Option<&'a str>, FederationError> {
    match header.get("kid") {
        None if settings.require_kid => refuse(RefusalCode::KeyUnknown, "it names no key"),
        None => Ok(None),
        Some(Value::String(kid)) => Ok(Some(kid)),
        Some(_) => refuse(RefusalCode::IdTokenMalformed, "its kid is no text"),
    }
}

/// Core §3.1.3.7(6), RFC 7515 §5.2.
fn is_signed(parts: &Parts<'_>, key: &Key, alg: UpstreamAlg) -> bool {
    key.jwk
        .verify_signature(&core(alg), parts.message.as_bytes(), &parts.signature)
        .is_ok()
}

/// Core §3.1.3.7(2): the recorded issuer, exactly. For many directories the template with the person's own in it, which
/// must be one of those that may come.
fn is_issuer(claims: &Object, expect: &Expect<'_>) -> Result<String, FederationError> {
    let Some(found) = text(claims, "iss") else {
        return refuse(RefusalCode::IssClaim, "it is missing, or no text");
    };
    let settings = expect.settings;
    let tid = text(claims, "tid");
    let wanted = if settings.has_many_tenants() {
        let is_guid =
            |tid: &&str| Uuid::try_parse(tid).is_ok_and(|id| id.hyphenated().to_string() == **tid);
        let Some(tid) = tid.filter(is_guid) else {
            return refuse(RefusalCode::Tenant, "tid is no directory");
        };
        if !settings.tenants.is_empty() && !settings.tenants.iter().any(|tenant| tenant == tid) {
            return refuse(RefusalCode::Tenant, "this directory may not come");
        }
        expect.issuer.replace(TENANT, tid)
    } else {
        if settings.kind == Kind::Entra && tid.is_some_and(|tid| tid != settings.tenant) {
            return refuse(RefusalCode::Tenant, "tid is another directory");
        }
        expect.issuer.to_owned()
    };
    if found == wanted {
        Ok(wanted)
    } else {
        refuse(RefusalCode::IssClaim, "it is another issuer")
    }
}

/// Entra: a key says whose tokens it signs, as an issuer or their template.
fn is_key_of(key: &Key, issuer: &str, claims: &Object, settings: &Provider) -> Checked {
    let (Kind::Entra, Some(of)) = (settings.kind, &key.issuer) else {
        return Ok(());
    };
    let filled = of.replace(TENANT, text(claims, "tid").unwrap_or(&settings.tenant));
    if filled == issuer {
        Ok(())
    } else {
        refuse(RefusalCode::KeyUnknown, "the key signs for another issuer")
    }
}

/// Core §3.1.3.7(3): for us and for nobody else.
fn is_for_us(claims: &Object, client_id: &str) -> Checked {
    let found = match claims.get("aud") {
        Some(Value::String(one)) => Some(one.as_str()),
        Some(Value::Array(list)) => match list.as_slice() {
            [one] => one.as_str(),
            _ => None,
        },
        _ => None,
    };
    if found == Some(client_id) {
        Ok(())
    } else {
        refuse(RefusalCode::Aud, "it is not for us alone")
    }
}

/// Core §3.1.3.7(4), (5).
fn is_authorized_party(claims: &Object, client_id: &str) -> Checked {
    let fits = claims
        .get("azp")
        .is_none_or(|azp| azp.as_str() == Some(client_id));
    if fits {
        Ok(())
    } else {
        refuse(RefusalCode::Azp, "it was issued to somebody else")
    }
}

/// RFC 7519 §2: seconds since 1970, a number and not a text; within what a calendar has.
fn date(claims: &Object, claim: &str) -> Option<i64> {
    let Value::Number(number) = claims.get(claim)? else {
        return None;
    };
    let seconds = match number.as_i64() {
        Some(seconds) => seconds,
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the bound below makes it fit"
        )]
        None => number
            .as_f64()
            .filter(|seconds| (0.0..1e12).contains(seconds))?
            .floor() as i64,
    };
    (0..=253_402_300_799).contains(&seconds).then_some(seconds)
}

/// Core §3.1.3.7(9), with a minute for clocks that differ.
fn is_not_expired(claims: &Object, now: i64) -> Checked {
    let fits = date(claims, "exp").is_some_and(|exp| exp > now - SKEW);
    if fits {
        Ok(())
    } else {
        refuse(RefusalCode::Expired, "exp is past, or no date")
    }
}

/// Core §3.1.3.7(10): issued a moment ago.
fn is_recent(claims: &Object, expect: &Expect<'_>) -> Checked {
    let age = i64::try_from(expect.settings.token_age_seconds).unwrap_or(i64::MAX);
    let fits = date(claims, "iat")
        .is_some_and(|iat| (expect.now - age..=expect.now + SKEW).contains(&iat));
    if fits {
        Ok(())
    } else {
        refuse(RefusalCode::Iat, "iat is too old, ahead, or no date")
    }
}

/// RFC 7519 §4.1.5.
fn is_valid_already(claims: &Object, now: i64) -> Checked {
    let fits =
        !claims.contains_key("nbf") || date(claims, "nbf").is_some_and(|nbf| nbf <= now + SKEW);
    if fits {
        Ok(())
    } else {
        refuse(RefusalCode::Nbf, "nbf is ahead, or no date")
    }
}

/// Core §3.1.3.7(11). It may be missing where the settings say so, or where Apple says that it knows none; never without
/// PKCE, and one that is there is always compared (IT-06).
fn has_nonce(claims: &Object, expect: &Expect<'_>) -> Checked {
    let apple = expect.settings.kind == Kind::Apple
        && claims.get("nonce_supported") == Some(&Value::Bool(false));
    let fits = match claims.get("nonce") {
        Some(Value::String(found)) => bool::from(found.as_bytes().ct_eq(expect.nonce.as_bytes())),
        Some(_) => false,
        None => expect.pkce && (expect.settings.nonce_optional || apple),
    };
    if fits {
        Ok(())
    } else {
        refuse(RefusalCode::Nonce, "it is missing, or another flow's")
    }
}

/// Core §3.1.3.8: the left half of the hash of the access token, by the algorithm of the signature.
fn has_access_token_hash(
    claims: &Object,
    key: &Key,
    alg: UpstreamAlg,
    access_token: &str,
) -> Checked {
    let Some(found) = claims.get("at_hash") else {
        return Ok(());
    };
    let hash = key.jwk.hash_bytes(access_token.as_bytes(), &core(alg)).ok();
    let half = hash
        .as_deref()
        .and_then(|hash| hash.get(..hash.len() / 2))
        .map(|half| BASE64.encode(half));
    let fits = half.is_some() && found.as_str() == half.as_deref();
    if fits {
        Ok(())
    } else {
        refuse(RefusalCode::AtHash, "it is not that of the access token")
    }
}

/// Core §2: 1 to 255 ASCII characters, none of them a control.
fn subject(claims: &Object) -> Result<String, FederationError> {
    let fits = |sub: &&str| {
        (1..=255).contains(&sub.len()) && sub.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    };
    match text(claims, "sub").filter(fits) {
        Some(sub) => Ok(sub.to_owned()),
        None => refuse(
            RefusalCode::Sub,
            "it is missing, empty, too long or not plain ASCII",
        ),
    }
}

/// Google: the claim decides; the parameter that we sent was a hint that anybody can change.
fn is_of_domain(claims: &Object, settings: &Provider) -> Checked {
    let domains = &settings.hosted_domains;
    let fits = domains.is_empty()
        || text(claims, "hd").is_some_and(|hd| domains.iter().any(|domain| domain == hd));
    if fits {
        Ok(())
    } else {
        refuse(RefusalCode::Hd, "hd is not a domain that may come")
    }
}

/// The library takes `"true"` for true; we do so only where the settings say so.
pub(crate) fn has_plain_booleans(claims: &Object, settings: &Provider) -> Checked {
    let fits = match claims.get("email_verified") {
        None | Some(Value::Bool(_) | Value::Null) => true,
        Some(Value::String(text)) => {
            settings.takes_string_booleans() && (text == "true" || text == "false")
        }
        Some(_) => false,
    };
    if fits {
        Ok(())
    } else {
        refuse(RefusalCode::ClaimsMalformed, "email_verified is no boolean")
    }
}

/// The library's own reading. Every claim that it knows must have its type (IT-10); then its checks, with the moment of
/// issue for its clock, which knows no skew.
fn second_net(
    parts: &Parts<'_>,
    key: &Key,
    alg: UpstreamAlg,
    issuer: &str,
    expect: &Expect<'_>,
) -> Checked {
    let read = |claims: &Object| {
        serde_json::from_value::<CoreIdTokenClaims>(Value::Object(claims.clone())).ok()
    };
    let Some(claims) = read(&parts.claims) else {
        return refuse(
            RefusalCode::ClaimsMalformed,
            &format!(
                "{} is malformed",
                misfits(&parts.claims, |some| read(some).is_some())
            ),
        );
    };
    let Ok(url) = IssuerUrl::new(issuer.to_owned()) else {
        return refuse(RefusalCode::IssClaim, "it is no URL");
    };
    let issued = claims.issue_time();
    let keys = JsonWebKeySet::new(vec![key.jwk.clone()]);
    let verifier = CoreIdTokenVerifier::new_public_client(
        ClientId::new(expect.settings.client_id.clone()),
        url,
        keys,
    )
    .set_allowed_algs([core(alg)])
    .set_time_fn(move || issued);
    let token = CoreIdToken::from_str(parts.whole)
        .map_err(|_| FederationError::new(RefusalCode::ClaimsMalformed, "it cannot be read"))?;
    // The nonce was compared above, with what may be missing.
    let seen = token.claims(&verifier, |_: Option<&Nonce>| Ok(()));
    // The library's words hold values of the token.
    seen.map(|_| ())
        .map_err(|_| FederationError::new(RefusalCode::ClaimsMalformed, "the library refuses it"))
}

/// The paths of what cannot be read: each claim is tried alone beside those that a token must have, and of an object that
/// would do without them its members, each alone.
fn misfits(claims: &Object, reads: impl Fn(&Object) -> bool) -> String {
    let needed = ["iss", "sub", "aud", "exp", "iat"];
    let base: Object = claims
        .iter()
        .filter(|(name, _)| needed.contains(&name.as_str()))
        .map(pair)
        .collect();
    let fits = |name: &String, value: Value| {
        let mut some = base.clone();
        some.insert(name.clone(), value);
        reads(&some)
    };
    let mut paths = Vec::new();
    for (name, value) in claims
        .iter()
        .filter(|(name, value)| !fits(name, (*value).clone()))
    {
        let members = value
            .as_object()
            .filter(|_| fits(name, Value::Object(Object::new())))
            .into_iter()
            .flatten();
        let alone = |member: &(&String, &Value)| {
            !fits(name, Value::Object([pair(*member)].into_iter().collect()))
        };
        let within: Vec<String> = members
            .filter(alone)
            .map(|(member, _)| format!("{name}.{member}"))
            .collect();
        paths.extend(if within.is_empty() {
            vec![name.clone()]
        } else {
            within
        });
    }
    // Two that fit alone may not fit together.
    let paths = if paths.is_empty() {
        "a claim".to_owned()
    } else {
        paths.join(", ")
    };
    paths
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect()
}

fn pair((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

#[cfg(test)]
pub(in crate::federation) mod tests;
