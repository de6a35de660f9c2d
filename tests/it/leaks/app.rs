//! Walks of a first-party app through the JSON API.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{WRONG_VERIFIER, collected::Loot};
use crate::service::{CLIENT, Stage, fresh_network, token_of};

/// A first-party app: flow, verifier and mail, not used yet.
pub(super) struct AppFlow {
    pub(super) flow: String,
    pub(super) verifier: String,
    pub(super) link: String,
    pub(super) code: String,
}

pub(super) async fn begin_app(stage: &Stage, loot: &mut Loot, address: &str) -> AppFlow {
    let verifier = format!("v{}", "abcdefghijklmnopqrstuvwxyz0123456789".repeat(2))
        + &token_of(address).replace('@', "-");
    let challenge = URL_SAFE_NO_PAD.encode(ring_digest(verifier.as_bytes()));
    let body = json!({"client_id": CLIENT, "email": address, "code_challenge": challenge, "code_challenge_method": "S256"});
    let (status, begun) = api(stage, "request", &body).await;
    assert_eq!(status, 202, "{begun}");
    let mail = stage.mail(address, 1).await;
    loot.note("verifier", &verifier);
    loot.note("code", &mail.code());
    loot.note("link", &token_of(&mail.link()));
    let flow = begun["flow_id"].as_str().unwrap().to_owned();
    AppFlow {
        flow,
        verifier,
        link: token_of(&mail.link()),
        code: mail.code(),
    }
}

pub(super) fn ring_digest(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes)
        .as_ref()
        .to_vec()
}

pub(super) async fn api(stage: &Stage, action: &str, body: &Value) -> (u16, Value) {
    let url = stage
        .service
        .at(&format!("/api/v1/auth/magic-link/{action}"));
    let request = testkit::browser::client()
        .post(url)
        .header("x-forwarded-for", fresh_network().to_string());
    let answer = request.json(body).send().await.unwrap();
    (
        answer.status().as_u16(),
        answer.json().await.unwrap_or_default(),
    )
}

pub(super) async fn by_api(stage: &Stage, loot: &mut Loot, address: &str) {
    let app = begin_app(stage, loot, address).await;
    let consume = |verifier: &str, code: &str| json!({"flow_id": app.flow, "code_verifier": verifier, "code": code, "scope": "openid email"});
    for (what, body) in [
        (
            "an app's code with another verifier",
            consume(WRONG_VERIFIER, &app.code),
        ),
        (
            "an app's code that is longer",
            consume(&app.verifier, &format!("{}1", app.code)),
        ),
        (
            "an app's code with a field too many",
            json!({"flow_id": app.flow, "code_verifier": app.verifier, "code": app.code, "more": app.link}),
        ),
        (
            "an app's code of a wrong type",
            json!({"flow_id": app.flow, "code_verifier": [app.verifier], "code": app.code}),
        ),
        (
            "an app's long link",
            json!({"flow_id": app.flow, "code_verifier": app.verifier, "link_token": app.link.repeat(3)}),
        ),
    ] {
        let (status, answer) = api(stage, "consume", &body).await;
        loot.error(what, status, &answer.to_string());
    }
    let (status, tokens) = api(stage, "consume", &consume(&app.verifier, &app.code)).await;
    assert_eq!(status, 200, "{tokens}");
    loot.note("access token", tokens["access_token"].as_str().unwrap());
    loot.note("ID token", tokens["id_token"].as_str().unwrap());
    let (status, answer) = api(stage, "consume", &consume(&app.verifier, &app.code)).await;
    loot.error("an app's second use", status, &answer.to_string());
}
