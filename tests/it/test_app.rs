//! Where the tests of requests stand: the whole service in this process, built as `entree serve` builds it.
//!
//! [`TestApp::embedded`] has a SQLite file and tickets in this process, [`TestApp::servers`] PostgreSQL and Redis;
//! `on_both!` runs a test on each, and `on_both!(change => …)` with a configuration changed before the start. A
//! [`Browser`] keeps cookies and sends the headers that browsers send. Mail is composed and handed over by the real
//! worker, when the test says [`TestApp::post`]. The clock is the service's own: tests move it by [`TestApp::pass`],
//! and nothing sleeps. (Counters in Redis go by the clock of Redis, which no test moves.)

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use entity::mail_outbox;
use entree::{
    app::{App, Macs},
    clock::Clock,
    config::{Budget, Config, Limits, Live, MailTransport, Reloadable},
    db::{Db, Tx},
    federation::provider::Providers,
    key::{self, ClientKeys, Keys},
    magic_link::composer::EmailComposer,
    mail::{
        mailbox::ReceivedEmail,
        outbox::{CeilingSettings, Worker},
        transport::Transport,
    },
    routes,
    secret::{MasterKeys, Text},
    ticket::{Space, Tickets},
    web::{
        base_path::BasePath,
        cookie::{CookieKind, Cookies},
        locale::Texts,
    },
};
use poem::{
    Endpoint as _, EndpointExt as _, Request, Response,
    endpoint::BoxEndpoint,
    http::{Method, StatusCode, header},
};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseBackend, EntityTrait as _, PaginatorTrait as _,
    QueryFilter as _, Statement, sea_query::Expr,
};
use testkit::{
    Missing, child, ci,
    mail::Mail,
    page::{Form, Page},
    services,
};
use tokio::sync::OnceCell;
use url::Url;

use crate::log;

/// What the service is called in these tests.
pub(crate) const PUBLIC: &str = "https://id.test";

/// Makes, of each `async fn name(test_app: TestApp)`, a test on the embedded default and one on PostgreSQL and Redis.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn embedded() {
                super::$name($crate::test_app::TestApp::embedded().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn servers() {
                if let Some(test_app) = $crate::test_app::TestApp::servers().await {
                    super::$name(test_app).await;
                }
            }
        }
    )+};
    ($change:ident => $($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn embedded() {
                let test_app = $crate::test_app::TestApp::embedded_with(super::$change).await;
                super::$name(test_app).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn servers() {
                let test_app = $crate::test_app::TestApp::servers_with(super::$change).await;
                if let Some(test_app) = test_app {
                    super::$name(test_app).await;
                }
            }
        }
    )+};
}

/// A service of its own: nothing in it is shared with another test.
pub(crate) struct TestApp {
    /// The service's handles.
    pub(crate) app: App,
    /// The way out for mail: a mailbox, unless the test put another in its place.
    pub(crate) transport: Transport,
    public: BoxEndpoint<'static, Response>,
    folder: PathBuf,
    base: BasePath,
    /// The references of all responses so far.
    references: Arc<Mutex<Vec<String>>>,
}

impl Drop for TestApp {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl TestApp {
    /// SQLite and tickets in this process.
    pub(crate) async fn embedded() -> Self {
        Self::embedded_with(|_| {}).await
    }

    /// The same, with a configuration changed before the start.
    pub(crate) async fn embedded_with(change: impl FnOnce(&mut Config)) -> Self {
        static TEMPLATE: OnceCell<PathBuf> = OnceCell::const_new();
        let template = TEMPLATE
            .get_or_init(|| async {
                let file = child::scratch("template").join("entree.db");
                prepare(&format!("sqlite:{}", file.display())).await;
                file
            })
            .await;
        let folder = child::scratch("app");
        let file = folder.join("entree.db");
        std::fs::copy(template, &file).unwrap();
        let mut config = config();
        config.startup.database.url = Text::new(format!("sqlite:{}", file.display()));
        change(&mut config);
        Self::start(config, folder).await
    }

    /// PostgreSQL and Redis. `None`, with a word about it, where this machine has none.
    pub(crate) async fn servers() -> Option<Self> {
        Self::servers_with(|_| {}).await
    }

