//! `[[providers]]`: the upstream providers that people may sign in with, and what each kind presets.
//!
//! A key that is left out takes the kind's preset, so that five lines are enough; the methods here tell what is in force.
//! `check` holds what the types cannot say.

pub(super) mod check;

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;
use uuid::Uuid;

use crate::secret::Text;

/// `[[providers]]`: one upstream provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its name in addresses: `/upstream/{id}/callback` is the redirect URI to register with it.
    pub id: String,
    /// What it is, which presets the rest.
    #[serde(default)]
    pub kind: Kind,
    /// Whether it is offered, and its callbacks are taken.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What people see. Empty: the kind's name, or the id.
    #[serde(default)]
    pub name: String,
    /// The picture of the button, one of [`ICONS`]. Empty: the kind's.
    #[serde(default)]
    pub icon: String,
    /// Buttons stand in this order, then in that of the file.
    #[serde(default)]
    pub order: i64,
    /// The text of the button by language (`en = "…"`). A language that is missing has the usual text with the name.
    #[serde(default)]
    pub button: BTreeMap<String, String>,
    /// The issuer, byte for byte as its discovery document has it. Preset for google, entra, apple, github and gitlab.com.
    #[serde(default)]
    pub issuer: String,
    /// entra: the directory's identifier, or `common`, `organizations`, `consumers`.
    #[serde(default)]
    pub tenant: String,
    /// entra: with `common` and `organizations`, only people of these directories. Empty: of any.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// google: only people of these Workspace domains (`hd`). Empty: anybody.
    #[serde(default)]
    pub hosted_domains: Vec<String>,
    /// Our identifier there.
    pub client_id: String,
    /// Our secret there.
    #[serde(default)]
    pub client_secret: Text,
    /// apple: the team's identifier.
    #[serde(default)]
    pub team_id: String,
    /// apple: the identifier of the private key.
    #[serde(default)]
    pub key_id: String,
    /// apple: the private key, PKCS#8 in PEM.
    #[serde(default)]
    pub private_key: Text,
    /// How we authenticate at its token endpoint.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// The algorithms of its ID tokens that are taken.
    #[serde(default = "algs")]
    pub algs: Vec<UpstreamAlg>,
    /// PKCE (RFC 7636). Off only with `pkce_off_reason`.
    #[serde(default = "yes")]
    pub pkce: bool,
    /// Why PKCE is off.
    #[serde(default)]
    pub pkce_off_reason: String,
    /// How its answer comes back.
    #[serde(default)]
    pub response_mode: Option<ResponseMode>,
    /// What we ask for.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// What its word about an address is worth.
    #[serde(default)]
    pub trust: Option<MailTrust>,
    /// The domains whose mailboxes it runs: outside of them its word is `asserted` at most. Google's are known.
    #[serde(default)]
    pub mail_domains: Vec<String>,
    /// Whether its answer must carry `iss` (RFC 9207).
    #[serde(default)]
    pub iss_param: Option<IssParam>,
    /// When userinfo is asked.
    #[serde(default)]
    pub userinfo: Option<Userinfo>,
    /// Hosts of this provider that may be at addresses that are not public.
    #[serde(default)]
    pub private_hosts: Vec<String>,
    /// Hosts beside the issuer's on which its endpoints may be.
    #[serde(default)]
    pub extra_hosts: Vec<String>,
    /// Every ID token must name its key.
    #[serde(default)]
    pub require_kid: bool,
    /// How old an ID token may be, in seconds.
    #[serde(default = "token_age_seconds")]
    pub token_age_seconds: u64,
    /// `email_verified` may be the text "true".
    #[serde(default)]
    pub string_booleans: Option<bool>,
    /// An ID token may come without `nonce`. Needs PKCE.
    #[serde(default)]
    pub nonce_optional: bool,
    /// A PEM file with further roots to trust for this provider.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Plain http is taken for loopback addresses: for development.
    #[serde(default)]
    pub loopback_http: bool,
    /// Its documents are kept at least so long, in seconds.
    #[serde(default = "fresh_min_seconds")]
    pub fresh_min_seconds: u64,
    /// Its documents are kept at most so long, in seconds.
    #[serde(default = "fresh_max_seconds")]
    pub fresh_max_seconds: u64,
    /// An unknown key makes its keys be read again at most once in so many seconds.
    #[serde(default = "key_refresh_seconds")]
    pub key_refresh_seconds: u64,
}

const fn yes() -> bool {
    true
}

fn algs() -> Vec<UpstreamAlg> {
    vec![UpstreamAlg::RS256]
}

const fn token_age_seconds() -> u64 {
    600
}

const fn fresh_min_seconds() -> u64 {
    300
}

const fn fresh_max_seconds() -> u64 {
    86_400
}

const fn key_refresh_seconds() -> u64 {
    60
}

