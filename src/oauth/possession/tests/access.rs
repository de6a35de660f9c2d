//! What access tokens that are bound to a key are worth.

use poem::http::Method;

use super::*;

#[tokio::test]
async fn pp_10_each_scheme_takes_its_own_tokens() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let bound = bound_tokens(&test_app, &key, "openid")
        .await
        .text("access_token");
    let unbound = test_app.tokens("web", "openid").await.text("access_token");
    let shown = |token: &str| key.proof(&userinfo_claims(&test_app, token));
    for scheme in ["DPoP", "dpop", "DPOP"] {
        let value = format!("{scheme} {bound}");
        let response = userinfo(&test_app, &value, &[&shown(&bound)]).await;
        assert_eq!(response.status, 200, "{scheme}: {response:?}");
    }
    let response = userinfo(&test_app, &format!("Bearer {unbound}"), &[&shown(&unbound)]).await;
    assert_eq!(response.status, 200, "the proof is not read");
    for (authorization, proofs, reason) in [
        (
            format!("Bearer {bound}"),
            vec![shown(&bound)],
            "token_bound",
        ),
        (format!("bearer {bound}"), vec![], "token_bound"),
        (
            format!("DPoP {unbound}"),
            vec![shown(&unbound)],
            "token_unbound",
        ),
        (format!("DPoP {unbound}"), vec![], "token_unbound"),
        ("DPoP x".to_owned(), vec![shown("x")], "token_malformed"),
    ] {
        let proofs: Vec<&str> = proofs.iter().map(String::as_str).collect();
        let refused = userinfo(&test_app, &authorization, &proofs).await;
        assert_eq!(refused.error(), (401, "invalid_token"), "{reason}");
        assert_eq!(refused.reason, reason);
    }
    let mut in_form = form_request(USERINFO, &[("access_token", &bound)]);
    let claims = proof_claims("POST", &format!("{ISSUER}{USERINFO}"), now(&test_app));
    let with_ath = key.proof(&with(claims, "ath", ath(&bound).into()));
    in_form
        .headers_mut()
        .insert("dpop", with_ath.parse().unwrap());
    let refused = test_app.send(in_form).await;
    assert_eq!(refused.error(), (401, "invalid_token"), "in a form");
    let mut twice = Request::builder().uri_str(USERINFO).finish();
    for value in [format!("DPoP {bound}"), format!("Bearer {unbound}")] {
        let headers = twice.headers_mut();
        headers.append(header::AUTHORIZATION, value.parse().unwrap());
    }
    assert_eq!(
        test_app.send(twice).await.error(),
        (400, "invalid_request"),
        "two headers"
    );
}

#[tokio::test]
async fn pp_10_challenges_name_the_schemes_and_the_algorithms() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let bound = bound_tokens(&test_app, &key, "openid")
        .await
        .text("access_token");
    let dpop = r#"DPoP realm="entree", algs="ES256 PS256 Ed25519 EdDSA""#;
    for request in [
        Request::builder().uri_str(USERINFO).finish(),
        Request::builder()
            .method(Method::POST)
            .uri_str(USERINFO)
            .finish(),
    ] {
        let refused = test_app.send(request).await;
        assert_eq!(refused.status, 401);
        assert_eq!(challenges(&refused), [r#"Bearer realm="entree""#, dpop]);
    }
    let as_bearer = userinfo(&test_app, &format!("Bearer {bound}"), &[]).await;
    let found = challenges(&as_bearer);
    assert!(found[0].starts_with(r#"Bearer realm="entree", error="invalid_token""#));
    assert_eq!(found[1..], [dpop]);
    let without = userinfo(&test_app, &format!("DPoP {bound}"), &[]).await;
    assert_eq!(without.error(), (401, "invalid_dpop_proof"));
    let found = challenges(&without);
    assert_eq!(found.len(), 1, "no way back to a bearer token");
    assert!(found[0].starts_with(&format!(r#"{dpop}, error="invalid_dpop_proof""#)));
    let old = userinfo_claims(&test_app, &bound);
    let old = with(old, "iat", (now(&test_app) - 61).into());
    let refused = userinfo(&test_app, &format!("DPoP {bound}"), &[&key.proof(&old)]).await;
    assert_eq!(refused.error(), (401, "use_dpop_nonce"));
    assert!(challenges(&refused)[0].contains(r#"error="use_dpop_nonce""#));
    let again = key.proof(&with(old, "nonce", nonce_of(&refused).into()));
    let response = userinfo(&test_app, &format!("DPoP {bound}"), &[&again]).await;
    assert_eq!(response.status, 200, "{response:?}");
    let lacks = bound_tokens(&test_app, &key, "email")
        .await
        .text("access_token");
    let shown = key.proof(&userinfo_claims(&test_app, &lacks));
    let refused = userinfo(&test_app, &format!("DPoP {lacks}"), &[&shown]).await;
    assert_eq!(refused.error(), (403, "insufficient_scope"));
    assert!(challenges(&refused)[0].starts_with("DPoP "));
}

#[tokio::test]
async fn pp_12_a_stolen_token_is_worth_nothing_without_its_key() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let token = bound_tokens(&test_app, &key, "openid")
        .await
        .text("access_token");
    let others = bound_tokens(&test_app, &key, "openid")
        .await
        .text("access_token");
    let thief = ProofKey::es256();
    let good = || userinfo_claims(&test_app, &token);
    let seen = key.proof(&good());
    let bearer = format!("DPoP {token}");
    assert_eq!(userinfo(&test_app, &bearer, &[&seen]).await.status, 200);
    let forged = thief.sign(&key.header().to_string(), &good().to_string());
    let (one, two) = (key.proof(&good()), key.proof(&good()));
    for (case, proofs) in [
        ("no proof", vec![]),
        ("a key of one's own", vec![thief.proof(&good())]),
        ("a forged signature", vec![forged]),
        ("a proof that was seen", vec![seen]),
        ("two proofs", vec![one, two]),
        (
            "for another address",
            vec![key.proof(&with(good(), "htu", format!("{ISSUER}{TOKEN}").into()))],
        ),
        (
            "for another method",
            vec![key.proof(&with(good(), "htm", "POST".into()))],
        ),
        (
            "for another token",
            vec![key.proof(&with(good(), "ath", ath(&others).into()))],
        ),
        (
            "for no token",
            vec![key.proof(&with(good(), "ath", Value::Null))],
        ),
    ] {
        let proofs: Vec<&str> = proofs.iter().map(String::as_str).collect();
        let refused = userinfo(&test_app, &bearer, &proofs).await;
        assert_eq!(refused.error(), (401, "invalid_dpop_proof"), "{case}");
    }
    let own = bound_tokens(&test_app, &thief, "openid").await;
    let shown = thief.proof(&userinfo_claims(&test_app, &token));
    let refused = userinfo(&test_app, &bearer, &[&shown]).await;
    assert_eq!(refused.status, 401, "own key with another's token: {own:?}");
    let right = key.proof(&good());
    assert_eq!(userinfo(&test_app, &bearer, &[&right]).await.status, 200);
}
