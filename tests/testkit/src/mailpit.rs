//! Mailpit as a mailbox: the real mail server that developers use, started by us or found by `MAILPIT_URL`.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{
    Boxed, Missing,
    child::{self, RunAs},
    mail::{Fault, Mail, Mailbox},
};

/// The version we build when none is installed. Its API is what this module speaks.
pub const VERSION: &str = "v1.27.11";

/// A running Mailpit.
#[derive(Debug)]
pub struct Mailpit {
    api: String,
    smtp: SocketAddr,
    http: reqwest::Client,
    process: Option<Child>,
}

impl Mailpit {
    /// Uses `MAILPIT_URL` (with `MAILPIT_SMTP`, or else 127.0.0.1:1025), else the program from `PATH`, else one
    /// built once by Go and kept in the user's cache.
    ///
    /// # Errors
    /// No Mailpit is available.
    pub async fn start() -> Result<Self, Missing> {
        if let Ok(api) = std::env::var("MAILPIT_URL") {
            let smtp =
                std::env::var("MAILPIT_SMTP").unwrap_or_else(|_| "127.0.0.1:1025".to_owned());
            let smtp = smtp
                .parse()
                .map_err(|_| Missing::new("Mailpit", "MAILPIT_SMTP is not ADDRESS:PORT"))?;
            let this = Self {
                api: api.trim_end_matches('/').to_owned(),
                smtp,
                http: crate::browser::client(),
                process: None,
            };
            return this.ready().await;
        }
        let program = program()?;
        let folder = child::scratch("mailpit");
        // Mailpit cannot choose a free port itself. Another program may take one of these two before it does:
        // then it is not ready in time.
        let (web, smtp) = (free_port(), free_port());
        let mut command = child::command(program, RunAs::Us, "KILL");
        command.args([
            "--listen",
            &web.to_string(),
            "--smtp",
            &smtp.to_string(),
            "--max",
            "0",
        ]);
        command.args(["--smtp-disable-rdns", "--disable-version-check", "--quiet"]);
        command
            .arg("--database")
            .arg(folder.join("mail.db"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process =
            child::spawn(command).map_err(|error| Missing::new("Mailpit", error.to_string()))?;
        let this = Self {
            api: format!("http://{web}"),
            smtp,
            http: crate::browser::client(),
            process: Some(process),
        };
        this.ready().await
    }

    /// Returns its SMTP address.
    #[must_use]
    pub const fn smtp(&self) -> SocketAddr {
        self.smtp
    }

    async fn ready(self) -> Result<Self, Missing> {
        let url = format!("{}/readyz", self.api);
        let ask = || async {
            self.http
                .get(&url)
                .send()
                .await
                .ok()
                .filter(|answer| answer.status().is_success())
                .map(drop)
        };
        crate::until("Mailpit", Duration::from_secs(10), ask)
            .await
            .map_err(|why| Missing::new("Mailpit", why))?;
        Ok(self)
    }

    async fn json(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let url =
            url::Url::parse_with_params(&format!("{}{path}", self.api), query).expect("a URL");
        let answer = self.http.get(url).send().await.expect("Mailpit answers");
        answer.json().await.expect("JSON from Mailpit")
    }

    async fn emails(&self, address: &str) -> Vec<Mail> {
        let query = format!("addressed:\"{address}\"");
        let found = self
            .json("/api/v1/search", &[("query", &query), ("limit", "200")])
            .await;
        let mut ids: Vec<String> = found["messages"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|m| m["ID"].as_str().map(str::to_owned))
            .collect();
        // Newest first there, oldest first here.
        ids.reverse();
        let mut mails = Vec::new();
        for id in ids {
            let raw = self
                .http
                .get(format!("{}/api/v1/message/{id}/raw", self.api))
                .send()
                .await
                .expect("Mailpit answers");
            let raw = raw.bytes().await.expect("the email");
            mails.push(Mail::parse(address, &raw));
        }
        mails
    }
}

impl Drop for Mailpit {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Mailbox for Mailpit {
    fn all<'a>(&'a self, address: &'a str) -> Boxed<'a, Vec<Mail>> {
        Box::pin(self.emails(address))
    }

    fn fault(&self, _: &str, _: Option<Fault>) -> Result<(), String> {
        Err(
            "Mailpit's faults are for all addresses at once; scenarios with faults run on the sink"
                .to_owned(),
        )
    }

    fn attempts(&self, _: &str) -> usize {
        0
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

fn program() -> Result<PathBuf, Missing> {
    let cache = cache();
    let built = cache.join("mailpit");
    if let Some(found) =
        child::find("mailpit", &[]).or_else(|| built.is_file().then(|| built.clone()))
    {
        return Ok(found);
    }
    let why = "no mailpit on PATH and no Go to build it with; scripts/setup.sh tells more";
    let go = child::find("go", &[PathBuf::from("/usr/local/go/bin")])
        .ok_or_else(|| Missing::new("Mailpit", why))?;
    if std::env::var_os("NO_INSTALL").is_some_and(|value| value == "1") {
        return Err(Missing::new(
            "Mailpit",
            "not on PATH, and NO_INSTALL=1 forbids building it",
        ));
    }
    std::fs::create_dir_all(&cache).map_err(|error| Missing::new("Mailpit", error.to_string()))?;
    // GOTOOLCHAIN=local: too old a Go says so instead of fetching another.
    let mut build = Command::new(go);
    build.args(["install", &format!("github.com/axllent/mailpit@{VERSION}")]);
    let output = build
        .env("GOBIN", &cache)
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "")
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(built),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(Missing::new(
                "Mailpit",
                format!("go install: {}", text.lines().last().unwrap_or_default()),
            ))
        }
        Err(error) => Err(Missing::new("Mailpit", error.to_string())),
    }
}

fn cache() -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
    let base =
        std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    base.join("entree-testkit").join(VERSION)
}
