//! Checks `[[clients]]`.

use std::collections::BTreeSet;

use url::Url;

use super::{
    back_channel, profile,
    values::{is_display_text, is_scope},
};
use crate::{
    config::{
        client::{Client, ClientAuth, GrantType, RefreshTokens},
        problem::{Findings, Section},
        settings::Token,
        token_lifetimes,
        url::{has_user, is_https_or_loopback},
    },
    secret::{Hash, Text},
};

pub(super) fn check(clients: &[Client], token: &Token, public_url: &str, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (at, client) in clients.iter().enumerate() {
        let section = &mut findings.section(format!("clients[{at}]"));
        check_identity(client, section);
        section.require(
            seen.insert(&client.client_id),
            "client_id",
            "is used by another client",
            "Give each client its own.",
        );
        check_audience(&client.audience, public_url, "audience", section);
        for (at, resource) in client.resources.iter().enumerate() {
            check_audience(resource, public_url, &format!("resources[{at}]"), section);
        }
        check_client_uri(client, section);
        check_redirect_uris(client, section);
        check_origins(client, section);
        check_scopes(&client.scopes, section);
        check_claims(client, section);
        check_secrets(client, section);
        check_keys(client, section);
        back_channel::check(client, section);
        check_privileges(client, section);
        profile::check(client, section);
        token_lifetimes::check_client(client, token, section);
    }
}

fn check_identity(client: &Client, section: &mut Section<'_>) {
    let id = &client.client_id;
    section.require(
        (1..=255).contains(&id.len()) && id.chars().all(|c| c.is_ascii_graphic()),
        "client_id",
        "is empty, too long or has spaces",
        "Use letters, digits and `-`, for instance `lessons-web`.",
    );
    section.require(
        is_display_text(&client.name),
        "name",
        "is empty, too long or has control characters",
        "Write the name that users see.",
    );
}

/// RFC 8707 §2: an absolute URI without fragment. Grants keep a list of them, separated by spaces.
pub(super) fn check_audience(text: &str, public_url: &str, key: &str, section: &mut Section<'_>) {
    let is_uri = Url::parse(text).is_ok()
        && !text.contains('#')
        && text.chars().all(|c| c.is_ascii_graphic());
    section.require(
        is_uri,
        key,
        "is not an absolute URI without a fragment",
        "Write the URI of the API for which the access tokens are, for instance `https://api.example.com`.",
    );
    // Otherwise every token of the client would be valid at our own API.
    section.require(
        public_url.is_empty() || text != public_url,
        key,
        "is server.public_url, our own API",
        "Name the API of the client. First-party clients request tokens for ours by `resource`.",
    );
}

fn check_redirect_uris(client: &Client, section: &mut Section<'_>) {
    let uses_codes = client.grant_types.contains(&GrantType::AuthorizationCode);
    section.require(
        client.first_party || !uses_codes || !client.redirect_uris.is_empty(),
        "redirect_uris",
        "is empty",
        "List each exact address to which users are sent back.",
    );
    for (key, uris) in [
        ("redirect_uris", &client.redirect_uris),
        (
            "post_logout_redirect_uris",
            &client.post_logout_redirect_uris,
        ),
    ] {
        for (at, uri) in uris.iter().enumerate() {
            if let Err((what, hint)) = check_redirect_uri(uri) {
                section.refuse(format!("{key}[{at}]"), what, hint);
            }
        }
    }
}

/// The home page is a web page: https, or http on loopback.
fn check_client_uri(client: &Client, section: &mut Section<'_>) {
    let text = client.client_uri.as_str();
    let is_page = Url::parse(text).is_ok_and(|url| is_https_or_loopback(&url) && !has_user(&url));
    section.require(
        text.is_empty() || is_page && text.chars().all(|c| c.is_ascii_graphic()),
        "client_uri",
        "is not the address of a web page",
        "Write where users open the application, for instance `https://app.example.com/`.",
    );
}

