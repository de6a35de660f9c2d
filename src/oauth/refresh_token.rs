//! Refresh tokens: their format, and where one stands in the family of its grant.
//!
//! A refresh token is opaque to the client: family, generation, secret and MAC (DB-01). The MAC
//! covers the rest, so that a token that we did not issue is refused before any SQL and guessing
//! ends no grant. The table stores the SHA-256 of the secret.
//!
//! Each use gives a new token (RFC 9700 §4.14.2). For 60 seconds, and until its successor is used,
//! a used token gives that same successor: a client that lost the response, or that refreshes from
//! several places, is no thief (ST-02). Later, and with any older token, someone has a copy.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use uuid::Uuid;

use super::grant_store::Grant;
use crate::{
    clock::Time,
    secret::{Hash, Mac, Plain, Sealer},
};

/// How long the previous token still gives the current one (RF-7).
const GRACE: Duration = Duration::from_secs(60);

/// Characters of family and generation, which are 20 bytes.
const HEAD: usize = 27;
/// Characters of 32 bytes.
const PART: usize = 43;

#[derive(Clone, Debug)]
pub(crate) struct RefreshToken {
    /// The id of the grant.
    pub(crate) family: Uuid,
    pub(crate) generation: i32,
    /// 256 random bits (RFC 6749 §10.10).
    pub(crate) secret: Plain,
}

impl RefreshToken {
    #[must_use]
    pub(crate) fn generate(family: Uuid, generation: i32) -> Self {
        Self {
            family,
            generation,
            secret: Plain::generate(),
        }
    }

    /// Reads what [`RefreshToken::to_text`] wrote under a current master key; none for anything
    /// else.
    #[must_use]
    pub(crate) fn parse(mac: &Mac, text: &str) -> Option<Self> {
        if text.len() != HEAD + 2 * PART {
            return None;
        }
        let (head, rest) = text.split_at_checked(HEAD)?;
        let (secret, tag) = rest.split_at_checked(PART)?;
        let head = BASE64.decode(head).ok()?;
        let tag = Hash::from_column(&BASE64.decode(tag).ok()?)?;
        let (family, generation) = head.split_first_chunk::<16>()?;
        let token = Self {
            family: Uuid::from_bytes(*family),
            generation: i32::from_be_bytes(generation.try_into().ok()?),
            secret: Plain::parse(secret)?,
        };
        mac.verify(&[&head, token.secret.hash().as_bytes()], &tag)
            .then_some(token)
    }

    /// The text for the client: 113 characters of base64url.
    #[must_use]
    pub(crate) fn to_text(&self, mac: &Mac) -> String {
        let head = encode_head(self.family, self.generation);
        let tag = mac.tag(&[&head, self.secret.hash().as_bytes()]);
        let (head, tag) = (BASE64.encode(head), BASE64.encode(tag.as_bytes()));
        format!("{head}{}{tag}", self.secret.to_text())
    }

    /// Seals the secret, to be opened only for this family and generation.
    #[must_use]
    pub(crate) fn seal(&self, sealer: &Sealer) -> Vec<u8> {
        let head = encode_head(self.family, self.generation);
        sealer.seal(&head, self.secret.to_text().as_bytes())
    }

    /// Opens what [`RefreshToken::seal`] sealed; none if it was altered or moved, or if its key is
    /// gone.
    #[must_use]
    pub(crate) fn open(
        sealer: &Sealer,
        family: Uuid,
        generation: i32,
        sealed: &[u8],
    ) -> Option<Self> {
        let text = sealer.open(&encode_head(family, generation), sealed)?;
        let secret = Plain::parse(std::str::from_utf8(&text).ok()?)?;
        Some(Self {
            family,
            generation,
            secret,
        })
    }

    /// Where this token stands in the family of `grant`. A token with another secret than the
    /// stored one is foreign and ends nothing. No hash is kept of older generations, and there the
    /// MAC shows that the token was ours.
    #[must_use]
    pub(crate) fn position_in(&self, grant: &Grant, now: Time) -> FamilyPosition {
        let given = self.secret.hash();
        let is_stored = |column: Option<&[u8]>| {
            column
                .and_then(Hash::from_column)
                .is_some_and(|hash| hash == given)
        };
        let is_in_grace = || grant.rotated_at.is_some_and(|at| now.since(at) <= GRACE);
        match grant.generation.saturating_sub(self.generation) {
            0 if is_stored(grant.current_hash.as_deref()) => FamilyPosition::Current,
            1 if !is_stored(grant.previous_hash.as_deref()) => FamilyPosition::Foreign,
            1 if is_in_grace() => FamilyPosition::Repeated,
            1.. => FamilyPosition::Reused,
            _ => FamilyPosition::Foreign,
        }
    }
}

/// Where a refresh token stands in its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FamilyPosition {
    Current,
    /// The token before the current one, used a moment ago: it gives the current one.
    Repeated,
    /// Used up: someone has a copy.
    Reused,
    /// Not a token of this family.
    Foreign,
}

fn encode_head(family: Uuid, generation: i32) -> [u8; 20] {
    let mut head = [0; 20];
    let (id, number) = head.split_at_mut(16);
    id.copy_from_slice(family.as_bytes());
    number.copy_from_slice(&generation.to_be_bytes());
    head
}

#[cfg(test)]
mod tests;
