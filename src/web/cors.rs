//! Endpoints that scripts of any site may read (PX-02): token, revoke, userinfo, PAR, keys and metadata. Never with
//! credentials, and never authorize (RFC 9700 §2.6).

use poem::{
    Endpoint, IntoResponse, Request, Response,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};

/// Lets scripts of any site use `inner` by the methods in `allow` (`"GET, POST"`), and answers their preflights.
///
/// Stands outside of [`super::layers::only`]. Its headers are written by the layers, so errors carry them too.
pub fn any_origin<E: Endpoint>(allow: &'static str, inner: E) -> AnyOrigin<E> {
    AnyOrigin { allow, inner }
}

/// Made by [`any_origin`].
pub struct AnyOrigin<E> {
    allow: &'static str,
    inner: E,
}

/// The mark on an answer that any site may read.
#[derive(Clone, Copy)]
pub(super) struct Open;

impl Open {
    /// Access-Control-Allow-Origin `*`, which excludes credentials, and the headers that client software needs.
    pub(super) fn write(headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        let exposed = HeaderValue::from_static("www-authenticate, retry-after, dpop-nonce");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}

impl<E: Endpoint> Endpoint for AnyOrigin<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let is_preflight = *request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if is_preflight {
            let mut response = Response::builder()
                .status(StatusCode::NO_CONTENT)
                .header(header::ACCESS_CONTROL_ALLOW_METHODS, self.allow)
                .header(header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, dpop")
                .header(header::ACCESS_CONTROL_MAX_AGE, "86400")
                .finish();
            response.set_data(Open);
            return Ok(response);
        }
        match self.inner.call(request).await {
            Ok(output) => {
                let mut response = output.into_response();
                response.set_data(Open);
                Ok(response)
            }
            Err(mut error) => {
                error.set_data(Open);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use poem::{EndpointExt as _, Route, endpoint::make_sync};

    use super::*;
    use crate::web::layers::{Layers, only};

    async fn ask(path: &str, method: Method) -> Response {
        let ok = || make_sync(|_| "ok");
        let broken = make_sync(|_| Err::<String, _>(poem::Error::from_status(StatusCode::BAD_REQUEST)));
        let routes = Route::new()
            .at("/oauth2/token", any_origin("POST", only("POST", ok())))
            .at("/oauth2/broken", any_origin("POST", broken))
            .at("/oauth2/authorize", only("GET, POST", ok()));
        let request = Request::builder()
            .method(method)
            .uri_str(path)
            .header("origin", "https://app.example")
            .header("access-control-request-method", "POST");
        routes.with(Layers::new(None)).call(request.finish()).await.unwrap()
    }

    #[tokio::test]
    async fn px_02_any_site_may_read_the_token_endpoint_without_credentials() {
        for (path, method, status) in [
            ("/oauth2/token", Method::POST, 200),
            ("/oauth2/token", Method::OPTIONS, 204),
            ("/oauth2/token", Method::GET, 405),
            ("/oauth2/broken", Method::POST, 400),
        ] {
            let response = ask(path, method).await;
            assert_eq!(response.status(), status, "{path}");
            assert_eq!(response.header("access-control-allow-origin"), Some("*"), "{path} {status}");
            assert_eq!(response.header("access-control-allow-credentials"), None);
        }
        assert_eq!(ask("/oauth2/token", Method::OPTIONS).await.header("access-control-allow-methods"), Some("POST"));
    }

    #[tokio::test]
    async fn px_02_no_site_may_read_authorize() {
        for method in [Method::GET, Method::OPTIONS] {
            assert_eq!(ask("/oauth2/authorize", method).await.header("access-control-allow-origin"), None);
        }
    }
}