/// What a provider is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Any OpenID Provider, by its issuer.
    #[default]
    Oidc,
    /// Google.
    Google,
    /// Microsoft Entra ID.
    Entra,
    /// Sign in with Apple.
    Apple,
    /// GitLab, gitlab.com or one's own.
    Gitlab,
    /// A realm of Keycloak.
    Keycloak,
    /// GitHub, which speaks OAuth 2.0 alone.
    Github,
}

/// The pictures that buttons may have.
pub const ICONS: [&str; 7] = [
    "key",
    "google",
    "microsoft",
    "apple",
    "gitlab",
    "keycloak",
    "github",
];

/// How we authenticate at a token endpoint (RFC 6749 §2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Identifier and secret in the Authorization header.
    Basic,
    /// Identifier and secret in the form.
    Post,
}

/// Signature algorithms of upstream ID tokens (RFC 7518 §3.1, RFC 8037 §3.1). Never none, never HS*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum UpstreamAlg {
    /// RSA PKCS#1 v1.5 with SHA-256.
    RS256,
    /// With SHA-384.
    RS384,
    /// With SHA-512.
    RS512,
    /// RSA-PSS with SHA-256.
    PS256,
    /// With SHA-384.
    PS384,
    /// With SHA-512.
    PS512,
    /// ECDSA on P-256.
    ES256,
    /// ECDSA on P-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

/// How a provider's answer comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseMode {
    /// In the query of a GET.
    Query,
    /// In a form that the browser posts.
    FormPost,
}

/// What a provider's word about an address is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTrust {
    /// Nothing: the person proves the address by mail.
    None,
    /// What `email_verified` says is believed as far as a claim can be: still proof by mail.
    Asserted,
    /// The provider runs the mailboxes of `mail_domains`: a new user with one of them needs no mail.
    Authoritative,
}

/// Whether an answer must carry `iss` (RFC 9207 §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IssParam {
    /// If the metadata says so.
    Auto,
    /// Always.
    Required,
    /// Never; one that is there is compared all the same.
    Optional,
}

/// When userinfo is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Userinfo {
    /// Never.
    Never,
    /// If the ID token has no `email`.
    IfMissing,
    /// Always.
    Always,
}

/// What Entra's issuers look like; national clouds have hosts of their own.
const ENTRA: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";

/// What stands for the directory in it.
pub const TENANT: &str = "{tenantid}";

/// Tenants of Entra that stand for many directories.
pub const MANY_TENANTS: [&str; 3] = ["common", "organizations", "consumers"];

/// The directory that stands in an issuer in place of [`TENANT`]; none if it does not fit the template, or that is none.
#[must_use]
pub fn directory<'a>(template: &str, issuer: &'a str) -> Option<&'a str> {
    let (before, after) = template.split_once(TENANT)?;
    let tid = issuer.strip_prefix(before)?.strip_suffix(after)?;
    Uuid::try_parse(tid)
        .is_ok_and(|id| id.hyphenated().to_string() == tid)
        .then_some(tid)
}

impl Provider {
    /// Whether `other` differs from it in its looks at most: name, icon, order, button.
    #[must_use]
    pub fn is_same_party(&self, other: &Self) -> bool {
        let Self {
            name,
            icon,
            order,
            button,
            ..
        } = other.clone();
        Self {
            name,
            icon,
            order,
            button,
            ..self.clone()
        } == *other
    }

