//! Which browser origins may read answers (Fetch standard §3.2, PX-02). Never with credentials: these endpoints read no
//! cookie. Never authorize (RFC 9700 §2.6).
//!
//! Each client has origins of its own, and an answer to one is not for the pages of another. A preflight request names no
//! client, so any registered origin may send; what it may read is decided once the endpoint knows who speaks
//! ([`restrict_to_origins`]). Until then, and when nobody is known, any registered origin reads that it was refused.
//!
//! An answer is only marked here; the layers write the headers, so that errors keep their way through the layers (form
//! of the audience, line in the log) and carry the headers too.

use std::sync::{Arc, OnceLock};

use poem::{
    Endpoint, IntoResponse, Request, Response,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};

/// Decides whether an origin may read answers.
pub trait Origins: Send + Sync {
    /// Whether `origin` may.
    fn allow(&self, origin: &str) -> bool;
}

impl<F: Fn(&str) -> bool + Send + Sync> Origins for F {
    fn allow(&self, origin: &str) -> bool {
        self(origin)
    }
}

/// An endpoint that allowed origins may read.
pub struct Cors<E, O> {
    inner: E,
    origins: O,
}

/// Lets `origins` read the answers of `inner`, and answers their preflight requests. Others get the same answers
/// without the headers: it is the browser that keeps them from the page. Stands outside of [`super::layers::allow_methods`].
pub fn cors<E: Endpoint, O: Origins>(origins: O, inner: E) -> Cors<E, O> {
    Cors { inner, origins }
}

/// Whether the origin of a request is one of the client that speaks in it, once that is known.
#[derive(Clone, Debug, Default)]
struct Spoken(Arc<OnceLock<bool>>);

/// Tells that a client with these `origins` speaks in this request: pages of no other origin read the answer. The first
/// one counts. Where CORS is not spoken, nothing happens.
pub fn restrict_to_origins(request: &Request, origins: &[String]) {
    let Some(spoken) = request.data::<Spoken>() else {
        return;
    };
    let origin = request
        .headers()
        .get(header::ORIGIN)
        .and_then(|origin| origin.to_str().ok());
    // A second word would be about the same request: the first stands.
    let _ = spoken
        .0
        .set(origin.is_some_and(|origin| origins.iter().any(|own| own == origin)));
}

/// The mark on an answer: whose scripts may read it.
#[derive(Clone)]
pub(super) struct Readable {
    by: Option<HeaderValue>,
}

impl Readable {
    /// Writes what the mark says. Without Allow-Credentials, browsers send no cookie along and show none.
    pub(super) fn write(self, headers: &mut HeaderMap) {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = self.by {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            let exposed = HeaderValue::from_static("www-authenticate, retry-after, dpop-nonce");
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}

impl<E: Endpoint, O: Origins> Endpoint for Cors<E, O> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let spoken = Spoken::default();
        request.set_data(spoken.clone());
        let origin = request.headers().get(header::ORIGIN).cloned();
        let by = origin.filter(|origin| {
            origin
                .to_str()
                .is_ok_and(|origin| self.origins.allow(origin))
        });
        let asks = request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let preflight = by.is_some() && asks && *request.method() == Method::OPTIONS;
        let answer = if preflight {
            Ok(permission())
        } else {
            self.inner.call(request).await.map(E::Output::into_response)
        };
        let by = by.filter(|_| spoken.0.get().copied().unwrap_or(true));
        match answer {
            Ok(mut response) => {
                response.set_data(Readable { by });
                Ok(response)
            }
            Err(mut error) => {
                error.set_data(Readable { by });
                Err(error)
            }
        }
    }
}

