#![allow(clippy::unwrap_used)]

use super::*;

fn stored(request: &str) -> StoredRequest {
    StoredRequest {
        browser: vec![7; 32],
        session: None,
        auth_time: None,
        pending: PendingRequest {
            client_id: "app".to_owned(),
            client_name: "App".to_owned(),
            fresh: false,
            email_only: false,
            login_hint: String::new(),
            ui_locales: String::new(),
            request: request.to_owned(),
            resumed_by: ResumedBy::Protocol,
            origin: None,
            is_unbound: false,
            signed_in_since: false,
        },
    }
}

#[tokio::test]
async fn oc_8_a_request_without_a_cookie_is_taken_up_once_by_its_handle() {
    let keys = crate::secret::MasterKeys::new([7; 32], []);
    let tickets = Tickets::memory(1 << 20, crate::clock::Clock::default(), &keys);
    let browser = Hash::of(b"browser");
    let mut pending = stored(r#"{"state":"s"}"#).pending;
    let bound = store(&tickets, browser, None, &pending).await.unwrap();
    assert!(adopt(&tickets, &bound).await.unwrap().is_none());
    pending.is_unbound = true;
    let handle = store(&tickets, browser, None, &pending).await.unwrap();
    let adopted = adopt(&tickets, &handle).await.unwrap().unwrap();
    assert_eq!(adopted.request, r#"{"state":"s"}"#);
    assert!(adopt(&tickets, &handle).await.unwrap().is_none());
}

#[test]
fn oa_4_a_request_is_stored_once_without_json_in_json() {
    let state = "\"".repeat(4096);
    let request = serde_json::json!({ "state": state }).to_string();
    let bytes = to_bytes(&stored(&request)).unwrap();
    assert!(bytes.len() < 2 * 4096 + 512, "{}", bytes.len());
    let read = from_bytes(&bytes).unwrap();
    assert_eq!(read.pending, stored(&request).pending);
    let older = serde_json::to_vec(&stored(&request)).unwrap();
    assert_eq!(from_bytes(&older).unwrap().pending, read.pending);
    assert!(from_bytes(b"{}").is_none());
}

/// ST-04: a flow whose own claim failed after it had claimed the client's request claims it again, and no other
/// sign-in does.
#[tokio::test]
async fn st_04_a_flow_claims_its_clients_request_again() {
    let keys = crate::secret::MasterKeys::new([7; 32], []);
    let tickets = Tickets::memory(1 << 20, crate::clock::Clock::default(), &keys);
    let browser = Hash::of(b"browser");
    let mut pending = stored("{}").pending;
    let handle = store(&tickets, browser, None, &pending).await.unwrap();
    pending.remember_origin(&handle);
    let (flow, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for _ in 0..2 {
        let claimed = claim_origin_for(&tickets, &pending, flow).await;
        assert!(claimed.unwrap());
    }
    let by_other = claim_origin_for(&tickets, &pending, other).await;
    assert!(!by_other.unwrap());
    assert!(!claim_origin(&tickets, &pending).await.unwrap());
    assert!(!cancel_origin(&tickets, &pending).await.unwrap());
}
