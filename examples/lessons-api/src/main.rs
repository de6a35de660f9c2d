//! The lessons API of a dance school: a resource server that verifies Entree's access tokens offline.

mod guard;
mod timetable;

use std::{io::Write as _, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use clap::Parser;
use lessons_api::{
    demand::Demand, issuer::Issuer, proof::Proofs, resource::ProtectedResource, verify::Verifier,
};
use poem::{
    Endpoint, EndpointExt as _, Request, Response, Route, Server, get, handler,
    http::{
        Method,
        header::{self, HeaderValue},
    },
    listener::{Acceptor as _, Listener as _, TcpListener},
    middleware::Cors,
    web::Data,
};
use serde_json::json;

use crate::guard::{Guard, admit};

/// The settings, by flag or by environment.
#[derive(Parser)]
struct Settings {
    /// The address at which to listen; port 0 picks a free one.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8082")]
    listen: SocketAddr,
    /// The issuer whose tokens are accepted.
    #[arg(long, env = "ISSUER", default_value = "http://127.0.0.1:8080")]
    issuer: String,
    /// The address at which this process reaches the issuer, if another one, as inside a container network.
    #[arg(long, env = "ISSUER_INTERNAL_URL")]
    issuer_internal_url: Option<String>,
    /// The audience that tokens must have: the identifier of this API, which is its address, too.
    #[arg(long, env = "AUDIENCE", default_value = "http://127.0.0.1:8082")]
    audience: String,
    /// The address at which clients reach this API, which their proofs of possession name. The default is the audience.
    #[arg(long, env = "PUBLIC_URL")]
    public_url: Option<String>,
    /// The origin of pages that may call this API from a browser.
    #[arg(long, env = "WEB_ORIGIN", default_value = "http://127.0.0.1:8081")]
    web_origin: HeaderValue,
    /// The greatest age of a coach's sign-in for the register, in seconds. After that the coach signs in again.
    #[arg(long, env = "FRESH_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(i64).range(1..))]
    fresh_seconds: i64,
    /// Demands the scope `lessons:read` for the timetable. Entree needs a block of `[[resources]]` with it.
    #[arg(long, env = "REQUIRE_SCOPE")]
    require_scope: bool,
}

/// The scope that the timetable demands, if any.
const READ: &str = "lessons:read";
/// The scope that the register demands. The token of a client that acts for itself never has it.
const PERSON: &str = "openid";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    lessons_api::install_tls();
    lessons_api::log_to_stderr();
    let settings = Settings::parse();
    let issuer = Issuer::new(&settings.issuer, settings.issuer_internal_url.as_deref())?;
    let read_scope = settings.require_scope.then_some(READ);
    let scopes = [PERSON].into_iter().chain(read_scope).collect();
    let resource = ProtectedResource::new(&settings.audience, issuer.url(), scopes)?;
    let public_url = settings.public_url.as_deref().unwrap_or(&settings.audience);
    let proofs = Proofs::new(public_url, lessons_api::now());
    let verifier = Verifier::new(issuer, settings.audience);
    if let Err(error) = verifier.warm_up().await {
        tracing::info!(%error, "no keys yet; the first request will ask again");
    }
    let acceptor = TcpListener::bind(settings.listen)
        .into_acceptor()
        .await
        .context("cannot listen")?;
    for address in acceptor
        .local_addr()
        .iter()
        .filter_map(|local| local.as_socket_addr())
    {
        writeln!(std::io::stdout(), "lessons-api: http://{address}")?;
    }
    let app = Arc::new(App {
        guard: Guard {
            verifier,
            proofs,
            resource,
        },
        read_scope,
        fresh_seconds: settings.fresh_seconds,
    });
    Server::new_with_acceptor(acceptor)
        .run(routes(app, settings.web_origin))
        .await?;
    Ok(())
}

/// The state that the handlers share.
struct App {
    guard: Guard,
    /// The scope that the timetable demands.
    read_scope: Option<&'static str>,
    /// The greatest age of a coach's sign-in for the register, in seconds.
    fresh_seconds: i64,
}

fn routes(app: Arc<App>, web_origin: HeaderValue) -> impl Endpoint {
    // The one origin of the web client, and no credentials: the token travels in its own header.
    let cors = || {
        Cors::new()
            .allow_origin(web_origin.clone())
            .allow_method(Method::GET)
            .allow_header(header::AUTHORIZATION)
            .allow_header("dpop")
            .expose_header(header::WWW_AUTHENTICATE)
    };
    Route::new()
        // A proof is for the method of its request, which the framework would hide by turning HEAD into GET.
        .at("/lessons", get(lessons).head(lessons).with(cors()))
        .at("/register", get(register).head(register).with(cors()))
        .at("/healthz", get(health))
        .at(app.guard.resource.path(), get(metadata))
        .data(app)
}

#[handler]
fn health() -> &'static str {
    "ok"
}

/// The metadata of this API (RFC 9728 §3), for every client, also one that runs in a browser.
#[handler]
fn metadata(Data(app): Data<&Arc<App>>) -> Response {
    Response::builder()
        .header(header::CACHE_CONTROL, "public, max-age=300")
        .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")
        .content_type("application/json")
        .body(app.guard.resource.document().to_string())
}

