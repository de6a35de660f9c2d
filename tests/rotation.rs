//! Signing keys change under load: no request fails to verify, old tokens hold until they expire, and a key that is
//! taken out is dead at once.
//!
//! Two programs get tokens for themselves all the time, from every copy: one by ES256, which the verifier of
//! `examples/lessons-api` checks as a resource server does, and one by RS256, checked with the published set alone.
//! Beside each stands one that never reads the key set again: the fault that the judge has to find. `entree keys` runs
//! as an operator runs it, and libfaketime brings the day that a new key is published before it signs.
#![allow(
    clippy::too_many_lines,
    clippy::excessive_nesting,
    clippy::too_many_arguments,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on must stop at once and say where"
)]

#[allow(dead_code, reason = "shared with the request tests")]
#[path = "it/service.rs"]
mod service;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lessons_api::{
    issuer::Issuer,
    keys::{KeyError, Keys},
    verify::{TokenError, Verifier},
};
use serde_json::Value;
use service::{Stage, binary};
use testkit::{
    ci,
    entree::{Backend, Copy, faketime},
    oidc::check_signature,
    until,
};

/// Programs, and the algorithm of their access tokens.
const PROGRAMS: [(&str, &str); 2] = [("metronome", "ES256"), ("pianist", "RS256")];
const SECRET: &str = "a-secret-of-a-program-that-beats-time-0123456789";
const AUDIENCE: &str = "https://lessons.example.test";
/// For how long a resource server may keep the key set.
const MAX_AGE: Duration = Duration::from_secs(300);
/// For how long a key is published before it signs (SK-03).
const LEAD: i64 = 24 * 3600;
/// How long copies may take to move a key on by themselves, and then some.
const FOLLOW: Duration = Duration::from_secs(90);
/// How long they may take to follow what an operator did in the database (SK-04); they look every three seconds.
const AT_ONCE: Duration = Duration::from_secs(30);
/// How many tokens in a row must be of a new time before a moved clock counts as moved.
const STEADY: usize = 50;
/// How many ask at once.
const CALLERS: usize = 4;
/// How many verifications by one key prove something.
const ENOUGH: usize = 200;

/// What verifying came to, by key: how often it was right, and the first words of each failure.
#[derive(Clone, Debug, Default)]
struct Journal {
    good: BTreeMap<String, usize>,
    bad: Vec<String>,
}

impl Journal {
    fn note(&mut self, kid: &str, verdict: Result<(), String>) {
        match verdict {
            Ok(()) => *self.good.entry(kid.to_owned()).or_default() += 1,
            Err(why) => self.bad.push(format!("{kid}: {why}")),
        }
    }

    fn of(&self, kid: &str) -> usize {
        self.good.get(kid).copied().unwrap_or_default()
    }
}

/// Judges a rotation from `old` to `new` during which no verification failed.
fn judge(journal: &Journal, old: &str, new: &str) -> Result<usize, String> {
    if let Some(first) = journal.bad.first() {
        return Err(format!(
            "{} requests failed to verify, the first: {first}",
            journal.bad.len()
        ));
    }
    for kid in [old, new] {
        if journal.of(kid) < ENOUGH {
            return Err(format!(
                "only {} tokens by {kid}: nothing is proved",
                journal.of(kid)
            ));
        }
    }
    Ok(journal.good.values().sum())
}

/// Why a resource server refuses a token.
#[derive(Debug, PartialEq, Eq)]
enum Why {
    /// No published key made it.
    Unknown,
    Expired,
    Other(String),
}

impl From<TokenError> for Why {
    fn from(refused: TokenError) -> Self {
        match refused {
            TokenError::Key(KeyError::Unknown) => Self::Unknown,
            TokenError::Expired => Self::Expired,
            other => Self::Other(other.to_string()),
        }
    }
}

/// A key that is out: what it signed must be refused as signed by an unknown key.
fn judge_dead(verdict: &Result<(), Why>) -> Result<(), String> {
    match verdict {
        Err(Why::Unknown) => Ok(()),
        other => Err(format!("a token by a key that was taken out: {other:?}")),
    }
}

/// Who verifies.
enum Server {
    /// ES256, as `examples/lessons-api` does.
    Lessons(Box<Verifier>),
    /// Anything that is published, with code that the service does not share.
    Set(Set),
}

impl Server {
    async fn verify(&self, token: &str, now: i64) -> Result<(), Why> {
        match self {
            Self::Lessons(verifier) => Ok(verifier.verify(token, now).await.map(drop)?),
            Self::Set(set) => set.verify(token, now).await,
        }
    }
}

