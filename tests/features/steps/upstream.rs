//! Accounts at the school and at the club.

use std::sync::Arc;

use cucumber::{given, then, when};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{
    oidc::Client,
    page::Page,
    upstream::{Fault, Upstream},
};

use super::{CALLBACK, CLIENT, World};

/// The account of an address, there.
fn account(address: &str) -> Value {
    json!({"sub": format!("account of {address}"), "email": address, "email_verified": true, "name": "Ann"})
}

/// From the sign-in page of `device` to the provider; notes what is brought back.
async fn set_out(world: &mut World, device: &str, name: &str, person: &Value) {
    let login = world.open(device, "/login").await;
    set_out_from(world, device, &login, name, person).await;
}

async fn set_out_from(world: &mut World, device: &str, page: &Page, name: &str, person: &Value) {
    let page = world
        .device(device)
        .submit(page, &format!("upstream-{name}"), &[])
        .await;
    let back = world.elsewhere.of(name).visit_as(&page, person).await;
    world.backs.insert(device.to_owned(), back);
}

/// Brings what `from` was given to the service on `device`.
async fn bring(world: &mut World, device: &str, from: &str) {
    let url = world
        .backs
        .get(from)
        .unwrap_or_else(|| panic!("the {from} did not set out"))
        .url();
    let answer = world.device(device).open(&url).await;
    let page = world.device(device).settle(answer).await;
    world.show(device, page);
}

#[when(expr = "the person comes with the {word} on the {word}")]
#[given(expr = "the person came with the {word} on the {word}")]
async fn comes(world: &mut World, name: String, device: String) {
    let person = account(&world.address);
    set_out(world, &device, &name, &person).await;
    bring(world, &device, &device).await;
}

#[when(expr = "the person sets out for the {word} on the {word}")]
async fn sets_out(world: &mut World, name: String, device: String) {
    let person = account(&world.address);
    set_out(world, &device, &name, &person).await;
}

#[when(expr = "the person tries to set out for the {word} on the {word}")]
async fn tries(world: &mut World, name: String, device: String) {
    let login = world.open(&device, "/login").await;
    let page = world
        .device(&device)
        .submit(&login, &format!("upstream-{name}"), &[])
        .await;
    world.show(&device, page);
}

#[when(expr = "a thief comes with the {word} and the person's address on the {word}")]
async fn thief(world: &mut World, name: String, device: String) {
    let person = json!({"sub": "mallory", "email": world.address, "email_verified": true});
    set_out(world, &device, &name, &person).await;
    bring(world, &device, &device).await;
}

#[given("another person came with the school before")]
async fn other_person_came(world: &mut World) {
    let person = account(&world.other("earlier"));
    set_out(world, "elsewhere", "school", &person).await;
    bring(world, "elsewhere", "elsewhere").await;
    assert!(
        world.account("elsewhere").await.is_some(),
        "{}",
        world.page_error()
    );
}

#[then(expr = "the {word} is asked for an address, with the person's in it")]
fn asked_for_address(world: &mut World, device: String) {
    let page = world.page(&device);
    let shown = page.attribute("form#sign-in input[name=email]", "value");
    assert_eq!(
        shown.as_deref(),
        Some(world.address.as_str()),
        "{}",
        page.summary()
    );
}

#[when(expr = "the address is sent from there on the {word}")]
async fn send_address(world: &mut World, device: String) {
    let (page, address) = (world.page(&device).clone(), world.address.clone());
    let before = world.post.all(&address).await.len();
    let answer = world
        .device(&device)
        .submit(&page, "sign-in", &[("email", &address)])
        .await;
    let waiting = world.device(&device).settle(answer).await;
    assert!(
        waiting.has("form#code"),
        "the waiting page: {}",
        waiting.summary()
    );
    world.waiting.insert(device.clone(), waiting.clone());
    world.show(&device, waiting);
    world.mails(before + 1).await;
}

#[given(expr = "the person came with the {word} on the {word} and proved the address")]
async fn came_and_proved(world: &mut World, name: String, device: String) {
    comes(world, name, device.clone()).await;
    send_address(world, device.clone()).await;
    let link = world.newest(&world.address).await.link();
    let page = world.use_link(&device, &link).await;
    world.show(&device, page);
    assert!(
        world.account(&device).await.is_some(),
        "{}",
        world.page_error()
    );
}

