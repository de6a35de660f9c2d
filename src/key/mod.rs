//! The keys that sign our tokens: made, stored, published, rotated, and used to sign and to verify.
//!
//! Signing reads a snapshot in memory: it parses nothing, waits for no lock and queries no
//! database. [`Keys::reload`] brings changes of the database into the snapshot. Private keys leave
//! this module only sealed (`seal`). The lifecycle of a key is in `lifecycle`, the strict verifier
//! in `jwt`, that of a client's proof of possession in `proof`.

mod foreign;
mod json;
mod jwt;
mod keys;
mod lifecycle;
mod pair;
mod proof;
mod provider;
mod public;
mod remote;
mod rotation;
mod row;
mod seal;
mod snapshot;
mod verified;

pub use entity::signing_key::State as KeyState;
pub use foreign::ForeignToken;
pub use jwt::{Claims, ExpectedToken, TokenError, bound_key, numeric_date};
pub use keys::Keys;
pub use lifecycle::KeyChange;
pub use pair::sign_with_pkcs8;
pub use proof::{ExpectedProof, PROOF_ALGS, Proof, ProofError, verify_proof};
pub use provider::install;
pub use remote::{ClientKeys, KeysUnavailable};
pub use row::KeyInfo;
pub use snapshot::PublishedKeys;

#[cfg(test)]
pub(crate) mod test_keys;
#[cfg(test)]
mod tests;