/// A resource server that keeps the key set for its `max-age`. For an unknown key it does not read it again: one that
/// was published in time is in the set already.
struct Set {
    http: reqwest::Client,
    url: String,
    older: Arc<AtomicU64>,
    /// The set, and when it was read.
    kept: tokio::sync::Mutex<(Arc<Value>, Instant)>,
    frozen: bool,
}

impl Set {
    async fn new(url: &str, older: Arc<AtomicU64>, frozen: bool) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let read = read(&http, url).await;
        let kept = (
            Arc::new(read),
            Instant::now() + Duration::from_secs(older.load(SeqCst)),
        );
        Self {
            http,
            url: url.to_owned(),
            older,
            kept: kept.into(),
            frozen,
        }
    }

    async fn now(&self) -> Arc<Value> {
        let mut kept = self.kept.lock().await;
        let now = Instant::now() + Duration::from_secs(self.older.load(SeqCst));
        if !self.frozen && now.duration_since(kept.1) >= MAX_AGE {
            *kept = (Arc::new(read(&self.http, &self.url).await), now);
        }
        Arc::clone(&kept.0)
    }

    async fn verify(&self, token: &str, now: i64) -> Result<(), Why> {
        let verified =
            check_signature(token, &*self.now().await).map_err(|why| match why.as_str() {
                "no key of that kid" => Why::Unknown,
                _ => Why::Other(why),
            })?;
        let (header, claims) = (verified.header, verified.claims);
        if header["typ"] != "at+jwt"
            || claims["iss"] != self.url.as_str()
            || claims["aud"] != AUDIENCE
        {
            return Err(Why::Other(format!("{header} {claims}")));
        }
        if now > claims["exp"].as_i64().unwrap() + 30 {
            Err(Why::Expired)
        } else {
            Ok(())
        }
    }
}

async fn read(http: &reqwest::Client, url: &str) -> Value {
    let answer = http
        .get(format!("{url}/.well-known/jwks.json"))
        .send()
        .await
        .expect("an answer");
    answer.json().await.expect("JSON")
}

/// A program, who verifies its tokens, and what that came to.
struct Side {
    program: &'static str,
    alg: &'static str,
    api: Server,
    /// Never reads the key set again.
    frozen: Server,
    journal: Mutex<Journal>,
    frozen_journal: Mutex<Journal>,
}

/// The service, and those who verify what it signs.
struct TestApp {
    stage: Stage,
    http: reqwest::Client,
    /// By how many seconds the clock of service and verifiers is ahead.
    ahead: AtomicI64,
    /// By how many more the caches of the true resource servers are, so that no test waits for a `max-age`.
    older: Arc<AtomicU64>,
    sides: Vec<Side>,
    loaded: AtomicBool,
}

impl TestApp {
    async fn start(backend: Backend) -> Option<Arc<Self>> {
        if let Err(missing) = faketime() {
            assert!(!ci(), "{missing}");
            eprintln!("skipped: {missing}");
            return None;
        }
        lessons_api::install_tls();
        let programs = PROGRAMS.map(|(program, alg)| {
            format!(
                "\n[[clients]]\nclient_id = \"{program}\"\nname = \"{program}\"\naudience = \"{AUDIENCE}\"\ngrant_types = \
                 [\"client_credentials\"]\ntoken_endpoint_auth_method = \"client_secret_basic\"\nclient_secret = \
                 \"{SECRET}\"\naccess_token_alg = \"{alg}\"\n"
            )
        });
        let stage = Stage::start(backend, |options| {
            options
                .clock()
                .expect("libfaketime")
                .tail(&programs.concat())
        })
        .await?;
        let older = Arc::new(AtomicU64::new(0));
        let mut sides = Vec::new();
        for (program, alg) in PROGRAMS {
            let (api, frozen) = (
                api(alg, &stage.service.url, &older).await,
                frozen(alg, &stage.service.url).await,
            );
            let (journal, frozen_journal) = (Mutex::default(), Mutex::default());
            sides.push(Side {
                program,
                alg,
                api,
                frozen,
                journal,
                frozen_journal,
            });
        }
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let (ahead, loaded) = (AtomicI64::new(0), AtomicBool::new(false));
        Some(Arc::new(Self {
            stage,
            http,
            ahead,
            older,
            sides,
            loaded,
        }))
    }

    fn now(&self) -> i64 {
        lessons_api::now() + self.ahead.load(SeqCst)
    }

