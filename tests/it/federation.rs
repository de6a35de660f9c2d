//! What the tests of sign-in with a provider share: a provider that is an [`Upstream`] of the test's
//! own, a user on the way through it, and the judge of refusals.

use std::sync::atomic::{AtomicU32, Ordering};

use entity::audit_event;
use entree::config::Provider;
use poem::http::Method;
use sea_orm::{ConnectionTrait as _, EntityTrait as _, Statement};
use serde_json::{Value, json};
use testkit::{
    page::{Form, Page},
    upstream::{Back, CLIENT_ID, CLIENT_SECRET, Lie, Shape, Upstream},
};

use crate::{
    oauth::{Attempt, CALLBACK, register, settle},
    test_app::{Browser, PUBLIC, TestApp},
};

/// One upstream in the service's configuration, and one person with an account there.
pub(crate) struct Stage<'a> {
    pub(crate) test_app: &'a TestApp,
    pub(crate) up: Upstream,
    /// The provider's id.
    pub(crate) id: String,
    /// The address that the upstream tells, nobody else's in this process.
    pub(crate) email: String,
}

impl<'a> Stage<'a> {
    /// A provider whose word about addresses is enough, with some settings changed.
    pub(crate) async fn new(test_app: &'a TestApp, settings: Value) -> Self {
        Self::with(test_app, |_| settings).await
    }

