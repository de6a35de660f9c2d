//! The layers around small endpoints, without sockets. For sockets see `server/tests.rs`.
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use poem::{Body, EndpointExt as _, Route, endpoint::make, get, handler, http::Method, web::Path};
use poem_openapi::{Object, OpenApi, OpenApiService, payload::Json};

use super::*;
use crate::{
    error::InfraError,
    web::{methods::allow_methods, problem::Problem},
};

const PUBLIC_URL: &str = "https://id.example";

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
async fn unavailable() -> Result<String, InfraError> {
    Err(InfraError::Unavailable {
        dependency: "database",
        cause: "secret cause".into(),
    })
}

#[handler]
#[allow(clippy::disallowed_methods, reason = "to see it caught")]
async fn framework_error() -> poem::Result<String> {
    Err(poem::error::InternalServerError(io::Error::other(
        "secret cause",
    )))
}

#[handler]
async fn stuck() -> String {
    std::future::pending().await
}

#[handler]
async fn conflict() -> poem::Result<String> {
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
    let errors = || {
        Route::new()
            .at("/bug", bug)
            .at("/unavailable", unavailable)
            .at("/framework-error", framework_error)
            .at("/stuck", stuck)
    };
    Route::new()
        .at(
            "/login/link/:token",
            allow_methods("GET, POST", get(link).post(link)),
        )
        .at("/echo", echo)
        .at("/livez", echo)
        .nest("/people", errors())
        .nest("/api/errors", errors().at("/conflict", conflict))
        .nest("/oauth2/errors", errors())
        .nest("/api/v1", OpenApiService::new(Api, "t", "1"))
}

async fn send(layers: &Layers, request: Request) -> Response {
    routes().with(layers.clone()).call(request).await.unwrap()
}

fn layers() -> Layers {
    Layers::new(Some(PUBLIC_URL.into()))
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
        assert_eq!(send(&layers(), request).await.status(), status, "{host}");
    }
    let forwarded = Request::builder()
        .header("host", "evil.example")
        .header("x-forwarded-host", "id.example");
    assert_eq!(send(&layers(), forwarded.finish()).await.status(), 421);
}

#[tokio::test]
async fn px_01_no_host_two_hosts_or_two_authorities_are_refused() {
    let two = Request::builder()
        .header("host", "id.example")
        .header("host", "id.example")
        .finish();
    assert_eq!(send(&layers(), two).await.status(), 400);
    assert_eq!(send(&layers(), Request::default()).await.status(), 400);
    let clash = Request::builder()
        .uri_str("https://evil.example/")
        .header("host", "id.example")
        .finish();
    assert_eq!(send(&layers(), clash).await.status(), 400);
    let target = Request::builder()
        .uri_str("https://id.example/echo")
        .finish();
    assert_eq!(
        send(&layers(), target).await.status(),
        200,
        "as HTTP/2 has it"
    );
}

#[tokio::test]
async fn px_01_a_malformed_public_url_serves_no_host() {
    for broken in ["", "id.example", "mailto:a"] {
        for host in ["", "id.example", "null"] {
            let request = Request::builder()
                .uri_str("/echo")
                .header("host", host)
                .finish();
            assert_eq!(
                send(&Layers::new(Some(broken.into())), request)
                    .await
                    .status(),
                421,
                "{broken} {host}"
            );
        }
    }
}

#[tokio::test]
async fn dev_redirects_other_loopback_names_to_the_public_url() {
    let mut layers = Layers::new(Some("http://127.0.0.1:8080".into()));
    let request = |host: &str, method: Method| {
        Request::builder()
            .method(method)
            .uri_str("//evil/login?txn=1")
            .header("host", host)
            .finish()
    };
    assert_eq!(
        send(&layers, request("localhost:8080", Method::GET))
            .await
            .status(),
        421,
        "only where it is switched on"
    );
    layers.redirect_loopback = true;
    let response = send(&layers, request("localhost:8080", Method::GET)).await;
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
            send(&layers, request(host, method)).await.status(),
            421,
            "{host}"
        );
    }
}

#[tokio::test]
async fn every_audience_gets_our_errors_without_a_cause() {
    for (error, status) in [("bug", 500), ("framework-error", 500), ("unavailable", 503)] {
        for (prefix, content_type) in [
            ("people", "text/plain; charset=utf-8"),
            ("api/errors", Problem::CONTENT_TYPE),
            ("oauth2/errors", "application/json"),
        ] {
            let response = send(&layers(), get_request(&format!("/{prefix}/{error}"))).await;
            assert_eq!(response.status(), status, "{prefix} {error}");
            assert_eq!(response.content_type(), Some(content_type));
            assert_eq!(response.header("retry-after").is_some(), status == 503);
            let reference = response.header("x-request-id").unwrap().to_owned();
            let body = response.into_body().into_string().await.unwrap();
            assert!(!body.contains("secret cause"), "{body}");
            assert_eq!(
                body.contains(&reference),
                prefix != "oauth2/errors",
                "{body}"
            );
        }
    }
    let response = send(&layers(), get_request("/oauth2/errors/unavailable")).await;
    assert_eq!(json(response).await["error"], "temporarily_unavailable");
}

