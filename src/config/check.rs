//! What the types of the configuration cannot say: bounds, URLs, and settings that do not go together.
//!
//! Every check runs, so that all problems are reported at once. What works but should be looked at is a warning.

use std::{collections::BTreeSet, net::IpAddr, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use url::{Host, Url};

use super::{
    client::{Client, ClientAuth, GrantType, RefreshTokens},
    mode::Mode,
    problem::{Findings, LONG, Problem},
    providers,
    settings::{Budget, Config, Limits, Mail, MailTransport, Reloadable, SmtpTls, Token},
    tls_certificate, token_lifetimes,
    url::is_loopback,
};
use crate::secret::{Hash, Text};

/// A day, in seconds: the longest life of a link.
const DAY: u64 = 86_400;

/// Problems and warnings of a configuration that has the right shape.
#[must_use]
pub fn check(config: &Config, mode: &Mode) -> (Vec<Problem>, Vec<Problem>) {
    let mut findings = Findings::default();
    database(config, &mut findings);
    if *mode == Mode::Data {
        return (findings.problems, findings.warnings);
    }
    server(config, mode, &mut findings);
    tls(config, &mut findings);
    tickets(config, &mut findings);
    mail(&config.startup.mail, mode, &mut findings);
    lifetimes(config, &mut findings);
    clients(
        &config.reloadable.clients,
        &config.reloadable.token,
        &config.startup.server.public_url,
        &mut findings,
    );
    providers::check::check(&config.reloadable.providers, &mut findings);
    limits(&config.reloadable.limits, &mut findings);
    insecure_limits(&config.reloadable, &mut findings);
    let level = crate::telemetry::parse_level(&config.reloadable.telemetry.level);
    let mend = "write a level such as `info`, or levels by target such as `info,entree=debug`";
    findings.need(
        level.is_ok(),
        "telemetry.level",
        "is not a log filter",
        mend,
    );
    let endpoint = &config.startup.telemetry.otlp_endpoint;
    let is_http = Url::parse(endpoint)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let mend = "write the base address of the collector, for instance `http://127.0.0.1:4318`, or leave it empty";
    findings.need(
        endpoint.is_empty() || is_http,
        "telemetry.otlp_endpoint",
        "is not an http address",
        mend,
    );
    findings.range(
        config.startup.telemetry.traces_per_mille.into(),
        0..=1000,
        "telemetry.traces_per_mille",
    );
    (findings.problems, findings.warnings)
}

fn server(config: &Config, mode: &Mode, findings: &mut Findings) {
    let server = &config.startup.server;
    // A port that the system picks cannot be in any URL yet: then, and in `entree dev`, the bound address is taken.
    let from_address =
        mode.is_dev() || (server.listen.ip().is_loopback() && server.listen.port() == 0);
    if !(from_address && server.public_url.is_empty()) {
        public_url(&server.public_url, findings);
    }
    for (key, text) in std::iter::once(("server.master_key".to_owned(), &server.master_key))
        .filter(|(_, text)| !text.is_empty())
        .chain(
            server
                .previous_master_keys
                .iter()
                .enumerate()
                .map(|(at, text)| (format!("server.previous_master_keys[{at}]"), text)),
        )
    {
        let mend = "make one with `openssl rand -hex 32`; it is written in 64 hexadecimal or 43 base64url characters";
        findings.need(
            master_key(text).is_some(),
            key,
            "is not 32 random bytes",
            mend,
        );
    }
    let repeated =
        server.previous_master_keys.contains(&server.master_key) && !server.master_key.is_empty();
    let mend = "keep only the older keys there";
    findings.need(
        !repeated,
        "server.previous_master_keys",
        "has the current master key too",
        mend,
    );
    for (at, network) in server.trusted_proxies.iter().enumerate() {
        let mend = "name the networks of your own proxies; whoever is inside may choose the address that limits count";
        findings.need(
            network.prefix_len() > 0,
            format!("server.trusted_proxies[{at}]"),
            "trusts everybody",
            mend,
        );
    }
    findings.range(
        server.connections_per_network as u64,
        16..=4096,
        "server.connections_per_network",
    );
    findings.range(server.drain_seconds, 0..=600, "server.drain_seconds");
    let texts = config
        .reloadable
        .server
        .texts_dir
        .as_deref()
        .is_none_or(Path::is_dir);
    findings.need(
        texts,
        "server.texts_dir",
        "is not a directory",
        "make it, or remove the key",
    );

    for (key, text) in [
        (
            "server.service_documentation",
            &config.reloadable.server.service_documentation,
        ),
        (
            "server.op_policy_uri",
            &config.reloadable.server.op_policy_uri,
        ),
    ] {
        let web = Url::parse(text)
            .is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
        let mend = "write the address of a page, for instance `https://example.com/policy`, or leave it empty";
        findings.need(
            text.is_empty() || web,
            key,
            "is not the address of a page",
            mend,
        );
    }

    let (public, ops) = (server.listen, config.startup.management.listen);
    let same = public.port() != 0 && public == ops;
    findings.need(
        !same,
        "management.listen",
        "is the address of server.listen",
        "give it a port of its own",
    );
    if mode.is_dev() {
        let mend = "`entree dev` serves loopback only: use 127.0.0.1, or run `entree serve`";
        findings.need(
            public.ip().is_loopback(),
            "server.listen",
            "is not a loopback address",
            mend,
        );
        findings.need(
            ops.ip().is_loopback(),
            "management.listen",
            "is not a loopback address",
            mend,
        );
    } else {
        let mend = "make sure that only your own network reaches it";
        findings.warn(
            !ops.ip().is_loopback(),
            "management.listen",
            "is open to other machines",
            mend,
        );
    }
}

/// A certificate that can be shown, and a public URL that it is for.
fn tls(config: &Config, findings: &mut Findings) {
    let server = &config.startup.server;
    let pair = match tls_certificate::read(&server.tls) {
        Ok(Some(pair)) => pair,
        Ok(None) => return,
        Err(problem) => return findings.problems.push(problem),
    };
    let url = &server.public_url;
    let mend = "write https://, or remove server.tls if a proxy in front speaks it";
    findings.need(
        !url.starts_with("http://"),
        "server.public_url",
        "is http while server.tls is set",
        mend,
    );
    let host = match Url::parse(url)
        .ok()
        .and_then(|url| url.host().map(|host| host.to_owned()))
    {
        Some(Host::Domain(name)) => name,
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => ip.to_string(),
        None => server.listen.ip().to_string(),
    };
    let (what, mend) = (
        "is not for the host of server.public_url",
        "browsers will refuse it: get one for that name",
    );
    findings.warn(
        !tls_certificate::names(&pair, &host),
        "server.tls.cert_file",
        what,
        mend,
    );
    let open = server
        .tls
        .key_file
        .as_deref()
        .is_some_and(tls_certificate::anybody_reads);
    let mend = "take the rights of others away: chmod o= on the file";
    findings.warn(
        open,
        "server.tls.key_file",
        "can be read by everybody on this machine",
        mend,
    );
}

/// OpenID Connect Discovery §3: https, no query, no fragment; ours also has no path, and is written in one way only.
fn public_url(text: &str, findings: &mut Findings) {
    let mut refuse = |what: &str, mend: &str| findings.need(false, "server.public_url", what, mend);
    if text.is_empty() {
        return refuse(
            "is not set",
            "set the address that people see, for instance `https://login.example.com`",
        );
    }
    let Ok(url) = Url::parse(text) else {
        return refuse("is not a URL", "write it like `https://login.example.com`");
    };
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => {
            return refuse(
                "is plain http",
                "use https; http is taken on loopback addresses only",
            );
        }
        _ => {
            return refuse(
                "is neither https nor http",
                "write it like `https://login.example.com`",
            );
        }
    }
    let origin = url.origin().ascii_serialization();
    if text != origin {
        let what = "has a path, a query, a user, a final slash, capitals or a default port";
        refuse(what, &format!("write `{origin}`"));
    }
}

