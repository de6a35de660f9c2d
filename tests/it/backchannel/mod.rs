//! Back-channel logout: clients are notified of the end of a session (LO).

mod delivery;
mod ends;

use entree::oauth::backchannel::Worker;
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::Value;
use testkit::logout::{LogoutReceiver, Received};

use crate::{
    oauth::{Attempt, register, signed_in},
    test_app::{Browser, TestApp},
};

/// Registers the usual clients, each with an address for logout tokens at the receiver.
pub(crate) fn register_notified(test_app: &TestApp, receiver: &LogoutReceiver) {
    register(test_app);
    test_app.configure(|config| {
        for client in &mut config.clients {
            client.backchannel_logout_uri = receiver.uri(&client.client_id);
        }
    });
}

/// Delivers what has ended by now: a redemption that was under way has settled after a second.
pub(crate) async fn deliver(test_app: &TestApp) {
    test_app.pass(1);
    deliver_due(test_app).await;
}

/// Delivers what is due now, by a worker that has no memory of clients.
pub(crate) async fn deliver_due(test_app: &TestApp) {
    Worker::new(test_app.app.clone())
        .deliver_due()
        .await
        .unwrap();
}

/// A browser that signed in at the client `web`, and the claims of its ID token.
async fn signed_in_at_web<'a>(test_app: &'a TestApp, email: &str) -> (Browser<'a>, Value, String) {
    let mut browser = signed_in(test_app, email).await;
    let tokens = Attempt::new().tokens(&mut browser).await;
    let id_token = tokens["id_token"].as_str().unwrap().to_owned();
    let claims = crate::oauth::verified(test_app, &tokens["id_token"])
        .await
        .claims;
    (browser, claims, id_token)
}

/// Checks that one token arrived, for this session and this user, and returns it.
fn one_for(received: &[Received], id_token: &Value) -> Received {
    let [one] = received else {
        panic!("{} tokens arrived: {received:?}", received.len());
    };
    let claims = one.claims();
    assert_eq!(claims["sid"], id_token["sid"]);
    assert_eq!(claims["sub"], id_token["sub"]);
    assert_eq!(claims["iss"], id_token["iss"]);
    assert_eq!(claims["aud"], id_token["aud"]);
    one.clone()
}

/// The number that a statement returns as `n`.
async fn number(test_app: &TestApp, sql: &str) -> i64 {
    let db = test_app.app.db.read();
    let query = Statement::from_string(db.get_database_backend(), sql);
    let row = db.query_one_raw(query).await.unwrap().unwrap();
    row.try_get("", "n").unwrap()
}

async fn waiting(test_app: &TestApp) -> i64 {
    number(
        test_app,
        "SELECT count(*) AS n FROM logout_outbox WHERE dropped_at IS NULL",
    )
    .await
}
