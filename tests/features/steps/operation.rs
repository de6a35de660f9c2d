//! Steps for the work of operators, and for failures.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use cucumber::{given, then, when};
use testkit::{
    services::{Postgres, Redis},
    wire::{Mode, Wire},
};

use super::{SOON, World};

/// A resource of the second API, asked without any proof: with the API open it answers, and not with 404.
const SECOND_API: &str = "/api/v2/logins";

#[given("a service of its own")]
async fn own(world: &mut World) {
    world.own_service(|options| options).await;
}

#[given("a service of its own that logs everything")]
async fn own_loud(world: &mut World) {
    world
        .own_service(|options| options.set("telemetry.level", "\"trace\""))
        .await;
}

#[given("a service whose mail server is away")]
async fn no_mail(world: &mut World) {
    let wire = Wire::start().await;
    wire.aim(vec![world.stage.smtp]);
    wire.set(Mode::Refuse);
    let port = wire.address().port().to_string();
    world
        .own_service(|options| options.set("mail.port", &port))
        .await;
    world.wire = Some(wire);
}

#[when("the mail server is back")]
fn mail_back(world: &mut World) {
    world.wire.as_ref().expect("a wire").set(Mode::Ok);
}

#[then(expr = "the answer took less than {int} seconds")]
fn quick(world: &mut World, seconds: u64) {
    assert!(
        world.took < Duration::from_secs(seconds),
        "{:?}",
        world.took
    );
}

/// Asks at the public address.
async fn second_api(url: &str) -> Result<u16, String> {
    second_api_of(url, url).await
}

/// Asks one copy, as a load balancer does: its own address, the public name.
async fn second_api_of(copy: &str, public: &str) -> Result<u16, String> {
    let request = testkit::browser::client()
        .post(format!("{copy}{SECOND_API}"))
        .json(&serde_json::json!({}));
    request
        .header("host", public.trim_start_matches("http://"))
        .send()
        .await
        .map(|answer| answer.status().as_u16())
        .map_err(|error| error.to_string())
}

#[then("the second API answers 404")]
async fn closed(world: &mut World) {
    assert_eq!(second_api(&world.service.url).await.unwrap(), 404);
}

#[then("the second API answers something else")]
async fn open(world: &mut World) {
    let status = second_api(&world.service.url).await.unwrap();
    assert!(status != 404 && status < 500, "{status}");
}

#[when(expr = "{string} is set to {string} while requests are made")]
async fn set_under_load(world: &mut World, name: String, value: String) {
    let load = Load::start(&world.service.url);
    let before = second_api(&world.service.url).await.unwrap();
    world.service.reconfigure(&name, &value);
    for copy in &world.service.copies {
        let changed = || async {
            second_api_of(&copy.public, &world.service.url)
                .await
                .ok()
                .filter(|status| *status != before)
        };
        let changed = testkit::until("the switch", SOON, changed).await;
        changed.unwrap_or_else(|why| panic!("{why}\n{}", world.page_error()));
    }
    world.dropped.extend(load.stop().await);
}

#[then("no request was dropped")]
fn none_dropped(world: &mut World) {
    assert!(world.dropped.is_empty(), "{:?}", world.dropped);
}

/// How many lines of the log are about reading the configuration again.
fn readings(world: &World) -> usize {
    let about = |line: &&String| {
        line.contains("configuration") && (line.contains("is reloaded") || line.contains("refused"))
    };
    world.service.log().iter().filter(about).count()
}

async fn wait_for_reading(world: &World, before: usize) {
    let copies = world.service.copies.len();
    let read = || async { (readings(world) >= before + copies).then_some(()) };
    let read = testkit::until("the new file to be read", SOON, read).await;
    read.unwrap_or_else(|why| panic!("{why}\n{}", world.page_error()));
}

#[when(expr = "{string} is set to {string} and the service has read it")]
async fn set(world: &mut World, name: String, value: String) {
    let before = readings(world);
    world.service.reconfigure(&name, &value);
    wait_for_reading(world, before).await;
}

#[when("the file is broken and the service has read it")]
async fn break_file(world: &mut World) {
    let before = readings(world);
    world.service.write("[server\nlisten = 1\n");
    wait_for_reading(world, before).await;
}

