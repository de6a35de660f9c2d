//! Refresh tokens as their owner holds them: family, generation, secret and MAC, opaque to the client (DB-01).
//!
//! The MAC covers all of it, so that a token that we did not make is refused before any SQL, and guessing ends nobody's
//! grant. The table holds SHA-256 of the secret.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use uuid::Uuid;

use crate::secret::{Hash, Mac, Plain, Sealer};

/// Characters of family and generation, 20 bytes.
const HEAD: usize = 27;
/// Characters of 32 bytes.
const PART: usize = 43;

/// A refresh token of ours.
#[derive(Clone, Debug)]
pub struct RefreshToken {
    /// The grant.
    pub family: Uuid,
    /// Which of its tokens.
    pub generation: i32,
    /// What makes it unguessable (RFC 6749 §10.10): 256 bits.
    pub secret: Plain,
}

impl RefreshToken {
    /// A fresh one.
    #[must_use]
    pub fn generate(family: Uuid, generation: i32) -> Self {
        Self {
            family,
            generation,
            secret: Plain::generate(),
        }
    }

    /// Reads what [`RefreshToken::to_text`] wrote under a live key; none for anything else.
    #[must_use]
    pub fn parse(mac: &Mac, text: &str) -> Option<Self> {
        if text.len() != HEAD + 2 * PART {
            return None;
        }
        let (head, rest) = text.split_at_checked(HEAD)?;
        let (secret, tag) = rest.split_at_checked(PART)?;
        let (head, tag) = (
            BASE64.decode(head).ok()?,
            Hash::from_column(&BASE64.decode(tag).ok()?)?,
        );
        let (family, generation) = head.split_first_chunk::<16>()?;
        let generation = i32::from_be_bytes(generation.try_into().ok()?);
        let token = Self {
            family: Uuid::from_bytes(*family),
            generation,
            secret: Plain::parse(secret)?,
        };
        mac.verify(&[&head, token.secret.hash().as_bytes()], &tag)
            .then_some(token)
    }

    /// The text for the client: 113 characters of base64url.
    #[must_use]
    pub fn to_text(&self, mac: &Mac) -> String {
        let head = self.head();
        let tag = mac.tag(&[&head, self.secret.hash().as_bytes()]);
        format!(
            "{}{}{}",
            BASE64.encode(head),
            self.secret.to_text(),
            BASE64.encode(tag.as_bytes())
        )
    }

    /// Its secret, to be opened only as this family's and this generation's.
    #[must_use]
    pub fn seal(&self, sealer: &Sealer) -> Vec<u8> {
        sealer.seal(&self.head(), self.secret.to_text().as_bytes())
    }

    /// What [`RefreshToken::seal`] sealed; none if it was altered, moved, or sealed under a key that is gone.
    #[must_use]
    pub fn open(sealer: &Sealer, family: Uuid, generation: i32, sealed: &[u8]) -> Option<Self> {
        let text = sealer.open(&head(family, generation), sealed)?;
        let secret = Plain::parse(std::str::from_utf8(&text).ok()?)?;
        Some(Self {
            family,
            generation,
            secret,
        })
    }

    fn head(&self) -> [u8; 20] {
        head(self.family, self.generation)
    }
}

fn head(family: Uuid, generation: i32) -> [u8; 20] {
    let mut head = [0; 20];
    let (id, number) = head.split_at_mut(16);
    id.copy_from_slice(family.as_bytes());
    number.copy_from_slice(&generation.to_be_bytes());
    head
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::secret::{MasterKeys, public_id};

    #[test]
    fn rf_5_db_01_a_token_is_long_printable_and_only_ours_is_read() {
        let mac = MasterKeys::new([7; 32], []).mac("refresh token v1");
        let token = RefreshToken::generate(public_id(), 3);
        let text = token.to_text(&mac);
        assert!(
            text.len() == 113 && text.chars().all(|c| c.is_ascii_graphic()),
            "{text}"
        );
        let read = RefreshToken::parse(&mac, &text).unwrap();
        assert_eq!((read.family, read.generation), (token.family, 3));
        assert!(read.secret.hash() == token.secret.hash());
        for at in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            assert!(
                RefreshToken::parse(&mac, std::str::from_utf8(&altered).unwrap()).is_none(),
                "{at}"
            );
        }
        for bad in ["", "é", &text[1..], &format!("{text}A")] {
            assert!(RefreshToken::parse(&mac, bad).is_none());
        }
        assert!(
            RefreshToken::parse(&MasterKeys::new([8; 32], []).mac("refresh token v1"), &text)
                .is_none()
        );
        let rotated = MasterKeys::new([8; 32], [[7; 32]]).mac("refresh token v1");
        assert!(
            RefreshToken::parse(&rotated, &text).is_some(),
            "an older master key still counts"
        );
        assert!(!format!("{token:?}").contains(&token.secret.to_text()));
    }

    #[test]
    fn db_01_a_sealed_successor_opens_only_in_its_place() {
        let sealer = MasterKeys::new([7; 32], []).sealer("x");
        let token = RefreshToken::generate(public_id(), 1);
        let sealed = token.seal(&sealer);
        let opened = RefreshToken::open(&sealer, token.family, 1, &sealed).unwrap();
        assert!(opened.secret.hash() == token.secret.hash());
        assert!(RefreshToken::open(&sealer, token.family, 2, &sealed).is_none());
        assert!(RefreshToken::open(&sealer, public_id(), 1, &sealed).is_none());
    }
}
