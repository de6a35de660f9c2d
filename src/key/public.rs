//! The public half of a key: its JWK, its thumbprint, and the verification of its signatures.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

use crate::{config::Alg, secret::Hash};

/// Returns the name of an algorithm (RFC 7518 §3.1).
pub(super) const fn alg_name(alg: Alg) -> &'static str {
    match alg {
        Alg::ES256 => "ES256",
        Alg::RS256 => "RS256",
    }
}

/// A public key of one of our two algorithms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VerifyingKey {
    /// A point on P-256, uncompressed: `0x04`, x, y (SEC 1 §2.3.3).
    Ec([u8; 65]),
    /// Modulus and exponent, big-endian, without leading zeroes.
    Rsa {
        /// 2048 bits.
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

/// The members that we write and read. Private members are unknown here, so that none can pass.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    kty: String,
    #[serde(rename = "use")]
    usage: String,
    alg: String,
    kid: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl VerifyingKey {
    /// Reads an uncompressed point.
    pub(super) fn from_point(point: &[u8]) -> Option<Self> {
        let point: [u8; 65] = point.try_into().ok()?;
        (point.first() == Some(&4)).then_some(Self::Ec(point))
    }

    /// Reads the DER of an `RSAPublicKey`: SEQUENCE { modulus INTEGER, exponent INTEGER } (RFC 8017
    /// §A.1.1).
    pub(super) fn from_rsa_der(der: &[u8]) -> Option<Self> {
        let (body, rest) = element(der, 0x30)?;
        let (n, body) = element(body, 0x02)?;
        let (e, body) = element(body, 0x02)?;
        (rest.is_empty() && body.is_empty()).then(|| Self::Rsa {
            n: magnitude(n),
            e: magnitude(e),
        })
    }

    pub(super) const fn alg(&self) -> Alg {
        match self {
            Self::Ec(_) => Alg::ES256,
            Self::Rsa { .. } => Alg::RS256,
        }
    }

    /// Returns the members of the key in the order of the thumbprint (RFC 7638 §3.2).
    fn required_members(&self) -> String {
        match self {
            Self::Ec(point) => {
                let (x, y) = coordinates(point);
                format!(
                    r#""crv":"P-256","kty":"EC","x":"{}","y":"{}""#,
                    BASE64.encode(x),
                    BASE64.encode(y)
                )
            }
            Self::Rsa { n, e } => format!(
                r#""e":"{}","kty":"RSA","n":"{}""#,
                BASE64.encode(e),
                BASE64.encode(n)
            ),
        }
    }

    /// RFC 7638 §3: SHA-256 of the required members.
    pub(super) fn thumbprint(&self) -> String {
        BASE64.encode(Hash::of(format!("{{{}}}", self.required_members()).as_bytes()).as_bytes())
    }

    /// RFC 7517 §4: the required members with `use`, `alg` and `kid`; nothing private.
    pub(super) fn jwk(&self) -> String {
        let (alg, kid) = (alg_name(self.alg()), self.thumbprint());
        format!(
            r#"{{{},"use":"sig","alg":"{alg}","kid":"{kid}"}}"#,
            self.required_members()
        )
    }

    /// Reads what [`VerifyingKey::jwk`] wrote. Returns nothing for other members, or a name that is
    /// not the thumbprint.
    pub(super) fn from_jwk(jwk: &str) -> Option<Self> {
        let jwk: Members = serde_json::from_str(jwk).ok()?;
        let read = |text: Option<String>| BASE64.decode(text?).ok();
        let public = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("EC", Some("P-256")) => {
                Self::from_point(&[vec![4], read(jwk.x)?, read(jwk.y)?].concat())?
            }
            ("RSA", None) => Self::Rsa {
                n: read(jwk.n)?,
                e: read(jwk.e)?,
            },
            _ => return None,
        };
        let is_ours = jwk.usage == "sig"
            && jwk.alg == alg_name(public.alg())
            && jwk.kid == public.thumbprint();
        is_ours.then_some(public)
    }

    /// Returns whether `signature` over `message` was made by the private half. RSA keys under 2048
    /// bits never verify.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ec(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(message, signature)
                .is_ok(),
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
        }
    }
}

fn coordinates(point: &[u8; 65]) -> (&[u8], &[u8]) {
    let (_, both) = point.split_at(1);
    both.split_at(32)
}

/// Returns the content of the DER element at the start of `der`, if it has this tag, and what
/// follows it (X.690 §8.1).
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, der) = der.split_first()?;
    let (&first, der) = der.split_first()?;
    let (length, der) = match first {
        0..=0x7f => (usize::from(first), der),
        0x81..=0x82 => {
            let (bytes, der) = der.split_at_checked(usize::from(first & 0x7f))?;
            (
                bytes
                    .iter()
                    .fold(0, |length, &byte| length << 8 | usize::from(byte)),
                der,
            )
        }
        _ => return None,
    };
    (found == tag).then(|| der.split_at_checked(length))?
}

/// Returns a positive INTEGER without its leading zeroes: JWK members carry none (RFC 7518
/// §6.3.1.1).
fn magnitude(integer: &[u8]) -> Vec<u8> {
    integer
        .iter()
        .skip_while(|&&byte| byte == 0)
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7638 §3.1: the example key and its thumbprint.
    #[test]
    fn sk_02_thumbprint_is_that_of_the_standard() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCi\
                 FV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9\
                 c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1j\
                 F44-csFCur-kEgU8awapJzKnqDKgw";
        let key = VerifyingKey::Rsa {
            n: BASE64.decode(n).unwrap(),
            e: vec![1, 0, 1],
        };
        assert_eq!(
            key.thumbprint(),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn rsa_der_is_read_whole_or_not_at_all() {
        let der = [0x30, 0x08, 0x02, 0x02, 0x00, 0xff, 0x02, 0x02, 0x01, 0x01];
        assert_eq!(
            VerifyingKey::from_rsa_der(&der),
            Some(VerifyingKey::Rsa {
                n: vec![0xff],
                e: vec![1, 1]
            })
        );
        for cut in 0..der.len() {
            assert_eq!(VerifyingKey::from_rsa_der(&der[..cut]), None, "{cut}");
        }
        assert_eq!(VerifyingKey::from_rsa_der(&[&der[..], &[0]].concat()), None);
        assert_eq!(
            VerifyingKey::from_rsa_der(&[0x30, 0x83, 1, 0, 0]),
            None,
            "longer than any key of ours"
        );
    }

    #[test]
    fn jw_01_a_jwk_that_is_not_exactly_ours_is_not_read() {
        let mut point = [7; 65];
        point[0] = 4;
        let jwk = VerifyingKey::Ec(point).jwk();
        assert_eq!(VerifyingKey::from_jwk(&jwk), Some(VerifyingKey::Ec(point)));
        for (from, to) in [
            ("\"use\":\"sig\"", "\"use\":\"enc\""),
            ("ES256", "RS256"),
            ("\"kid\":\"", "\"kid\":\"x"),
            ("\"kty\":\"EC\"", "\"kty\":\"EC\",\"d\":\"AA\""),
            ("P-256", "P-384"),
        ] {
            assert_eq!(VerifyingKey::from_jwk(&jwk.replace(from, to)), None, "{to}");
        }
    }
}
