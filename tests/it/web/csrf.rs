//! Every form, forged in every way (CF), and the table of routes that says which there are.

use std::collections::BTreeSet;

use entity::{audit_event, consent, magic_link_flow, mail_outbox, session, user, user_identity};
use entree::routes::{POST_ROUTES, PostProtection};
use poem::{
    Request,
    http::{Method, StatusCode, header},
};
use sea_orm::EntityTrait as _;
use testkit::page::{Form, Page};

use crate::{
    device,
    federation::linking,
    oauth::{Attempt, register, signed_in},
    test_app::{Browser, PUBLIC, TestApp, encoded, fields},
};

const EMAIL: &str = "ada@example.com";

/// Everything that a form could change.
async fn everything(test_app: &TestApp) -> String {
    let db = test_app.app.db.read();
    format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{}",
        magic_link_flow::Entity::find().all(db).await.unwrap(),
        mail_outbox::Entity::find().all(db).await.unwrap(),
        session::Entity::find().all(db).await.unwrap(),
        consent::Entity::find().all(db).await.unwrap(),
        user::Entity::find().all(db).await.unwrap(),
        user_identity::Entity::find().all(db).await.unwrap(),
        audit_event::Entity::find().all(db).await.unwrap().len(),
    )
}

/// A form that a browser is about to send.
struct Ready<'a> {
    browser: Browser<'a>,
    page: Page,
    form: Form,
    fill: Vec<(String, String)>,
}

