//! From claims to a person: the one shape that all providers come to, and what a provider's word about an address is
//! worth (federation §8).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::oidc::{
    id_token::Verified,
    json::{self, Object, text},
};
use crate::{
    config::{
        Provider,
        providers::{Kind, MailTrust},
    },
    user::Address,
};

/// Who came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider's id in the configuration.
    pub provider: String,
    /// With `subject` what a link hangs on. For Entra the issuer of the person's directory.
    pub issuer: String,
    /// The person there, for ever.
    pub subject: String,
    /// An address as given, not yet canonical.
    pub email: Option<String>,
    /// What the provider's word about `email` is worth.
    pub trust: Trust,
    /// What the person is called there: for display alone.
    pub name: Option<String>,
    /// The language that the person has there.
    pub locale: Option<String>,
    /// How the person proved themselves there (RFC 8176), if it says.
    pub amr: Vec<String>,
}

/// What a provider's word about an address is worth (federation §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// It runs the mailbox, or ops pinned it.
    Authoritative,
    /// It says that it verified the address.
    Asserted,
    /// Nothing.
    None,
}

/// The person. `userinfo` adds what the ID token leaves out; an address and what is said of it come from one document
/// (IT-11). `user` is Apple's, unsigned: good for a name to show.
pub(crate) fn identity(
    settings: &Provider,
    token: Verified,
    userinfo: Option<&Object>,
    user: Option<&str>,
) -> Identity {
    let claims = &token.claims;
    let source = if claims.contains_key("email") {
        claims
    } else {
        userinfo.unwrap_or(claims)
    };
    let email = text(source, "email")
        .map(str::trim)
        .filter(|email| !email.is_empty())
        .map(str::to_owned);
    let word =
        |name: &str| text(claims, name).or_else(|| userinfo.and_then(|info| text(info, name)));
    let listed = claims
        .get("amr")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    Identity {
        provider: settings.id.clone(),
        trust: email
            .as_deref()
            .map_or(Trust::None, |email| trust(settings, email, source, claims)),
        email,
        name: user
            .and_then(apple_name)
            .or_else(|| word("name").and_then(shown)),
        locale: word("locale").map(str::to_owned),
        amr: listed
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        issuer: token.issuer,
        subject: token.subject,
    }
}

/// What the provider's word about this address is worth.
fn trust(settings: &Provider, email: &str, source: &Object, claims: &Object) -> Trust {
    let said = match settings.kind {
        // `email` is not for authorization there; `xms_edov` says that the domain's owner was verified.
        Kind::Entra => {
            is_yes(source.get("xms_edov"))
                || source.get("xms_edov").is_some_and(|value| *value == 1)
        }
        _ => is_yes(source.get("email_verified")),
    };
    match settings.trust() {
        _ if !said => Trust::None,
        MailTrust::None => Trust::None,
        MailTrust::Asserted => Trust::Asserted,
        // Google runs the mailboxes of gmail.com and of its Workspace domains; any other address is only verified there.
        MailTrust::Authoritative if settings.kind == Kind::Google => {
            let own =
                email.to_ascii_lowercase().ends_with("@gmail.com") || text(claims, "hd").is_some();
            if own {
                Trust::Authoritative
            } else {
                Trust::Asserted
            }
        }
        MailTrust::Authoritative => within(settings, email),
    }
}

/// Whether a word about an address that was authoritative when it came still is, by the settings of now. Google's own
/// mailboxes were told by `hd` then, which no setting changes.
pub(crate) fn is_still_authoritative(settings: &Provider, email: &str) -> bool {
    settings.trust() == MailTrust::Authoritative
        && (settings.kind == Kind::Google || within(settings, email) == Trust::Authoritative)
}

/// Authoritative for the domains whose mailboxes the provider runs, compared whole and in canonical form; elsewhere it
/// can have checked an address and no more.
pub(crate) fn within(settings: &Provider, email: &str) -> Trust {
    let Ok(address) = Address::parse(email, true) else {
        return Trust::Asserted;
    };
    let domain = address
        .canonical()
        .rsplit_once('@')
        .map_or("", |(_, domain)| domain);
    if settings.mail_domains.iter().any(|own| own == domain) {
        Trust::Authoritative
    } else {
        Trust::Asserted
    }
}

/// True, or a text that was let through for this provider.
fn is_yes(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(yes)) => *yes,
        Some(Value::String(text)) => text == "true" || text == "1",
        _ => false,
    }
}

