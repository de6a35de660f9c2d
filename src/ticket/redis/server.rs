//! A Redis of a test's own, on a socket in a directory of its own; it ends with the test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use redis::{Cmd, FromRedisValue, cmd};

use super::Redis;
use crate::{
    secret::{MasterKeys, public_id},
    ticket::{Space, Tickets},
};

/// Tests share few processors with many others: what is not about time-outs waits longer.
const PATIENT: Duration = Duration::from_secs(20);

/// The part of Redis that tests use. Its space is enough for all cases but those that fill it.
pub(in crate::ticket) const SPACE: Space<'static> = Space {
    prefix: "t:",
    max_bytes: 512 * 1024,
};

pub(in crate::ticket) struct Server {
    directory: PathBuf,
    arguments: Vec<String>,
    child: Child,
}

impl Server {
    /// None if there is no `redis-server` here: the test does not run then, which is a failure when `CI=true`.
    pub(in crate::ticket) async fn start(arguments: &[&str]) -> Option<Self> {
        if Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_err()
        {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "redis-server is not on PATH"
            );
            eprintln!("skipped: redis-server is not on PATH");
            return None;
        }
        let directory = std::env::temp_dir().join(format!("entree-{}", public_id().simple()));
        std::fs::create_dir(&directory).unwrap();
        let arguments: Vec<String> = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        let child = spawn(&directory, &arguments);
        let server = Self {
            directory,
            arguments,
            child,
        };
        server.answers().await;
        Some(server)
    }

    pub(in crate::ticket) fn url(&self) -> String {
        format!("redis+unix://{}", self.directory.join("r.sock").display())
    }

    /// A copy of the service with a connection of its own.
    pub(in crate::ticket) fn tickets(&self, keys: &MasterKeys) -> Tickets {
        Tickets::over(
            Arc::new(Redis::open(&self.url(), SPACE, PATIENT).unwrap()),
            "t:",
            keys,
        )
    }

    /// Asks the server itself.
    pub(in crate::ticket) async fn raw<T: FromRedisValue>(&self, command: &Cmd) -> T {
        let client = redis::Client::open(self.url()).unwrap();
        let patient = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENT))
            .set_response_timeout(Some(PATIENT));
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&patient)
            .await
            .unwrap();
        command.query_async(&mut connection).await.unwrap()
    }

    /// The keys of entries, without those of the account.
    pub(in crate::ticket) async fn keys(&self) -> Vec<String> {
        let mut keys = self.all_keys().await;
        keys.retain(|key| !key.starts_with("t:account:"));
        keys
    }

    async fn all_keys(&self) -> Vec<String> {
        self.raw(cmd("KEYS").arg("*")).await
    }

    /// H2: nothing is left behind for ever.
    pub(in crate::ticket) async fn every_key_has_a_ttl(&self) {
        for key in self.all_keys().await {
            assert!(key.starts_with("t:"), "{key}");
            let ttl: i64 = self.raw(cmd("PTTL").arg(&key)).await;
            assert!(ttl != -1, "{key} never ends");
        }
    }

    /// Until so few clients are connected, ourselves included.
    pub(in crate::ticket) async fn clients_fall_to(&self, most: usize) {
        let fall = async {
            while self
                .raw::<String>(cmd("CLIENT").arg("LIST"))
                .await
                .lines()
                .count()
                > most
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENT, fall).await.unwrap();
    }

    pub(in crate::ticket) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(in crate::ticket) async fn restart(&mut self) {
        self.child = spawn(&self.directory, &self.arguments);
        self.answers().await;
    }

    /// Stops it from answering, or lets it go on.
    pub(in crate::ticket) fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let kill = format!("kill {signal} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
    }

    async fn answers(&self) {
        let probe = Redis::open(&self.url(), SPACE, PATIENT).unwrap();
        let up = async {
            while crate::ticket::store::Store::ping(&probe).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENT, up).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn spawn(directory: &std::path::Path, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .args([
            "--port",
            "0",
            "--unixsocket",
            "r.sock",
            "--unixsocketperm",
            "700",
        ])
        .args([
            "--save",
            "",
            "--appendonly",
            "no",
            "--maxmemory",
            "128mb",
            "--maxmemory-policy",
            "noeviction",
        ])
        .args(arguments)
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
