//! Hostile requests to the built binary, each with the one response that is right for it: a 4xx with
//! its status, or the response that reveals nothing (C4). Afterwards the service has logged no error
//! and still serves sign-ins.
//!
//! Requests are bytes on a socket: a client library would refuse to send most of them.

mod api;
mod forms;
mod framing;
mod paths;
mod queries;
mod secrets;
mod tokens;

use std::time::Duration;

use testkit::{browser::Browser, entree::Backend, page::Page};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::service::{CALLBACK, Stage, fresh_network, token_of};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
/// Over everything that is ever taken.
const MIB: usize = 1024 * 1024;

/// What is right for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// One answer of this status, and nothing after it.
    Is(u16),
    /// The same, but a sender that is still sending may find the connection cut before it reads.
    IsOrCut(u16),
    /// Not HTTP/1.1 at all: no answer, or 400.
    Cut,
}

use Expected::{Cut, Is, IsOrCut};

/// A request as it is written to the socket.
#[derive(Clone)]
struct RawRequest {
    line: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl RawRequest {
    fn new(method: &str, target: impl AsRef<[u8]>, host: &str) -> Self {
        let line = [method.as_bytes(), b" ", target.as_ref(), b" HTTP/1.1"].concat();
        Self {
            line,
            headers: Vec::new(),
            body: Vec::new(),
        }
        .with("host", host)
        .with("x-forwarded-for", fresh_network().to_string())
        .with("connection", "close")
    }

    fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self
    }

    /// In place of what it had.
    fn set(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).with(name, value)
    }

    fn line(mut self, line: &str) -> Self {
        self.line = line.as_bytes().to_vec();
        self
    }

    fn body(mut self, kind: &str, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        let length = self.body.len().to_string();
        self.set("content-type", kind).set("content-length", length)
    }

    /// The body in pieces of 1 000 bytes.
    fn chunked(mut self, kind: &str, body: &[u8]) -> Self {
        for piece in body.chunks(1000) {
            self.body
                .extend(format!("{:x}\r\n", piece.len()).into_bytes());
            self.body.extend([piece, b"\r\n"].concat());
        }
        self.body.extend(b"0\r\n\r\n");
        self.set("content-type", kind)
            .set("transfer-encoding", "chunked")
    }

    /// A body as it stands; the headers are the caller's.
    fn raw(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = [self.line.as_slice(), b"\r\n"].concat();
        for (name, value) in &self.headers {
            out.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        [out, b"\r\n".to_vec(), self.body.clone()].concat()
    }
}

/// A sign-in that is on its sign_in, so that each request is wrong in one thing alone.
struct PendingSignIn {
    host: String,
    pre: String,
    sign_in_token: String,
    code_token: String,
    resend_token: String,
    link_token: String,
    flow: String,
    link: String,
}

impl PendingSignIn {
    async fn begin(stage: &Stage, address: &str) -> Self {
        let mut browser = Browser::new(fresh_network());
        let login = browser.open(&stage.service.at("/login")).await;
        let waiting = stage.ask(&mut browser, address).await;
        let link = stage.mail(address, 1).await.link();
        let shown = browser.open(&link).await;
        let field = |page: &Page, form: &str, name: &str| {
            let fields = page.form(form).fields;
            fields
                .into_iter()
                .find(|(n, _)| n == name)
                .expect("a hidden field")
                .1
        };
        Self {
            host: stage.service.url.trim_start_matches("http://").to_owned(),
            pre: browser.cookie("pre").expect("a cookie").value.clone(),
            sign_in_token: field(&login, "sign-in", "form_token"),
            code_token: field(&waiting, "code", "form_token"),
            resend_token: field(&waiting, "resend", "form_token"),
            link_token: field(&shown, "link", "form_token"),
            flow: field(&waiting, "code", "flow"),
            link: token_of(&link),
        }
    }

