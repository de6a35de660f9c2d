//! A Redis of our own: socket only, nothing on disk, `noeviction`. Tests keep apart by key prefix.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::OnceCell;

use crate::{
    Missing,
    child::{self, RunAs},
};

/// A server.
#[derive(Debug)]
pub struct Redis {
    url: String,
    own: Option<(PathBuf, Mutex<Option<Child>>)>,
}

/// The server that all tests of this process share: `TEST_REDIS_URL`, or `redis-server` (or `valkey-server`) on `PATH`.
///
/// # Errors
/// Neither is there.
pub async fn redis() -> Result<&'static Redis, Missing> {
    static SHARED: OnceCell<Result<Redis, Missing>> = OnceCell::const_new();
    SHARED
        .get_or_init(|| async {
            match std::env::var("TEST_REDIS_URL") {
                Ok(url) if !url.is_empty() => Ok(Redis { url, own: None }),
                _ => Redis::start().await,
            }
        })
        .await
        .as_ref()
        .map_err(Clone::clone)
}

impl Redis {
    /// Another server, for tests that kill or flush it.
    ///
    /// # Errors
    /// No Redis is installed, or it does not start.
    pub async fn start() -> Result<Self, Missing> {
        let folder = child::scratch("redis");
        let this = Self {
            url: format!("redis+unix://{}/r.sock", folder.display()),
            own: Some((folder, Mutex::new(None))),
        };
        this.revive().await?;
        Ok(this)
    }

    /// Its URL for `tickets.url`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A key prefix that no other test has.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("t{}:", uuid::Uuid::new_v4().simple())
    }

    /// Kills it at once. Only for one that we started.
    pub fn kill(&self) {
        let (_, process) = self.own.as_ref().expect("a server that we started");
        if let Some(mut process) = process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again, empty, and waits until it answers.
    ///
    /// # Errors
    /// It does not start.
    pub async fn revive(&self) -> Result<(), Missing> {
        let (folder, process) = self.own.as_ref().expect("a server that we started");
        let socket = folder.join("r.sock");
        let _ = std::fs::remove_file(&socket);
        let program = child::find("redis-server", &[])
            .or_else(|| child::find("valkey-server", &[]))
            .ok_or_else(|| {
                Missing::new(
                    "Redis",
                    "no redis-server on PATH; scripts/setup.sh installs it",
                )
            })?;
        let mut command = child::command(program, RunAs::Us, "KILL");
        command.args([
            "--port",
            "0",
            "--unixsocketperm",
            "700",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(folder);
        command.args(["--maxmemory", "128mb", "--maxmemory-policy", "noeviction"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            child::spawn(command).map_err(|error| Missing::new("Redis", error.to_string()))?;
        *process.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        let ready = || async { answers(&socket).then_some(()) };
        crate::until("Redis", Duration::from_secs(10), ready)
            .await
            .map_err(|why| Missing::new("Redis", why))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some((folder, _)) = &self.own {
            self.kill();
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

fn answers(socket: &std::path::Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else {
        return false;
    };
    let mut answer = [0; 5];
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"+PONG"
}
