//! The keys of an upstream, honest and not: RSA and P-256 made here, an RSA key of 1024 bits, and no key at all.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{
    digest, hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair, UnparsedPublicKey,
    },
};
use rsa::{BigUint, Pkcs1v15Sign, RsaPrivateKey, traits::PublicKeyParts as _};
use serde_json::{Value, json};

/// The two primes of an RSA key of 1024 bits, which no signing library of today makes any more.
const SMALL: [&[u8]; 2] = [
    b"D2D3E17BDF732ABD6B1E08156DCE215066E789FD1EE922E2C027614E585137639282A72FEF60A56ACBB29D85FC2773B7E840914610E9D4251BADF7DC0924B457",
    b"EC37FA413D3BAD30CE33A2792CC509B92FA774277F5210F3825E157091AA80EEE58BB4617EA135F2EDC49E68B77CE47D3F19B245E8186613DDD4B15722CE1091",
];

/// What stands before a SHA-256 in a PKCS#1 v1.5 signature (RFC 8017 §9.2).
const SHA256_PREFIX: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// Who signs an ID token, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The published RSA key, PKCS#1 v1.5.
    Rs256,
    /// The published P-256 key.
    Es256,
    /// The published RSA key, but with PSS.
    Ps256,
    /// An HMAC with this secret.
    Hs256(Vec<u8>),
    /// No signature: `alg` is none and the third part is empty.
    None,
    /// An RSA key that is not published, with the `kid` of the published one.
    Stranger,
    /// An RSA key of 1024 bits, [`Keys::small_jwk`].
    Small,
}

impl Sign {
    /// Its name in a header (RFC 7518 §3.1).
    #[must_use]
    pub const fn alg(&self) -> &'static str {
        match self {
            Self::Rs256 | Self::Stranger | Self::Small => "RS256",
            Self::Es256 => "ES256",
            Self::Ps256 => "PS256",
            Self::Hs256(_) => "HS256",
            Self::None => "none",
        }
    }
}

/// The key pairs of one upstream, and what they are called.
pub struct Keys {
    rsa: Arc<RsaKeyPair>,
    ec: EcdsaKeyPair,
    round: usize,
}

/// RSA keys are slow to make, so a process has three of them: upstreams turn over the first two, a stranger has the
/// third.
fn rsa_key(number: usize) -> Arc<RsaKeyPair> {
    static MADE: OnceLock<Vec<Arc<RsaKeyPair>>> = OnceLock::new();
    let all = MADE.get_or_init(|| {
        let make = || {
            let made =
                aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
            let document: Pkcs8V1Der<'_> = made.as_der().expect("PKCS#8");
            Arc::new(RsaKeyPair::from_pkcs8(document.as_ref()).expect("the same key"))
        };
        (0..3).map(|_| make()).collect()
    });
    Arc::clone(&all[number])
}

fn ec_key() -> EcdsaKeyPair {
    let rng = SystemRandom::new();
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).expect("a key");
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &rng)
        .expect("the same key")
}

/// A private key on P-256 as Apple gives it out, and its public half.
pub(super) fn key_file() -> (String, Vec<u8>) {
    let rng = SystemRandom::new();
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &rng)
        .expect("the same key");
    let body = STANDARD.encode(document.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    (pem, pair.public_key().as_ref().to_vec())
}

/// Whether a client secret is such a token (Sign in with Apple, "Creating a client secret").
pub(super) fn is_signed_secret(secret: &str, public: &[u8], client_id: &str, now: i64) -> bool {
    let Some((message, signature)) = secret.rsplit_once('.') else {
        return false;
    };
    let Some((header, claims)) = message.split_once('.') else {
        return false;
    };
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    let json = |part: &str| serde_json::from_slice::<Value>(&bytes(part)).unwrap_or_default();
    let (header, claims) = (json(header), json(claims));
    let time = |name: &str| claims[name].as_i64().unwrap_or_default();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
    key.verify(message.as_bytes(), &bytes(signature)).is_ok()
        && (&header["alg"], &header["kid"]) == (&json!("ES256"), &json!("KEY"))
        && (&claims["iss"], &claims["sub"]) == (&json!("TEAM"), &json!(client_id))
        && claims["aud"] == "https://appleid.apple.com"
        && time("iat") <= now + 5
        && (now..now + 15_777_000).contains(&time("exp"))
}

impl Keys {
    /// A first set.
    #[must_use]
    pub fn new() -> Self {
        Self {
            rsa: rsa_key(0),
            ec: ec_key(),
            round: 1,
        }
    }

    /// New keys under new names; the old ones are gone.
    pub fn rotate(&mut self) {
        self.rsa = rsa_key(self.round % 2);
        self.ec = ec_key();
        self.round += 1;
    }

    /// What the key that signs in this way is called.
    #[must_use]
    pub fn kid(&self, sign: &Sign) -> String {
        match sign {
            Sign::Es256 => format!("ec-{}", self.round),
            Sign::Small => "small".to_owned(),
            _ => format!("rsa-{}", self.round),
        }
    }

    /// The honest set (RFC 7517 §5): one RSA key, one of P-256.
    #[must_use]
    pub fn jwks(&self) -> Value {
        let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        let point = self.ec.public_key().as_ref();
        json!({"keys": [
            {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid(&Sign::Rs256),
             "n": encode(&public.n), "e": encode(&public.e)},
            {"kty": "EC", "use": "sig", "alg": "ES256", "kid": self.kid(&Sign::Es256), "crv": "P-256",
             "x": encode(&point[1..33]), "y": encode(&point[33..65])},
        ]})
    }

    /// The key of 1024 bits, as a set would list it.
    #[must_use]
    pub fn small_jwk() -> Value {
        let key = small();
        let (n, e) = (
            encode(&key.n().to_bytes_be()),
            encode(&key.e().to_bytes_be()),
        );
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "small", "n": n, "e": e})
    }

    /// The public RSA key as bytes (RFC 8017 §A.1.1): what a confused verifier takes for an HMAC secret.
    #[must_use]
    pub fn public_der(&self) -> Vec<u8> {
        self.rsa.public_key().as_ref().to_vec()
    }

    /// The signature of `input`.
    #[must_use]
    pub fn sign(&self, sign: &Sign, input: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        let with = |key: &RsaKeyPair, padding| {
            let mut signature = vec![0; key.public().modulus_len()];
            key.sign(padding, &rng, input, &mut signature)
                .expect("a signature");
            signature
        };
        match sign {
            Sign::Rs256 => with(&self.rsa, &RSA_PKCS1_SHA256),
            Sign::Ps256 => with(&self.rsa, &RSA_PSS_SHA256),
            Sign::Stranger => with(&rsa_key(2), &RSA_PKCS1_SHA256),
            Sign::Es256 => self
                .ec
                .sign(&rng, input)
                .expect("a signature")
                .as_ref()
                .to_vec(),
            Sign::Hs256(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input)
                .as_ref()
                .to_vec(),
            Sign::None => Vec::new(),
            Sign::Small => {
                let padding = Pkcs1v15Sign {
                    hash_len: Some(32),
                    prefix: SHA256_PREFIX.into(),
                };
                small()
                    .sign(padding, digest::digest(&digest::SHA256, input).as_ref())
                    .expect("a signature")
            }
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self::new()
    }
}

fn small() -> RsaPrivateKey {
    let [p, q] = SMALL.map(|prime| BigUint::parse_bytes(prime, 16).expect("a number"));
    RsaPrivateKey::from_p_q(p, q, BigUint::from(65_537_u32)).expect("a key")
}

/// Base64url without padding (RFC 7515 §2).
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
