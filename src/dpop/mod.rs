//! DPoP (RFC 9449): the sender of a request proves that it has the private half of a key.
//!
//! A proof is judged in two steps. [`read`] makes every check that stores nothing. [`claim`] makes
//! sure that the proof is shown once; it comes last, when the client, the code, the grant or the
//! token of the request is known to be right, so that strangers take no space in the ticket store
//! (PP-5). `nonce` makes and reads the nonces, which are stored nowhere. What a token is bound to, and
//! what a client that shows no proof may have, is for the modules that issue and take tokens.

mod check;
mod nonce;

pub(crate) use check::{CheckedProof, DpopError, ProofTarget, claim, read, read_of_client};
