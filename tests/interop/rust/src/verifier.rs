//! Verifies access tokens with jsonwebtoken.

use std::{collections::HashMap, io::BufRead as _};

use anyhow::{Context as _, Result, ensure};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let lock = include_str!("../Cargo.lock");
    let at = lock
        .find("name = \"jsonwebtoken\"\n")
        .context("not in the lock file")?;
    println!(
        "version {}",
        lock[at..].split('"').nth(3).context("no version")?
    );
    let (issuer, audience) = (std::env::var("ISSUER")?, std::env::var("AUDIENCE")?);
    let set: JwkSet = reqwest::get(format!("{issuer}/.well-known/jwks.json"))
        .await?
        .json()
        .await?;
    // The algorithm is the key's, never the token's (RFC 8725 §3.1).
    let mut keys = HashMap::new();
    for jwk in &set.keys {
        let alg: Algorithm = jwk
            .common
            .key_algorithm
            .context("no alg")?
            .to_string()
            .parse()?;
        keys.insert(
            jwk.common.key_id.clone().context("no kid")?,
            (alg, DecodingKey::from_jwk(jwk)?),
        );
    }
    println!("did access token (RFC 9068) with cached JWKS");
    for line in std::io::stdin().lock().lines() {
        match verify(&line?, &keys, &issuer, &audience) {
            Ok(subject) => println!("accepted {subject}"),
            Err(why) => println!("refused {}", format!("{why:#}").replace('\n', " ")),
        }
    }
    Ok(())
}

fn verify(
    token: &str,
    keys: &HashMap<String, (Algorithm, DecodingKey)>,
    issuer: &str,
    audience: &str,
) -> Result<String> {
    let header = decode_header(token)?;
    // RFC 9068 §4: an ID token is no access token.
    ensure!(
        header
            .typ
            .is_some_and(|typ| typ.eq_ignore_ascii_case("at+jwt")),
        "another typ"
    );
    let (alg, key) = keys
        .get(&header.kid.context("no kid")?)
        .context("unknown key")?;
    let mut rules = Validation::new(*alg);
    rules.set_audience(&[audience]);
    rules.set_issuer(&[issuer]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    rules.validate_nbf = true;
    let claims: Value = decode(token, key, &rules)?.claims;
    Ok(claims["sub"].as_str().context("no sub")?.to_owned())
}
