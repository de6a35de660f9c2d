//! of fifty callbacks with one state at once, one signs in. The judge is held against a claim that reads first.

use std::sync::Arc;

use entree::{
    secret::Plain,
    ticket::{Claim, Kind, Tickets},
};
use futures_util::future::{BoxFuture, join_all};
use serde_json::json;
use testkit::upstream::Place;
use tokio::sync::Barrier;

use crate::{
    federation::{Kept, Stage, count},
    test_app::TestApp,
};

const AT_ONCE: usize = 50;
const ROUNDS: usize = 10;

on_both!(
    r_11_of_50_callbacks_at_once_one_makes_a_session,
    r_11_the_judge_finds_a_claim_that_reads_before_it_writes,
    lk_09_two_first_logins_with_one_address_make_one_user,
);

async fn r_11_of_50_callbacks_at_once_one_makes_a_session(test_app: TestApp) {
    for round in 0..ROUNDS {
        let stage = Stage::new(&test_app, json!({})).await;
        let (browser, _, back) = stage.gone().await;
        let (before, sessions) = (
            Kept::of(&test_app).await,
            count(&test_app, "sessions").await,
        );
        let barrier = Arc::new(Barrier::new(AT_ONCE));
        let all = join_all((0..AT_ONCE).map(|_| {
            let (mut browser, barrier, path) = (browser.clone(), Arc::clone(&barrier), back.path());
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
            count(&test_app, "sessions").await,
            sessions + 1,
            "round {round}"
        );
        assert_eq!(
            stage.up.count(Place::Token),
            1,
            "round {round}: one exchange"
        );
        let used = Kept::of(&test_app).await.since(&before);
        assert_eq!(
            used.iter()
                .filter(|reason| *reason == "up_state_used")
                .count(),
            AT_ONCE - 1,
            "round {round}"
        );
    }
}

/// A way to take a ticket; says whether it was taken.
type Take = fn(Tickets, Plain) -> BoxFuture<'static, bool>;

/// Lets many take one ticket at once, round after round; gives how many won in each.
async fn winners(test_app: &TestApp, take: Take) -> Vec<usize> {
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        let state = Plain::generate();
        let kept = std::time::Duration::from_secs(600);
        assert!(
            test_app
                .app
                .tickets
                .issue(Kind::Upstream, &state.hash(), b"flow", kept)
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
                take(tickets, state).await
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

async fn r_11_the_judge_finds_a_claim_that_reads_before_it_writes(test_app: TestApp) {
    let good: Take = |tickets, state| {
        Box::pin(async move {
            let kept = std::time::Duration::from_secs(600);
            matches!(
                tickets
                    .claim(Kind::Upstream, &state.hash(), b"used", kept)
                    .await,
                Ok(Claim::Fresh(_))
            )
        })
    };
    let planted: Take = |tickets, state| {
        Box::pin(async move {
            let there = tickets
                .peek(Kind::Upstream, &state.hash())
                .await
                .unwrap()
                .is_some();
            tokio::task::yield_now().await;
            let kept = std::time::Duration::from_secs(600);
            let _ = tickets
                .claim(Kind::Upstream, &state.hash(), b"used", kept)
                .await;
            there
        })
    };
    assert_eq!(winners(&test_app, good).await, [1; ROUNDS]);
    let found = winners(&test_app, planted).await;
    assert!(
        found.iter().any(|won| *won > 1),
        "the judge sees nothing: {found:?}"
    );
}

/// Two accounts of two providers tell one address at the same moment.
async fn lk_09_two_first_logins_with_one_address_make_one_user(test_app: TestApp) {
    for round in 0..ROUNDS {
        let (one, two) = (
            Stage::new(&test_app, json!({})).await,
            Stage::new(&test_app, json!({})).await,
        );
        two.up
            .person(json!({"sub": two.id, "email": one.email, "email_verified": true}));
        let users = count(&test_app, "users").await;
        let ((mut browser, _, back), (mut other, _, their)) = (one.gone().await, two.gone().await);
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
            count(&test_app, "users").await,
            users + 1,
            "round {round}: LK-09"
        );
    }
}
