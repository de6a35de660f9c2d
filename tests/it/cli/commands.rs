//! Commands beside a running service and at its end: those that destroy ask first, and a result that
//! cannot be written is an error.

use std::{
    fs::File,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use testkit::entree::Backend;

use super::doctor::{Folder, doctor, file};
use crate::service::{Stage, binary};

fn entree(config: &Path, arguments: &[&str], stdout: Stdio) -> Output {
    let output = Command::new(binary())
        .arg("--config")
        .arg(config)
        .args(arguments)
        .current_dir(config.parent().unwrap())
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn();
    output.unwrap().wait_with_output().unwrap()
}

/// Returns what a command printed, after the exit code was compared.
fn run(config: &Path, arguments: &[&str], code: i32) -> String {
    let output = entree(config, arguments, Stdio::piped());
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}

async fn undoing(backend: Backend) {
    let Some(stage) = Stage::start(backend, |options| options).await else {
        return;
    };
    let config = file(&stage);
    let refused = run(&config, &["migrate", "--down", "99", "--yes"], 1);
    assert!(
        refused.contains("in use by") || refused.contains("another entree runs"),
        "{refused}"
    );
    let created = run(
        &config,
        &["users", "create", "ada@example.com", "--json"],
        0,
    );
    let created: Value = serde_json::from_str(&created).unwrap();
    let sub = created["sub"].as_str().unwrap();
    let keys = run(&config, &["keys", "list", "--json"], 0);
    let keys: Value = serde_json::from_str(&keys).unwrap();
    let kid = keys[0]["kid"].as_str().unwrap();
    for (arguments, words) in [
        (["users", "disable", sub], "add `--yes`"),
        (["users", "sign-out", sub], "add `--yes`"),
        (["keys", "revoke", kid], "add `--yes`"),
        // What is not there is reported before anything is asked.
        (["users", "disable", "eve@example.com"], "no user has"),
        (["users", "sign-out", "eve@example.com"], "no user has"),
        (["keys", "revoke", "-QxC"], "no key has this identifier"),
        (
            ["sessions", "revoke", "9736b860-f8a9-4cf8-981f-e304f0617e96"],
            "no live session",
        ),
        // Its address is not verified yet.
        (["users", "disable", "ada@example.com"], sub),
    ] {
        let refused = run(&config, &arguments, 1);
        assert!(refused.contains(words), "{arguments:?}: {refused}");
    }
    for instance in &stage.service.copies {
        instance.stop().await;
    }
    let asked = run(&config, &["migrate", "--down", "1"], 1);
    assert!(asked.contains("add `--yes`"), "{asked}");
    let fine = run(&config, &["migrate", "--status"], 0);
    assert!(fine.contains("nothing is pending"), "{fine}");
    let undone = run(&config, &["migrate", "--down", "1", "--yes"], 0);
    assert_eq!(undone.lines().count(), 2, "names the one: {undone}");
    let pending = run(&config, &["migrate", "--status"], 0);
    assert!(pending.starts_with("pending:"), "{pending}");
}

#[tokio::test(flavor = "multi_thread")]
async fn od_2_migrations_are_undone_only_without_instances_and_with_consent() {
    undoing(Backend::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn od_2_migrations_are_undone_only_without_instances_and_with_consent_on_servers() {
    undoing(Backend::Servers).await;
}

/// Listing differs from changing: without a database all migrations are pending, and no file is made.
#[test]
fn migrate_status_makes_no_database() {
    let folder = Folder::with(
        "status",
        "[server]\npublic_url = \"https://login.example.com\"\n[mail]\nhost = \"mail.example.com\"\n\
         from = \"login@example.com\"\n",
    );
    let pending = run(&folder.file(), &["migrate", "--status"], 0);
    assert!(pending.starts_with("pending:"), "{pending}");
    assert!(pending.lines().count() > 5, "{pending}");
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1);
}

/// A start without the master key makes no new one for a database that has signing keys.
#[tokio::test(flavor = "multi_thread")]
async fn sk_07_a_lost_master_key_is_not_replaced() {
    for backend in [Backend::Embedded, Backend::Servers] {
        let Some(stage) = Stage::start(backend, |options| options).await else {
            return;
        };
        let key = stage.service.data()[0].join("master.key");
        stage.service.copies[0].stop().await;
        std::fs::rename(&key, key.with_extension("away")).unwrap();
        let refused = run(&file(&stage), &["serve"], 1);
        assert!(refused.contains("there is no master key at"), "{refused}");
        assert!(!key.exists(), "none is made");
    }
}

/// A server that accepts no writes is named as that, by the commands as by `doctor`.
#[tokio::test(flavor = "multi_thread")]
async fn od_7_a_database_that_accepts_no_writes_is_named() {
    let Some(stage) = Stage::start(Backend::Servers, |options| options).await else {
        return;
    };
    let url = stage.setting("database.url").unwrap();
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}options=-c%20default_transaction_read_only%3Don");
    let env = [("ENTREE__DATABASE__URL", url.as_str())];
    doctor(&file(&stage), &env).says("database", "fail", "accepts no writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn od_5_a_result_that_cannot_be_written_is_an_error() {
    let Some(stage) = Stage::start(Backend::Embedded, |options| options).await else {
        return;
    };
    let config = file(&stage);
    for arguments in [
        &["openapi"][..],
        &["users", "list"],
        &["users", "list", "--json"],
        &["audit"],
        &["check-config"],
        &["clients", "list"],
        &["keys", "list"],
        &["sessions", "list"],
        &["migrate", "--status"],
        &["doctor", "--json"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = entree(&config, arguments, full.into());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("cannot be written"), "{arguments:?}: {said}");
    }
}

/// OD-6: a client that only the file has clashes with none.
#[tokio::test(flavor = "multi_thread")]
async fn od_6_a_client_of_the_file_alone_is_shown_without_a_warning() {
    let Some(stage) = Stage::start(Backend::Embedded, |options| options).await else {
        return;
    };
    let shown = run(&file(&stage), &["clients", "show", "lessons-web"], 0);
    assert!(!shown.contains("warning"), "{shown}");
}
