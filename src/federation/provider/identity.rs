//! The identity that every provider's claims become, and what a provider's word about an email
//! address is worth.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::oidc::{
    id_token::VerifiedToken,
    json::{Object, string_member},
};
use crate::{
    config::{
        Provider,
        providers::{EmailTrust, ProviderKind},
    },
    display_text,
    user::Address,
};

/// How many characters of a name are kept.
const MAX_NAME: usize = 200;

/// The account that a user signed in with at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderIdentity {
    /// The provider's id in the configuration.
    pub provider: String,
    /// Together with `subject`, what a link to a user is made of. With Entra, the issuer of the
    /// account's own tenant.
    pub issuer: String,
    pub subject: String,
    /// The address as the provider sent it, not yet canonical.
    pub email: Option<String>,
    /// What the provider's word about `email` is worth.
    pub trust: Trust,
    /// For display alone.
    pub name: Option<String>,
    pub locale: Option<String>,
    /// How the user authenticated at the provider (RFC 8176), if the provider states it.
    pub amr: Vec<String>,
}

/// What a provider's word about an email address is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// The provider runs the mailbox, or the operator listed its domain.
    Authoritative,
    /// The provider says that it verified the address.
    Asserted,
    None,
}

/// Returns the identity that a verified ID token states. `userinfo` adds what the token leaves out;
/// an address and the claims about it come from one document (IT-11). `name` takes precedence over
/// the claim.
pub(super) fn identity_of(
    settings: &Provider,
    token: VerifiedToken,
    userinfo: Option<&Object>,
    name: Option<String>,
) -> ProviderIdentity {
    let claims = &token.claims;
    let email_source = if claims.contains_key("email") {
        claims
    } else {
        userinfo.unwrap_or(claims)
    };
    let email = string_member(email_source, "email")
        .map(str::trim)
        .filter(|email| !email.is_empty());
    let claim = |name| {
        string_member(claims, name).or_else(|| userinfo.and_then(|info| string_member(info, name)))
    };
    let amr = claims
        .get("amr")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    ProviderIdentity {
        provider: settings.id.clone(),
        trust: email.map_or(Trust::None, |email| {
            trust(settings, email, email_source, claims)
        }),
        email: email.map(str::to_owned),
        name: name.or_else(|| claim("name").and_then(display_name)),
        locale: claim("locale").map(str::to_owned),
        amr: amr.filter_map(Value::as_str).map(str::to_owned).collect(),
        issuer: token.issuer,
        subject: token.subject,
    }
}

/// Returns what the claims in `source` make of an address.
fn trust(settings: &Provider, email: &str, source: &Object, id_token: &Object) -> Trust {
    let verified = match settings.kind {
        // Entra's `email` can be set to any address; `xms_edov` says that the owner of its domain
        // was verified.
        ProviderKind::Entra => {
            let claim = source.get("xms_edov");
            is_true(claim) || claim.is_some_and(|value| *value == 1)
        }
        _ => is_true(source.get("email_verified")),
    };
    if !verified {
        return Trust::None;
    }
    match settings.trust() {
        EmailTrust::None => Trust::None,
        EmailTrust::Asserted => Trust::Asserted,
        EmailTrust::Authoritative if settings.kind == ProviderKind::Google => {
            trust_of_google(email, string_member(id_token, "hd"))
        }
        EmailTrust::Authoritative => trust_by_domain(settings, email),
    }
}

/// OA-14: Google runs the mailboxes of Gmail and of the Workspace domain that `hd` names, and has
/// verified any other address once. A member of a Workspace may have an address elsewhere.
fn trust_of_google(email: &str, hosted_domain: Option<&str>) -> Trust {
    let Ok(address) = Address::parse(email, true) else {
        return Trust::Asserted;
    };
    let domain = domain_of(&address);
    let is_hosted = hosted_domain.is_some_and(|hosted| hosted.eq_ignore_ascii_case(domain));
    if is_hosted || matches!(domain, "gmail.com" | "googlemail.com") {
        Trust::Authoritative
    } else {
        Trust::Asserted
    }
}

fn domain_of(address: &Address) -> &str {
    let parts = address.canonical().rsplit_once('@');
    parts.map_or("", |(_, domain)| domain)
}

/// Whether the provider's word about an address, which was authoritative when it arrived, still is
/// under the settings of now. Google's mailboxes were recognised by `hd` then, which no setting
/// changes.
pub(crate) fn is_still_authoritative(settings: &Provider, email: &str) -> bool {
    settings.trust() == EmailTrust::Authoritative
        && (settings.kind == ProviderKind::Google
            || trust_by_domain(settings, email) == Trust::Authoritative)
}

/// Authoritative for the domains whose mailboxes the provider runs, compared whole and in canonical
/// form; elsewhere the provider can have verified an address and no more.
pub(super) fn trust_by_domain(settings: &Provider, email: &str) -> Trust {
    let Ok(address) = Address::parse(email, true) else {
        return Trust::Asserted;
    };
    let domain = domain_of(&address);
    if settings.mail_domains.iter().any(|own| own == domain) {
        Trust::Authoritative
    } else {
        Trust::Asserted
    }
}

/// Whether a claim is `true`, or a string that the settings let through.
fn is_true(claim: Option<&Value>) -> bool {
    match claim {
        Some(Value::Bool(value)) => *value,
        Some(Value::String(text)) => text == "true" || text == "1",
        _ => false,
    }
}

/// Returns a name without characters that hide or turn text, cut to 200 characters; `None` if nothing
/// can be seen of it.
pub(super) fn display_name(name: &str) -> Option<String> {
    display_text::cleaned(name, MAX_NAME)
}

#[cfg(test)]
mod tests;
