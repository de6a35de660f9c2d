//! Stored values that are sent back as links, codes, verifiers and cookies.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use testkit::browser::Browser;

use super::{
    app::{AppFlow, api, begin_app},
    canary::{Place, hex},
    collected::Loot,
    person::unspent_code,
    stores::{dump, dump_redis},
};
use crate::service::{CALLBACK, CLIENT, Stage, fresh_network};

/// How a stored value could be sent: as it reads, or as the text that its bytes are the value of.
fn readings(value: &[u8]) -> Vec<String> {
    let forms = match std::str::from_utf8(value) {
        Ok(text) => vec![text.to_owned()],
        Err(_) => vec![
            URL_SAFE_NO_PAD.encode(value),
            String::from_utf8_lossy(&hex(value)).into_owned(),
        ],
    };
    // Neither yes nor a page of JSON is a secret.
    forms
        .into_iter()
        .filter(|form| (6..=300).contains(&form.len()))
        .collect()
}

async fn opens_nothing(stage: &Stage, app: &AppFlow, waiting: &str, value: &str) {
    let link = json!({"flow_id": app.flow, "code_verifier": app.verifier, "link_token": value});
    assert_ne!(
        api(stage, "consume", &link).await.0,
        200,
        "a stored value is a link"
    );
    let code = json!({"flow_id": app.flow, "code_verifier": app.verifier, "code": value});
    assert_ne!(
        api(stage, "consume", &code).await.0,
        200,
        "a stored value is a code"
    );
    let verifier = json!({"flow_id": app.flow, "code_verifier": value, "code": app.code});
    assert_ne!(
        api(stage, "consume", &verifier).await.0,
        200,
        "a stored value is a verifier"
    );
    if value
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b";,\"\\".contains(&b))
    {
        let mut thief = Browser::new(fresh_network());
        let port = stage.service.url.rsplit_once(':').unwrap().1;
        thief.smuggle(&format!("sid-{port}={value}"));
        assert!(
            !thief
                .open(&stage.service.at("/account"))
                .await
                .has("form#sign-out"),
            "a stored value is a session"
        );
        thief.smuggle(&format!("pre-{port}={value}"));
        assert!(
            !thief.open(waiting).await.has("form#code"),
            "a stored value is a browser"
        );
    }
}

/// No stored value is an authorization code. A code lives for a minute, so only the values that
/// its issue adds to the stores are tried, and the right code after them.
async fn exchanges_nothing(stage: &Stage, loot: &mut Loot, signed_in: &Browser) {
    let before = stored_values(stage).await;
    let (code, verifier) = unspent_code(stage, loot, &mut signed_in.clone()).await;
    let added: Vec<String> = stored_values(stage)
        .await
        .difference(&before)
        .cloned()
        .collect();
    let exchange = async |code: &str| {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", CLIENT),
            ("redirect_uri", CALLBACK),
            ("code", code),
            ("code_verifier", &verifier),
        ];
        let answer = testkit::browser::client()
            .post(stage.service.at("/oauth2/token"))
            .form(&form)
            .send()
            .await;
        answer.unwrap().status().as_u16()
    };
    for value in &added {
        assert_ne!(
            exchange(value).await,
            200,
            "a stored value is an authorization code"
        );
    }
    assert_eq!(exchange(&code).await, 200, "the right code still works");
}

/// Every value of the database and, on servers, of Redis, in each form in which it could be sent.
async fn stored_values(stage: &Stage) -> BTreeSet<String> {
    let mut places = dump(&stage.database().await).await;
    if let Some(url) = stage.setting("tickets.url") {
        let redis = dump_redis(&url);
        assert!(!redis.is_empty(), "Redis holds something");
        places.extend(redis);
    }
    places
        .iter()
        .flat_map(|(_, value)| readings(value))
        .collect()
}

/// B3: sends every stored value as a link, a code, a cookie and an authorization code, with the
/// right verifier.
pub(super) async fn feed_back(
    stage: &Stage,
    loot: &mut Loot,
    stored: &[Place],
    signed_in: &Browser,
) {
    exchanges_nothing(stage, loot, signed_in).await;
    let app = begin_app(stage, loot, "canary.stored@example.test").await;
    let mut waiting = Browser::new(fresh_network());
    let page = stage.ask(&mut waiting, "canary.waiting@example.test").await;
    stage.mail("canary.waiting@example.test", 1).await;
    let db = stage.database().await;
    let values: BTreeSet<String> = stored
        .iter()
        .cloned()
        .chain(dump(&db).await)
        .flat_map(|(_, value)| readings(&value))
        .collect();
    let values: Vec<String> = values.into_iter().collect();
    for eight in values.chunks(8) {
        futures_util::future::join_all(
            eight
                .iter()
                .map(|value| opens_nothing(stage, &app, page.url.as_str(), value)),
        )
        .await;
    }
    println!("{} stored values fed back six ways", values.len());
    // The right ones still open: so it was the values.
    assert!(
        signed_in
            .clone()
            .open(&stage.service.at("/account"))
            .await
            .has("form#sign-out")
    );
    assert!(waiting.open(page.url.as_str()).await.has("form#code"));
    let link = json!({"flow_id": app.flow, "code_verifier": app.verifier, "link_token": app.link});
    let (status, answer) = api(stage, "consume", &link).await;
    assert_eq!(status, 200, "{answer}");
}
