//! Public keys of a client (RFC 7517), as it registers or publishes them.
//!
//! A set in the configuration must be valid as a whole. In a document that a client publishes, keys
//! that we cannot use are ignored (RFC 7517 §5). Private and symmetric keys are never accepted
//! (OIDC Core §10.1).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The most keys of a set that are read.
const MAX_KEYS: usize = 20;

/// Members of private and symmetric keys (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The algorithms with which clients sign (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2): neither
/// `none` nor one with a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigAlg {
    /// ECDSA on P-256.
    ES256,
    /// RSA PKCS#1 v1.5.
    RS256,
    /// RSA PSS.
    PS256,
    /// Ed25519, by its current name or by the older one, which leaves the curve to the key.
    #[serde(alias = "EdDSA")]
    Ed25519,
}

/// The names of all [`SigAlg`], for the metadata.
pub const SIG_ALGS: [&str; 5] = ["ES256", "RS256", "PS256", "Ed25519", "EdDSA"];

/// A set of at least one public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "String")]
pub struct Jwks {
    pub keys: Vec<Jwk>,
}

/// One public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwk {
    pub kid: Option<String>,
    /// The only algorithm for which the key is, if it names one.
    pub alg: Option<SigAlg>,
    pub public: PublicKey,
}

/// The material of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// A point on P-256, uncompressed: `0x04`, x, y.
    P256(Vec<u8>),
    /// Modulus and exponent, big-endian, without leading zeroes; 2048 to 8192 bits.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// A point on Ed25519.
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// Whether signatures of this algorithm can be made with the key.
    #[must_use]
    pub const fn supports_alg(&self, alg: SigAlg) -> bool {
        matches!(
            (self, alg),
            (Self::P256(_), SigAlg::ES256)
                | (Self::Rsa { .. }, SigAlg::RS256 | SigAlg::PS256)
                | (Self::Ed25519(_), SigAlg::Ed25519)
        )
    }
}

impl TryFrom<Value> for Jwks {
    type Error = String;

    /// Reads a table as in the standard, or its JSON in a string.
    fn try_from(value: Value) -> Result<Self, String> {
        let value = match value {
            Value::String(text) => {
                serde_json::from_str(&text).map_err(|_| "the string is not JSON")?
            }
            value => value,
        };
        let list = members(&value)?;
        if list.len() > MAX_KEYS {
            return Err(format!("it has more than {MAX_KEYS} keys"));
        }
        let keys: Result<Vec<Jwk>, String> = list
            .iter()
            .enumerate()
            .map(|(at, key)| parse_key(key).map_err(|what| format!("key {at} {what}")))
            .collect();
        Self::non_empty(keys?).ok_or_else(|| "it has no key".to_owned())
    }
}

impl From<Jwks> for String {
    /// Writes the JSON that `try_from` reads.
    fn from(set: Jwks) -> Self {
        json!({ "keys": set.keys.iter().map(Jwk::to_json).collect::<Vec<_>>() }).to_string()
    }
}

impl Jwk {
    /// Reads one public key for signatures.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence.
    pub fn parse(value: &Value) -> Result<Self, &'static str> {
        parse_key(value)
    }

    fn to_json(&self) -> Value {
        let text = |bytes: &[u8]| BASE64.encode(bytes);
        let mut key = match &self.public {
            PublicKey::P256(point) => {
                let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) })
            }
            PublicKey::Rsa { n, e } => json!({ "kty": "RSA", "n": text(n), "e": text(e) }),
            PublicKey::Ed25519(point) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(point) })
            }
        };
        if let Some(members) = key.as_object_mut() {
            members.extend(self.kid.as_ref().map(|kid| ("kid".to_owned(), json!(kid))));
            members.extend(self.alg.map(|alg| ("alg".to_owned(), json!(alg))));
        }
        key
    }
}

impl Jwks {
    /// Reads the usable keys of a published document. None if there is none. Two keys with one
    /// `kid` both count.
    #[must_use]
    pub fn published(document: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(document).ok()?;
        Self::non_empty(
            members(&value)
                .ok()?
                .iter()
                .take(MAX_KEYS)
                .filter_map(|key| parse_key(key).ok())
                .collect(),
        )
    }

    fn non_empty(keys: Vec<Jwk>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self { keys })
    }
}

fn members(value: &Value) -> Result<&Vec<Value>, &'static str> {
    value
        .get("keys")
        .and_then(Value::as_array)
        .ok_or("it has no array `keys`")
}

/// RFC 7517 §4, RFC 7518 §6, RFC 8037 §2.
fn parse_key(value: &Value) -> Result<Jwk, &'static str> {
    let key = value.as_object().ok_or("is not an object")?;
    if PRIVATE_MEMBERS.iter().any(|name| key.contains_key(*name)) {
        return Err("has a private part; give the public key alone");
    }
    if string_member(key, "use")?.is_some_and(|usage| usage != "sig") || !is_for_verification(key) {
        return Err("is not for signatures");
    }
    let kid = string_member(key, "kid")?;
    let public = parse_material(key)?;
    let alg = match string_member(key, "alg")? {
        None => None,
        Some(name) => Some(
            sig_alg(name)
                .filter(|alg| public.supports_alg(*alg))
                .ok_or("has an `alg` that does not match its type")?,
        ),
    };
    Ok(Jwk {
        kid: kid.map(str::to_owned),
        alg,
        public,
    })
}

/// Returns the algorithm with this name.
#[must_use]
pub fn sig_alg(name: &str) -> Option<SigAlg> {
    serde_json::from_value(Value::from(name)).ok()
}

