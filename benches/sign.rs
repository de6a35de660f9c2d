//! Signing through the room beside the raw signature of the library below it: what our path costs on top.
//!
//! `cargo bench --bench sign` prints one line for each algorithm: µs a token, µs a raw signature, and the ratio.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::{hint::black_box, time::Instant};

use aws_lc_rs::{rsa::KeySize, signature::RsaKeyPair};
use entree::{
    clock::Clock,
    config::Alg,
    db::Db,
    key::{self, Keys},
    secret::{self, MasterKeys},
};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde::Serialize;

/// An access token as we issue it.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
    iat: i64,
    jti: &'a str,
    client_id: &'a str,
    scope: &'a str,
    auth_time: i64,
    acr: &'a str,
    amr: &'a [&'a str],
    sid: &'a str,
    roles: &'a [&'a str],
}

const CLAIMS: Claims<'_> = Claims {
    iss: "https://id.example.com",
    sub: "5d4cf4a6-5b0e-4b7e-9d3f-0a5a3f1f0e11",
    aud: "https://lessons.example.com",
    exp: 1_800_000_600,
    iat: 1_800_000_000,
    jti: "a0f1d5e2-87f8-4c5a-a7c8-0d9f5a1c2b3d",
    client_id: "lessons-web",
    scope: "openid profile email",
    auth_time: 1_800_000_000,
    acr: "urn:entree:acr:email",
    amr: &["otp"],
    sid: "3f0c2b1a-6d5e-4f7a-8b9c-0d1e2f3a4b5c",
    roles: &["student"],
};

/// How often each is measured: properly under `cargo bench`, once where a test run only wants to see it work.
fn times(often: u32) -> u32 {
    if std::env::args().any(|argument| argument == "--bench") {
        often
    } else {
        1
    }
}

/// The fastest of several rounds, in µs each: what is left when nothing else wants the machine.
fn fastest(times: u32, mut work: impl FnMut()) -> f64 {
    let round = |work: &mut dyn FnMut()| {
        let began = Instant::now();
        (0..times).for_each(|_| work());
        began.elapsed().as_secs_f64() * 1e6 / f64::from(times)
    };
    (0..7)
        .map(|_| round(&mut work))
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let file = std::env::temp_dir().join(format!("entree-bench-{}.db", secret::public_id()));
    key::install();
    let keys = runtime.block_on(async {
        let db = Db::connect(&format!("sqlite:{}", file.display()), 1, Clock::default())
            .await
            .unwrap();
        db.migrate().await.unwrap();
        Keys::open(&db, &MasterKeys::new([7; 32], []))
            .await
            .unwrap()
    });

    let random = secret::source();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random)
        .unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let mut signature = vec![0; rsa.public_modulus_len()];
    let unused = aws_lc_rs::rand::SystemRandom::new();

    for (alg, times) in [(Alg::ES256, times(4000)), (Alg::RS256, times(400))] {
        // The same bytes as the token's header and payload, so that both hash as much.
        let token = keys.sign(alg, "at+jwt", &CLAIMS).unwrap();
        let message = token.rsplit_once('.').unwrap().0.as_bytes();
        let raw = match alg {
            Alg::ES256 => fastest(times, || {
                black_box(ec.sign(&random, black_box(message)).unwrap());
            }),
            Alg::RS256 => fastest(times, || {
                let padding = &aws_lc_rs::signature::RSA_PKCS1_SHA256;
                rsa.sign(padding, &unused, black_box(message), &mut signature)
                    .unwrap();
            }),
        };
        let ours = fastest(times, || {
            drop(black_box(
                keys.sign(alg, "at+jwt", black_box(&CLAIMS)).unwrap(),
            ))
        });
        println!(
            "{alg:?}: token {ours:.1} µs, raw signature {raw:.1} µs, ratio {:.2}",
            ours / raw
        );
    }
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", file.display()));
    }
}
