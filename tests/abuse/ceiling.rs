//! OA-9: a hundred networks make the service send emails to made-up addresses, each to another domain.

use testkit::entree::{Backend, Options};

use crate::{
    crowd::{Crowd, flood, network},
    figures::report,
    judge::{Bounds, Left, Measured, judge},
    people::{Person, Way, all_sign_in, names, own_network},
    size,
    stage::{BOTH, Stage},
};

const NETWORKS: usize = 100;

/// The ceiling of these tests, in emails a minute.
const CEILING: i64 = 60;

/// The most emails that were sent within a minute. Columns of time are in milliseconds.
const BUSIEST_MINUTE: &str = "SELECT coalesce(max(n), 0) AS n FROM (SELECT count(*) AS n FROM mail_outbox a \
     JOIN mail_outbox b ON b.finished_at <= a.finished_at AND b.finished_at > a.finished_at - 60000 \
     WHERE a.state = 'sent' AND b.state = 'sent' GROUP BY a.id) AS minutes";

/// Users who have an account, with a known device and with a new one.
async fn users(stage: &Stage) -> Vec<Person> {
    let mut people = Person::crowd(stage, &Way::KNOWN, size(2, 5)).await;
    for wave in 0..size(2, 5) {
        let address = format!("known-device-{wave}@example.test");
        people.push(Person::ready(stage, Way::NewDevice, &address, own_network(stage)).await);
    }
    people
}

/// Requests emails to addresses that have no account, beyond the ceiling.
pub(crate) async fn made_up_addresses(
    backend: Backend,
    change: impl FnOnce(Options) -> Options,
) -> Option<Measured> {
    let low = |options: Options| options.set("mail.ceiling_per_minute", &CEILING.to_string());
    let stage = Stage::start(backend, |options| change(low(options))).await?;
    let people = users(&stage).await;
    let crowd = Crowd::of(&stage);
    flood(size(300, 1_500), async |number| {
        let to = format!("someone@crowd-{number}.test");
        let _ = crowd.email_by_app(network(number % NETWORKS), &to).await;
    })
    .await;
    crowd.wait_for_emails().await;
    let innocents = all_sign_in(&stage, people).await;
    Some(Measured {
        attack: "OA-9, emails to made-up addresses".to_owned(),
        back_end: stage.back_end(),
        networks: NETWORKS,
        requests: crowd.sent(),
        innocents,
        peak_mib: stage.peak_mib(),
        left: Left {
            count: stage.number(BUSIEST_MINUTE).await,
            of: "emails in a minute",
        },
        faults: stage.faults(),
    })
}

pub(crate) fn bounds() -> Bounds {
    Bounds {
        networks: NETWORKS,
        requests: 300,
        ways: names(&Way::ALL),
        peak_mib: 256,
        // The attempts that were under way when it was reached, and the innocents' emails beyond it.
        left: CEILING + 30,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_9_oa_16_made_up_addresses_exceed_no_ceiling() {
    for backend in BOTH {
        let Some(measured) = made_up_addresses(backend, |options| options).await else {
            return;
        };
        report(&measured);
        judge(&measured, &bounds()).unwrap_or_else(|why| panic!("{why}"));
    }
}