    /// The full name of a cookie: it has the port of the service.
    fn cookie_name(&self, word: &str) -> String {
        let port = self.host.rsplit_once(':').expect("a port").1;
        format!("{word}-{port}")
    }

    fn get(&self, target: impl AsRef<[u8]>) -> RawRequest {
        self.bare("GET", target).with(
            "cookie",
            format!("{}={}", self.cookie_name("pre"), self.pre),
        )
    }

    /// Without cookie.
    fn bare(&self, method: &str, target: impl AsRef<[u8]>) -> RawRequest {
        RawRequest::new(method, target, &self.host)
    }

    /// A form of our own page in the browser that began.
    fn form(&self, target: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> RawRequest {
        let request = self.bare("POST", target).with(
            "cookie",
            format!("{}={}", self.cookie_name("pre"), self.pre),
        );
        request
            .with("origin", format!("http://{}", self.host))
            .with("sec-fetch-site", "same-origin")
            .body(FORM, body)
    }

    fn email(&self, address: &str) -> RawRequest {
        self.form(
            "/login/email",
            format!("email={address}&form_token={}", self.sign_in_token),
        )
    }

    fn code(&self, code: &str) -> RawRequest {
        self.form(
            "/login/code",
            format!(
                "flow={}&code={code}&form_token={}",
                self.flow, self.code_token
            ),
        )
    }

    fn link(&self, token: &str) -> RawRequest {
        self.form(
            format!("/login/link/{token}"),
            format!("form_token={}", self.link_token),
        )
    }

    fn token(&self, body: impl AsRef<[u8]>) -> RawRequest {
        self.bare("POST", "/oauth2/token").body(FORM, body)
    }

    fn exchange(&self, client: &str, code: &str, verifier: &str) -> RawRequest {
        self.token(format!(
            "grant_type=authorization_code&client_id={client}&code={code}&redirect_uri={CALLBACK}&code_verifier={verifier}"
        ))
    }

    fn authorize(&self, more: &str) -> RawRequest {
        self.get(format!("/oauth2/authorize?{more}"))
    }

    fn request(&self, body: impl AsRef<[u8]>) -> RawRequest {
        self.bare("POST", "/api/v1/auth/magic-link/request")
            .body(JSON, body)
    }

    fn consume(&self, body: impl AsRef<[u8]>) -> RawRequest {
        self.bare("POST", "/api/v1/auth/magic-link/consume")
            .body(JSON, body)
    }
}

type Case = (String, Vec<u8>, Expected);

fn case(name: impl Into<String>, request: &RawRequest, right: Expected) -> Case {
    (name.into(), request.bytes(), right)
}

/// What response back: the status of each answer, in order; the rest of the bytes; whether the connection was closed.
struct RawResponse {
    statuses: Vec<u16>,
    text: String,
}

/// Sends bytes and reads to the end, both at once, and gives up after a while of silence. `ends`: says that nothing
/// more will come, which the service takes as gone.
async fn send(host: &str, bytes: &[u8], ends: bool) -> RawResponse {
    let stream = TcpStream::connect(host).await.expect("a connection");
    let (mut from, mut to) = stream.into_split();
    let out = bytes.to_vec();
    let writer = tokio::spawn(async move {
        // The service may close while we still send: that is its right.
        let _ = to.write_all(&out).await;
        if ends {
            let _ = to.shutdown().await;
        }
        to
    });
    let mut all = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while let Ok(Ok(n)) = timeout(Duration::from_secs(30), from.read(&mut buffer)).await {
        if n == 0 {
            break;
        }
        all.extend_from_slice(&buffer[..n]);
    }
    drop(writer);
    RawResponse {
        statuses: statuses(&all),
        text: String::from_utf8_lossy(&all).into_owned(),
    }
}

/// The status of each answer, by its head and its length.
fn statuses(mut bytes: &[u8]) -> Vec<u16> {
    let mut found = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let Some(status) = head
            .strip_prefix("http/1.")
            .and_then(|rest| rest.get(2..5))
            .and_then(|s| s.parse().ok())
        else {
            found.push(0);
            break;
        };
        found.push(status);
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|n| n.trim().parse().ok());
        bytes = bytes
            .get(end + 4 + length.unwrap_or(0usize)..)
            .unwrap_or_default();
    }
    found
}

