use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde_json::json;

use super::*;
use crate::clock::Time;
use crate::key::{
    ExpectedToken,
    jwt::MAX_LIFETIME,
    lifecycle::{MAX_UNCONFIRMED, PUBLICATION_LEAD, RETIRING_PERIOD, SIGNING_PERIOD},
    tests::{TestApp, kid_of, kids, open},
};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

#[test]
fn sk_03_the_spans_are_those_promised() {
    assert_eq!((PUBLICATION_LEAD, SIGNING_PERIOD), (DAY, 90 * DAY));
    assert!(
        RETIRING_PERIOD >= 2 * HOUR && RETIRING_PERIOD >= HOUR + 2 * Duration::from_secs(300),
        "from demotion"
    );
    // A copy that signs on what it read MAX_UNCONFIRMED ago still leaves its last token time to
    // die.
    assert!(MAX_UNCONFIRMED + HOUR + 2 * Duration::from_secs(300) <= RETIRING_PERIOD);
}

fn token(keys: &Keys, alg: Alg) -> String {
    let now = keys.db().clock().now().seconds();
    let claims =
        json!({"iss": "us", "aud": "api", "sub": "u", "iat": now, "exp": now + MAX_LIFETIME});
    keys.sign(alg, "at+jwt", &claims).unwrap()
}

fn signer(keys: &Keys, alg: Alg) -> String {
    kid_of(&token(keys, alg))
}

async fn state(test_app: &TestApp, kid: &str) -> State {
    test_app
        .rows()
        .await
        .into_iter()
        .find(|row| row.kid == kid)
        .unwrap()
        .state
}

#[tokio::test]
async fn ky_03_on_command_a_new_key_is_published_at_once_and_signs_after_the_lead() {
    for test_app in TestApp::all().await {
        let keys = open(&test_app.db).await;
        let old = signer(&keys, Alg::RS256);
        let new = keys.rotate(Alg::RS256).await.unwrap().unwrap();
        assert!(kids(&keys).contains(&new) && kids(&keys).contains(&old));
        test_app.db.clock().advance(DAY - Duration::from_secs(60));
        assert_eq!(keys.advance().await.unwrap(), []);
        assert_eq!(signer(&keys, Alg::RS256), old);
        test_app.db.clock().advance(Duration::from_secs(60));
        let changes = keys.advance().await.unwrap();
        assert_eq!(
            changes,
            [
                KeyChange::new(&old, State::Retiring),
                KeyChange::new(&new, State::Active)
            ]
        );
        assert_eq!(signer(&keys, Alg::RS256), new);
        assert!(kids(&keys).contains(&old), "its tokens still live");
    }
}

#[tokio::test]
async fn ky_01_a_retiring_key_stays_until_its_last_token_is_dead_and_then_loses_its_private_part() {
    for test_app in TestApp::all().await {
        let keys = open(&test_app.db).await;
        let old = signer(&keys, Alg::ES256);
        keys.rotate(Alg::ES256).await.unwrap();
        test_app.db.clock().advance(DAY);
        let last = token(&keys, Alg::ES256);
        keys.advance().await.unwrap();
        test_app
            .db
            .clock()
            .advance(RETIRING_PERIOD - Duration::from_secs(60));
        assert_eq!(keys.advance().await.unwrap(), []);
        assert!(kids(&keys).contains(&old));
        test_app.db.clock().advance(Duration::from_secs(60));
        assert_eq!(
            keys.advance().await.unwrap(),
            [KeyChange::new(&old, State::Retired)]
        );
        assert!(!kids(&keys).contains(&old));
        let row = test_app
            .rows()
            .await
            .into_iter()
            .find(|row| row.kid == old)
            .unwrap();
        assert!(
            row.sealed_private.is_none()
                && row.wrapped_data_key.is_none()
                && !row.public_jwk.is_empty()
        );
        let expect = ExpectedToken {
            typ: "at+jwt",
            issuer: "us",
            audiences: &["api"],
        };
        assert_eq!(
            keys.verify(&last, &expect),
            Err(crate::key::TokenError::Key)
        );
    }
}

