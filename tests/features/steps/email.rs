//! What an email looks like, and mail servers that misbehave.

use std::time::Duration;

use cucumber::{given, then, when};
use testkit::mail::Fault;

use super::World;

#[then(expr = "the email has text and HTML, is under {int} KB and fetches nothing")]
async fn whole(world: &mut World, most: usize) {
    let mail = world.newest(&world.address).await;
    assert!(
        !mail.text.trim().is_empty() && !mail.html.trim().is_empty(),
        "{:?}",
        mail.headers
    );
    assert!(mail.size < most * 1024, "{} bytes", mail.size);
    let html = mail.html.to_ascii_lowercase();
    for part in ["<img", "<script", "<link", "<iframe", "@import", "url("] {
        assert!(!html.contains(part), "the mail has {part}");
    }
    let host = url::Url::parse(&world.service.url).unwrap();
    for link in mail.links() {
        let link = url::Url::parse(&link).unwrap();
        assert_eq!(
            (link.host(), link.port()),
            (host.host(), host.port()),
            "one host in the mail"
        );
    }
    assert_eq!(mail.header("auto-submitted"), Some("auto-generated"));
    assert!(
        mail.header("message-id")
            .is_some_and(|id| id.ends_with("@idp.example.test>") || id.contains('@'))
    );
}

#[then("the subject does not hold the code")]
async fn subject(world: &mut World) {
    let mail = world.newest(&world.address).await;
    let digits: String = mail.subject.chars().filter(char::is_ascii_digit).collect();
    assert!(!digits.contains(&mail.code()), "{}", mail.subject);
}

#[then("the email names the only site to type the code at")]
async fn site(world: &mut World) {
    let mail = world.newest(&world.address).await;
    let host = world.service.url.trim_start_matches("http://");
    let lines = mail
        .text
        .lines()
        .filter(|line| !line.contains("/login/link/"));
    assert!(
        lines
            .clone()
            .any(|line| line.contains(host.split(':').next().unwrap())),
        "{}",
        mail.text
    );
}

#[given(expr = "the {word} speaks {string}")]
fn speaks(world: &mut World, device: String, language: String) {
    world.device(&device).language = language;
}

#[then("the email is written in French")]
async fn french(world: &mut World) {
    let mail = world.newest(&world.address).await;
    assert!(
        mail.html.contains("lang=\"fr"),
        "{}",
        mail.html.get(..300).unwrap_or(&mail.html)
    );
    assert!(
        mail.text.contains("Ouvrez") && !mail.text.contains("Open this"),
        "{}",
        mail.text
    );
}

#[given(expr = "the mail server says {string} to this address")]
fn fault(world: &mut World, what: String) {
    let fault = match what.as_str() {
        "later" => Fault::Later,
        "never" => Fault::Refuse,
        "drop in data" => Fault::DropInData,
        "drop after data" => Fault::DropAfterData,
        other => panic!("no fault called {other}"),
    };
    world.post.fault(&world.address, Some(fault)).unwrap();
}

#[then(expr = "the mail server was tried once")]
#[when(expr = "the mail server was tried once")]
async fn tried_once(world: &mut World) {
    let tried = || async { Some(world.post.attempts(&world.address)).filter(|tries| *tries > 0) };
    let tries = testkit::until("a try", super::SOON, tried)
        .await
        .unwrap_or_else(|why| panic!("{why}\n{}", world.page_error()));
    assert_eq!(tries, 1);
}

#[when("the mail server takes email again")]
fn recovered(world: &mut World) {
    world.post.fault(&world.address, None).unwrap();
}

#[when("the mail server takes email again after the first email")]
async fn recovered_after_first(world: &mut World) {
    let first = world
        .post
        .wait(&world.address, 1, Duration::from_secs(20))
        .await;
    first.unwrap_or_else(|why| panic!("{why}\n{}", world.page_error()));
    world.post.fault(&world.address, None).unwrap();
}
