//! OA-5: requests that do not end, from several networks, and the memory that they take.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use testkit::entree::{Backend, Options};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    connections::{left, network, no_proxy, target},
    figures::report,
    http2::connect,
    judge::{Bounds, Measured, Outcome, judge},
    people::{Person, Way, all_sign_in, names},
    size,
    stage::{BOTH, Stage},
};

/// What a body is sent in.
static PIECE: [u8; 16_384] = [b' '; 16_384];

/// The requests that a connection begins: more than it may have at once.
const STREAMS: usize = 64;

/// What the attackers leave open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// Bodies that stop before their end.
    Bodies,
    /// Large headers alone: the body never begins.
    Headers,
}

impl Unfinished {
    const fn name(self) -> &'static str {
        match self {
            Self::Bodies => "send bodies that do not end",
            Self::Headers => "send headers without a body",
        }
    }
}

/// Opens requests that do not end over `each` connections of each network, while innocents sign in and a
/// slow phone sends its form.
pub(crate) async fn attack(
    backend: Backend,
    networks: usize,
    each: usize,
    unfinished: Unfinished,
    change: impl FnOnce(Options) -> Options,
) -> Option<Measured> {
    let stage = Stage::start(backend, |options| change(no_proxy(options))).await?;
    let people = Person::crowd(&stage, &Way::ALL, size(1, 3)).await;
    let (to, host) = target(&stage);
    stage.reset_peak();
    let (mut attackers, sent) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
    for number in 0..networks * each {
        let attacker = Attacker {
            from: network(number % networks),
            to,
            host: host.clone(),
            unfinished,
            sent: Arc::clone(&sent),
        };
        attackers.spawn(attacker.go_on());
    }
    let phone = tokio::spawn(slow_form(to, host));
    sleep(Duration::from_secs(3)).await;
    let mut innocents = all_sign_in(&stage, people).await;
    innocents.push(phone.await.expect("the phone"));
    attackers.abort_all();
    let connections = networks * each;
    Some(Measured {
        attack: format!("OA-5, {networks} networks {}", unfinished.name()),
        back_end: stage.back_end(),
        networks,
        requests: sent.load(Ordering::Relaxed),
        innocents,
        peak_mib: stage.peak_mib(),
        left: left(connections, "connections held"),
        faults: stage.faults(),
    })
}

/// One connection with as many requests as it may have, opened again when the service closes it.
struct Attacker {
    from: Ipv4Addr,
    to: SocketAddr,
    host: String,
    unfinished: Unfinished,
    /// The requests of all attackers.
    sent: Arc<AtomicUsize>,
}

impl Attacker {
    /// Attacks for a minute.
    async fn go_on(self) {
        let _ = timeout(Duration::from_secs(60), async {
            loop {
                let _ = self.open_once().await;
                // Memory is attacked, and not the processor: it is the innocents' as well here.
                sleep(Duration::from_secs(5)).await;
            }
        })
        .await;
    }

    async fn open_once(&self) -> Result<(), h2::Error> {
        let Ok(stream) = connect(self.from, self.to).await else {
            return Ok(());
        };
        let builder = h2::client::Builder::new();
        let (mut client, connection) = builder.handshake::<_, &'static [u8]>(stream).await?;
        let connection = tokio::spawn(connection);
        let padding = "x".repeat(15_000);
        let mut open = Vec::new();
        for _ in 0..STREAMS {
            client = client.ready().await?;
            let request = request(&self.host, self.unfinished, &padding);
            let (response, mut body) = client.send_request(request, false)?;
            self.sent.fetch_add(1, Ordering::Relaxed);
            if self.unfinished == Unfinished::Bodies {
                // Flow control holds back what the service does not take.
                for _ in 0..3 {
                    body.send_data(PIECE.as_slice(), false)?;
                }
            }
            open.push((response, body));
        }
        let _ = connection.await;
        Ok(())
    }
}

fn request(host: &str, unfinished: Unfinished, padding: &str) -> hyper::Request<()> {
    let post = hyper::Request::post(format!("http://{host}/api/v1/auth/magic-link/request"))
        .header("content-type", "application/json")
        .header("content-length", "60000");
    let request = match unfinished {
        Unfinished::Bodies => post,
        Unfinished::Headers => post.header("x-padding", padding),
    };
    request.body(()).expect("a request")
}

/// A phone on a slow line: a form of 2 KiB that takes 30 s. What counts is how long its response takes.
async fn slow_form(to: SocketAddr, host: String) -> Outcome {
    let mut ended = Instant::now();
    let result = send_slowly(to, &host, &mut ended).await;
    Outcome {
        way: "slow phone",
        took: ended.elapsed(),
        result,
    }
}

async fn send_slowly(to: SocketAddr, host: &str, ended: &mut Instant) -> Result<(), String> {
    let broken = |error: std::io::Error| error.to_string();
    let from = Ipv4Addr::new(127, 202, 0, 1);
    let mut stream = connect(from, to).await.map_err(broken)?;
    let head = format!(
        "POST /login/email HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 2040\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.map_err(broken)?;
    for _ in 0..30 {
        sleep(Duration::from_secs(1)).await;
        stream.write_all(&[b'x'; 68]).await.map_err(broken)?;
    }
    *ended = Instant::now();
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.map_err(broken)?;
    // The form is another site's, so that it is refused; it has arrived.
    match &line[9..] {
        b"503" | b"408" => Err(String::from_utf8_lossy(&line).into_owned()),
        _ => Ok(()),
    }
}

pub(crate) fn bounds(networks: usize, each: usize) -> Bounds {
    let mut ways = names(&Way::ALL);
    ways.push("slow phone");
    Bounds {
        networks,
        requests: networks * each * 16,
        ways,
        // A service at rest, the budget of 64 MiB with a half more for what the allocator keeps for some seconds, 64
        // KiB for each connection, and a tenth of it all.
        peak_mib: 180 + u64::try_from(networks * each / 16).expect("a small number"),
        left: i64::MAX,
    }
}

/// The back ends are attacked at the same time: the attack is half a minute of waiting for a slow phone.
async fn holds(backends: &[Backend], networks: usize, each: usize, unfinished: Unfinished) {
    let attacks = backends
        .iter()
        .map(|backend| attack(*backend, networks, each, unfinished, |options| options));
    for measured in join_all(attacks).await.into_iter().flatten() {
        report(&measured);
        judge(&measured, &bounds(networks, each)).unwrap_or_else(|why| panic!("{why}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_5_bodies_that_do_not_end_share_a_budget() {
    holds(&BOTH, 6, size(40, 100), Unfinished::Bodies).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_5_bodies_of_many_networks_share_a_budget() {
    holds(&BOTH[..1], size(13, 100), size(16, 8), Unfinished::Bodies).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_5_headers_without_a_body_share_the_budget() {
    holds(&BOTH[..1], 6, size(12, 48), Unfinished::Headers).await;
}
