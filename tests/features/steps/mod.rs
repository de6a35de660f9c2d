//! What the sentences of the features mean.

mod abuse;
mod applications;
mod email;
mod https;
mod operation;
mod sessions;
mod sign_in;
mod tokens;
mod upstream;

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use testkit::{
    Missing,
    browser::Browser,
    entree::{Backend, Options, Service},
    mail::{Mail, Mailbox},
    oidc,
    page::Page,
    services::{Postgres, Redis},
    upstream::{Back, Upstream},
};

pub(crate) const CLIENT: &str = "lessons-web";
pub(crate) const CALLBACK: &str = "http://127.0.0.1:7777/callback";
pub(crate) const AUDIENCE: &str = "https://lessons.example.test";
/// How long an email may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The built binary; `ENTREE_BIN` names another, such as a release build.
pub(crate) fn binary() -> &'static Path {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
        std::env::var_os("ENTREE_BIN").map_or_else(
            || PathBuf::from(env!("CARGO_BIN_EXE_entree")),
            PathBuf::from,
        )
    });
    &BINARY
}

/// What all scenarios of one run share.
pub(crate) struct Stage {
    pub(crate) backend: Backend,
    pub(crate) post: Arc<dyn Mailbox>,
    pub(crate) smtp: SocketAddr,
    pub(crate) service: Arc<Service>,
    pub(crate) elsewhere: Elsewhere,
}

impl Stage {
    pub(crate) async fn start(
        backend: Backend,
        post: Arc<dyn Mailbox>,
        smtp: SocketAddr,
    ) -> Result<Self, Missing> {
        let elsewhere = Elsewhere::start().await;
        let service = Arc::new(Service::start(binary(), options(backend, smtp, &elsewhere)).await?);
        elsewhere.register(&service);
        Ok(Self {
            backend,
            post,
            smtp,
            service,
            elsewhere,
        })
    }
}

static STAGE: Mutex<Option<Arc<Stage>>> = Mutex::new(None);

/// Sets the stage for the scenarios that follow, or clears it.
pub(crate) fn set(stage: Option<Arc<Stage>>) {
    *STAGE.lock().unwrap_or_else(PoisonError::into_inner) = stage;
}

/// Where people have accounts: the school, whose word about its addresses is enough, and the club, whose word is not.
#[derive(Clone)]
pub(crate) struct Elsewhere {
    pub(crate) school: Arc<Upstream>,
    pub(crate) club: Arc<Upstream>,
}

impl Elsewhere {
    pub(crate) async fn start() -> Self {
        Self {
            school: Arc::new(Upstream::start().await),
            club: Arc::new(Upstream::start().await),
        }
    }

    /// Tells both where the service takes their answers.
    pub(crate) fn register(&self, service: &Service) {
        self.school
            .register(&service.at("/upstream/school/callback"));
        self.club.register(&service.at("/upstream/club/callback"));
    }

    pub(crate) fn of(&self, name: &str) -> &Upstream {
        if name == "school" {
            &self.school
        } else {
            &self.club
        }
    }

    fn toml(&self) -> String {
        let one = |id: &str, trust: &str, up: &Upstream| {
            format!(
                "\n[[providers]]\nid = \"{id}\"\nname = \"The {id}\"\nissuer = \"{}\"\nclient_id = \"{}\"\nclient_secret = \
                 \"{}\"\n{trust}\nloopback_http = true\nprivate_hosts = [\"127.0.0.1\"]\n",
                up.url(),
                testkit::upstream::CLIENT_ID,
                testkit::upstream::CLIENT_SECRET
            )
        };
        let pinned = "trust = \"authoritative\"\nmail_domains = [\"example.test\"]";
        one("school", pinned, &self.school) + &one("club", "trust = \"none\"", &self.club)
    }
}

