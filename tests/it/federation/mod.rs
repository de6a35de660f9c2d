//! Test support for sign-in at a provider: a provider of the service's configuration that is an
//! [`Upstream`] of the test's own, a user on the way through it, and the checks of a refusal
//!

mod app;
mod flow;
pub(crate) mod linking;
mod provider;
mod secrets;

use std::sync::atomic::{AtomicU32, Ordering};

use entity::audit_event;
use entree::{config::Provider, web::base_path::BasePath};
use poem::http::Method;
use sea_orm::{ConnectionTrait as _, EntityTrait as _, Statement};
use serde_json::{Value, json};
use testkit::{
    page::{Form, Page},
    upstream::{Back, CLIENT_ID, CLIENT_SECRET, Fault, Shape, Upstream},
};

use crate::{
    log,
    oauth::{Attempt, CALLBACK, register, settle},
    test_app::{Browser, TestApp},
};

/// A provider in the service's configuration, and a user with an account there.
pub(crate) struct ProviderFixture<'a> {
    pub(crate) test_app: &'a TestApp,
    pub(crate) up: Upstream,
    /// The provider's id.
    pub(crate) id: String,
    /// The address that the provider sends. No other user of this process has it.
    pub(crate) email: String,
}

impl<'a> ProviderFixture<'a> {
    /// Returns a provider that is authoritative for its addresses, with some settings changed.
    pub(crate) async fn new(test_app: &'a TestApp, settings: Value) -> Self {
        Self::with(test_app, |_| settings).await
    }

    /// Does the same with settings that depend on the URL of the provider.
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
        up.register(&format!("{}/upstream/{id}/callback", test_app.public_url()));
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

    /// Changes the provider's settings, as a reload of the configuration does.
    pub(crate) fn change_settings(&self, change: impl FnOnce(&mut Provider)) {
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

    /// Returns a new browser on the sign-in page of a client's request.
    pub(crate) async fn open_sign_in(&self) -> (Browser<'a>, Page) {
        let mut browser = self.test_app.browser();
        let response = browser.open(&Attempt::new().path()).await;
        let login = settle(&mut browser, response).await;
        assert!(login.has("form#sign-in"), "{}", login.summary());
        (browser, login)
    }

    /// Returns the provider's button on a page.
    pub(crate) fn button(&self, page: &Page) -> Option<Form> {
        let path = format!("/login/upstream/{}", self.id);
        let path = BasePath::of_url(self.test_app.public_url())
            .link(&path)
            .into_owned();
        page.forms("form")
            .into_iter()
            .find(|form| form.action.path() == path)
    }

    /// Presses the provider's button and returns the response.
    pub(crate) async fn press_button(&self, browser: &mut Browser<'_>, page: &Page) -> Page {
        let form = self
            .button(page)
            .unwrap_or_else(|| panic!("no button of {}: {}", self.id, page.summary()));
        let request = browser.filled(page, &form, &[]);
        browser.send(request).await
    }

    /// Goes from the sign-in page through the provider. Returns the browser, the sign-in page, and
    /// the callback that the browser is about to open.
    pub(crate) async fn go_to_provider(&self) -> (Browser<'a>, Page, Back) {
        let (mut browser, login) = self.open_sign_in().await;
        let page = self.press_button(&mut browser, &login).await;
        assert_eq!(
            page.status,
            200,
            "UP-05: a page, not a redirect: {}",
            page.summary()
        );
        let back = self.up.visit(&page).await;
        (browser, login, back)
    }

    /// Signs in at an honest provider. Returns the browser and the last page.
    pub(crate) async fn complete_sign_in(&self) -> (Browser<'a>, Page) {
        let (mut browser, _, back) = self.go_to_provider().await;
        let response = browser.open(&back.path()).await;
        let page = settle(&mut browser, response).await;
        (browser, page)
    }

    /// Signs in, and requires that the user ends at the client, signed in, and that the provider
    /// has no complaint.
    pub(crate) async fn assert_signs_in(&self, why: &str) -> Browser<'a> {
        let (browser, page) = self.complete_sign_in().await;
        let refusals = refusal_reasons(self.test_app).await;
        let last = refusals.last();
        assert!(browser.is_signed_in(), "{why}: {last:?} {}", page.summary());
        assert!(leads_to_client(&page), "{why}: {}", page.summary());
        assert_eq!(self.up.complaints(), Vec::<String>::new(), "{why}");
        browser
    }

