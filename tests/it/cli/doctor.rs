//! `entree doctor` as an operator runs it: beside a running service, before the first start, and when something is
//! wrong.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use sea_orm::ConnectionTrait as _;
use serde_json::Value;
use testkit::entree::Backend;

use crate::service::{Stage, binary};

/// What it said: its exit code and its findings.
pub(super) struct Said {
    code: Option<i32>,
    findings: Vec<Value>,
}

impl Said {
    fn of(&self, check: &str) -> &Value {
        let found = self
            .findings
            .iter()
            .find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("no {check} in {:#?}", self.findings))
    }

    /// State, and what was found or the fix, whichever holds `words`.
    pub(super) fn says(&self, check: &str, state: &str, words: &str) {
        let finding = self.of(check);
        assert_eq!(finding["state"], state, "{finding}");
        assert!(finding.to_string().contains(words), "{words}: {finding}");
        assert_eq!(
            finding.get("hint").is_none(),
            state == "ok",
            "a finding that is not ok has a hint: {finding}"
        );
    }
}

fn command(file: &Path, arguments: &[&str], env: &[(&str, &str)]) -> std::process::Output {
    let mut command = Command::new(binary());
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ENTREE_"))
    {
        command.env_remove(name);
    }
    command
        .envs(env.iter().copied())
        .arg("--config")
        .arg(file)
        .arg("doctor")
        .args(arguments);
    command
        .current_dir(file.parent().unwrap())
        .output()
        .unwrap()
}

pub(super) fn doctor(file: &Path, env: &[(&str, &str)]) -> Said {
    let output = command(file, &["--json"], env);
    let said: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {output:?}"));
    assert_eq!(said["healthy"], Value::Bool(output.status.success()));
    Said {
        code: output.status.code(),
        findings: said["findings"].as_array().unwrap().clone(),
    }
}

pub(super) fn file(stage: &Stage) -> PathBuf {
    stage.service.data()[0]
        .parent()
        .unwrap()
        .join("entree.toml")
}

/// A folder of its own with this configuration.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn with(name: &str, text: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("entree-doctor-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("entree.toml"), text).unwrap();
        Self(path)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.0.join("entree.toml")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

async fn beside_a_running_service(backend: Backend) {
    let Some(stage) = Stage::start(backend, |options| options).await else {
        return;
    };
    stage.until_keys().await;
    let said = doctor(&file(&stage), &[]);
    assert_eq!(said.code, Some(0), "{:#?}", said.findings);
    for check in [
        "configuration",
        "database",
        "signing keys",
        "clock",
        "ticket store",
        "mail server",
    ] {
        assert_eq!(said.of(check)["state"], "ok", "{check}");
    }
    said.says("signing keys", "ok", "ES256");

    let text = String::from_utf8(command(&file(&stage), &[], &[]).stdout).unwrap();
    assert!(!text.contains('\x1b'), "colours are for terminals: {text}");
    assert!(
        text.lines().any(|line| line.starts_with("ok    database ")),
        "{text}"
    );

    // An hour behind what was written already.
    let later =
        i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap() + 3_600_000;
    let id = "01890000-0000-7000-8000-000000000000";
    let id = if backend == Backend::Embedded {
        format!("x'{}'", id.replace('-', ""))
    } else {
        format!("'{id}'")
    };
    let row = format!("INSERT INTO audit_events (id, at, kind) VALUES ({id}, {later}, 'test')");
    stage
        .database()
        .await
        .execute_unprepared(&row)
        .await
        .unwrap();
    let said = doctor(&file(&stage), &[]);
    said.says("clock", "fail", "behind the newest row");
    assert_eq!(said.code, Some(1));
}