#[then(expr = "the {word} is asked whether to connect the {word}")]
fn asked_to_connect(world: &mut World, device: String, name: String) {
    let page = world.page(&device);
    assert!(page.has("form#identity"), "{}", page.summary());
    assert!(
        page.text().contains(&format!("The {name}")) && page.text().contains(&world.address),
        "{}",
        page.summary()
    );
}

#[when(expr = "the {word} answers {word}")]
async fn answers(world: &mut World, device: String, answer: String) {
    let page = world.page(&device).clone();
    let done = world
        .device(&device)
        .submit(&page, "identity", &[("decision", &answer)])
        .await;
    let page = world.device(&device).settle(done).await;
    world.show(&device, page);
}

#[when(expr = "the person goes on with the {word} there")]
async fn goes_on(world: &mut World, name: String) {
    let (page, person) = (world.page("laptop").clone(), account(&world.address));
    set_out_from(world, "laptop", &page, &name, &person).await;
    bring(world, "laptop", "laptop").await;
}

#[when(expr = "the person declines at the {word} there")]
async fn declines(world: &mut World, name: String) {
    let (page, person) = (world.page("laptop").clone(), account(&world.address));
    set_out_from(world, "laptop", &page, &name, &person).await;
    let back = world.backs.remove("laptop").expect("an answer");
    world.backs.insert(
        "laptop".to_owned(),
        back.without("code").with("error", "access_denied"),
    );
    bring(world, "laptop", "laptop").await;
}

#[then(expr = "the {word} is back at the sign-in page with a word about it")]
fn notice(world: &mut World, device: String) {
    let page = world.page(&device);
    assert!(
        page.status.is_success() && page.has("form#sign-in") && page.has("#notice"),
        "{}",
        page.summary()
    );
}

#[when(expr = "the school's answer is brought again on the {word}")]
async fn again(world: &mut World, device: String) {
    bring(world, &device, &device).await;
}

#[when(expr = "the school's answer to the {word} is brought on the {word}")]
async fn stolen(world: &mut World, from: String, device: String) {
    world.open(&device, "/login").await;
    bring(world, &device, &from).await;
}

#[when("a scanner asks for the school's answer by HEAD")]
async fn preview(world: &mut World) {
    let url = world.backs["laptop"].url();
    let page = world
        .device("laptop")
        .clone()
        .bare(Method::HEAD, &url)
        .await;
    assert_eq!(page.status, 405);
}

#[then(expr = "the {word} is asked to start again")]
fn start_again(world: &mut World, device: String) {
    let page = world.page(&device);
    assert_eq!(page.status, 400, "{}", page.summary());
    assert!(
        page.text().contains("Start over") && page.has("a[href^='/login']"),
        "{}",
        page.summary()
    );
}

#[then(expr = "the {word} sees that the school's answer cannot be trusted")]
fn not_trusted(world: &mut World, device: String) {
    let page = world.page(&device);
    assert_eq!(page.status, 502, "{}", page.summary());
    assert!(
        page.text().contains("The school") && page.has("a[href^='/login']"),
        "{}",
        page.summary()
    );
}

#[then(expr = "the {word} sees that the school cannot be reached")]
fn not_reached(world: &mut World, device: String) {
    let page = world.page(&device);
    assert_eq!(page.status, 503, "{}", page.summary());
    assert!(
        page.text().contains("with email") && page.header("retry-after").is_some(),
        "{}",
        page.summary()
    );
}

#[given("a service with a school of its own")]
async fn own_school(world: &mut World) {
    world.elsewhere.school = Arc::new(Upstream::start().await);
    world.own_service(|options| options).await;
}

/// Away from the start: what was read before serves while it is away.
#[given("a service whose school is away")]
async fn away(world: &mut World) {
    world.elsewhere.school = Arc::new(Upstream::start().await);
    world.elsewhere.school.go_down();
    world.own_service(|options| options).await;
}

#[when("the school changes its keys")]
fn new_keys(world: &mut World) {
    world.elsewhere.school.rotate();
}

#[given(expr = "the school's tokens say another application")]
fn other_audience(world: &mut World) {
    world
        .elsewhere
        .school
        .inject(Fault::claim("aud", json!("another application")));
}