/// RFC 6749 §3.1.2 and RFC 8252 §7: absolute, without fragment; https, loopback http, or a private
/// scheme with a dot.
fn check_redirect_uri(text: &str) -> Result<(), (&'static str, &'static str)> {
    let exact =
        "Write the exact absolute address, for instance `https://app.example.com/callback`.";
    if text.contains('*') {
        return Err(("has a wildcard", exact));
    }
    let url = Url::parse(text).map_err(|_| ("is not an absolute URI", exact))?;
    if text.contains('#') {
        return Err(("has a fragment", "Remove everything from `#` on."));
    }
    if has_user(&url) {
        return Err(("has a user in it", exact));
    }
    if text.chars().any(|c| !c.is_ascii_graphic()) {
        return Err(("has spaces or characters that need escaping", exact));
    }
    match url.scheme() {
        "https" | "http" if is_https_or_loopback(&url) => Ok(()),
        "http" => Err((
            "is plain http to another machine",
            "Use https. Plain http is allowed for loopback addresses only.",
        )),
        scheme if scheme.contains('.') => Ok(()),
        _ => Err((
            "has a scheme that any application may claim",
            "Use a domain of yours in reverse, for instance `com.example.app:/callback`.",
        )),
    }
}

fn check_origins(client: &Client, section: &mut Section<'_>) {
    for (at, origin) in client.allowed_origins.iter().enumerate() {
        let is_origin = Url::parse(origin).is_ok_and(|url| {
            url.origin().ascii_serialization() == *origin && is_https_or_loopback(&url)
        });
        section.require(
            is_origin,
            format!("allowed_origins[{at}]"),
            "is not an origin",
            "Write scheme, host and port alone, https or loopback: `https://app.example.com`.",
        );
    }
}

fn check_scopes(scopes: &[String], section: &mut Section<'_>) {
    section.require(
        !scopes.is_empty(),
        "scopes",
        "is empty",
        "List at least `openid`.",
    );
    let mut seen = BTreeSet::new();
    for (at, scope) in scopes.iter().enumerate() {
        section.require(
            is_scope(scope),
            format!("scopes[{at}]"),
            "is not a scope",
            "Write one name without spaces per scope.",
        );
        section.require(
            seen.insert(scope),
            format!("scopes[{at}]"),
            "is in the list twice",
            "Remove one.",
        );
    }
}

/// A claim whose scope the client cannot request would never arrive.
fn check_claims(client: &Client, section: &mut Section<'_>) {
    let lacks = |scope: &str| !client.scopes.iter().any(|listed| listed == scope);
    for (at, claim) in client.id_token_claims.iter().enumerate() {
        section.require(
            !claim.scope().is_some_and(lacks),
            format!("id_token_claims[{at}]"),
            "belongs to a scope that the client may not request",
            "Add `profile` or `email` to its scopes.",
        );
    }
    section.require(
        !client.require_name || !lacks("profile"),
        "require_name",
        "needs a scope that the client may not request",
        "Add `profile` to its scopes: the name belongs to it.",
    );
}

fn check_secrets(client: &Client, section: &mut Section<'_>) {
    let (secret, hashes) = (&client.client_secret, &client.client_secret_sha256);
    let count = hashes.len() + usize::from(!secret.is_empty());
    match client.token_endpoint_auth_method {
        ClientAuth::ClientSecretBasic | ClientAuth::ClientSecretPost => {
            section.require(
                count > 0,
                "client_secret",
                "is missing",
                "Set client_secret_file or client_secret_sha256. Create a secret with `openssl rand -hex 32`.",
            );
            section.require(
                count < 3,
                "client_secret_sha256",
                "makes more than two secrets",
                "Keep the new secret and the one before it.",
            );
        }
        ClientAuth::None | ClientAuth::PrivateKeyJwt => section.require(
            count == 0,
            if secret.is_empty() {
                "client_secret_sha256"
            } else {
                "client_secret"
            },
            "is set for a client that does not use it",
            "Remove it, or set token_endpoint_auth_method = \"client_secret_basic\".",
        ),
    }
    section.require(
        secret.is_empty() || has_256_bits(secret),
        "client_secret",
        "has less than 256 bits",
        "Create one with `openssl rand -hex 32`: at least 43 letters, digits, `-`, `.`, `_` or `~`.",
    );
    for (at, hash) in hashes.iter().enumerate() {
        section.require(
            Hash::from_hex(hash).is_some(),
            format!("client_secret_sha256[{at}]"),
            "is not a SHA-256",
            "Write 64 hexadecimal digits: `printf %s \"$SECRET\" | sha256sum`.",
        );
    }
}

