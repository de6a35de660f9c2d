//! The throw-away servers themselves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on must stop"
)]

use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait, Database};
use testkit::{
    Missing, ci,
    mail::Mailbox,
    mailpit::Mailpit,
    services::{Postgres, Redis, postgres, redis},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn found_or_skipped<T>(found: Result<T, Missing>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(missing) if ci() => panic!("{missing}"),
        Err(missing) => {
            eprintln!("skipped: {missing}");
            None
        }
    }
}

#[tokio::test]
async fn each_database_is_a_copy_of_the_migrated_one() {
    let Some(server) = found_or_skipped(postgres().await) else {
        return;
    };
    let migrate = |url: String| async move {
        let db = Database::connect(url).await.unwrap();
        db.execute_unprepared("create table t (n int); insert into t values (1)")
            .await
            .unwrap();
        db.close().await.unwrap();
    };
    let (one, two) = (
        server.migrated(migrate).await,
        server.migrated(migrate).await,
    );
    assert_ne!(one, two);
    Database::connect(one)
        .await
        .unwrap()
        .execute_unprepared("delete from t")
        .await
        .unwrap();
    let left = Database::connect(two)
        .await
        .unwrap()
        .execute_unprepared("delete from t")
        .await
        .unwrap();
    assert_eq!(left.rows_affected(), 1);
}

#[tokio::test]
async fn a_durable_server_comes_back_after_a_crash_with_every_row() {
    let Some(server) = found_or_skipped(Postgres::start(true).await) else {
        return;
    };
    let url = server.empty().await;
    let db = Database::connect(&url).await.unwrap();
    db.execute_unprepared("create table t (n int)")
        .await
        .unwrap();
    db.execute_unprepared("insert into t values (1)")
        .await
        .unwrap();
    server.kill();
    let mut quick = ConnectOptions::new(url.clone());
    quick.acquire_timeout(Duration::from_secs(1));
    assert!(Database::connect(quick).await.is_err());
    server.revive().await.unwrap();
    let again = Database::connect(&url).await.unwrap();
    assert_eq!(
        again
            .execute_unprepared("delete from t")
            .await
            .unwrap()
            .rows_affected(),
        1
    );
}

#[tokio::test]
async fn redis_is_shared_and_prefixes_differ() {
    let Some(server) = found_or_skipped(redis().await) else {
        return;
    };
    assert!(server.url().starts_with("redis"));
    assert_ne!(server.prefix(), server.prefix());
    assert_eq!(policy(server.url()).await, "noeviction");
}

/// What `maxmemory-policy` is at that server.
async fn policy(url: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    let password = url
        .password()
        .map_or_else(String::new, |password| format!("AUTH {password}\r\n"));
    let question = format!("{password}CONFIG GET maxmemory-policy\r\nQUIT\r\n");
    let mut answer = String::new();
    if url.scheme() == "redis+unix" {
        let mut stream = tokio::net::UnixStream::connect(url.path()).await.unwrap();
        stream.write_all(question.as_bytes()).await.unwrap();
        stream.read_to_string(&mut answer).await.unwrap();
    } else {
        let at = (url.host_str().unwrap(), url.port().unwrap_or(6379));
        let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
        stream.write_all(question.as_bytes()).await.unwrap();
        stream.read_to_string(&mut answer).await.unwrap();
    }
    let lines: Vec<_> = answer
        .lines()
        .skip_while(|line| *line != "maxmemory-policy")
        .collect();
    (*lines.get(2).unwrap_or_else(|| panic!("{answer}"))).to_owned()
}

#[tokio::test]
async fn a_redis_of_our_own_comes_back_after_a_kill() {
    let Some(own) = found_or_skipped(Redis::start().await) else {
        return;
    };
    own.kill();
    own.revive().await.unwrap();
}

#[tokio::test]
async fn mailpit_keeps_a_letter_under_its_address() {
    let Some(mailpit) = found_or_skipped(Mailpit::start().await) else {
        return;
    };
    let mut stream = tokio::net::TcpStream::connect(mailpit.smtp())
        .await
        .unwrap();
    let mut buffer = [0; 512];
    for line in [
        "",
        "EHLO x\r\n",
        "MAIL FROM:<a@x.test>\r\n",
        "RCPT TO:<b@x.test>\r\n",
        "DATA\r\n",
    ] {
        stream.write_all(line.as_bytes()).await.unwrap();
        let _ = stream.read(&mut buffer).await.unwrap();
    }
    let email =
        b"From: a@x.test\r\nTo: b@x.test\r\nSubject: hi\r\n\r\nhttp://x/login/link/abc\r\n.\r\n";
    stream.write_all(email).await.unwrap();
    let _ = stream.read(&mut buffer).await.unwrap();
    let mails = mailpit
        .wait("b@x.test", 1, Duration::from_secs(10))
        .await
        .unwrap();
    assert_eq!(
        (mails[0].subject.as_str(), mails[0].link().as_str()),
        ("hi", "http://x/login/link/abc")
    );
    assert!(mailpit.all("c@x.test").await.is_empty());
}