    /// Moves the clocks of service and verifiers; no token request may run meanwhile.
    async fn shift(&self, seconds: i64) {
        self.ahead.store(seconds, SeqCst);
        self.older
            .fetch_add(u64::try_from(seconds).unwrap(), SeqCst);
        self.stage.service.shift_clock(seconds).await;
        // All threads of a process share what libfaketime read last: one that was held up with the old time in its
        // hands may put it back for a moment. No real clock does that, so the load begins when the new time has held.
        for copy in &self.stage.service.copies {
            let (mut held, began) = (0, Instant::now());
            while held < STEADY {
                assert!(
                    began.elapsed() < FOLLOW,
                    "the moved clock does not hold: {}",
                    self.stage.page_error()
                );
                let right = self
                    .issued_at(copy)
                    .await
                    .is_some_and(|at| (at - self.now()).abs() < 60);
                held = if right { held + 1 } else { 0 };
            }
        }
    }

    /// By the clock of a copy; none, if it signs nothing, as after a step back.
    async fn issued_at(&self, copy: &Copy) -> Option<i64> {
        let form = [("grant_type", "client_credentials")];
        let request = self
            .http
            .post(format!("{}/oauth2/token", copy.public))
            .header("host", self.host());
        let answer = request
            .basic_auth(PROGRAMS[0].0, Some(SECRET))
            .form(&form)
            .send()
            .await
            .ok()?;
        let answer: Value = answer.json().await.ok()?;
        part(answer["access_token"].as_str()?, 1)["iat"].as_i64()
    }

    /// Each copy goes by the public name.
    fn host(&self) -> &str {
        self.stage.service.url.trim_start_matches("http://")
    }

    async fn post(&self, side: &Side, url: &str, form: &[(&str, &str)]) -> Value {
        let request = self
            .http
            .post(url)
            .header("host", self.host())
            .basic_auth(side.program, Some(SECRET))
            .form(form);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{}", self.stage.page_error());
        answer.json().await.expect("JSON")
    }

    async fn token(&self, side: &Side, base: &str) -> String {
        let answer = self
            .post(
                side,
                &format!("{base}/oauth2/token"),
                &[("grant_type", "client_credentials")],
            )
            .await;
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    /// A token of whichever copy.
    async fn any_token(&self, side: &Side) -> String {
        self.token(side, &self.stage.service.url).await
    }

    /// RFC 7662: what Entree itself says.
    async fn is_active(&self, side: &Side, copy: &Copy, token: &str) -> bool {
        let answer = self
            .post(
                side,
                &format!("{}/oauth2/introspect", copy.public),
                &[("token", token)],
            )
            .await;
        answer["active"] == true
    }

    /// Tokens and verifications without a pause, until `done`.
    async fn load<T>(self: &Arc<Self>, done: impl Future<Output = T>) -> T {
        self.loaded.store(true, SeqCst);
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| tokio::spawn(Arc::clone(self).call()))
            .collect();
        let result = done.await;
        self.loaded.store(false, SeqCst);
        for caller in callers {
            caller.await.expect("a caller that came to its end");
        }
        result
    }

    async fn call(self: Arc<Self>) {
        while self.loaded.load(SeqCst) {
            for side in &self.sides {
                let token = self.any_token(side).await;
                let kid = kid(&token);
                for (server, journal) in [
                    (&side.api, &side.journal),
                    (&side.frozen, &side.frozen_journal),
                ] {
                    let verdict = server.verify(&token, self.now()).await;
                    let verdict = verdict
                        .map_err(|why| format!("{why:?} at {}: {}", self.now(), part(&token, 1)));
                    journal.lock().unwrap().note(&kid, verdict);
                }
            }
        }
    }

    /// Waits until every copy publishes `with`, not `without`, and signs by none but `signer`.
    async fn settled(&self, side: &Side, with: &str, without: Option<&str>, signer: &str) {
        for copy in &self.stage.service.copies {
            let url = format!("{}/.well-known/jwks.json", copy.public);
            let right = || async {
                let answer = self
                    .http
                    .get(&url)
                    .header("host", self.host())
                    .send()
                    .await
                    .ok()?;
                let set: Value = answer.json().await.ok()?;
                let kids: BTreeSet<_> = set["keys"]
                    .as_array()?
                    .iter()
                    .filter_map(|key| key["kid"].as_str())
                    .collect();
                let listed = kids.contains(with) && without.is_none_or(|kid| !kids.contains(kid));
                (listed && kid(&self.token(side, &copy.public).await) == signer).then_some(())
            };
            let found = until("a copy that follows", FOLLOW, right).await;
            found.unwrap_or_else(|why| panic!("{why}\n{}", self.stage.page_error()));
        }
    }

