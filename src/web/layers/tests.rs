//! The layers around small endpoints, without sockets; over sockets see `server/tests.rs`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use poem::{EndpointExt as _, Route, endpoint::make, get, handler, web::Path};
use poem_openapi::{Object, OpenApi, OpenApiService, payload::Json};

use super::*;
use crate::error::InfraError;
use crate::web::problem::Problem;

const OURS: &str = "https://id.example";

#[handler]
async fn link(Path(token): Path<String>) -> String {
    format!("token of {} bytes", token.len())
}

#[handler]
async fn echo(body: Vec<u8>) -> Vec<u8> {
    body
}

#[handler]
async fn bug() -> String {
    panic!("secret cause")
}

#[handler]
async fn away() -> Result<String, InfraError> {
    Err(InfraError::Unavailable {
        dependency: "database",
        cause: "secret cause".into(),
    })
}

#[handler]
#[allow(clippy::disallowed_methods, reason = "to see it caught")]
async fn leaky() -> poem::Result<String> {
    Err(poem::error::InternalServerError(io::Error::other(
        "secret cause",
    )))
}

#[handler]
async fn stuck() -> String {
    std::future::pending().await
}

#[handler]
async fn refused() -> poem::Result<String> {
    Err(Problem::new(StatusCode::CONFLICT, "own_code", "Own words.").into())
}

#[derive(Object)]
struct Age {
    years: u8,
}

struct Api;

#[OpenApi]
impl Api {
    #[oai(path = "/age", method = "post")]
    async fn age(&self, age: Json<Age>) -> Json<u8> {
        Json(age.years)
    }
}

fn routes() -> Route {
    let faults = || {
        Route::new()
            .at("/bug", bug)
            .at("/away", away)
            .at("/leaky", leaky)
            .at("/stuck", stuck)
    };
    Route::new()
        .at(
            "/login/link/:token",
            allow_methods("GET, POST", get(link).post(link)),
        )
        .at("/echo", echo)
        .nest("/people", faults())
        .nest("/api/faults", faults().at("/refused", refused))
        .nest("/oauth2/faults", faults())
        .nest("/api/v1", OpenApiService::new(Api, "t", "1"))
}

async fn ask(layers: &Layers, request: Request) -> Response {
    routes().with(layers.clone()).call(request).await.unwrap()
}

fn ours() -> Layers {
    Layers::new(Some(OURS.into()))
}

fn get_request(path: &str) -> Request {
    Request::builder()
        .uri_str(path)
        .header("host", "id.example")
        .finish()
}

async fn json(response: Response) -> serde_json::Value {
    response.into_body().into_json().await.unwrap()
}

#[tokio::test]
async fn px_01_another_host_is_misdirected() {
    for (host, status) in [
        ("id.example", 404),
        ("ID.Example", 404),
        ("id.example:443", 404),
        ("id.example:8443", 421),
        ("id.example:80", 421),
        ("evil.example", 421),
        ("id.example.evil.example", 421),
        ("id.example@evil.example", 421),
        ("localhost", 421),
        ("", 421),
    ] {
        let request = Request::builder().header("host", host).finish();
        assert_eq!(ask(&ours(), request).await.status(), status, "{host}");
    }
    let forwarded = Request::builder()
        .header("host", "evil.example")
        .header("x-forwarded-host", "id.example");
    assert_eq!(ask(&ours(), forwarded.finish()).await.status(), 421);
}

#[tokio::test]
async fn px_01_no_host_two_hosts_or_two_authorities_are_refused() {
    let two = Request::builder()
        .header("host", "id.example")
        .header("host", "id.example")
        .finish();
    assert_eq!(ask(&ours(), two).await.status(), 400);
    assert_eq!(ask(&ours(), Request::default()).await.status(), 400);
    let clash = Request::builder()
        .uri_str("https://evil.example/")
        .header("host", "id.example")
        .finish();
    assert_eq!(ask(&ours(), clash).await.status(), 400);
    let target = Request::builder()
        .uri_str("https://id.example/echo")
        .finish();
    assert_eq!(ask(&ours(), target).await.status(), 200, "as HTTP/2 has it");
}

#[tokio::test]
async fn px_01_a_public_url_that_cannot_be_read_lets_nothing_in() {
    for broken in ["", "id.example", "mailto:a"] {
        for host in ["", "id.example", "null"] {
            let request = Request::builder()
                .uri_str("/echo")
                .header("host", host)
                .finish();
            assert_eq!(
                ask(&Layers::new(Some(broken.into())), request)
                    .await
                    .status(),
                421,
                "{broken} {host}"
            );
        }
    }
}

