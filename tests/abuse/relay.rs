//! OA-11: only clients that may draw their own form begin sign-ins at the API.

use serde_json::{Value, json};
use testkit::entree::Backend;

use crate::{
    crowd::{Crowd, network, new_login},
    stage::Stage,
};

/// A first-party client of the web alone.
const WEB: &str = "\n[[clients]]\nclient_id = \"web\"\nname = \"Web\"\nredirect_uris = [\"http://127.0.0.1:7777/web\"]\n\
                   audience = \"https://lessons.example.test\"\nfirst_party = true\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_11_a_client_of_the_web_begins_no_sign_in_at_the_api() {
    let change =
        |options: testkit::entree::Options| options.set("api.v2_enabled", "true").tail(WEB);
    let stage = Stage::start(Backend::Embedded, change)
        .await
        .expect("the embedded default");
    let crowd = Crowd::of(&stage);
    for path in ["/api/v1/auth/magic-link/request", "/api/v2/logins"] {
        for client in ["web", "unknown"] {
            let to = format!("{client}@example.test");
            let (status, problem) = crowd.json(network(1), path, &new_login(client, &to)).await;
            assert_eq!(
                (status, &problem["code"]),
                (400, &Value::from("invalid_client")),
                "{problem}"
            );
        }
        let new = new_login(crate::stage::CLIENT, "allowed@example.test");
        let (status, started) = crowd.json(network(1), path, &new).await;
        assert!(matches!(status, 201 | 202), "{status} {started}");
    }
    let start = json!({"client_id": "web", "redirect_uri": "http://127.0.0.1:7777/web", "state": "x",
                       "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256"});
    let (status, problem) = crowd
        .json(network(1), "/api/v1/auth/oidc/any/start", &start)
        .await;
    assert!(matches!(status, 400 | 404), "{status} {problem}");
}