/// The 32 bytes of a master key: 64 hexadecimal digits or 43 characters of base64url. One byte repeated is no key.
#[must_use]
pub fn master_key(text: &Text) -> Option<[u8; 32]> {
    let text = text.expose().trim();
    let bytes: [u8; 32] = if text.len() == 64 {
        let pairs = text.as_bytes().chunks_exact(2);
        let bytes: Option<Vec<u8>> = pairs
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        bytes?.try_into().ok()?
    } else {
        URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .ok()?
            .try_into()
            .ok()?
    };
    let distinct: BTreeSet<u8> = bytes.into_iter().collect();
    (distinct.len() > 1).then_some(bytes)
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn database(config: &Config, findings: &mut Findings) {
    let none = config.startup.server.data_dir.as_os_str().is_empty();
    findings.need(
        !none,
        "server.data_dir",
        "is empty",
        "name a directory, for instance `data`",
    );
    let database = config.startup.database.url.expose();
    let sqlite = database
        .strip_prefix("sqlite:")
        .is_some_and(|path| !path.is_empty() && !path.contains(":memory:"));
    let usable = database.is_empty()
        || sqlite
        || (is_postgres(database) && Url::parse(database).is_ok_and(|url| url.has_host()));
    let mend = "write `postgres://user:password@host/database` or `sqlite:PATH`, or leave it empty";
    findings.need(
        usable,
        "database.url",
        "is not the URL of a database that Entree knows",
        mend,
    );
    findings.range(
        config.startup.database.max_connections.into(),
        1..=1000,
        "database.max_connections",
    );
}

fn tickets(config: &Config, findings: &mut Findings) {
    let tickets = &config.startup.tickets;
    let postgres = is_postgres(config.startup.database.url.expose());
    let url = tickets.url.expose();
    let memory = url == "memory:";
    let redis = ["redis://", "rediss://", "redis+unix://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
        && Url::parse(url).is_ok();
    let mend = "write `memory:`, `redis://host:6379`, `rediss://host:6379` or `redis+unix:///path`";
    findings.need(
        memory || redis,
        "tickets.url",
        "is not the URL of a ticket store",
        mend,
    );
    let mend =
        "set a redis:// URL, or server.single_instance = true if there is only ever one copy";
    findings.need(
        !(memory && postgres && !config.startup.server.single_instance),
        "tickets.url",
        "keeps tickets in one process while PostgreSQL serves many",
        mend,
    );
    let plain = tickets
        .prefix
        .chars()
        .all(|c| c.is_ascii_graphic() && !"{}*?[]\\".contains(c));
    let mend = "use letters, digits, `-` and `:`, for instance `entree:`";
    let fine = plain && (1..=64).contains(&tickets.prefix.len());
    findings.need(fine, "tickets.prefix", "is not a key prefix", mend);
    findings.range(
        tickets.memory_entries as u64,
        1_000..=100_000_000,
        "tickets.memory_entries",
    );
}

fn mail(mail: &Mail, mode: &Mode, findings: &mut Findings) {
    findings.range(mail.concurrency as u64, 1..=256, "mail.concurrency");
    findings.range(mail.timeout_seconds, 1..=300, "mail.timeout_seconds");
    let sender = mail.from.parse::<lettre::message::Mailbox>().is_ok();
    let mend = "write the sender like `Entree <login@example.com>`";
    if mail.transport == MailTransport::Mailbox {
        let mend = "set mail.transport = \"smtp\"; the mailbox page shows everybody's mail and is for `entree dev`";
        findings.need(mode.is_dev(), "mail.transport", "is the mailbox page", mend);
        findings.need(
            sender || mail.from.is_empty(),
            "mail.from",
            "is not an address",
            "remove it, or mend it",
        );
        return;
    }
    findings.need(
        sender,
        "mail.from",
        if mail.from.is_empty() {
            "is not set"
        } else {
            "is not an address"
        },
        mend,
    );
    let host = !mail.host.is_empty()
        && mail
            .host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-.:".contains(c));
    findings.need(
        host,
        "mail.host",
        "is not a host name",
        "write the name or the address alone, without scheme or port",
    );
    let mend = "set mail.password, or mail.password_file; or remove mail.username";
    findings.need(
        mail.username.is_empty() || !mail.password.is_empty(),
        "mail.password",
        "is not set",
        mend,
    );
    let mend = "set it, or remove the password";
    findings.need(
        !mail.username.is_empty() || mail.password.is_empty(),
        "mail.username",
        "is not set",
        mend,
    );
    let clear = mail.tls == SmtpTls::None;
    let mend = "set mail.tls = \"starttls\" or \"implicit\"; a password is never sent in clear";
    findings.need(
        !clear || mail.username.is_empty(),
        "mail.tls",
        "is none although a user name is set",
        mend,
    );
    let near =
        mail.host == "localhost" || mail.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let mend =
        "set \"starttls\" or \"implicit\": a mail in clear hands its link to whoever listens";
    findings.warn(
        clear && !near,
        "mail.tls",
        "is none for another machine",
        mend,
    );
    if let Some(path) = &mail.ca_file {
        let pem = std::fs::read_to_string(path)
            .is_ok_and(|text| text.contains("-----BEGIN CERTIFICATE-----"));
        findings.need(
            pem,
            "mail.ca_file",
            "is not a readable PEM file",
            "name a file with certificates in PEM",
        );
    }
}

fn lifetimes(config: &Config, findings: &mut Findings) {
    let link = &config.reloadable.magic_link;
    findings.range(
        link.lifetime_seconds,
        60..=DAY,
        "magic_link.lifetime_seconds",
    );
    let mend = "600 or less keeps to OWASP ASVS 6.5.5";
    findings.warn(
        link.lifetime_seconds > 600,
        "magic_link.lifetime_seconds",
        "is over 10 minutes",
        mend,
    );
    findings.range(link.code_digits.into(), 6..=10, "magic_link.code_digits");
    let session = &config.reloadable.session;
    findings.range(
        session.absolute_seconds,
        60..=LONG,
        "session.absolute_seconds",
    );
    findings.range(
        session.max_per_user.into(),
        1..=1_000,
        "session.max_per_user",
    );
    for (seconds, key) in [
        (session.idle_seconds, "session.idle_seconds"),
        (
            session.remembered_idle_seconds,
            "session.remembered_idle_seconds",
        ),
    ] {
        let fine = (60..=session.absolute_seconds).contains(&seconds);
        let mend = "choose from 60 to session.absolute_seconds";
        findings.need(
            fine,
            key,
            "is under a minute or over session.absolute_seconds",
            mend,
        );
    }
    token_lifetimes::of_all(&config.reloadable.token, findings);
}

fn limits(limits: &Limits, findings: &mut Findings) {
    for (key, budgets) in [
        ("address", &limits.address),
        ("network", &limits.network),
        ("network_wide", &limits.network_wide),
        ("authorize", &limits.authorize),
        ("known_device", &limits.known_device),
        ("wrong_codes", &limits.wrong_codes),
        ("client_failures", &limits.client_failures),
    ] {
        let key = format!("limits.{key}");
        let mend = "give at least one budget, for instance { count = 5, seconds = 900 }; a high count opens it";
        findings.need(!budgets.is_empty(), &key, "is empty", mend);
        for (at, Budget { count, seconds }) in budgets.iter().enumerate() {
            findings.need(
                *count > 0,
                format!("{key}[{at}].count"),
                "is 0",
                "allow at least one",
            );
            findings.range(*seconds, 1..=31 * DAY, format!("{key}[{at}].seconds"));
        }
    }
    let mend = "give at least one waiting time, for instance 30";
    findings.need(
        !limits.resend_seconds.is_empty(),
        "limits.resend_seconds",
        "is empty",
        mend,
    );
    for (at, seconds) in limits.resend_seconds.iter().enumerate() {
        findings.range(*seconds, 1..=DAY, format!("limits.resend_seconds[{at}]"));
    }
    findings.range(
        limits.sends_per_flow.into(),
        1..=100,
        "limits.sends_per_flow",
    );
    findings.range(
        limits.tries_per_flow.into(),
        1..=20,
        "limits.tries_per_flow",
    );
}

/// Problems and warnings of clients that stand elsewhere than in the file: `token` has the lives that they have not,
/// `ours` is our public URL.
#[must_use]
pub fn clients_alone(list: &[Client], token: &Token, ours: &str) -> (Vec<Problem>, Vec<Problem>) {
    let mut findings = Findings::default();
    clients(list, token, ours, &mut findings);
    (findings.problems, findings.warnings)
}

fn clients(clients: &[Client], token: &Token, ours: &str, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (at, client) in clients.iter().enumerate() {
        let key = |name: &str| format!("clients[{at}].{name}");
        let id = &client.client_id;
        let printable = (1..=255).contains(&id.len()) && id.chars().all(|c| c.is_ascii_graphic());
        let mend = "use letters, digits and `-`, for instance `lessons-web`";
        findings.need(
            printable,
            key("client_id"),
            "is empty, too long or has blanks",
            mend,
        );
        findings.need(
            seen.insert(id),
            key("client_id"),
            "is another client's too",
            "give each client its own",
        );
        let fine = !client.name.trim().is_empty()
            && client.name.len() <= 100
            && !client.name.chars().any(char::is_control);
        findings.need(
            fine,
            key("name"),
            "is empty, too long or has control characters",
            "write what people shall see",
        );
        audience(&client.audience, ours, &key("audience"), findings);
        for (at, resource) in client.resources.iter().enumerate() {
            audience(
                resource,
                ours,
                &format!("{}[{at}]", key("resources")),
                findings,
            );
        }
        let codes = client.grant_types.contains(&GrantType::AuthorizationCode);
        let some = client.first_party || !codes || !client.redirect_uris.is_empty();
        findings.need(
            some,
            key("redirect_uris"),
            "is empty",
            "list each exact address that people are sent back to",
        );
        for (at, uri) in client.redirect_uris.iter().enumerate() {
            if let Err((what, mend)) = redirect_uri(uri) {
                findings.need(false, format!("{}[{at}]", key("redirect_uris")), what, mend);
            }
        }
        for (at, uri) in client.post_logout_redirect_uris.iter().enumerate() {
            if let Err((what, mend)) = redirect_uri(uri) {
                findings.need(
                    false,
                    format!("{}[{at}]", key("post_logout_redirect_uris")),
                    what,
                    mend,
                );
            }
        }
        for (at, origin) in client.allowed_origins.iter().enumerate() {
            let web = Url::parse(origin).is_ok_and(|url| {
                url.origin().ascii_serialization() == *origin
                    && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)))
            });
            let mend =
                "write scheme, host and port alone, https or loopback: `https://app.example.com`";
            findings.need(
                web,
                format!("{}[{at}]", key("allowed_origins")),
                "is not an origin",
                mend,
            );
        }
        scopes(&client.scopes, &key("scopes"), findings);
        confidential(client, &key, findings);
        token_lifetimes::of_client(client, token, &key, findings);
    }
}