/// The configuration of the tests: a client, those of `applications`, two providers, and resends after one second.
pub(crate) fn options(backend: Backend, smtp: SocketAddr, elsewhere: &Elsewhere) -> Options {
    Options::new(backend, smtp)
        .set("limits.resend_seconds", "[2, 1]")
        .set("limits.address", "[{ count = 5, seconds = 900 }]")
        .set("limits.address_reserve", "[{ count = 1, seconds = 2678400 }]")
        .set("limits.network_address", "[{ count = 5, seconds = 60 }]")
        .set("limits.domain", "[{ count = 100000, seconds = 60 }]")
        .tail(&format!(
        "\n[[clients]]\nclient_id = \"{CLIENT}\"\nname = \"Lessons\"\nredirect_uris = [\"{CALLBACK}\"]\naudience = \
         \"{AUDIENCE}\"\nfirst_party = true\napp_sign_in = true\n{}{}",
        applications::clients(),
        elsewhere.toml()
    ))
}

/// One scenario: an address, devices, and what they show.
#[derive(cucumber::World)]
#[world(init = Self::new)]
pub(crate) struct World {
    pub(crate) stage: Arc<Stage>,
    pub(crate) service: Arc<Service>,
    pub(crate) post: Arc<dyn Mailbox>,
    pub(crate) number: u32,
    pub(crate) address: String,
    devices: BTreeMap<String, Browser>,
    /// What each device shows.
    pub(crate) pages: BTreeMap<String, Page>,
    /// The waiting page of each device that asked for an email.
    pub(crate) waiting: BTreeMap<String, Page>,
    pub(crate) presses: Vec<Page>,
    pub(crate) client: Option<oidc::Client>,
    pub(crate) code: String,
    pub(crate) subjects: Vec<String>,
    /// What each application was given, oldest first.
    pub(crate) tokens: BTreeMap<String, Vec<Value>>,
    /// What an application was answered last.
    pub(crate) answer: (u16, Value),
    pub(crate) took: Duration,
    /// The certificate that the service showed.
    pub(crate) shown: Vec<u8>,
    /// Emails to the person before the step that matters.
    pub(crate) before: usize,
    pub(crate) dropped: Vec<String>,
    pub(crate) ended: Option<(std::process::ExitStatus, Duration)>,
    pub(crate) postgres: Option<Arc<Postgres>>,
    pub(crate) redis: Option<Arc<Redis>>,
    pub(crate) wire: Option<testkit::wire::Wire>,
    pub(crate) elsewhere: Elsewhere,
    /// What each device is about to bring back from the school or the club.
    pub(crate) backs: BTreeMap<String, Back>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages: Vec<String> = self
            .pages
            .iter()
            .map(|(device, page)| format!("{device}: {}", page.summary()))
            .collect();
        f.debug_struct("World")
            .field("number", &self.number)
            .field("pages", &pages)
            .finish_non_exhaustive()
    }
}

