//! DPoP proofs: whatever a stranger sends is refused, or is a proof for this very request (PP-1, PP-2).
#![no_main]

use entree::{
    clock::Time,
    key::{ExpectedProof, verify_proof},
};
use libfuzzer_sys::fuzz_target;

const URL: &str = "https://id.example/oauth2/token";

fuzz_target!(|text: &str| {
    let now = Time(1_800_000_000_000);
    let expected = |url| ExpectedProof {
        method: "POST",
        url,
        token: None,
    };
    for url in [URL, text] {
        let Ok(proof) = verify_proof(text, &expected(url), now) else {
            continue;
        };
        assert_eq!(proof.jkt.len(), 43);
        assert!((1..=512).contains(&proof.jti.len()));
        assert!(text.len() <= 4096);
    }
});