    /// The same, with settings that need to know where it is.
    pub(crate) async fn with(
        test_app: &'a TestApp,
        settings: impl FnOnce(&Upstream) -> Value,
    ) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        if test_app.app.config.get().clients.is_empty() {
            register(test_app);
        }
        let up = Upstream::start().await;
        up.pass(test_app.app.clock().now().seconds() - up.now());
        let (id, email) = (
            format!("up-{number}"),
            format!("person-{number}@upstream.test"),
        );
        up.register(&format!("{PUBLIC}/upstream/{id}/callback"));
        up.person(
            json!({"sub": id, "email": email, "email_verified": true, "name": "Ann Upstream"}),
        );
        let mut all = json!({
            "id": id, "kind": "oidc", "name": format!("School {number}"), "issuer": up.url(),
            "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET,
            "trust": "authoritative", "mail_domains": ["upstream.test"], "loopback_http": true, "private_hosts": ["127.0.0.1"],
        });
        let settings = settings(&up);
        all.as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        all.as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        if all["kind"] == "github" {
            up.speak(Shape::GitHub);
            up.person(
                json!({"id": number, "login": "ann", "name": "Ann Upstream", "email": null,
                "emails": [{"email": email, "primary": true, "verified": true}]}),
            );
        }
        let provider: Provider = serde_json::from_value(all).unwrap();
        test_app.configure(|config| config.providers.push(provider));
        Self {
            test_app,
            up,
            id,
            email,
        }
    }

    /// Changes its settings, as a reload of the file does.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Provider)) {
        self.test_app.configure(|config| {
            change(
                config
                    .providers
                    .iter_mut()
                    .find(|one| one.id == self.id)
                    .unwrap(),
            )
        });
    }

    /// A new browser at the sign-in page of a client's request.
    pub(crate) async fn at_login(&self) -> (Browser<'a>, Page) {
        let mut browser = self.test_app.browser();
        let asked = browser.open(&Attempt::new().path()).await;
        let login = settle(&mut browser, asked).await;
        assert!(login.has("form#sign-in"), "{}", login.summary());
        (browser, login)
    }

    /// The provider's button on a page.
    pub(crate) fn button(&self, page: &Page) -> Option<Form> {
        let path = format!("/login/upstream/{}", self.id);
        page.forms("form")
            .into_iter()
            .find(|form| form.action.path() == path)
    }

    /// Presses it; gives the answer.
    pub(crate) async fn press(&self, browser: &mut Browser<'_>, page: &Page) -> Page {
        let form = self
            .button(page)
            .unwrap_or_else(|| panic!("no button of {}: {}", self.id, page.summary()));
        let request = browser.filled(page, &form, &[]);
        browser.send(request).await
    }

    /// From the sign-in page through the upstream; gives the browser, the page, and what it is about to bring back.
    pub(crate) async fn gone(&self) -> (Browser<'a>, Page, Back) {
        let (mut browser, login) = self.at_login().await;
        let page = self.press(&mut browser, &login).await;
        assert_eq!(
            page.status,
            200,
            "UP-05: a page, not a redirect: {}",
            page.summary()
        );
        let back = self.up.visit(&page).await;
        (browser, login, back)
    }

    /// The whole way of an honest person; gives the last page and the browser.
    pub(crate) async fn walk(&self) -> (Browser<'a>, Page) {
        let (mut browser, _, back) = self.gone().await;
        let answer = browser.open(&back.path()).await;
        let page = settle(&mut browser, answer).await;
        (browser, page)
    }

    /// The same, and it must end at the client with somebody signed in and no complaint of the upstream.
    pub(crate) async fn signs_in(&self, why: &str) -> Browser<'a> {
        let (browser, page) = self.walk().await;
        let refusals = reasons(self.test_app).await;
        let last = refusals.last();
        assert!(browser.is_signed_in(), "{why}: {last:?} {}", page.summary());
        assert!(at_client(&page), "{why}: {}", page.summary());
        assert_eq!(self.up.complaints(), Vec::<String>::new(), "{why}");
        browser
    }

    /// A person who is lied to on the way: the answer, and everything that line 45 asks of a refusal.
    pub(crate) async fn refused(&self, why: &str, status: u16, code: &str) -> Page {
        let (mut browser, login, back) = self.gone().await;
        self.judge(&mut browser, &login, &back, (why, status, code))
            .await
    }

    /// Brings `back` to the callback, which must refuse it.
    pub(crate) async fn judge(
        &self,
        browser: &mut Browser<'a>,
        login: &Page,
        back: &Back,
        (why, status, code): (&str, u16, &str),
    ) -> Page {
        let before = Kept::of(self.test_app).await;
        let answer = browser.open(&back.path()).await;
        self.check(&before, &answer, (why, status, code)).await;
        // Spent, whatever the upstream says now.
        self.up.honest();
        let requests = self.up.total();
        let before = Kept::of(self.test_app).await;
        let again = browser.open(&back.path()).await;
        self.check(&before, &again, (why, 400, "up_state_used"))
            .await;
        assert_eq!(
            self.up.total(),
            requests,
            "{why}: a spent state asks nobody"
        );
        // The client's own request still waits, for another way in.
        let other = Box::pin(Stage::new(self.test_app, json!({}))).await;
        let page = browser.open(&login.url[url::Position::BeforePath..]).await;
        assert!(
            page.has("form#sign-in"),
            "{why}: the request is gone: {}",
            page.summary()
        );
        let page = other.press(browser, &page).await;
        let back = other.up.visit(&page).await;
        let done = browser.open(&back.path()).await;
        let done = settle(browser, done).await;
        assert!(
            browser.is_signed_in() && at_client(&done),
            "{why}: afterwards: {}",
            done.summary()
        );
        answer
    }

    /// A refusal of the button itself: nobody was sent anywhere.
    pub(crate) async fn start_refused(&self, why: &str, status: u16, code: &str) -> Page {
        let (mut browser, login) = self.at_login().await;
        let before = Kept::of(self.test_app).await;
        let answer = self.press(&mut browser, &login).await;
        self.check(&before, &answer, (why, status, code)).await;
        assert!(
            answer.refresh().is_none() && answer.location().is_none(),
            "{why}: leads on"
        );
        assert!(
            browser
                .open(&login.url[url::Position::BeforePath..])
                .await
                .has("form#sign-in"),
            "{why}"
        );
        answer
    }

    /// Line 45: the status, one audit event with the code, nothing made, no cookie, nothing secret told.
    pub(crate) async fn check(
        &self,
        before: &Kept,
        answer: &Page,
        (why, status, code): (&str, u16, &str),
    ) {
        let after = Kept::of(self.test_app).await;
        let reasons = after.since(before);
        assert_eq!(
            (answer.status.as_u16(), reasons),
            (status, vec![code.to_owned()]),
            "{why}: {}",
            answer.summary()
        );
        assert_eq!(
            after.rows, before.rows,
            "{code}, {why}: users, addresses, sessions, identities, grants"
        );
        let cookies = answer.headers.get_all("set-cookie").iter().count();
        assert_eq!(cookies, 0, "{code}, {why}: cookies");
        assert!(
            !answer.body.contains("words of the upstream"),
            "{code}, {why}: UE-03"
        );
        let trail = format!("{:?}", after.events);
        for secret in self.up.secrets().iter().chain([&self.email]) {
            assert!(
                !answer.body.contains(secret.as_str()),
                "{code}, {why}: the page tells a secret"
            );
            assert!(
                !trail.contains(secret.as_str()),
                "{code}, {why}: the trail holds a secret"
            );
        }
    }
}

