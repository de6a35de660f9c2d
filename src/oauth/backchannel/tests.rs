#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{collections::BTreeMap, pin::pin, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Worker,
    queue::{self, AttemptOutcome, Disposition, Row},
    token::{self, LOGOUT_TYP},
};
use crate::{
    client,
    clock::Time,
    config::{Alg, ClientBlock, Token},
    key::ExpectedToken,
    oauth::{
        grant_store,
        test_app::{ISSUER, TestApp, claims},
    },
    session,
    web::fetch::test_server::{TestServer, raw_response},
};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn row(attempts: i32) -> Row {
    Row {
        id: Uuid::from_u128(1),
        session_id: Uuid::from_u128(2),
        client_id: "web".to_owned(),
        sub: Uuid::from_u128(3),
        attempts,
        due_at: Time(0),
        lease_until: Time(0),
        lease_owner: None,
        last_error: None,
        created_at: Time(0),
        dropped_at: None,
    }
}

fn header(token: &str) -> Value {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap());
    serde_json::from_slice(&header.unwrap()).unwrap()
}

#[tokio::test]
async fn lo_2_a_logout_token_says_what_it_must_and_no_more() {
    let test_app = TestApp::new().await;
    let mut seen = BTreeMap::new();
    for (alg, name) in [(Alg::RS256, "RS256"), (Alg::ES256, "ES256")] {
        test_app.configure("web", |client| client.id_token_signed_response_alg = alg);
        let config = test_app.app.config.get();
        let client = client::find(&config, "web").unwrap();
        for _ in 0..2 {
            let token = token::sign(&test_app.app, client, &row(1)).unwrap();
            assert_eq!(header(&token)["typ"], "logout+jwt");
            assert_eq!(header(&token)["alg"], name);
            let expected = ExpectedToken {
                typ: LOGOUT_TYP,
                issuer: ISSUER,
                audiences: &["web"],
            };
            let verified = test_app.app.keys.verify(&token, &expected);
            assert!(verified.is_ok(), "{verified:?}");
            let mut claims = claims(&token);
            let iat = claims["iat"].as_i64().unwrap();
            let age = test_app.app.clock().now().seconds() - iat;
            assert!((0..60).contains(&age), "{age}");
            let jti = claims["jti"].as_str().unwrap().to_owned();
            assert_eq!(seen.insert(jti, ()), None, "each attempt has its own jti");
            let members = claims.as_object_mut().unwrap();
            members.remove("jti");
            assert_eq!(
                claims,
                json!({
                    "iss": ISSUER,
                    "aud": "web",
                    "iat": iat,
                    "exp": iat + 120,
                    "sub": Uuid::from_u128(3).to_string(),
                    "sid": Uuid::from_u128(2).to_string(),
                    "events": { EVENT: {} },
                })
            );
        }
    }
}

/// LO-12: it is neither a hint nor an access token.
#[tokio::test]
async fn lo_12_a_logout_token_passes_for_no_other() {
    let test_app = TestApp::new().await;
    let config = test_app.app.config.get();
    let client = client::find(&config, "web").unwrap();
    let token = token::sign(&test_app.app, client, &row(1)).unwrap();
    assert!(test_app.app.keys.verify_hint(&token, ISSUER).is_err());
    for typ in ["JWT", "at+jwt"] {
        let expected = ExpectedToken {
            typ,
            issuer: ISSUER,
            audiences: &["web", ISSUER],
        };
        assert!(test_app.app.keys.verify(&token, &expected).is_err());
    }
    assert_eq!(test_app.userinfo(&token).await.status, 401);
}

#[test]
fn lo_8_attempts_are_made_at_their_times_and_then_no_more() {
    let failed = AttemptOutcome::Failed("5xx");
    let mut at = Duration::ZERO;
    let mut times = vec![0];
    for attempts in 1.. {
        let now = Time(0) + at;
        match queue::disposition(&row(attempts), failed, now) {
            Disposition::RetryAt(next) => {
                at = next.since(Time(0));
                times.push(at.as_secs());
            }
            other => {
                assert_eq!(other, Disposition::Dropped);
                break;
            }
        }
    }
    assert_eq!(times, [0, 5, 30, 120, 600, 3000]);
    for outcome in [AttemptOutcome::Delivered, AttemptOutcome::NotWanted] {
        let done = queue::disposition(&row(6), outcome, Time(0));
        assert_eq!(done, Disposition::Deleted);
    }
}