#[tokio::test]
async fn sk_03_a_successor_is_published_a_day_before_ninety_days_are_over() {
    for test_app in TestApp::all().await {
        let keys = open(&test_app.db).await;
        test_app.db.clock().advance(SIGNING_PERIOD - DAY - HOUR);
        assert_eq!(keys.advance().await.unwrap(), []);
        test_app.db.clock().advance(HOUR);
        let changes = keys.advance().await.unwrap();
        assert_eq!(
            changes
                .iter()
                .map(|change| change.state)
                .collect::<Vec<_>>(),
            [State::Pending, State::Pending]
        );
        assert_eq!(keys.advance().await.unwrap(), [], "once");
        test_app.db.clock().advance(DAY);
        keys.advance().await.unwrap();
        assert!(
            changes
                .iter()
                .any(|change| change.kid == signer(&keys, Alg::ES256))
        );
        assert!(
            changes
                .iter()
                .any(|change| change.kid == signer(&keys, Alg::RS256))
        );
    }
}

#[tokio::test]
async fn ky_04_copies_that_rotate_together_publish_one_key_and_activate_it_once() {
    for test_app in TestApp::all().await {
        let (one, two) = (
            open(&test_app.other_instance().await).await,
            open(&test_app.other_instance().await).await,
        );
        let (a, b, c) = tokio::join!(
            one.rotate(Alg::ES256),
            two.rotate(Alg::ES256),
            one.rotate(Alg::ES256)
        );
        let published: Vec<_> = [a, b, c].into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(published.len(), 1);
        test_app.db.clock().advance(DAY);
        let (a, b) = tokio::join!(one.advance(), two.advance());
        assert_eq!(
            a.unwrap().len() + b.unwrap().len(),
            2,
            "one takes over from one"
        );
        two.reload().await.unwrap();
        one.reload().await.unwrap();
        assert_eq!(
            [signer(&one, Alg::ES256), signer(&two, Alg::ES256)],
            [published[0].clone(), published[0].clone()]
        );
        assert_eq!(test_app.rows().await.len(), 3);
    }
}

/// On SQLite the second unit of work cannot even begin before the first has ended.
#[tokio::test]
async fn ky_04_on_postgresql_the_second_rotation_waits_for_the_first_and_finds_its_key() {
    for test_app in TestApp::all()
        .await
        .into_iter()
        .filter(|test_app| test_app.db.is_postgres())
    {
        let keys = open(&test_app.db).await;
        let [a, b] = [
            make_key(Alg::ES256, keys.master()).await.unwrap(),
            make_key(Alg::ES256, keys.master()).await.unwrap(),
        ];
        let (first, second) = (
            test_app.db.begin().await.unwrap(),
            test_app.db.begin().await.unwrap(),
        );
        assert!(lifecycle::publish_successor(&first, a).await.unwrap());
        let mut other = std::pin::pin!(lifecycle::publish_successor(&second, b));
        loop {
            tokio::select! {
                biased;
                done = &mut other => unreachable!("it did not wait: {done:?}"),
                waiting = test_app.waits_for_lock() => if waiting { break },
            }
        }
        first.commit().await.unwrap();
        assert!(!other.await.unwrap());
    }
}

#[tokio::test]
async fn ky_04_an_emergency_takes_a_key_out_at_once_and_another_signs_at_once() {
    for test_app in TestApp::all().await {
        let keys = open(&test_app.db).await;
        let other = open(&test_app.other_instance().await).await;
        let (stolen, forged) = (signer(&keys, Alg::ES256), token(&keys, Alg::ES256));
        let changes = keys.compromise(&stolen).await.unwrap();
        assert_eq!(changes[0], KeyChange::new(&stolen, State::Compromised));
        assert_eq!(
            changes[1],
            KeyChange::new(signer(&keys, Alg::ES256), State::Active)
        );
        assert!(!kids(&keys).contains(&stolen));
        let expect = ExpectedToken {
            typ: "at+jwt",
            issuer: "us",
            audiences: &["api"],
        };
        assert!(keys.verify(&forged, &expect).is_err() && keys.verify_hint(&forged, "us").is_err());
        other.reload().await.unwrap();
        assert!(!kids(&other).contains(&stolen) && signer(&other, Alg::ES256) == changes[1].kid);
        assert_eq!(keys.compromise(&stolen).await.unwrap(), [], "once");
        assert_eq!(keys.compromise("no such key").await.unwrap(), []);
        assert_eq!(test_app.rows().await.len(), 3);
    }
}

#[tokio::test]
async fn sk_03_in_an_emergency_the_waiting_key_is_the_successor() {
    for test_app in TestApp::all().await {
        let keys = open(&test_app.db).await;
        let waiting = keys.rotate(Alg::ES256).await.unwrap().unwrap();
        keys.compromise(&signer(&keys, Alg::ES256)).await.unwrap();
        assert_eq!(signer(&keys, Alg::ES256), waiting);
        let next = keys.rotate(Alg::ES256).await.unwrap().unwrap();
        keys.compromise(&next).await.unwrap();
        assert_eq!(
            signer(&keys, Alg::ES256),
            waiting,
            "a waiting key goes without touching the active one"
        );
        assert_eq!(state(&test_app, &next).await, State::Compromised);
    }
}

