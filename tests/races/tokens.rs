//! The token endpoint of two copies: one authorization code, one refresh token, a hundred times at once.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::Value;
use testkit::{
    browser::Browser,
    entree::{Backend, Options},
    oidc::Client,
};
use tokio::sync::Mutex;

use crate::{
    Copies, EXCHANGES,
    judge::{Family, Replay, Round, late_replay_revokes, one_winner, same_successor},
    race, report_and_check_overlap, rounds,
    service::{CALLBACK, Stage, fresh_network},
    with_ample_resources,
};

/// An application that may refresh.
const APP: &str = "lessons-desk";

/// How many codes or families are raced at the same time. Each use of a token waits for the row of its family, and
/// holds a connection to the database meanwhile; and three hundred exchanges at once are a load test on a small
/// machine.
const FAMILIES: usize = 2;

/// How many codes a person exchanges before another person goes on: a user keeps 50 live grants with a client (OA-16).
const GRANTS_PER_PERSON: usize = 40;

/// A replay this long after the first use is a theft; a second more for the clocks.
const LATE: Duration = Duration::from_secs(11);

type Form = Vec<(&'static str, String)>;

fn with_app(options: Options) -> Options {
    with_ample_resources(options).tail(&format!(
        "\n[[clients]]\nclient_id = \"{APP}\"\nname = \"Desk\"\nredirect_uris = [\"{CALLBACK}\"]\naudience = \
         \"https://lessons.example.test\"\nfirst_party = true\napp_sign_in = true\nscopes = [\"openid\", \"offline_access\"]\n"
    ))
}

/// Returns a browser with a session.
pub(crate) struct Person {
    address: String,
    pub(crate) browser: Mutex<Browser>,
}

pub(crate) async fn people(stage: &Stage, name: &str, count: usize) -> Vec<Person> {
    let one = |number: usize| async move {
        let address = format!("{name}-{number}@example.test");
        let mut browser = Browser::new(fresh_network());
        stage.ask(&mut browser, &address).await;
        let page = browser.open(&stage.mail(&address, 1).await.link()).await;
        let answer = browser.submit(&page, "link", &[]).await;
        assert!(
            browser.settle(answer).await.has("form#sign-out"),
            "{}",
            stage.page_error()
        );
        Person {
            address,
            browser: Mutex::new(browser),
        }
    };
    join_all((0..count).map(one)).await
}

impl Person {
    /// What exchanges a new code of this person.
    async fn code(&self, stage: &Stage) -> Form {
        let mut browser = self.browser.lock().await;
        let client = Client::new(&stage.service.url, APP, CALLBACK);
        let page = browser
            .open(client.authorize_url("openid offline_access").await.as_str())
            .await;
        let code = client.code(&browser.settle(page).await);
        vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code),
            ("redirect_uri", CALLBACK.to_owned()),
            ("client_id", APP.to_owned()),
            ("code_verifier", client.verifier.clone()),
        ]
    }
}

fn refreshing(token: &str) -> Form {
    vec![
        ("grant_type", "refresh_token".to_owned()),
        ("refresh_token", token.to_owned()),
        ("client_id", APP.to_owned()),
    ]
}

fn refresh_token(body: &Value) -> Option<String> {
    body["refresh_token"].as_str().map(str::to_owned)
}

/// For each person the grants, oldest first, and whether each has ended.
async fn grants(stage: &Stage) -> BTreeMap<String, Vec<bool>> {
    let db = stage.database().await;
    let sql = "SELECT e.canonical AS a, g.revoked_at AS r FROM grant_families g JOIN user_emails e ON e.user_id = \
               g.user_id ORDER BY g.created_at";
    let rows = db
        .query_all_raw(Statement::from_string(db.get_database_backend(), sql))
        .await
        .unwrap();
    let mut found: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for row in rows {
        let ended = row.try_get::<Option<i64>>("", "r").unwrap().is_some();
        found
            .entry(row.try_get("", "a").unwrap())
            .or_default()
            .push(ended);
    }
    let _ = db.close().await;
    found
}

/// Races one form of each person at the same time; gives status and body of every answer, and how many were under way.
async fn race_all(copies: &Arc<Copies>, forms: &[Form]) -> (Vec<Vec<(u16, Value)>>, usize) {
    let races = forms.iter().map(|form| {
        let (copies, form) = (Arc::clone(copies), Arc::new(form.clone()));
        race(EXCHANGES, move |number| {
            let (copies, form) = (Arc::clone(&copies), Arc::clone(&form));
            async move { copies.token(number, &form).await }
        })
    });
    let raced = join_all(races).await;
    let started_before_first_response = raced
        .iter()
        .map(|raced| raced.started_before_first_response)
        .sum();
    (
        raced.into_iter().map(|raced| raced.results).collect(),
        started_before_first_response,
    )
}

/// A code that was raced, and what the winner got.
struct Spent {
    address: String,
    /// Which grant of this person it became.
    grant: usize,
    form: Form,
    refresh: String,
}

