//! OA-6: event streams of logins that take every place.

use std::{sync::Arc, time::Instant};

use serde_json::{Value, json};
use testkit::{
    entree::{Backend, Options},
    oidc::Client,
};

use crate::{
    crowd::{Crowd, VERIFIER, flood, network, new_login},
    figures::report,
    judge::{Bounds, Left, Measured, Outcome, judge},
    people::{Person, Way, all_sign_in, names, own_network},
    size,
    stage::{BOTH, CALLBACK, CLIENT, Stage},
};

/// Opens streams of logins of the attackers' own, and lets an app follow its login meanwhile.
pub(crate) async fn take_all(
    backend: Backend,
    networks: usize,
    change: impl FnOnce(Options) -> Options,
) -> Option<Measured> {
    let on = |options: Options| options.set("api.v2_enabled", "true");
    let stage = Stage::start(backend, |options| change(on(options))).await?;
    let people = Person::crowd(&stage, &Way::ALL, size(1, 3)).await;
    let crowd = Crowd::of(&stage);
    let open = tokio::sync::Mutex::new(Vec::new());
    flood(networks * 16, async |number| {
        let from = network(number % networks);
        let to = format!("someone-{number}@stranger-{}.test", number % networks);
        let (_, started) = crowd
            .json(from, "/api/v2/logins", &new_login(CLIENT, &to))
            .await;
        let Some(id) = started["flow_id"].as_str() else {
            return;
        };
        let request = crowd
            .get(from, &format!("/api/v2/logins/{id}/events"))
            .header("code-verifier", VERIFIER);
        if let Ok(stream) = request.send().await {
            open.lock().await.push(stream);
        }
    })
    .await;
    let mut innocents = all_sign_in(&stage, people).await;
    for number in 0..size(2, 5) {
        innocents.push(follow(&stage, number).await);
    }
    let requests = crowd.sent();
    let count = open.lock().await.len();
    drop(open);
    Some(Measured {
        attack: format!("OA-6, {networks} networks open 16 streams each"),
        back_end: stage.back_end(),
        networks,
        requests,
        innocents,
        peak_mib: stage.peak_mib(),
        left: Left {
            count: i64::try_from(count).expect("a small number"),
            of: "streams requested",
        },
        faults: stage.faults(),
    })
}

/// An app begins a login and follows it.
async fn follow(stage: &Arc<Stage>, number: usize) -> Outcome {
    let began = Instant::now();
    let stage = Arc::clone(stage);
    let walk = tokio::spawn(async move { first_event(&stage, number).await });
    let result = match walk.await {
        Ok(result) => result,
        Err(_) => Err("no answer".to_owned()),
    };
    Outcome {
        way: "stream",
        took: began.elapsed(),
        result,
    }
}

async fn first_event(stage: &Stage, number: usize) -> Result<(), String> {
    let client = Client::new(&stage.service.url, CLIENT, CALLBACK);
    let from = own_network(stage).to_string();
    let http = testkit::browser::client();
    let new = json!({"client_id": CLIENT, "email": format!("follower-{number}@example.test"),
                     "code_challenge": client.challenge(), "code_challenge_method": "S256"});
    let answer = http
        .post(stage.service.at("/api/v2/logins"))
        .header("x-forwarded-for", &from)
        .json(&new)
        .send()
        .await
        .map_err(|error| error.to_string())?;
    let started: Value = answer.json().await.map_err(|error| error.to_string())?;
    let id = started["flow_id"].as_str().ok_or(started.to_string())?;
    let mut events = http
        .get(stage.service.at(&format!("/api/v2/logins/{id}/events")))
        .header("x-forwarded-for", &from)
        .header("code-verifier", &client.verifier)
        .send()
        .await
        .map_err(|error| error.to_string())?;
    let status = events.status().as_u16();
    let first = events.chunk().await.map_err(|error| error.to_string())?;
    let first = String::from_utf8_lossy(&first.unwrap_or_default()).into_owned();
    if status == 200 && first.contains("state") {
        Ok(())
    } else {
        Err(format!("{status} {first}"))
    }
}

pub(crate) fn bounds(networks: usize) -> Bounds {
    let mut ways = names(&Way::ALL);
    ways.push("stream");
    Bounds {
        networks,
        requests: networks * 16,
        ways,
        peak_mib: 256,
        left: i64::MAX,
    }
}

async fn holds_on_both(networks: usize) {
    for backend in BOTH {
        let Some(measured) = take_all(backend, networks, |options| options).await else {
            return;
        };
        report(&measured);
        judge(&measured, &bounds(networks)).unwrap_or_else(|why| panic!("{why}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_6_sixteen_networks_take_no_apps_stream() {
    holds_on_both(16).await;
}