    /// Waits until enough tokens by `kid` were verified, one way or the other.
    async fn verified(&self, side: &Side, kid: &str) {
        let seen = || async { (side.journal.lock().unwrap().of(kid) >= ENOUGH).then_some(()) };
        until("tokens by one key", FOLLOW, seen)
            .await
            .unwrap_or_else(|why| panic!("{why}: {:?}", side.journal));
    }

    /// `entree keys …`, run beside the service as an operator does; returns what changed, as (key, state).
    fn keys(&self, arguments: &[&str]) -> Vec<(String, String)> {
        let folder = self.stage.service.data()[0].parent().unwrap().to_path_buf();
        let arguments: Vec<&str> = ["keys"]
            .into_iter()
            .chain(arguments.iter().copied())
            .chain(["--json"])
            .collect();
        let (status, text) = testkit::entree::run(&binary(), &folder, &arguments);
        assert!(status.success(), "{text}");
        let line = text
            .lines()
            .find(|line| line.starts_with('['))
            .unwrap_or_else(|| panic!("{text}"));
        let changes: Vec<Value> = serde_json::from_str(line).unwrap();
        let word = |change: &Value, name: &str| change[name].as_str().unwrap().to_owned();
        changes
            .iter()
            .map(|change| (word(change, "kid"), word(change, "state")))
            .collect()
    }
}

/// A true resource server.
async fn api(alg: &str, url: &str, older: &Arc<AtomicU64>) -> Server {
    if alg == "RS256" {
        return Server::Set(Set::new(url, Arc::clone(older), false).await);
    }
    let by = Arc::clone(older);
    let keys = Keys::with_clock(move || Instant::now() + Duration::from_secs(by.load(SeqCst)));
    let verifier = Verifier::with_keys(Issuer::new(url, None).unwrap(), AUDIENCE.to_owned(), keys);
    verifier.warm_up().await.unwrap();
    Server::Lessons(Box::new(verifier))
}

/// A resource server that reads the key set at start and never again: no time passes for it, and it has spent the one
/// request that an unknown `kid` is worth.
async fn frozen(alg: &str, url: &str) -> Server {
    if alg == "RS256" {
        return Server::Set(Set::new(url, Arc::default(), true).await);
    }
    let begin = Instant::now();
    let issuer = Issuer::new(url, None).unwrap();
    let verifier =
        Verifier::with_keys(issuer, AUDIENCE.to_owned(), Keys::with_clock(move || begin));
    let unknown_key_token =
        URL_SAFE_NO_PAD.encode(r#"{"typ":"at+jwt","alg":"ES256","kid":"unknown"}"#);
    let unknown_key_token = format!(
        "{unknown_key_token}.e30.{}",
        URL_SAFE_NO_PAD.encode([0; 64])
    );
    let verdict = verifier
        .verify(&unknown_key_token, lessons_api::now())
        .await;
    assert_eq!(verdict, Err(TokenError::Key(KeyError::Unknown)));
    Server::Lessons(Box::new(verifier))
}

fn kid(token: &str) -> String {
    part(token, 0)["kid"].as_str().unwrap().to_owned()
}

fn part(token: &str, at: usize) -> Value {
    let bytes = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(at).unwrap())
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// One algorithm's rotation.
struct Turn<'a> {
    side: &'a Side,
    first: String,
    second: String,
}

async fn rotate_under_load(backend: Backend) {
    let Some(test_app) = TestApp::start(backend).await else {
        return;
    };

    // Published at once, and signs nothing yet.
    let (mut turns, published) = (Vec::new(), Instant::now());
    for side in &test_app.sides {
        let first = kid(&test_app.any_token(side).await);
        let changes = test_app.keys(&["rotate", "--alg", side.alg]);
        let [(second, state)] = changes.as_slice() else {
            panic!("{changes:?}")
        };
        assert_eq!(state, "pending");
        turns.push(Turn {
            side,
            first,
            second: second.clone(),
        });
    }
    test_app
        .load(async {
            for Turn {
                side,
                first,
                second,
            } in &turns
            {
                test_app.settled(side, second, None, first).await;
                test_app.verified(side, first).await;
            }
        })
        .await;

    // A few seconds before their day is over: they take over while tokens are asked for.
    test_app
        .shift(LEAD - 15 - i64::try_from(published.elapsed().as_secs()).unwrap())
        .await;
    let mut last = Vec::new();
    for Turn { side, first, .. } in &turns {
        let token = test_app.any_token(side).await;
        assert_eq!(kid(&token), *first, "KY-1: not before its day");
        last.push(token);
    }
    test_app
        .load(async {
            for Turn { side, second, .. } in &turns {
                test_app.settled(side, second, None, second).await;
                test_app.verified(side, second).await;
            }
        })
        .await;
    for Turn {
        side,
        first,
        second,
    } in &turns
    {
        let (alg, journal) = (side.alg, side.journal.lock().unwrap().clone());
        let count = judge(&journal, first, second)
            .unwrap_or_else(|why| panic!("{alg}: {why}\n{}", test_app.stage.page_error()));
        println!(
            "{backend:?}, {alg}: {count} tokens verified over a rotation, none failed; by key {:?}",
            journal.good
        );
        let planted = judge(&side.frozen_journal.lock().unwrap(), first, second);
        assert!(
            planted.is_err(),
            "{alg}: one who never reads the set again must fail: {planted:?}"
        );
    }

    // What the old keys signed holds until it expires, and no longer.
    test_app.older.fetch_add(301, SeqCst);
    for (Turn { side, .. }, last) in turns.iter().zip(&last) {
        assert_eq!(
            side.api.verify(last, test_app.now()).await,
            Ok(()),
            "KY-1: the old key stays published"
        );
        let exp = part(last, 1)["exp"].as_i64().unwrap();
        assert_eq!(side.api.verify(last, exp - 1).await, Ok(()));
        assert_eq!(side.api.verify(last, exp + 31).await, Err(Why::Expired));
    }
    for (turn, last) in turns.iter().zip(&last) {
        emergency(&test_app, turn.side, last, &turn.second).await;
    }
    assert_eq!(test_app.stage.faults(), Vec::<String>::new());
}

