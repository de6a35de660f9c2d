//! LO-8: the service is killed with SIGKILL between the end of sessions and the notification of their client, and while
//! the client answers. Each session whose end was answered reaches the client, at least once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use testkit::{
    browser::Browser,
    entree::{Backend, Options},
    logout::{LogoutReceiver, ok},
    oidc::Client,
    upstream::http::Pace,
};

use crate::{
    PATIENCE, crashes,
    service::{CALLBACK, CLIENT, Stage, fresh_network},
};

/// How many sessions end before each kill.
const SESSIONS: usize = 3;

/// When a kill comes after the last end, in milliseconds: at once, before an ended session is claimed, and around the
/// claim and the deliveries of one to three seconds later.
const MOMENTS: [u64; 6] = [0, 400, 1000, 1400, 1900, 2500];

/// How long the client takes to answer, so that kills fall between its answer and the record of it.
const ANSWER: Duration = Duration::from_millis(120);

/// Returns how many sessions were named more than once.
fn judge(ended: &BTreeSet<String>, named: &BTreeMap<String, usize>) -> Result<usize, String> {
    let lost: Vec<_> = ended
        .iter()
        .filter(|sid| !named.contains_key(*sid))
        .collect();
    let strange: Vec<_> = named.keys().filter(|sid| !ended.contains(*sid)).collect();
    if lost.is_empty() && strange.is_empty() {
        return Ok(named.values().filter(|count| **count > 1).count());
    }
    Err(format!(
        "lost: {lost:?}; of sessions that did not end: {strange:?}"
    ))
}

/// Signs in at the client by email, and returns the browser with the ID token and its `sid`.
async fn sign_in(stage: &Stage, address: &str) -> (Browser, String, String) {
    let mut browser = Browser::new(fresh_network());
    stage.ask(&mut browser, address).await;
    let link = stage.mail(address, 1).await.link();
    let page = browser.open(&link).await;
    let done = browser.submit(&page, "link", &[]).await;
    browser.settle(done).await;
    let client = Client::new(&stage.service.url, CLIENT, CALLBACK);
    let url = client.authorize_url("openid").await;
    let page = browser.open(url.as_str()).await;
    let code = client.code(&browser.settle(page).await);
    let (status, tokens) = client.exchange(&code, &client.verifier).await;
    assert_eq!(status, 200, "{tokens}\n{}", stage.page_error());
    let id_token = tokens["id_token"].as_str().expect("an ID token").to_owned();
    let claims = client
        .verify(&id_token)
        .await
        .expect("a good ID token")
        .claims;
    let sid = claims["sid"].as_str().expect("a sid").to_owned();
    (browser, id_token, sid)
}

async fn crash(backend: Backend, name: &str) {
    let receiver = LogoutReceiver::start().await;
    receiver.reply_with(|_| ok().at(Pace::After(ANSWER)));
    let uri = receiver.uri(CLIENT);
    let with_address = |options: Options| {
        let line = format!("backchannel_logout_uri = \"{uri}\"\n");
        options.without_limits().tail(&line)
    };
    let Some(mut stage) = Stage::start(backend, with_address).await else {
        return;
    };
    stage.until_keys().await;
    let mut ended = BTreeSet::new();
    for round in 0..crashes() {
        let mut browsers = Vec::new();
        for number in 0..SESSIONS {
            let address = format!("{name}-logout-{round}-{number}@example.test");
            browsers.push(sign_in(&stage, &address).await);
        }
        for (browser, id_token, sid) in &mut browsers {
            let path = format!("/oauth2/logout?id_token_hint={id_token}");
            let answer = browser.open(&stage.service.at(&path)).await;
            assert!(answer.location().is_some(), "{}", answer.summary());
            ended.insert(sid.clone());
        }
        let moment = MOMENTS[round % MOMENTS.len()];
        tokio::time::sleep(Duration::from_millis(moment)).await;
        for copy in &stage.service.copies {
            copy.kill();
        }
        stage.service.restart(&[]).await;
    }
    let named = || {
        let mut named = BTreeMap::new();
        for one in receiver.received() {
            *named.entry(one.sid()).or_insert(0) += 1;
        }
        named
    };
    let all_named = || async { (named().len() >= ended.len()).then_some(()) };
    let _ = testkit::until("every logout token", PATIENCE, all_named).await;
    let doubled = judge(&ended, &named()).unwrap_or_else(|why| panic!("{why}"));
    println!(
        "{name}: {} kills, {} sessions ended, 0 lost, {doubled} named again",
        crashes(),
        ended.len()
    );
    let log = stage.service.log();
    assert!(
        !log.iter().any(|line| line.contains("panicked")),
        "no panic"
    );
}

/// LO-8: SIGKILL between the end and the notification.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lo_8_kill_nine_loses_no_logout_on_the_embedded_default() {
    crash(Backend::Embedded, "embedded").await;
}

/// LO-8: SIGKILL between the end and the notification.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lo_8_kill_nine_loses_no_logout_on_postgres_and_redis() {
    crash(Backend::Servers, "servers").await;
}

#[test]
fn a_lost_session_and_a_strange_one_are_seen() {
    let ended: BTreeSet<String> = ["a", "b"].map(str::to_owned).into();
    let named = |sids: &[(&str, usize)]| {
        let named = sids.iter().map(|(sid, count)| ((*sid).to_owned(), *count));
        named.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(judge(&ended, &named(&[("a", 1), ("b", 2)])), Ok(1));
    assert!(judge(&ended, &named(&[("a", 3)])).is_err());
    assert!(judge(&ended, &named(&[("a", 1), ("b", 1), ("c", 1)])).is_err());
}