#[tokio::test]
async fn people_get_the_error_page_of_the_listener() {
    let mut layers = layers();
    layers.error_page = Some(Arc::new(|error, failed| {
        assert_eq!(error.reference.as_ref(), Some(&failed.caller.request_id));
        Response::builder()
            .status(error.status)
            .content_type("text/html")
            .body(format!("page {}", error.status))
    }));
    let response = send(&layers, get_request("/people/bug")).await;
    assert_eq!(
        response.into_body().into_string().await.unwrap(),
        "page 500 Internal Server Error"
    );
    let response = send(&layers, get_request("/api/errors/bug")).await;
    assert_eq!(response.content_type(), Some(Problem::CONTENT_TYPE));
}

#[tokio::test]
async fn an_error_with_a_response_of_its_own_keeps_it() {
    let response = send(&layers(), get_request("/api/errors/conflict")).await;
    assert_eq!(json(response).await["code"], "own_code");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_503() {
    let layers = Layers {
        request_timeout: Duration::from_millis(20),
        ..layers()
    };
    let response = send(&layers, get_request("/api/errors/stuck")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.header("retry-after"), Some("5"));
}

#[tokio::test]
async fn rejections_of_the_framework_are_rendered_for_the_audience() {
    let post = |content_type: &str, body: &str| {
        Request::builder()
            .method(Method::POST)
            .uri_str("/api/v1/age")
            .header("host", "id.example")
            .content_type(content_type)
            .body(body.to_owned())
    };
    let body = |text: &str| post("application/json", text);
    for (request, status, code, detail) in [
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
        let response = send(&layers(), request).await;
        assert_eq!(response.status(), status, "{code}");
        assert_eq!(response.content_type(), Some(Problem::CONTENT_TYPE));
        let body = json(response).await;
        assert_eq!(
            (&body["code"], &body["status"]),
            (&code.into(), &status.into()),
            "{body}"
        );
        assert!(
            body["detail"].as_str().unwrap().starts_with(detail),
            "{body}"
        );
    }
    let response = send(&layers(), get_request("/nowhere")).await;
    assert_eq!(
        (response.status().as_u16(), response.content_type()),
        (404, Some("text/plain; charset=utf-8"))
    );
    assert_eq!(
        send(&layers(), post("application/json", "{\"years\": 30}"))
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
        send(
            &layers(),
            request.content_type("application/json").body(deep)
        )
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
        let response = send(&layers(), request.finish()).await;
        assert_eq!(
            (response.status().as_u16(), response.header("allow")),
            (405, Some("GET, POST"))
        );
    }
    assert_eq!(
        send(&layers(), get_request("/login/link/abc"))
            .await
            .status(),
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
    let response = send(&layers(), sized(64 * 1024)).await;
    assert_eq!(
        response.into_body().into_vec().await.unwrap().len(),
        64 * 1024
    );
    assert_eq!(send(&layers(), sized(65 * 1024)).await.status(), 413);
    assert_eq!(send(&layers(), sized(65 * 1024 * 1024)).await.status(), 413);
}

#[tokio::test]
async fn every_response_has_the_headers() {
    for path in ["/echo", "/nowhere", "/people/bug"] {
        let response = send(&layers(), get_request(path)).await;
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
    .with(layers());
    let response = cached.call(get_request("/")).await.unwrap();
    assert_eq!(
        response.header("cache-control"),
        Some("max-age=300"),
        "an endpoint may set its own"
    );
    // HSTS counts for every port of a host, and would break other services on a loopback name.
    for (url, host) in [
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("https://localhost:8443", "localhost:8443"),
        ("https://id.localhost", "id.localhost"),
    ] {
        let layers = Layers::new(Some(url.into()));
        let response = send(&layers, Request::builder().header("host", host).finish()).await;
        assert_eq!(response.header("strict-transport-security"), None, "{url}");
    }
}

#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for LogBuffer {
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
async fn od_14_the_log_has_one_line_a_request_but_probes_and_never_a_path_or_a_query() {
    let lines = LogBuffer::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    // With one subscriber alone, a line that another test's thread reaches first would be switched
    // off for all.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    for path in [
        "/login/link/SECRET?x=SECRET",
        "/login/link/SECRET/SECRET",
        "/SECRET",
        "/people/unavailable?SECRET",
        "/livez",
    ] {
        let request = Request::builder()
            .uri_str(path)
            .header("host", "id.example")
            .header("cookie", "sid=SECRET");
        send(&layers(), request.finish()).await;
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
        requests[3].contains("route=\"/people/unavailable\"") && requests[3].contains("status=503"),
        "{log}"
    );
    assert!(requests[1].contains("reason=\"not_found\""), "{log}");
    assert!(requests[3].contains("reason=\"unavailable\""), "{log}");
    assert_eq!(
        log.matches("secret cause").count(),
        1,
        "the cause, once: {log}"
    );
}

mod log_lines;
