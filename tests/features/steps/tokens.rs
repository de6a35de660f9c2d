//! An application that signs people in.

use cucumber::{then, when};
use serde_json::Value;
use testkit::{mail::Mail, oidc::Client};

use super::{AUDIENCE, CALLBACK, CLIENT, World};

#[when(expr = "the application sends the {word} to sign in")]
async fn authorize(world: &mut World, device: String) {
    send(world, &device, CALLBACK).await;
}

#[when(expr = "the application sends the {word} to sign in, to be answered at {string}")]
async fn authorize_to(world: &mut World, device: String, address: String) {
    send(world, &device, &address).await;
}

async fn send(world: &mut World, device: &str, redirect_uri: &str) {
    let client = Client::new(&world.service.url, CLIENT, redirect_uri);
    let url = client.authorize_url("openid email profile").await;
    let page = world.device(device).open(url.as_str()).await;
    let page = world.device(device).settle(page).await;
    world.client = Some(client);
    world.show(device, page);
}

#[when("the person asks for an email there and uses its link")]
async fn by_link(world: &mut World) {
    let link = ask_there(world).await.link();
    let page = world.use_link("laptop", &link).await;
    world.show("laptop", page);
}

#[when("the person asks for an email there and types its code")]
async fn by_code(world: &mut World) {
    let code = ask_there(world).await.code();
    let page = world.type_code("laptop", &code).await;
    world.show("laptop", page);
}

/// Asks on the page that the application led to, so that the sign-in belongs to it. Returns the email that this brings.
async fn ask_there(world: &mut World) -> Mail {
    let earlier = world.post.all(&world.address).await.len();
    let (login, address) = (world.page("laptop").clone(), world.address.clone());
    let response = world
        .device("laptop")
        .submit(&login, "sign-in", &[("email", &address)])
        .await;
    let waiting = world.device("laptop").settle(response).await;
    assert!(
        waiting.has("form#code"),
        "the waiting page: {}",
        waiting.summary()
    );
    world.waiting.insert("laptop".to_owned(), waiting);
    world.mails(earlier + 1).await.pop().expect("an email")
}

#[then(expr = "the {word} is back at the application with a code")]
fn is_back_with_code(world: &mut World, device: String) {
    world.code = client(world).code(world.page(&device));
}

#[then("the application gets an ID token and an access token that verify")]
async fn tokens(world: &mut World) {
    exchange(world).await;
}

/// Exchanges the code and checks everything that the standards say about the response. Returns the claims of
/// both tokens.
async fn exchange(world: &mut World) -> (Value, Value) {
    let client = client(world).clone();
    let (status, body) = client.exchange(&world.code, &client.verifier).await;
    assert_eq!(
        status, 200,
        "error {} {}",
        body["error"], body["error_description"]
    );
    assert!(
        body["token_type"]
            .as_str()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"))
    );
    assert!(
        body["expires_in"]
            .as_u64()
            .is_some_and(|seconds| (1..=3600).contains(&seconds))
    );
    let id = client
        .verify(body["id_token"].as_str().expect("an ID token"))
        .await
        .expect("an ID token that verifies");
    let access = client
        .verify(body["access_token"].as_str().expect("an access token"))
        .await
        .expect("one that verifies");
    // OpenID Connect Core §3.1.3.7 and RFC 9068 §2.
    assert_eq!(
        (&id.claims["aud"], &id.claims["nonce"]),
        (&CLIENT.into(), &client.nonce.clone().into())
    );
    assert_eq!(
        (&access.header["typ"], &access.claims["aud"]),
        (&"at+jwt".into(), &AUDIENCE.into())
    );
    assert_eq!(
        (&access.claims["client_id"], &access.claims["sub"]),
        (&CLIENT.into(), &id.claims["sub"])
    );
    assert!(
        access.claims["jti"]
            .as_str()
            .is_some_and(|jti| jti.len() >= 16)
    );
    world
        .subjects
        .push(id.claims["sub"].as_str().expect("a subject").to_owned());
    world.presses.clear();
    (id.claims, access.claims)
}

#[then("the tokens say that a mailed secret was used")]
async fn tokens_show_email_method(world: &mut World) {
    // The code is spent: a second sign-in through the same browser returns fresh tokens of the same session.
    send(world, "laptop", CALLBACK).await;
    is_back_with_code(world, "laptop".to_owned());
    let (id, access) = exchange(world).await;
    for claims in [id, access] {
        assert_eq!(claims["acr"], "urn:entree:acr:email");
        assert_eq!(claims["amr"], serde_json::json!(["otp"]));
        assert!(claims["auth_time"].as_u64().is_some());
    }
}

#[when("the application exchanges the code")]
async fn exchanges(world: &mut World) {
    is_back_with_code(world, "laptop".to_owned());
    exchange(world).await;
}

#[then(expr = "exchanging it again is refused as {string}")]
async fn again(world: &mut World, error: String) {
    let verifier = client(world).verifier.clone();
    refused(world, &verifier, &error).await;
}

#[then(expr = "exchanging the code with another verifier is refused as {string}")]
async fn other_verifier(world: &mut World, error: String) {
    is_back_with_code(world, "laptop".to_owned());
    refused(world, &"v".repeat(64), &error).await;
}

async fn refused(world: &World, verifier: &str, error: &str) {
    let (status, body) = client(world).exchange(&world.code, verifier).await;
    assert_eq!((status, &body["error"]), (400, &error.into()));
}

#[then(expr = "the {word} sees an error page and is sent nowhere")]
fn is_not_redirected(world: &mut World, device: String) {
    let page = world.page(&device);
    assert!(page.status.is_client_error(), "{}", page.summary());
    assert!(
        page.location().is_none() && page.refresh().is_none() && page.header("location").is_none()
    );
}

#[when(expr = "the application signs the person in on the {word}")]
async fn full_sign_in(world: &mut World, device: String) {
    let address = world.address.clone();
    world.sign_in(&device, &address).await;
    send(world, &device, CALLBACK).await;
    is_back_with_code(world, device);
    exchange(world).await;
}

#[then("both tokens name the same subject")]
fn same_subject(world: &mut World) {
    assert_eq!(world.subjects.len(), 2);
    assert_eq!(world.subjects[0], world.subjects[1]);
}

fn client(world: &World) -> &Client {
    world.client.as_ref().expect("an application")
}