/// KY-4: `second` is taken out while it signs.
async fn emergency(test_app: &TestApp, side: &Side, of_first: &str, second: &str) {
    let stolen = test_app.any_token(side).await;
    assert_eq!(
        (
            kid(&stolen).as_str(),
            side.api.verify(&stolen, test_app.now()).await
        ),
        (second, Ok(()))
    );
    let stuck = frozen(side.alg, &test_app.stage.service.url).await;
    for copy in &test_app.stage.service.copies {
        assert!(test_app.is_active(side, copy, &stolen).await);
    }
    let changes = test_app.keys(&["revoke", second, "--yes"]);
    let revoked = Instant::now();
    let [(out, _), (third, state)] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    assert_eq!((out.as_str(), state.as_str()), (second, "active"));
    test_app.settled(side, third, Some(second), third).await;
    assert!(
        revoked.elapsed() < AT_ONCE,
        "SK-04: the copies took {:?}",
        revoked.elapsed()
    );
    for copy in &test_app.stage.service.copies {
        assert!(
            !test_app.is_active(side, copy, &stolen).await,
            "here at once"
        );
    }
    // At a resource server within the life of its cache.
    test_app.older.fetch_add(MAX_AGE.as_secs(), SeqCst);
    judge_dead(&side.api.verify(&stolen, test_app.now()).await).unwrap();
    let new = test_app.any_token(side).await;
    assert_eq!(
        (&kid(&new), side.api.verify(&new, test_app.now()).await),
        (third, Ok(())),
        "and the next one signs at once"
    );
    assert_eq!(
        side.api.verify(of_first, test_app.now()).await,
        Ok(()),
        "no other key suffers"
    );
    let planted = judge_dead(&stuck.verify(&stolen, test_app.now()).await);
    assert!(
        planted.is_err(),
        "one who never reads the set again must be found: {planted:?}"
    );
}

/// ST-14: published before it signs, and revoked at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ky_1_ky_4_keys_change_under_load_on_two_instances() {
    rotate_under_load(Backend::Two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ky_1_ky_4_keys_change_under_load_on_the_embedded_default() {
    rotate_under_load(Backend::Embedded).await;
}

#[test]
fn a_rotation_with_a_failed_verification_is_seen() {
    let journal = |good: &[(&str, usize)], bad: &[&str]| Journal {
        good: good
            .iter()
            .map(|(kid, count)| ((*kid).to_owned(), *count))
            .collect(),
        bad: bad.iter().map(|why| (*why).to_owned()).collect(),
    };
    assert_eq!(
        judge(&journal(&[("a", 200), ("b", 300)], &[]), "a", "b"),
        Ok(500)
    );
    for wrong in [
        journal(&[("a", 2000), ("b", 2000)], &["b: unknown key"]),
        journal(&[("a", 2000)], &[]),
        journal(&[("a", 2000), ("b", 199)], &[]),
        journal(&[], &[]),
    ] {
        assert!(judge(&wrong, "a", "b").is_err(), "{wrong:?}");
    }
    for wrong in [
        Ok(()),
        Err(Why::Expired),
        Err(TokenError::Key(KeyError::Unavailable).into()),
    ] {
        assert!(judge_dead(&wrong).is_err(), "{wrong:?}");
    }
}