#[given(expr = "the school's tokens say another issuer")]
fn other_issuer(world: &mut World) {
    world
        .elsewhere
        .school
        .inject(Fault::claim("iss", json!("https://accounts.google.com")));
}

#[given(expr = "the school's tokens say that they have ended")]
fn ended(world: &mut World) {
    world.elsewhere.school.inject(Fault::claims(|claims| {
        claims["exp"] = (claims["iat"].as_i64().unwrap() - 3600).into()
    }));
}

#[given(expr = "the school's tokens say another attempt")]
fn other_nonce(world: &mut World) {
    world
        .elsewhere
        .school
        .inject(Fault::claim("nonce", json!("A".repeat(43))));
}

#[given(expr = "the school's tokens say an unknown key")]
fn unknown_key(world: &mut World) {
    world
        .elsewhere
        .school
        .inject(Fault::header("kid", json!("unknown")));
}

#[then("an email says that an account elsewhere is now connected")]
async fn told_of_connection(world: &mut World) {
    let said = world.post.all(&world.address).await;
    assert!(
        said.iter()
            .any(|mail| mail.text.contains("is now connected to your account")),
        "{} mails",
        said.len()
    );
}

/// What the app says to an endpoint of the provider's API.
async fn of_app(world: &World, name: &str, step: &str, body: &Value) -> (u16, Value) {
    let url = world
        .service
        .at(&format!("/api/v1/auth/oidc/{name}/{step}"));
    let answer = testkit::browser::client()
        .post(url)
        .json(body)
        .send()
        .await
        .expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

fn app(world: &World) -> &Client {
    world.client.as_ref().expect("an app")
}

#[when(expr = "the app begins a sign-in with the {word}")]
async fn app_begins(world: &mut World, name: String) {
    let app = Client::new(&world.service.url, CLIENT, CALLBACK);
    let body = json!({
        "client_id": CLIENT, "redirect_uri": CALLBACK, "state": app.state,
        "code_challenge": app.challenge(), "code_challenge_method": "S256",
    });
    world.answer = of_app(world, &name, "start", &body).await;
    assert_eq!(world.answer.0, 200, "{}", world.answer.1);
    world.client = Some(app);
}

#[when(expr = "the person signs in at the {word} in the {word}'s browser for it")]
async fn signs_in_for_app(world: &mut World, name: String, device: String) {
    let to = world.answer.1["authorization_url"]
        .as_str()
        .expect("an address")
        .parse()
        .expect("a URL");
    let back = world
        .elsewhere
        .of(&name)
        .authorize_as(&to, &account(&world.address))
        .await;
    world.backs.insert(device.clone(), back);
    bring(world, &device, &device).await;
}

#[then(expr = "the {word} leads on to the app by a press")]
fn leads_to_app(world: &mut World, device: String) {
    let page = world.page(&device);
    let to = page
        .attribute("a#continue", "href")
        .unwrap_or_else(|| panic!("{}", page.summary()));
    let to: url::Url = to.parse().expect("a URL");
    let get = |name: &str| {
        to.query_pairs()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.into_owned())
    };
    assert!(to.as_str().starts_with(CALLBACK), "{}", page.summary());
    assert_eq!(get("state").as_ref(), Some(&app(world).state));
    world.code = get("code").expect("a code");
}

async fn redeem(world: &World, name: &str) -> (u16, Value) {
    let body = json!({"code": world.code, "code_verifier": app(world).verifier, "scope": "openid"});
    of_app(world, name, "callback", &body).await
}

#[then(expr = "the app redeems its code at the {word} for tokens that verify")]
async fn app_redeems(world: &mut World, name: String) {
    let (status, body) = redeem(world, &name).await;
    assert_eq!(status, 200, "{}", body["code"]);
    for token in ["id_token", "access_token"] {
        let verified = app(world)
            .verify(body[token].as_str().expect("a token"))
            .await;
        verified.unwrap_or_else(|why| panic!("{token}: {why}"));
    }
}

#[then("the app's code is worth nothing a second time")]
async fn app_redeems_again(world: &mut World) {
    let (status, body) = redeem(world, "school").await;
    assert_eq!((status, &body["code"]), (400, &json!("invalid_code")));
}