fn permission() -> Response {
    Response::builder()
        .status(StatusCode::NO_CONTENT)
        .header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST")
        .header(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, code-verifier, dpop",
        )
        .header(header::ACCESS_CONTROL_MAX_AGE, "600")
        .finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use poem::{EndpointExt as _, Route, endpoint::make_sync};

    use super::*;
    use crate::error::InfraError;
    use crate::web::layers::{Layers, allow_methods};

    const APP: &str = "https://app.example";

    const OTHER: &str = "https://other.example";

    async fn ask(path: &str, method: Method, origin: &str) -> Response {
        let ok = || make_sync(|_| "ok");
        let broken = make_sync(|_| Err::<String, _>(InfraError::internal("secret cause")));
        let routes = Route::new()
            .at(
                "/oauth2/token",
                cors(|_: &str| true, allow_methods("POST", ok())),
            )
            .at("/oauth2/broken", cors(|_: &str| true, broken))
            .at(
                "/api/v1/start",
                cors(|origin: &str| origin == APP, allow_methods("POST", ok())),
            )
            .at("/oauth2/authorize", allow_methods("GET, POST", ok()))
            .at(
                "/oauth2/revoke",
                cors(|_: &str| true, allow_methods("POST", make_sync(of_app))),
            );
        let request = Request::builder()
            .method(method)
            .uri_str(path)
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        routes
            .with(Layers::new(None))
            .call(request.finish())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn px_02_scripts_may_read_the_token_endpoint_without_credentials() {
        for (path, method, status) in [
            ("/oauth2/token", Method::POST, 200),
            ("/oauth2/token", Method::OPTIONS, 204),
            ("/oauth2/token", Method::GET, 405),
            ("/oauth2/broken", Method::POST, 500),
        ] {
            let response = ask(path, method, APP).await;
            assert_eq!(response.status(), status, "{path}");
            assert_eq!(
                response.header("access-control-allow-origin"),
                Some(APP),
                "{path} {status}"
            );
            assert_eq!(response.header("access-control-allow-credentials"), None);
            assert_eq!(response.header("vary"), Some("Origin"));
        }
    }

    #[tokio::test]
    async fn an_error_keeps_the_form_of_its_audience() {
        let body = ask("/oauth2/broken", Method::POST, APP)
            .await
            .into_body()
            .into_string()
            .await
            .unwrap();
        assert!(
            body.contains("\"server_error\"") && !body.contains("secret cause"),
            "{body}"
        );
    }

    #[tokio::test]
    async fn px_02_other_origins_get_no_permission() {
        for (method, status) in [(Method::POST, 200), (Method::OPTIONS, 405)] {
            let response = ask("/api/v1/start", method, "https://evil.example").await;
            assert_eq!(response.status(), status);
            assert_eq!(response.header("access-control-allow-origin"), None);
            assert_eq!(
                response.header("vary"),
                Some("Origin"),
                "a cache must not give it to another"
            );
        }
        assert_eq!(
            ask("/api/v1/start", Method::OPTIONS, APP).await.status(),
            204
        );
    }

    fn of_app(request: Request) -> poem::Result<&'static str> {
        restrict_to_origins(&request, &[APP.to_owned()]);
        restrict_to_origins(&request, &[OTHER.to_owned()]);
        if request.uri().query().is_some() {
            Err(InfraError::internal("cause").into())
        } else {
            Ok("told")
        }
    }

    #[tokio::test]
    async fn px_02_only_pages_of_the_client_that_speaks_read_the_answer() {
        for (path, status) in [("/oauth2/revoke", 200), ("/oauth2/revoke?fail", 500)] {
            for (origin, reads) in [(APP, Some(APP)), (OTHER, None)] {
                let response = ask(path, Method::POST, origin).await;
                assert_eq!(response.status(), status, "{path} {origin}");
                assert_eq!(
                    response.header("access-control-allow-origin"),
                    reads,
                    "{path} {origin}"
                );
                assert_eq!(response.header("vary"), Some("Origin"));
            }
        }
        let preflight = ask("/oauth2/revoke", Method::OPTIONS, OTHER).await;
        assert_eq!(
            preflight.header("access-control-allow-origin"),
            Some(OTHER),
            "nobody speaks yet"
        );
    }

    #[tokio::test]
    async fn px_02_no_script_may_read_authorize() {
        for method in [Method::GET, Method::OPTIONS] {
            assert_eq!(
                ask("/oauth2/authorize", method, APP)
                    .await
                    .header("access-control-allow-origin"),
                None
            );
        }
    }
}
