//! The built binary under attack, with its mail, its database and its ticket store in reach.

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, Statement};
use serde_json::Value;
use testkit::{
    browser::Browser,
    ci,
    entree::{Backend, Options, Servers, Service},
    mail::{Mail, Mailbox as _},
    services::Redis,
    smtp::Sink,
};

use crate::judge::within;

/// The application of these tests: first-party, and allowed to draw its own form.
pub(crate) const CLIENT: &str = "lessons-web";
pub(crate) const CALLBACK: &str = "http://127.0.0.1:7777/callback";

/// Both back ends of an attack.
pub(crate) const BOTH: [Backend; 2] = [Backend::Embedded, Backend::Servers];

/// A service and what it stands on.
pub(crate) struct Stage {
    pub(crate) service: Service,
    pub(crate) mail_sink: Arc<Sink>,
    pub(crate) backend: Backend,
    /// Kept as long as the service: a ticket store that is small and filled by no other test.
    _redis: Option<Redis>,
    refused: AtomicUsize,
    /// People come from loopback addresses of their own, as no proxy is trusted.
    pub(crate) is_bound: bool,
}

fn binary() -> PathBuf {
    std::env::var_os("ENTREE_BIN").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_entree")),
        PathBuf::from,
    )
}

/// The settings of these tests for a service.
fn options(backend: Backend, mail_sink: &Sink) -> Options {
    Options::new(backend, mail_sink.address()).tail(&format!(
        "\n[[clients]]\nclient_id = \"{CLIENT}\"\nname = \"Lessons\"\nredirect_uris = [\"{CALLBACK}\"]\naudience = \
         \"https://lessons.example.test\"\nfirst_party = true\napp_sign_in = true\n"
    ))
}

impl Stage {
    /// Starts a service with one client. `None`, printed: this machine lacks a server for it.
    pub(crate) async fn start(
        backend: Backend,
        change: impl FnOnce(Options) -> Options,
    ) -> Option<Arc<Self>> {
        let mail_sink = Arc::new(Sink::start().await);
        let options = change(options(backend, &mail_sink));
        let redis = match backend {
            Backend::Embedded => None,
            _ => Some(present(Redis::start_with("32mb").await)?),
        };
        let servers = Servers {
            redis: redis.as_ref(),
            ..Servers::default()
        };
        let is_bound = options.toml().contains("trusted_proxies = []");
        let service = present(Service::start_on(&binary(), options, servers).await)?;
        Some(Arc::new(Self {
            service,
            mail_sink,
            backend,
            _redis: redis,
            refused: AtomicUsize::new(0),
            is_bound,
        }))
    }

