//! What the types of a provider cannot say, each with how to mend it.

use std::collections::BTreeSet;

use url::{Host, Url};
use uuid::Uuid;

use super::{ICONS, Kind, MANY_TENANTS, MailTrust, Provider, ResponseMode, TENANT};
use crate::config::{
    problem::{Findings, Problem},
    url::is_loopback,
};

/// The presets are what the rest goes by: what a kind needs, then what all need.
pub(in crate::config) fn check(providers: &[Provider], findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (at, provider) in providers.iter().enumerate() {
        let key = |name: &str| format!("providers[{at}].{name}");
        let fine = is_id(&provider.id);
        let mend = "use up to 40 small letters, digits and `-`, for instance `google`; it stands in the redirect URI";
        findings.need(fine, key("id"), "is not a name for an address", mend);
        findings.need(
            seen.insert(&provider.id),
            key("id"),
            "is another provider's too",
            "give each its own",
        );
        shown(provider, &key, findings);
        issuer(provider, &key, findings);
        ours(provider, &key, findings);
        hosts(provider, &key, findings);
        asked(provider, &key, findings);
        trusted(provider, &key, findings);
        times(provider, &key, findings);
    }
}

fn is_id(id: &str) -> bool {
    let plain = id
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    plain && (1..=40).contains(&id.len()) && !id.starts_with('-')
}

fn is_words(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= 100 && !text.chars().any(char::is_control)
}

/// What people see.
fn shown(provider: &Provider, key: &dyn Fn(&str) -> String, findings: &mut Findings) {
    let mend = "write what people shall see on the button, for instance `Example school`";
    let name = provider.name.is_empty() || is_words(&provider.name);
    findings.need(
        name,
        key("name"),
        "is too long or has control characters",
        mend,
    );
    let icon = provider.icon.is_empty() || ICONS.contains(&provider.icon.as_str());
    findings.need(
        icon,
        key("icon"),
        "is not a picture that there is",
        &format!("choose from {}", ICONS.join(", ")),
    );
    for (language, text) in &provider.button {
        let fine = is_words(text) && (2..=35).contains(&language.len());
        let mend =
            "write a text by language, for instance button = { en = \"Sign in with Example\" }";
        findings.need(fine, key("button"), "has a text that cannot be shown", mend);
    }
}

/// The issuer and what stands for it.
fn issuer(provider: &Provider, key: &dyn Fn(&str) -> String, findings: &mut Findings) {
    let entra = provider.kind == Kind::Entra;
    if entra {
        let one =
            Uuid::try_parse(&provider.tenant).is_ok_and(|id| id.to_string() == provider.tenant);
        let mend = "write the directory's identifier (small letters, from its overview page), `organizations` or `common`";
        let fine = one || MANY_TENANTS.contains(&provider.tenant.as_str());
        findings.need(fine, key("tenant"), "is not a directory", mend);
        let template = provider.issuer.is_empty() || provider.issuer.contains(TENANT);
        let mend = "remove it, or write it with `{tenantid}` in it, as national clouds need";
        findings.need(template, key("issuer"), "is not a template", mend);
    }
    if !entra || provider.issuer.contains(TENANT) {
        issuer_url(provider, key, findings);
    }
    let mend = "remove it, or set kind = \"entra\"";
    findings.need(
        entra || provider.tenant.is_empty(),
        key("tenant"),
        "is for entra alone",
        mend,
    );
    let mend = "remove it, or set tenant = \"organizations\"";
    let many = provider.has_many_tenants() || provider.tenants.is_empty();
    findings.need(
        many,
        key("tenants"),
        "needs an entra tenant that stands for many",
        mend,
    );
    for (at, tenant) in provider.tenants.iter().enumerate() {
        let fine = Uuid::try_parse(tenant).is_ok_and(|id| id.to_string() == *tenant);
        let mend = "write the directory's identifier in small letters";
        findings.need(
            fine,
            format!("{}[{at}]", key("tenants")),
            "is not a directory",
            mend,
        );
    }
    let google = provider.kind == Kind::Google || provider.hosted_domains.is_empty();
    findings.need(
        google,
        key("hosted_domains"),
        "is for google alone",
        "remove it",
    );
    for (at, domain) in provider.hosted_domains.iter().enumerate() {
        let mend = "write the Workspace domain in small letters, for instance `example.com`";
        let key = format!("{}[{at}]", key("hosted_domains"));
        findings.need(
            is_host(domain) && domain.contains('.'),
            key,
            "is not a domain",
            mend,
        );
    }
}