/// A proxy on this machine passes requests on, and `server.trusted_proxies` does not name it.
#[tokio::test(flavor = "multi_thread")]
async fn oa_12_a_proxy_that_is_not_named_is_logged_and_shown() {
    let change = |options: testkit::entree::Options| options.set("server.trusted_proxies", "[]");
    let Some(stage) = Stage::start(Backend::Embedded, change).await else {
        return;
    };
    let management = stage.service.copies[0].management.clone();
    let http = testkit::browser::client();
    let readiness = async || {
        let response = http
            .get(format!("{management}/readyz"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        response.json::<Value>().await.unwrap()
    };
    let env = [(
        "ENTREE__MANAGEMENT__LISTEN",
        management.trim_start_matches("http://"),
    )];
    assert_eq!(readiness().await["status"], "ready");
    doctor(&file(&stage), &env).says("running service", "ok", "ready");
    for _ in 0..3 {
        let request = http.get(stage.service.at("/login"));
        request
            .header("x-forwarded-for", "198.51.100.7")
            .send()
            .await
            .unwrap();
    }
    let report = readiness().await;
    assert_eq!(report["status"], "degraded");
    assert_eq!(report["missing"], serde_json::json!(["trusted_proxies"]));
    doctor(&file(&stage), &env).says("running service", "warn", "server.trusted_proxies");
    let log = stage.service.log();
    let lines = log
        .iter()
        .filter(|line| line.contains("a proxy sends X-Forwarded-For"));
    assert_eq!(lines.count(), 1, "once an hour");
}

/// The mail server of the test needs a thread while the command is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_a_running_service_fine_and_a_clock_that_is_late() {
    beside_a_running_service(Backend::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_a_running_service_on_servers_fine_and_a_clock_that_is_late() {
    beside_a_running_service(Backend::Servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_that_the_master_key_does_not_open_the_signing_keys() {
    let Some(stage) = Stage::start(Backend::Embedded, |options| options).await else {
        return;
    };
    stage.until_keys().await;
    let said = doctor(
        &file(&stage),
        &[("ENTREE__SERVER__MASTER_KEY", &"0123456789abcdef".repeat(4))],
    );
    said.says("signing keys", "fail", "server.previous_master_keys");
    let key = stage.service.data()[0].join("master.key");
    std::fs::rename(&key, key.with_extension("away")).unwrap();
    doctor(&file(&stage), &[]).says("signing keys", "fail", "without it they are lost");
    assert!(!key.exists(), "none is made");
}

#[test]
fn doctor_runs_before_the_first_start_and_makes_nothing() {
    let folder = Folder::with("first", "");
    let output = command(&folder.file(), &["--dev", "--json"], &[]);
    assert!(output.status.success(), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        said["findings"]
            .to_string()
            .contains("the first start makes it"),
        "{said}"
    );
    let names: Vec<_> = std::fs::read_dir(&folder.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["entree.toml"]);
}

#[test]
fn doctor_names_a_missing_directory_and_a_key_that_is_none() {
    let text = |url: &str| {
        format!(
            "[server]\npublic_url = \"https://login.example.com\"\n[database]\nurl = \"{url}\"\n[mail]\nhost = \
             \"127.0.0.1\"\nfrom = \"login@example.com\"\n"
        )
    };
    let folder = Folder::with("nowhere", &text("sqlite:/nonexistent/entree.db"));
    doctor(&folder.file(), &[]).says("database", "fail", "/nonexistent");

    let folder = Folder::with("damaged", &text(""));
    std::fs::create_dir(folder.0.join("data")).unwrap();
    std::fs::write(folder.0.join("data/master.key"), "not a key").unwrap();
    let said = doctor(&folder.file(), &[]);
    said.says("master key", "fail", "master.key");
    assert_eq!(said.code, Some(1));
}

#[test]
fn doctor_names_everything_that_is_away_at_once_with_remedies() {
    let ports = [closed_port(), closed_port(), closed_port(), closed_port()];
    let text = format!(
        "[server]\npublic_url = \"https://login.example.com\"\n[database]\nurl = \"postgres://u:s3cret@127.0.0.1:{}/d\"\n\
         [tickets]\nurl = \"redis://:s3cret@127.0.0.1:{}\"\n[mail]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
         from = \"login@example.com\"\n[[providers]]\nid = \"gone\"\nissuer = \"http://127.0.0.1:{}\"\nclient_id = \"c\"\n\
         client_secret = \"s3cret\"\nprivate_hosts = [\"127.0.0.1\"]\nloopback_http = true\n[[providers]]\nid = \"off\"\n\
         kind = \"google\"\nclient_id = \"c\"\nclient_secret = \"s3cret\"\nenabled = false\n",
        ports[0], ports[1], ports[2], ports[3]
    );
    let folder = Folder::with("away", &text);
    let said = doctor(&folder.file(), &[]);
    assert_eq!(said.code, Some(1));
    said.says("database", "fail", "refuses connections");
    said.says("ticket store", "fail", "tickets.url");
    said.says("mail server", "fail", "mail.host");
    said.says(
        "provider gone",
        "ok",
        "https://login.example.com/upstream/gone/callback",
    );
    let gone: Vec<_> = said
        .findings
        .iter()
        .filter(|finding| finding["check"] == "provider gone")
        .collect();
    assert!(
        gone.iter().any(|finding| {
            let what = finding["what"].as_str().unwrap_or_default();
            finding["state"] == "fail"
                && finding["hint"].as_str().is_some()
                && what.contains("refuses connections")
        }),
        "{gone:?}"
    );
    said.says("provider off", "ok", "switched off");
    assert!(
        !format!("{:?}", said.findings).contains("s3cret"),
        "{:#?}",
        said.findings
    );
}

#[test]
fn doctor_reports_problems_of_the_configuration() {
    let folder = Folder::with("wrong", "[server]\npublic_url = \"ftp://x\"\n");
    let said = doctor(&folder.file(), &[]);
    assert_eq!(said.code, Some(1));
    said.says("configuration", "fail", "server.public_url");
}
