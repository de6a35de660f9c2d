//! Strangers, scanners, limits.

use cucumber::{given, then, when};
use testkit::page::Page;

use super::{SOON, World};

/// Headers that differ from answer to answer for good reason: random, or the time.
const RANDOM: [&str; 4] = ["date", "set-cookie", "location", "x-request-id"];

#[then("asking for the person and for an unknown address gives the same answer")]
async fn same_answer(world: &mut World) {
    let known = world.address.clone();
    let unknown = known.replacen('s', "u", 1);
    let (one_answer, one_page) = answers(world, "asker-1", &known).await;
    let (two_answer, two_page) = answers(world, "asker-2", &unknown).await;
    assert_eq!(one_answer, two_answer);
    let mask = |page: &Page| {
        mask(
            &page
                .body
                .replace(&known, "ADDRESS")
                .replace(&unknown, "ADDRESS"),
        )
    };
    assert_eq!(one_page.status, two_page.status);
    assert_eq!(mask(&one_page).len(), mask(&two_page).len());
    assert_eq!(mask(&one_page), mask(&two_page));
}

async fn answers(world: &mut World, device: &str, address: &str) -> (Vec<String>, Page) {
    let login = world.open(device, "/login").await;
    let answer = world
        .device(device)
        .submit(&login, "sign-in", &[("email", address)])
        .await;
    let mut shown: Vec<String> = answer
        .headers
        .iter()
        .map(|(name, value)| match name.as_str() {
            name if RANDOM.contains(&name) => name.to_owned(),
            name => format!(
                "{name}: {}",
                mask(&String::from_utf8_lossy(value.as_bytes()))
            ),
        })
        .collect();
    shown.sort();
    shown.push(answer.status.to_string());
    let cookies = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|line| line.len())
        .collect::<Vec<_>>();
    shown.push(format!("cookies of {cookies:?} bytes"));
    (shown, world.device(device).settle(answer).await)
}

/// Puts `…` for each run of 20 or more characters of an id or a token, and for numbers: seconds go by between the two.
fn mask(text: &str) -> String {
    // A nonce is base64 of the other alphabet, which has `/`: cut whole, or paths would be too.
    let mut parts = text.split("nonce");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part
            .char_indices()
            .filter(|(_, c)| "\"'".contains(*c))
            .nth(usize::from(part.starts_with('=')));
        text.push_str(&part[end.map_or(0, |(at, _)| at)..]);
    }
    let mut masked = String::new();
    let mut run = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
            run.push(c);
            continue;
        }
        masked.push_str(if run.len() >= 20 || run.parse::<u64>().is_ok() {
            "…"
        } else {
            &run
        });
        run.clear();
        masked.push(c);
    }
    masked
}

#[given(expr = "the address had {int} emails, asked for by {int} strangers")]
async fn strangers_ask(world: &mut World, mails: usize, strangers: usize) {
    let address = world.address.clone();
    for n in 0..strangers {
        world.ask(&format!("stranger-{n}"), &address).await;
    }
    world.mails(mails).await;
}

#[when("a stranger asks for one more")]
async fn one_more(world: &mut World) {
    let address = world.address.clone();
    let page = world.ask_for("late-stranger", &address).await;
    world.show("late-stranger", page);
}

#[then("the stranger learns that no email goes to this address for now, and when again")]
fn withheld(world: &mut World) {
    let page = world.page("late-stranger");
    assert!(
        page.status.is_success() && page.has("form#code") && page.has("#withheld"),
        "{}",
        page.summary()
    );
    assert!(page.text().contains("minute"), "{}", page.text());
}

#[given(expr = "the {word} signed out")]
async fn signed_out(world: &mut World, device: String) {
    let account = world.account(&device).await.expect("signed in");
    world
        .device(&device)
        .submit(&account, "sign-out", &[])
        .await;
}

#[given("the address's emails were used up by strangers")]
async fn used_up(world: &mut World) {
    let address = world.address.clone();
    for n in 0..7 {
        world.ask(&format!("stranger-{n}"), &address).await;
    }
    // One was that of the laptop's sign-in, and one is from the reserve.
    world.mails(6).await;
    let canary = world.other("canary");
    world.ask("canary", &canary).await;
    world.newest(&canary).await;
    world.before = world.post.all(&world.address).await.len();
}

#[then("one more email arrives")]
async fn one_more_mail(world: &mut World) {
    world.mails(world.before + 1).await;
}

#[given("sign-up is closed now")]
async fn closed(world: &mut World) {
    let service = std::sync::Arc::get_mut(&mut world.service).expect("a service of its own");
    service
        .restart(&[("magic_link.sign_up", "\"closed\"")])
        .await;
}

#[when("an email to a stranger was asked for, and one to the person after it")]
async fn stranger_then_person(world: &mut World) {
    let (stranger, person) = (world.other("stranger"), world.address.clone());
    world.before = world.post.all(&person).await.len();
    world.ask("visitor", &stranger).await;
    world.ask("laptop", &person).await;
}

#[then("the person's email arrives and the stranger's does not")]
async fn only_the_person(world: &mut World) {
    let found = world
        .post
        .wait(&world.address, world.before + 1, SOON)
        .await;
    found.unwrap_or_else(|why| panic!("{why}\n{}", world.page_error()));
    assert_eq!(world.post.all(&world.other("stranger")).await.len(), 0);
}

#[then("a service without trusted proxies counts all askers as one, whatever they claim")]
async fn forged_header(world: &mut World) {
    world
        .own_service(|options| {
            options
                .set("server.trusted_proxies", "[]")
                .set("limits.network", "[{ count = 3, seconds = 600 }]")
        })
        .await;
    for n in 0..3 {
        let address = world.other(&format!("a{n}"));
        world.ask(&format!("asker-{n}"), &address).await;
    }
    // Another address, another claimed network: the same socket.
    let address = world.other("a3");
    let page = world.ask_for("asker-3", &address).await;
    assert_eq!(page.status.as_u16(), 429, "{}", page.summary());
}

#[when(regex = r#"^"(.*)" is given as the address on the (\w+)$"#)]
async fn bad_address(world: &mut World, text: String, device: String) {
    let page = world.ask_for(&device, &text).await;
    world.show(&device, page);
}