    /// The same, with a configuration changed before the start.
    pub(crate) async fn servers_with(change: impl FnOnce(&mut Config)) -> Option<Self> {
        let postgres = found_or_skipped(services::postgres().await)?;
        let redis = found_or_skipped(services::redis().await)?;
        let mut config = config();
        config.startup.database.url = Text::new(
            postgres
                .prepared(|url| async move { prepare(&url).await })
                .await,
        );
        config.startup.tickets.url = Text::new(redis.url().to_owned());
        config.startup.tickets.prefix = redis.prefix();
        change(&mut config);
        Some(Self::start(config, child::scratch("app")).await)
    }

    async fn start(config: Config, folder: PathBuf) -> Self {
        install();
        log::watch();
        let (clock, masters) = (Clock::default(), masters());
        let db = Db::connect(
            &config.startup.database_url(),
            config.startup.database.max_connections,
            clock.clone(),
        )
        .await
        .unwrap();
        let keys = Keys::open(&db, &masters).await.unwrap();
        let section = &config.startup.tickets;
        let tickets = match section.url.expose() {
            "memory:" => Tickets::memory(section.max_bytes, clock.clone(), &masters),
            url => Tickets::connect(url, Space::of(section), &masters).unwrap(),
        };
        let transport = Transport::new(&config.startup.mail, clock).unwrap();
        let public_url = config.startup.server.public_url.as_str().into();
        let (macs, outbox) = (Macs::new(&masters), Arc::default());
        let (config, texts, client_keys) = (Live::new(config), texts(), ClientKeys::default());
        let app = App {
            config,
            public_url,
            db,
            tickets,
            keys,
            client_keys,
            texts,
            macs,
            outbox,
            unnamed_proxy: entree::web::unnamed_proxy::UnnamedProxy::default(),
            path_stripping: entree::web::mount::PathStripping::default(),
        };
        let public = routes::public(&app, None, &Providers::new(&app)).boxed();
        Self {
            base: BasePath::of_url(&app.public_url),
            app,
            transport,
            public,
            folder,
            references: Arc::default(),
        }
    }

    /// Another copy of the service on the same database and ticket store (PostgreSQL and Redis only).
    pub(crate) async fn copy(&self) -> Self {
        let config = Config {
            startup: self.app.config.startup().clone(),
            reloadable: Reloadable::clone(&self.app.config.get()),
        };
        let mut copy = Self::start(config, child::scratch("app")).await;
        copy.references = Arc::clone(&self.references);
        copy
    }

    /// The same service with other handles, for what is away or was lost.
    pub(crate) fn over(&self, app: App) -> Self {
        let transport = Transport::new(&app.config.startup().mail, app.clock().clone()).unwrap();
        let public = routes::public(&app, None, &Providers::new(&app)).boxed();
        Self {
            base: BasePath::of_url(&app.public_url),
            app,
            transport,
            public,
            folder: child::scratch("app"),
            references: Arc::clone(&self.references),
        }
    }

    /// Puts a changed configuration into force, as a reload of the file does.
    pub(crate) fn configure(&self, change: impl FnOnce(&mut Reloadable)) {
        let mut config = Reloadable::clone(&self.app.config.get());
        change(&mut config);
        self.app.config.replace(config);
    }

    /// Does something in a unit of work.
    pub(crate) async fn tx(&self) -> Tx {
        self.app.db.begin().await.unwrap()
    }

    /// Lets time pass for the service.
    pub(crate) fn pass(&self, seconds: u64) {
        self.app.clock().advance(Duration::from_secs(seconds));
    }

    /// Restores the budget of a network with an address, which these tests lift.
    pub(crate) fn restore_address_budget_per_network(&self) {
        let default = Limits::default().network_address;
        self.configure(|config| config.limits.network_address = default);
    }

    /// Returns a browser without cookies, at an address in a /24 of its own.
    pub(crate) fn browser(&self) -> Browser<'_> {
        static NEXT: AtomicU32 = AtomicU32::new(0x0a00_0001);
        let from = std::net::Ipv4Addr::from(NEXT.fetch_add(0x100, Ordering::Relaxed));
        Browser {
            test_app: self,
            cookies: BTreeMap::new(),
            from: from.to_string(),
            headers: Vec::new(),
        }
    }

    /// Sends the emails that are due in the outbox, each once, and waits until none is due.
    pub(crate) async fn send_due_emails(&self) {
        let worker = Worker {
            db: self.app.db.clone(),
            composer: Arc::new(EmailComposer {
                app: self.app.clone(),
            }),
            transport: self.transport.clone(),
            handover: Arc::clone(&self.app.outbox),
            concurrency: 4,
            waiting_connections: 16,
            ceiling: CeilingSettings {
                least: 1_000_000,
                times_normal: 20,
            },
            drain: Duration::from_secs(10),
        };
        let none_due = || async { (self.due().await == 0).then_some(()) };
        worker
            .run(async {
                testkit::until("the outbox", Duration::from_secs(20), none_due)
                    .await
                    .unwrap()
            })
            .await;
    }