#[test]
fn lo_1_the_address_for_logout_tokens_is_https_or_on_this_machine_without_a_fragment() {
    let problems = |more: Value| {
        let mut definition = json!({
            "name": "A",
            "audience": "https://api.example",
            "redirect_uris": ["https://a.example/cb"],
        });
        let members = definition.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        let block = ClientBlock::from_definition("a", &definition.to_string()).unwrap();
        let problems = block.into_client(&Token::default(), ISSUER).err();
        let keys = problems.into_iter().flatten().map(|problem| problem.key);
        keys.collect::<Vec<_>>()
    };
    let uri = "backchannel_logout_uri";
    let none = Vec::<String>::new();
    for right in [
        "https://a.example/out",
        "https://a.example:8443/out?app=1",
        "http://127.0.0.1:9/out",
        "http://[::1]:9/out",
        "http://localhost:9/out",
    ] {
        let both = json!({ uri: right, "backchannel_logout_session_required": true });
        assert_eq!(problems(both), none, "{right}");
    }
    for bad in [
        "http://a.example/out",
        "https://u:p@a.example/out",
        "https://a.example/out#",
        "https://a.example/out#x",
        "https://a.example/ out",
        "com.example.app:/out",
        "file:///etc/passwd",
        "out",
    ] {
        assert_eq!(problems(json!({ uri: bad })), [uri], "{bad}");
    }
    let alone = json!({ "backchannel_logout_session_required": true });
    assert_eq!(problems(alone), ["backchannel_logout_session_required"]);
    let hosts = json!({ uri: "https://a.example/", "private_hosts": ["a.example", "10.0.0.7"] });
    assert_eq!(problems(hosts), none);
    let bad_host = json!({ uri: "https://a.example/", "private_hosts": ["https://a.example"] });
    assert_eq!(problems(bad_host), ["private_hosts[0]"]);
    let unread = json!({ uri: "https://a.example/", "ca_file": "/nowhere" });
    assert_eq!(problems(unread), ["ca_file"]);
    let unused = json!({ "private_hosts": ["a.example"] });
    assert_eq!(problems(unused), ["private_hosts"]);
}

/// LO-3: the hosts that a client names, and no others, and never over plain http.
#[test]
fn lo_3_a_client_opens_exactly_the_hosts_that_it_names() {
    let definition = json!({
        "client_id": "a",
        "name": "A",
        "audience": "https://api.example",
        "private_hosts": ["10.0.0.7"],
    });
    let client = serde_json::from_value(definition).unwrap();
    let is_open = |uri: &str| client::fetch_scope(&client, uri).check_url(uri).is_ok();
    for open in [
        "https://10.0.0.7/out",
        "https://app.example/out",
        "http://127.0.0.1:9/out",
    ] {
        assert!(is_open(open), "{open}");
    }
    for shut in [
        "http://10.0.0.7/out",
        "https://10.0.0.8/out",
        "https://127.0.0.1/out",
        "https://localhost/out",
        "http://app.example/out",
    ] {
        assert!(!is_open(shut), "{shut}");
    }
}

/// A service whose user is signed in at the client `web` and whose session has just ended.
async fn ended(uri: &str) -> TestApp {
    let test_app = TestApp::new().await;
    let uri = uri.to_owned();
    test_app.configure("web", |client| client.backchannel_logout_uri = uri);
    test_app.tokens("web", "openid").await;
    end_session(&test_app).await;
    test_app
}

async fn end_session(test_app: &TestApp) {
    let tx = test_app.app.db.begin().await.unwrap();
    let session = &test_app.session;
    let is_ended = session::end(&tx, session.user_id, session.id)
        .await
        .unwrap();
    assert!(is_ended);
    tx.commit().await.unwrap();
    test_app.advance(1);
}

async fn waiting(test_app: &TestApp) -> u64 {
    queue::backlog(&test_app.app.db).await.unwrap().0
}