/// What is wrong with an answer.
fn fault(response: &RawResponse, right: Expected) -> Option<String> {
    let good = match right {
        Is(status) => response.statuses == [status],
        IsOrCut(status) => response.statuses == [status] || response.statuses.is_empty(),
        Cut => response.statuses.is_empty() || response.statuses == [400],
    };
    // A server's own name, a path of ours, the words of a library: none of that belongs into an answer.
    let internal = [
        "panicked",
        "src/",
        "sqlx",
        "stack backtrace",
        "poem",
        "serde",
    ]
    .into_iter()
    .find(|word| response.text.contains(word));
    match (good, internal) {
        (false, _) => Some(format!("answered {:?}", response.statuses)),
        (true, Some(word)) => Some(format!("tells of {word}: {:.200}", response.text)),
        (true, None) => None,
    }
}

async fn hostile_requests_are_refused(backend: Backend) {
    let Some(stage) = Stage::start(backend, |options| options).await else {
        return;
    };
    let sign_in = PendingSignIn::begin(&stage, "hostile@example.test").await;
    let families = [
        framing::cases,
        paths::cases,
        queries::cases,
        forms::cases,
        secrets::cases,
        tokens::cases,
        api::cases,
    ];
    let cases: Vec<Case> = families
        .into_iter()
        .flat_map(|family| family(&sign_in))
        .collect();
    let refusals = cases
        .iter()
        .filter(|(_, _, right)| matches!(right, Is(400..=499) | IsOrCut(_)))
        .count();
    let mut wrong = Vec::new();
    let mut responses = 0;
    // Eight at a time: one that waits for its time-out does not hold up the others.
    for eight in cases.chunks(8) {
        let all = eight
            .iter()
            .map(|(_, bytes, right)| send(&sign_in.host, bytes, *right == Cut));
        for ((name, _, right), response) in
            eight.iter().zip(futures_util::future::join_all(all).await)
        {
            responses += response.statuses.len();
            wrong.extend(
                fault(&response, *right).map(|fault| format!("{name}: {right:?}, {fault}")),
            );
        }
    }
    println!(
        "{backend:?}: {} requests, {refusals} of them with one right 4xx, {responses} responses",
        cases.len()
    );
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n"),
        stage.page_error()
    );
    assert!(refusals >= 80);
    assert_unharmed(&stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn po_01_a_method_that_is_not_there_is_answered_with_those_that_are() {
    let Some(stage) = Stage::start(Backend::Embedded, |options| {
        options.set("api.v2_enabled", "true")
    })
    .await
    else {
        return;
    };
    let http = testkit::browser::client();
    let id = "00000000-0000-0000-0000-000000000000";
    for (path, allow) in [
        ("/".to_owned(), "GET, HEAD"),
        ("/docs".to_owned(), "GET, HEAD"),
        ("/openapi.json".to_owned(), "GET, HEAD"),
        ("/assets/entree.css".to_owned(), "GET, HEAD"),
        ("/favicon.ico".to_owned(), "GET, HEAD"),
        ("/apple-touch-icon.png".to_owned(), "GET, HEAD"),
        ("/.well-known/openid-configuration".to_owned(), "GET, HEAD"),
        ("/.well-known/jwks.json".to_owned(), "GET, HEAD"),
        ("/oauth2/token".to_owned(), "POST"),
        ("/api/v1/auth/magic-link/request".to_owned(), "POST"),
        ("/api/v1/auth/oidc/school/start".to_owned(), "POST"),
        ("/api/v2/logins".to_owned(), "POST"),
        (format!("/api/v2/logins/{id}/code"), "POST"),
    ] {
        let answer = http.delete(stage.service.at(&path)).send().await.unwrap();
        let said = answer
            .headers()
            .get("allow")
            .map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(
            (answer.status().as_u16(), said.as_deref()),
            (405, Some(allow)),
            "{path}"
        );
    }
    // A page in a browser on this machine that was given our address by its own name's server.
    let metrics = format!("{}/metrics", stage.service.copies[0].management);
    for (host, status) in [
        ("evil.example", 421),
        ("evil.example:9090", 421),
        ("localhost:9090", 200),
        ("[::1]", 200),
    ] {
        let answer = http
            .get(&metrics)
            .header("host", host)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), status, "{host}");
    }
}