/// A name as it may be shown: without controls, at most 200 characters; none if nothing is left.
pub(crate) fn shown(name: &str) -> Option<String> {
    let name: String = name.chars().filter(|c| !c.is_control()).take(200).collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Apple's `user`: `{"name": {"firstName": …, "lastName": …}, "email": …}`. Its address is not believed.
fn apple_name(user: &str) -> Option<String> {
    let user = json::object(user.get(..user.len().min(4096))?.as_bytes())?;
    let name = user.get("name")?.as_object()?;
    let parts: Vec<&str> = ["firstName", "lastName"]
        .iter()
        .filter_map(|part| text(name, part))
        .collect();
    shown(&parts.join(" "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn person(kind: &str, claims: Value, userinfo: Option<Value>, user: Option<&str>) -> Identity {
        let settings = toml::from_str(&format!("id = \"a\"\nclient_id = \"c\"\n{kind}")).unwrap();
        let object = |value: Value| value.as_object().unwrap().clone();
        let token = Verified {
            issuer: "i".into(),
            subject: "s".into(),
            claims: object(claims),
        };
        identity(&settings, token, userinfo.map(object).as_ref(), user)
    }

    #[test]
    fn pr_01_what_an_address_is_worth_by_provider() {
        use Trust::{Asserted, Authoritative, None};
        let google = "kind = \"google\"";
        let pinned =
            "trust = \"authoritative\"\nmail_domains = [\"example.com\", \"xn--exmple-cua.com\"]";
        let entra = "kind = \"entra\"\ntenant = \"common\"";
        for (kind, claims, trust) in [
            (
                "",
                json!({"email": "a@example.com", "email_verified": true}),
                None,
            ),
            (
                "trust = \"asserted\"",
                json!({"email": "a@example.com", "email_verified": true}),
                Asserted,
            ),
            (
                "trust = \"asserted\"",
                json!({"email": "a@example.com", "email_verified": false}),
                None,
            ),
            (
                "trust = \"asserted\"",
                json!({"email": "a@example.com"}),
                None,
            ),
            (
                pinned,
                json!({"email": "a@example.com", "email_verified": true}),
                Authoritative,
            ),
            (
                pinned,
                json!({"email": "A@Example.COM", "email_verified": true}),
                Authoritative,
            ),
            (
                pinned,
                json!({"email": "a@xn--exmple-cua.com", "email_verified": true}),
                Authoritative,
            ),
            (
                pinned,
                json!({"email": "a@ex\u{e4}mple.com", "email_verified": true}),
                Authoritative,
            ),
            (
                pinned,
                json!({"email": "a@gmail.com", "email_verified": true}),
                Asserted,
            ),
            (
                pinned,
                json!({"email": "a@sub.example.com", "email_verified": true}),
                Asserted,
            ),
            (
                pinned,
                json!({"email": "a@notexample.com", "email_verified": true}),
                Asserted,
            ),
            (
                pinned,
                json!({"email": "a@example.com@gmail.com", "email_verified": true}),
                Asserted,
            ),
            (pinned, json!({"email": "a@example.com"}), None),
            (
                "trust = \"authoritative\"",
                json!({"email": "a@example.com", "email_verified": true}),
                Asserted,
            ),
            (
                google,
                json!({"email": "A@Gmail.com", "email_verified": true}),
                Authoritative,
            ),
            (
                google,
                json!({"email": "a@notgmail.com", "email_verified": true}),
                Asserted,
            ),
            (
                google,
                json!({"email": "a@example.com", "email_verified": true, "hd": "example.com"}),
                Authoritative,
            ),
            (
                google,
                json!({"email": "a@gmail.com", "email_verified": false}),
                None,
            ),
            (
                "kind = \"google\"\ntrust = \"none\"",
                json!({"email": "a@gmail.com", "email_verified": true}),
                None,
            ),
            (
                entra,
                json!({"email": "a@example.com", "email_verified": true}),
                None,
            ),
            (
                entra,
                json!({"email": "a@example.com", "xms_edov": true}),
                Asserted,
            ),
            (
                entra,
                json!({"email": "a@example.com", "xms_edov": 1}),
                Asserted,
            ),
            (
                entra,
                json!({"email": "a@example.com", "xms_edov": "1"}),
                Asserted,
            ),
            (
                entra,
                json!({"email": "a@example.com", "xms_edov": 0}),
                None,
            ),
            (
                "kind = \"apple\"",
                json!({"email": "a@privaterelay.appleid.com", "email_verified": "true"}),
                Asserted,
            ),
            (
                "kind = \"keycloak\"\nissuer = \"https://k\"",
                json!({"email": "a@x.example", "email_verified": true}),
                None,
            ),
            (
                "trust = \"asserted\"",
                json!({"email_verified": true}),
                None,
            ),
        ] {
            assert_eq!(
                person(kind, claims.clone(), Option::None, Option::None).trust,
                trust,
                "{kind} {claims}"
            );
        }
    }

    #[test]
    fn it_11_address_and_its_proof_come_from_one_document() {
        let trusted = "trust = \"asserted\"";
        let info = json!({"email": "info@example.com", "email_verified": true, "name": "Info", "locale": "fr"});
        let found = person(
            trusted,
            json!({"email": "token@example.com"}),
            Some(info.clone()),
            None,
        );
        assert_eq!(
            (found.email.as_deref(), found.trust),
            (Some("token@example.com"), Trust::None)
        );
        assert_eq!(
            (found.name.as_deref(), found.locale.as_deref()),
            (Some("Info"), Some("fr"))
        );
        let found = person(
            trusted,
            json!({"email_verified": false, "amr": ["pwd", "mfa"]}),
            Some(info),
            None,
        );
        assert_eq!(
            (found.email.as_deref(), found.trust),
            (Some("info@example.com"), Trust::Asserted)
        );
        assert_eq!(found.amr, ["pwd", "mfa"]);
    }

    #[test]
    fn pr_01_apple_tells_a_name_once_and_its_address_there_is_not_believed() {
        let user = r#"{"name":{"firstName":"Marie","lastName":"Taglioni\u0007"},"email":"evil@example.com"}"#;
        let found = person("kind = \"apple\"", json!({}), None, Some(user));
        assert_eq!(
            (found.name.as_deref(), found.email),
            (Some("Marie Taglioni"), None)
        );
        for bad in [
            "",
            "[]",
            "{\"name\":1}",
            "{\"name\":{}}",
            "{\"name\":{\"firstName\":7}}",
            &"é".repeat(3000),
        ] {
            assert_eq!(
                person("kind = \"apple\"", json!({}), None, Some(bad)).name,
                None,
                "{bad}"
            );
        }
    }
}
