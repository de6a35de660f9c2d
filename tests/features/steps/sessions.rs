//! The account page.

use cucumber::{then, when};
use reqwest::Method;
use testkit::browser::Cookie;

use super::World;

#[when(expr = "the person signs out on the {word}")]
async fn sign_out(world: &mut World, device: String) {
    press(world, &device, "sign-out").await;
}

#[when(expr = "the person signs out everywhere on the {word}")]
async fn sign_out_everywhere(world: &mut World, device: String) {
    press(world, &device, "sign-out-everywhere").await;
}

async fn press(world: &mut World, device: &str, form: &str) {
    let account = world.account(device).await.expect("signed in");
    let answer = world.device(device).submit(&account, form, &[]).await;
    assert!(
        answer.status.is_redirection() || answer.status.is_success(),
        "{}",
        answer.summary()
    );
    let page = world.device(device).settle(answer).await;
    world.show(device, page);
}

#[then(expr = "the account shows {int} session(s)")]
async fn count(world: &mut World, sessions: usize) {
    let account = world.account("laptop").await.expect("signed in");
    assert_eq!(
        account.forms("form.end-session").len() + 1,
        sessions,
        "{}",
        account.summary()
    );
}

#[when(expr = "the other session is ended on the {word}")]
async fn end_other(world: &mut World, device: String) {
    let account = world.account(&device).await.expect("signed in");
    let form = account
        .forms("form.end-session")
        .into_iter()
        .next()
        .expect("another session");
    let answer = world.device(&device).send_form(&account, &form, &[]).await;
    assert!(
        answer.status.is_redirection() || answer.status.is_success(),
        "{}",
        answer.summary()
    );
}

#[then(expr = "the cookies of the {word} are HttpOnly, SameSite=Lax and for the whole site")]
fn cookies(world: &mut World, device: String) {
    for name in ["sid", "dev"] {
        let Cookie { line, .. } = world
            .device(&device)
            .cookie(name)
            .unwrap_or_else(|| panic!("no {name}"))
            .clone();
        let line = line.to_ascii_lowercase();
        for part in ["httponly", "samesite=lax", "path=/"] {
            assert!(
                line.split(';').any(|one| one.trim() == part),
                "{name} has no {part}"
            );
        }
        assert!(!line.contains("domain="), "{name} has a domain");
    }
}

#[when(expr = "the sign-out form is sent from a page of another site on the {word}")]
async fn forged_sign_out(world: &mut World, device: String) {
    let account = world.account(&device).await.expect("signed in");
    let form = account.form("sign-out");
    world
        .device(&device)
        .forged(&form.action, &form.fields)
        .await;
}

#[then("a request with two session cookies is refused")]
async fn two_cookies(world: &mut World) {
    let mut browser = world.device("laptop").clone();
    let (name, value) = browser.raw_cookie("sid").expect("signed in");
    browser.smuggle(&format!("{name}={value}; {name}=x"));
    let page = browser
        .bare(Method::GET, &world.service.at("/account"))
        .await;
    assert_eq!(page.status.as_u16(), 400, "{}", page.summary());
}

#[when("the service is restarted")]
async fn restart(world: &mut World) {
    let service = std::sync::Arc::get_mut(&mut world.service).expect("a service of its own");
    service.restart(&[]).await;
}