#[tokio::test]
async fn dev_sends_other_loopback_names_to_the_public_url() {
    let mut layers = Layers::new(Some("http://127.0.0.1:8080".into()));
    let request = |host: &str, method: Method| {
        Request::builder()
            .method(method)
            .uri_str("//evil/login?txn=1")
            .header("host", host)
            .finish()
    };
    assert_eq!(
        ask(&layers, request("localhost:8080", Method::GET))
            .await
            .status(),
        421,
        "only where it is asked for"
    );
    layers.redirect_loopback = true;
    let response = ask(&layers, request("localhost:8080", Method::GET)).await;
    assert_eq!(response.status(), 303);
    assert!(
        response
            .header("location")
            .unwrap()
            .starts_with("http://127.0.0.1:8080/")
    );
    for (host, method) in [
        ("localhost:8081", Method::GET),
        ("evil.example:8080", Method::GET),
        ("localhost:8080", Method::POST),
        ("localhost", Method::GET),
    ] {
        assert_eq!(
            ask(&layers, request(host, method)).await.status(),
            421,
            "{host}"
        );
    }
}

#[tokio::test]
async fn every_audience_hears_of_our_faults_without_a_cause() {
    for (fault, status) in [("bug", 500), ("leaky", 500), ("away", 503)] {
        for (room, kind) in [
            ("people", "text/plain; charset=utf-8"),
            ("api/faults", Problem::CONTENT_TYPE),
            ("oauth2/faults", "application/json"),
        ] {
            let response = ask(&ours(), get_request(&format!("/{room}/{fault}"))).await;
            assert_eq!(response.status(), status, "{room} {fault}");
            assert_eq!(response.content_type(), Some(kind));
            assert_eq!(response.header("retry-after").is_some(), status == 503);
            let reference = response.header("x-request-id").unwrap().to_owned();
            let body = response.into_body().into_string().await.unwrap();
            assert!(!body.contains("secret cause"), "{body}");
            assert_eq!(body.contains(&reference), room != "oauth2/faults", "{body}");
        }
    }
    let response = ask(&ours(), get_request("/oauth2/faults/away")).await;
    assert_eq!(json(response).await["error"], "temporarily_unavailable");
}

#[tokio::test]
async fn people_get_the_page_of_the_listener() {
    let mut layers = ours();
    layers.error_page = Some(Arc::new(|fault, caller| {
        assert_eq!(fault.reference, caller.request_id);
        Response::builder()
            .status(fault.status)
            .content_type("text/html")
            .body(format!("page {}", fault.status))
    }));
    let response = ask(&layers, get_request("/people/bug")).await;
    assert_eq!(
        response.into_body().into_string().await.unwrap(),
        "page 500 Internal Server Error"
    );
    let response = ask(&layers, get_request("/api/faults/bug")).await;
    assert_eq!(response.content_type(), Some(Problem::CONTENT_TYPE));
}

