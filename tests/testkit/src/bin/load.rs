//! Load against a running service: requests a second, p50 and p99 of each endpoint, and memory.
//!
//! `load BINARY [--seconds N] [--callers N] [--backend embedded|servers]` starts the binary on the embedded default and
//! on PostgreSQL (with synchronous commit) and Redis, and prints a table in Markdown. A fixed number of callers sends one
//! request after the other (a closed loop), so a slow answer also slows the caller: p99 is that of this load and of no
//! other. Callers, database, Redis and mail sink run on the same machine and take their part of its cores.
#![allow(
    clippy::too_many_lines,
    clippy::excessive_nesting,
    clippy::too_many_arguments,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot go on must stop at once and say where"
)]

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Method, RequestBuilder, header};
use testkit::{
    browser::Browser,
    child,
    entree::{Backend, Options, Servers, Service, run},
    mail::Mailbox as _,
    oidc::Client,
    page::Page,
    services::{Postgres, Redis},
    smtp::Sink,
};
use tokio::task::JoinSet;

const REDIRECT: &str = "http://127.0.0.1:9/callback";
const SECRET: &str = "5f2b1d0c9e8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c";
const PUBLIC: &str = r#"
[[clients]]
client_id = "load-web"
name = "Load"
audience = "https://api.example.test"
redirect_uris = ["http://127.0.0.1:9/callback"]
first_party = true
"#;
/// What only a service with confidential clients and refresh tokens understands.
const FULL: &str = r#"scopes = ["openid", "profile", "email", "offline_access"]
[[clients]]
client_id = "load-server"
name = "Load server"
audience = "https://api.example.test"
token_endpoint_auth_method = "client_secret_basic"
client_secret = "SECRET"
grant_types = ["client_credentials"]
introspects = ["https://api.example.test"]
"#;

/// What was asked for.
struct Wanted {
    binary: PathBuf,
    time: Duration,
    callers: usize,
    backends: Vec<Backend>,
}

impl Wanted {
    fn of_arguments() -> Self {
        let mut wanted = Self {
            binary: PathBuf::new(),
            time: Duration::from_secs(5),
            callers: 16,
            backends: vec![Backend::Embedded, Backend::Servers],
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut next = || {
                arguments
                    .next()
                    .unwrap_or_else(|| panic!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--seconds" => wanted.time = Duration::from_secs(next().parse().expect("seconds")),
                "--callers" => wanted.callers = next().parse().expect("a number of callers"),
                "--backend" => {
                    let embedded = next() == "embedded";
                    wanted.backends = vec![if embedded {
                        Backend::Embedded
                    } else {
                        Backend::Servers
                    }];
                }
                _ => wanted.binary = PathBuf::from(argument),
            }
        }
        wanted.binary = wanted
            .binary
            .canonicalize()
            .expect("the path of the built binary");
        wanted
    }
}

#[tokio::main]
async fn main() {
    let wanted = Wanted::of_arguments();
    for backend in wanted.backends.clone() {
        if let Err(missing) = measure(&wanted, backend).await {
            println!("\n{backend:?}: not measured ({missing})");
        }
    }
}

async fn measure(wanted: &Wanted, backend: Backend) -> Result<(), testkit::Missing> {
    let sink = Sink::start().await;
    let mut options = Options::new(backend, sink.address())
        .set("telemetry.level", "\"warn\"")
        .without_limits()
        .tail(PUBLIC);
    let full = FULL.replace("SECRET", SECRET);
    if understands(&wanted.binary, &options.clone().tail(&full)) {
        options = options.tail(&full);
    }
    let (postgres, redis);
    let servers = match backend {
        Backend::Embedded => Servers::default(),
        _ => {
            (postgres, redis) = (Postgres::start(true).await?, Redis::start().await?);
            Servers {
                postgres: Some(&postgres),
                redis: Some(&redis),
                wire: None,
            }
        }
    };
    let service = Service::start_on(&wanted.binary, options, servers).await?;
    let bench = Bench::new(&service, wanted);
    let words = if backend == Backend::Embedded {
        "embedded (SQLite, in process)"
    } else {
        "PostgreSQL + Redis"
    };
    println!(
        "\n## {words}: {} callers, {} s each\n",
        wanted.callers,
        wanted.time.as_secs()
    );
    println!("| endpoint | requests/s | p50 ms | p99 ms | failed |\n|---|---|---|---|---|");
    let idle = memory(&service, "VmRSS");
    bench.all(&sink).await;
    println!(
        "\nMemory: {idle} MiB idle, {} MiB at its peak.",
        memory(&service, "VmHWM")
    );
    Ok(())
}

/// Whether the binary takes this configuration.
fn understands(binary: &Path, options: &Options) -> bool {
    let folder = child::scratch("load");
    let file = folder.join("entree.toml");
    std::fs::write(&file, options.toml()).expect("a file");
    let (status, _) = run(
        binary,
        &folder,
        &["--config", &file.display().to_string(), "check-config"],
    );
    let _ = std::fs::remove_dir_all(&folder);
    status.success()
}

/// A line of `/proc/PID/status`, in MiB.
fn memory(service: &Service, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.copies[0].id()))
        .unwrap_or_default();
    let found = status.lines().find_map(|text| {
        text.strip_prefix(line)?
            .split_whitespace()
            .nth(1)?
            .parse::<u64>()
            .ok()
    });
    found.unwrap_or(0) / 1024
}

