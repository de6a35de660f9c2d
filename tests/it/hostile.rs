//! Hostile requests against the running binary, each with the one answer that is right for it: a 4xx with its status, or
//! the answer that tells nothing (C4). Afterwards the service has logged no error, has lost nobody, and serves.
//!
//! Requests are bytes on a socket: a client library would refuse to send most of them.

use std::time::Duration;

use testkit::{browser::Browser, entree::Backend, page::Page};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::outside::{CALLBACK, CLIENT, Stage, fresh_network, token_of};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
/// Over everything that is ever taken.
const MIB: usize = 1024 * 1024;

/// What is right for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    /// One answer of this status, and nothing after it.
    Is(u16),
    /// The same, but a sender that is still sending may find the connection cut before it reads.
    IsOrCut(u16),
    /// Not HTTP/1.1 at all: no answer, or 400.
    Cut,
}

use Right::{Cut, Is, IsOrCut};

/// A request to be.
#[derive(Clone)]
struct Wild {
    line: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Wild {
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

/// A sign-in that is on its way, so that each request is wrong in one thing alone.
struct Way {
    host: String,
    pre: String,
    sign_in_token: String,
    code_token: String,
    resend_token: String,
    link_token: String,
    flow: String,
    link: String,
}

impl Way {
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

    fn get(&self, target: impl AsRef<[u8]>) -> Wild {
        self.bare("GET", target)
            .with("cookie", format!("pre={}", self.pre))
    }

    /// Without cookie.
    fn bare(&self, method: &str, target: impl AsRef<[u8]>) -> Wild {
        Wild::new(method, target, &self.host)
    }

    /// A form of our own page in the browser that began.
    fn form(&self, target: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Wild {
        let request = self
            .bare("POST", target)
            .with("cookie", format!("pre={}", self.pre));
        request
            .with("origin", format!("http://{}", self.host))
            .with("sec-fetch-site", "same-origin")
            .body(FORM, body)
    }

    fn email(&self, address: &str) -> Wild {
        self.form(
            "/login/email",
            format!("email={address}&form_token={}", self.sign_in_token),
        )
    }

    fn code(&self, code: &str) -> Wild {
        self.form(
            "/login/code",
            format!(
                "flow={}&code={code}&form_token={}",
                self.flow, self.code_token
            ),
        )
    }

    fn link(&self, token: &str) -> Wild {
        self.form(
            format!("/login/link/{token}"),
            format!("form_token={}", self.link_token),
        )
    }

    fn token(&self, body: impl AsRef<[u8]>) -> Wild {
        self.bare("POST", "/oauth2/token").body(FORM, body)
    }

    fn exchange(&self, client: &str, code: &str, verifier: &str) -> Wild {
        self.token(format!(
            "grant_type=authorization_code&client_id={client}&code={code}&redirect_uri={CALLBACK}&code_verifier={verifier}"
        ))
    }

    fn authorize(&self, more: &str) -> Wild {
        self.get(format!("/oauth2/authorize?{more}"))
    }

    fn request(&self, body: impl AsRef<[u8]>) -> Wild {
        self.bare("POST", "/api/v1/auth/magic-link/request")
            .body(JSON, body)
    }

    fn consume(&self, body: impl AsRef<[u8]>) -> Wild {
        self.bare("POST", "/api/v1/auth/magic-link/consume")
            .body(JSON, body)
    }
}

type Case = (String, Vec<u8>, Right);

fn case(name: impl Into<String>, request: &Wild, right: Right) -> Case {
    (name.into(), request.bytes(), right)
}

/// Broken HTTP, smuggling, other hosts.
fn framing(way: &Way) -> Vec<Case> {
    let login = || way.bare("GET", "/login");
    let post = |length: &str| {
        way.bare("POST", "/login/email")
            .with("content-type", FORM)
            .with("content-length", length)
    };
    let chunks = |coding: &str, body: &[u8]| {
        way.bare("POST", "/login/email")
            .with("content-type", FORM)
            .with("transfer-encoding", coding)
            .raw(body)
    };
    let smuggled = format!("GET /account HTTP/1.1\r\nHost: {}\r\n\r\n", way.host);
    let raw = |name: &str, bytes: &[u8], right| (name.to_owned(), bytes.to_vec(), right);
    let host = &way.host;
    vec![
        raw("no HTTP", b"GARBAGE\r\n\r\n", Is(400)),
        raw("no target", b"GET\r\n\r\n", Is(400)),
        raw("HTTP/0.9", b"GET /login\r\n\r\n", Is(400)),
        raw("no end of HTTP/1.1", b"GET /login HTTP/1.", Cut),
        raw(
            "TLS on a plain port",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03ABCDEFGHIJKLMNOP",
            Cut,
        ),
        raw(
            "HTTP/2 and then garbage",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            Cut,
        ),
        raw("a NUL first", b"\0\0\0\0\r\n\r\n", Is(400)),
        case("HTTP/9.9", &login().line("GET /login HTTP/9.9"), Is(400)),
        case(
            "HTTP/1.0 without host",
            &login().line("GET /login HTTP/1.0").without("host"),
            Is(400),
        ),
        case(
            "a method in lower case",
            &login().line("get /login HTTP/1.1"),
            Is(405),
        ),
        case(
            "a method nobody knows",
            &login().line("FROBNICATE /login HTTP/1.1"),
            Is(405),
        ),
        case(
            "a method of 2 000 letters",
            &login().line(&format!("{} /login HTTP/1.1", "A".repeat(2000))),
            Is(405),
        ),
        case(
            "a method with a NUL",
            &login().line("G\0T /login HTTP/1.1"),
            Is(400),
        ),
        case("TRACE", &login().line("TRACE /login HTTP/1.1"), Is(405)),
        case(
            "CONNECT",
            &login().line(&format!("CONNECT {host} HTTP/1.1")),
            Is(404),
        ),
        case(
            "CONNECT elsewhere",
            &login().line("CONNECT other.example:443 HTTP/1.1"),
            Is(400),
        ),
        case("OPTIONS *", &login().line("OPTIONS * HTTP/1.1"), Is(404)),
        case(
            "a target without a slash",
            &login().line("GET login HTTP/1.1"),
            Is(400),
        ),
        case(
            "a NUL in the path",
            &login().line("GET /lo\0gin HTTP/1.1"),
            Is(400),
        ),
        case(
            "a blank in the path",
            &login().line("GET /lo gin HTTP/1.1"),
            Is(400),
        ),
        case(
            "a tab in the path",
            &login().line("GET /lo\tgin HTTP/1.1"),
            Is(400),
        ),
        case(
            "bytes beyond UTF-8 in the path",
            &way.bare("GET", b"/login/\xff\xfe"),
            Is(400),
        ),
        case(
            "a control character in a header",
            &login().with("x-a", b"a\x01b"),
            Is(400),
        ),
        case("a NUL in a header", &login().with("x-a", b"a\0b"), Is(400)),
        case(
            "a lone CR in a header",
            &login().with("x-a", b"a\rb"),
            Is(400),
        ),
        case(
            "a header without colon",
            &login().with("x-a\r\nnonsense\r\nx-b", "1"),
            Is(400),
        ),
        case(
            "a blank in a header's name",
            &login().with("x a", "1"),
            Is(400),
        ),
        case(
            "a blank before the colon",
            &login().with("x-a ", "1"),
            Is(400),
        ),
        case(
            "a folded header",
            &login().with("x-a", "1\r\n folded"),
            Is(400),
        ),
        case("a header without name", &login().with("", "1"), Is(400)),
        case(
            "200 headers",
            &(0..200).fold(login(), |request, n| request.with(&format!("x-{n}"), "1")),
            Is(431),
        ),
        case(
            "a header of 20 KiB",
            &login().with("x-a", "a".repeat(20 * 1024)),
            Is(431),
        ),
        case(
            "a header of 1 MiB",
            &login().with("x-a", "a".repeat(MIB)),
            IsOrCut(431),
        ),
        case(
            "a header's name of 70 000 letters",
            &login().with(&"a".repeat(70_000), "1"),
            IsOrCut(431),
        ),
        case(
            "cookies of 20 KiB",
            &login().with("cookie", "a=b; ".repeat(4096)),
            Is(431),
        ),
        case(
            "a cookie of 1 MiB",
            &login().with("cookie", format!("sid={}", "a".repeat(MIB))),
            IsOrCut(431),
        ),
        case(
            "a path of 20 KiB",
            &way.bare("GET", format!("/{}", "a".repeat(20 * 1024))),
            Is(431),
        ),
        case(
            "a path of 1 MiB",
            &way.bare("GET", format!("/{}", "a".repeat(MIB))),
            IsOrCut(431),
        ),
        case(
            "a query of 20 KiB",
            &way.bare(
                "GET",
                format!("/login?login_hint={}", "a".repeat(20 * 1024)),
            ),
            Is(431),
        ),
        case("no host", &login().without("host"), Is(400)),
        case("two hosts", &login().with("host", host), Is(400)),
        case(
            "two different hosts",
            &login().with("host", "other.example"),
            Is(400),
        ),
        case("an empty host", &login().set("host", ""), Is(421)),
        case(
            "another host",
            &login().set("host", "other.example"),
            Is(421),
        ),
        case(
            "our host with another port",
            &login().set("host", "127.0.0.1:1"),
            Is(421),
        ),
        case(
            "a host with a user",
            &login().set("host", format!("a@{host}")),
            Is(421),
        ),
        case(
            "a host with a path",
            &login().set("host", format!("{host}/x")),
            Is(421),
        ),
        case(
            "a host with a final dot",
            &login().set("host", format!("{host}.")),
            Is(421),
        ),
        case(
            "a host list",
            &login().set("host", format!("{host}, other.example")),
            Is(421),
        ),
        case(
            "a host beyond UTF-8",
            &login().set("host", b"\xff\xfe"),
            Is(400),
        ),
        case(
            "an absolute target elsewhere",
            &login().line("GET http://other.example/login HTTP/1.1"),
            Is(400),
        ),
        case(
            "an absolute target elsewhere, and its host",
            &login()
                .line("GET http://other.example/login HTTP/1.1")
                .set("host", "other.example"),
            Is(421),
        ),
        case(
            "an absolute target with a user",
            &login().line(&format!("GET http://a:b@{host}/login HTTP/1.1")),
            Is(400),
        ),
        case(
            "two different lengths",
            &post("0").with("content-length", "5").raw(b"hello"),
            Is(400),
        ),
        case("a list of lengths", &post("5, 6").raw(b"hello"), Is(400)),
        case("a length with a plus", &post("+5").raw(b"hello"), Is(400)),
        case("a negative length", &post("-1"), Is(400)),
        case(
            "a length in hexadecimal",
            &post("0x5").raw(b"hello"),
            Is(400),
        ),
        case(
            "a length beyond 64 bits",
            &post("99999999999999999999999").raw(b"hello"),
            Is(400),
        ),
        case(
            "a length of 2^63",
            &post("9223372036854775808").raw(b"hello"),
            Is(408),
        ),
        case("more length than body", &post("500").raw(b"hello"), Cut),
        // RFC 9112 §6.1: read by its chunks alone, answered as any form without a token, and the connection is closed.
        case(
            "chunked and a length",
            &chunks("chunked", b"0\r\n\r\n").with("content-length", "5"),
            Is(403),
        ),
        case(
            "chunked and a length, with a request behind",
            &chunks("chunked", &[b"0\r\n\r\n", smuggled.as_bytes()].concat())
                .with("content-length", (5 + smuggled.len()).to_string())
                .without("connection"),
            Is(403),
        ),
        case(
            "chunked, then more",
            &chunks("chunked, identity", b"0\r\n\r\n"),
            Is(400),
        ),
        case(
            "a coding nobody knows",
            &chunks("xchunked", b"0\r\n\r\n"),
            Is(400),
        ),
        case(
            "chunked twice",
            &chunks("chunked", b"0\r\n\r\n").with("transfer-encoding", "identity"),
            Is(400),
        ),
        case(
            "chunked behind a vertical tab",
            &chunks("\u{b}chunked", b"0\r\n\r\n"),
            Is(400),
        ),
        case(
            "chunked in HTTP/1.0",
            &chunks("chunked", b"0\r\n\r\n").line("POST /login/email HTTP/1.0"),
            Is(400),
        ),
        case(
            "a chunk of no number",
            &chunks("chunked", b"zz\r\nhello\r\n0\r\n\r\n"),
            IsOrCut(400),
        ),
        case(
            "a chunk beyond 64 bits",
            &chunks("chunked", b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
            IsOrCut(400),
        ),
        case(
            "a negative chunk",
            &chunks("chunked", b"-5\r\nhello\r\n0\r\n\r\n"),
            IsOrCut(400),
        ),
        case(
            "a chunk longer than it says",
            &chunks("chunked", b"2\r\nhello\r\n0\r\n\r\n"),
            IsOrCut(400),
        ),
        case(
            "a chunk that ends early",
            &chunks("chunked", b"500\r\nhello"),
            Cut,
        ),
        case(
            "a chunk's extension of 40 KiB",
            &chunks(
                "chunked",
                format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(40 * 1024)).as_bytes(),
            ),
            IsOrCut(400),
        ),
        case(
            "a request in the body of a GET",
            &way.bare("GET", "/no-such-page")
                .with("content-length", smuggled.len().to_string())
                .raw(smuggled.as_bytes()),
            Is(404),
        ),
    ]
}

/// Paths, escapes, methods.
fn paths(way: &Way) -> Vec<Case> {
    let mut cases: Vec<Case> = [
        "/no-such-page",
        "//login",
        "/login/",
        "/LOGIN",
        "/./login",
        "/login/../account",
        "/login/..%2faccount",
        "/login;x=1",
        "/login%2flink/x",
        "/login%00",
        "/login%20",
        "/login/link/",
        "/login/link/a/b",
        "/login/link/a%2fb/c",
        "/%ef%bd%8cogin",
        "/assets/..%2f..%2fetc%2fpasswd",
        "/assets/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/.env",
        "/.git/config",
        "/metrics",
        "/readyz",
        "/api/admin/v1/users",
        "/dev/mailbox",
        "/dev/mailbox.json?to=a@example.test",
        "/api",
        "/api/v1",
        "/api/v3/logins",
        "/api/v2/logins/00000000-0000-0000-0000-000000000000",
        "/.well-known/nonsense",
        "/oauth2/nonsense",
    ]
    .into_iter()
    .map(|path| case(format!("GET {path}"), &way.get(path), Is(404)))
    .collect();
    for (method, path) in [
        ("POST", "/login"),
        ("PUT", "/login/email"),
        ("GET", "/login/email"),
        ("GET", "/login/code"),
        ("DELETE", "/login/sent"),
        ("HEAD", "/login/link/x"),
        ("PUT", "/login/link/x"),
        ("OPTIONS", "/login/link/x"),
        ("HEAD", "/login/continue"),
        ("PATCH", "/account"),
        ("GET", "/account/sign-out"),
        ("GET", "/account/sign-out-everywhere"),
        ("HEAD", "/oauth2/authorize"),
        ("PUT", "/oauth2/authorize"),
        ("GET", "/oauth2/token"),
        ("DELETE", "/oauth2/token"),
        ("GET", "/api/v1/auth/magic-link/request"),
        ("PUT", "/api/v1/auth/magic-link/consume"),
        ("POST", "/.well-known/jwks.json"),
    ] {
        cases.push(case(
            format!("{method} {path}"),
            &way.bare(method, path),
            Is(405),
        ));
    }
    cases
}

/// Queries of pages and of authorize.
fn queries(way: &Way) -> Vec<Case> {
    let nil = "00000000-0000-0000-0000-000000000000";
    let good = format!("client_id={CLIENT}&redirect_uri={CALLBACK}&response_type=code");
    let long = "a".repeat(8000);
    let mut cases = Vec::new();
    for (target, right) in [
        ("/login/sent".to_owned(), Is(400)),
        ("/login/sent?flow=".to_owned(), Is(400)),
        ("/login/sent?flow=x".to_owned(), Is(410)),
        (format!("/login/sent?flow={nil}"), Is(410)),
        (format!("/login/sent?flow={0}&flow={0}", way.flow), Is(400)),
        ("/login/sent?flow=%ff".to_owned(), Is(400)),
        ("/login/sent?flow=%".to_owned(), Is(400)),
        ("/login/sent?flow=%00".to_owned(), Is(400)),
        (format!("/login/sent?flow={}%00", way.flow), Is(400)),
        (format!("/login/sent?flow={long}"), Is(400)),
        (format!("/login/sent/state?flow={nil}"), Is(404)),
        ("/login/sent/state".to_owned(), Is(400)),
        (format!("/login/continue?flow={nil}"), Is(410)),
        ("/login/continue?flow=%f0%9f%98%80".to_owned(), Is(410)),
        ("/login/restart".to_owned(), Is(400)),
        ("/login?txn=%zz".to_owned(), Is(400)),
        ("/login?txn=x".to_owned(), Is(410)),
        (format!("/login?txn={}", "A".repeat(43)), Is(410)),
        (format!("/login?txn={}", "A".repeat(44)), Is(400)),
        ("/login?txn=a&txn=b".to_owned(), Is(400)),
        (format!("/login?login_hint={}", "a".repeat(255)), Is(400)),
        (format!("/login?ui_locales={}", "a".repeat(513)), Is(400)),
        (format!("/login?{}", "a=1&".repeat(300)), Is(400)),
        ("/oauth2/authorize".to_owned(), Is(400)),
        ("/oauth2/authorize?client_id=nobody".to_owned(), Is(400)),
        (
            format!("/oauth2/authorize?client_id={}", "a".repeat(256)),
            Is(400),
        ),
        (format!("/oauth2/authorize?client_id={long}"), Is(400)),
        ("/oauth2/authorize?client_id=%00".to_owned(), Is(400)),
        (format!("/oauth2/authorize?client_id={CLIENT}"), Is(400)),
        (
            format!("/oauth2/authorize?client_id={CLIENT}&{good}"),
            Is(400),
        ),
        (
            format!("/oauth2/authorize?{good}&redirect_uri={CALLBACK}"),
            Is(400),
        ),
        (
            format!("/oauth2/authorize?client_id={CLIENT}&redirect_uri=https://evil.example/"),
            Is(400),
        ),
        (
            format!("/oauth2/authorize?client_id={CLIENT}&redirect_uri={CALLBACK}/../evil"),
            Is(400),
        ),
        (
            format!("/oauth2/authorize?client_id={CLIENT}&redirect_uri={CALLBACK}%00"),
            Is(400),
        ),
        (
            format!(
                "/oauth2/authorize?client_id={CLIENT}&redirect_uri=http://a@127.0.0.1:7777/callback"
            ),
            Is(400),
        ),
        (
            format!("/oauth2/authorize?client_id={CLIENT}&redirect_uri=javascript:alert(1)"),
            Is(400),
        ),
        (
            format!("/oauth2/authorize?client_id={CLIENT}&redirect_uri={long}"),
            Is(400),
        ),
        ("/oauth2/authorize/resume".to_owned(), Is(400)),
        (
            format!("/oauth2/authorize/resume?txn={}", "A".repeat(43)),
            Is(410),
        ),
        (format!("/oauth2/authorize/resume?txn={long}"), Is(400)),
    ] {
        let short: String = target.chars().take(70).collect();
        cases.push(case(format!("GET {short}"), &way.get(&target), right));
    }
    // With a place to answer at, the client hears of it there (RFC 6749 §4.1.2.1).
    for (what, more) in [
        ("a state of 1 byte alone", "&state=a".to_owned()),
        (
            "a state of 2 049 bytes",
            format!("&state={}", "a".repeat(2049)),
        ),
        ("a state twice", "&state=a&state=b".to_owned()),
        ("a state with a NUL", "&state=%00".to_owned()),
        ("a state beyond UTF-8", "&state=%ff".to_owned()),
        ("a nonce of 8 000 bytes", format!("&nonce={long}")),
        (
            "a challenge of 8 000 bytes",
            format!("&code_challenge={long}"),
        ),
        (
            "a max_age of a million digits' kind",
            "&max_age=99999999999999".to_owned(),
        ),
    ] {
        cases.push(case(
            what,
            &way.authorize(&format!("{good}{more}")),
            Is(303),
        ));
    }
    cases
}

/// Forms of the pages.
fn forms(way: &Way) -> Vec<Case> {
    let mut cases = Vec::new();
    let token = &way.sign_in_token;
    for (what, address) in [
        ("an empty address", String::new()),
        ("a word", "a".to_owned()),
        ("no domain", "a%40".to_owned()),
        ("no local part", "%40example.test".to_owned()),
        ("a name without a dot", "a%40localhost".to_owned()),
        ("two signs", "a%40b%40example.test".to_owned()),
        ("a list", "a%40example.test,b%40example.test".to_owned()),
        (
            "a name and an address",
            "A+%3Ca%40example.test%3E".to_owned(),
        ),
        ("a quoted local part", "%22a+b%22%40example.test".to_owned()),
        ("an IP literal", "a%40%5B127.0.0.1%5D".to_owned()),
        (
            "a header injection",
            "a%40example.test%0d%0aBcc:b%40example.test".to_owned(),
        ),
        ("a lone line feed", "a%0a%40example.test".to_owned()),
        (
            "a right-to-left override",
            "a%e2%80%aeb%40example.test".to_owned(),
        ),
        (
            "a zero-width space",
            "a%e2%80%8bb%40example.test".to_owned(),
        ),
        ("a Kelvin sign", "%e2%84%aa%40example.test".to_owned()),
        (
            "a Cyrillic look-alike",
            "p%d0%b0ul%40example.test".to_owned(),
        ),
        (
            "a local part of 65",
            format!("{}%40example.test", "a".repeat(65)),
        ),
        (
            "an address of 255",
            format!("a%40{}.test", "a.".repeat(125)),
        ),
        ("an address of 2 048", "a".repeat(2048)),
        (
            "a thousand combining marks",
            format!("a{}%40example.test", "%cc%81".repeat(600)),
        ),
        (
            "an XSS",
            "%3Cscript%3Ealert(1)%3C%2Fscript%3E%40example.test".to_owned(),
        ),
        (
            "an SQL injection",
            "a'%20OR%201=1--%40example.test".to_owned(),
        ),
    ] {
        cases.push(case(
            format!("as address: {what}"),
            &way.email(&address),
            Is(422),
        ));
    }
    for (what, address) in [
        ("a NUL", "a%00%40example.test".to_owned()),
        ("beyond UTF-8", "%ff%fe%40example.test".to_owned()),
        ("a broken escape", "a%4%40example.test".to_owned()),
        ("over-long UTF-8", "a%c0%80%40example.test".to_owned()),
        (
            "a surrogate in UTF-8",
            "a%ed%a0%80%40example.test".to_owned(),
        ),
        ("2 049 bytes", "a".repeat(2049)),
        ("60 KiB", "a".repeat(60 * 1024)),
    ] {
        cases.push(case(
            format!("as address: {what}"),
            &way.email(&address),
            Is(400),
        ));
    }
    cases.push(case(
        "as address: 1 MiB",
        &way.email(&"a".repeat(MIB)),
        IsOrCut(413),
    ));
    let body = format!("email=a%40example.test&form_token={token}");
    let good = || way.form("/login/email", &body);
    for (what, request, right) in [
        (
            "no form token",
            way.form("/login/email", "email=a%40example.test"),
            Is(403),
        ),
        ("an empty body", way.form("/login/email", ""), Is(403)),
        (
            "another form's token",
            way.form(
                "/login/email",
                format!("email=a%40b.test&form_token={}", way.code_token),
            ),
            Is(403),
        ),
        (
            "a form token of 1 byte",
            way.form("/login/email", "email=a%40b.test&form_token=a"),
            Is(403),
        ),
        (
            "a form token of 2 048 bytes",
            way.form(
                "/login/email",
                format!("email=a%40b.test&form_token={}", "a".repeat(2048)),
            ),
            Is(403),
        ),
        (
            "a form token of 60 KiB",
            way.form(
                "/login/email",
                format!("email=a%40b.test&form_token={}", "a".repeat(60 * 1024)),
            ),
            Is(400),
        ),
        (
            "the token twice",
            way.form("/login/email", format!("{body}&form_token={token}")),
            Is(400),
        ),
        (
            "the address twice",
            way.form("/login/email", format!("{body}&email=b%40example.test")),
            Is(400),
        ),
        (
            "remember twice",
            way.form("/login/email", format!("{body}&remember=1&remember=1")),
            Is(400),
        ),
        (
            "300 fields",
            way.form("/login/email", format!("{body}{}", "&a=1".repeat(300))),
            Is(400),
        ),
        ("JSON", good().set("content-type", JSON), Is(415)),
        (
            "multipart",
            good().set("content-type", "multipart/form-data; boundary=x"),
            Is(415),
        ),
        ("no content type", good().without("content-type"), Is(415)),
        (
            "a content type beyond ASCII",
            good().set("content-type", b"\xff"),
            Is(415),
        ),
        ("no cookie", good().without("cookie"), Is(400)),
        ("an empty cookie", good().set("cookie", ""), Is(400)),
        ("a cookie of 1 byte", good().set("cookie", "pre=a"), Is(400)),
        (
            "a cookie of 44 bytes",
            good().set("cookie", format!("pre={}a", way.pre)),
            Is(400),
        ),
        (
            "a cookie of 8 000 bytes",
            good().set("cookie", format!("pre={}", "a".repeat(8000))),
            Is(400),
        ),
        (
            "a cookie beyond UTF-8",
            good().set("cookie", b"pre=\xff\xfe"),
            Is(400),
        ),
        (
            "a quoted cookie",
            good().set("cookie", format!("pre=\"{}\"", way.pre)),
            Is(400),
        ),
        (
            "a forged cookie",
            good().set("cookie", format!("pre={}", "A".repeat(43))),
            Is(403),
        ),
        (
            "two different cookies",
            good().set("cookie", format!("pre={}; pre={}", way.pre, "A".repeat(43))),
            Is(400),
        ),
        (
            "two cookie headers",
            good().with("cookie", format!("pre={}", "A".repeat(43))),
            Is(400),
        ),
        (
            "two different session cookies",
            good().set("cookie", format!("pre={}; sid=a; sid=b", way.pre)),
            Is(400),
        ),
        (
            "two different device cookies",
            good().set("cookie", format!("pre={}; dev=a; dev=b", way.pre)),
            Is(400),
        ),
        (
            "another origin",
            good().set("origin", "https://evil.example"),
            Is(403),
        ),
        ("a null origin", good().set("origin", "null"), Is(403)),
        (
            "two origins",
            good().with("origin", "https://evil.example"),
            Is(403),
        ),
        (
            "our origin as a prefix",
            good().set("origin", format!("http://{}.evil.example", way.host)),
            Is(403),
        ),
        (
            "an origin beyond UTF-8",
            good().set("origin", b"\xff"),
            Is(403),
        ),
        (
            "another site",
            good().set("sec-fetch-site", "cross-site"),
            Is(403),
        ),
        (
            "a neighbouring site",
            good().set("sec-fetch-site", "same-site"),
            Is(403),
        ),
        (
            "neither origin nor site",
            good().without("origin").without("sec-fetch-site"),
            Is(403),
        ),
        (
            "an upstream handle of nobody",
            way.form("/login/email", format!("{body}&txn={}", "A".repeat(43))),
            Is(403),
        ),
        (
            "a body of 1 MiB",
            way.form("/login/email", "a".repeat(MIB)),
            IsOrCut(413),
        ),
        (
            "a chunked body of 1 MiB",
            way.form("/login/email", "")
                .without("content-length")
                .chunked(FORM, &vec![b'a'; MIB]),
            IsOrCut(413),
        ),
        (
            "a chunked body of 65 537 bytes",
            way.form("/login/email", "")
                .without("content-length")
                .chunked(FORM, &[b'a'; 65_537]),
            Is(413),
        ),
        (
            "a resend for no flow",
            way.form(
                "/login/email",
                format!("flow=x&form_token={}", way.resend_token),
            ),
            Is(410),
        ),
        (
            "a resend with another form's token",
            way.form(
                "/login/email",
                format!("flow={}&form_token={token}", way.flow),
            ),
            Is(403),
        ),
        (
            "a resend too early",
            way.form(
                "/login/email",
                format!("flow={}&form_token={}", way.flow, way.resend_token),
            ),
            Is(429),
        ),
    ] {
        cases.push(case(format!("sign-in form: {what}"), &request, right));
    }
    // Whoever is not signed in is signed out already: 303 to the page that says so.
    for (what, request, right) in [
        (
            "nobody signed in",
            way.form("/account/sign-out", "form_token=x"),
            Is(303),
        ),
        (
            "a forged session",
            way.form("/account/sign-out", "form_token=x")
                .with("cookie", format!("sid={}", "A".repeat(43))),
            Is(303),
        ),
        (
            "a session of 8 000 bytes",
            way.form("/account/sign-out", "")
                .with("cookie", format!("sid={}", "a".repeat(8000))),
            Is(303),
        ),
        (
            "two sessions",
            way.form("/account/sign-out", "")
                .with("cookie", "sid=a; sid=b"),
            Is(400),
        ),
        (
            "everywhere",
            way.form("/account/sign-out-everywhere", "form_token="),
            Is(303),
        ),
        (
            "a session that is no id",
            way.form("/account/sessions/%00/end", "form_token=x"),
            Is(404),
        ),
        (
            "a session's id of 2 000 bytes",
            way.form(format!("/account/sessions/{}/end", "a".repeat(2000)), ""),
            Is(404),
        ),
    ] {
        cases.push(case(format!("account: {what}"), &request, right));
    }
    cases
}

/// Over-long and misshapen secrets, from one byte to a mebibyte.
fn secrets(way: &Way) -> Vec<Case> {
    let mut cases = Vec::new();
    for length in [1, 42, 43, 44, 64, 255, 256, 1024, 4096, 12_000] {
        let text = "A".repeat(length);
        cases.push(case(
            format!("a link of {length}, used"),
            &way.link(&text),
            Is(403),
        ));
        // C4: whoever asks is told nothing; so there is no 4xx to tell by.
        cases.push(case(
            format!("a link of {length}, opened"),
            &way.get(format!("/login/link/{text}")),
            Is(200),
        ));
    }
    for length in [20_000, MIB] {
        cases.push(case(
            format!("a link of {length}, used"),
            &way.link(&"A".repeat(length)),
            IsOrCut(431),
        ));
        cases.push(case(
            format!("a link of {length}, opened"),
            &way.get(format!("/login/link/{}", "A".repeat(length))),
            IsOrCut(431),
        ));
    }
    for (what, token, right) in [
        ("with a NUL", format!("{}%00", way.link), Is(403)),
        ("with a blank", format!("{}%20", way.link), Is(403)),
        ("with padding", format!("{}=", way.link), Is(403)),
        ("cut", way.link[..42].to_owned(), Is(403)),
        ("in a broken escape", "%zz".to_owned(), Is(403)),
        (
            "with a full-width letter",
            format!("{}%ef%bc%a1", way.link),
            Is(403),
        ),
    ] {
        cases.push(case(format!("a link {what}"), &way.link(&token), right));
    }
    cases.push(case("a link beyond UTF-8", &way.link("%ff%fe"), Is(400)));
    cases.push(case(
        "a link without form token",
        &way.form(format!("/login/link/{}", way.link), ""),
        Is(403),
    ));
    cases.push(case(
        "a link as JSON",
        &way.link(&way.link).set("content-type", JSON),
        Is(415),
    ));
    cases.push(case(
        "a link from elsewhere",
        &way.link(&way.link).set("origin", "https://evil.example"),
        Is(403),
    ));
    let framed = way
        .link(&way.link)
        .set("origin", "null")
        .set("sec-fetch-site", "cross-site");
    cases.push(case("a link in a sandboxed frame", &framed, Is(403)));
    cases.push(case(
        "a link without cookie",
        &way.link(&way.link).without("cookie"),
        Is(400),
    ));
    for length in [1, 7, 9, 64, 65, 255, 1024, 2048] {
        cases.push(case(
            format!("a code of {length}"),
            &way.code(&"1".repeat(length)),
            Is(422),
        ));
    }
    for length in [2049, 4096, 60_000] {
        cases.push(case(
            format!("a code of {length}"),
            &way.code(&"1".repeat(length)),
            Is(400),
        ));
    }
    cases.push(case(
        "a code of 1 MiB",
        &way.code(&"1".repeat(MIB)),
        IsOrCut(413),
    ));
    for (what, code, right) in [
        ("empty", "", Is(422)),
        ("of letters", "abcdefgh", Is(422)),
        ("negative", "-12345678901", Is(422)),
        (
            "of circled digits",
            "%e2%91%a0%e2%91%a1%e2%91%a2%e2%91%a3%e2%91%a4%e2%91%a5%e2%91%a6%e2%91%a7",
            Is(422),
        ),
        ("with a NUL", "1234567%00", Is(400)),
        ("beyond UTF-8", "1234567%ff", Is(400)),
        ("twice", "12345678&code=12345678", Is(400)),
        ("as a list", "12345678&code[]=1&x", Is(422)),
    ] {
        cases.push(case(format!("a code {what}"), &way.code(code), right));
    }
    let flowless = format!("flow=x&code=12345678&form_token={}", way.code_token);
    cases.push(case(
        "a code for no flow",
        &way.form("/login/code", flowless),
        Is(410),
    ));
    let other = format!(
        "flow=00000000-0000-0000-0000-000000000000&code=12345678&form_token={}",
        way.code_token
    );
    cases.push(case(
        "a code for another flow",
        &way.form("/login/code", other),
        Is(403),
    ));
    cases.push(case(
        "a code without cookie",
        &way.code("12345678").without("cookie"),
        Is(400),
    ));
    for length in [1, 42, 43, 44, 128, 255, 256, 1024, 4096, 4097, 60_000] {
        let text = "a".repeat(length);
        let right = if length <= 255 { 401 } else { 400 };
        cases.push(case(
            format!("a client_id of {length}"),
            &way.exchange(&text, "a", "a"),
            Is(right),
        ));
        cases.push(case(
            format!("an authorization code of {length}"),
            &way.exchange(CLIENT, &text, "a"),
            Is(400),
        ));
        cases.push(case(
            format!("a verifier of {length}"),
            &way.exchange(CLIENT, &"A".repeat(43), &text),
            Is(400),
        ));
    }
    for field in ["client_id", "code", "code_verifier", "state"] {
        let body = format!("grant_type=authorization_code&{field}={}", "a".repeat(MIB));
        cases.push(case(
            format!("a {field} of 1 MiB"),
            &way.token(body),
            IsOrCut(413),
        ));
    }
    cases
}

/// The token endpoint.
fn tokens(way: &Way) -> Vec<Case> {
    let good = format!(
        "grant_type=authorization_code&client_id={CLIENT}&code={}",
        "A".repeat(43)
    );
    let mut cases = Vec::new();
    for (what, request, right) in [
        ("an empty body", way.token(""), Is(400)),
        (
            "no grant",
            way.token(format!("client_id={CLIENT}")),
            Is(400),
        ),
        (
            "a grant nobody knows",
            way.token(format!("client_id={CLIENT}&grant_type=password")),
            Is(400),
        ),
        (
            "no client",
            way.token("grant_type=authorization_code&code=a"),
            Is(400),
        ),
        (
            "no code",
            way.token(format!("grant_type=authorization_code&client_id={CLIENT}")),
            Is(400),
        ),
        (
            "a client nobody knows",
            way.exchange("nobody", "a", "a"),
            Is(401),
        ),
        (
            "the client twice",
            way.token(format!("{good}&client_id={CLIENT}")),
            Is(400),
        ),
        (
            "the code twice",
            way.token(format!("{good}&code=b")),
            Is(400),
        ),
        (
            "a NUL",
            way.token(format!("{good}&code_verifier=%00")),
            Is(400),
        ),
        (
            "beyond UTF-8",
            way.token(format!("{good}&redirect_uri=%ff")),
            Is(400),
        ),
        (
            "raw bytes beyond UTF-8",
            way.token([good.as_bytes(), b"&redirect_uri=\xff\xfe"].concat()),
            Is(400),
        ),
        ("JSON", way.token("{}").set("content-type", JSON), Is(400)),
        (
            "no content type",
            way.token(&good).without("content-type"),
            Is(400),
        ),
        (
            "in the query",
            way.bare("POST", format!("/oauth2/token?{good}"))
                .body(FORM, ""),
            Is(400),
        ),
        (
            "a secret it has not",
            way.token(format!("{good}&client_secret=a")),
            Is(401),
        ),
        (
            "Basic of nonsense",
            way.token(&good).with("authorization", "Basic ???"),
            Is(401),
        ),
        (
            "Basic of 8 000 bytes",
            way.token(&good)
                .with("authorization", format!("Basic {}", "A".repeat(8000))),
            Is(401),
        ),
        (
            "authorization beyond UTF-8",
            way.token(&good).with("authorization", b"\xff\xfe"),
            Is(401),
        ),
        (
            "300 parameters",
            way.token(format!("{good}{}", "&a=1".repeat(300))),
            Is(400),
        ),
        (
            "a chunked body of 100 KB",
            way.token("")
                .without("content-length")
                .chunked(FORM, &[b'a'; 100_000]),
            Is(413),
        ),
    ] {
        cases.push(case(format!("token: {what}"), &request, right));
    }
    let posted = |body: String| way.bare("POST", "/oauth2/authorize").body(FORM, body);
    cases.push(case(
        "authorize: JSON",
        &posted("{}".to_owned()).set("content-type", JSON),
        Is(415),
    ));
    cases.push(case(
        "authorize: a request of 9 000 bytes",
        &posted(format!("state={}", "a".repeat(9000))),
        Is(400),
    ));
    cases.push(case(
        "authorize: 1 MiB",
        &posted("a".repeat(MIB)),
        IsOrCut(413),
    ));
    cases
}

/// The JSON API.
fn api(way: &Way) -> Vec<Case> {
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let verifier = "v".repeat(43);
    let ask = |client: &str, email: &str, challenge: &str, method: &str| {
        format!(
            r#"{{"client_id":"{client}","email":"{email}","code_challenge":"{challenge}","code_challenge_method":"{method}"}}"#
        )
    };
    let good = ask(CLIENT, "a@example.test", challenge, "S256");
    let with = |more: &str| format!("{},{more}}}", good.trim_end_matches('}'));
    let mut cases = Vec::new();
    for (what, body) in [
        ("nothing", String::new()),
        ("null", "null".to_owned()),
        ("a list", "[]".to_owned()),
        ("a number", "1e999".to_owned()),
        ("an empty object", "{}".to_owned()),
        ("half an object", "{".to_owned()),
        ("half a word", good[..40].to_owned()),
        ("words behind", format!("{good} x")),
        ("a comma too many", good.replace("\"}", "\",}")),
        ("a comment", format!("/* */{good}")),
        ("single quotes", good.replace('"', "'")),
        ("a byte order mark", format!("\u{feff}{good}")),
        ("a lone surrogate", with(r#""ui_locales":"\ud800""#)),
        ("a raw control character", with("\"ui_locales\":\"\n\"")),
        ("an unknown field", with(r#""more":1"#)),
        ("a prototype", with(r#""__proto__":{"admin":true}"#)),
        (
            "a number for a word",
            good.replace("\"a@example.test\"", "1"),
        ),
        (
            "a list for a word",
            good.replace("\"a@example.test\"", "[\"a@example.test\"]"),
        ),
        (
            "null for a word",
            good.replace("\"a@example.test\"", "null"),
        ),
        (
            "a field missing",
            good.replace("\"email\":\"a@example.test\",", ""),
        ),
        ("10 000 lists deep", "[".repeat(10_000)),
        ("10 000 objects deep", "{\"a\":".repeat(10_000)),
        (
            "deep in a field",
            with(&format!(
                "\"ui_locales\":{}{}",
                "[".repeat(10_000),
                "]".repeat(10_000)
            )),
        ),
        (
            "an empty client",
            ask("", "a@example.test", challenge, "S256"),
        ),
        (
            "a client nobody knows",
            ask("nobody", "a@example.test", challenge, "S256"),
        ),
        (
            "a client of 256",
            ask(&"a".repeat(256), "a@example.test", challenge, "S256"),
        ),
        (
            "a client of 60 000",
            ask(&"a".repeat(60_000), "a@example.test", challenge, "S256"),
        ),
        (
            "a client with a NUL",
            ask("a\\u0000", "a@example.test", challenge, "S256"),
        ),
        ("an empty address", ask(CLIENT, "", challenge, "S256")),
        (
            "an address of 1 017",
            ask(CLIENT, &"a".repeat(1017), challenge, "S256"),
        ),
        (
            "an address with a NUL",
            ask(CLIENT, "a\\u0000@example.test", challenge, "S256"),
        ),
        (
            "an address with a line feed",
            ask(CLIENT, "a\\n@example.test", challenge, "S256"),
        ),
        (
            "an address of marks",
            ask(
                CLIENT,
                &format!("a{}@example.test", "\\u0301".repeat(500)),
                challenge,
                "S256",
            ),
        ),
        (
            "a challenge of 42",
            ask(CLIENT, "a@example.test", &challenge[..42], "S256"),
        ),
        (
            "a challenge of 44",
            ask(CLIENT, "a@example.test", &format!("{challenge}A"), "S256"),
        ),
        (
            "a challenge of 60 000",
            ask(CLIENT, "a@example.test", &"A".repeat(60_000), "S256"),
        ),
        (
            "a challenge of the other alphabet",
            ask(
                CLIENT,
                "a@example.test",
                &challenge.replace('-', "+"),
                "S256",
            ),
        ),
        ("plain", ask(CLIENT, "a@example.test", challenge, "plain")),
        (
            "locales of 513",
            with(&format!("\"ui_locales\":\"{}\"", "a".repeat(513))),
        ),
    ] {
        cases.push(case(
            format!("API request: {what}"),
            &way.request(body),
            Is(400),
        ));
    }
    // RFC 8259 §4 leaves it open which of two counts; nothing between us and the sender reads the other.
    let twice = with(r#""email":"b@example.test""#);
    cases.push(case(
        "API request: a key twice",
        &way.request(twice),
        Is(202),
    ));
    cases.push(case(
        "API request: beyond UTF-8",
        &way.request(b"{\"client_id\":\"\xff\xfe\"}"),
        Is(400),
    ));
    let wide: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    cases.push(case("API request: UTF-16", &way.request(wide), Is(400)));
    cases.push(case(
        "API request: 1 MiB",
        &way.request(vec![b' '; MIB]),
        IsOrCut(413),
    ));
    let chunked = way
        .bare("POST", "/api/v1/auth/magic-link/request")
        .chunked(JSON, &[b' '; 70_000]);
    cases.push(case(
        "API request: 70 000 bytes in chunks",
        &chunked,
        Is(413),
    ));
    for (what, kind) in [
        ("plain text", "text/plain"),
        ("a form", FORM),
        ("XML", "application/xml"),
    ] {
        cases.push(case(
            format!("API request: {what}"),
            &way.request(&good).set("content-type", kind),
            Is(415),
        ));
    }
    cases.push(case(
        "API request: no content type",
        &way.request(&good).without("content-type"),
        Is(415),
    ));
    let use_it = |flow: &str, verifier: &str, more: &str| {
        way.consume(format!(
            r#"{{"flow_id":"{flow}","code_verifier":"{verifier}"{more}}}"#
        ))
    };
    let code = r#","code":"12345678""#;
    for length in [0, 1, 42, 129, 256, 4096, 60_000] {
        cases.push(case(
            format!("API: a verifier of {length}"),
            &use_it(&way.flow, &"v".repeat(length), code),
            Is(400),
        ));
    }
    for length in [0, 1, 35, 37, 1024, 60_000] {
        cases.push(case(
            format!("API: a flow of {length}"),
            &use_it(&"0".repeat(length), &verifier, code),
            Is(400),
        ));
    }
    for length in [0, 1, 42, 44, 64, 65, 1024, 60_000] {
        let link = format!(r#","link_token":"{}""#, "A".repeat(length));
        cases.push(case(
            format!("API: a link of {length}"),
            &use_it(&way.flow, &verifier, &link),
            Is(400),
        ));
        let code = format!(r#","code":"{}""#, "1".repeat(length));
        cases.push(case(
            format!("API: a code of {length}"),
            &use_it(&way.flow, &verifier, &code),
            Is(400),
        ));
    }
    for (what, request) in [
        (
            "the browser's flow with another's verifier",
            use_it(&way.flow, &verifier, code),
        ),
        (
            "a code and a link",
            use_it(
                &way.flow,
                &verifier,
                &format!(r#"{code},"link_token":"{}""#, way.link),
            ),
        ),
        ("neither code nor link", use_it(&way.flow, &verifier, "")),
        (
            "the browser's link without its cookie",
            use_it(
                &way.flow,
                &verifier,
                &format!(r#","link_token":"{}""#, way.link),
            ),
        ),
        (
            "a scope of 1 025",
            use_it(
                &way.flow,
                &verifier,
                &format!(r#"{code},"scope":"{}""#, "a".repeat(1025)),
            ),
        ),
        (
            "a nonce of 385",
            use_it(
                &way.flow,
                &verifier,
                &format!(r#"{code},"nonce":"{}""#, "a".repeat(385)),
            ),
        ),
        (
            "a verifier with a NUL",
            use_it(&way.flow, &format!("{verifier}\\u0000"), code),
        ),
        (
            "a code with a NUL",
            use_it(&way.flow, &verifier, r#","code":"1234567\u0000""#),
        ),
        (
            "a code as a number",
            use_it(&way.flow, &verifier, r#","code":12345678"#),
        ),
    ] {
        cases.push(case(format!("API: {what}"), &request, Is(400)));
    }
    for field in [
        "code_verifier",
        "link_token",
        "code",
        "flow_id",
        "client_id",
    ] {
        let body = format!(r#"{{"{field}":"{}"}}"#, "a".repeat(MIB));
        cases.push(case(
            format!("API: a {field} of 1 MiB"),
            &way.consume(body),
            IsOrCut(413),
        ));
    }
    let second = way.bare("POST", "/api/v2/logins").body(JSON, &good);
    cases.push(case(
        "API: the second version, which is closed",
        &second,
        Is(404),
    ));
    cases
}

/// What came back: the status of each answer, in order; the rest of the bytes; whether the connection was closed.
struct UpstreamLogin {
    statuses: Vec<u16>,
    text: String,
}

/// Sends bytes and reads to the end, both at once, and gives up after a while of silence. `ends`: says that nothing more
/// will come, which the service takes as gone.
async fn send(host: &str, bytes: &[u8], ends: bool) -> UpstreamLogin {
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
    UpstreamLogin {
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
fn fault(came: &UpstreamLogin, right: Right) -> Option<String> {
    let good = match right {
        Is(status) => came.statuses == [status],
        IsOrCut(status) => came.statuses == [status] || came.statuses.is_empty(),
        Cut => came.statuses.is_empty() || came.statuses == [400],
    };
    // A server's own name, a path of ours, the words of a library: none of that belongs into an answer.
    let told = [
        "panicked",
        "src/",
        "sqlx",
        "stack backtrace",
        "poem",
        "serde",
    ]
    .into_iter()
    .find(|word| came.text.contains(word));
    match (good, told) {
        (false, _) => Some(format!("answered {:?}", came.statuses)),
        (true, Some(word)) => Some(format!("tells of {word}: {:.200}", came.text)),
        (true, None) => None,
    }
}

async fn hostile_requests_are_refused(backend: Backend) {
    let Some(stage) = Stage::start(backend, |options| options).await else {
        return;
    };
    let way = Way::begin(&stage, "hostile@example.test").await;
    let families = [framing, paths, queries, forms, secrets, tokens, api];
    let cases: Vec<Case> = families
        .into_iter()
        .flat_map(|family| family(&way))
        .collect();
    let refusals = cases
        .iter()
        .filter(|(_, _, right)| matches!(right, Is(400..=499) | IsOrCut(_)))
        .count();
    let mut wrong = Vec::new();
    let mut heard = 0;
    // Eight at a time: one that waits for its time-out does not hold up the others.
    for eight in cases.chunks(8) {
        let all = eight
            .iter()
            .map(|(_, bytes, right)| send(&way.host, bytes, *right == Cut));
        for ((name, _, right), came) in eight.iter().zip(futures_util::future::join_all(all).await)
        {
            heard += came.statuses.len();
            wrong.extend(fault(&came, *right).map(|fault| format!("{name}: {right:?}, {fault}")));
        }
    }
    println!(
        "{backend:?}: {} requests, {refusals} of them with one right 4xx, {heard} answers",
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
    unharmed(&stage).await;
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

/// Nobody was lost: no error in the log, every copy lives and is ready, and people sign in.
async fn unharmed(stage: &Stage) {
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

/// Headers that claim another name or scheme are believed by nobody: no address in any answer comes from them.
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
        let mut request = Wild::new("GET", path, &host);
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
        let came = send(&host, &request.bytes(), false).await;
        assert!(
            came.statuses.len() == 1 && !came.text.contains("evil.example"),
            "{path}: {:?}",
            came.statuses
        );
    }
    assert_eq!(stage.faults(), Vec::<String>::new());
}

/// The judge itself.
#[test]
fn hostile_answers_are_judged() {
    let came = |text: &str| UpstreamLogin {
        statuses: statuses(text.as_bytes()),
        text: text.to_owned(),
    };
    let refused = "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno";
    assert_eq!(fault(&came(refused), Is(400)), None);
    assert!(fault(&came(refused), Is(404)).is_some());
    assert!(fault(&came(&refused.replace("400", "500")), IsOrCut(400)).is_some());
    assert!(fault(&came(""), Is(400)).is_some(), "no answer is none");
    assert!(
        fault(&came(&refused.repeat(2)), Is(400)).is_some(),
        "an answer to a request that was smuggled in"
    );
    assert!(
        fault(
            &came(
                &refused
                    .replace("no", "at src/db.rs")
                    .replace("h: 2", "h: 12")
            ),
            Is(400)
        )
        .is_some()
    );
    assert_eq!(fault(&came(""), Cut), None);
    assert_eq!(fault(&came(""), IsOrCut(431)), None);
}
