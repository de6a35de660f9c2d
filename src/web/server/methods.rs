//! The methods that a path takes.

use poem::{
    Endpoint, IntoResponse, Request, Response,
    http::{StatusCode, header},
};

/// Answers 405 with Allow to every method that is not listed in `allow` (`"GET"`, `"GET, POST"`).
///
/// The framework answers HEAD by running the GET handler. Where a GET reads a secret or changes
/// something (mailed links, authorize), HEAD is left out of the list (PO-01, CF-05). The callback of a
/// provider lists it and refuses it itself, so that the refusal has its code (CB-01).
pub fn allow_methods<E: Endpoint>(allow: &'static str, inner: E) -> AllowMethods<E> {
    AllowMethods { allow, inner }
}

/// Made by [`allow_methods`].
pub struct AllowMethods<E> {
    allow: &'static str,
    inner: E,
}

impl<E: Endpoint> Endpoint for AllowMethods<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let method = request.method().as_str();
        if self.allow.split(", ").any(|allowed| allowed == method) {
            let result = self.inner.call(request).await;
            return result.map(IntoResponse::into_response);
        }
        let response = Response::builder()
            .status(StatusCode::METHOD_NOT_ALLOWED)
            .header(header::ALLOW, self.allow)
            .finish();
        Err(poem::Error::from_response(response))
    }
}
