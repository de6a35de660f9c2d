//! Applications that refresh, ask, demand a fresh proof, and act for themselves.

use cucumber::{then, when};
use serde_json::Value;
use testkit::oidc::{Client, check_signature};

use super::{AUDIENCE, CALLBACK, World};

/// What the report proves itself with.
const SECRET: &str = "the-secret-of-the-report-0123456789-abcdefghijk";

/// The applications of these scenarios, as the configuration names them.
pub(crate) fn clients() -> String {
    let client = |id: &str, name: &str, more: &str| {
        format!(
            "\n[[clients]]\nclient_id = \"{id}\"\nname = \"{name}\"\nredirect_uris = [\"{CALLBACK}\"]\naudience = \
             \"{AUDIENCE}\"\n{more}\n"
        )
    };
    let desk = "first_party = true\nscopes = [\"openid\", \"offline_access\"]";
    let kiosk = "first_party = true\nscopes = [\"openid\"]\nrefresh_tokens = \"always\"";
    let report = format!(
        "token_endpoint_auth_method = \"client_secret_basic\"\nclient_secret = \"{SECRET}\"\ngrant_types = \
         [\"client_credentials\"]\nscopes = [\"lessons:read\"]"
    );
    [
        client("desk", "Desk", desk),
        client("kiosk", "Kiosk", kiosk),
        client("choir", "Choir", ""),
    ]
    .concat()
        + &client("report", "Report", &report)
}

/// The claims of a token of ours, whatever the time: the clock of some of these services is ahead.
async fn claims(world: &World, token: &Value) -> Value {
    let jwks = testkit::browser::client()
        .get(world.service.at("/.well-known/jwks.json"))
        .send()
        .await
        .expect("an answer");
    let jwks = jwks.json().await.expect("JSON");
    check_signature(token.as_str().expect("a token"), &jwks)
        .expect("a token that verifies")
        .claims
}

async fn send(world: &mut World, name: &str, device: &str, scope: &str, more: &[(&str, &str)]) {
    let client = Client::new(&world.service.url, name, CALLBACK);
    let mut url = client.authorize_url(scope).await;
    url.query_pairs_mut().extend_pairs(more);
    let page = world.device(device).open(url.as_str()).await;
    let page = world.device(device).settle(page).await;
    world.client = Some(client);
    world.show(device, page);
}

