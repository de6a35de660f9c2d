//! OA-18: one address sends as many requests at once as its connections may hold.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use testkit::entree::{Backend, Options};
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    connections::{left, network, no_proxy, target},
    crowd::new_login,
    figures::report,
    http2::connect,
    judge::{Bounds, Measured, is_optimized, judge},
    people::{Person, Way, all_sign_in, names},
    size,
    stage::{BOTH, CLIENT, Stage},
};

/// The connections of the attacker.
const CONNECTIONS: usize = 64;

/// The most requests that one connection may have under way at once.
const STREAMS: usize = 32;

/// What the attacker requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flood {
    /// Emails to made-up addresses, on the page and as an app.
    Emails,
    /// Tokens for made-up codes.
    Tokens,
}

impl Flood {
    const fn name(self) -> &'static str {
        match self {
            Self::Emails => "requests for emails",
            Self::Tokens => "requests for tokens",
        }
    }

    /// The requests that one connection has under way at once. A service without optimization spends both processors
    /// on refusals of requests for tokens, so that innocents need over 20 s: a quarter is a flood for it.
    fn streams(self) -> usize {
        match self {
            Self::Tokens if !is_optimized() => STREAMS / 4,
            Self::Emails | Self::Tokens => STREAMS,
        }
    }

    /// A request with its body.
    fn request(self, host: &str, number: usize) -> (hyper::Request<()>, String) {
        let (path, content_type, body) = match self {
            Self::Emails if number.is_multiple_of(2) => {
                let email = format!("made-up-{number}@nowhere.test");
                let body = new_login(CLIENT, &email).to_string();
                ("/api/v1/auth/magic-link/request", JSON, body)
            }
            Self::Emails => (
                "/login/email",
                FORM,
                "email=made-up%40nowhere.test".to_owned(),
            ),
            Self::Tokens => {
                let body = format!(
                    "grant_type=authorization_code&client_id={CLIENT}&code=made-up-{number}&\
                     redirect_uri=http%3A%2F%2F127.0.0.1%3A7777%2Fcallback&code_verifier={}",
                    "v".repeat(43)
                );
                ("/oauth2/token", FORM, body)
            }
        };
        let request = hyper::Request::post(format!("http://{host}{path}"))
            .header("content-type", content_type)
            .header("content-length", body.len());
        (request.body(()).expect("a request"), body)
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Floods from one address while innocents sign in.
pub(crate) async fn flood(
    backend: Backend,
    flood: Flood,
    change: impl FnOnce(Options) -> Options,
) -> Option<Measured> {
    let stage = Stage::start(backend, |options| change(no_proxy(options))).await?;
    let mut waves = Vec::new();
    for _ in 0..size(2, 6) {
        waves.push(Person::crowd(&stage, &Way::ALL, 1).await);
    }
    let (to, host) = target(&stage);
    stage.reset_peak();
    let sent = Arc::new(AtomicUsize::new(0));
    let attacker = Attacker {
        to,
        host,
        flood,
        sent: Arc::clone(&sent),
    };
    let attackers = Attackers::start(&attacker);
    sleep(Duration::from_secs(2)).await;
    let mut innocents = Vec::new();
    for wave in waves {
        innocents.extend(all_sign_in(&stage, wave).await);
    }
    drop(attackers);
    let at_once = if flood.streams() == STREAMS {
        "2,048"
    } else {
        "512"
    };
    Some(Measured {
        attack: format!("OA-18, one network, {at_once} {} at once", flood.name()),
        back_end: stage.back_end(),
        networks: 1,
        requests: sent.load(Ordering::Relaxed),
        innocents,
        peak_mib: stage.peak_mib(),
        left: left(CONNECTIONS, "connections held"),
        faults: stage.faults(),
    })
}

/// The attackers, on a thread of their own: the innocents are clients on other machines, and do not wait
/// behind two thousand tasks of theirs.
struct Attackers {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Attackers {
    fn start(attacker: &Attacker) -> Self {
        let (stop, stopped) = oneshot::channel();
        let attackers: Vec<_> = (0..CONNECTIONS).map(|_| attacker.clone()).collect();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let mut tasks = JoinSet::new();
                for attacker in attackers {
                    tasks.spawn(attacker.go_on());
                }
                let _ = stopped.await;
            });
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One connection that always has as many requests under way as it may have.
#[derive(Clone)]
struct Attacker {
    to: SocketAddr,
    host: String,
    flood: Flood,
    /// The requests of all attackers.
    sent: Arc<AtomicUsize>,
}

impl Attacker {
    /// Attacks for two minutes.
    async fn go_on(self) {
        let _ = timeout(Duration::from_secs(120), async {
            loop {
                let _ = self.open_once().await;
                sleep(Duration::from_millis(250)).await;
            }
        })
        .await;
    }

    async fn open_once(&self) -> Result<(), h2::Error> {
        let Ok(stream) = connect(network(0), self.to).await else {
            return Ok(());
        };
        let (client, connection) = h2::client::handshake(stream).await?;
        let mut work = JoinSet::new();
        work.spawn(async move { drop(connection.await) });
        for _ in 0..self.flood.streams() {
            work.spawn(send_always(
                client.clone(),
                self.host.clone(),
                self.flood,
                Arc::clone(&self.sent),
            ));
        }
        while work.join_next().await.is_some() {}
        Ok(())
    }
}

/// Sends one request after the other.
async fn send_always(
    mut client: h2::client::SendRequest<hyper::body::Bytes>,
    host: String,
    flood: Flood,
    sent: Arc<AtomicUsize>,
) {
    loop {
        let Ok(ready) = client.ready().await else {
            return;
        };
        client = ready;
        let (request, body) = flood.request(&host, sent.fetch_add(1, Ordering::Relaxed));
        let Ok((response, mut stream)) = client.send_request(request, false) else {
            return;
        };
        if stream.send_data(body.into(), true).is_err() {
            return;
        }
        let Ok(response) = response.await else {
            continue;
        };
        let mut body = response.into_body();
        while let Some(Ok(part)) = body.data().await {
            let _ = body.flow_control().release_capacity(part.len());
        }
    }
}

pub(crate) fn bounds() -> Bounds {
    Bounds {
        networks: 1,
        requests: CONNECTIONS * STREAMS,
        ways: names(&Way::ALL),
        peak_mib: 256,
        left: i64::MAX,
    }
}

async fn holds(what: Flood) {
    for backend in BOTH {
        let Some(measured) = flood(backend, what, |options| options).await else {
            return;
        };
        report(&measured);
        judge(&measured, &bounds()).unwrap_or_else(|why| panic!("{why}"));
    }
}

/// OA-18, SP-4: two thousand requests for emails at once keep no one from their application.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_18_sp_4_a_flood_of_requests_for_emails_keeps_no_one_out() {
    holds(Flood::Emails).await;
}

/// OA-18, SP-4: two thousand requests for tokens at once keep no one from their application.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_18_sp_4_a_flood_of_requests_for_tokens_keeps_no_one_out() {
    holds(Flood::Tokens).await;
}