    pub(crate) const fn back_end(&self) -> &'static str {
        match self.backend {
            Backend::Embedded => "SQLite, in process",
            Backend::Servers | Backend::Two => "PostgreSQL, Redis",
        }
    }

    /// A browser at a network address.
    pub(crate) fn browser(&self, from: Ipv4Addr) -> Browser {
        if self.is_bound {
            Browser::bound(from)
        } else {
            Browser::new(from)
        }
    }

    async fn database(&self) -> DatabaseConnection {
        let folder = self.service.data()[0].clone();
        let file = folder.parent().expect("a folder").join("entree.toml");
        let text = std::fs::read_to_string(file).expect("a file");
        let file: toml::Table = text.parse().expect("TOML");
        let url = file
            .get("database")
            .and_then(|section| section.get("url")?.as_str().map(str::to_owned))
            .unwrap_or_else(|| format!("sqlite://{}/entree.db?mode=rw", folder.display()));
        let mut options = ConnectOptions::new(url);
        options.max_connections(1).sqlx_logging(false);
        Database::connect(options).await.expect("the database")
    }

    /// The number that a statement returns in its column `n`.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let db = self.database().await;
        let statement = Statement::from_string(db.get_database_backend(), sql.to_owned());
        let row = db.query_one_raw(statement).await.expect("a statement");
        row.expect("a row").try_get("", "n").expect("a number")
    }

    /// The rows of a table.
    pub(crate) async fn rows(&self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) AS n FROM {table}"))
            .await
    }

    /// The rows of all tables.
    pub(crate) async fn all_rows(&self) -> i64 {
        let sql = match self.backend {
            Backend::Embedded => "SELECT name FROM sqlite_master WHERE type = 'table'",
            Backend::Servers | Backend::Two => {
                "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'"
            }
        };
        let db = self.database().await;
        let backend = db.get_database_backend();
        let tables = db.query_all_raw(Statement::from_string(backend, sql)).await;
        let mut rows = 0;
        for table in tables.expect("the tables") {
            let table: String = table.try_get("", "name").expect("a name");
            let sql = format!("SELECT count(*) AS n FROM {table}");
            let count = db.query_one_raw(Statement::from_string(backend, sql)).await;
            let count = count.expect("a statement").expect("a row");
            rows += count.try_get::<i64>("", "n").expect("a number");
        }
        rows
    }

    /// The emails of a device to an address: users know theirs by the device that it names.
    pub(crate) async fn emails(&self, address: &str, device: &str) -> Vec<Mail> {
        let all = self.mail_sink.all(address).await;
        all.into_iter()
            .filter(|mail| mail.text.contains(device))
            .collect()
    }

    /// The next email of a device to an address that had `seen` of them.
    pub(crate) async fn email(&self, address: &str, device: &str, seen: usize) -> Mail {
        testkit::until("the email", within(), || async {
            self.emails(address, device).await.into_iter().nth(seen)
        })
        .await
        .unwrap_or_else(|why| panic!("{why}\n{}", self.trouble()))
    }

    /// Counts a right code that was refused.
    pub(crate) fn count_refused_right_code(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many right codes of innocents were refused.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// What `/readyz` says.
    pub(crate) async fn readyz(&self) -> (u16, Value) {
        let url = format!("{}/readyz", self.service.copies[0].management);
        let client = testkit::browser::client();
        let answer = client.get(url).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap_or_default();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    /// Forgets the most memory that the process had, so that the next [`Stage::peak_mib`] is the attack's.
    pub(crate) fn reset_peak(&self) {
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.process()), "5");
    }

    /// The most memory that the process had resident, in MiB.
    pub(crate) fn peak_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process()));
        let status = status.expect("the status of a process");
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("VmHWM").div_ceil(1024)
    }

    fn process(&self) -> u32 {
        self.service.copies[0].id()
    }

    /// Lines of the log that report a fault of the service.
    pub(crate) fn faults(&self) -> Vec<String> {
        let is_fault = |line: &String| line.contains("\"ERROR\"") || line.contains("panicked");
        self.service.log().into_iter().filter(is_fault).collect()
    }

    /// The last lines of the log that report trouble, for messages of failing tests.
    fn trouble(&self) -> String {
        let is_bad = |line: &String| line.contains("\"ERROR\"") || line.contains("\"WARN\"");
        let bad: Vec<String> = self.service.log().into_iter().filter(is_bad).collect();
        bad[bad.len().saturating_sub(4)..].join("\n")
    }
}

/// What is there; else says what is missing, which fails on a build server.
fn present<T>(found: Result<T, testkit::Missing>) -> Option<T> {
    found
        .inspect_err(|missing| {
            assert!(!ci(), "{missing}");
            eprintln!("skipped: {missing}");
        })
        .ok()
}

/// Waits until a condition holds, at most so long.
pub(crate) async fn wait_until<F: Future<Output = bool>>(
    what: &str,
    limit: Duration,
    holds: impl Fn() -> F,
) {
    testkit::until(what, limit, || async { holds().await.then_some(()) })
        .await
        .unwrap_or_else(|why| panic!("{why}"));
}