/// RFC 6749 §4.1.2: a code is used once. The losers come within ten seconds and revoke nothing; who comes later does.
/// X2: at two instances.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tk_6_100_exchanges_of_one_code_over_two_instances_have_one_winner_and_a_late_replay_revokes()
 {
    let Some(stage) = Stage::start(Backend::Two, with_app).await else {
        return;
    };
    let copies = Copies::of(&stage);
    let mut exchanging = Vec::new();
    let (began, mut started_before_first_response) = (Instant::now(), 0);
    let (mut journal, mut spent) = (Vec::new(), Vec::new());
    for number in 0..rounds().div_ceil(5).div_ceil(FAMILIES) {
        let grant = number % GRANTS_PER_PERSON;
        if grant == 0 {
            exchanging = people(&stage, &format!("exchange-{number}"), FAMILIES).await;
        }
        let people = &exchanging;
        let forms = join_all(people.iter().map(|person| person.code(&stage))).await;
        let (raced, at_once) = race_all(&copies, &forms).await;
        started_before_first_response += at_once;
        let there = grants(&stage).await;
        for ((person, form), results) in people.iter().zip(forms).zip(raced) {
            let kept = there
                .get(&person.address)
                .map_or(0, Vec::len)
                .saturating_sub(grant);
            journal.push(Round::of(results.iter().map(|(status, _)| *status), kept));
            let refresh = results
                .iter()
                .find_map(|(_, body)| refresh_token(body))
                .unwrap_or_default();
            spent.push(Spent {
                address: person.address.clone(),
                grant,
                form,
                refresh,
            });
        }
    }
    one_winner(&journal, EXCHANGES).unwrap_or_else(|why| panic!("{why}\n{}", stage.page_error()));
    report_and_check_overlap(
        "exchange",
        journal.len(),
        EXCHANGES,
        started_before_first_response,
        began,
    );
    let replays = replay(&stage, &copies, &spent).await;
    late_replay_revokes(&replays).unwrap_or_else(|why| panic!("{why}\n{}", stage.page_error()));
    println!(
        "replay: each of {} codes came back {} s later and ended its grant",
        replays.len(),
        LATE.as_secs()
    );
    assert_eq!(stage.faults(), Vec::<String>::new());
}

/// Uses every spent code once more, when the last one is eleven seconds old: that time is what is tested.
async fn replay(stage: &Stage, copies: &Copies, spent: &[Spent]) -> Vec<Replay> {
    tokio::time::sleep(LATE).await;
    let ended = |there: &BTreeMap<String, Vec<bool>>, one: &Spent| there[&one.address][one.grant];
    let raced = grants(stage).await;
    let mut refreshed = Vec::new();
    for (number, one) in spent.iter().enumerate() {
        refreshed.push(copies.token(number, &refreshing(&one.refresh)).await);
    }
    let mut replays = Vec::new();
    for (number, (one, (before, body))) in spent.iter().zip(refreshed).enumerate() {
        // At the other copy than that of the refresh.
        let (replay, _) = copies.token(number + 1, &one.form).await;
        let newest = refresh_token(&body).unwrap_or_default();
        let (after, _) = copies.token(number, &refreshing(&newest)).await;
        replays.push(Replay {
            ended_by_race: ended(&raced, one),
            before,
            replay,
            ended: false,
            after,
        });
    }
    let there = grants(stage).await;
    for (one, replay) in spent.iter().zip(&mut replays) {
        replay.ended = ended(&there, one);
    }
    replays
}

/// ST-02: within a minute, and until it is used, all get the same successor; a later reuse ends the family.
/// X2: at two instances.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rf_6_rf_8_100_refreshes_of_one_token_over_two_instances_give_the_same_successor() {
    let Some(stage) = Stage::start(Backend::Two, with_app).await else {
        return;
    };
    let copies = Copies::of(&stage);
    let people = people(&stage, "refresh", FAMILIES).await;
    let (began, mut started_before_first_response) = (Instant::now(), 0);
    let mut families = Vec::new();
    for grant in 0..rounds().div_ceil(10).div_ceil(FAMILIES) {
        let firsts = join_all(people.iter().map(|person| first(&stage, &copies, person))).await;
        let mut these = vec![Family::default(); people.len()];
        let mut tokens = firsts.clone();
        for _ in 0..2 {
            let forms: Vec<Form> = tokens.iter().map(|token| refreshing(token)).collect();
            let (raced, at_once) = race_all(&copies, &forms).await;
            started_before_first_response += at_once;
            for ((family, results), token) in these.iter_mut().zip(raced).zip(&mut tokens) {
                let results: Vec<_> = results
                    .iter()
                    .map(|(status, body)| (*status, refresh_token(body)))
                    .collect();
                *token = results
                    .iter()
                    .find_map(|(_, token)| token.clone())
                    .unwrap_or_default();
                family.races.push(results);
            }
        }
        for (number, (family, (first, newest))) in
            these.iter_mut().zip(firsts.iter().zip(&tokens)).enumerate()
        {
            family.reuse = copies.token(number, &refreshing(first)).await.0;
            family.newest = copies.token(number + 1, &refreshing(newest)).await.0;
        }
        let there = grants(&stage).await;
        for (family, person) in these.iter_mut().zip(&people) {
            family.ended = there
                .get(&person.address)
                .and_then(|grants| grants.get(grant))
                .copied()
                .unwrap_or_default();
        }
        families.extend(these);
    }
    same_successor(&families, EXCHANGES)
        .unwrap_or_else(|why| panic!("{why}\n{}", stage.page_error()));
    report_and_check_overlap(
        "refresh",
        families.len() * 2,
        EXCHANGES,
        started_before_first_response,
        began,
    );
    assert_eq!(stage.faults(), Vec::<String>::new());
}

/// The first refresh token of a new grant.
async fn first(stage: &Stage, copies: &Copies, person: &Person) -> String {
    let form = person.code(stage).await;
    let (status, body) = copies.token(0, &form).await;
    assert_eq!(status, 200, "{}\n{}", body["error"], stage.page_error());
    refresh_token(&body).expect("a refresh token")
}