#[tokio::test]
async fn an_answer_of_a_room_keeps_its_form() {
    let response = ask(&ours(), get_request("/api/faults/refused")).await;
    assert_eq!(json(response).await["code"], "own_code");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_503() {
    let layers = Layers {
        request_timeout: Duration::from_millis(20),
        ..ours()
    };
    let response = ask(&layers, get_request("/api/faults/stuck")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.header("retry-after"), Some("5"));
}

#[tokio::test]
async fn the_framework_s_own_refusals_are_reshaped() {
    let post = |content_type: &str, body: &str| {
        Request::builder()
            .method(Method::POST)
            .uri_str("/api/v1/age")
            .header("host", "id.example")
            .content_type(content_type)
            .body(body.to_owned())
    };
    let body = |text: &str| post("application/json", text);
    for (request, status, code, words) in [
        (
            get_request("/api/v1/nowhere"),
            404,
            "not_found",
            "There is nothing",
        ),
        (
            get_request("/api/v1/age"),
            405,
            "method_not_allowed",
            "This address does not take this method.",
        ),
        (
            post("text/plain", "{}"),
            415,
            "wrong_content_type",
            "The content type",
        ),
        (
            body("{"),
            400,
            "bad_request",
            "The body is not JSON: see line 1 column 1.",
        ),
        (
            body("{\"years\": 300}"),
            400,
            "bad_request",
            "A field of the body has the wrong type.",
        ),
        (
            body("{\"years\": \"hunter\"}"),
            400,
            "bad_request",
            "A field of the body has the wrong type.",
        ),
        (
            body("{}"),
            400,
            "bad_request",
            "A field of the body is missing.",
        ),
    ] {
        let response = ask(&ours(), request).await;
        assert_eq!(response.status(), status, "{code}");
        assert_eq!(response.content_type(), Some(Problem::CONTENT_TYPE));
        let body = json(response).await;
        assert_eq!(
            (&body["code"], &body["status"]),
            (&code.into(), &status.into()),
            "{body}"
        );
        assert!(
            body["detail"].as_str().unwrap().starts_with(words),
            "{body}"
        );
    }
    let response = ask(&ours(), get_request("/nowhere")).await;
    assert_eq!(
        (response.status().as_u16(), response.content_type()),
        (404, Some("text/plain; charset=utf-8"))
    );
    assert_eq!(
        ask(&ours(), post("application/json", "{\"years\": 30}"))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn px_02_deep_json_is_refused() {
    let deep = "[".repeat(10_000);
    let request = Request::builder()
        .method(Method::POST)
        .uri_str("/api/v1/age")
        .header("host", "id.example");
    assert_eq!(
        ask(&ours(), request.content_type("application/json").body(deep))
            .await
            .status(),
        400
    );
}

#[tokio::test]
async fn po_01_head_is_405_where_it_is_not_listed() {
    for method in [Method::HEAD, Method::PUT, Method::OPTIONS] {
        let request = Request::builder()
            .method(method)
            .uri_str("/login/link/abc")
            .header("host", "id.example");
        let response = ask(&ours(), request.finish()).await;
        assert_eq!(
            (response.status().as_u16(), response.header("allow")),
            (405, Some("GET, POST"))
        );
    }
    assert_eq!(
        ask(&ours(), get_request("/login/link/abc")).await.status(),
        200
    );
}

#[tokio::test]
async fn po_04_a_body_is_counted_while_it_is_read() {
    let sized = |bytes: usize| {
        let chunks = futures_util::stream::iter(
            (0..bytes / 1024).map(|_| Ok::<_, io::Error>(vec![b'a'; 1024])),
        );
        Request::builder()
            .uri_str("/echo")
            .header("host", "id.example")
            .header("content-length", "1")
            .body(Body::from_bytes_stream(chunks))
    };
    let response = ask(&ours(), sized(64 * 1024)).await;
    assert_eq!(
        response.into_body().into_vec().await.unwrap().len(),
        64 * 1024
    );
    assert_eq!(ask(&ours(), sized(65 * 1024)).await.status(), 413);
    assert_eq!(ask(&ours(), sized(65 * 1024 * 1024)).await.status(), 413);
}

#[tokio::test]
async fn every_answer_has_the_headers() {
    for path in ["/echo", "/nowhere", "/people/bug"] {
        let response = ask(&ours(), get_request(path)).await;
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(response.header("referrer-policy"), Some("no-referrer"));
        assert!(
            response
                .header("content-security-policy")
                .unwrap()
                .starts_with("default-src 'none'")
        );
        assert_eq!(
            response.header("strict-transport-security"),
            Some("max-age=31536000")
        );
    }
    let cached = make(|_| async {
        Response::builder()
            .header("cache-control", "max-age=300")
            .finish()
    })
    .with(ours());
    let response = cached.call(get_request("/")).await.unwrap();
    assert_eq!(
        response.header("cache-control"),
        Some("max-age=300"),
        "an answer may bring its own"
    );
    // HSTS counts for every port of a host: of this machine's own name it would break whatever else runs there.
    for (url, host) in [
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("https://localhost:8443", "localhost:8443"),
        ("https://id.localhost", "id.localhost"),
    ] {
        let layers = Layers::new(Some(url.into()));
        let response = ask(&layers, Request::builder().header("host", host).finish()).await;
        assert_eq!(response.header("strict-transport-security"), None, "{url}");
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_has_one_line_a_request_and_never_a_path_or_a_query() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    // While there is but one subscriber, a line first reached by another test's thread would be switched off for all.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    for path in [
        "/login/link/SECRET?x=SECRET",
        "/login/link/SECRET/SECRET",
        "/SECRET",
        "/people/away?SECRET",
    ] {
        let request = Request::builder()
            .uri_str(path)
            .header("host", "id.example")
            .header("cookie", "sid=SECRET");
        ask(&ours(), request.finish()).await;
    }
    drop(guard);
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!log.contains("SECRET"), "{log}");
    let requests: Vec<&str> = log.lines().filter(|line| line.contains("INFO")).collect();
    assert_eq!(requests.len(), 4, "{log}");
    assert!(
        requests[0].contains("route=\"/login/link/:token\"") && requests[0].contains("status=200"),
        "{log}"
    );
    assert!(requests[2].contains("route=\"unmatched\""), "{log}");
    assert!(
        requests[3].contains("route=\"/people/away\"") && requests[3].contains("status=503"),
        "{log}"
    );
    assert_eq!(
        log.matches("secret cause").count(),
        1,
        "the cause, once: {log}"
    );
}