    /// Requires that a sign-in is refused at the callback, as R-45 demands. Returns the response.
    pub(crate) async fn assert_sign_in_refused(&self, why: &str, status: u16, code: &str) -> Page {
        let (mut browser, login, back) = self.go_to_provider().await;
        self.assert_callback_refused(&mut browser, &login, &back, (why, status, code))
            .await
    }

    /// Opens the callback `back`, which must refuse it and spend the flow.
    pub(crate) async fn assert_callback_refused(
        &self,
        browser: &mut Browser<'a>,
        login: &Page,
        back: &Back,
        (why, status, code): (&str, u16, &str),
    ) -> Page {
        let before = Snapshot::load(self.test_app).await;
        let response = browser.open(&back.path()).await;
        self.assert_refusal(&before, &response, (why, status, code))
            .await;
        // The flow is spent, even if the provider is honest now.
        self.up.reset_faults();
        let requests = self.up.total();
        let before = Snapshot::load(self.test_app).await;
        let again = browser.open(&back.path()).await;
        self.assert_refusal(&before, &again, (why, 400, "up_state_used"))
            .await;
        assert_eq!(
            self.up.total(),
            requests,
            "{why}: a spent state causes no request"
        );
        // The client's own request still waits for another sign-in method.
        let other = Box::pin(ProviderFixture::new(self.test_app, json!({}))).await;
        let page = browser.open(&login.url[url::Position::BeforePath..]).await;
        assert!(
            page.has("form#sign-in"),
            "{why}: the request is gone: {}",
            page.summary()
        );
        let page = other.press_button(browser, &page).await;
        let back = other.up.visit(&page).await;
        let done = browser.open(&back.path()).await;
        let done = settle(browser, done).await;
        assert!(
            browser.is_signed_in() && leads_to_client(&done),
            "{why}: afterwards: {}",
            done.summary()
        );
        response
    }

    /// Requires that the button itself is refused and that the browser stays here.
    pub(crate) async fn assert_start_refused(&self, why: &str, status: u16, code: &str) -> Page {
        let (mut browser, login) = self.open_sign_in().await;
        let before = Snapshot::load(self.test_app).await;
        let response = self.press_button(&mut browser, &login).await;
        self.assert_refusal(&before, &response, (why, status, code))
            .await;
        assert!(
            response.refresh().is_none() && response.location().is_none(),
            "{why}: leads on"
        );
        assert!(
            browser
                .open(&login.url[url::Position::BeforePath..])
                .await
                .has("form#sign-in"),
            "{why}"
        );
        response
    }

    /// the status, one reason in the log and, if a flow was refused, in the audit log, no new
    /// row, no cookie, no secret on the page.
    pub(crate) async fn assert_refusal(
        &self,
        before: &Snapshot,
        response: &Page,
        (why, status, code): (&str, u16, &str),
    ) {
        let after = Snapshot::load(self.test_app).await;
        let reasons = after.reasons_since(before);
        assert_eq!(
            (response.status.as_u16(), reasons),
            (status, vec![code.to_owned()]),
            "{why}: {}",
            response.summary()
        );
        let audited = after.audited_since(before);
        assert!(
            audited == [code] || (audited.is_empty() && BEFORE_A_FLOW.contains(&code)),
            "{code}, {why}: the audit log has {audited:?}"
        );
        assert_eq!(
            after.rows, before.rows,
            "{code}, {why}: users, addresses, sessions, identities, grants"
        );
        let cookies = response.headers.get_all("set-cookie").iter().count();
        assert_eq!(cookies, 0, "{code}, {why}: cookies");
        assert!(
            !response.body.contains("words of the upstream"),
            "{code}, {why}: UE-03"
        );
        let audit_log = format!("{:?}", after.events);
        for secret in self.up.secrets().iter().chain([&self.email]) {
            assert!(
                !response.body.contains(secret.as_str()),
                "{code}, {why}: the page contains a secret"
            );
            assert!(
                !audit_log.contains(secret.as_str()),
                "{code}, {why}: the audit log contains a secret"
            );
        }
    }
}

/// The rows of the database at one moment.
pub(crate) struct Snapshot {
    rows: Vec<(&'static str, i64)>,
    events: Vec<audit_event::Model>,
    references: Vec<String>,
}

/// The codes of requests that may belong to no flow: they are in the log alone (ST-17).
const BEFORE_A_FLOW: [&str; 17] = [
    "lk_browser",
    "up_app_code",
    "up_blocked",
    "up_discovery_issuer",
    "up_endpoint_host",
    "up_method",
    "up_param_duplicate",
    "up_param_too_long",
    "up_provider_disabled",
    "up_provider_down",
    "up_redirect",
    "up_state_malformed",
    "up_state_unknown",
    "up_state_used",
    "up_store_down",
    "up_timeout",
    "up_too_large",
];

impl Snapshot {
    pub(crate) async fn load(test_app: &TestApp) -> Self {
        let mut rows = Vec::new();
        for table in [
            "users",
            "user_emails",
            "sessions",
            "user_identities",
            "grant_families",
        ] {
            rows.push((table, count_rows(test_app, table).await));
        }
        Self {
            rows,
            events: audit_events(test_app).await,
            references: test_app.references(),
        }
    }