#[then("the log says that the new configuration is refused")]
fn says_refused(world: &mut World) {
    let said = |line: &String| line.contains("configuration") && line.contains("refused");
    assert!(
        world.service.log().iter().any(said),
        "{}",
        world.page_error()
    );
}

async fn health(url: &str) -> u16 {
    testkit::browser::client()
        .get(url)
        .send()
        .await
        .map_or(0, |answer| answer.status().as_u16())
}

#[then("every copy is alive and ready")]
async fn ready(world: &mut World) {
    for copy in &world.service.copies {
        assert_eq!(health(&format!("{}/livez", copy.management)).await, 200);
        let url = format!("{}/readyz", copy.management);
        let ready = || async { (health(&url).await == 200).then_some(()) };
        let ready = testkit::until("readiness", Duration::from_secs(10), ready).await;
        ready.unwrap_or_else(|why| panic!("{why}\n{}", world.page_error()));
    }
}

#[then("every copy is alive but not ready")]
async fn not_ready(world: &mut World) {
    for copy in &world.service.copies {
        let url = format!("{}/readyz", copy.management);
        let down = || async { (health(&url).await == 503).then_some(()) };
        testkit::until("503", SOON, down)
            .await
            .unwrap_or_else(|why| panic!("{why}\n{}", world.page_error()));
    }
    alive(world).await;
}

#[then("every copy is alive")]
async fn alive(world: &mut World) {
    for copy in &world.service.copies {
        assert_eq!(health(&format!("{}/livez", copy.management)).await, 200);
    }
}

#[when("it is asked to stop while requests are made")]
async fn stop(world: &mut World) {
    let load = Load::start(&world.service.url);
    load.warm().await;
    let mut slowest: Option<(std::process::ExitStatus, Duration)> = None;
    for copy in &world.service.copies {
        let (status, took) = copy.stop().await;
        assert!(status.success(), "{status}\n{}", world.page_error());
        slowest = Some(
            slowest
                .filter(|(_, other)| *other > took)
                .unwrap_or((status, took)),
        );
    }
    drop(load);
    world.ended = slowest;
}

#[then(expr = "it ends well within {int} seconds")]
fn ended(world: &mut World, seconds: u64) {
    let (status, took) = world.ended.expect("an end");
    assert!(
        status.success() && took < Duration::from_secs(seconds),
        "{status} after {took:?}"
    );
}

#[given("a service with a database server of its own")]
async fn own_database(world: &mut World) {
    world.postgres = Some(Arc::new(
        Postgres::start(true)
            .await
            .unwrap_or_else(|missing| panic!("{missing}")),
    ));
    world.own_service(|options| options).await;
}

#[when("the database server is killed")]
fn kill_database(world: &mut World) {
    world.postgres.as_ref().expect("a server").kill();
}

#[when("the database server is back")]
async fn database_back(world: &mut World) {
    world
        .postgres
        .as_ref()
        .expect("a server")
        .revive()
        .await
        .unwrap_or_else(|missing| panic!("{missing}"));
}

#[given("a service with a ticket store of its own")]
async fn own_store(world: &mut World) {
    world.redis = Some(Arc::new(
        Redis::start()
            .await
            .unwrap_or_else(|missing| panic!("{missing}")),
    ));
    world.own_service(|options| options).await;
}

#[when("the ticket store is killed")]
fn kill_store(world: &mut World) {
    world.redis.as_ref().expect("a server").kill();
}

#[when("the ticket store is back")]
async fn store_back(world: &mut World) {
    world
        .redis
        .as_ref()
        .expect("a server")
        .revive()
        .await
        .unwrap_or_else(|missing| panic!("{missing}"));
}

#[then("asking for an email is answered 503 with a time to come back")]
async fn unavailable(world: &mut World) {
    let address = world.other("fresh");
    let login = world.open("visitor", "/login").await;
    let page = if login.has("form#sign-in") {
        world
            .device("visitor")
            .submit(&login, "sign-in", &[("email", &address)])
            .await
    } else {
        login
    };
    assert_eq!(page.status.as_u16(), 503, "{}", page.summary());
    assert!(
        page.header("retry-after")
            .is_some_and(|value| value.parse::<u32>().is_ok()),
        "Retry-After"
    );
}

