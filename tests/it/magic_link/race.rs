//! B6: of any number at once exactly one consumes. The checker is held against a consume that is wrong on purpose.

use std::sync::Arc;

use entity::{audit_event, magic_link_flow, session};
use entree::{
    db::Db,
    login::flow::{self, FlowHolder, FlowState, NewFlow},
    secret::{Hash, Plain},
};
use futures_util::future::{BoxFuture, join_all};
use poem::http::StatusCode;
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, sea_query::Expr,
};
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::test_app::TestApp;

const AT_ONCE: usize = 64;
const ROUNDS: usize = 50;

on_both!(
    b_6_of_64_clicks_at_once_one_makes_a_session,
    b_6_of_64_claims_at_once_one_wins,
    b_6_the_checker_finds_a_claim_that_reads_before_it_writes,
);

async fn b_6_of_64_clicks_at_once_one_makes_a_session(test_app: TestApp) {
    let test_app = Arc::new(test_app);
    for round in 0..ROUNDS {
        let email = format!("race-{round}@example.com");
        let mut person = test_app.browser();
        let waiting = person.ask(&email).await;
        let mail = test_app.mail(&email).await;
        let link = person.open(&mail.link()).await;
        let barrier = Arc::new(Barrier::new(AT_ONCE));
        let clicks = (0..AT_ONCE).map(|n| {
            // Every sixteenth types the code: four tries, one less than the flow has.
            let request = if n % 16 == 0 {
                person.filled(&waiting, &waiting.form("code"), &[("code", &mail.code())])
            } else {
                person.filled(&link, &link.form("link"), &[])
            };
            let (test_app, barrier) = (Arc::clone(&test_app), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                test_app.call(request).await
            })
        });
        for answer in join_all(clicks).await {
            let answer = answer.unwrap();
            assert_eq!(
                answer.status,
                StatusCode::OK,
                "round {round}: {}",
                answer.summary()
            );
        }
        let db = test_app.app.db.read();
        assert_eq!(
            session::Entity::find().count(db).await.unwrap(),
            round as u64 + 1,
            "sessions after round {round}"
        );
        let consumed = audit_event::Column::Kind.eq("magic_link.consumed");
        let consumed = audit_event::Entity::find()
            .filter(consumed)
            .count(db)
            .await
            .unwrap();
        assert_eq!(consumed, round as u64 + 1, "consumed after round {round}");
    }
}

/// A way to take a flow; says whether it was taken.
type Claim = fn(Db, Uuid) -> BoxFuture<'static, bool>;

/// Lets many take the same flow at once, round after round; gives the number of winners of each round that did not
/// have exactly one.
async fn rounds_without_one_winner(test_app: &TestApp, claim: Claim) -> Vec<usize> {
    let mut findings = Vec::new();
    for _ in 0..ROUNDS {
        let tx = test_app.tx().await;
        let holder = FlowHolder::Browser(Plain::generate().hash());
        let open = NewFlow {
            holder: &holder,
            client_id: None,
            canonical: "race@example.com",
            address_key: &Hash::of(b"race"),
            locale: "en",
            device: "",
            remembered: false,
            destination: None,
            link: None,
            withheld_for: None,
        };
        let id = flow::open(&tx, open, &test_app.app.config.get())
            .await
            .unwrap()
            .id;
        tx.commit().await.unwrap();
        let barrier = Arc::new(Barrier::new(AT_ONCE));
        let claims = (0..AT_ONCE).map(|_| {
            let (db, barrier) = (test_app.app.db.clone(), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                claim(db, id).await
            })
        });
        let winners = join_all(claims)
            .await
            .into_iter()
            .filter(|won| *won.as_ref().unwrap())
            .count();
        if winners != 1 {
            findings.push(winners);
        }
    }
    findings
}

async fn b_6_of_64_claims_at_once_one_wins(test_app: TestApp) {
    let right: Claim = |db, id| {
        Box::pin(async move {
            let tx = db.begin().await.unwrap();
            let won = flow::claim(&tx, id).await.unwrap();
            tx.commit().await.unwrap();
            won
        })
    };
    assert_eq!(
        rounds_without_one_winner(&test_app, right).await,
        [0_usize; 0]
    );
}

async fn b_6_the_checker_finds_a_claim_that_reads_before_it_writes(test_app: TestApp) {
    let wrong: Claim = |db, id| {
        Box::pin(async move {
            let flow = flow::find(db.read(), id).await.unwrap().unwrap();
            if flow.state != FlowState::Open {
                return false;
            }
            let tx = db.begin().await.unwrap();
            magic_link_flow::Entity::update_many()
                .col_expr(magic_link_flow::Column::State, Expr::value("consumed"))
                .filter(magic_link_flow::Column::Id.eq(id))
                .exec(tx.conn())
                .await
                .unwrap();
            tx.commit().await.unwrap();
            true
        })
    };
    let findings = rounds_without_one_winner(&test_app, wrong).await;
    assert!(
        findings.iter().any(|winners| *winners > 1),
        "the checker is blind: {findings:?}"
    );
}
