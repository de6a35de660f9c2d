//! OA-1, OA-2: many networks against one user: the user's emails are used up, or the user's codes.

use std::{net::IpAddr, sync::Arc};

use testkit::{
    entree::{Backend, Options},
    mail::Mailbox as _,
};

use crate::{
    crowd::{Background, Crowd, flood, network},
    figures::report,
    judge::{Bounds, Left, Measured, judge},
    people::{Person, Way, all_sign_in, names, own_network},
    size,
    stage::{BOTH, Stage},
};

/// How many users are attacked.
fn victims() -> usize {
    size(2, 4)
}

fn victim(number: usize) -> String {
    format!("victim-{number}@example.test")
}

/// What strangers do to one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// To use up the emails.
    Emails,
    /// To enter wrong codes.
    Codes,
}

/// The size of an attack on each victim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack {
    pub(crate) aim: Aim,
    pub(crate) networks: usize,
    /// Requests, or flows with five wrong codes each, of each network.
    pub(crate) each: usize,
    pub(crate) ways: &'static [Way],
}

impl Attack {
    /// One attempt of a network on a victim.
    async fn attempt(self, crowd: &Crowd, number: usize) {
        let from = network(number % self.networks);
        let round = number / self.networks;
        let to = victim(round % victims());
        match self.aim {
            Aim::Emails if round.is_multiple_of(2) => {
                crowd.email_by_page(from, &to).await;
            }
            Aim::Emails => drop(crowd.email_by_app(from, &to).await),
            Aim::Codes => self.wrong_codes(crowd, from, &to, number).await,
        }
    }

    /// Enters wrong codes in a flow, once its email is there: without one they count for nothing.
    async fn wrong_codes(self, crowd: &Crowd, from: IpAddr, to: &str, number: usize) {
        let (status, started) = crowd.email_by_app(from, to).await;
        if status != 202 {
            return;
        }
        // A flow whose email is withheld has no code, so that one attempt shows that it counts nothing.
        let is_sent = started["withheld_for"].is_null();
        if is_sent {
            crowd.wait_for_emails().await;
        }
        for wrong in 0..if is_sent { 5 } else { 1 } {
            let code = format!("{:08}", number * 10 + wrong);
            crowd.code_by_app(from, &started, &code).await;
        }
    }

    /// Attacks, and lets the victims sign in while the attack goes on.
    pub(crate) async fn run(
        self,
        backend: Backend,
        change: impl FnOnce(Options) -> Options,
    ) -> Option<Measured> {
        let stage = Stage::start(backend, change).await?;
        let mut people = Vec::new();
        for number in 0..victims() {
            for way in self.ways {
                let from = own_network(&stage);
                people.push(Person::ready(&stage, *way, &victim(number), from).await);
            }
        }
        let crowd = Crowd::of(&stage);
        let all = self.networks * self.each * victims();
        flood(all, |number| self.attempt(&crowd, number)).await;
        let background = {
            let crowd = Arc::clone(&crowd);
            Background::start(move |number| {
                let crowd = Arc::clone(&crowd);
                async move { self.attempt(&crowd, number).await }
            })
        };
        let innocents = all_sign_in(&stage, people).await;
        drop(background);
        let rule = match self.aim {
            Aim::Emails => "OA-1",
            Aim::Codes => "OA-2",
        };
        Some(Measured {
            attack: format!("{rule}, {:4} networks against one user", self.networks),
            back_end: stage.back_end(),
            networks: self.networks,
            requests: crowd.sent(),
            innocents,
            peak_mib: stage.peak_mib(),
            left: self.left(&stage).await,
            faults: stage.faults(),
        })
    }

    /// The emails of the victim that got most, or the right codes that were refused.
    async fn left(self, stage: &Stage) -> Left {
        let mut most = 0;
        for number in 0..victims() {
            most = most.max(stage.mail_sink.all(&victim(number)).await.len());
        }
        let (count, of) = match self.aim {
            Aim::Emails => (most, "emails to a victim"),
            Aim::Codes => (stage.refused(), "right codes refused"),
        };
        let count = i64::try_from(count).expect("a small number");
        Left { count, of }
    }

    pub(crate) fn bounds(self) -> Bounds {
        Bounds {
            networks: self.networks,
            requests: self.networks * self.each,
            ways: names(self.ways),
            peak_mib: 256,
            left: match self.aim {
                // Three kinds of budgets for each victim: the address's own, its reserve, its devices'.
                Aim::Emails => 60,
                Aim::Codes => 0,
            },
        }
    }

    async fn holds_on_both(self) {
        for backend in BOTH {
            let Some(measured) = self.run(backend, |options| options).await else {
                return;
            };
            report(&measured);
            judge(&measured, &self.bounds()).unwrap_or_else(|why| panic!("{why}"));
        }
    }
}

/// The attacks that were seen: 20 requests, or ten wrong codes and more, from one network.
pub(crate) const fn one_network(aim: Aim) -> Attack {
    let each = match aim {
        Aim::Emails => 20,
        Aim::Codes => 4,
    };
    Attack {
        aim,
        networks: 1,
        each,
        ways: &Way::ALL,
    }
}

pub(crate) const fn ten_networks(aim: Aim) -> Attack {
    Attack {
        networks: 10,
        ..one_network(aim)
    }
}

fn a_thousand_networks(aim: Aim) -> Attack {
    Attack {
        aim,
        networks: 1_000,
        each: size(1, 5),
        ways: &Way::KNOWN,
    }
}

/// OA-1: 20 requests of one network.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_1_one_network_uses_up_no_users_emails() {
    one_network(Aim::Emails).holds_on_both().await;
}

/// OA-1: a new device against ten networks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_1_ten_networks_use_up_no_users_emails() {
    ten_networks(Aim::Emails).holds_on_both().await;
}

/// OA-1: a known device and an app against a thousand networks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_1_a_thousand_networks_keep_out_no_known_device() {
    a_thousand_networks(Aim::Emails).holds_on_both().await;
}

/// OA-2: wrong codes of one network.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_2_one_network_locks_no_users_codes() {
    one_network(Aim::Codes).holds_on_both().await;
}

/// OA-2: a new device against ten networks; the link of its email works when the code does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_2_ten_networks_lock_no_user_out() {
    ten_networks(Aim::Codes).holds_on_both().await;
}

/// OA-2: a known device and an app against a thousand networks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_2_a_thousand_networks_lock_out_no_known_device() {
    a_thousand_networks(Aim::Codes).holds_on_both().await;
}