#[tokio::test]
async fn lo_3_the_form_has_the_token_alone_and_200_or_204_is_the_end_of_it() {
    for status in [200, 204] {
        let server = TestServer::start(move |_| raw_response(status, "", "")).await;
        let test_app = ended(&format!("{}/out", server.base)).await;
        let mut worker = Worker::new(test_app.app.clone());
        worker.deliver_due().await.unwrap();
        worker.deliver_due().await.unwrap();
        let received = server.requests_for("/out");
        assert_eq!(received.len(), 1, "{received:?}");
        assert_eq!(received[0].method, "POST");
        assert_eq!(
            received[0].header("content-type"),
            Some("application/x-www-form-urlencoded")
        );
        let form: Vec<_> = form_urlencoded::parse(received[0].body.as_bytes())
            .into_owned()
            .collect();
        assert_eq!(form.len(), 1, "{form:?}");
        assert_eq!(form[0].0, "logout_token");
        let claims = claims(&form[0].1);
        assert_eq!(claims["sid"], test_app.session.id.to_string());
        assert_eq!(claims["sub"], test_app.user.public_id.to_string());
        assert_eq!(waiting(&test_app).await, 0);
    }
}

/// LO-3, LO-12: an address that is not public, under whatever name, is connected to by no attempt.
#[tokio::test]
async fn lo_3_lo_12_no_logout_token_goes_to_an_address_that_is_not_public() {
    let server = TestServer::start(|_| raw_response(200, "", "")).await;
    let port = server.base.rsplit(':').next().unwrap();
    for host in [
        "127.0.0.1",
        "localhost",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
        // A name that a hostile name server rebinds to loopback.
        "rebound.test",
    ] {
        let test_app = ended(&format!("https://{host}:{port}/out")).await;
        let mut worker = Worker::new(test_app.app.clone());
        worker.deliver_due().await.unwrap();
        assert_eq!(waiting(&test_app).await, 1, "{host}: it is tried again");
    }
    assert_eq!(server.connections(), 0, "no connection was made");
}

