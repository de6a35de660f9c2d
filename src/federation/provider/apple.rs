//! Apple's client secret: a token of our own, signed for each request (Sign in with Apple, "Creating a client secret").

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    config::Provider,
    federation::error::{FederationError, RefusalCode},
    key,
};

/// Whom it is for.
const AUDIENCE: &str = "https://appleid.apple.com";

/// It is good for five minutes: for one request.
const LIFE: i64 = 300;

/// The secret for a request that is sent now.
///
/// # Errors
/// [`RefusalCode::Misconfigured`]: the configured key is none that can sign ES256.
pub(super) fn client_secret(
    settings: &Provider,
    now: i64,
) -> Result<Zeroizing<String>, FederationError> {
    let part = |value: serde_json::Value| BASE64.encode(value.to_string());
    let header = part(json!({"alg": "ES256", "kid": settings.key_id}));
    let claims = part(json!({
        "iss": settings.team_id,
        "sub": settings.client_id,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + LIFE,
    }));
    let message = format!("{header}.{claims}");
    let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(settings.private_key.expose().as_bytes()).ok();
    let signature =
        pkcs8.and_then(|pkcs8| key::sign_es256(pkcs8.secret_pkcs8_der(), message.as_bytes()));
    let words = "private_key is no PKCS#8 key on P-256: download it again from Apple";
    let signature =
        signature.ok_or_else(|| FederationError::new(RefusalCode::Misconfigured, words))?;
    Ok(Zeroizing::new(format!(
        "{message}.{}",
        BASE64.encode(signature)
    )))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use base64::engine::general_purpose::STANDARD;
    use ring::signature::UnparsedPublicKey;
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    };
    use serde_json::Value;

    use super::*;
    use crate::secret;

    /// A key as Apple gives it, and its public half.
    pub(in crate::federation) fn key_file() -> (String, Vec<u8>) {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &secret::source())
            .unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            der.as_ref(),
            &secret::source(),
        )
        .unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        (pem, pair.public_key().as_ref().to_vec())
    }

    #[test]
    fn pr_01_apples_secret_is_a_token_of_five_minutes_signed_with_the_configured_key() {
        let (pem, public) = key_file();
        let text = "id = \"apple\"\nkind = \"apple\"\nclient_id = \"app\"\nteam_id = \"TEAM\"\nkey_id = \"KEY\"";
        let mut settings: Provider = toml::from_str(text).unwrap();
        assert_eq!(
            client_secret(&settings, 0).unwrap_err().code,
            RefusalCode::Misconfigured
        );
        settings.private_key = secret::Text::new(pem);
        let secret = client_secret(&settings, 1_000).unwrap();
        let (message, signature) = secret.rsplit_once('.').unwrap();
        let signature = BASE64.decode(signature).unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public)
            .verify(message.as_bytes(), &signature)
            .unwrap();
        let part = |at| -> Value {
            serde_json::from_slice(&BASE64.decode(message.split('.').nth(at).unwrap()).unwrap())
                .unwrap()
        };
        assert_eq!(part(0), json!({"alg": "ES256", "kid": "KEY"}));
        let claims =
            json!({"iss": "TEAM", "sub": "app", "aud": AUDIENCE, "iat": 1000, "exp": 1300});
        assert_eq!(part(1), claims);
    }
}