/// 256 bits need 43 characters of base64url. A text of few different characters is no secret.
fn has_256_bits(secret: &Text) -> bool {
    let text = secret.expose();
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    text.chars().all(is_allowed)
        && (43..=256).contains(&text.len())
        && text.chars().collect::<BTreeSet<_>>().len() >= 10
}

/// RFC 7591 §2: the keys of `private_key_jwt` are in the file or where the client publishes them,
/// never both.
fn check_keys(client: &Client, section: &mut Section<'_>) {
    let (has_keys, has_uri) = (client.jwks.is_some(), !client.jwks_uri.is_empty());
    let signs = client.token_endpoint_auth_method == ClientAuth::PrivateKeyJwt;
    section.require(
        !signs || has_keys || has_uri,
        "jwks",
        "is missing",
        "Set jwks to the public keys of the client, or jwks_uri to the address where it publishes them.",
    );
    section.require(
        !(has_keys && has_uri),
        "jwks_uri",
        "is set beside jwks",
        "Keep one of the two.",
    );
    for (key, is_set) in [("jwks", has_keys), ("jwks_uri", has_uri)] {
        section.require(
            signs || !is_set,
            key,
            "is set for a client that does not use it",
            "Remove it, or set token_endpoint_auth_method = \"private_key_jwt\".",
        );
    }
    let is_address =
        |url: Url| is_https_or_loopback(&url) && !has_user(&url) && url.fragment().is_none();
    section.require(
        !has_uri || Url::parse(&client.jwks_uri).is_ok_and(is_address),
        "jwks_uri",
        "is not an address from which keys can be fetched",
        "Write its exact https address, for instance `https://app.example.com/jwks.json`.",
    );
}

/// What only a client with a secret or a key, or only a first-party client, may do.
fn check_privileges(client: &Client, section: &mut Section<'_>) {
    let is_public = client.token_endpoint_auth_method == ClientAuth::None;
    let acts_for_itself = client.grant_types.contains(&GrantType::ClientCredentials);
    section.require(
        !is_public || client.require_pkce,
        "require_pkce",
        "is off for a public client",
        "Remove it. Public clients always use PKCE.",
    );
    section.require(
        !(is_public && acts_for_itself),
        "grant_types",
        "lets a public client act for itself",
        "Remove `client_credentials`, or give the client a secret.",
    );
    // RFC 9068 §5: `sub` is then the client's identifier, which must not look like that of a user.
    section.require(
        !(acts_for_itself && uuid::Uuid::try_parse(&client.client_id).is_ok()),
        "client_id",
        "looks like the identifier of a user",
        "Choose a name that is not a UUID.",
    );
    section.require(
        client.first_party || client.refresh_tokens == RefreshTokens::OfflineAccess,
        "refresh_tokens",
        "is \"always\" for a client that is not first-party",
        "Remove it. Such a client gets refresh tokens with the scope `offline_access`.",
    );
    // ST-09: nothing at the sign-in API asks for a secret.
    section.require(
        !client.app_sign_in || (client.first_party && is_public),
        "app_sign_in",
        "is on for a client that may not draw its own sign-in form",
        "Remove it, or set first_party = true and leave the secret or key out.",
    );
    section.require(
        !is_public || client.introspects.is_empty(),
        "introspects",
        "is set for a public client",
        "Remove it, or give the client a secret. Introspection requires authentication.",
    );
}