/// OpenID Connect Discovery §3: https, no query, no fragment. The rest is compared byte for byte and left as it is.
fn issuer_url(provider: &Provider, key: &dyn Fn(&str) -> String, findings: &mut Findings) {
    let text = provider.issuer();
    let mut refuse = |what: &str, mend: &str| findings.need(false, key("issuer"), what, mend);
    if text.is_empty() {
        return refuse(
            "is not set",
            "write it as the provider's discovery document has it, for instance `https://op.example.com`",
        );
    }
    let Ok(url) = Url::parse(&text) else {
        return refuse("is not a URL", "write it like `https://op.example.com`");
    };
    let plain = url.scheme() == "http";
    if plain && !is_loopback(&url) {
        return refuse("is plain http to another machine", "use https");
    }
    if plain && !provider.loopback_http {
        return refuse(
            "is plain http",
            "use https, or set loopback_http = true for development",
        );
    }
    if !plain && url.scheme() != "https" {
        return refuse("is not https", "write it like `https://op.example.com`");
    }
    if url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return refuse(
            "has a query, a fragment or a user",
            "write it as the provider's discovery document has it",
        );
    }
    if provider.kind == Kind::Google
        && text != "https://accounts.google.com"
        && !plain
        && provider.private_hosts.is_empty()
    {
        refuse("is not Google's", "remove it");
    }
}

/// Who we are there.
fn ours(provider: &Provider, key: &dyn Fn(&str) -> String, findings: &mut Findings) {
    let id = &provider.client_id;
    let printable = (1..=512).contains(&id.len()) && id.chars().all(|c| c.is_ascii_graphic());
    let mend = "write the identifier that the provider gave this application";
    findings.need(
        printable,
        key("client_id"),
        "is empty, too long or has blanks",
        mend,
    );
    let apple = provider.kind == Kind::Apple;
    let secret = provider.client_secret.is_empty();
    if apple {
        let mend = "remove it: Apple takes a token signed with private_key";
        findings.need(secret, key("client_secret"), "is not for apple", mend);
        let mend = "write the ten characters that Apple's developer pages show";
        findings.need(
            is_ten(&provider.team_id),
            key("team_id"),
            "is not a team's identifier",
            mend,
        );
        findings.need(
            is_ten(&provider.key_id),
            key("key_id"),
            "is not a key's identifier",
            mend,
        );
        let mend = "name the downloaded .p8 file in private_key_file";
        let pem = provider
            .private_key
            .expose()
            .contains("-----BEGIN PRIVATE KEY-----");
        findings.need(
            pem,
            key("private_key"),
            "is missing or not PKCS#8 in PEM",
            mend,
        );
        return;
    }
    let mend = "give client_secret or client_secret_file: the secret that the provider gave this application";
    findings.need(!secret, key("client_secret"), "is missing", mend);
    for (name, given) in [
        ("team_id", !provider.team_id.is_empty()),
        ("key_id", !provider.key_id.is_empty()),
        ("private_key", !provider.private_key.is_empty()),
    ] {
        findings.need(!given, key(name), "is for apple alone", "remove it");
    }
}

