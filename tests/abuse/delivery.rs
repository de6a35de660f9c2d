//! OA-7, OA-10: emails that delay those of other users, or spend the budgets of a mailbox several times.

use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::{
    entree::{Backend, Options},
    mail::{Fault, Mailbox as _},
};

use crate::{
    crowd::{Crowd, flood, network},
    figures::report,
    judge::{Bounds, Left, Measured, judge},
    people::{Person, Way, all_sign_in, names, own_network},
    size,
    stage::{BOTH, Stage},
};

/// How often each owner of a domain requests an email.
const EMAILS_OF_OWNER: usize = 4;

/// A domain whose server hangs, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hanging {
    /// For every recipient of a domain, once the email begins.
    Domain,
    /// For recipients that do not exist, at a domain where the innocents have their mailboxes.
    UnknownRecipients,
}

impl Hanging {
    const fn domain(self) -> (&'static str, Fault) {
        match self {
            Self::Domain => ("slow.test", Fault::Stall),
            Self::UnknownRecipients => ("example.test", Fault::StallAtRecipient),
        }
    }

    const fn attack(self) -> &'static str {
        match self {
            Self::Domain => "OA-7, emails to a domain whose server hangs",
            Self::UnknownRecipients => {
                "OA-7, emails to made-up recipients for whom the innocents' mail server hangs"
            }
        }
    }
}

/// Lets users with mailboxes at domains of their own request emails on their devices, once the servers of
/// these domains hang after each email.
pub(crate) async fn own_domains(
    backend: Backend,
    change: impl FnOnce(Options) -> Options,
) -> Option<Measured> {
    let stage = Stage::start(backend, change).await?;
    let people = Person::crowd(&stage, &Way::ALL, size(2, 5)).await;
    let count = size(48, 100);
    let mut owners = Vec::new();
    for number in 0..count {
        let address = format!("owner@own-{number}.test");
        let owner = Person::ready(&stage, Way::App, &address, own_network(&stage)).await;
        stage
            .mail_sink
            .fault(&address, Some(Fault::Stall))
            .expect("a fault");
        owners.push(owner);
    }
    let accepted = AtomicUsize::new(0);
    flood(count * EMAILS_OF_OWNER, async |number| {
        let status = owners[number % count].request_email(&stage).await;
        accepted.fetch_add(usize::from(status == 202), Ordering::Relaxed);
    })
    .await;
    let innocents = all_sign_in(&stage, people).await;
    Some(Measured {
        attack: "OA-7, emails of users to domains of their own that hang".to_owned(),
        back_end: stage.back_end(),
        networks: count,
        requests: accepted.into_inner(),
        innocents,
        peak_mib: stage.peak_mib(),
        left: Left {
            count: stage.rows("mail_outbox").await,
            of: "emails waiting",
        },
        faults: stage.faults(),
    })
}

/// Requests emails for which a server hangs.
pub(crate) async fn slow_domain(
    backend: Backend,
    hanging: Hanging,
    change: impl FnOnce(Options) -> Options,
) -> Option<Measured> {
    let stage = Stage::start(backend, change).await?;
    let people = Person::crowd(&stage, &Way::ALL, size(2, 5)).await;
    let crowd = Crowd::of(&stage);
    let networks = 8;
    let (domain, fault) = hanging.domain();
    flood(size(40, 120), async |number| {
        let to = format!("someone-{number}@{domain}");
        stage.mail_sink.fault(&to, Some(fault)).expect("a fault");
        let _ = crowd.email_by_app(network(number % networks), &to).await;
    })
    .await;
    let innocents = all_sign_in(&stage, people).await;
    Some(Measured {
        attack: hanging.attack().to_owned(),
        back_end: stage.back_end(),
        networks,
        requests: crowd.sent(),
        innocents,
        peak_mib: stage.peak_mib(),
        left: Left {
            count: stage.rows("mail_outbox").await,
            of: "emails waiting",
        },
        faults: stage.faults(),
    })
}

pub(crate) fn bounds() -> Bounds {
    Bounds {
        networks: 8,
        requests: 40,
        ways: names(&Way::ALL),
        peak_mib: 256,
        left: 200,
    }
}

pub(crate) fn own_domains_bounds() -> Bounds {
    Bounds {
        networks: 48,
        requests: 192,
        left: 400,
        ..bounds()
    }
}

async fn attack(hanging: Hanging) {
    let mut wrong = Vec::new();
    for backend in BOTH {
        let Some(measured) = slow_domain(backend, hanging, |options| options).await else {
            return;
        };
        report(&measured);
        wrong.extend(judge(&measured, &bounds()).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_7_a_slow_domain_delays_no_other() {
    attack(Hanging::Domain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_7_made_up_recipients_delay_no_real_one_of_their_domain() {
    attack(Hanging::UnknownRecipients).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_7_users_whose_own_domains_hang_delay_no_other() {
    let mut wrong = Vec::new();
    for backend in BOTH {
        let Some(measured) = own_domains(backend, |options| options).await else {
            return;
        };
        report(&measured);
        wrong.extend(judge(&measured, &own_domains_bounds()).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// OA-10: the spellings of one mailbox share its budgets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_10_spellings_of_a_mailbox_share_its_budget() {
    let stage = Stage::start(Backend::Embedded, |options| options)
        .await
        .expect("the embedded default");
    let crowd = Crowd::of(&stage);
    let spellings = [
        "anna.b", "annab", "an.nab", "anna-b", "anna_b", "annab+x", "annab+y", "ANNAB",
    ];
    for spelling in spellings {
        let to = format!("{spelling}@proton.me");
        assert_eq!(crowd.email_by_app(network(1), &to).await.0, 202);
    }
    // An email that was requested later has come: the others are not on their way any more.
    crowd.email_by_app(network(2), "later@example.test").await;
    let later = stage
        .mail_sink
        .wait("later@example.test", 1, crate::judge::within());
    later.await.expect("an email");
    assert_eq!(
        stage.mail_sink.total(),
        3,
        "two of all spellings, and the later one"
    );
}