    /// Returns the reasons that the log gives for refusals after `before`.
    pub(crate) fn reasons_since(&self, before: &Self) -> Vec<String> {
        let new = &self.references[before.references.len()..];
        let reasons = new.iter().flat_map(|reference| log::reasons(reference));
        reasons
            .filter(|reason| reason.starts_with("up_") || reason.starts_with("lk_"))
            .collect()
    }

    /// Returns the reasons that were added to the audit log after `before`.
    pub(crate) fn audited_since(&self, before: &Self) -> Vec<String> {
        let new = self
            .events
            .iter()
            .filter(|event| !before.events.contains(event));
        new.filter_map(|event| event.reason.clone()).collect()
    }
}

/// Returns the number of rows of a table.
pub(crate) async fn count_rows(test_app: &TestApp, table: &str) -> i64 {
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

/// Returns the audit log in order.
pub(crate) async fn audit_events(test_app: &TestApp) -> Vec<audit_event::Model> {
    let mut events = audit_event::Entity::find()
        .all(test_app.app.db.read())
        .await
        .unwrap();
    events.sort_by_key(|event| (event.at, event.id));
    events
}

/// Returns the reasons of refused upstream sign-ins in the audit log, in order.
pub(crate) async fn refusal_reasons(test_app: &TestApp) -> Vec<String> {
    let reasons = audit_events(test_app)
        .await
        .into_iter()
        .filter_map(|event| event.reason);
    reasons
        .filter(|reason| reason.starts_with("up_") || reason.starts_with("lk_"))
        .collect()
}

/// Returns whether a page leads to the client with a code.
pub(crate) fn leads_to_client(page: &Page) -> bool {
    let to = page.location().or_else(|| page.refresh());
    to.is_some_and(|to| {
        to.as_str().starts_with(CALLBACK) && to.query_pairs().any(|(name, _)| name == "code")
    })
}

/// Sends a form_post callback as a browser does from the provider's page: cross-site, without Lax
/// cookies.
pub(crate) async fn post_callback(browser: &mut Browser<'_>, back: &Back) -> Page {
    let cookies = std::mem::take(&mut browser.cookies);
    let request = browser
        .posted(back.to.path())
        .header("origin", "https://provider.example")
        .header("sec-fetch-site", "cross-site")
        .body(back.query());
    let response = browser.send(request).await;
    browser.cookies.extend(cookies);
    response
}

/// Opens a path by any method.
pub(crate) async fn send_with_method(
    browser: &mut Browser<'_>,
    method: Method,
    path: &str,
) -> Page {
    let request = browser.request(method, path).finish();
    browser.send(request).await
}

/// The faults of a provider, and the status of the refusal.
pub(crate) struct RefusalCase {
    why: &'static str,
    status: u16,
    faults: Vec<Fault>,
    settings: Value,
}

impl RefusalCase {
    pub(crate) fn new(why: &'static str, status: u16, faults: Vec<Fault>) -> Self {
        Self {
            why,
            status,
            faults,
            settings: json!({}),
        }
    }

    /// Changes settings of the provider.
    pub(crate) fn with(mut self, settings: Value) -> Self {
        self.settings = settings;
        self
    }
}

/// Requires that each case is refused with `code` at the callback, with a provider of its own.
pub(crate) async fn assert_refused(test_app: &TestApp, code: &str, cases: Vec<RefusalCase>) {
    for case in cases {
        let fixture = ProviderFixture::new(test_app, case.settings).await;
        for fault in case.faults {
            fixture.up.inject(fault);
        }
        fixture
            .assert_sign_in_refused(case.why, case.status, code)
            .await;
    }
}

/// Requires the same at the button: the provider's documents are wrong, and no browser goes there.
pub(crate) async fn assert_starts_refused(test_app: &TestApp, code: &str, cases: Vec<RefusalCase>) {
    for case in cases {
        let fixture = ProviderFixture::new(test_app, case.settings).await;
        for fault in case.faults {
            fixture.up.inject(fault);
        }
        fixture
            .assert_start_refused(case.why, case.status, code)
            .await;
    }
}
