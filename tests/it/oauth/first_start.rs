//! The first start of an instance, on an empty database.

use serde_json::Value;
use testkit::{browser, entree::Backend};

use crate::service::Stage;

/// SP-6: an application that reads the key set right after the first start finds every key in it, although
/// the RS256 key is made in the background.
#[tokio::test(flavor = "multi_thread")]
async fn sp_6_the_key_set_waits_for_the_first_rs256_key() {
    for backend in [Backend::Embedded, Backend::Servers] {
        let Some(stage) = Stage::start(backend, |options| options).await else {
            continue;
        };
        let key_set = stage.service.at("/.well-known/jwks.json");
        let response = browser::client().get(key_set).send().await.unwrap();
        let set: Value = response.json().await.unwrap();
        let mut algs: Vec<&str> = set["keys"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|key| key["alg"].as_str())
            .collect();
        algs.sort_unstable();
        assert_eq!(algs, ["ES256", "RS256"], "{set}");
    }
}
