//! The upstream itself: honest tokens verify, each request is judged, and a fault changes what it says and no more.

use super::*;

const REDIRECT: &str = "https://rp.test/cb";

/// What a correct relying party asks, with a verifier.
fn request(up: &Upstream, verifier: &str) -> Url {
    let challenge =
        encode(ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes()).as_ref());
    let query = [
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("redirect_uri", REDIRECT),
        ("scope", "openid"),
        ("state", &"s".repeat(43)),
        ("nonce", &"n".repeat(43)),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    Url::parse_with_params(&format!("{}/authorize", up.url()), query).unwrap()
}

async fn exchange(up: &Upstream, code: &str, verifier: &str, secret: &str) -> (u16, Value) {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", verifier),
        ("client_id", CLIENT_ID),
        ("client_secret", secret),
    ];
    let answer = crate::browser::client()
        .post(format!("{}/token", up.url()))
        .form(&form)
        .send()
        .await
        .unwrap();
    (
        answer.status().as_u16(),
        answer.json().await.unwrap_or_default(),
    )
}

async fn signed_in(up: &Upstream) -> Value {
    let verifier = "v".repeat(43);
    let back = up.authorize(&request(up, &verifier)).await;
    let (status, answer) = exchange(up, back.get("code").unwrap(), &verifier, CLIENT_SECRET).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn jwks(up: &Upstream) -> Value {
    crate::browser::client()
        .get(format!("{}/jwks", up.url()))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

#[tokio::test]
async fn honest_tokens_verify_and_a_code_works_once() {
    let up = Upstream::start().await;
    up.register(REDIRECT);
    let answer = signed_in(&up).await;
    let token = answer["id_token"].as_str().unwrap();
    let verified = crate::oidc::check_signature(token, &jwks(&up).await).unwrap();
    assert_eq!(verified.claims["iss"], up.issuer());
    assert_eq!(verified.claims["nonce"], "n".repeat(43));
    assert_eq!(up.complaints(), Vec::<String>::new());

    let back = up.authorize(&request(&up, &"v".repeat(43))).await;
    let code = back.get("code").unwrap();
    for (verifier, secret, status) in [
        ("w", CLIENT_SECRET, 400),
        ("v", "guess", 401),
        ("v", CLIENT_SECRET, 200),
        ("v", CLIENT_SECRET, 400),
    ] {
        assert_eq!(
            exchange(&up, code, &verifier.repeat(43), secret).await.0,
            status
        );
    }
    assert_eq!(up.complaints().len(), 3);
    assert!(up.secrets().contains(code) && up.secrets().contains(token));
}

#[tokio::test]
async fn every_way_to_sign_is_what_it_says() {
    let up = Upstream::start().await;
    up.register(REDIRECT);
    for (sign, good) in [
        (Sign::Rs256, true),
        (Sign::Es256, true),
        (Sign::Stranger, false),
        (Sign::None, false),
    ] {
        up.reset_faults();
        up.inject(Fault::Sign(sign.clone()));
        let answer = signed_in(&up).await;
        let token = answer["id_token"].as_str().unwrap();
        assert_eq!(
            crate::oidc::check_signature(token, &jwks(&up).await).is_ok(),
            good,
            "{sign:?}"
        );
    }
    // A small key is a good one in everything but its size.
    up.reset_faults();
    up.inject(Fault::Sign(Sign::Small));
    let answer = signed_in(&up).await;
    let token = answer["id_token"].as_str().unwrap();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let part = |name: &str| base64_url(Keys::small_jwk()[name].as_str().unwrap());
    let (n, e) = (part("n"), part("e"));
    assert_eq!(n.len(), 128);
    let key = ring::signature::RsaPublicKeyComponents { n: &n, e: &e };
    let verified = key.verify(
        &ring::signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        input.as_bytes(),
        &base64_url(signature),
    );
    assert!(verified.is_ok());
}

fn base64_url(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .unwrap()
}

#[tokio::test]
async fn a_lie_changes_one_thing() {
    let up = Upstream::start().await;
    up.register(REDIRECT);
    up.inject(Fault::claim("aud", "another".into()));
    up.inject(Fault::member(Place::Token, "token_type", Value::Null));
    let answer = signed_in(&up).await;
    assert_eq!(answer.get("token_type"), None);
    let verified =
        crate::oidc::check_signature(answer["id_token"].as_str().unwrap(), &jwks(&up).await)
            .unwrap();
    assert_eq!(
        (
            verified.claims["aud"].as_str(),
            verified.claims["sub"].as_str()
        ),
        (Some("another"), Some("ann-1"))
    );
    let old = jwks(&up).await;
    up.rotate();
    assert_ne!(old["keys"][0]["n"], jwks(&up).await["keys"][0]["n"]);
    up.go_down();
    let gone = || async {
        crate::browser::client()
            .get(up.url())
            .send()
            .await
            .err()
            .map(drop)
    };
    crate::until("a refusal", Duration::from_secs(5), gone)
        .await
        .unwrap();
}

#[tokio::test]
async fn where_secrets_are_signed_a_plain_one_is_refused() {
    let up = Upstream::start().await;
    up.register(REDIRECT);
    let pem = up.wants_signed_secret();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----"));
    let verifier = "v".repeat(43);
    for secret in [CLIENT_SECRET, "", "e30.e30.AAAA"] {
        let back = up.authorize(&request(&up, &verifier)).await;
        assert_eq!(
            exchange(&up, back.get("code").unwrap(), &verifier, secret)
                .await
                .0,
            401,
            "{secret}"
        );
    }
}