fn string_member<'a>(
    key: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a str>, &'static str> {
    key.get(name)
        .map(|value| value.as_str().ok_or("has a member that is not a string"))
        .transpose()
}

fn is_for_verification(key: &Map<String, Value>) -> bool {
    let verify = |operations: &Value| {
        let operations = operations.as_array();
        operations.is_some_and(|list| list.iter().any(|operation| operation == "verify"))
    };
    key.get("key_ops").is_none_or(verify)
}

fn parse_material(key: &Map<String, Value>) -> Result<PublicKey, &'static str> {
    let bytes = |name| {
        let text = string_member(key, name)?.ok_or("lacks a member")?;
        BASE64
            .decode(text)
            .map_err(|_| "has a member that is not base64url without padding")
    };
    let coordinate =
        |name| <[u8; 32]>::try_from(bytes(name)?).map_err(|_| "has a member of the wrong length");
    match (string_member(key, "kty")?, string_member(key, "crv")?) {
        (Some("EC"), Some("P-256")) => {
            let (x, y) = (coordinate("x")?, coordinate("y")?);
            Ok(PublicKey::P256([[4].as_slice(), &x, &y].concat()))
        }
        (Some("OKP"), Some("Ed25519")) => Ok(PublicKey::Ed25519(coordinate("x")?.into())),
        (Some("RSA"), None) => parse_rsa(&bytes("n")?, &bytes("e")?),
        _ => Err("has a type that is not supported: use EC on P-256, RSA or Ed25519"),
    }
}

fn parse_rsa(n: &[u8], e: &[u8]) -> Result<PublicKey, &'static str> {
    let strip = |bytes: &[u8]| {
        bytes
            .iter()
            .skip_while(|byte| **byte == 0)
            .copied()
            .collect::<Vec<u8>>()
    };
    let (n, e) = (strip(n), strip(e));
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err("is an RSA key of less than 2048 or more than 8192 bits");
    }
    if e.is_empty() || e.len() > 8 {
        return Err("has an unusual exponent");
    }
    Ok(PublicKey::Rsa { n, e })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ec() -> Value {
        let x = BASE64.encode([7; 32]);
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": x, "kid": "one", "use": "sig", "alg": "ES256" })
    }

    fn rsa_of(bits: usize) -> Value {
        let mut n = vec![0_u8; bits.div_ceil(8)];
        if let Some(first) = n.first_mut() {
            *first = 1 << ((bits - 1) % 8);
        }
        json!({ "kty": "RSA", "n": BASE64.encode(n), "e": "AQAB" })
    }

    fn changed(name: &str, value: Value) -> Value {
        let mut key = ec();
        key.as_object_mut().unwrap().insert(name.to_owned(), value);
        key
    }

    fn given(keys: &[Value]) -> Result<Jwks, String> {
        Jwks::try_from(json!({ "keys": keys }))
    }

    #[test]
    fn ca_8_a_set_is_read_from_a_table_or_a_string() {
        let set = json!({ "keys": [ec(), rsa_of(2048), { "kty": "OKP", "crv": "Ed25519", "x": BASE64.encode([7; 32]) }] });
        let table = Jwks::try_from(set.clone()).unwrap();
        assert_eq!(Jwks::try_from(Value::from(set.to_string())).unwrap(), table);
        assert_eq!(Jwks::published(set.to_string().as_bytes()).unwrap(), table);
        let written = String::from(table.clone());
        assert_eq!(
            Jwks::try_from(Value::from(written)).unwrap(),
            table,
            "written as it is read"
        );
        assert_eq!(
            table
                .keys
                .iter()
                .map(|key| key.kid.as_deref())
                .collect::<Vec<_>>(),
            [Some("one"), None, None]
        );
    }

    #[test]
    fn ca_8_rsa_keys_have_2048_to_8192_bits() {
        for (bits, fine) in [
            (1024, false),
            (2047, false),
            (2048, true),
            (4096, true),
            (8192, true),
            (8193, false),
        ] {
            assert_eq!(given(&[rsa_of(bits)]).is_ok(), fine, "{bits}");
        }
    }

    #[test]
    fn ca_8_a_key_that_is_not_for_signatures_is_refused_in_the_file_and_ignored_in_a_document() {
        let bad = [
            changed("d", json!("AA")),
            changed("use", json!("enc")),
            changed("key_ops", json!(["sign"])),
            changed("alg", json!("RS256")),
            changed("alg", json!("HS256")),
            changed("alg", json!("none")),
            changed("crv", json!("P-384")),
            changed("x", json!("AA")),
            changed("x", json!(BASE64.encode([7; 31]) + "=")),
            changed("kid", json!(7)),
            json!({ "kty": "oct", "k": "AA" }),
            rsa_of(1024),
            json!("text"),
        ];
        for key in bad {
            assert!(
                given(&[ec(), key.clone()])
                    .unwrap_err()
                    .starts_with("key 1 "),
                "{key}"
            );
            let document = json!({ "keys": [key, ec()] }).to_string();
            assert_eq!(
                Jwks::published(document.as_bytes()).unwrap().keys.len(),
                1,
                "{document}"
            );
        }
        for nothing in [
            json!({}),
            json!({ "keys": {} }),
            json!({ "keys": [] }),
            json!("{"),
            json!(7),
        ] {
            assert!(Jwks::try_from(nothing.clone()).is_err(), "{nothing}");
            assert!(
                Jwks::published(nothing.to_string().as_bytes()).is_none(),
                "{nothing}"
            );
        }
        assert!(given(&vec![ec(); MAX_KEYS + 1]).is_err());
    }
}
