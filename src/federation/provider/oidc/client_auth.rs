//! How this service authenticates at a provider's token endpoint (OpenID Connect Core §9; RFC 7523
//! §2.2): as the settings say, else as the provider's metadata supports it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::{
    config::{Alg, Provider, providers::ProviderAuth},
    federation::provider::error::ProviderError,
    key,
    secret::Plain,
};

/// How long an assertion is valid, in seconds: for one request, and clocks that differ.
const ASSERTION_TTL: i64 = 120;

/// Returns the method: a key is used where the provider takes one, or where there is no secret; the
/// form only where the header is not supported. Metadata without methods means the header
/// (OpenID Connect Discovery 1.0 §3).
pub(crate) fn choose(settings: &Provider, supported: Option<&[String]>) -> ProviderAuth {
    if let Some(auth) = settings.fixed_auth() {
        return auth;
    }
    let supports = |auth| {
        let mut methods = supported.into_iter().flatten();
        methods.any(|method| method == name(auth))
    };
    let has_key = !settings.private_key.is_empty();
    let has_secret = !settings.client_secret.is_empty();
    if has_key && (!has_secret || supports(ProviderAuth::PrivateKeyJwt)) {
        ProviderAuth::PrivateKeyJwt
    } else if supports(ProviderAuth::Post) && !supports(ProviderAuth::Basic) {
        ProviderAuth::Post
    } else {
        ProviderAuth::Basic
    }
}

/// Returns the name of a method in metadata.
pub(crate) const fn name(auth: ProviderAuth) -> &'static str {
    match auth {
        ProviderAuth::Basic => "client_secret_basic",
        ProviderAuth::Post => "client_secret_post",
        ProviderAuth::PrivateKeyJwt => "private_key_jwt",
    }
}

/// Returns what the method sends: the secret, or an assertion for this token endpoint.
pub(crate) fn credential(
    settings: &Provider,
    auth: ProviderAuth,
    token_endpoint: &str,
    now: i64,
) -> Result<Zeroizing<String>, ProviderError> {
    if auth != ProviderAuth::PrivateKeyJwt {
        return Ok(settings.client_secret.expose().to_owned().into());
    }
    let alg = key_algorithm(settings).ok_or(ProviderError::ClientKey)?;
    let claims = json!({
        "iss": settings.client_id,
        "sub": settings.client_id,
        "aud": token_endpoint,
        "jti": Plain::generate().to_text().as_str(),
        "iat": now,
        "exp": now + ASSERTION_TTL,
    });
    sign(settings, alg, &claims).ok_or(ProviderError::ClientKey)
}

/// Returns the algorithm that the configured key is for.
pub(crate) fn key_algorithm(settings: &Provider) -> Option<Alg> {
    let pkcs8 = pkcs8(settings)?;
    let is_for = |alg| key::sign_with_pkcs8(alg, pkcs8.secret_pkcs8_der(), b"").is_some();
    [Alg::ES256, Alg::RS256]
        .into_iter()
        .find(|alg| is_for(*alg))
}

/// Returns a token of these claims that the configured key signed; `None` if it is not for `alg`.
pub(crate) fn sign(settings: &Provider, alg: Alg, claims: &Value) -> Option<Zeroizing<String>> {
    let mut header = Map::new();
    header.insert("alg".to_owned(), format!("{alg:?}").into());
    if !settings.key_id.is_empty() {
        header.insert("kid".to_owned(), settings.key_id.as_str().into());
    }
    let header = BASE64.encode(Value::Object(header).to_string());
    let message = format!("{header}.{}", BASE64.encode(claims.to_string()));
    let pkcs8 = pkcs8(settings)?;
    let signature = key::sign_with_pkcs8(alg, pkcs8.secret_pkcs8_der(), message.as_bytes())?;
    Some(format!("{message}.{}", BASE64.encode(signature)).into())
}

fn pkcs8(settings: &Provider) -> Option<PrivatePkcs8KeyDer<'static>> {
    PrivatePkcs8KeyDer::from_pem_slice(settings.private_key.expose().as_bytes()).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn chosen(settings: &str, supported: Option<&[&str]>) -> &'static str {
        let text = format!("id = \"a\"\nclient_id = \"c\"\n{settings}");
        let settings: Provider = toml::from_str(&text).unwrap();
        let supported: Option<Vec<String>> =
            supported.map(|methods| methods.iter().map(|&method| method.to_owned()).collect());
        name(choose(&settings, supported.as_deref()))
    }

    #[test]
    fn oc_04_the_method_is_the_set_one_else_one_that_the_metadata_supports() {
        let (basic, post, jwt) = (
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
        );
        let (secret, key) = ("client_secret = \"s\"\n", "private_key = \"k\"\n");
        let both = format!("{secret}{key}");
        for (settings, supported, expected) in [
            (secret, None, basic),
            (secret, Some(&[][..]), basic),
            (secret, Some(&[basic, post]), basic),
            (secret, Some(&[post, basic]), basic),
            (secret, Some(&[post]), post),
            (secret, Some(&[jwt, post]), post),
            (secret, Some(&[jwt]), basic),
            (secret, Some(&["tls_client_auth"]), basic),
            (key, None, jwt),
            (key, Some(&[post]), jwt),
            (&both, None, basic),
            (&both, Some(&[post]), post),
            (&both, Some(&[basic, jwt]), jwt),
        ] {
            assert_eq!(
                chosen(settings, supported),
                expected,
                "{settings} {supported:?}"
            );
        }
        let set = "client_secret = \"s\"\nauth = \"basic\"";
        assert_eq!(chosen(set, Some(&[post])), basic, "the setting wins");
        let github = "client_secret = \"s\"\nkind = \"github\"";
        assert_eq!(chosen(github, None), post);
    }
}