    /// How many emails are due now.
    pub(crate) async fn due(&self) -> u64 {
        mail_outbox::Entity::find()
            .filter(Expr::cust("state = 'queued'"))
            .filter(mail_outbox::Column::DueAt.lte(self.app.clock().now()))
            .count(self.app.db.read())
            .await
            .unwrap()
    }

    /// The letters that arrived at an address, the newest first.
    pub(crate) fn mails(&self, to: &str) -> Vec<Mail> {
        let mailbox = self.transport.mailbox().expect("a mailbox");
        mailbox.list(Some(to)).into_iter().map(letter).collect()
    }

    /// The newest letter to an address, after what is due was sent.
    pub(crate) async fn mail(&self, to: &str) -> Mail {
        self.send_due_emails().await;
        self.mails(to)
            .into_iter()
            .next()
            .unwrap_or_else(|| panic!("no letter to {to}"))
    }

    /// Runs the built program on this service's database, as an operator does beside a running service.
    pub(crate) fn entree(&self, words: &str) {
        let mut command = std::process::Command::new(crate::service::binary());
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ENTREE_"))
        {
            command.env_remove(name);
        }
        command.env(
            "ENTREE__DATABASE__URL",
            self.app.config.startup().database_url(),
        );
        let output = command
            .args(words.split(' '))
            .current_dir(&self.folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "entree {words}: {output:?}");
    }

    /// Everything that database and ticket store hold, byte for byte. (Tickets in this process cannot be looked at.)
    pub(crate) async fn stored(&self) -> Vec<u8> {
        let config = self.app.config.startup();
        if !self.app.db.is_postgres() {
            let file = config.database_url().replacen("sqlite:", "", 1);
            return [
                std::fs::read(&file).unwrap(),
                std::fs::read(format!("{file}-wal")).unwrap_or_default(),
            ]
            .concat();
        }
        let db = self.app.db.read();
        let ask = |sql: String| async move {
            let rows = db
                .query_all_raw(Statement::from_string(DatabaseBackend::Postgres, sql))
                .await
                .unwrap();
            rows.iter()
                .map(|row| row.try_get_by_index::<String>(0).unwrap())
                .collect::<Vec<_>>()
        };
        let mut all = Vec::new();
        for table in ask(
            "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
                .to_owned(),
        )
        .await
        {
            all.push(table.clone());
            all.extend(ask(format!("SELECT t::text FROM {table} t ORDER BY 1")).await);
        }
        let mut bytes = all.join("\n").into_bytes();
        let (mut redis, keys) = self.redis().await;
        for key in keys {
            bytes.extend(key.as_bytes());
            bytes.extend(
                redis::cmd("DUMP")
                    .arg(&key)
                    .query_async::<Vec<u8>>(&mut redis)
                    .await
                    .unwrap(),
            );
        }
        bytes
    }

    /// A connection to Redis, and the keys of this bed there, in order.
    pub(crate) async fn redis(&self) -> (redis::aio::MultiplexedConnection, Vec<String>) {
        let config = self.app.config.startup();
        let client = redis::Client::open(config.tickets.url.expose()).unwrap();
        let mut redis = client.get_multiplexed_async_connection().await.unwrap();
        let pattern = format!("{}*", config.tickets.prefix);
        let mut keys: Vec<String> = redis::cmd("KEYS")
            .arg(pattern)
            .query_async(&mut redis)
            .await
            .unwrap();
        keys.sort();
        (redis, keys)
    }

    /// The issuer.
    pub(crate) fn public_url(&self) -> &str {
        &self.app.public_url
    }

    /// Checks that an address of our host is below the path of the public URL.
    pub(crate) fn assert_below_path(&self, url: &Url) {
        if url.origin().ascii_serialization() == PUBLIC {
            let is_below = self.base.inside(url.path()).is_some();
            assert!(
                is_below,
                "{} is not below {}",
                url.path(),
                self.base.as_str()
            );
        }
    }

