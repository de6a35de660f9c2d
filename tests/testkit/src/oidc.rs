//! Client software: starts an authorization code flow with PKCE, exchanges the code, and verifies what it gets with
//! nothing but the published metadata. Shares no code with the service.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{digest, signature};
use serde_json::Value;
use url::Url;

use crate::page::Page;

/// A public client and one attempt to sign a person in.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    issuer: String,
    /// Its identifier.
    pub client_id: String,
    /// Where answers go.
    pub redirect_uri: String,
    /// What comes back with the answer.
    pub state: String,
    /// What comes back in the ID token.
    pub nonce: String,
    /// The PKCE verifier (RFC 7636).
    pub verifier: String,
}

/// What a token says, after its signature was checked.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The JOSE header.
    pub header: Value,
    /// The claims.
    pub claims: Value,
}

fn random() -> String {
    format!(
        "{}{}",
        uuid::Uuid::new_v4().simple(),
        uuid::Uuid::new_v4().simple()
    )
}

impl Client {
    /// A new attempt.
    #[must_use]
    pub fn new(issuer: &str, client_id: &str, redirect_uri: &str) -> Self {
        Self {
            http: crate::browser::client(),
            issuer: issuer.trim_end_matches('/').to_owned(),
            client_id: client_id.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            state: random(),
            nonce: random(),
            verifier: random(),
        }
    }

    /// The metadata (OpenID Connect Discovery 1.0 §4).
    pub async fn metadata(&self) -> Value {
        let answer = self
            .http
            .get(format!("{}/.well-known/openid-configuration", self.issuer))
            .send()
            .await;
        let metadata: Value = answer.expect("an answer").json().await.expect("JSON");
        assert_eq!(
            metadata["issuer"], self.issuer,
            "Discovery §4.3: the issuer is the address it was asked at"
        );
        metadata
    }

    /// The S256 challenge of its verifier (RFC 7636 §4.2).
    #[must_use]
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, self.verifier.as_bytes()))
    }

    /// Where the browser is sent (RFC 6749 §4.1.1, RFC 7636 §4.3).
    pub async fn authorize_url(&self, scope: &str) -> Url {
        let metadata = self.metadata().await;
        let challenge = self.challenge();
        let endpoint = metadata["authorization_endpoint"]
            .as_str()
            .expect("an authorization endpoint");
        let query = [
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", scope),
            ("state", &self.state),
            ("nonce", &self.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        Url::parse_with_params(endpoint, query).expect("a URL")
    }

    /// The code out of the redirect that ended the flow (RFC 6749 §4.1.2, RFC 9207).
    ///
    /// # Panics
    /// It does not lead to our redirect URI, or state or issuer differ, or it is an error.
    #[must_use]
    pub fn code(&self, page: &Page) -> String {
        let to = page
            .location()
            .or_else(|| page.refresh())
            .unwrap_or_else(|| panic!("not a redirect: {}", page.summary()));
        assert!(
            to.as_str().starts_with(&self.redirect_uri),
            "leads to {}{}",
            to.origin().ascii_serialization(),
            to.path()
        );
        let get = |name: &str| {
            to.query_pairs()
                .find(|(n, _)| n == name)
                .map(|(_, value)| value.into_owned())
        };
        assert_eq!(get("error"), None);
        assert_eq!(
            get("state").as_deref(),
            Some(self.state.as_str()),
            "RFC 6749 §4.1.2: the state comes back"
        );
        assert_eq!(
            get("iss").as_deref(),
            Some(self.issuer.as_str()),
            "RFC 9207 §2: the issuer comes along"
        );
        get("code").expect("a code")
    }

    /// Exchanges a code; gives status and body (RFC 6749 §4.1.3).
    pub async fn exchange(&self, code: &str, verifier: &str) -> (u16, Value) {
        let metadata = self.metadata().await;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("client_id", &self.client_id),
            ("code_verifier", verifier),
        ];
        let endpoint = metadata["token_endpoint"]
            .as_str()
            .expect("a token endpoint");
        let answer = self
            .http
            .post(endpoint)
            .form(&form)
            .send()
            .await
            .expect("an answer");
        (
            answer.status().as_u16(),
            answer.json().await.unwrap_or_default(),
        )
    }

    /// Checks signature, issuer and times of a token against the published keys (RFC 7515 §5.2, RFC 7519 §7.2).
    ///
    /// # Errors
    /// Says which check failed.
    pub async fn verify(&self, token: &str) -> Result<Verified, String> {
        let jwks_uri = self.metadata().await["jwks_uri"]
            .as_str()
            .expect("jwks_uri")
            .to_owned();
        let jwks: Value = self
            .http
            .get(jwks_uri)
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        let verified = check_signature(token, &jwks)?;
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        let claims = &verified.claims;
        if claims["iss"] != self.issuer {
            return Err(format!("iss is {}", claims["iss"]));
        }
        if claims["exp"].as_u64().is_none_or(|exp| exp <= now)
            || claims["iat"].as_u64().is_none_or(|iat| iat > now + 5)
        {
            return Err("exp or iat does not fit".to_owned());
        }
        Ok(verified)
    }
}