impl World {
    async fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let stage = STAGE
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .expect("a stage");
        Self {
            service: Arc::clone(&stage.service),
            post: Arc::clone(&stage.post),
            number,
            address: format!("s{number}-{}@example.test", std::process::id()),
            devices: BTreeMap::new(),
            pages: BTreeMap::new(),
            waiting: BTreeMap::new(),
            presses: Vec::new(),
            client: None,
            code: String::new(),
            subjects: Vec::new(),
            tokens: BTreeMap::new(),
            answer: (0, Value::Null),
            took: Duration::ZERO,
            shown: Vec::new(),
            before: 0,
            dropped: Vec::new(),
            ended: None,
            postgres: None,
            redis: None,
            wire: None,
            elsewhere: stage.elsewhere.clone(),
            backs: BTreeMap::new(),
            stage,
        }
    }

    /// The address of another person in this scenario.
    pub(crate) fn other(&self, who: &str) -> String {
        format!("{who}-{}", self.address)
    }

    /// A device of this scenario; each has a network address that no other scenario's device has.
    pub(crate) fn device(&mut self, name: &str) -> &mut Browser {
        let (number, index) = (self.number.to_be_bytes(), self.devices.len() as u8);
        let fresh = || Browser::new(Ipv4Addr::new(10 + index, number[2], number[3], 1));
        self.devices.entry(name.to_owned()).or_insert_with(fresh)
    }

    /// What a device shows.
    pub(crate) fn page(&self, device: &str) -> &Page {
        self.pages
            .get(device)
            .unwrap_or_else(|| panic!("the {device} shows nothing yet"))
    }

    /// Notes what a device shows now.
    pub(crate) fn show(&mut self, device: &str, page: Page) {
        self.pages.insert(device.to_owned(), page);
    }

    /// Opens `path` on a device.
    pub(crate) async fn open(&mut self, device: &str, path: &str) -> Page {
        let url = self.service.at(path);
        self.device(device).open(&url).await
    }

    /// Asks for an email to `address` and goes to the page that follows. Nothing is said about what it shows.
    pub(crate) async fn ask_for(&mut self, device: &str, address: &str) -> Page {
        let login = self.open(device, "/login").await;
        let answer = self
            .device(device)
            .submit(&login, "sign-in", &[("email", address)])
            .await;
        self.device(device).settle(answer).await
    }

    /// Asks for an email to `address` and waits on the waiting page.
    pub(crate) async fn ask(&mut self, device: &str, address: &str) {
        let page = self.ask_for(device, address).await;
        assert!(
            page.has("form#code"),
            "the waiting page: {}",
            page.summary()
        );
        self.waiting.insert(device.to_owned(), page.clone());
        self.show(device, page);
    }

    /// The emails to the person of this scenario, once there are `count`.
    pub(crate) async fn mails(&self, count: usize) -> Vec<Mail> {
        self.post
            .wait(&self.address, count, SOON)
            .await
            .unwrap_or_else(|why| panic!("{why}\n{}", self.page_error()))
    }

    /// The newest email to an address that has at least one.
    pub(crate) async fn newest(&self, address: &str) -> Mail {
        let mails = self
            .post
            .wait(address, 1, SOON)
            .await
            .unwrap_or_else(|why| panic!("{why}\n{}", self.page_error()));
        mails.last().cloned().expect("an email")
    }

    /// Opens a link and presses its button; gives the last page.
    pub(crate) async fn use_link(&mut self, device: &str, link: &str) -> Page {
        let page = self.device(device).open(link).await;
        let answer = self.device(device).submit(&page, "link", &[]).await;
        self.device(device).settle(answer).await
    }

    /// Types a code into the waiting page of a device.
    pub(crate) async fn type_code(&mut self, device: &str, code: &str) -> Page {
        let waiting = self
            .waiting
            .get(device)
            .cloned()
            .unwrap_or_else(|| panic!("the {device} does not wait"));
        let answer = self
            .device(device)
            .submit(&waiting, "code", &[("code", code)])
            .await;
        self.device(device).settle(answer).await
    }

    /// The account page, if the device is signed in.
    pub(crate) async fn account(&mut self, device: &str) -> Option<Page> {
        let page = self.open(device, "/account").await;
        (page.status.is_success() && page.has("form#sign-out")).then_some(page)
    }

    /// Signs `address` in on a device, by link.
    pub(crate) async fn sign_in(&mut self, device: &str, address: &str) {
        let before = self.post.all(address).await.len();
        self.ask(device, address).await;
        let mails = self.post.wait(address, before + 1, SOON).await;
        let mail = mails
            .unwrap_or_else(|why| panic!("{why}\n{}", self.page_error()))
            .pop()
            .expect("an email");
        let page = self.use_link(device, &mail.link()).await;
        self.show(device, page);
        assert!(
            self.account(device).await.is_some(),
            "signed in: {}",
            self.page(device).summary()
        );
    }

    /// Starts a service for this scenario alone.
    pub(crate) async fn own_service(&mut self, change: impl FnOnce(Options) -> Options) {
        let options = change(options(
            self.stage.backend,
            self.stage.smtp,
            &self.elsewhere,
        ));
        let servers = testkit::entree::Servers {
            postgres: self.postgres.as_deref(),
            redis: self.redis.as_deref(),
            wire: None,
        };
        let service = Service::start_on(binary(), options, servers)
            .await
            .unwrap_or_else(|missing| panic!("{missing}"));
        self.elsewhere.register(&service);
        self.service = Arc::new(service);
    }

    /// Warnings and errors of the service, for messages of failing steps.
    pub(crate) fn page_error(&self) -> String {
        let lines = self.service.log();
        let bad = |line: &&String| {
            line.contains("ERROR") || line.contains("WARN") || line.contains("panicked")
        };
        let bad: Vec<_> = lines.iter().filter(bad).cloned().collect();
        bad[bad.len().saturating_sub(8)..].join("\n")
    }
}
