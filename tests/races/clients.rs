//! `entree clients` beside running copies of the built binary.

use std::time::Duration;

use testkit::{
    browser,
    entree::{Backend, run},
    until,
};

use crate::service::{Stage, binary};

/// The built binary: what `entree clients` does is in force on every running copy within seconds.
async fn from_outside(backend: Backend) {
    let Some(stage) = Stage::start(backend, |options| options).await else {
        return;
    };
    let folder = stage.service.data()[0]
        .parent()
        .expect("a folder")
        .to_path_buf();
    let entree = |words: &[&str]| {
        let (status, said) = run(&binary(), &folder, &[&["clients"], words].concat());
        (status.success(), said)
    };
    let least = [
        "create",
        "worker",
        "--name",
        "Worker",
        "--audience",
        "https://api.example",
        "--json",
    ];
    let keys = [
        "--auth",
        "client_secret_post",
        "--set",
        "grant_types=client_credentials",
        "--scopes",
        "lessons:read",
    ];
    let (ok, said) = entree(&[&least[..], &keys[..]].concat());
    assert!(ok, "{said}");
    let made: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    let secret = made["client_secret"].as_str().unwrap().to_owned();
    let all_take_it = async |good: bool| {
        let seen = until("every copy", Duration::from_secs(20), || async {
            for copy in &stage.service.copies {
                let form = [
                    ("grant_type", "client_credentials"),
                    ("client_id", "worker"),
                    ("client_secret", secret.as_str()),
                ];
                let form = form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(form)
                    .finish();
                let host = stage.service.url.split("//").nth(1).unwrap().to_owned();
                let request = browser::client()
                    .post(format!("{}/oauth2/token", copy.public))
                    .header("host", host);
                let request = request
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(form);
                if request.send().await.unwrap().status().is_success() != good {
                    return None;
                }
            }
            Some(())
        });
        seen.await
            .unwrap_or_else(|why| panic!("{why}\n{}", stage.page_error()));
    };
    all_take_it(true).await;
    let (ok, said) = entree(&["disable", "worker"]);
    assert!(!ok && said.contains("--yes"), "{said}");
    let (ok, said) = entree(&["disable", "worker", "--yes"]);
    assert!(ok, "{said}");
    all_take_it(false).await;
    for words in [
        &["list"][..],
        &["list", "--json"],
        &["show", "worker"],
        &["show", "worker", "--json"],
    ] {
        let (ok, said) = entree(words);
        assert!(
            ok && said.contains("disabled") && !said.contains(&secret),
            "{said}"
        );
    }
    let log = stage.service.log().join("\n");
    assert!(
        !log.contains(&secret) && stage.faults().is_empty(),
        "{:?}",
        stage.faults()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_running_instances_see_what_the_command_line_changed() {
    from_outside(Backend::Two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_service_sees_what_the_command_line_changed() {
    from_outside(Backend::Embedded).await;
}