/// LO-12: what a hostile client answers is a failure, and no more.
#[tokio::test]
async fn lo_12_a_redirect_and_a_body_without_end_are_failures() {
    let bodies = [
        raw_response(302, "Location: http://127.0.0.1:1/x\r\n", ""),
        raw_response(307, "Location: https://rebound.test/x\r\n", ""),
        raw_response(200, "", &"x".repeat(5_000_000)),
        raw_response(400, "", r#"{"error":"invalid_request"}"#),
        raw_response(500, "", ""),
        raw_response(201, "", ""),
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx".to_vec(),
    ];
    for body in bodies {
        let answer = body.clone();
        let server = TestServer::start(move |_| answer.clone()).await;
        let test_app = ended(&format!("{}/out", server.base)).await;
        let mut worker = Worker::new(test_app.app.clone());
        worker.deliver_due().await.unwrap();
        assert_eq!(server.connections(), 1, "one attempt, no redirect followed");
        assert_eq!(waiting(&test_app).await, 1, "it is tried again");
        test_app.advance(5);
        worker.deliver_due().await.unwrap();
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn lo_8_an_attempt_whose_lease_was_lost_records_nothing() {
    let server = TestServer::start(|_| raw_response(500, "", "")).await;
    let test_app = ended(&format!("{}/out", server.base)).await;
    let (db, first, second) = (&test_app.app.db, Uuid::from_u128(1), Uuid::from_u128(2));
    queue::enqueue_ended(&test_app.app).await.unwrap();
    let due = queue::list_due(db, 2, &[]).await.unwrap();
    let ids: Vec<Uuid> = due.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), 1);
    let of_first = queue::lease(db, first, ids.clone()).await.unwrap();
    assert!(
        queue::lease(db, second, ids.clone())
            .await
            .unwrap()
            .is_empty()
    );
    test_app.advance(60);
    let of_second = queue::lease(db, second, ids).await.unwrap();
    assert_eq!(of_second[0].attempts, 2);
    let outcome = AttemptOutcome::Delivered;
    let lost = queue::record(db, &of_first[0], outcome).await.unwrap();
    assert_eq!(lost, None);
    assert_eq!(waiting(&test_app).await, 1, "it is the other's");
    let recorded = queue::record(db, &of_second[0], outcome).await.unwrap();
    assert_eq!(recorded, Some(Disposition::Deleted));
    assert_eq!(waiting(&test_app).await, 0);
}

#[tokio::test]
async fn lo_4_only_clients_with_an_address_and_a_grant_with_openid_are_notified() {
    let server = TestServer::start(|_| raw_response(200, "", "")).await;
    let test_app = TestApp::new().await;
    for (client, path) in [("web", "web"), ("app", "app"), ("third", "third")] {
        let uri = format!("{}/{path}", server.base);
        test_app.configure(client, |client| {
            client.backchannel_logout_uri = uri;
            client.first_party = true;
        });
    }
    test_app.tokens("web", "openid").await;
    test_app.tokens("web", "openid email").await;
    // No ID token, and no address.
    test_app.tokens("app", "lessons:read").await;
    test_app.tokens("other", "openid").await;
    // A grant that ended before its session signed the user in, too.
    test_app.tokens("third", "openid").await;
    test_app
        .sql("UPDATE grant_families SET revoked_at = created_at WHERE client_id = 'third'")
        .await;
    end_session(&test_app).await;
    let mut worker = Worker::new(test_app.app.clone());
    worker.deliver_due().await.unwrap();
    let received = |path: &str| server.requests_for(path).len();
    assert_eq!((received("/web"), received("/third")), (1, 1));
    assert_eq!(server.connections(), 2);
}

/// LO-4: no grant appears after the end of its session was claimed, however slow its redemption is. SQLite
/// has one writer.
#[tokio::test]
async fn lo_4_an_end_waits_for_a_redemption_under_way() {
    for test_app in TestApp::all().await {
        let db = &test_app.app.db;
        if !db.is_postgres() {
            continue;
        }
        let (user, id) = (test_app.session.user_id, test_app.session.id);
        let redeeming = db.begin().await.unwrap();
        let found = grant_store::find_code_session(&redeeming, id, "web").await;
        assert!(found.unwrap().is_some());
        let ending = db.begin().await.unwrap();
        let mut end = pin!(session::end(&ending, user, id));
        let early = tokio::time::timeout(Duration::from_millis(300), &mut end).await;
        assert!(early.is_err(), "the end waits");
        redeeming.commit().await.unwrap();
        assert!(end.await.unwrap());
    }
}

/// LO-4: the clean-up keeps the grants of a session while it lives, and until its end is claimed.
#[tokio::test]
async fn lo_4_the_grants_of_a_live_session_stay() {
    let test_app = TestApp::new().await;
    test_app.tokens("web", "openid").await;
    let swept = async || {
        let tx = test_app.app.db.begin().await.unwrap();
        let count = grant_store::sweep(&tx, 10).await.unwrap();
        tx.commit().await.unwrap();
        count
    };
    test_app.sql("UPDATE grant_families SET gc_day = 0").await;
    assert_eq!(swept().await, 0, "the session lives");
    end_session(&test_app).await;
    assert_eq!(swept().await, 0, "its end is not claimed yet");
    queue::enqueue_ended(&test_app.app).await.unwrap();
    assert_eq!(swept().await, 1);
}

/// LO-7: neither does the clean-up delete a session before its clients are queued.
#[tokio::test]
async fn lo_7_an_ended_session_stays_until_its_clients_are_queued() {
    let test_app = TestApp::new().await;
    end_session(&test_app).await;
    test_app.sql("UPDATE sessions SET expires_at = 0").await;
    let swept = async || {
        let tx = test_app.app.db.begin().await.unwrap();
        let count = session::sweep(&tx, 10).await.unwrap();
        tx.commit().await.unwrap();
        count
    };
    assert_eq!(swept().await, 0);
    queue::enqueue_ended(&test_app.app).await.unwrap();
    assert_eq!(swept().await, 1);
}

/// LO-7: a unit of work that fails claims nothing.
#[tokio::test]
async fn lo_7_a_claim_that_is_rolled_back_is_made_again() {
    let test_app = TestApp::new().await;
    end_session(&test_app).await;
    let now = test_app.app.clock().now();
    let tx = test_app.app.db.begin().await.unwrap();
    assert_eq!(session::claim_ended(&tx, 10).await.unwrap().len(), 1);
    assert_eq!(session::claim_ended(&tx, 10).await.unwrap().len(), 0);
    drop(tx);
    let is_there = session::has_ended(test_app.app.db.read(), now).await;
    assert!(is_there.unwrap());
}