/// What there is in the database before and after.
pub(crate) struct Kept {
    rows: Vec<(&'static str, i64)>,
    events: Vec<audit_event::Model>,
}

impl Kept {
    pub(crate) async fn of(test_app: &TestApp) -> Self {
        let mut rows = Vec::new();
        for table in [
            "users",
            "user_emails",
            "sessions",
            "user_identities",
            "grant_families",
        ] {
            rows.push((table, count(test_app, table).await));
        }
        Self {
            rows,
            events: events(test_app).await,
        }
    }

    /// The reasons of refusals that came after `before`.
    pub(crate) fn since(&self, before: &Self) -> Vec<String> {
        let new = self
            .events
            .iter()
            .filter(|event| !before.events.contains(event));
        new.filter_map(|event| event.reason.clone()).collect()
    }
}

/// How many rows a table has.
pub(crate) async fn count(test_app: &TestApp, table: &str) -> i64 {
    let db = test_app.app.db.read();
    let statement = Statement::from_string(
        db.get_database_backend(),
        format!("SELECT COUNT(*) AS n FROM {table}"),
    );
    db.query_one_raw(statement)
        .await
        .unwrap()
        .unwrap()
        .try_get("", "n")
        .unwrap()
}

/// The trail, in order.
pub(crate) async fn events(test_app: &TestApp) -> Vec<audit_event::Model> {
    let mut events = audit_event::Entity::find()
        .all(test_app.app.db.read())
        .await
        .unwrap();
    events.sort_by_key(|event| (event.at, event.id));
    events
}

/// The reasons of refusals in the trail that are about upstream sign-in, in order.
pub(crate) async fn reasons(test_app: &TestApp) -> Vec<String> {
    let reasons = events(test_app)
        .await
        .into_iter()
        .filter_map(|event| event.reason);
    reasons
        .filter(|reason| reason.starts_with("up_") || reason.starts_with("lk_"))
        .collect()
}

/// Whether a page leads to the client with a code.
pub(crate) fn at_client(page: &Page) -> bool {
    let to = page.location().or_else(|| page.refresh());
    to.is_some_and(|to| {
        to.as_str().starts_with(CALLBACK) && to.query_pairs().any(|(name, _)| name == "code")
    })
}

/// A form_post callback, as a browser sends it from the provider's page: cross-site, without Lax cookies.
pub(crate) async fn post_back(browser: &mut Browser<'_>, back: &Back) -> Page {
    let kept = std::mem::take(&mut browser.cookies);
    let request = browser
        .posted(back.to.path())
        .header("origin", "https://provider.example")
        .header("sec-fetch-site", "cross-site")
        .body(back.query());
    let answer = browser.send(request).await;
    browser.cookies.extend(kept);
    answer
}

/// Brings an answer back by any method.
pub(crate) async fn bring(browser: &mut Browser<'_>, method: Method, path: &str) -> Page {
    let request = browser.request(method, path).finish();
    browser.send(request).await
}

/// One way to be lied to.
pub(crate) struct Row {
    why: &'static str,
    status: u16,
    lies: Vec<Lie>,
    settings: Value,
}

impl Row {
    pub(crate) fn new(why: &'static str, status: u16, lies: Vec<Lie>) -> Self {
        Self {
            why,
            status,
            lies,
            settings: json!({}),
        }
    }

    /// With a provider that is set up otherwise.
    pub(crate) fn with(mut self, settings: Value) -> Self {
        self.settings = settings;
        self
    }
}

/// Each row with an upstream of its own; every one must be refused with `code` at the callback.
pub(crate) async fn refuse(test_app: &TestApp, code: &str, rows: Vec<Row>) {
    for row in rows {
        let stage = Stage::new(test_app, row.settings).await;
        for lie in row.lies {
            stage.up.tell(lie);
        }
        stage.refused(row.why, row.status, code).await;
    }
}

/// The same at the button: the upstream's documents are wrong, and nobody is sent there.
pub(crate) async fn refuse_start(test_app: &TestApp, code: &str, rows: Vec<Row>) {
    for row in rows {
        let stage = Stage::new(test_app, row.settings).await;
        for lie in row.lies {
            stage.up.tell(lie);
        }
        stage.start_refused(row.why, row.status, code).await;
    }
}
