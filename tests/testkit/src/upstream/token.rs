//! ID tokens (OpenID Connect Core §2): made honestly, spoiled on demand before or after the signature.

use ring::digest;
use serde_json::{Value, json};

use super::{
    Book, CLIENT_ID,
    fault::Fault,
    keys::{Sign, encode},
};

impl Book {
    /// The token of a person who signed in with this nonce and got this access token.
    pub(super) fn id_token(
        &self,
        person: &Value,
        nonce: Option<&str>,
        access_token: &str,
    ) -> String {
        let sign = self.signs_with();
        let mut header = json!({"alg": sign.alg(), "typ": "JWT", "kid": self.keys.kid(&sign)});
        let mut claims = self.claims(person, nonce, access_token);
        for fault in &self.faults {
            match fault {
                Fault::Header(change) => change(&mut header),
                Fault::Claims(change) => change(&mut claims),
                _ => {}
            }
        }
        let (mut header, mut claims) = (header.to_string(), claims.to_string());
        for fault in &self.faults {
            match fault {
                Fault::HeaderText(change) => change(&mut header),
                Fault::ClaimsText(change) => change(&mut claims),
                _ => {}
            }
        }
        let input = format!(
            "{}.{}",
            encode(header.as_bytes()),
            encode(claims.as_bytes())
        );
        let mut token = format!(
            "{input}.{}",
            encode(&self.keys.sign(&sign, input.as_bytes()))
        );
        for fault in &self.faults {
            if let Fault::Compact(change) = fault {
                change(&mut token);
            }
        }
        token
    }

    fn signs_with(&self) -> Sign {
        let scripted = self.faults.iter().find_map(|fault| match fault {
            Fault::Sign(sign) => Some(sign.clone()),
            _ => None,
        });
        scripted.unwrap_or(Sign::Rs256)
    }

    fn claims(&self, person: &Value, nonce: Option<&str>, access_token: &str) -> Value {
        let now = self.now();
        let hash = digest::digest(&digest::SHA256, access_token.as_bytes());
        let at_hash = encode(&hash.as_ref()[..16]);
        let mut claims = json!({
            "iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "at_hash": at_hash,
        });
        let members = claims.as_object_mut().expect("an object");
        members.extend(nonce.map(|nonce| ("nonce".to_owned(), nonce.into())));
        members.extend(person.as_object().expect("claims").clone());
        claims
    }
}
