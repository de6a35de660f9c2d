//! CORS: which browser origins may read responses (Fetch standard §3.2, PX-02).
//!
//! Never with credentials: these endpoints read no cookie. Never for authorize (RFC 9700 §2.6).
//!
//! Each client has origins of its own, and pages of another client must not read its responses. A
//! preflight request names no client, so every registered origin may send requests. The endpoint
//! restricts who reads the response once it knows the client ([`restrict_to_origins`]). An error
//! before that is readable by every registered origin.
//!
//! The response is only marked here. The layers write the headers, so that errors pass through the
//! layers as usual and carry the headers, too. The layers mark their own errors ([`CorsEndpoints`]).

use std::sync::{Arc, OnceLock};

use poem::{
    Endpoint, IntoResponse, Request, Response,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};

/// Decides whether an origin may read responses.
pub trait Origins: Send + Sync {
    fn allow(&self, origin: &str) -> bool;
}

impl<F: Fn(&str) -> bool + Send + Sync> Origins for F {
    fn allow(&self, origin: &str) -> bool {
        self(origin)
    }
}

/// An endpoint whose responses allowed origins may read.
pub struct Cors<E, O> {
    inner: E,
    origins: O,
}

/// Lets `origins` read the responses of `inner`, and answers their preflight requests. Other
/// origins get the same responses without the headers, and the browser keeps them from the page. It
/// wraps `allow_methods`.
pub fn cors<E: Endpoint, O: Origins>(origins: O, inner: E) -> Cors<E, O> {
    Cors { inner, origins }
}

/// Whether the origin of a request is one of its client, once the client is known.
#[derive(Clone, Debug, Default)]
struct IsClientOrigin(Arc<OnceLock<bool>>);

/// Lets only the pages of a client with these `origins` read the response. The first call counts.
/// On an endpoint without CORS it does nothing.
pub fn restrict_to_origins(request: &Request, origins: &[String]) {
    let Some(is_client_origin) = request.data::<IsClientOrigin>() else {
        return;
    };
    let origin = request
        .headers()
        .get(header::ORIGIN)
        .and_then(|origin| origin.to_str().ok());
    let is_listed = origin.is_some_and(|origin| origins.iter().any(|listed| listed == origin));
    let _ = is_client_origin.0.set(is_listed);
}

/// The endpoints with CORS, for requests that do not reach theirs.
#[derive(Clone)]
pub struct CorsEndpoints {
    origins: Arc<dyn Origins>,
    includes: fn(&str) -> bool,
}

impl CorsEndpoints {
    /// Returns the endpoints at the paths that `includes` accepts, whose responses `origins` may read.
    #[must_use]
    pub fn new(origins: impl Origins + 'static, includes: fn(&str) -> bool) -> Self {
        Self {
            origins: Arc::new(origins),
            includes,
        }
    }

    /// Returns the mark of an error response of the layers. They know no client: pages of every registered
    /// origin may read it.
    pub(super) fn readable_by(
        &self,
        path: &str,
        origin: Option<&HeaderValue>,
    ) -> Option<ReadableBy> {
        let allowed = || origin.filter(|origin| is_allowed(origin, &*self.origins));
        (self.includes)(path).then(|| ReadableBy(allowed().cloned()))
    }
}

fn is_allowed(origin: &HeaderValue, origins: &(impl Origins + ?Sized)) -> bool {
    origin.to_str().is_ok_and(|origin| origins.allow(origin))
}

/// The mark on a response: the origin whose pages may read it.
#[derive(Clone)]
pub(super) struct ReadableBy(Option<HeaderValue>);

impl ReadableBy {
    /// Writes the headers. Without Allow-Credentials browsers send no cookie.
    pub(super) fn write_headers(self, headers: &mut HeaderMap) {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = self.0 {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            let exposed = HeaderValue::from_static("www-authenticate, retry-after, dpop-nonce");
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}

impl<E: Endpoint, O: Origins> Endpoint for Cors<E, O> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let is_client_origin = IsClientOrigin::default();
        request.set_data(is_client_origin.clone());
        let origin = request.headers().get(header::ORIGIN).cloned();
        let origin = origin.filter(|origin| is_allowed(origin, &self.origins));
        let is_preflight = origin.is_some()
            && *request.method() == Method::OPTIONS
            && request
                .headers()
                .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let result = if is_preflight {
            Ok(preflight_response())
        } else {
            self.inner.call(request).await.map(E::Output::into_response)
        };
        let readable_by =
            ReadableBy(origin.filter(|_| is_client_origin.0.get().copied().unwrap_or(true)));
        match result {
            Ok(mut response) => {
                response.set_data(readable_by);
                Ok(response)
            }
            Err(mut error) => {
                error.set_data(readable_by);
                Err(error)
            }
        }
    }
}

fn preflight_response() -> Response {
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
    use poem::{EndpointExt as _, Route, endpoint::make_sync};

    use super::*;
    use crate::error::InfraError;
    use crate::web::{layers::Layers, methods::allow_methods};

    const APP: &str = "https://app.example";

    const OTHER: &str = "https://other.example";

    async fn send(path: &str, method: Method, origin: &str) -> Response {
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
                cors(
                    |_: &str| true,
                    allow_methods("POST", make_sync(restricted_to_app)),
                ),
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
            let response = send(path, method, APP).await;
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
        let body = send("/oauth2/broken", Method::POST, APP)
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
            let response = send("/api/v1/start", method, "https://evil.example").await;
            assert_eq!(response.status(), status);
            assert_eq!(response.header("access-control-allow-origin"), None);
            assert_eq!(
                response.header("vary"),
                Some("Origin"),
                "a cache must not give it to another"
            );
        }
        assert_eq!(
            send("/api/v1/start", Method::OPTIONS, APP).await.status(),
            204
        );
    }

    fn restricted_to_app(request: Request) -> poem::Result<&'static str> {
        restrict_to_origins(&request, &[APP.to_owned()]);
        restrict_to_origins(&request, &[OTHER.to_owned()]);
        if request.uri().query().is_some() {
            Err(InfraError::internal("cause").into())
        } else {
            Ok("ok")
        }
    }

    #[tokio::test]
    async fn px_02_only_pages_of_the_client_read_the_response() {
        for (path, status) in [("/oauth2/revoke", 200), ("/oauth2/revoke?fail", 500)] {
            for (origin, allowed) in [(APP, Some(APP)), (OTHER, None)] {
                let response = send(path, Method::POST, origin).await;
                assert_eq!(response.status(), status, "{path} {origin}");
                assert_eq!(
                    response.header("access-control-allow-origin"),
                    allowed,
                    "{path} {origin}"
                );
                assert_eq!(response.header("vary"), Some("Origin"));
            }
        }
        let preflight = send("/oauth2/revoke", Method::OPTIONS, OTHER).await;
        assert_eq!(
            preflight.header("access-control-allow-origin"),
            Some(OTHER),
            "no client is known yet"
        );
    }

    #[tokio::test]
    async fn px_02_no_script_may_read_authorize() {
        for method in [Method::GET, Method::OPTIONS] {
            assert_eq!(
                send("/oauth2/authorize", method, APP)
                    .await
                    .header("access-control-allow-origin"),
                None
            );
        }
    }
}
