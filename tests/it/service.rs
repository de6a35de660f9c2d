//! The built binary from outside, with its mail, its database and its ticket store in reach.

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use testkit::{
    browser::Browser,
    ci,
    entree::{Backend, Options, Servers, Service},
    mail::{Mail, Mailbox as _},
    page::Page,
    smtp::Sink,
};

/// The client of these tests.
pub(crate) const CLIENT: &str = "lessons-web";
/// Where it is answered.
pub(crate) const CALLBACK: &str = "http://127.0.0.1:7777/callback";

/// A service and where its mail arrives.
pub(crate) struct Stage {
    pub(crate) service: Service,
    pub(crate) post: Sink,
}

/// The built binary; `ENTREE_BIN` names another.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("ENTREE_BIN").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_entree")),
        PathBuf::from,
    )
}

impl Stage {
    /// Starts a service with one first-party client. None, said aloud: this machine lacks a server for it.
    pub(crate) async fn start(
        backend: Backend,
        change: impl FnOnce(Options) -> Options,
    ) -> Option<Self> {
        Self::start_on(backend, Servers::default(), change).await
    }

    /// The same on given servers.
    pub(crate) async fn start_on(
        backend: Backend,
        servers: Servers<'_>,
        change: impl FnOnce(Options) -> Options,
    ) -> Option<Self> {
        let post = Sink::start().await;
        let options = Options::new(backend, post.address()).tail(&format!(
            "\n[[clients]]\nclient_id = \"{CLIENT}\"\nname = \"Lessons\"\nredirect_uris = [\"{CALLBACK}\"]\naudience = \
             \"https://lessons.example.test\"\nfirst_party = true\napp_sign_in = true\n"
        ));
        match Service::start_on(&binary(), change(options), servers).await {
            Ok(service) => Some(Self { service, post }),
            Err(missing) => {
                assert!(!ci(), "{missing}");
                eprintln!("skipped: {missing}");
                None
            }
        }
    }

    /// Waits until the first RS256 key is there, which is made in the background (SP-6).
    pub(crate) async fn until_keys(&self) {
        let key_set = self.service.at("/.well-known/jwks.json");
        let response = testkit::browser::client()
            .get(key_set)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
    }

    /// A setting out of the file of the first copy, such as `database.url`.
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        let folder = self.service.data()[0]
            .parent()
            .expect("a folder")
            .to_path_buf();
        let text = std::fs::read_to_string(folder.join("entree.toml")).expect("a file");
        let file: toml::Table = text.parse().expect("TOML");
        let (section, key) = name.split_once('.').expect("section.key");
        Some(file.get(section)?.get(key)?.as_str()?.to_owned())
    }

    /// The database of the service, for looking into it.
    pub(crate) async fn database(&self) -> DatabaseConnection {
        let file = self.service.data()[0].join("entree.db");
        let url = self
            .setting("database.url")
            .unwrap_or_else(|| format!("sqlite://{}?mode=rw", file.display()));
        let mut options = ConnectOptions::new(url);
        options.max_connections(2).sqlx_logging(false);
        Database::connect(options).await.expect("the database")
    }

    /// The newest letter to an address, once there are `count`.
    pub(crate) async fn mail(&self, address: &str, count: usize) -> Mail {
        let mails = self
            .post
            .wait(address, count, Duration::from_secs(30))
            .await;
        mails
            .unwrap_or_else(|why| panic!("{why}\n{}", self.page_error()))
            .pop()
            .expect("a letter")
    }

    /// Asks for a mail in a browser; gives the page that waits.
    pub(crate) async fn ask(&self, browser: &mut Browser, address: &str) -> Page {
        let login = browser.open(&self.service.at("/login")).await;
        let answer = browser
            .submit(&login, "sign-in", &[("email", address)])
            .await;
        let waiting = browser.settle(answer).await;
        assert!(
            waiting.has("form#code"),
            "{}\n{}",
            waiting.summary(),
            self.page_error()
        );
        waiting
    }

    /// Lines of the log that tell of a fault of the service.
    pub(crate) fn faults(&self) -> Vec<String> {
        let bad = |line: &String| {
            line.contains("\"ERROR\"") || line.contains("panicked") || line.contains("panic")
        };
        self.service.log().into_iter().filter(bad).collect()
    }

    /// What the log says of trouble, for messages of failing tests.
    pub(crate) fn page_error(&self) -> String {
        let bad = |line: &String| {
            ["ERROR", "WARN", "panicked"]
                .iter()
                .any(|word| line.contains(word))
        };
        let bad: Vec<String> = self.service.log().into_iter().filter(bad).collect();
        bad[bad.len().saturating_sub(8)..].join("\n")
    }
}

/// A network address that no other request of this process comes from.
pub(crate) fn fresh_network() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, a, b, c] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    // The last byte changes last: each has a /24 of its own, too.
    Ipv4Addr::new(10, b, c, a)
}

/// The last part of the link in a mail.
pub(crate) fn token_of(link: &str) -> String {
    link.rsplit('/')
        .next()
        .unwrap_or_default()
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned()
}
