//! Checks `[[providers]]`. The presets of a kind are in force when the rest is checked.

use std::collections::BTreeSet;

use url::Url;
use uuid::Uuid;

use super::values::{DAY, has_certificates, is_display_text, is_scope};
use crate::config::{
    problem::{Findings, Section},
    providers::{
        EmailTrust, ICONS, MANY_TENANTS, Provider, ProviderAuth, ProviderKind, ResponseMode, TENANT,
    },
    url::{has_user, is_domain, is_host, is_loopback},
};

pub(super) fn check(providers: &[Provider], findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (at, provider) in providers.iter().enumerate() {
        let section = &mut findings.section(format!("providers[{at}]"));
        section.require(
            is_id(&provider.id),
            "id",
            "is not a name for an address",
            "Use up to 40 lower-case letters, digits and `-`, for instance `google`. It is part of the redirect URI.",
        );
        section.require(
            seen.insert(&provider.id),
            "id",
            "is used by another provider",
            "Give each provider its own.",
        );
        check_display(provider, section);
        check_issuer(provider, section);
        check_tenants(provider, section);
        check_credentials(provider, section);
        check_audiences(provider, section);
        check_network(provider, section);
        check_request(provider, section);
        check_trust(provider, section);
        check_times(provider, section);
    }
}

fn is_id(id: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=40).contains(&id.len()) && !id.starts_with('-') && id.chars().all(is_allowed)
}

fn check_display(provider: &Provider, section: &mut Section<'_>) {
    section.require(
        provider.name.is_empty() || is_display_text(&provider.name),
        "name",
        "is too long or has control characters",
        "Write the name that users see on the button, for instance `Example school`.",
    );
    section.require(
        provider.icon.is_empty() || ICONS.contains(&provider.icon.as_str()),
        "icon",
        "is not a known icon",
        &format!("Choose one of {}.", ICONS.join(", ")),
    );
    for (language, text) in &provider.button {
        section.require(
            is_display_text(text) && (2..=35).contains(&language.len()),
            "button",
            "has a text that cannot be shown",
            "Write a text by language, for instance button = { en = \"Sign in with Example\" }.",
        );
    }
}

/// OpenID Connect Discovery §3: https, no query, no fragment. The rest is compared byte for byte,
/// so it stays as it is.
fn check_issuer(provider: &Provider, section: &mut Section<'_>) {
    let is_entra = provider.kind == ProviderKind::Entra;
    if is_entra && !provider.issuer.contains(TENANT) {
        return section.require(
            provider.issuer.is_empty(),
            "issuer",
            "has no `{tenantid}`",
            "Remove it, or write it with `{tenantid}` in it, as national clouds need.",
        );
    }
    let text = provider.issuer();
    let copy = "Copy it from the discovery document of the provider, for instance `https://op.example.com`.";
    let mut refuse = |what, hint| section.refuse("issuer", what, hint);
    if text.is_empty() {
        return refuse("is not set", copy);
    }
    let Ok(url) = Url::parse(&text) else {
        return refuse("is not a URL", copy);
    };
    match url.scheme() {
        "https" => {}
        "http" if !is_loopback(&url) => {
            return refuse("is plain http to another machine", "Use https.");
        }
        "http" if !provider.loopback_http => {
            let hint = "Use https, or set loopback_http = true for development.";
            return refuse("is plain http", hint);
        }
        "http" => {}
        _ => return refuse("is not https", copy),
    }
    if url.query().is_some() || url.fragment().is_some() || has_user(&url) {
        return refuse("has a query, a fragment or a user", copy);
    }
    let is_google = text == "https://accounts.google.com";
    let is_for_tests = url.scheme() == "http" || !provider.private_hosts.is_empty();
    if provider.kind == ProviderKind::Google && !is_google && !is_for_tests {
        refuse("is not the issuer of Google", "Remove it.");
    }
}