/// What an application posts to the token endpoint.
async fn post(world: &World, form: &[(&str, &str)], secret: Option<(&str, &str)>) -> (u16, Value) {
    let request = testkit::browser::client()
        .post(world.service.at("/oauth2/token"))
        .form(form);
    let request = match secret {
        Some((id, secret)) => request.basic_auth(id, Some(secret)),
        None => request,
    };
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn refresh(world: &World, name: &str, token: &Value) -> (u16, Value) {
    let token = token.as_str().expect("a refresh token");
    post(
        world,
        &[
            ("grant_type", "refresh_token"),
            ("client_id", name),
            ("refresh_token", token),
        ],
        None,
    )
    .await
}

#[when(expr = "the {word} gets its tokens on the {word}")]
async fn tokens(world: &mut World, name: String, device: String) {
    send(world, &name, &device, "openid offline_access", &[]).await;
    let client = world.client.clone().expect("an application");
    world.code = client.code(world.page(&device));
    let (status, body) = client.exchange(&world.code, &client.verifier).await;
    assert_eq!(status, 200, "{}", body["error_description"]);
    assert!(
        body["refresh_token"].is_string(),
        "{name} gets a refresh token"
    );
    world.tokens.insert(name, vec![body]);
}

#[when(expr = "the {word} refreshes")]
#[then(expr = "the {word} refreshes")]
async fn refreshes(world: &mut World, name: String) {
    let last = world.tokens[&name].last().expect("tokens")["refresh_token"].clone();
    let (status, body) = refresh(world, &name, &last).await;
    assert_eq!(
        status, 200,
        "{} {}",
        body["error"], body["error_description"]
    );
    assert_ne!(body["refresh_token"], last, "a token is good once");
    world.tokens.get_mut(&name).expect("tokens").push(body);
}

#[when(expr = "the {word} repeats the refresh, as if the answer had been lost")]
async fn repeats(world: &mut World, name: String) {
    let before = world.tokens[&name]
        .iter()
        .rev()
        .nth(1)
        .expect("a refresh before")["refresh_token"]
        .clone();
    let (status, body) = refresh(world, &name, &before).await;
    assert_eq!(status, 200, "{}", body["error"]);
    world.tokens.get_mut(&name).expect("tokens").push(body);
}

#[then("both answers have the same refresh token")]
fn same_token(world: &mut World) {
    let [.., one, two] = world.tokens["desk"].as_slice() else {
        panic!("two answers")
    };
    assert_eq!(one["refresh_token"], two["refresh_token"]);
}

#[then("the new access token verifies and names the same subject")]
async fn same_subject(world: &mut World) {
    let all = world.tokens["desk"].clone();
    let first = claims(world, &all[0]["access_token"]).await;
    let last = claims(world, &all[all.len() - 1]["access_token"]).await;
    assert_eq!(
        (&first["sub"], &first["auth_time"]),
        (&last["sub"], &last["auth_time"])
    );
    assert_ne!(first["jti"], last["jti"]);
}

#[then(expr = "the {word}'s {word} refresh token is refused as {string}")]
async fn refused(world: &mut World, name: String, which: String, error: String) {
    let all = &world.tokens[&name];
    let body = if which == "first" {
        all.first()
    } else {
        all.last()
    };
    let token = body.expect("tokens")["refresh_token"].clone();
    let (status, body) = refresh(world, &name, &token).await;
    assert_eq!(
        (status, &body["error"]),
        (400, &error.into()),
        "the {which} of the {name}"
    );
}

async fn userinfo(world: &World, token: &Value) -> u16 {
    let request = testkit::browser::client().get(world.service.at("/oauth2/userinfo"));
    request
        .bearer_auth(token.as_str().expect("a token"))
        .send()
        .await
        .expect("an answer")
        .status()
        .as_u16()
}

#[then(expr = "userinfo refuses the {word}'s newest access token")]
async fn no_userinfo(world: &mut World, name: String) {
    let token = &world.tokens[&name].last().expect("tokens")["access_token"];
    assert_eq!(userinfo(world, token).await, 401);
}

#[when(expr = "the choir sends the {word} to sign in for {string}")]
async fn choir(world: &mut World, device: String, scope: String) {
    send(world, "choir", &device, &scope, &[]).await;
}

#[then(expr = "the {word} is asked whether to allow {string}")]
fn asked(world: &mut World, device: String, name: String) {
    let page = world.page(&device);
    assert!(
        page.has("form#consent") && page.text().contains(&name),
        "{}",
        page.summary()
    );
}

async fn decide(world: &mut World, device: &str, decision: &str) {
    let page = world.page(device).clone();
    let answer = world
        .device(device)
        .submit(&page, "consent", &[("decision", decision)])
        .await;
    let page = world.device(device).settle(answer).await;
    world.show(device, page);
}

#[when(expr = "the person allows it on the {word}")]
async fn allow(world: &mut World, device: String) {
    decide(world, &device, "allow").await;
}

#[when(expr = "the person does not allow it on the {word}")]
async fn deny(world: &mut World, device: String) {
    decide(world, &device, "deny").await;
}

#[when(expr = "another person signs in on the {word}")]
async fn other_person_signs_in(world: &mut World, device: String) {
    let other = world.other("singer");
    world.sign_in(&device, &other).await;
}

#[then(expr = "the {word} is back at the application with the error {string}")]
fn back_with(world: &mut World, device: String, error: String) {
    let page = world.page(&device);
    let to = page
        .location()
        .or_else(|| page.refresh())
        .unwrap_or_else(|| panic!("no redirect: {}", page.summary()));
    assert!(to.as_str().starts_with(CALLBACK), "{}", page.summary());
    let get = |name: &str| {
        to.query_pairs()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.into_owned())
    };
    assert_eq!((get("error"), get("code")), (Some(error), None));
    assert_eq!(
        get("state").as_ref(),
        Some(&world.client.as_ref().expect("an application").state)
    );
}