#[then("asking for an email works again")]
async fn available(world: &mut World) {
    let address = world.other("fresh");
    for _ in 0..50 {
        let login = world.open("visitor", "/login").await;
        if login.has("form#sign-in") {
            let answer = world
                .device("visitor")
                .submit(&login, "sign-in", &[("email", &address)])
                .await;
            if answer.status.is_redirection() {
                world.newest(&address).await;
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("not within 10 s\n{}", world.page_error());
}

#[then("no log line holds the link, the code, a cookie or the address")]
async fn quiet_log(world: &mut World) {
    let mut secrets = secrets(world).await;
    secrets.push(("address", world.address.clone()));
    let log = world.service.log();
    assert!(
        log.iter().any(|line| line.contains("TRACE")),
        "{} lines and none at TRACE: it proves nothing",
        log.len()
    );
    for (what, secret) in secrets {
        let found = log
            .iter()
            .filter(|line| browser_state(line.as_bytes(), &secret))
            .count();
        assert_eq!(found, 0, "the {what} is in {found} lines of the log");
    }
}

#[then("no stored file holds the link, the code or a cookie")]
async fn quiet_store(world: &mut World) {
    for folder in world.service.data() {
        for entry in std::fs::read_dir(folder)
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_file())
        {
            let bytes = std::fs::read(entry.path()).unwrap();
            for (what, secret) in secrets(world).await {
                assert!(
                    !browser_state(&bytes, &secret),
                    "the {what} is in {:?}",
                    entry.file_name()
                );
            }
        }
    }
}

/// Secrets that a sign-in makes and that must not be kept anywhere.
async fn secrets(world: &mut World) -> Vec<(&'static str, String)> {
    let mail = world.newest(&world.address).await;
    let token = mail
        .link()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned();
    let mut all = vec![("link", token), ("code", mail.code())];
    for name in ["sid", "pre", "dev"] {
        if let Some(cookie) = world.device("laptop").cookie(name) {
            all.push(("cookie", cookie.value.clone()));
        }
    }
    assert!(
        all.iter().all(|(_, secret)| secret.len() >= 6),
        "secrets are long"
    );
    all
}

/// True if `secret` stands in `text` on its own: digits inside a longer number are chance.
fn browser_state(text: &[u8], secret: &str) -> bool {
    let secret = secret.as_bytes();
    let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let number = secret.iter().all(u8::is_ascii_digit);
    text.windows(secret.len()).enumerate().any(|(at, part)| {
        part == secret
            && !(number
                && (digit(at.checked_sub(1).and_then(|i| text.get(i)))
                    || digit(text.get(at + secret.len()))))
    })
}

/// Requests that go on in the background until stopped; each must be answered, and not with 5xx.
struct Load {
    go: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(url: &str) -> Self {
        let (go, made) = (
            Arc::new(AtomicBool::new(true)),
            Arc::new(AtomicUsize::new(0)),
        );
        let tasks = ["/login", SECOND_API, "/.well-known/jwks.json", "/login"].map(|path| {
            let (go, made, url, client) = (
                go.clone(),
                made.clone(),
                format!("{url}{path}"),
                testkit::browser::client(),
            );
            tokio::spawn(async move {
                let mut wrong = Vec::new();
                while go.load(Ordering::Relaxed) {
                    match client.get(&url).send().await {
                        Ok(answer) if answer.status().as_u16() < 500 => {}
                        Ok(answer) => wrong.push(format!("{url}: {}", answer.status())),
                        Err(error) => wrong.push(format!("{url}: {error}")),
                    }
                    made.fetch_add(1, Ordering::Relaxed);
                }
                wrong
            })
        });
        Self {
            go,
            made,
            tasks: tasks.into(),
        }
    }

    async fn warm(&self) {
        let enough = || async { (self.made.load(Ordering::Relaxed) >= 20).then_some(()) };
        testkit::until("requests", Duration::from_secs(10), enough)
            .await
            .unwrap();
    }

    /// Stops, and gives what went wrong.
    async fn stop(mut self) -> Vec<String> {
        self.warm().await;
        self.go.store(false, Ordering::Relaxed);
        let mut wrong = Vec::new();
        for task in self.tasks.drain(..) {
            wrong.extend(task.await.unwrap());
        }
        wrong
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.go.store(false, Ordering::Relaxed);
    }
}
