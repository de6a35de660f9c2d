//! Errors in the form of their audience, and the headers of every response.

use poem::{
    Response,
    http::{HeaderName, HeaderValue, StatusCode, header},
};

use super::{FailedRequest, Layered, record::RequestSummary};
use crate::{
    error::InfraError,
    web::{
        error::{Audience, ErrorResponse},
        response::{hsts, reason::RefusalReason},
        server::{
            cors::ReadableBy,
            host::EarlyResponse,
            lane::{LaneName, retry_after},
            mount, rejection,
            unit::{EndpointResult, NoResponse},
        },
    },
};

impl<E> Layered<E> {
    /// Renders the response to a request that did not reach its endpoint.
    pub(super) fn render_early(
        &self,
        early: EarlyResponse,
        named_host: Option<&str>,
        summary: &RequestSummary,
    ) -> Response {
        match early {
            EarlyResponse::Error(status) => {
                let error = ErrorResponse::new(status, &summary.caller.request_id);
                let host = named_host.filter(|_| status == StatusCode::MISDIRECTED_REQUEST);
                RefusalReason::of_status(status)
                    .about(host)
                    .attach_to(self.render(&error, summary))
            }
            EarlyResponse::Ended => self.render_ended(summary),
            EarlyResponse::LaneFull(name) => self.render_lane_full(name, summary),
            EarlyResponse::Redirect(response) => *response,
        }
    }

    /// Renders what an endpoint returned, or that it returned nothing.
    pub(super) fn render_result(
        &self,
        result: EndpointResult,
        summary: &RequestSummary,
    ) -> Response {
        let request_id = &summary.caller.request_id;
        let (status, reason) = match result {
            Ok(Ok(response)) => return response,
            Ok(Err(error)) => return self.render_error(error, summary),
            Err(NoResponse::Panicked) => (StatusCode::INTERNAL_SERVER_ERROR, "panic"),
            Err(NoResponse::TooLong) => {
                summary.caller.log_line.always_write();
                tracing::error!(request_id, "a request took too long");
                (StatusCode::SERVICE_UNAVAILABLE, "request_timeout")
            }
        };
        let response = self.render(&ErrorResponse::new(status, request_id), summary);
        RefusalReason::new(reason).attach_to(response)
    }

    /// Renders the response to a request that ends to make space for others.
    fn render_ended(&self, summary: &RequestSummary) -> Response {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let error = ErrorResponse::new(status, &summary.caller.request_id);
        let mut response = self.render(&error, summary);
        close_after(&mut response, summary);
        RefusalReason::new("request_space").attach_to(response)
    }

    /// SP-4: renders the response to a request for which there is no slot. Nothing was done.
    fn render_lane_full(&self, name: LaneName, summary: &RequestSummary) -> Response {
        let request_id = &summary.caller.request_id;
        let error = ErrorResponse::new(StatusCode::SERVICE_UNAVAILABLE, request_id);
        let mut response = self.render(&error, summary);
        let retry_after = retry_after(request_id);
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, retry_after);
        RefusalReason::new(name.limit()).attach_to(response)
    }

    /// Logs an error of an endpoint and gives it the form of its audience. An error with a response
    /// of its own keeps that one. Plain text is the framework's, and may tell a cause.
    fn render_error(&self, error: poem::Error, summary: &RequestSummary) -> Response {
        let status = error.status();
        let request_id = &summary.caller.request_id;
        let infra_error = error.downcast_ref::<InfraError>();
        // A fault of ours has its line, and its reference leads there.
        if infra_error.is_some() || status.is_server_error() {
            summary.caller.log_line.always_write();
        }
        match infra_error {
            Some(infra_error) => infra_error.log(request_id),
            None if status.is_server_error() => {
                tracing::error!(request_id, cause = %error, "answered {status}");
            }
            None => {}
        }
        let is_infra_error = infra_error.is_some();
        let detail = if is_routing_status(status) {
            String::new()
        } else {
            rejection::detail(&error)
        };
        let mut original = error.into_response();
        if !is_infra_error && !is_plain_text(&original) {
            return original;
        }
        let error = ErrorResponse::new(status, request_id).with_detail(&detail);
        let mut response = self.render(&error, summary);
        // Retry-After, Allow and WWW-Authenticate stay, and so does the pattern of the route.
        let kept = original.headers().iter();
        for (name, value) in kept.filter(|(name, _)| !name.as_str().starts_with("content-")) {
            response.headers_mut().insert(name, value.clone());
        }
        *response.extensions_mut() = std::mem::take(original.extensions_mut());
        // The reason of an endpoint stays; fixed words of the framework have none.
        if is_infra_error || response.data::<RefusalReason>().is_none() {
            response = RefusalReason::of_status(status).attach_to(response);
        }
        response
    }

    fn render(&self, error: &ErrorResponse, summary: &RequestSummary) -> Response {
        let error = &summary.without_dead_reference(error);
        let mut response = match (&self.layers.error_page, summary.audience) {
            (Some(page), Audience::People) => {
                let failed = FailedRequest {
                    uri: summary.uri.clone(),
                    caller: summary.caller.clone(),
                    look: summary.look.clone(),
                    repeatable: summary.repeatable.get().cloned().flatten(),
                };
                page(error, &failed)
            }
            (_, audience) => error.render(audience),
        };
        // The rest of the body is not read.
        let has_unread_body = matches!(
            error.status,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
        );
        if has_unread_body {
            close_after(&mut response, summary);
        }
        response
    }

    /// Returns the mark of a response that is not the endpoint's own.
    fn readable_by(&self, summary: &RequestSummary) -> Option<ReadableBy> {
        let path = self.base_path.inside(summary.uri.path())?;
        let cors = self.layers.cors.as_ref()?;
        cors.readable_by(path, summary.origin.as_ref())
    }

    /// Sets the headers of every response. One that the endpoint has set stays: pages set theirs.
    pub(super) fn set_headers(&self, response: &mut Response, summary: &RequestSummary) {
        const DEFAULTS: [(HeaderName, &str); 4] = [
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
            ),
        ];
        mount::complete_location(response, &self.base_path);
        let marked = response.data::<ReadableBy>().cloned();
        let readable_by = marked.or_else(|| self.readable_by(summary));
        let headers = response.headers_mut();
        if let Some(readable_by) = readable_by {
            readable_by.write_headers(headers);
        }
        for (name, value) in DEFAULTS {
            headers
                .entry(name)
                .or_insert(HeaderValue::from_static(value));
        }
        if self.public_host.as_ref().is_some_and(|host| host.hsts) {
            headers
                .entry(header::STRICT_TRANSPORT_SECURITY)
                .or_insert(HeaderValue::from_static(hsts::VALUE));
        }
        if let Ok(id) = HeaderValue::try_from(summary.caller.request_id.as_str()) {
            headers.insert(HeaderName::from_static("x-request-id"), id);
        }
    }
}

/// Has the connection of a request whose body was not read closed after the response.
fn close_after(response: &mut Response, summary: &RequestSummary) {
    if summary.is_http_1 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
}

/// Returns whether the fixed words of the status say all there is to say.
fn is_routing_status(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
    )
}

fn is_plain_text(response: &Response) -> bool {
    let content_type = response.content_type();
    content_type.is_none_or(|content_type| content_type.starts_with("text/plain"))
}