#[when(expr = "the desk demands a proof that is not older than {int} minutes")]
async fn fresh(world: &mut World, minutes: u64) {
    let seconds = (minutes * 60).to_string();
    send(
        world,
        "desk",
        "laptop",
        "openid offline_access",
        &[("max_age", &seconds)],
    )
    .await;
}

#[when("the desk demands a fresh proof without a page")]
async fn fresh_in_silence(world: &mut World) {
    send(
        world,
        "desk",
        "laptop",
        "openid",
        &[("max_age", "0"), ("prompt", "none")],
    )
    .await;
}

#[then(expr = "the {word} is asked to sign in")]
fn asked_to_sign_in(world: &mut World, device: String) {
    let page = world.page(&device);
    assert!(page.has("form#sign-in"), "{}", page.summary());
}

#[then("the new tokens tell of the later proof and the same session")]
async fn later_proof(world: &mut World) {
    let client = world.client.clone().expect("an application");
    let (status, body) = client.exchange(&world.code, &client.verifier).await;
    assert_eq!(status, 200, "{}", body["error_description"]);
    for token in ["id_token", "access_token"] {
        let old = claims(world, &world.tokens["desk"][0][token]).await;
        let new = claims(world, &body[token]).await;
        assert_eq!(
            (&old["sid"], &old["sub"]),
            (&new["sid"], &new["sub"]),
            "{token}"
        );
        let later = new["auth_time"]
            .as_i64()
            .zip(old["auth_time"].as_i64())
            .map(|(new, old)| new - old);
        assert!(
            later.is_some_and(|seconds| seconds >= 1800),
            "{token}: {later:?} s later"
        );
    }
}

#[when(expr = "the report asks for a token of its own for {string}")]
async fn itself(world: &mut World, scope: String) {
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", scope.as_str()),
    ];
    world.answer = post(world, &form, Some(("report", SECRET))).await;
}

#[when(expr = "the {word} asks with the secret {string} for a token of its own for {string}")]
async fn itself_with(world: &mut World, name: String, secret: String, scope: String) {
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("scope", scope.as_str()),
    ];
    let proof = match secret.as_str() {
        "right" => Some((name.as_str(), SECRET)),
        "wrong" => Some((
            name.as_str(),
            "wrong-wrong-wrong-wrong-wrong-wrong-wrong-wrong",
        )),
        _ => None,
    };
    if proof.is_none() {
        form.push(("client_id", &name));
    }
    world.answer = post(world, &form, proof).await;
}

#[then("it gets an access token that verifies and names the report itself")]
async fn own_token(world: &mut World) {
    let (status, body) = world.answer.clone();
    assert_eq!(status, 200, "{}", body["error_description"]);
    let claims = claims(world, &body["access_token"]).await;
    assert_eq!(
        (&claims["sub"], &claims["client_id"]),
        (&"report".into(), &"report".into())
    );
    assert_eq!(
        (&claims["aud"], &claims["scope"]),
        (&AUDIENCE.into(), &"lessons:read".into())
    );
}

#[then("it gets neither an ID token nor a refresh token")]
fn nothing_else(world: &mut World) {
    assert!(world.answer.1["id_token"].is_null() && world.answer.1["refresh_token"].is_null());
}

#[then("userinfo refuses that token")]
async fn userinfo_refuses(world: &mut World) {
    assert_eq!(userinfo(world, &world.answer.1["access_token"]).await, 403);
}

#[then(expr = "it is refused with {int} as {string}")]
fn refused_with(world: &mut World, status: u16, error: String) {
    assert_eq!(
        (world.answer.0, &world.answer.1["error"]),
        (status, &error.into())
    );
    assert!(world.answer.1["access_token"].is_null());
}
