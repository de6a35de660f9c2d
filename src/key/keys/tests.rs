use serde_json::json;

use crate::{
    config::Alg,
    key::{
        Keys,
        tests::{TestApp, kids, masters, open},
    },
};

#[tokio::test]
async fn sp_06_a_first_start_waits_for_no_rsa_key_and_what_needs_one_does() {
    for test_app in TestApp::all().await {
        let keys = Keys::open_for_service(&test_app.db, &masters())
            .await
            .unwrap();
        // The task that makes the other key begins with the next await.
        assert_eq!(kids(&keys).len(), 1);
        keys.sign(Alg::ES256, "JWT", &json!({})).unwrap();
        let early = keys.sign(Alg::RS256, "JWT", &json!({})).unwrap_err();
        assert!(early.is_transient(), "{early}");
        keys.until_complete().await;
        assert_eq!(kids(&keys).len(), 2);
        keys.sign(Alg::RS256, "JWT", &json!({})).unwrap();
        let second_start = open(&test_app.db).await;
        assert_eq!(kids(&second_start), kids(&keys), "it makes no key");
    }
}