    /// What people see.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        if !self.name.is_empty() {
            return &self.name;
        }
        match self.kind {
            Kind::Oidc => &self.id,
            Kind::Google => "Google",
            Kind::Entra => "Microsoft",
            Kind::Apple => "Apple",
            Kind::Gitlab => "GitLab",
            Kind::Keycloak => "Keycloak",
            Kind::Github => "GitHub",
        }
    }

    /// The picture of the button.
    #[must_use]
    pub fn shown_icon(&self) -> &str {
        if !self.icon.is_empty() {
            return &self.icon;
        }
        match self.kind {
            Kind::Oidc => "key",
            Kind::Google => "google",
            Kind::Entra => "microsoft",
            Kind::Apple => "apple",
            Kind::Gitlab => "gitlab",
            Kind::Keycloak => "keycloak",
            Kind::Github => "github",
        }
    }

    /// The issuer. For Entra's many directories it is their template, with `{tenantid}` in it.
    #[must_use]
    pub fn issuer(&self) -> String {
        match self.kind {
            Kind::Entra if self.has_many_tenants() => self.entra_template().to_owned(),
            Kind::Entra => self.entra_template().replace(TENANT, &self.tenant),
            _ if !self.issuer.is_empty() => self.issuer.clone(),
            Kind::Google => "https://accounts.google.com".to_owned(),
            Kind::Apple => "https://appleid.apple.com".to_owned(),
            Kind::Github => "https://github.com".to_owned(),
            Kind::Gitlab => "https://gitlab.com".to_owned(),
            Kind::Oidc | Kind::Keycloak => String::new(),
        }
    }

    /// Whether accounts of this issuer are its own: exactly, or, of many directories, one that may come.
    #[must_use]
    pub fn is_issuer(&self, issuer: &str) -> bool {
        let template = self.issuer();
        match directory(&template, issuer) {
            Some(tid) => self.tenants.is_empty() || self.tenants.iter().any(|tenant| tenant == tid),
            None => !template.contains(TENANT) && template == issuer,
        }
    }

    fn entra_template(&self) -> &str {
        if self.issuer.is_empty() {
            ENTRA
        } else {
            &self.issuer
        }
    }

    /// Where its discovery document is (OpenID Connect Discovery 1.0 §4). None: it has none.
    #[must_use]
    pub fn discovery_url(&self) -> Option<String> {
        let base = match self.kind {
            Kind::Github => return None,
            Kind::Entra => self.entra_template().replace(TENANT, &self.tenant),
            _ => self.issuer(),
        };
        Some(format!(
            "{}/.well-known/openid-configuration",
            base.trim_end_matches('/')
        ))
    }

    /// Entra: people of more than one directory may come, so that the issuer is a template.
    #[must_use]
    pub fn has_many_tenants(&self) -> bool {
        self.kind == Kind::Entra
            && MANY_TENANTS.contains(&self.tenant.as_str())
            && self.entra_template().contains(TENANT)
    }

    /// How we authenticate.
    #[must_use]
    pub fn auth(&self) -> Auth {
        self.auth.unwrap_or(match self.kind {
            Kind::Apple | Kind::Github => Auth::Post,
            _ => Auth::Basic,
        })
    }

    /// How the answer comes back. Apple posts it as soon as name or e-mail is asked for.
    #[must_use]
    pub fn response_mode(&self) -> ResponseMode {
        self.response_mode.unwrap_or(match self.kind {
            Kind::Apple
                if self
                    .scopes()
                    .iter()
                    .any(|scope| scope == "name" || scope == "email") =>
            {
                ResponseMode::FormPost
            }
            _ => ResponseMode::Query,
        })
    }

    /// What we ask for.
    #[must_use]
    pub fn scopes(&self) -> Vec<String> {
        let preset: &[&str] = match self.kind {
            Kind::Github => &["read:user", "user:email"],
            Kind::Apple => &["openid", "name", "email"],
            _ => &["openid", "profile", "email"],
        };
        self.scopes
            .clone()
            .unwrap_or_else(|| preset.iter().map(|&scope| scope.to_owned()).collect())
    }

    /// What its word about an address is worth at most. Google's is authoritative for its own mailboxes alone.
    #[must_use]
    pub fn trust(&self) -> MailTrust {
        let own_github = self.issuer.is_empty() || self.issuer == "https://github.com";
        self.trust.unwrap_or(match self.kind {
            Kind::Google => MailTrust::Authoritative,
            Kind::Apple => MailTrust::Asserted,
            Kind::Github if own_github => MailTrust::Asserted,
            Kind::Entra => MailTrust::Asserted,
            _ => MailTrust::None,
        })
    }

    /// Whether its answer must carry `iss`. A realm of Keycloak advertises it even where one client has it switched off.
    #[must_use]
    pub fn iss_param(&self) -> IssParam {
        self.iss_param.unwrap_or(if self.kind == Kind::Keycloak {
            IssParam::Optional
        } else {
            IssParam::Auto
        })
    }

    /// When userinfo is asked. Apple has none.
    #[must_use]
    pub fn userinfo(&self) -> Userinfo {
        self.userinfo.unwrap_or(if self.kind == Kind::Apple {
            Userinfo::Never
        } else {
            Userinfo::IfMissing
        })
    }

    /// Hosts beside the issuer's on which its endpoints may be.
    pub fn other_hosts(&self) -> impl Iterator<Item = &str> {
        let preset: &[&str] = match self.kind {
            Kind::Google => &["googleapis.com"],
            Kind::Entra => &["graph.microsoft.com"],
            Kind::Github => &["api.github.com"],
            _ => &[],
        };
        preset
            .iter()
            .copied()
            .chain(self.extra_hosts.iter().map(String::as_str))
    }

    /// `email_verified` may be a text: Apple writes it either way.
    #[must_use]
    pub fn takes_string_booleans(&self) -> bool {
        self.string_booleans.unwrap_or(self.kind == Kind::Apple)
    }

    /// The redirect URI to register with it (UP-02).
    #[must_use]
    pub fn redirect_uri(&self, public_url: &str) -> String {
        format!("{public_url}/upstream/{}/callback", self.id)
    }
}

#[cfg(test)]
mod tests;