    /// Returns the address of a request. Tests name paths as if the service had a host of its own; what the service
    /// itself names is checked where a browser goes there (`Browser::follow`, `Browser::filled`).
    fn target(&self, request: &Request) -> String {
        let target = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        match self.base.inside(request.uri().path()) {
            Some(_) => target.to_owned(),
            None => self.base.link(target).into_owned(),
        }
    }

    /// Hands a request to the routes of the public listener; the body is left unread. A path that is not below that of
    /// the public URL gets it.
    pub(crate) async fn answer(&self, mut request: Request) -> Response {
        let target = self.target(&request);
        *request.uri_mut() = target.parse().unwrap();
        self.answer_as_is(request).await
    }

    /// Hands a request over as it is.
    pub(crate) async fn answer_as_is(&self, request: Request) -> Response {
        let response = self
            .public
            .call(request)
            .await
            .expect("the layers answer every error");
        if let Some(reference) = response.header("x-request-id") {
            self.references.lock().unwrap().push(reference.to_owned());
        }
        response
    }

    /// The references of all responses so far, in order.
    pub(crate) fn references(&self) -> Vec<String> {
        self.references.lock().unwrap().clone()
    }

    /// The same, and gives the answer as a page.
    pub(crate) async fn call(&self, request: Request) -> Page {
        let path = self.target(&request);
        let mut response = self.answer(request).await;
        let body = response.take_body().into_vec().await.unwrap();
        Page {
            url: Url::parse(PUBLIC).unwrap().join(&path).unwrap(),
            status: response.status(),
            headers: response.headers().clone(),
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }
}

/// A person's browser without scripts.
#[derive(Clone)]
pub(crate) struct Browser<'a> {
    /// Where it browses.
    pub(crate) test_app: &'a TestApp,
    /// Its cookies: a test may take some away.
    pub(crate) cookies: BTreeMap<String, String>,
    /// The network address that the service sees, as `X-Forwarded-For` tells it.
    pub(crate) from: String,
    /// Sent with every request.
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Browser<'_> {
    /// Begins a request: host, network address, cookies.
    pub(crate) fn request(&self, method: Method, path: &str) -> poem::RequestBuilder {
        let mut request = Request::builder()
            .method(method)
            .uri_str(path)
            .header(header::HOST, "id.test")
            .header("x-forwarded-for", self.from.as_str());
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            request = request.header(header::COOKIE, pairs.join("; "));
        }
        request
    }

    /// Sends it, and keeps the cookies of the answer.
    pub(crate) async fn send(&mut self, request: Request) -> Page {
        let page = self.test_app.call(request).await;
        self.keep(&page);
        page
    }

    fn keep(&mut self, page: &Page) {
        for line in page.headers.get_all(header::SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// Opens an address of the service.
    pub(crate) async fn open(&mut self, url: &str) -> Page {
        let path = url.strip_prefix(PUBLIC).unwrap_or(url).to_owned();
        self.send(self.request(Method::GET, &path).finish()).await
    }

    /// The request that a browser makes of a form, with some fields filled in.
    pub(crate) fn filled(&self, page: &Page, form: &Form, fill: &[(&str, &str)]) -> Request {
        // Under `no-referrer` browsers keep the page's origin to themselves, also from its own site.
        self.test_app.assert_below_path(&form.action);
        let hidden = page.header("referrer-policy") == Some("no-referrer");
        self.posted(&form.action[url::Position::BeforePath..])
            .header("origin", if hidden { "null" } else { PUBLIC })
            .header("sec-fetch-site", "same-origin")
            .body(encoded(&fields(form, fill)))
    }

    /// Begins a form's POST, without the headers that say which page it comes from.
    pub(crate) fn posted(&self, path: &str) -> poem::RequestBuilder {
        self.request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
    }

    /// Sends a form of a page.
    pub(crate) async fn submit(&mut self, page: &Page, form: &str, fill: &[(&str, &str)]) -> Page {
        let form = page.form(form);
        let request = self.filled(page, &form, fill);
        self.send(request).await
    }

    /// Sends a form of a page, and gives the page that its redirect leads to, if it redirects.
    pub(crate) async fn submit_and_follow(
        &mut self,
        page: &Page,
        form: &str,
        fill: &[(&str, &str)],
    ) -> Page {
        let answer = self.submit(page, form, fill).await;
        match answer.status {
            StatusCode::SEE_OTHER => self.follow(&answer).await,
            _ => answer,
        }
    }

    /// Asks for a mail, and gives the page that waits for it.
    pub(crate) async fn ask(&mut self, email: &str) -> Page {
        let answer = self.try_ask(email).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.summary());
        self.follow(&answer).await
    }

    /// Asks for a mail, and gives the answer itself.
    pub(crate) async fn try_ask(&mut self, email: &str) -> Page {
        let login = self.open("/login").await;
        self.submit(&login, "sign-in", &[("email", email)]).await
    }

    /// Goes where a redirect points.
    pub(crate) async fn follow(&mut self, answer: &Page) -> Page {
        let to = answer
            .location()
            .unwrap_or_else(|| panic!("no redirect: {}", answer.summary()));
        self.test_app.assert_below_path(&to);
        let path = to[url::Position::BeforePath..].to_owned();
        self.open(&path).await
    }

    /// Opens a link of a mail and sends its form.
    pub(crate) async fn click(&mut self, link: &str) -> Page {
        let page = self.open(link).await;
        self.submit(&page, "link", &[]).await
    }

    /// Signs in by the link of a mail; gives the page after it.
    pub(crate) async fn sign_in(&mut self, email: &str) -> Page {
        self.ask(email).await;
        let link = self.test_app.mail(email).await.link();
        let done = self.click(&link).await;
        assert!(self.is_signed_in(), "{}", done.summary());
        done
    }

    /// Whether it holds a session cookie.
    pub(crate) fn is_signed_in(&self) -> bool {
        let cookies = Cookies::new(self.test_app.public_url());
        self.cookies.contains_key(&cookies.name(CookieKind::Sid))
    }

    /// Whose account page it sees, if it is signed in.
    pub(crate) async fn account(&mut self) -> Option<String> {
        let page = self.open("/account").await;
        (page.status == StatusCode::OK).then(|| page.text())
    }
}