/// Checks a signature with nothing but a key set (RFC 7515 §5.2), and gives header and claims.
///
/// # Errors
/// Says which check failed.
pub fn check_signature(token: &str, jwks: &Value) -> Result<Verified, String> {
    let (signed, signature) = token.rsplit_once('.').ok_or("not a JWT")?;
    let (header, claims) = signed.split_once('.').ok_or("not a JWT")?;
    let (header, claims, signature) = (json(header)?, json(claims)?, bytes(signature)?);
    let keys = jwks["keys"].as_array().ok_or("no keys")?;
    let key = keys
        .iter()
        .find(|key| key["kid"] == header["kid"] && !header["kid"].is_null())
        .ok_or("no key of that kid")?;
    if let Some(private) = ["d", "p", "q", "dp", "dq", "qi", "k"]
        .into_iter()
        .find(|part| !key[*part].is_null())
    {
        return Err(format!("the published key has the private part {private}"));
    }
    let part = |name: &str| bytes(key[name].as_str().unwrap_or_default());
    let right = match header["alg"].as_str() {
        Some("ES256") => {
            let point = [vec![4], part("x")?, part("y")?].concat();
            let key = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point);
            key.verify(signed.as_bytes(), &signature).is_ok()
        }
        Some("RS256") => {
            let key = signature::RsaPublicKeyComponents {
                n: part("n")?,
                e: part("e")?,
            };
            key.verify(
                &signature::RSA_PKCS1_2048_8192_SHA256,
                signed.as_bytes(),
                &signature,
            )
            .is_ok()
        }
        other => return Err(format!("alg is {other:?}")),
    };
    if right {
        Ok(Verified { header, claims })
    } else {
        Err("the signature is wrong".to_owned())
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|error| error.to_string())
}

fn json(part: &str) -> Result<Value, String> {
    serde_json::from_slice(&bytes(part)?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515 A.3: ES256.
    #[test]
    fn verifies_the_example_of_the_rfc_and_nothing_else() {
        let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9p\
                     c19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6\
                     NU1Q";
        let key = serde_json::json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                     "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
        // The example has no kid, ours must: a token without one names no key.
        assert_eq!(
            check_signature(token, &serde_json::json!({"keys": [key]})).unwrap_err(),
            "no key of that kid"
        );
        let signed = token.rsplit_once('.').unwrap();
        let point = [
            vec![4],
            bytes(key["x"].as_str().unwrap()).unwrap(),
            bytes(key["y"].as_str().unwrap()).unwrap(),
        ]
        .concat();
        let public = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point);
        assert!(
            public
                .verify(signed.0.as_bytes(), &bytes(signed.1).unwrap())
                .is_ok()
        );
        assert!(public.verify(b"other", &bytes(signed.1).unwrap()).is_err());
    }
}