/// Where requests go: straight to the copy, under the name by which it is public.
#[derive(Clone)]
struct Bench {
    http: reqwest::Client,
    direct: String,
    host: String,
    url: String,
    time: Duration,
    callers: usize,
}

/// What a signed-in caller holds.
#[derive(Clone)]
struct Person {
    cookies: String,
    authorize: String,
    verifier: String,
}

impl Bench {
    fn new(service: &Service, wanted: &Wanted) -> Self {
        Self {
            http: testkit::browser::client(),
            direct: service.copies[0].public.clone(),
            host: service.url.trim_start_matches("http://").to_owned(),
            url: service.url.clone(),
            time: wanted.time,
            callers: wanted.callers,
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.direct))
            .header(header::HOST, &self.host)
    }

    async fn all(&self, sink: &Sink) {
        for (name, path) in [
            ("discovery", "/.well-known/openid-configuration"),
            ("JWKS", "/.well-known/jwks.json"),
            ("/login", "/login"),
        ] {
            self.phase(name, move |bench, _| async move {
                bench.timed(bench.request(Method::GET, path)).await.1
            })
            .await;
        }
        self.phase(
            "POST /login/email",
            |bench, _| async move { bench.ask().await },
        )
        .await;
        let mut people = Vec::new();
        for number in 0..self.callers {
            people.push(self.sign_in(sink, number).await);
        }
        let people: Arc<[Person]> = people.into();
        self.exchanges(&people).await;
        let supported = self.metadata().await;
        let has = |what: &str| supported.contains(&format!("\"{what}\""));
        let token = self.tokens(&people[0]).await["access_token"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if has("userinfo_endpoint") {
            let bearer = token.clone();
            self.phase("userinfo", move |bench, _| {
                let request = bench
                    .request(Method::GET, "/oauth2/userinfo")
                    .bearer_auth(&bearer);
                async move { bench.timed(request).await.1 }
            })
            .await;
        }
        if has("refresh_token") {
            self.refreshes(&people).await;
        }
        if has("client_credentials") {
            self.phase("client credentials", |bench, _| async move {
                let request = bench
                    .request(Method::POST, "/oauth2/token")
                    .basic_auth("load-server", Some(SECRET));
                bench
                    .timed(request.form(&[("grant_type", "client_credentials")]))
                    .await
                    .1
            })
            .await;
        }
        if has("introspection_endpoint") {
            self.phase("introspection", move |bench, _| {
                let request = bench
                    .request(Method::POST, "/oauth2/introspect")
                    .basic_auth("load-server", Some(SECRET));
                let request = request.form(&[("token", &token)]);
                async move { bench.timed(request).await.1 }
            })
            .await;
        }
    }

    async fn metadata(&self) -> String {
        let answer = self
            .request(Method::GET, "/.well-known/openid-configuration")
            .send()
            .await
            .expect("metadata");
        answer.text().await.expect("metadata")
    }

    /// Sends it and reads the answer whole; gives the body and how it went.
    async fn timed(&self, request: RequestBuilder) -> (Option<String>, Sample) {
        let begin = Instant::now();
        let answer = request.send().await;
        let Ok(answer) = answer else {
            return (
                None,
                Sample {
                    took: begin.elapsed(),
                    fine: false,
                },
            );
        };
        let fine = answer.status().is_success() || answer.status().is_redirection();
        let place = answer
            .headers()
            .get(header::LOCATION)
            .and_then(|to| to.to_str().ok())
            .map(str::to_owned);
        let body = answer.text().await.ok();
        (
            place.or(body),
            Sample {
                took: begin.elapsed(),
                fine,
            },
        )
    }

    /// A new browser asks for a mail to a new address; the form before it is not counted.
    async fn ask(&self) -> Sample {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let from = Ipv4Addr::from(0x0a00_0000 + number).to_string();
        let form = self
            .request(Method::GET, "/login")
            .header("X-Forwarded-For", &from)
            .send()
            .await
            .expect("a page");
        let cookie = form
            .headers()
            .get(header::SET_COOKIE)
            .and_then(|line| line.to_str().ok())
            .unwrap_or_default();
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let text = form.text().await.expect("a page");
        let token = text
            .split("name=\"form_token\" value=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let address = format!("load-{number}@example.test");
        let fields = [
            ("email", address.as_str()),
            ("form_token", token.unwrap_or_default()),
        ];
        let post = self
            .request(Method::POST, "/login/email")
            .header("X-Forwarded-For", &from);
        let post = post
            .header(header::ORIGIN, &self.url)
            .header("Sec-Fetch-Site", "same-origin");
        self.timed(post.header(header::COOKIE, cookie).form(&fields))
            .await
            .1
    }

    async fn sign_in(&self, sink: &Sink, number: usize) -> Person {
        let from = Ipv4Addr::from(0x0b00_0000 + u32::try_from(number).expect("few"));
        let (mut browser, address) = (Browser::new(from), format!("caller-{number}@example.test"));
        let page: Page = browser.open(&format!("{}/login", self.url)).await;
        browser
            .submit(&page, "sign-in", &[("email", &address)])
            .await;
        // Behind what the phase before left in the outbox.
        let mail = sink
            .wait(&address, 1, Duration::from_secs(300))
            .await
            .expect("a mail")
            .remove(0);
        let page = browser.open(&mail.link()).await;
        let page = browser.submit(&page, "link", &[]).await;
        browser.settle(page).await;
        let client = Client::new(&self.url, "load-web", REDIRECT);
        let full = self.metadata().await.contains("\"refresh_token\"");
        let scope = if full {
            "openid offline_access"
        } else {
            "openid"
        };
        let authorize = client.authorize_url(scope).await;
        let cookies = ["sid", "pre"]
            .into_iter()
            .filter_map(|name| browser.raw_cookie(name));
        Person {
            cookies: cookies
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join("; "),
            authorize: format!(
                "{}?{}",
                authorize.path(),
                authorize.query().unwrap_or_default()
            ),
            verifier: client.verifier,
        }
    }

    /// A code for a user who is signed in.
    async fn code(&self, person: &Person) -> (Option<String>, Sample) {
        let request = self
            .request(Method::GET, &person.authorize)
            .header(header::COOKIE, &person.cookies);
        let (place, sample) = self.timed(request).await;
        let code = place
            .as_deref()
            .and_then(|to| reqwest::Url::parse(to).ok())
            .and_then(|to| {
                let mut query = to.query_pairs();
                query
                    .find(|(name, _)| name == "code")
                    .map(|(_, code)| code.into_owned())
            });
        let fine = sample.fine && code.is_some();
        (code, Sample { fine, ..sample })
    }

    async fn exchange(&self, person: &Person, code: &str) -> (Option<String>, Sample) {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", "load-web"),
            ("redirect_uri", REDIRECT),
            ("code_verifier", &person.verifier),
            ("code", code),
        ];
        self.timed(self.request(Method::POST, "/oauth2/token").form(&form))
            .await
    }

    async fn tokens(&self, person: &Person) -> serde_json::Value {
        let code = self.code(person).await.0.expect("a code");
        let body = self.exchange(person, &code).await.0.expect("tokens");
        serde_json::from_str(&body).expect("tokens")
    }

    /// Codes are fetched first and then redeemed, each counted by itself. A code lives for a minute, so both phases are
    /// cut to what fits.
    async fn exchanges(&self, people: &Arc<[Person]>) {
        let codes: Arc<std::sync::Mutex<Vec<(usize, String)>>> = Arc::default();
        let (of, into) = (Arc::clone(people), Arc::clone(&codes));
        self.phase("authorize", move |bench, caller| {
            let (of, into) = (Arc::clone(&of), Arc::clone(&into));
            async move {
                let (code, sample) = bench.code(&of[caller]).await;
                into.lock()
                    .expect("the codes")
                    .extend(code.map(|code| (caller, code)));
                sample
            }
        })
        .await;
        let of = Arc::clone(people);
        self.phase("code exchange", move |bench, _| {
            let (of, codes) = (Arc::clone(&of), Arc::clone(&codes));
            async move {
                let next = codes.lock().expect("the codes").pop();
                match next {
                    Some((caller, code)) => bench.exchange(&of[caller], &code).await.1,
                    None => Sample {
                        took: Duration::MAX,
                        fine: false,
                    },
                }
            }
        })
        .await;
    }

    /// Each caller goes on with the token that it got last.
    async fn refreshes(&self, people: &Arc<[Person]>) {
        let mut first = Vec::new();
        for person in people.iter() {
            let token = self.tokens(person).await["refresh_token"]
                .as_str()
                .map(str::to_owned);
            first.push(tokio::sync::Mutex::new(token.unwrap_or_default()));
        }
        let held: Arc<[_]> = first.into();
        self.phase("refresh", move |bench, caller| {
            let held = Arc::clone(&held);
            async move {
                let mut token = held[caller].lock().await;
                let form = [
                    ("grant_type", "refresh_token"),
                    ("client_id", "load-web"),
                    ("refresh_token", token.as_str()),
                ];
                let request = bench.request(Method::POST, "/oauth2/token").form(&form);
                let (body, sample) = bench.timed(request).await;
                let answer: serde_json::Value =
                    serde_json::from_str(&body.unwrap_or_default()).unwrap_or_default();
                match answer["refresh_token"].as_str() {
                    Some(next) => next.clone_into(&mut token),
                    None => {
                        return Sample {
                            fine: false,
                            ..sample
                        };
                    }
                }
                sample
            }
        })
        .await;
    }

    /// All callers at once, each one request after the other, until the time is over or nothing is left to do.
    async fn phase<F, Fut>(&self, name: &str, work: F)
    where
        F: Fn(Self, usize) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Sample> + Send,
    {
        let begin = Instant::now();
        let mut callers = JoinSet::new();
        for caller in 0..self.callers {
            let (bench, work) = (self.clone(), work.clone());
            callers.spawn(async move {
                let mut samples = Vec::new();
                while begin.elapsed() < bench.time {
                    let sample = work(bench.clone(), caller).await;
                    if sample.took == Duration::MAX {
                        break;
                    }
                    samples.push(sample);
                }
                samples
            });
        }
        let samples = callers.join_all().await.concat();
        report(name, samples, begin.elapsed());
    }
}

/// One request.
#[derive(Clone, Copy)]
struct Sample {
    took: Duration,
    fine: bool,
}

fn report(name: &str, samples: Vec<Sample>, took: Duration) {
    let failed = samples.iter().filter(|sample| !sample.fine).count();
    let mut times: Vec<Duration> = samples
        .into_iter()
        .filter(|sample| sample.fine)
        .map(|sample| sample.took)
        .collect();
    times.sort_unstable();
    let at = |percent: usize| {
        times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)))
    };
    let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
    #[allow(clippy::cast_precision_loss, reason = "a count of requests")]
    let rate = times.len() as f64 / took.as_secs_f64();
    println!(
        "| {name} | {rate:.0} | {:.2} | {:.2} | {failed} |",
        ms(at(50)),
        ms(at(99))
    );
}