/// Returns the caller's lessons.
#[handler]
async fn lessons(request: &Request, Data(app): Data<&Arc<App>>) -> Response {
    let demand = Demand {
        scope: app.read_scope,
        ..Demand::default()
    };
    match admit(request, &app.guard, &demand).await {
        Ok(caller) => answer(&json!({ "lessons": timetable::of(&caller) })),
        Err(answer) => answer,
    }
}

/// Returns the emergency contacts of the pupils, for coaches who have just signed in.
#[handler]
async fn register(request: &Request, Data(app): Data<&Arc<App>>) -> Response {
    let demand = Demand {
        scope: Some(PERSON),
        role: Some("coach"),
        max_age: Some(app.fresh_seconds),
    };
    match admit(request, &app.guard, &demand).await {
        Ok(_) => answer(&json!({ "register": timetable::REGISTER })),
        Err(answer) => answer,
    }
}

fn answer(body: &serde_json::Value) -> Response {
    Response::builder()
        .header(header::CACHE_CONTROL, "no-store")
        .content_type("application/json")
        .body(body.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use poem::http::StatusCode;

    use super::*;

    const DOCUMENT: &str = "/.well-known/oauth-protected-resource";

    async fn answer_at(
        path: &str,
        read_scope: Option<&'static str>,
        request: poem::RequestBuilder,
    ) -> Response {
        lessons_api::install_tls();
        let issuer = Issuer::new("http://127.0.0.1:1", None).unwrap();
        let aud = "http://127.0.0.1:8082";
        let app = Arc::new(App {
            guard: Guard {
                resource: ProtectedResource::new(aud, issuer.url(), vec![PERSON]).unwrap(),
                proofs: Proofs::new(aud, lessons_api::now()),
                verifier: Verifier::new(issuer, aud.to_owned()),
            },
            read_scope,
            fresh_seconds: 300,
        });
        let routes = routes(app, HeaderValue::from_static("http://127.0.0.1:8081"));
        routes
            .get_response(request.uri(path.parse().unwrap()).finish())
            .await
    }

    async fn answer(request: poem::RequestBuilder) -> Response {
        answer_at("/lessons", None, request).await
    }

    fn asks(answer: &Response) -> &str {
        answer.header(header::WWW_AUTHENTICATE).unwrap()
    }

    /// A challenge with this error, and where the document is.
    fn with_metadata(error: &str) -> String {
        format!(r#"Bearer {error}resource_metadata="http://127.0.0.1:8082{DOCUMENT}""#)
    }

    #[tokio::test]
    async fn without_a_token_the_answer_only_asks_for_one() {
        let answer = answer(Request::builder()).await;
        assert_eq!(
            (answer.status(), asks(&answer)),
            (StatusCode::UNAUTHORIZED, with_metadata("").as_str())
        );
        let all = answer.headers().get_all(header::WWW_AUTHENTICATE).iter();
        let all: Vec<&HeaderValue> = all.collect();
        assert_eq!(all, [&*with_metadata(""), r#"DPoP algs="ES256""#]);
    }

    #[tokio::test]
    async fn a_bad_token_is_told_so() {
        let answer = answer(Request::builder().header("authorization", "Bearer x.y.z")).await;
        let words = with_metadata(r#"error="invalid_token", error_description="not a token", "#);
        assert_eq!(
            (answer.status(), asks(&answer)),
            (StatusCode::UNAUTHORIZED, words.as_str())
        );
    }

    #[tokio::test]
    async fn rs_7_the_document_is_for_any_client_and_each_challenge_leads_there() {
        let document = answer_at(DOCUMENT, None, Request::builder()).await;
        assert_eq!(document.status(), StatusCode::OK);
        assert_eq!(document.header("access-control-allow-origin"), Some("*"));
        let document: serde_json::Value = document.into_body().into_json().await.unwrap();
        assert_eq!(document["resource"], "http://127.0.0.1:8082");
        assert_eq!(
            document["authorization_servers"],
            json!(["http://127.0.0.1:1"])
        );
        for (path, scope) in [("/lessons", READ), ("/register", PERSON)] {
            for token in [None, Some("Bearer x.y.z")] {
                let request = Request::builder();
                let request = match token {
                    Some(token) => request.header("authorization", token),
                    None => request,
                };
                let answer = answer_at(path, Some(READ), request).await;
                assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
                let scope = format!(r#"scope="{scope}", resource_metadata="http"#);
                assert!(asks(&answer).contains(&scope), "{}", asks(&answer));
            }
        }
    }

    #[tokio::test]
    async fn another_scheme_an_empty_token_or_two_are_a_bad_request() {
        for value in ["Basic eDp5", "Bearer", "Bearer  "] {
            let answer = answer(Request::builder().header("authorization", value)).await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{value}");
            let words = with_metadata(r#"error="invalid_request", "#);
            assert_eq!(asks(&answer), words);
        }
        let twice = Request::builder()
            .header("authorization", "Bearer a")
            .header("authorization", "Bearer b");
        assert_eq!(answer(twice).await.status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn only_the_web_clients_pages_may_call_from_a_browser() {
        let preflight = |origin| {
            let request = Request::builder()
                .method(Method::OPTIONS)
                .header("origin", origin);
            answer(request.header("access-control-request-method", "GET"))
        };
        let ours = preflight("http://127.0.0.1:8081").await;
        assert_eq!(
            ours.header("access-control-allow-origin"),
            Some("http://127.0.0.1:8081")
        );
        let other = preflight("http://127.0.0.1:9999").await;
        assert_eq!(other.header("access-control-allow-origin"), None);
    }
}