fn is_ten(text: &str) -> bool {
    text.len() == 10
        && text
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

/// A host as a parsed URL has it: a name in small letters, or an address.
fn is_host(text: &str) -> bool {
    let plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-.:[]".contains(c));
    plain
        && Url::parse(&format!("https://{text}/")).is_ok_and(|url| {
            let same = match url.host() {
                Some(Host::Domain(name)) => name == text,
                Some(Host::Ipv4(ip)) => ip.to_string() == text,
                Some(Host::Ipv6(ip)) => format!("[{ip}]") == text,
                None => false,
            };
            same && url.port().is_none() && url.path() == "/"
        })
}

/// Where it may be reached.
fn hosts(provider: &Provider, key: &dyn Fn(&str) -> String, findings: &mut Findings) {
    for (name, list) in [
        ("private_hosts", &provider.private_hosts),
        ("extra_hosts", &provider.extra_hosts),
    ] {
        for (at, host) in list.iter().enumerate() {
            let mend = "write one host in small letters without scheme, port or `*`, for instance `sso.example.com`";
            findings.need(
                is_host(host),
                format!("{}[{at}]", key(name)),
                "is not a host",
                mend,
            );
        }
    }
    if let Some(file) = provider
        .ca_file
        .as_deref()
        .filter(|file| !file.as_os_str().is_empty())
    {
        let pem = std::fs::read(file).is_ok_and(|bytes| {
            String::from_utf8_lossy(&bytes).contains("-----BEGIN CERTIFICATE-----")
        });
        let mend = "name a PEM file with certificates that the service's user may read";
        findings.need(
            pem,
            key("ca_file"),
            "names a file without certificates, or that cannot be read",
            mend,
        );
    }
    let (what, mend) = ("takes plain http", "remove it outside development");
    findings.warn(provider.loopback_http, &key("loopback_http"), what, mend);
}

/// What is asked, and how the answer comes.
fn asked(provider: &Provider, key: &dyn Fn(&str) -> String, findings: &mut Findings) {
    let scopes = provider.scopes();
    let openid = provider.kind == Kind::Github || scopes.iter().any(|scope| scope == "openid");
    findings.need(
        openid,
        key("scopes"),
        "has no `openid`",
        "add it: without it there is no ID token",
    );
    for (at, scope) in scopes.iter().enumerate() {
        // RFC 6749 §3.3.
        let fine = !scope.is_empty()
            && scope
                .chars()
                .all(|c| c.is_ascii_graphic() && !"\"\\".contains(c));
        let mend = "write one name without blanks a scope";
        findings.need(
            fine,
            format!("{}[{at}]", key("scopes")),
            "is not a scope",
            mend,
        );
    }
    findings.need(
        !provider.algs.is_empty(),
        key("algs"),
        "is empty",
        "list at least `RS256`",
    );
    let reasoned = provider.pkce || is_words(&provider.pkce_off_reason);
    let mend = "switch it on, or write in pkce_off_reason why this provider cannot have it";
    findings.need(reasoned, key("pkce"), "is off without a reason", mend);
    findings.warn(
        !provider.pkce,
        &key("pkce"),
        "is off",
        "switch it on as soon as the provider takes it (RFC 9700 §2.1.1)",
    );
    let bound = provider.pkce || !provider.nonce_optional;
    findings.need(
        bound,
        key("nonce_optional"),
        "needs PKCE",
        "set pkce = true, or remove it",
    );
    let must_post = provider.kind == Kind::Apple
        && provider.response_mode() == ResponseMode::Query
        && scopes
            .iter()
            .any(|scope| scope == "name" || scope == "email");
    let mend = "remove it: Apple posts its answer when name or e-mail is asked for";
    findings.need(
        !must_post,
        key("response_mode"),
        "is not what Apple does",
        mend,
    );
}

/// Whose mailboxes it runs. Without a bound, whoever may write what they like there could be anybody new here.
fn trusted(provider: &Provider, key: &dyn Fn(&str) -> String, findings: &mut Findings) {
    let authoritative = provider.trust() == MailTrust::Authoritative;
    let google = provider.kind == Kind::Google;
    let never = authoritative && matches!(provider.kind, Kind::Apple | Kind::Github);
    let mend = "set trust = \"asserted\": it runs no mailboxes of its own";
    findings.need(
        !never,
        key("trust"),
        "is more than this kind can be trusted with",
        mend,
    );
    let bound = never || google || !authoritative || !provider.mail_domains.is_empty();
    let mend = "list the domains whose mailboxes this provider runs, for instance [\"school.example\"], or set trust = \"asserted\"";
    findings.need(
        bound,
        key("mail_domains"),
        "is missing beside trust = \"authoritative\"",
        mend,
    );
    let used = provider.mail_domains.is_empty() || (authoritative && !google);
    let mend = "remove it";
    findings.need(
        used,
        key("mail_domains"),
        "is for trust = \"authoritative\" alone, and not for google",
        mend,
    );
    for (at, domain) in provider.mail_domains.iter().enumerate() {
        let mend = "write the domain as it stands after the `@`, in small letters, for instance `school.example`";
        let fine = is_host(domain) && domain.contains('.');
        findings.need(
            fine,
            format!("{}[{at}]", key("mail_domains")),
            "is not a domain",
            mend,
        );
    }
}

fn times(provider: &Provider, key: &dyn Fn(&str) -> String, findings: &mut Findings) {
    const DAY: u64 = 86_400;
    findings.range(
        provider.token_age_seconds,
        30..=DAY,
        key("token_age_seconds"),
    );
    findings.range(
        provider.fresh_min_seconds,
        0..=DAY,
        key("fresh_min_seconds"),
    );
    findings.range(
        provider.fresh_max_seconds,
        0..=DAY,
        key("fresh_max_seconds"),
    );
    findings.range(
        provider.key_refresh_seconds,
        0..=DAY,
        key("key_refresh_seconds"),
    );
    if provider.fresh_min_seconds > provider.fresh_max_seconds {
        let mend = "choose one up to fresh_max_seconds";
        findings.problems.push(Problem::new(
            key("fresh_min_seconds"),
            "is over fresh_max_seconds",
            mend,
        ));
    }
}