/// RFC 8707 §2: an absolute URI without fragment. Grants list them between spaces.
fn audience(text: &str, ours: &str, key: &str, findings: &mut Findings) {
    let fine = Url::parse(text).is_ok()
        && !text.contains('#')
        && text.chars().all(|c| c.is_ascii_graphic());
    let mend = "write the URI of the API that its access tokens are for, for instance `https://api.example.com`";
    findings.need(fine, key, "is not an absolute URI without a fragment", mend);
    // Tokens that the client asked for without a thought would be good at our own API.
    let mend =
        "name the client's own API; first-party clients ask for tokens for ours by `resource`";
    findings.need(
        ours.is_empty() || text != ours,
        key,
        "is our own public URL",
        mend,
    );
}

/// Secrets, and what only a client with one may do.
fn confidential(client: &Client, key: &dyn Fn(&str) -> String, findings: &mut Findings) {
    let method = client.token_endpoint_auth_method;
    let public = method == ClientAuth::None;
    let (secret, hashes) = (&client.client_secret, &client.client_secret_sha256);
    let count = hashes.len() + usize::from(!secret.is_empty());
    if matches!(
        method,
        ClientAuth::ClientSecretBasic | ClientAuth::ClientSecretPost
    ) {
        let mend = "give client_secret_file or client_secret_sha256; make a secret with `openssl rand -hex 32`";
        findings.need(count > 0, key("client_secret"), "is missing", mend);
        let mend = "keep the new secret and the one before it";
        findings.need(
            count < 3,
            key("client_secret_sha256"),
            "makes more than two secrets",
            mend,
        );
    } else {
        let mend = "remove it, or set token_endpoint_auth_method to `client_secret_basic`";
        let given = if secret.is_empty() {
            "client_secret_sha256"
        } else {
            "client_secret"
        };
        findings.need(
            count == 0,
            key(given),
            "is given to a client that shows none",
            mend,
        );
    }
    let mend = "remove it; public clients always use PKCE";
    findings.need(
        !public || client.require_pkce,
        key("require_pkce"),
        "is off for a public client",
        mend,
    );
    client_keys(client, key, findings);
    let mend =
        "make one with `openssl rand -hex 32`: at least 43 letters, digits, `-`, `.`, `_` or `~`";
    findings.need(
        secret.is_empty() || is_secret(secret),
        key("client_secret"),
        "has less than 256 bits",
        mend,
    );
    for (at, hash) in hashes.iter().enumerate() {
        let mend = "write 64 hexadecimal digits: `printf %s \"$SECRET\" | sha256sum`";
        let at = format!("{}[{at}]", key("client_secret_sha256"));
        findings.need(Hash::from_hex(hash).is_some(), at, "is not a SHA-256", mend);
    }
    let itself = client.grant_types.contains(&GrantType::ClientCredentials);
    let mend = "remove `client_credentials`, or give the client a secret";
    findings.need(
        !(itself && public),
        key("grant_types"),
        "lets a public client act for itself",
        mend,
    );
    // RFC 9068 §5: `sub` is then the client's identifier, and no user may be taken for it.
    let uuid = itself && uuid::Uuid::try_parse(&client.client_id).is_ok();
    findings.need(
        !uuid,
        key("client_id"),
        "looks like a user's",
        "take a name that is not a UUID",
    );
    let always = client.refresh_tokens == RefreshTokens::Always && !client.first_party;
    let mend = "remove it: others get refresh tokens with the scope `offline_access`";
    findings.need(
        !always,
        key("refresh_tokens"),
        "is for first-party clients",
        mend,
    );
    let mend = "remove it, or give the client a secret: who asks about tokens must authenticate";
    let asks = client.introspects.is_empty() || !public;
    findings.need(
        asks,
        key("introspects"),
        "is given to a public client",
        mend,
    );
}

