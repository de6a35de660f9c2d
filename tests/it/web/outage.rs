//! OD-12: a dependency is away in the middle of a sign-in. Each page of a 503 offers to try again, and
//! that leads to the client with its request, at whichever step it happens.

use entree::{app::App, clock::Clock, db::Db};
use poem::{
    Request,
    http::{Method, header},
};
use testkit::{child, page::Page};

use crate::{
    oauth::{Attempt, CALLBACK, register, without_tickets},
    test_app::{Browser, PUBLIC, TestApp, encoded, fields},
};

on_both!(
    od_12_try_again_leads_to_the_client_from_each_503_of_the_database,
    od_12_try_again_leads_to_the_client_from_each_503_of_the_ticket_store,
    od_12_a_form_of_another_site_is_not_offered_again,
);

/// The steps from the request of a client to its answer.
const STEPS: usize = 11;

/// The same service without its database.
pub(crate) async fn without_database(app: &App) -> App {
    let file = child::scratch("away").join("entree.db");
    let url = format!("sqlite:{}", file.display());
    let db = Db::connect(&url, 1, Clock::default()).await.unwrap();
    db.close().await;
    App { db, ..app.clone() }
}

/// A person whose step number `fail_at` meets the outage.
struct Walk<'a> {
    browser: Browser<'a>,
    away: &'a TestApp,
    fail_at: usize,
    step: usize,
    met: bool,
}

impl Walk<'_> {
    async fn send(&mut self, make: impl Fn(&Browser<'_>) -> Request) -> Page {
        self.step += 1;
        if self.step != self.fail_at {
            let request = make(&self.browser);
            return self.browser.send(request).await;
        }
        let mut browser = Browser {
            test_app: self.away,
            ..self.browser.clone()
        };
        let page = browser.send(make(&browser)).await;
        self.browser.cookies = browser.cookies;
        if page.status.as_u16() != 503 {
            return page;
        }
        self.met = true;
        self.try_again(&page).await
    }

    /// Presses the button of the page, once the dependency is back.
    async fn try_again(&mut self, page: &Page) -> Page {
        if page.has("form#again") {
            let form = page.form("again");
            let request = post(&self.browser, &form.action, &form.fields);
            return self.browser.send(request).await;
        }
        let text = page.text_of("a#next").unwrap_or_default();
        assert_eq!(text, "Try again", "{}", page.summary());
        let href = page.attribute("a#next", "href").unwrap();
        // An empty reference is that of the page itself (RFC 3986 §4.4).
        let target = page.url.join(&href).unwrap();
        let path = &target[url::Position::BeforePath..];
        self.browser.open(path).await
    }

    /// Goes on from page to page until one leads to the client; gives where.
    async fn walk_on(&mut self, start: &str, email: &str) -> String {
        let start = start.to_owned();
        let mut page = self.send(|browser| get(browser, &start)).await;
        for _ in 0..2 * STEPS {
            if let Some(next) = page.location().or_else(|| page.refresh()) {
                if next.origin().ascii_serialization() != PUBLIC {
                    return next.into();
                }
                let path = next[url::Position::BeforePath..].to_owned();
                page = self.send(|browser| get(browser, &path)).await;
                continue;
            }
            let (form, fill) = if page.has("form#sign-in") {
                ("sign-in", ("email", email.to_owned()))
            } else if page.has("form#code") {
                let mail = self.browser.test_app.mail(email).await;
                ("code", ("code", mail.code()))
            } else if page.has("form#consent") {
                ("consent", ("decision", "allow".to_owned()))
            } else {
                break;
            };
            let form = page.form(form);
            let filled = fields(&form, &[(fill.0, &fill.1)]);
            page = self
                .send(|browser| post(browser, &form.action, &filled))
                .await;
        }
        panic!("step {}: a dead end: {}", self.step, page.summary());
    }
}

fn get(browser: &Browser<'_>, path: &str) -> Request {
    browser.request(Method::GET, path).finish()
}

fn post(browser: &Browser<'_>, action: &url::Url, fields: &[(String, String)]) -> Request {
    let path = &action[url::Position::BeforePath..];
    let request = browser.posted(path).header(header::ORIGIN, PUBLIC);
    let request = request.header("sec-fetch-site", "same-origin");
    request.body(encoded(fields))
}

/// Walks once for each step that can fail; gives how many of them met a 503.
async fn walk_each(test_app: &TestApp, away: &TestApp, name: &str) -> usize {
    let mut met = 0;
    for fail_at in 1..=STEPS {
        let mut walk = Walk {
            browser: test_app.browser(),
            away,
            fail_at,
            step: 0,
            met: false,
        };
        let attempt = Attempt::new().with("client_id", "foreign");
        let email = format!("{name}-{fail_at}@example.com");
        let end = walk.walk_on(&attempt.path(), &email).await;
        let is_answer = end.starts_with(&format!("{CALLBACK}?code=")) && end.contains("state=the");
        assert!(is_answer, "step {fail_at}: {end}");
        met += usize::from(walk.met);
    }
    met
}

async fn od_12_try_again_leads_to_the_client_from_each_503_of_the_database(test_app: TestApp) {
    register(&test_app);
    let away = test_app.over(without_database(&test_app.app).await);
    let met = walk_each(&test_app, &away, "database").await;
    // All but the redirects that need none, and the steps before there is a session.
    assert!(met >= 6, "{met} of {STEPS} steps met the outage");
}

async fn od_12_try_again_leads_to_the_client_from_each_503_of_the_ticket_store(test_app: TestApp) {
    register(&test_app);
    let away = test_app.over(without_tickets(&test_app.app));
    let met = walk_each(&test_app, &away, "tickets").await;
    assert!(met >= 5, "{met} of {STEPS} steps met the outage");
}

/// CF-01: a page of ours posts what another site's form held only where such forms are taken.
async fn od_12_a_form_of_another_site_is_not_offered_again(test_app: TestApp) {
    register(&test_app);
    let away = test_app.over(without_tickets(&test_app.app));
    let browser = away.browser();
    let foreign = |path: &str| {
        let request = browser
            .posted(path)
            .header(header::ORIGIN, "https://evil.test");
        let request = request.header("sec-fetch-site", "cross-site");
        request.body(encoded(&Attempt::new().parameters))
    };
    let page = away.call(foreign("/oauth2/authorize")).await;
    assert_eq!(page.status.as_u16(), 503);
    let form = page.form("again");
    assert_eq!(form.action.path(), "/oauth2/authorize");
    assert_eq!(form.fields.len(), Attempt::new().parameters.len());
    let without = test_app.over(without_database(&test_app.app).await);
    let page = without.call(foreign("/account/sign-out")).await;
    assert!(!page.has("form#again"), "{}", page.summary());
}
