//! What each kind of provider presets, and what is in force with the keys that are set.

use uuid::Uuid;

use super::{
    EmailTrust, IssParam, Provider, ProviderAuth, ProviderKind, ResponseMode, UserinfoUse,
};

/// The template of the issuers of Entra. National clouds have other hosts.
const ENTRA: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";

/// The placeholder of the directory in an issuer template.
pub const TENANT: &str = "{tenantid}";

/// The tenants of Entra that stand for many directories.
pub const MANY_TENANTS: [&str; 3] = ["common", "organizations", "consumers"];

/// Returns the directory that an issuer has in place of [`TENANT`]. None if the issuer does not
/// match the template.
#[must_use]
pub fn directory_of_issuer<'a>(template: &str, issuer: &'a str) -> Option<&'a str> {
    let (before, after) = template.split_once(TENANT)?;
    let tid = issuer.strip_prefix(before)?.strip_suffix(after)?;
    Uuid::try_parse(tid)
        .is_ok_and(|id| id.hyphenated().to_string() == tid)
        .then_some(tid)
}

impl Provider {
    /// Whether `other` differs at most in what users see: name, icon, order, button.
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

    /// Returns the name that users see.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        if !self.name.is_empty() {
            return &self.name;
        }
        match self.kind {
            ProviderKind::Oidc => &self.id,
            ProviderKind::Google => "Google",
            ProviderKind::Entra => "Microsoft",
            ProviderKind::Apple => "Apple",
            ProviderKind::Gitlab => "GitLab",
            ProviderKind::Keycloak => "Keycloak",
            ProviderKind::Github => "GitHub",
        }
    }

    /// Returns the icon of the button.
    #[must_use]
    pub fn shown_icon(&self) -> &str {
        if !self.icon.is_empty() {
            return &self.icon;
        }
        match self.kind {
            ProviderKind::Oidc => "key",
            ProviderKind::Google => "google",
            ProviderKind::Entra => "microsoft",
            ProviderKind::Apple => "apple",
            ProviderKind::Gitlab => "gitlab",
            ProviderKind::Keycloak => "keycloak",
            ProviderKind::Github => "github",
        }
    }

    /// Returns the issuer. If many directories of Entra may sign in, it is a template with
    /// `{tenantid}` in it.
    #[must_use]
    pub fn issuer(&self) -> String {
        match self.kind {
            ProviderKind::Entra if self.has_many_tenants() => self.entra_template().to_owned(),
            ProviderKind::Entra => self.entra_template().replace(TENANT, &self.tenant),
            _ if !self.issuer.is_empty() => self.issuer.clone(),
            ProviderKind::Google => "https://accounts.google.com".to_owned(),
            ProviderKind::Apple => "https://appleid.apple.com".to_owned(),
            ProviderKind::Github => "https://github.com".to_owned(),
            ProviderKind::Gitlab => "https://gitlab.com".to_owned(),
            ProviderKind::Oidc | ProviderKind::Keycloak => String::new(),
        }
    }

    /// Whether accounts of this issuer belong to this provider: it is the issuer, or one of the
    /// allowed directories.
    #[must_use]
    pub fn is_issuer(&self, issuer: &str) -> bool {
        let template = self.issuer();
        match directory_of_issuer(&template, issuer) {
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

    /// Returns the URL of the discovery document (OpenID Connect Discovery 1.0 §4), if the kind has
    /// one.
    #[must_use]
    pub fn discovery_url(&self) -> Option<String> {
        let base = match self.kind {
            ProviderKind::Github => return None,
            ProviderKind::Entra => self.entra_template().replace(TENANT, &self.tenant),
            _ => self.issuer(),
        };
        Some(format!(
            "{}/.well-known/openid-configuration",
            base.trim_end_matches('/')
        ))
    }

    /// Whether users of many directories of Entra may sign in, so that the issuer is a template.
    #[must_use]
    pub fn has_many_tenants(&self) -> bool {
        self.kind == ProviderKind::Entra
            && MANY_TENANTS.contains(&self.tenant.as_str())
            && self.entra_template().contains(TENANT)
    }

    /// Returns how we authenticate at the token endpoint, if that does not depend on the metadata.
    #[must_use]
    pub fn fixed_auth(&self) -> Option<ProviderAuth> {
        self.auth.or(match self.kind {
            ProviderKind::Apple | ProviderKind::Github => Some(ProviderAuth::Post),
            _ => None,
        })
    }

    /// Returns how the response comes back. Apple posts it if the name or the email address is
    /// requested.
    #[must_use]
    pub fn response_mode(&self) -> ResponseMode {
        self.response_mode.unwrap_or(match self.kind {
            ProviderKind::Apple
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

    /// Returns the scopes that we request.
    #[must_use]
    pub fn scopes(&self) -> Vec<String> {
        let preset: &[&str] = match self.kind {
            ProviderKind::Github => &["read:user", "user:email"],
            ProviderKind::Apple => &["openid", "name", "email"],
            _ => &["openid", "profile", "email"],
        };
        self.scopes
            .clone()
            .unwrap_or_else(|| preset.iter().map(|&scope| scope.to_owned()).collect())
    }

    /// Returns how far `email_verified` is trusted at most. Google is authoritative for its own
    /// mailboxes only.
    #[must_use]
    pub fn trust(&self) -> EmailTrust {
        let own_github = self.issuer.is_empty() || self.issuer == "https://github.com";
        self.trust.unwrap_or(match self.kind {
            ProviderKind::Google => EmailTrust::Authoritative,
            ProviderKind::Apple => EmailTrust::Asserted,
            ProviderKind::Github if own_github => EmailTrust::Asserted,
            ProviderKind::Entra => EmailTrust::Asserted,
            _ => EmailTrust::None,
        })
    }

    /// Returns whether the response must have `iss`. A realm of Keycloak advertises it even for a
    /// client that has it off.
    #[must_use]
    pub fn iss_param(&self) -> IssParam {
        self.iss_param
            .unwrap_or(if self.kind == ProviderKind::Keycloak {
                IssParam::Optional
            } else {
                IssParam::Auto
            })
    }

    /// Returns when userinfo is requested. Apple has none.
    #[must_use]
    pub fn userinfo(&self) -> UserinfoUse {
        self.userinfo
            .unwrap_or(if self.kind == ProviderKind::Apple {
                UserinfoUse::Never
            } else {
                UserinfoUse::IfMissing
            })
    }

    /// Returns the hosts, beside that of the issuer, on which endpoints may be.
    pub fn other_hosts(&self) -> impl Iterator<Item = &str> {
        let preset: &[&str] = match self.kind {
            ProviderKind::Google => &["googleapis.com"],
            ProviderKind::Entra => &["graph.microsoft.com"],
            ProviderKind::Github => &["api.github.com"],
            _ => &[],
        };
        preset
            .iter()
            .copied()
            .chain(self.extra_hosts.iter().map(String::as_str))
    }

    /// Whether `email_verified` may be a string. Apple sends both forms.
    #[must_use]
    pub fn takes_string_booleans(&self) -> bool {
        self.string_booleans
            .unwrap_or(self.kind == ProviderKind::Apple)
    }

    /// Returns the redirect URI to register with the provider (UP-02).
    #[must_use]
    pub fn redirect_uri(&self, public_url: &str) -> String {
        format!("{public_url}/upstream/{}/callback", self.id)
    }
}
