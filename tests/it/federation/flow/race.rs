//! of fifty simultaneous callbacks with one state, one signs in. A claim that reads before it
//! writes is planted to show that the test would find it.

use std::sync::Arc;

use entree::{
    secret::Plain,
    ticket::{Claim, TicketKind, Tickets},
};
use futures_util::future::{BoxFuture, join_all};
use serde_json::json;
use testkit::upstream::Place;
use tokio::sync::Barrier;

use crate::{
    federation::{ProviderFixture, Snapshot, count_rows},
    test_app::TestApp,
};

const AT_ONCE: usize = 50;
const ROUNDS: usize = 10;

on_both!(
    r_11_one_of_50_simultaneous_callbacks_creates_a_session,
    r_11_the_test_finds_a_claim_that_reads_before_it_writes,
    lk_09_two_first_sign_ins_with_one_address_create_one_user,
);

async fn r_11_one_of_50_simultaneous_callbacks_creates_a_session(test_app: TestApp) {
    for round in 0..ROUNDS {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        let (browser, _, back) = fixture.go_to_provider().await;
        let (before, sessions) = (
            Snapshot::load(&test_app).await,
            count_rows(&test_app, "sessions").await,
        );
        let barrier = Arc::new(Barrier::new(AT_ONCE));
        let all = join_all((0..AT_ONCE).map(|n| {
            let (mut browser, barrier, path) = (browser.clone(), Arc::clone(&barrier), back.path());
            // A network each, so that each refusal has its line in the log (OA-19).
            browser.from = format!("10.{round}.{n}.7");
            async move {
                barrier.wait().await;
                let page = browser.open(&path).await;
                (browser.is_signed_in(), page)
            }
        }))
        .await;
        let winners = all.iter().filter(|(signed_in, _)| *signed_in).count();
        assert_eq!(winners, 1, "round {round}");
        for (_, page) in all.iter().filter(|(signed_in, _)| !signed_in) {
            assert_eq!(page.status, 400, "round {round}: {}", page.summary());
        }
        assert_eq!(
            count_rows(&test_app, "sessions").await,
            sessions + 1,
            "round {round}"
        );
        assert_eq!(
            fixture.up.count(Place::Token),
            1,
            "round {round}: one exchange"
        );
        let used = Snapshot::load(&test_app).await.reasons_since(&before);
        assert_eq!(
            used.iter()
                .filter(|reason| *reason == "up_state_used")
                .count(),
            AT_ONCE - 1,
            "round {round}"
        );
    }
}

/// A way to claim a ticket; returns whether it was claimed.
type ClaimTicket = fn(Tickets, Plain) -> BoxFuture<'static, bool>;

/// Lets many callers claim one ticket at once, round after round. Returns the number of winners of
/// each round.
async fn winners(test_app: &TestApp, claim: ClaimTicket) -> Vec<usize> {
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        let state = Plain::generate();
        let ttl = std::time::Duration::from_secs(600);
        assert!(
            test_app
                .app
                .tickets
                .issue(TicketKind::Upstream, &state.hash(), b"flow", ttl)
                .await
                .unwrap()
        );
        let barrier = Arc::new(Barrier::new(AT_ONCE));
        let takes = (0..AT_ONCE).map(|_| {
            let (tickets, state, barrier) = (
                test_app.app.tickets.clone(),
                state.clone(),
                Arc::clone(&barrier),
            );
            tokio::spawn(async move {
                barrier.wait().await;
                claim(tickets, state).await
            })
        });
        all.push(
            join_all(takes)
                .await
                .into_iter()
                .filter(|won| *won.as_ref().unwrap())
                .count(),
        );
    }
    all
}

async fn r_11_the_test_finds_a_claim_that_reads_before_it_writes(test_app: TestApp) {
    let good: ClaimTicket = |tickets, state| {
        Box::pin(async move {
            let ttl = std::time::Duration::from_secs(600);
            matches!(
                tickets
                    .claim(TicketKind::Upstream, &state.hash(), b"used", ttl)
                    .await,
                Ok(Claim::Fresh(_))
            )
        })
    };
    let planted: ClaimTicket = |tickets, state| {
        Box::pin(async move {
            let there = tickets
                .peek(TicketKind::Upstream, &state.hash())
                .await
                .unwrap()
                .is_some();
            tokio::task::yield_now().await;
            let ttl = std::time::Duration::from_secs(600);
            let _ = tickets
                .claim(TicketKind::Upstream, &state.hash(), b"used", ttl)
                .await;
            there
        })
    };
    assert_eq!(winners(&test_app, good).await, [1; ROUNDS]);
    let found = winners(&test_app, planted).await;
    assert!(
        found.iter().any(|won| *won > 1),
        "the test finds nothing: {found:?}"
    );
}

/// Two accounts of two providers arrive with one address at the same moment.
async fn lk_09_two_first_sign_ins_with_one_address_create_one_user(test_app: TestApp) {
    for round in 0..ROUNDS {
        let (one, two) = (
            ProviderFixture::new(&test_app, json!({})).await,
            ProviderFixture::new(&test_app, json!({})).await,
        );
        two.up
            .person(json!({"sub": two.id, "email": one.email, "email_verified": true}));
        let users = count_rows(&test_app, "users").await;
        let ((mut browser, _, back), (mut other, _, their)) =
            (one.go_to_provider().await, two.go_to_provider().await);
        let (here, there) = (back.path(), their.path());
        let (a, b) = tokio::join!(browser.open(&here), other.open(&there));
        for page in [a, b] {
            assert!(
                page.status.as_u16() < 500,
                "round {round}: {}",
                page.summary()
            );
        }
        assert_eq!(
            count_rows(&test_app, "users").await,
            users + 1,
            "round {round}: LK-09"
        );
    }
}
