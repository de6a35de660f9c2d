//! The secret of an authorization code: what the client holds.
//!
//! A part of it is a MAC over the binding of the code. A request that repeats the binding therefore
//! shows it, and the code can be claimed without a look at what it stands for. Any other request is
//! checked against the stored code first, so that it claims nothing (RD-06). The grant's id is made of
//! the secret, so that a claim can leave it behind without having read the code.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::secret::{Hash, Mac, Plain};

/// What an exchange must repeat from the authorization request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CodeBinding {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    /// None only for a confidential client that need not use PKCE.
    pub(crate) code_challenge: Option<String>,
    /// The thumbprint of the key of which an exchange shows a proof (RFC 9449 §10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dpop_jkt: Option<String>,
}

impl CodeBinding {
    /// Passes the parts of the MAC on. No challenge is something else than an empty one. A code that is
    /// bound to no key has the parts that an older version of the service gave it.
    fn with_parts<T>(&self, use_parts: impl FnOnce(&[&[u8]]) -> T) -> T {
        let challenge = self.code_challenge.as_deref();
        let has_challenge: &[u8] = if challenge.is_some() { b"S256" } else { b"" };
        let (client_id, redirect_uri) = (self.client_id.as_bytes(), self.redirect_uri.as_bytes());
        let challenge = challenge.unwrap_or_default().as_bytes();
        let parts = [client_id, redirect_uri, has_challenge, challenge];
        match &self.dpop_jkt {
            None => use_parts(&parts),
            Some(jkt) => use_parts(&[parts.as_slice(), &[jkt.as_bytes()]].concat()),
        }
    }
}

/// The secret of a code.
#[derive(Debug)]
pub(crate) struct CodeSecret(Plain);

impl CodeSecret {
    pub(crate) fn generate(mac: &Mac, binding: &CodeBinding) -> Self {
        Self(binding.with_parts(|parts| mac.bound_secret(parts)))
    }

    /// Reads the text of a code. An older version of the service made codes that belong to no binding.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Plain::parse(text).map(Self)
    }

    #[must_use]
    pub(crate) fn to_text(&self) -> String {
        self.0.to_text()
    }

    /// Returns the handle of the code in the ticket store.
    #[must_use]
    pub(crate) fn hash(&self) -> Hash {
        self.0.hash()
    }

    /// Returns the id that the grant of this code has.
    #[must_use]
    pub(crate) fn grant_id(&self) -> Uuid {
        let hash = Hash::of(&[b"grant".as_slice(), self.hash().as_bytes()].concat());
        let mut bytes = [0; 16];
        for (byte, of_hash) in bytes.iter_mut().zip(hash.as_bytes()) {
            *byte = *of_hash;
        }
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Returns whether the code was issued for this binding.
    #[must_use]
    pub(crate) fn is_bound_to(&self, mac: &Mac, binding: &CodeBinding) -> bool {
        binding.with_parts(|parts| mac.is_bound(&self.0, parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::MasterKeys;

    fn binding(challenge: Option<&str>) -> CodeBinding {
        CodeBinding {
            client_id: "web".to_owned(),
            redirect_uri: "https://app.example/cb".to_owned(),
            code_challenge: challenge.map(str::to_owned),
            dpop_jkt: None,
        }
    }

    #[test]
    fn rd_06_a_code_shows_which_binding_it_was_issued_for() {
        let mac = MasterKeys::new([1; 32], []).mac("codes");
        let own = binding(Some("challenge"));
        let secret = CodeSecret::generate(&mac, &own);
        assert!(secret.is_bound_to(&mac, &own));
        let others = [
            CodeBinding {
                client_id: "other".to_owned(),
                ..own.clone()
            },
            CodeBinding {
                redirect_uri: "https://app.example/cb2".to_owned(),
                ..own.clone()
            },
            binding(Some("another")),
            binding(None),
            CodeBinding {
                dpop_jkt: Some("key".to_owned()),
                ..own.clone()
            },
        ];
        for other in others {
            assert!(!secret.is_bound_to(&mac, &other), "{other:?}");
        }
        let without = CodeSecret::generate(&mac, &binding(None));
        assert!(!without.is_bound_to(&mac, &binding(Some(""))));
        assert!(without.is_bound_to(&mac, &binding(None)));
    }

    #[test]
    fn pp_8_a_code_that_is_bound_to_a_key_shows_it() {
        let mac = MasterKeys::new([1; 32], []).mac("codes");
        let to = |jkt: Option<&str>| CodeBinding {
            dpop_jkt: jkt.map(str::to_owned),
            ..binding(Some("challenge"))
        };
        let secret = CodeSecret::generate(&mac, &to(Some("key")));
        assert!(secret.is_bound_to(&mac, &to(Some("key"))));
        for other in [None, Some(""), Some("other")] {
            assert!(!secret.is_bound_to(&mac, &to(other)), "{other:?}");
        }
    }

    #[test]
    fn rd_06_the_id_of_the_grant_is_fixed_with_the_code() {
        let mac = MasterKeys::new([1; 32], []).mac("codes");
        let one = CodeSecret::generate(&mac, &binding(None));
        let again = CodeSecret::parse(&one.to_text());
        assert_eq!(again.map(|secret| secret.grant_id()), Some(one.grant_id()));
        let two = CodeSecret::generate(&mac, &binding(None));
        assert_ne!(one.grant_id(), two.grant_id());
        assert_eq!(one.grant_id().get_version_num(), 4);
    }
}
