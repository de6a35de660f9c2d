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

/// What a server may use, unless a test says otherwise.
const MAX_MEMORY: &str = "128mb";

/// A server.
#[derive(Debug)]
pub struct Redis {
    url: String,
    max_memory: &'static str,
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
                Ok(url) if !url.is_empty() => Ok(Redis {
                    url,
                    max_memory: MAX_MEMORY,
                    own: None,
                }),
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
        Self::start_with(MAX_MEMORY).await
    }

    /// The same with so much memory, such as `16mb`.
    ///
    /// # Errors
    /// See [`Redis::start`].
    pub async fn start_with(max_memory: &'static str) -> Result<Self, Missing> {
        let folder = child::scratch("redis");
        let this = Self {
            url: format!("redis+unix://{}/r.sock", folder.display()),
            max_memory,
            own: Some((folder, Mutex::new(None))),
        };
        this.revive().await?;
        Ok(this)
    }

    /// A server that speaks TLS alone, wants a client certificate and knows the user `entree` with the password
    /// `secret`. Gives the folder of `ca.pem`, `cert.pem` and `key.pem`, which serve both sides. The certificate is
    /// for 127.0.0.1; 127.0.0.2 responds, too.
    ///
    /// # Errors
    /// No Redis is installed, or it does not start.
    pub async fn start_tls() -> Result<(Self, PathBuf), Missing> {
        let folder = child::scratch("redis");
        crate::trust::issue(&folder);
        std::fs::write(folder.join("ca.pem"), crate::trust::authority()).expect("a file");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let file = |name: &str| folder.join(name).display().to_string();
        let mut command = child::command(program()?, RunAs::Us, "KILL");
        command.args(["--port", "0", "--tls-port", &port.to_string()]);
        command.args(["--bind", "127.0.0.1", "127.0.0.2"]);
        command.args(["--tls-auth-clients", "yes", "--save", ""]);
        command.args(["--tls-cert-file", &file("cert.pem"), "--tls-key-file"]);
        command.args([&file("key.pem"), "--tls-ca-cert-file", &file("ca.pem")]);
        command.args(["--user", "entree", "on", ">secret", "~t:*", "+@all"]);
        command.args(["--maxmemory-policy", "noeviction"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            child::spawn(command).map_err(|error| Missing::new("Redis", error.to_string()))?;
        let this = Self {
            max_memory: MAX_MEMORY,
            url: format!("rediss://entree:secret@127.0.0.1:{port}/0"),
            own: Some((folder.clone(), Mutex::new(Some(child)))),
        };
        let open = || async { std::net::TcpStream::connect(("127.0.0.1", port)).ok() };
        crate::until("Redis", Duration::from_secs(10), open)
            .await
            .map_err(|why| Missing::new("Redis", why))?;
        Ok((this, folder))
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

    /// Its process. Only for one that we started and that runs.
    #[must_use]
    pub fn id(&self) -> u32 {
        let (_, process) = self.own.as_ref().expect("a server that we started");
        let process = process.lock().unwrap_or_else(PoisonError::into_inner);
        process.as_ref().expect("a server that runs").id()
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
        let mut command = child::command(program()?, RunAs::Us, "KILL");
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
        command.args([
            "--maxmemory",
            self.max_memory,
            "--maxmemory-policy",
            "noeviction",
        ]);
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

fn program() -> Result<PathBuf, Missing> {
    child::find("redis-server", &[])
        .or_else(|| child::find("valkey-server", &[]))
        .ok_or_else(|| {
            let why = "no redis-server on PATH; scripts/setup.sh installs it";
            Missing::new("Redis", why)
        })
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