#[tokio::test]
async fn id_token_hint_is_known_by_a_retired_key_and_long_after_its_end() {
    let test_app = TestApp::sqlite().await;
    let keys = open(&test_app.db).await;
    let claims = json!({"iss": "us", "aud": "app", "sub": "u", "iat": 1, "exp": 2});
    let hint = keys.sign(Alg::RS256, "JWT", &claims).unwrap();
    keys.rotate(Alg::RS256).await.unwrap();
    for _ in 0..2 {
        test_app.db.clock().advance(DAY);
        keys.advance().await.unwrap();
    }
    assert_eq!(state(&test_app, &kid_of(&hint)).await, State::Retired);
    assert_eq!(keys.verify_hint(&hint, "us").unwrap()["aud"], "app");
    assert_eq!(
        keys.verify_hint(&hint, "them"),
        Err(crate::key::TokenError::Issuer)
    );
    let access = keys.sign(Alg::RS256, "at+jwt", &claims).unwrap();
    assert_eq!(
        keys.verify_hint(&access, "us"),
        Err(crate::key::TokenError::Type)
    );
}

/// A repeatable sequence; it picks what happens, never a secret.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What an observer of two copies has seen.
#[derive(Default)]
struct Seen {
    published: HashMap<String, Time>,
    exempt: HashSet<String>,
    compromised: HashSet<String>,
    tokens: Vec<(String, Time)>,
}

impl Seen {
    fn look(&mut self, keys: &Keys) {
        let (now, live) = (keys.db().clock().now(), kids(keys));
        for kid in &live {
            self.published.entry(kid.clone()).or_insert(now);
        }
        self.tokens.retain(|(_, end)| *end > now);
        for (kid, _) in &self.tokens {
            assert!(
                live.contains(kid) || self.compromised.contains(kid),
                "a token outlives its key"
            );
        }
    }

    fn sign(&mut self, keys: &Keys) {
        let now = keys.db().clock().now();
        for alg in ALGS {
            let kid = signer(keys, alg);
            let lead = now.since(self.published[&kid]);
            // A moment passes between two readings of the clock.
            assert!(
                lead + Duration::from_secs(5) >= PUBLICATION_LEAD || self.exempt.contains(&kid),
                "signs after {lead:?}"
            );
            self.tokens
                .push((kid, now + Duration::from_secs(MAX_LIFETIME as u64)));
        }
    }

    fn emergency(&mut self, changes: Vec<KeyChange>) {
        for change in changes {
            match change.state {
                State::Compromised => self.compromised.insert(change.kid),
                _ => self.exempt.insert(change.kid),
            };
        }
    }
}

/// A year or so in two copies, one of which polls late, with commands and emergencies at any
/// moment.
async fn live_through(test_app: &TestApp, seed: u64, steps: usize) {
    let (one, two) = (
        open(&test_app.db).await,
        open(&test_app.other_instance().await).await,
    );
    let (mut dice, mut seen) = (Dice(seed), Seen::default());
    seen.exempt.extend(kids(&one));
    seen.look(&one);
    for _ in 0..steps {
        let step = match dice.below(3) {
            0 => dice.below(30),
            1 => dice.below(4 * 3600),
            _ => dice.below(60 * 3600),
        };
        test_app.db.clock().advance(Duration::from_secs(step));
        if step >= 30 {
            two.reload().await.unwrap();
        }
        match dice.below(60) {
            0..3 => drop(one.rotate(ALGS[dice.below(2) as usize]).await.unwrap()),
            3 => {
                let live = kids(&two);
                let pick = &live[dice.below(live.len() as u64) as usize];
                // The other copy follows at its next poll; until then it may sign with what is out.
                seen.emergency(one.compromise(pick).await.unwrap());
            }
            _ => {}
        }
        one.advance().await.unwrap();
        seen.look(&one);
        seen.sign(&one);
        seen.sign(&two);
        two.reload().await.unwrap();
    }
    assert!(test_app.rows().await.len() > 8, "something happened");
}

#[tokio::test]
async fn sk_03_no_key_signs_before_its_lead_and_no_token_outlives_its_key() {
    for test_app in TestApp::all().await {
        live_through(&test_app, 20_261_123, 250).await;
    }
    live_through(&TestApp::sqlite().await, 7, 250).await;
}