/// RFC 7591 §2: the keys of `private_key_jwt`, in the file or where the client publishes them, never both.
fn client_keys(client: &Client, key: &dyn Fn(&str) -> String, findings: &mut Findings) {
    let (inline, uri) = (client.jwks.is_some(), !client.jwks_uri.is_empty());
    let signs = client.token_endpoint_auth_method == ClientAuth::PrivateKeyJwt;
    let mend =
        "give the client's public keys in jwks, or the address where it publishes them in jwks_uri";
    findings.need(!signs || inline || uri, key("jwks"), "is missing", mend);
    findings.need(
        !(inline && uri),
        key("jwks_uri"),
        "is given beside jwks",
        "keep one of the two",
    );
    let mend = "remove it, or set token_endpoint_auth_method to `private_key_jwt`";
    findings.need(
        signs || !inline,
        key("jwks"),
        "is given to a client that signs nothing",
        mend,
    );
    findings.need(
        signs || !uri,
        key("jwks_uri"),
        "is given to a client that signs nothing",
        mend,
    );
    let url = Url::parse(&client.jwks_uri);
    let fine = url.is_ok_and(|url| {
        let web = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        web && url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
    });
    let mend = "write its exact https address, for instance `https://app.example.com/jwks.json`";
    findings.need(
        !uri || fine,
        key("jwks_uri"),
        "is not an address to fetch keys from",
        mend,
    );
}