/// Which directories of Entra and which domains of Google may sign in.
fn check_tenants(provider: &Provider, section: &mut Section<'_>) {
    let is_directory = |text: &str| Uuid::try_parse(text).is_ok_and(|id| id.to_string() == text);
    let tenant = provider.tenant.as_str();
    if provider.kind == ProviderKind::Entra {
        section.require(
            is_directory(tenant) || MANY_TENANTS.contains(&tenant),
            "tenant",
            "is not a directory",
            "Write the identifier of the directory in lower case (see its overview page), `organizations` or `common`.",
        );
    } else {
        section.require(
            tenant.is_empty(),
            "tenant",
            "is for the kind entra only",
            "Remove it, or set kind = \"entra\".",
        );
    }
    section.require(
        provider.has_many_tenants() || provider.tenants.is_empty(),
        "tenants",
        "needs a tenant that stands for many directories",
        "Remove it, or set tenant = \"organizations\".",
    );
    for (at, tenant) in provider.tenants.iter().enumerate() {
        section.require(
            is_directory(tenant),
            format!("tenants[{at}]"),
            "is not a directory",
            "Write the identifier of the directory in lower case.",
        );
    }
    section.require(
        provider.kind == ProviderKind::Google || provider.hosted_domains.is_empty(),
        "hosted_domains",
        "is for the kind google only",
        "Remove it.",
    );
    for (at, domain) in provider.hosted_domains.iter().enumerate() {
        section.require(
            is_domain(domain),
            format!("hosted_domains[{at}]"),
            "is not a domain",
            "Write the Workspace domain in lower case, for instance `example.com`.",
        );
    }
}

/// Each is an identifier of an application at the provider, and not our own.
fn check_audiences(provider: &Provider, section: &mut Section<'_>) {
    for (at, audience) in provider.additional_audiences.iter().enumerate() {
        section.require(
            is_client_id(audience) && *audience != provider.client_id,
            format!("additional_audiences[{at}]"),
            "is empty, too long, has spaces or is client_id",
            "Write the identifier of another application or project, as `aud` of the ID token has it.",
        );
    }
}

fn is_client_id(text: &str) -> bool {
    (1..=512).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic())
}

/// How we authenticate at the provider.
fn check_credentials(provider: &Provider, section: &mut Section<'_>) {
    section.require(
        is_client_id(&provider.client_id),
        "client_id",
        "is empty, too long or has spaces",
        "Write the identifier that the provider gave this application.",
    );
    let has_secret = !provider.client_secret.is_empty();
    if provider.kind == ProviderKind::Apple {
        section.require(
            !has_secret,
            "client_secret",
            "is not for the kind apple",
            "Remove it. Apple requires a token that is signed with private_key.",
        );
        return check_apple_key(provider, section);
    }
    let has_key = !provider.private_key.is_empty();
    section.require(
        has_secret || has_key,
        "client_secret",
        "is missing",
        "Set client_secret or client_secret_file to the secret that the provider gave this application, or \
         private_key_file to the key that is registered there.",
    );
    section.require(
        provider.team_id.is_empty(),
        "team_id",
        "is for the kind apple only",
        "Remove it.",
    );
    section.require(
        has_key || provider.key_id.is_empty(),
        "key_id",
        "needs private_key",
        "Set private_key_file, or remove it.",
    );
    section.require(
        !has_key || is_pem_key(provider),
        "private_key",
        "is not PKCS#8 in PEM",
        "Set private_key_file to a key on P-256 or of RSA that begins with `-----BEGIN PRIVATE KEY-----`.",
    );
    check_method(provider, section);
}

/// The method that is set needs what it authenticates with.
fn check_method(provider: &Provider, section: &mut Section<'_>) {
    let needed = match provider.auth {
        None => return,
        Some(ProviderAuth::PrivateKeyJwt) => (&provider.private_key, "private_key"),
        Some(ProviderAuth::Basic | ProviderAuth::Post) => {
            (&provider.client_secret, "client_secret")
        }
    };
    let (credential, key) = needed;
    section.require(
        !credential.is_empty(),
        "auth",
        &format!("needs {key}"),
        &format!("Set {key} or {key}_file, or remove it."),
    );
}

fn is_pem_key(provider: &Provider) -> bool {
    let key = provider.private_key.expose();
    key.contains("-----BEGIN PRIVATE KEY-----")
}

fn check_apple_key(provider: &Provider, section: &mut Section<'_>) {
    let is_allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    let is_apple_id = |text: &str| text.len() == 10 && text.chars().all(is_allowed);
    for (key, text) in [("team_id", &provider.team_id), ("key_id", &provider.key_id)] {
        section.require(
            is_apple_id(text),
            key,
            "is not an identifier of Apple",
            "Write the ten characters that Apple's developer pages show.",
        );
    }
    section.require(
        is_pem_key(provider),
        "private_key",
        "is missing or not PKCS#8 in PEM",
        "Set private_key_file to the downloaded .p8 file.",
    );
}