/// The fields of a form with some of them filled in; what is not among them is added.
pub(crate) fn fields(form: &Form, fill: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut fields = form.fields.clone();
    fields.retain(|(name, _)| !fill.iter().any(|(filled, _)| filled == name));
    fields.extend(
        fill.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    fields
}

/// Fields as a body.
pub(crate) fn encoded(fields: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

/// The flow that a waiting page is about.
pub(crate) fn flow_of(waiting: &Page) -> uuid::Uuid {
    let value = waiting
        .attribute("form#code input[name=flow]", "value")
        .expect("a waiting page");
    value.parse().unwrap()
}

/// What there is; `None`, said once per test, or a failure on a build server, where it is not there.
pub(crate) fn found_or_skipped<T>(found: Result<T, Missing>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(missing) if ci() => panic!("{missing}"),
        Err(missing) => {
            eprintln!("skipped: {missing}");
            None
        }
    }
}

/// The master keys of every bed.
pub(crate) fn masters() -> MasterKeys {
    MasterKeys::new([7; 32], [])
}

fn config() -> Config {
    let mut config = Config::default();
    config.startup.server.public_url = PUBLIC.to_owned();
    // A request without a connection comes from 0.0.0.0: the browsers here stand behind that proxy.
    config.startup.server.trusted_proxies = vec!["0.0.0.0/32".parse().unwrap()];
    config.startup.mail.transport = MailTransport::Mailbox;
    // Some tests send a hundred requests at once: none waits so long for a connection that it receives 503.
    config.startup.database.max_connections = 32;
    // Nor is one refused for want of a slot.
    let server = &mut config.startup.server;
    (
        server.email_slots,
        server.provider_slots,
        server.quick_slots,
    ) = (1_000, 1_000, 1_000);
    // Many tests request email after email for one address from one browser. Those of this budget
    // restore the default (`TestApp::restore_address_budget_per_network`).
    config.reloadable.limits.network_address = vec![Budget {
        count: 1_000,
        seconds: 60,
    }];
    config
}

/// The schema and the first signing keys, made once and copied for each bed.
async fn prepare(url: &str) {
    install();
    let db = Db::connect(url, 2, Clock::default()).await.unwrap();
    db.migrate().await.unwrap();
    Keys::open(&db, &masters()).await.unwrap();
    db.close().await;
}

fn install() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        key::install();
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

fn texts() -> Texts {
    static TEXTS: OnceLock<Texts> = OnceLock::new();
    TEXTS.get_or_init(|| Texts::load(None).unwrap()).clone()
}

fn letter(kept: ReceivedEmail) -> Mail {
    let size = kept.text.len() + kept.html.len();
    Mail {
        to: kept.to,
        subject: kept.subject,
        text: kept.text,
        html: kept.html,
        headers: kept.headers,
        size,
    }
}