/// 256 bits need 43 characters of base64url; a text of few different ones is no secret.
fn is_secret(secret: &Text) -> bool {
    let text = secret.expose();
    let plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c));
    plain && (43..=256).contains(&text.len()) && text.chars().collect::<BTreeSet<_>>().len() >= 10
}

/// RFC 6749 §3.3: a scope is printable ASCII without blanks, quotes and backslashes.
fn scopes(scopes: &[String], key: &str, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    findings.need(
        !scopes.is_empty(),
        key,
        "is empty",
        "list at least `openid`",
    );
    for (at, scope) in scopes.iter().enumerate() {
        let fine = !scope.is_empty()
            && scope
                .chars()
                .all(|c| c.is_ascii_graphic() && !"\"\\".contains(c));
        findings.need(
            fine,
            format!("{key}[{at}]"),
            "is not a scope",
            "write one name without blanks a scope",
        );
        findings.need(
            seen.insert(scope),
            format!("{key}[{at}]"),
            "is there twice",
            "remove one",
        );
    }
}

/// RFC 6749 §3.1.2 and RFC 8252 §7: absolute, without fragment; https, loopback http, or a private scheme with a dot.
fn redirect_uri(text: &str) -> Result<(), (&'static str, &'static str)> {
    let exact = "write the exact absolute address, for instance `https://app.example.com/callback`";
    if text.contains('*') {
        return Err(("has a wildcard", exact));
    }
    let url = Url::parse(text).map_err(|_| ("is not an absolute URI", exact))?;
    if text.contains('#') {
        return Err(("has a fragment", "remove everything from `#` on"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(("has a user in it", exact));
    }
    if text.chars().any(|c| !c.is_ascii_graphic()) {
        return Err(("has blanks or characters that need escaping", exact));
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(&url) => Ok(()),
        "http" => Err((
            "is plain http to another machine",
            "use https; http is taken on loopback addresses only",
        )),
        scheme if scheme.contains('.') => Ok(()),
        _ => {
            let mend =
                "use a domain of yours turned round, for instance `com.example.app:/callback`";
            Err(("has a scheme that any application may claim", mend))
        }
    }
}

/// A budget this many times the default was raised to get rid of a limit, rather than to fit a place.
const FAR: u64 = 10;

/// Of so many days in which somebody tries all codes that they may, at one address, one hits.
const SAFE_DAYS: u64 = 10_000;

/// Warns about limits that let too much through.
fn insecure_limits(config: &Reloadable, findings: &mut Findings) {
    let (limits, usual) = (&config.limits, Limits::default());
    for (key, own, usual) in [
        ("limits.address", &limits.address, &usual.address),
        ("limits.network", &limits.network, &usual.network),
        (
            "limits.network_wide",
            &limits.network_wide,
            &usual.network_wide,
        ),
        ("limits.authorize", &limits.authorize, &usual.authorize),
        (
            "limits.known_device",
            &limits.known_device,
            &usual.known_device,
        ),
        (
            "limits.client_failures",
            &limits.client_failures,
            &usual.client_failures,
        ),
    ] {
        let (a_day, usual) = (a_day(own), a_day(usual));
        let what = format!("lets {a_day} through in a day, where the default lets {usual}");
        let mend = "lower a count, or add a budget over a longer time, such as { count = 20, seconds = 86400 }";
        findings.warn(a_day > usual.saturating_mul(FAR), key, &what, mend);
    }
    let codes = 10_u64.saturating_pow(config.magic_link.code_digits);
    let tries = a_day(&limits.wrong_codes);
    let what = format!("lets somebody try {tries} codes of {codes} a day at one address");
    let mend = "lower the counts, or raise magic_link.code_digits to 8";
    findings.warn(
        tries.saturating_mul(SAFE_DAYS) > codes,
        "limits.wrong_codes",
        &what,
        mend,
    );
    let tries = limits.tries_per_flow;
    let mend = "5 are enough for a person; each further one is one for somebody who guesses";
    findings.warn(tries > 10, "limits.tries_per_flow", "is over 10", mend);
}

/// How many pass in a day: the budget that lets the fewest decides.
fn a_day(budgets: &[Budget]) -> u64 {
    let each = budgets
        .iter()
        .map(|budget| u64::from(budget.count).saturating_mul(DAY) / budget.seconds.max(1));
    each.min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(change: impl FnOnce(&mut Reloadable)) -> Vec<String> {
        let mut config = Reloadable::default();
        change(&mut config);
        let mut findings = Findings::default();
        insecure_limits(&config, &mut findings);
        assert!(findings.problems.is_empty());
        findings
            .warnings
            .into_iter()
            .map(|warning| warning.key)
            .collect()
    }

    #[test]
    fn the_defaults_are_fine_and_weak_limits_are_told() {
        assert!(warned(|_| {}).is_empty());
        assert!(
            warned(|config| config.magic_link.code_digits = 6).is_empty(),
            "30 tries of a million"
        );
        let generous = |config: &mut Reloadable| {
            config.limits.wrong_codes = vec![Budget {
                count: 101,
                seconds: DAY,
            }]
        };
        assert!(warned(generous).is_empty(), "of a hundred million");
        let both = |config: &mut Reloadable| {
            generous(config);
            config.magic_link.code_digits = 6;
        };
        assert_eq!(warned(both), ["limits.wrong_codes"]);
        assert_eq!(
            warned(|config| config.limits.tries_per_flow = 20),
            ["limits.tries_per_flow"]
        );
        let open = |config: &mut Reloadable| {
            config.limits.address = vec![Budget {
                count: 201,
                seconds: DAY,
            }]
        };
        assert_eq!(warned(open), ["limits.address"]);
        let short = |config: &mut Reloadable| {
            config.limits.network = vec![Budget {
                count: 20,
                seconds: 60,
            }]
        };
        assert_eq!(
            warned(short),
            ["limits.network"],
            "20 a minute are 28,800 a day"
        );
        let double = |config: &mut Reloadable| {
            config.limits.client_failures = vec![Budget {
                count: 60,
                seconds: 60,
            }]
        };
        assert!(warned(double).is_empty());
    }
}