/// Checks that the log has no error, every instance is live and ready, and sign-in works.
async fn assert_unharmed(stage: &Stage) {
    assert_eq!(stage.faults(), Vec::<String>::new());
    for copy in &stage.service.copies {
        assert_eq!(copy.ended(), None);
        for probe in ["livez", "readyz"] {
            let answer = testkit::browser::client()
                .get(format!("{}/{probe}", copy.management))
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 200, "{probe}");
        }
    }
    let mut browser = Browser::new(fresh_network());
    let waiting = stage.ask(&mut browser, "unharmed@example.test").await;
    let code = stage.mail("unharmed@example.test", 1).await.code();
    let done = browser.submit(&waiting, "code", &[("code", &code)]).await;
    assert!(
        browser.settle(done).await.has("form#sign-out"),
        "{}",
        stage.page_error()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_requests_are_refused_on_the_embedded_default() {
    hostile_requests_are_refused(Backend::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_requests_are_refused_on_postgresql_and_redis() {
    hostile_requests_are_refused(Backend::Servers).await;
}

/// Headers that claim another host or scheme are ignored: no URL in any response comes from them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_names_in_forwarding_headers_reach_no_answer() {
    let stage = Stage::start(Backend::Embedded, |options| options)
        .await
        .expect("needs nothing");
    let host = stage.service.url.trim_start_matches("http://").to_owned();
    for path in [
        "/login",
        "/.well-known/openid-configuration",
        "/account",
        "/openapi.json",
        "/no-such-page",
    ] {
        let mut request = RawRequest::new("GET", path, &host);
        for name in [
            "x-forwarded-host",
            "x-host",
            "x-original-url",
            "x-rewrite-url",
            "x-forwarded-server",
            "referer",
        ] {
            request = request.with(name, "evil.example");
        }
        let request = request
            .with("forwarded", "host=evil.example;proto=https")
            .with("x-forwarded-for", "evil.example, ::gg");
        let response = send(&host, &request.bytes(), false).await;
        assert!(
            response.statuses.len() == 1 && !response.text.contains("evil.example"),
            "{path}: {:?}",
            response.statuses
        );
    }
    assert_eq!(stage.faults(), Vec::<String>::new());
}

/// The judge itself.
#[test]
fn hostile_answers_are_judged() {
    let response = |text: &str| RawResponse {
        statuses: statuses(text.as_bytes()),
        text: text.to_owned(),
    };
    let refused = "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno";
    assert_eq!(fault(&response(refused), Is(400)), None);
    assert!(fault(&response(refused), Is(404)).is_some());
    assert!(fault(&response(&refused.replace("400", "500")), IsOrCut(400)).is_some());
    assert!(fault(&response(""), Is(400)).is_some(), "no answer is none");
    assert!(
        fault(&response(&refused.repeat(2)), Is(400)).is_some(),
        "an answer to a request that was smuggled in"
    );
    assert!(
        fault(
            &response(
                &refused
                    .replace("no", "at src/db.rs")
                    .replace("h: 2", "h: 12")
            ),
            Is(400)
        )
        .is_some()
    );
    assert_eq!(fault(&response(""), Cut), None);
    assert_eq!(fault(&response(""), IsOrCut(431)), None);
}
