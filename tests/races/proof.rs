//! One proof of possession that is shown a hundred times at once to two copies.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ring::digest;
use testkit::{
    dpop::{self, Prover},
    entree::{Backend, Options},
};

use crate::{
    Copies, EXCHANGES, TRIES, judge::one_passes, pause, race, report_and_check_overlap, rounds,
    service::Stage, with_ample_resources,
};

/// A client that acts for itself.
const ROBOT: &str = "lessons-robot";
const SECRET: &str = "a secret of more than forty-three characters, of a race";
const TOKEN: &str = "/oauth2/token";

fn with_robot(options: Options) -> Options {
    let hash = digest::digest(&digest::SHA256, SECRET.as_bytes());
    let hex: String = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    with_ample_resources(options).tail(&format!(
        "\n[[clients]]\nclient_id = \"{ROBOT}\"\nname = \"Robot\"\naudience = \"https://lessons.example.test\"\n\
         token_endpoint_auth_method = \"client_secret_post\"\nclient_secret_sha256 = [\"{hex}\"]\n\
         grant_types = [\"client_credentials\"]\n"
    ))
}

/// Shows proofs to the copies in turn.
struct Robot {
    copies: Arc<Copies>,
    url: String,
}

impl Robot {
    /// Shows a proof to one copy; gives the status, the error and the nonce of the answer.
    async fn show(&self, number: usize, proof: &str) -> (u16, String, String) {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", ROBOT),
            ("client_secret", SECRET),
        ];
        for _ in 0..TRIES {
            let request = self.copies.post(number, TOKEN).header("dpop", proof);
            let answer = request.form(&form).send().await.unwrap();
            let status = answer.status().as_u16();
            if let Some(pause) = pause(status, answer.headers()) {
                tokio::time::sleep(pause).await;
                continue;
            }
            let nonce = answer.headers().get("dpop-nonce");
            let nonce = nonce.map(|nonce| nonce.to_str().unwrap().to_owned());
            let body: serde_json::Value = answer.json().await.unwrap_or_default();
            let error = body["error"].as_str().unwrap_or_default().to_owned();
            return (status, error, nonce.unwrap_or_default());
        }
        (503, String::new(), String::new())
    }

    /// A proof that has not been shown, with a nonce of now: the ticket store may be young.
    async fn proof(&self, number: usize, prover: &Prover) -> String {
        let mut claims = dpop::claims("POST", &format!("{}{TOKEN}", self.url), 1);
        let (status, error, nonce) = self.show(number, &prover.proof(&claims)).await;
        assert_eq!((status, &*error), (400, "use_dpop_nonce"));
        claims["nonce"] = nonce.into();
        prover.proof(&claims)
    }
}

/// PP-5: at two instances one of a hundred uses of a proof passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pp_5_of_a_hundred_uses_of_one_proof_over_two_instances_one_passes() {
    let Some(stage) = Stage::start(Backend::Two, with_robot).await else {
        return;
    };
    let robot = Arc::new(Robot {
        copies: Copies::of(&stage),
        url: stage.service.url.clone(),
    });
    // Before that no nonce is surely younger than the data of the ticket store (PP-6).
    tokio::time::sleep(Duration::from_secs(6)).await;
    let prover = Prover::new();
    let (began, mut started_before_first_response) = (Instant::now(), 0);
    let mut shown = Vec::new();
    let rounds = rounds();
    for number in 0..rounds {
        let proof: Arc<str> = robot.proof(number, &prover).await.into();
        let raced = race(EXCHANGES, |at| {
            let (robot, proof) = (Arc::clone(&robot), Arc::clone(&proof));
            async move {
                let (status, error, _) = robot.show(at, &proof).await;
                (status, error)
            }
        })
        .await;
        started_before_first_response += raced.started_before_first_response;
        shown.push(raced.results);
    }
    one_passes(&shown, EXCHANGES).unwrap_or_else(|why| panic!("{why}"));
    report_and_check_overlap(
        "proof",
        rounds,
        EXCHANGES,
        started_before_first_response,
        began,
    );
    assert_eq!(stage.faults(), Vec::<String>::new());
}