impl Ready<'_> {
    fn body(&self, change: impl FnOnce(&mut Vec<(String, String)>)) -> String {
        let fill: Vec<(&str, &str)> = self
            .fill
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut all = fields(&self.form, &fill);
        change(&mut all);
        encoded(&all)
    }

    fn post(&self, headers: &[(&'static str, &str)], body: String) -> Request {
        let builder = self.browser.posted(self.form.action.path());
        headers
            .iter()
            .fold(builder, |builder, (name, value)| {
                builder.header(*name, *value)
            })
            .body(body)
    }
}

fn of(page: &Page, browser: Browser<'static>, form: &str, fill: &[(&str, &str)]) -> Ready<'static> {
    let fill = fill
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Ready {
        browser,
        form: page.form(form),
        page: page.clone(),
        fill,
    }
}

/// For a protected route: a browser at the page that holds its form, ready to send it. A route without an entry here
/// fails the tests: a new form is added here too.
async fn ready(test_app: &'static TestApp, route: &str) -> Vec<Ready<'static>> {
    match route {
        "/login/email" => {
            let mut browser = test_app.browser();
            let login = browser.open("/login").await;
            let first = of(&login, browser.clone(), "sign-in", &[("email", EMAIL)]);
            let waiting = browser.ask("resend@example.com").await;
            test_app.pass(31);
            vec![first, of(&waiting, browser, "resend", &[])]
        }
        "/login/code" => {
            let mut browser = test_app.browser();
            let waiting = browser.ask("code@example.com").await;
            let code = test_app.mail("code@example.com").await.code();
            vec![of(&waiting, browser, "code", &[("code", &code)])]
        }
        "/login/link/:token" => {
            let mut browser = test_app.browser();
            browser.ask("link@example.com").await;
            let link = test_app.mail("link@example.com").await.link();
            let page = browser.open(&link).await;
            vec![of(&page, browser, "link", &[])]
        }
        "/account/sign-out" | "/account/sign-out-everywhere" => {
            let mut browser = signed_in(test_app, "out@example.com").await;
            let account = browser.open("/account").await;
            let form = route.rsplit('/').next().unwrap();
            vec![of(&account, browser, form, &[])]
        }
        "/account/sessions/:id/end" => {
            signed_in(test_app, "ends@example.com").await;
            let mut browser = signed_in(test_app, "ends@example.com").await;
            let account = browser.open("/account").await;
            let form = account
                .forms("form.end-session")
                .into_iter()
                .next()
                .expect("a form");
            vec![Ready {
                browser,
                page: account,
                form,
                fill: vec![],
            }]
        }
        "/account/access/remove" => {
            let mut browser = signed_in(test_app, "access@example.com").await;
            Attempt::new().tokens(&mut browser).await;
            let page = browser.open("/account/access").await;
            let form = page
                .forms("form.remove-access")
                .into_iter()
                .next()
                .expect("a form");
            vec![Ready {
                browser,
                page,
                form,
                fill: vec![],
            }]
        }
        "/oauth2/authorize/cancel" => {
            let mut browser = test_app.browser();
            let asked = browser.open(&Attempt::new().path()).await;
            let login = browser.follow(&asked).await;
            vec![of(&login, browser, "cancel", &[])]
        }
        "/consent" => {
            let mut browser = signed_in(test_app, "consent@example.com").await;
            let asked = browser
                .open(&Attempt::new().with("client_id", "foreign").path())
                .await;
            let page = browser.follow(&asked).await;
            vec![of(&page, browser, "consent", &[("decision", "allow")])]
        }
        "/login/name" => {
            test_app.configure(|config| {
                for client in &mut config.clients {
                    client.require_name = client.client_id == "other";
                }
            });
            let mut browser = signed_in(test_app, "name@example.com").await;
            let asked = browser
                .open(&Attempt::new().with("client_id", "other").path())
                .await;
            let page = browser.follow(&asked).await;
            vec![of(&page, browser, "name", &[("name", "Ada")])]
        }
        "/oauth2/logout/confirm" => {
            let mut browser = signed_in(test_app, "logout@example.com").await;
            let page = browser.open("/oauth2/logout").await;
            vec![of(&page, browser, "logout", &[])]
        }
        "/login/upstream/:provider" => {
            test_app.configure(|config| config.providers = vec![linking::provider("office")]);
            let mut browser = test_app.browser();
            let login = browser.open("/login").await;
            let start = of(&login, browser, "upstream-office", &[]);
            let mut browser = signed_in(test_app, "connect@example.com").await;
            let account = browser.open("/account").await;
            vec![start, of(&account, browser, "connect-office", &[])]
        }
        "/login/identity" => {
            test_app.configure(|config| config.providers = vec![linking::provider("office")]);
            let mut browser = signed_in(test_app, "identity@example.com").await;
            let path = linking::confirm_path(test_app, &browser, "identity").await;
            let page = browser.open(&path).await;
            vec![of(&page, browser, "identity", &[("decision", "yes")])]
        }
        "/account/identities/:id/disconnect" => {
            let mut browser = signed_in(test_app, "disconnect@example.com").await;
            linking::link_account_to(test_app, "disconnect@example.com", "disconnect").await;
            let account = browser.open("/account").await;
            let form = account
                .forms("form.disconnect")
                .into_iter()
                .next()
                .expect("a form");
            vec![Ready {
                browser,
                page: account,
                form,
                fill: vec![],
            }]
        }
        "/device" | "/device/decide" => {
            device::prepare(test_app);
            let mut browser = signed_in(test_app, "device@example.com").await;
            let started = device::start(test_app, &[]).await;
            let code = started["user_code"].as_str().unwrap();
            let page = browser.open("/device").await;
            let fill = [("user_code", code)];
            if route == "/device" {
                return vec![of(&page, browser, "device", &fill)];
            }
            let question = browser.submit(&page, "device", &fill).await;
            vec![of(&question, browser, "decide", &[("decision", "allow")])]
        }
        other => panic!("{other} is protected, and no test here knows its form"),
    }
}

fn set(fields: &mut [(String, String)], value: &str) {
    for (name, old) in fields.iter_mut() {
        if name == "form_token" {
            value.clone_into(old);
        }
    }
}

/// The tokens of all other forms that this browser can see, and one for another browser's form of the same name.
async fn other_tokens(test_app: &'static TestApp, ready: &Ready<'static>) -> Vec<String> {
    let token = |form: &Form| {
        form.fields
            .iter()
            .find(|(name, _)| name == "form_token")
            .map(|(_, value)| value.clone())
    };
    let mine = token(&ready.form).expect("every form has a token");
    let mut browser = ready.browser.clone();
    let mut tokens = Vec::new();
    for path in ["/login", "/account"] {
        tokens.extend(
            browser
                .open(path)
                .await
                .forms("form")
                .iter()
                .filter_map(token),
        );
    }
    tokens.extend(ready.page.forms("form").iter().filter_map(token));
    let mut stranger = signed_in(test_app, "stranger@example.com").await;
    for path in ["/login", "/account"] {
        tokens.extend(
            stranger
                .open(path)
                .await
                .forms("form")
                .iter()
                .filter_map(token),
        );
    }
    let waiting = test_app.browser().ask("stranger2@example.com").await;
    tokens.extend(waiting.forms("form").iter().filter_map(token));
    tokens.retain(|other| *other != mine);
    assert!(tokens.len() >= 4, "{}", tokens.len());
    tokens
}

/// All the ways in which a form is forged, each with a word for it.
async fn forgeries(test_app: &'static TestApp, ready: &Ready<'static>) -> Vec<(String, Request)> {
    let good = || ready.body(|_| {});
    let headers = [("origin", PUBLIC), ("sec-fetch-site", "same-origin")];
    let mut all = Vec::new();
    let mut add = |why: &str, request: Request| all.push((why.to_owned(), request));
    add(
        "no token",
        ready.post(
            &headers,
            ready.body(|all| all.retain(|(name, _)| name != "form_token")),
        ),
    );
    add(
        "an empty token",
        ready.post(&headers, ready.body(|all| set(all, ""))),
    );
    add(
        "a made-up token",
        ready.post(&headers, ready.body(|all| set(all, &"A".repeat(43)))),
    );
    add("neither header", ready.post(&[], good()));
    for site in ["cross-site", "same-site", "none"] {
        add(
            site,
            ready.post(&[("origin", PUBLIC), ("sec-fetch-site", site)], good()),
        );
        add(site, ready.post(&[("sec-fetch-site", site)], good()));
        add(
            "a sandboxed frame",
            ready.post(&[("origin", "null"), ("sec-fetch-site", site)], good()),
        );
    }
    for origin in [
        "https://evil.example",
        "https://id.test.evil.example",
        "http://id.test",
        "https://id.test:8443",
        "null",
    ] {
        add(origin, ready.post(&[("origin", origin)], good()));
        if origin != "null" {
            add(
                origin,
                ready.post(
                    &[("origin", origin), ("sec-fetch-site", "same-origin")],
                    good(),
                ),
            );
        }
    }
    for other in other_tokens(test_app, ready).await {
        add(
            "another form's or browser's token",
            ready.post(&headers, ready.body(|all| set(all, &other))),
        );
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cf_01_cf_02_every_protected_form_is_refused_when_forged_and_works_when_not() {
    let protected: Vec<&str> = POST_ROUTES
        .iter()
        .filter(|(_, post)| *post == PostProtection::FormToken)
        .map(|(route, _)| *route)
        .collect();
    assert!(protected.len() >= 6);
    for route in protected {
        // Leaked on purpose: the forms keep browsers that borrow it, for the life of this test.
        let test_app: &'static TestApp = Box::leak(Box::new(TestApp::embedded().await));
        register(test_app);
        for ready in ready(test_app, route).await {
            let forgeries = forgeries(test_app, &ready).await;
            let before = everything(test_app).await;
            for (why, request) in forgeries {
                let answer = test_app.call(request).await;
                assert!(
                    answer.status.is_client_error(),
                    "{route}, {why}: {}",
                    answer.summary()
                );
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{route}, {why}");
                assert!(
                    answer
                        .header("set-cookie")
                        .is_none_or(|line| !line.contains("sid=")),
                    "{route}, {why}"
                );
                assert_eq!(
                    everything(test_app).await,
                    before,
                    "{route}, {why}: something has changed"
                );
            }
            // Another browser that brings everything but the cookie; and this one without any.
            for cookies in [test_app.browser().cookies.clone(), {
                let mut other = test_app.browser();
                other.open("/login").await;
                other.cookies.clone()
            }] {
                let other = Ready {
                    browser: Browser {
                        cookies,
                        ..ready.browser.clone()
                    },
                    page: ready.page.clone(),
                    form: ready.form.clone(),
                    fill: ready.fill.clone(),
                };
                let headers = [("origin", PUBLIC), ("sec-fetch-site", "same-origin")];
                test_app
                    .call(other.post(&headers, other.body(|_| {})))
                    .await;
                assert_eq!(
                    everything(test_app).await,
                    before,
                    "{route}: another cookie"
                );
            }
            let good = ready
                .browser
                .filled(&ready.page, &ready.form, &as_strs(&ready.fill));
            let answer = test_app.call(good).await;
            if route == "/login/upstream/:provider" {
                // No server listens there: the request passed the CSRF check and reached for the provider.
                assert_eq!(
                    answer.status,
                    StatusCode::SERVICE_UNAVAILABLE,
                    "{}",
                    answer.summary()
                );
                continue;
            }
            assert!(
                answer.status.is_success() || answer.status == StatusCode::SEE_OTHER,
                "{}",
                answer.summary()
            );
            if route == "/device" {
                // It only shows a question.
                continue;
            }
            if route == "/oauth2/authorize/cancel" {
                // It changes no row: it takes the request out of the ticket store.
                assert!(
                    answer.body.contains("access_denied"),
                    "{}",
                    answer.summary()
                );
            } else {
                assert_ne!(
                    everything(test_app).await,
                    before,
                    "{route}: the form itself works"
                );
            }
        }
    }
}

fn as_strs(fill: &[(String, String)]) -> Vec<(&str, &str)> {
    fill.iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

#[tokio::test]
async fn cf_03_pages_with_forms_let_browsers_send_their_origin() {
    let test_app = TestApp::embedded().await;
    let mut browser = signed_in(&test_app, EMAIL).await;
    let waiting = test_app.browser().ask("cf3@example.com").await;
    let (login, account) = (browser.open("/login").await, browser.open("/account").await);
    for page in [&waiting, &login, &account] {
        assert!(page.has("form[method=post i]"), "{}", page.summary());
        assert_eq!(
            page.header("referrer-policy"),
            Some("same-origin"),
            "{}",
            page.summary()
        );
    }
}

/// The paths with a POST in the source of the route table, and in the generated API document.
fn registered() -> BTreeSet<String> {
    let source = include_str!("../../../src/routes/table.rs")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let source = source.replace(".at( \"", ".at(\"");
    let mut found = BTreeSet::new();
    for route in source.split(".at(\"").skip(1) {
        let (path, rest) = route.split_once('"').unwrap();
        let end = rest
            .find(".at(")
            .into_iter()
            .chain(rest.find(';'))
            .min()
            .unwrap_or(rest.len());
        let handlers = &rest[..end];
        if handlers.contains("post(") {
            assert!(
                handlers.contains("POST"),
                "{path} takes a POST that allow_methods() does not list"
            );
            found.insert(path.to_owned());
        }
    }
    let document: Vec<String> = entree::routes::openapi_public()
        .lines()
        .map(str::to_owned)
        .collect();
    let mut path = String::new();
    for line in document {
        // Two spaces before a path, four before a method.
        if line.starts_with("  /") || line.starts_with("  '/") {
            path = line
                .trim()
                .trim_end_matches(':')
                .trim_matches('\'')
                .replace('{', ":")
                .replace('}', "");
        } else if line == "    post:" {
            found.insert(path.clone());
        }
    }
    found
}

/// ST-06: which routes read no cookie.
#[test]
fn cf_04_every_post_route_is_listed_and_every_listed_one_is_there() {
    let listed: BTreeSet<String> = POST_ROUTES
        .iter()
        .map(|(path, _)| (*path).to_owned())
        .collect();
    assert_eq!(
        listed.len(),
        POST_ROUTES.len(),
        "a path stands twice in the table"
    );
    assert_eq!(registered(), listed);
}

/// Every path in the source of the route table.
fn paths() -> BTreeSet<String> {
    let source = include_str!("../../../src/routes/table.rs")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let source = source.replace(".at( \"", ".at(\"");
    source
        .split(".at(\"")
        .skip(1)
        .map(|route| route.split_once('"').unwrap().0.to_owned())
        .collect()
}

#[tokio::test]
async fn cf_04_a_path_that_is_not_listed_takes_no_post() {
    let test_app = TestApp::embedded_with(|config| config.reloadable.api.v2_enabled = true).await;
    let browser = test_app.browser();
    let concrete = |path: &str| {
        path.replace(":token", &"A".repeat(43))
            .replace(":id", &uuid::Uuid::nil().to_string())
    };
    assert!(paths().len() >= 20, "{:?}", paths());
    for path in paths().iter().chain(&registered()) {
        let listed = POST_ROUTES.iter().any(|(listed, _)| listed == path);
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let takes = listed && method == Method::POST;
            let answer = test_app
                .call(browser.request(method.clone(), &concrete(path)).finish())
                .await;
            let refused = matches!(
                answer.status,
                StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND
            );
            let gone = path.contains(":id") && answer.status == StatusCode::NOT_FOUND && !takes;
            assert!(
                refused != takes || gone,
                "{method} {path}: {}",
                answer.status
            );
        }
    }
}

#[tokio::test]
async fn cf_04_what_is_free_of_cookies_reads_none() {
    let test_app = TestApp::embedded_with(|config| {
        crate::oauth::with_clients(&mut config.reloadable);
        config.reloadable.api.v2_enabled = true;
    })
    .await;
    let browser = signed_in(&test_app, EMAIL).await;
    let free = POST_ROUTES
        .iter()
        .filter(|(_, post)| *post == PostProtection::CookieFree);
    for (path, _) in free {
        let path = path.replace(":id", &uuid::Uuid::nil().to_string());
        let json = path.starts_with("/api/");
        let (kind, body) = if json {
            ("application/json", "{}")
        } else {
            ("application/x-www-form-urlencoded", "x=y")
        };
        let send = |cookie: Option<String>| {
            let mut request = Request::builder()
                .method(Method::POST)
                .uri_str(&path)
                .header(header::HOST, "id.test")
                .header(header::CONTENT_TYPE, kind);
            if let Some(cookie) = cookie {
                request = request.header(header::COOKIE, cookie);
            }
            test_app.call(request.body(body))
        };
        let pairs: Vec<String> = browser
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let without = send(None).await;
        // Signed in; and with two values, which every endpoint that reads cookies refuses.
        for cookie in [
            pairs.join("; "),
            format!("{}; __Host-Http-sid=x; __Host-Http-pre=x", pairs.join("; ")),
        ] {
            let with = send(Some(cookie)).await;
            assert_eq!(with.status, without.status, "{path}");
            // The handle of a posted request is a new one each time.
            let place = |page: &Page| {
                page.header("location")
                    .map(|to| to.split('=').next().unwrap().to_owned())
            };
            assert_eq!(place(&with), place(&without), "{path}");
            assert!(with.header("set-cookie").is_none(), "{path}");
        }
    }
}
