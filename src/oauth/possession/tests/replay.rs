//! Requests that were captured whole, and the budget of a client.

use super::*;
use crate::{limit, secret::Hash, ticket::Payer};

/// A nonce that the service demands of a proof whose own time is wrong.
async fn demand_nonce(test_app: &TestApp, key: &ProofKey) -> String {
    let old = with(claims_for(test_app, TOKEN), "iat", json!(1));
    let demanded = request_own(test_app, &[&key.proof(&old)]).await;
    assert_eq!(demanded.error(), USE_NONCE);
    nonce_of(&demanded).to_owned()
}

/// A used code and a used refresh token that come back late end their grant. With the proof of before
/// they do not: the thief has seen a request, and has no key.
#[tokio::test]
async fn pp_12_a_request_that_was_captured_whole_ends_nothing() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let nonce = demand_nonce(&test_app, &key).await;
    let shown = || key.proof(&with(claims_for(&test_app, TOKEN), "nonce", json!(nonce)));
    let (of_code, of_refresh) = (shown(), shown());
    let scope = "openid offline_access";
    let code = test_app.code("web", scope, Some(VERIFIER)).await;
    let exchanging = exchange("web", &code);
    let first = post(&test_app, &exchanging, &[&of_code]).await;
    assert_eq!(first.status, 200, "{first:?}");
    let used = first.text("refresh_token");
    let refreshing = refreshing("web", &used);
    let second = post(&test_app, &refreshing, &[&of_refresh]).await;
    assert_eq!(second.status, 200, "{second:?}");

    // After the race of a code, and after the grace of a refresh token.
    for pause in [11, 60] {
        test_app.advance(pause);
        for (form, proof) in [(&exchanging, &of_code), (&refreshing, &of_refresh)] {
            let refused = post(&test_app, form, &[proof]).await;
            assert_eq!(refused.error(), INVALID_PROOF, "{pause} s, {form:?}");
            assert_eq!(refused.reason, "proof_replayed");
        }
    }
    let token = second.text("refresh_token");
    let third = refresh(&test_app, &token, Some(&key)).await;
    assert_eq!(third.status, 200, "the family lives: {third:?}");
    // With a proof that was never shown it is its own client that has two copies of the token.
    let ended = refresh(&test_app, &used, Some(&key)).await;
    assert_eq!(ended.reason, "reused");
    let token = third.text("refresh_token");
    let refused = refresh(&test_app, &token, Some(&key)).await;
    assert_eq!(refused.error(), INVALID_GRANT, "the family has ended");
}

#[tokio::test]
async fn pp_5_a_client_may_show_so_many_proofs_in_a_minute() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let payer = Payer::Client(Hash::of(b"basic"));
    let tickets = &test_app.app.tickets;
    for _ in 0..5_999 {
        limit::count_proof(tickets, payer, "basic").await.unwrap();
    }
    let own = async || request_own(&test_app, &[&proof(&test_app, &key, TOKEN)]).await;
    assert_eq!(own().await.status, 200, "the last one");
    let refused = own().await;
    assert_eq!(refused.error(), (429, "temporarily_unavailable"));
    assert_ne!(refused.header(header::RETRY_AFTER), "");
    let bearer = request_own(&test_app, &[]).await;
    assert_eq!(bearer.status, 200, "without a proof");
    // Each user of a public client pays for itself.
    bound_tokens(&test_app, &key, "openid").await;
    test_app.advance(61);
    assert_eq!(own().await.status, 200);
}