fn check_network(provider: &Provider, section: &mut Section<'_>) {
    for (key, hosts) in [
        ("private_hosts", &provider.private_hosts),
        ("extra_hosts", &provider.extra_hosts),
    ] {
        for (at, host) in hosts.iter().enumerate() {
            section.require(
                is_host(host),
                format!("{key}[{at}]"),
                "is not a host",
                "Write one host in lower case without scheme, port or `*`, for instance `sso.example.com`.",
            );
        }
    }
    let ca_file = provider.ca_file.as_deref();
    section.require(
        ca_file.is_none_or(|file| file.as_os_str().is_empty() || has_certificates(file)),
        "ca_file",
        "names a file without certificates, or one that cannot be read",
        "Name a PEM file with certificates that the user of the service may read.",
    );
    section.warn_if(
        provider.loopback_http,
        "loopback_http",
        "allows plain http",
        "Remove it outside development.",
    );
}

/// What we send to the provider, and how its response comes back.
fn check_request(provider: &Provider, section: &mut Section<'_>) {
    let scopes = provider.scopes();
    let has_scope = |name: &str| scopes.iter().any(|scope| scope == name);
    section.require(
        provider.kind == ProviderKind::Github || has_scope("openid"),
        "scopes",
        "has no `openid`",
        "Add it. Without it there is no ID token.",
    );
    for (at, scope) in scopes.iter().enumerate() {
        section.require(
            is_scope(scope),
            format!("scopes[{at}]"),
            "is not a scope",
            "Write one name without spaces per scope.",
        );
    }
    section.require(
        !provider.algs.is_empty(),
        "algs",
        "is empty",
        "List at least `RS256`.",
    );
    section.require(
        provider.pkce || is_display_text(&provider.pkce_off_reason),
        "pkce",
        "is off without a reason",
        "Switch it on, or write in pkce_off_reason why this provider does not support it.",
    );
    section.warn_if(
        !provider.pkce,
        "pkce",
        "is off",
        "Switch it on as soon as the provider supports it (RFC 9700 §2.1.1).",
    );
    section.require(
        provider.pkce || !provider.nonce_optional,
        "nonce_optional",
        "needs PKCE",
        "Set pkce = true, or remove it.",
    );
    let must_post =
        provider.kind == ProviderKind::Apple && (has_scope("name") || has_scope("email"));
    section.require(
        !must_post || provider.response_mode() != ResponseMode::Query,
        "response_mode",
        "is not what Apple uses",
        "Remove it. Apple posts its response if the scopes have `name` or `email`.",
    );
}

/// Without the list of its domains, an authoritative provider could create a user with any address.
fn check_trust(provider: &Provider, section: &mut Section<'_>) {
    let is_authoritative = provider.trust() == EmailTrust::Authoritative;
    let is_google = provider.kind == ProviderKind::Google;
    let has_domains = !provider.mail_domains.is_empty();
    if is_authoritative && matches!(provider.kind, ProviderKind::Apple | ProviderKind::Github) {
        section.refuse(
            "trust",
            "is more than this kind can be trusted with",
            "Set trust = \"asserted\". It runs no mailboxes of its own.",
        );
    } else {
        section.require(
            is_google || !is_authoritative || has_domains,
            "mail_domains",
            "is missing beside trust = \"authoritative\"",
            "List the domains whose mailboxes this provider runs, for instance [\"school.example\"], or set \
             trust = \"asserted\".",
        );
    }
    section.require(
        !has_domains || (is_authoritative && !is_google),
        "mail_domains",
        "is for trust = \"authoritative\" only, and not for the kind google",
        "Remove it.",
    );
    for (at, domain) in provider.mail_domains.iter().enumerate() {
        section.require(
            is_domain(domain),
            format!("mail_domains[{at}]"),
            "is not a domain",
            "Write the domain as it stands after the `@`, in lower case, for instance `school.example`.",
        );
    }
}

fn check_times(provider: &Provider, section: &mut Section<'_>) {
    section.range(provider.token_age_seconds, 30..=DAY, "token_age_seconds");
    section.range(provider.fresh_min_seconds, 0..=DAY, "fresh_min_seconds");
    section.range(provider.fresh_max_seconds, 0..=DAY, "fresh_max_seconds");
    section.range(provider.key_refresh_seconds, 0..=DAY, "key_refresh_seconds");
    section.require(
        provider.fresh_min_seconds <= provider.fresh_max_seconds,
        "fresh_min_seconds",
        "is over fresh_max_seconds",
        "Set a number up to fresh_max_seconds.",
    );
}
