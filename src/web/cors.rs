//! Which browser origins may read answers (Fetch standard §3.2). Never with credentials: these endpoints read no cookie.

use poem::{
    Endpoint, IntoResponse, Request, Response,
    http::{HeaderValue, Method, StatusCode, header},
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
/// without the headers: it is the browser that keeps them from the page.
pub fn cors<E: Endpoint, O: Origins>(origins: O, inner: E) -> Cors<E, O> {
    Cors { inner, origins }
}

impl<E: Endpoint, O: Origins> Endpoint for Cors<E, O> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let origin = request.headers().get(header::ORIGIN).cloned();
        let allowed = origin.filter(|origin| origin.to_str().is_ok_and(|origin| self.origins.allow(origin)));
        let preflight = request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let mut response = match (&allowed, preflight) {
            (Some(_), true) => Response::builder()
                .status(StatusCode::NO_CONTENT)
                .header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST")
                .header(header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, code-verifier")
                .header(header::ACCESS_CONTROL_MAX_AGE, "600")
                .finish(),
            _ => self.inner.call(request).await.map_or_else(|error| error.into_response(), IntoResponse::into_response),
        };
        let headers = response.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = allowed {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        Ok(response)
    }
}
