//! SP-3: a client that drops its connection, at whatever moment, leaves no half of a unit of work.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use poem::{
    Request, Response,
    http::{Method, header},
};
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::json;

use crate::{
    oauth::{Attempt, register, signed_in, token, token_request},
    test_app::{Browser, TestApp, encoded},
};

on_both!(
    sp_3_a_code_whose_client_is_gone_has_its_grant_or_is_unused,
    sp_3_requests_that_are_cut_leave_no_open_transaction,
);

/// More moments than a request has points at which it waits.
const CUTS: usize = 40;

/// Lets a request go on so often, and drops it then, as the server does when the connection is gone. Says
/// whether it was answered before.
async fn cut(request: impl Future<Output = Response>, after: usize) -> bool {
    let mut request = pin!(request);
    let mut polls = 0;
    poll_fn(|context| {
        let answer = request.as_mut().poll(context);
        polls += 1;
        match answer {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if polls > after => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn number(test_app: &TestApp, sql: &str) -> i64 {
    let db = test_app.app.db.read();
    let statement = Statement::from_string(db.get_database_backend(), sql.to_owned());
    let row = db.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

async fn until_is(test_app: &TestApp, sql: &str, expected: i64) {
    let is_expected = || async { (number(test_app, sql).await == expected).then_some(()) };
    if let Err(why) = testkit::until(sql, Duration::from_secs(10), is_expected).await {
        panic!("{why}: {}", number(test_app, sql).await);
    }
}

/// Each code is exchanged by a client that is gone a little later, and again by one that stays: in all
/// there is one grant for each code. A code that was claimed without a grant would be lost to both.
async fn sp_3_a_code_whose_client_is_gone_has_its_grant_or_is_unused(test_app: TestApp) {
    register(&test_app);
    let mut browser = signed_in(&test_app, "sp3@example.com").await;
    let grants = "SELECT count(*) FROM grant_families";
    assert_eq!(number(&test_app, grants).await, 0);
    let mut answered = 0;
    for after in 0..CUTS {
        let attempt = Attempt::new();
        let code = attempt.code(&mut browser).await;
        let fields = attempt.exchange(&code);
        let body = encoded(&fields.clone().into_iter().collect::<Vec<_>>());
        answered += usize::from(cut(test_app.answer(token_request(body)), after).await);
        let again = token(&test_app, &fields).await;
        assert!(
            [200, 400].contains(&again.status.as_u16()),
            "{}",
            again.body
        );
    }
    assert!(answered < CUTS, "no request was cut");
    until_is(&test_app, grants, CUTS.try_into().unwrap()).await;
}

fn email_request(browser: &Browser<'_>, number: usize) -> Request {
    let body = json!({
        "client_id": "web",
        "email": format!("sp3-{number}@example.com"),
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    });
    browser
        .request(Method::POST, "/api/v1/auth/magic-link/request")
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.to_string())
}

/// Many requests at once are cut, each at another moment. Then no connection of the pool is within a
/// transaction, each flow has its email, and the service goes on.
async fn sp_3_requests_that_are_cut_leave_no_open_transaction(test_app: TestApp) {
    register(&test_app);
    let browser = test_app.browser();
    for round in 0..6 {
        let requests = (0..CUTS).map(|after| {
            let request = email_request(&browser, round * CUTS + after);
            cut(test_app.answer(request), after)
        });
        let answered = futures_util::future::join_all(requests).await;
        assert!(
            answered.iter().any(|answered| !answered),
            "no request was cut"
        );
    }
    let all = (6 * CUTS).try_into().unwrap();
    until_is(&test_app, "SELECT count(*) FROM magic_link_flows", all).await;
    until_is(&test_app, "SELECT count(*) FROM mail_outbox", all).await;
    if test_app.app.db.is_postgres() {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND state LIKE 'idle in transaction%'";
        until_is(&test_app, open, 0).await;
    }
    // Whatever connection it gets: what is written is there for others.
    let writes = (0..32).map(|_| async { test_app.app.db.probe().await });
    for written in futures_util::future::join_all(writes).await {
        written.unwrap();
    }
}
