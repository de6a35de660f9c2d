//! OA-12: a proxy that `server.trusted_proxies` does not name, or a stranger who plays one: a forwarded
//! address from it is worth nothing, and the operator gets to know.

use testkit::{
    entree::{Backend, Options},
    mail::Mailbox as _,
};

use crate::{
    crowd::{Crowd, flood, network},
    figures::report,
    judge::{Bounds, Left, Measured, judge},
    people::{Person, Way, all_sign_in, names},
    size,
    stage::{BOTH, Stage},
};

/// How many networks the stranger claims to be.
const CLAIMED: usize = 60;

/// The emails that one network may have requested within ten minutes.
const BUDGET: i64 = 20;

/// Requests emails from one network that claims to be many.
pub(crate) async fn unnamed(
    backend: Backend,
    change: impl FnOnce(Options) -> Options,
) -> Option<Measured> {
    let unnamed = |options: Options| options.set("server.trusted_proxies", "[]");
    let stage = Stage::start(backend, |options| change(unnamed(options))).await?;
    let people = Person::crowd(&stage, &Way::ALL, size(1, 3)).await;
    let crowd = Crowd::of(&stage);
    flood(CLAIMED, async |number| {
        let to = format!("someone@crowd-{number}.test");
        let _ = crowd.email_by_app(network(number), &to).await;
    })
    .await;
    crowd.wait_for_emails().await;
    let innocents = all_sign_in(&stage, people).await;
    let mut emails = 0;
    for number in 0..CLAIMED {
        emails += stage
            .mail_sink
            .all(&format!("someone@crowd-{number}.test"))
            .await
            .len();
    }
    Some(Measured {
        attack: "OA-12, forwarded addresses of an unnamed proxy".to_owned(),
        back_end: stage.back_end(),
        networks: 1,
        requests: crowd.sent(),
        innocents,
        peak_mib: stage.peak_mib(),
        left: Left {
            count: i64::try_from(emails).expect("a small number"),
            of: "emails to strangers",
        },
        faults: [stage.faults(), silence(&stage).await].concat(),
    })
}

/// What does not reach the operator, or reaches the operator too often.
async fn silence(stage: &Stage) -> Vec<String> {
    let mut wrong = Vec::new();
    let (_, readiness) = stage.readyz().await;
    if readiness["missing"] != serde_json::json!(["trusted_proxies"]) {
        wrong.push(format!("/readyz does not name the proxy: {readiness}"));
    }
    let is_told = |line: &String| line.contains("not in server.trusted_proxies");
    match stage.service.log().into_iter().filter(is_told).count() {
        1 => {}
        count => wrong.push(format!("{count} lines of the log name the proxy")),
    }
    wrong
}

pub(crate) fn bounds() -> Bounds {
    Bounds {
        networks: 1,
        requests: CLAIMED,
        ways: names(&Way::ALL),
        peak_mib: 256,
        left: BUDGET,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_12_oa_16_an_unnamed_proxy_is_one_network() {
    for backend in BOTH {
        let Some(measured) = unnamed(backend, |options| options).await else {
            return;
        };
        report(&measured);
        judge(&measured, &bounds()).unwrap_or_else(|why| panic!("{why}"));
    }
}
