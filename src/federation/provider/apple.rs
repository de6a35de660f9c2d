//! What Sign in with Apple does differently: a client secret that is a token of our own, and the
//! user's name beside the authorization response.

use serde_json::json;
use zeroize::Zeroizing;

use super::{
    error::ProviderError,
    identity::display_name,
    oidc::{
        client_auth,
        json::{self, string_member},
    },
};
use crate::config::{Alg, Provider};

const AUDIENCE: &str = "https://appleid.apple.com";

/// How long a client secret is valid, in seconds: for one request.
const SECRET_TTL: i64 = 300;

/// How many bytes of the `user` parameter are read.
const MAX_USER_BYTES: usize = 4096;

/// Returns the client secret for a request that is sent now ("Creating a client secret").
pub(super) fn client_secret(
    settings: &Provider,
    now: i64,
) -> Result<Zeroizing<String>, ProviderError> {
    let claims = json!({
        "iss": settings.team_id,
        "sub": settings.client_id,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + SECRET_TTL,
    });
    client_auth::sign(settings, Alg::ES256, &claims).ok_or(ProviderError::AppleKey)
}

/// Returns the name in Apple's `user` parameter: `{"name": {"firstName": …, "lastName": …},
/// "email": …}`. The parameter is not signed, so that its name is for display alone, and its
/// address is not used.
pub(super) fn name_in_user_parameter(user: &str) -> Option<String> {
    let user = json::object(user.get(..user.len().min(MAX_USER_BYTES))?.as_bytes())?;
    let name = user.get("name")?.as_object()?;
    let parts: Vec<&str> = ["firstName", "lastName"]
        .iter()
        .filter_map(|part| string_member(name, part))
        .collect();
    display_name(&parts.join(" "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use base64::{
        Engine as _,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64},
    };
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
        UnparsedPublicKey,
    };

    use serde_json::Value;

    use super::*;
    use crate::secret;

    /// A key file as Apple issues it, and the public half of the key.
    pub(in super::super) fn key_file() -> (String, Vec<u8>) {
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
        let text = "id = \"apple\"\nkind = \"apple\"\nclient_id = \"app\"\n\
                    team_id = \"TEAM\"\nkey_id = \"KEY\"";
        let mut settings: Provider = toml::from_str(text).unwrap();
        assert_eq!(client_secret(&settings, 0), Err(ProviderError::AppleKey));
        settings.private_key = secret::Text::new(pem);
        let secret = client_secret(&settings, 1_000).unwrap();
        let (message, signature) = secret.rsplit_once('.').unwrap();
        let signature = BASE64.decode(signature).unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public)
            .verify(message.as_bytes(), &signature)
            .unwrap();
        let (header, claims) = message.split_once('.').unwrap();
        let decoded =
            |part| -> Value { serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap() };
        assert_eq!(decoded(header), json!({"alg": "ES256", "kid": "KEY"}));
        let expected =
            json!({"iss": "TEAM", "sub": "app", "aud": AUDIENCE, "iat": 1000, "exp": 1300});
        assert_eq!(decoded(claims), expected);
    }

    #[test]
    fn pr_01_apple_sends_a_name_once() {
        let name = json!({"firstName": "Marie", "lastName": "Taglioni\u{7}"});
        let user = json!({"name": name, "email": "evil@example.com"}).to_string();
        assert_eq!(
            name_in_user_parameter(&user).as_deref(),
            Some("Marie Taglioni")
        );
        for bad in [
            "",
            "[]",
            "{\"name\":1}",
            "{\"name\":{}}",
            "{\"name\":{\"firstName\":7}}",
            &"é".repeat(3000),
        ] {
            assert_eq!(name_in_user_parameter(bad), None, "{bad}");
        }
    }
}
