//! OA-3, OA-7: many known devices of one network, which request emails for addresses of their own.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    entree::{Backend, Options},
    mail::Mailbox as _,
};

use crate::{
    crowd::{Crowd, VERIFIER, flood, network, new_login},
    figures::report,
    judge::{Bounds, Left, Measured, judge, within},
    people::{Person, Way, all_sign_in, names, own_network},
    size,
    stage::{BOTH, CLIENT, Stage},
};

/// How many addresses have a known device, and of how many domains they are.
const ADDRESSES: usize = 40;
const DOMAINS: usize = 4;

/// How long the relay takes for an email: it has eight connections.
const EACH: Duration = Duration::from_millis(300);

/// The emails that were sent or are queued to the attacker's domains.
const ATTACKERS: &str = "SELECT count(*) AS n FROM mail_outbox WHERE domain LIKE 'own-%'";

fn address(number: usize) -> String {
    let number = number % ADDRESSES;
    format!("someone-{number}@own-{}.test", number % DOMAINS)
}

/// Signs in with an address in an app. Returns the secret of the device, which is known for it then.
async fn sign_in(stage: &Stage, crowd: &Crowd, number: usize) -> Value {
    let (to, from) = (address(number), network(number));
    let (status, started) = crowd.email_by_app(from, &to).await;
    assert_eq!(status, 202, "{started}");
    let mail = testkit::until("the email", within(), || async {
        stage.mail_sink.all(&to).await.into_iter().next()
    });
    let mail = mail.await.expect("an email");
    let proof = json!({"flow_id": started["flow_id"], "code_verifier": VERIFIER,
                           "code": mail.code(), "scope": "openid"});
    let path = "/api/v1/auth/magic-link/consume";
    let (status, mut tokens) = crowd.json(from, path, &proof).await;
    assert_eq!(status, 200, "{tokens}");
    tokens["device_secret"].take()
}

/// Users with a known device, with a new one, and without an account.
async fn users(stage: &Stage) -> Vec<Person> {
    let mut people = Vec::new();
    for wave in 0..size(2, 5) {
        let user = format!("user-{wave}@example.test");
        people.push(Person::ready(stage, Way::KnownDevice, &user, own_network(stage)).await);
        for address in [user, format!("newcomer-{wave}@example.test")] {
            people.push(Person::ready(stage, Way::NewDevice, &address, own_network(stage)).await);
        }
    }
    people
}

/// The known devices of one network request emails, ten each.
pub(crate) async fn of_one_network(
    backend: Backend,
    change: impl FnOnce(Options) -> Options,
) -> Option<Measured> {
    let stage = Stage::start(backend, change).await?;
    let people = users(&stage).await;
    let crowd = Crowd::of(&stage);
    let mut secrets = Vec::new();
    for number in 0..ADDRESSES {
        secrets.push(sign_in(&stage, &crowd, number).await);
    }
    stage.mail_sink.slow_down(EACH);
    flood(size(400, 4_000), async |number| {
        let mut new = new_login(CLIENT, &address(number));
        new["device_secret"] = secrets[number % ADDRESSES].clone();
        let path = "/api/v1/auth/magic-link/request";
        let _ = crowd.json(network(ADDRESSES), path, &new).await;
    })
    .await;
    let innocents = all_sign_in(&stage, people).await;
    Some(Measured {
        attack: "OA-3, known devices of one network".to_owned(),
        back_end: stage.back_end(),
        networks: 1,
        requests: crowd.sent(),
        innocents,
        peak_mib: stage.peak_mib(),
        left: Left {
            count: stage.number(ATTACKERS).await,
            of: "emails to the attacker",
        },
        faults: stage.faults(),
    })
}

pub(crate) fn bounds() -> Bounds {
    Bounds {
        networks: 1,
        requests: 400,
        ways: names(&[Way::KnownDevice, Way::NewDevice]),
        peak_mib: 256,
        // Those of the sign-ins, of the known devices together, three of each, and of its network.
        left: 40 + 60 + 40 * 3 + 20,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_3_oa_7_known_devices_of_one_network_delay_no_one() {
    for backend in BOTH {
        let Some(measured) = of_one_network(backend, |options| options).await else {
            return;
        };
        report(&measured);
        judge(&measured, &bounds()).unwrap_or_else(|why| panic!("{why}"));
    }
}
