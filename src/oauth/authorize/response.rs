//! The authorization response (RFC 6749 §4.1.2): a code or an error, with `state` as sent and `iss`
//! (RFC 9207).

use askama::Template;
use poem::{
    Response,
    http::{StatusCode, header},
};

use super::request::{AuthorizationRequest, ResponseMode, ResponseTarget};
use crate::{
    login::{RequestContext, page::ContinuePage},
    oauth::error::OauthError,
    web::{
        filters,
        locale::Localizer,
        page::{PageContent, Script, render_page},
        reason::RefusalReason,
    },
};

/// A response for the client, before it is rendered.
#[derive(Debug)]
pub(crate) struct AuthorizationResponse {
    target: ResponseTarget,
    fields: Vec<(String, String)>,
    /// Why it is an error, for the log.
    reason: Option<RefusalReason>,
}

impl AuthorizationResponse {
    #[must_use]
    pub(crate) fn code(request: &AuthorizationRequest<'_>, code: String, issuer: &str) -> Self {
        Self::new(request.target.clone(), vec![("code", code)], issuer)
    }

    /// AZ-16: `error`, `error_description`, `state`, `iss` and nothing else.
    #[must_use]
    pub(crate) fn error(target: ResponseTarget, error: &OauthError, issuer: &str) -> Self {
        let fields = vec![
            ("error", error.code.name().to_owned()),
            ("error_description", error.description().into_owned()),
        ];
        Self {
            reason: Some(error.refusal_reason()),
            ..Self::new(target, fields, issuer)
        }
    }

    /// Returns a response that a form of this browser got before, for the same request.
    #[must_use]
    pub(super) fn repeated(target: ResponseTarget, fields: Vec<(String, String)>) -> Self {
        let error = fields.iter().find(|(name, _)| name == "error");
        let reason = error.map(|(_, code)| RefusalReason::new(code.clone()));
        Self {
            target,
            fields,
            reason,
        }
    }

    #[must_use]
    pub(in crate::oauth) fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    fn new(target: ResponseTarget, mut fields: Vec<(&'static str, String)>, issuer: &str) -> Self {
        fields.extend(target.state.clone().map(|state| ("state", state)));
        fields.push(("iss", issuer.to_owned()));
        let fields = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        Self {
            target,
            fields,
            reason: None,
        }
    }
}

/// How a response leaves our origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// By 303, in response to a GET.
    Redirect,
    /// By a page, in response to a form's POST: Chromium applies `form-action` to redirects
    /// (CW-03).
    Page,
}

/// Renders a response for the client.
#[must_use]
pub(crate) fn render(
    context: &RequestContext,
    response: &AuthorizationResponse,
    delivery: Delivery,
) -> Response {
    let target = &response.target;
    let reason = response.reason.clone();
    let fields: Vec<(&str, &str)> = response
        .fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let site = context.page_options_for_client(Some(&target.client_id));
    let localizer = &context.localizer;
    let response = match (target.mode, delivery) {
        (ResponseMode::FormPost, _) => {
            let action = target.uri.as_str();
            render_page(
                &FormPostPage {
                    localizer,
                    action,
                    fields: &fields,
                },
                site,
            )
        }
        (ResponseMode::Query, Delivery::Page) => {
            let href = &target.uri.with_parameters(&fields);
            render_page(&ContinuePage { localizer, href }, site)
        }
        (ResponseMode::Query, Delivery::Redirect) => redirect(&target.uri.with_parameters(&fields)),
    };
    let response = match reason {
        Some(reason) => reason.attach_to(response),
        None => response,
    };
    context.with_pre_login_cookie(response)
}

fn redirect(location: &str) -> Response {
    let mut response = Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::REFERRER_POLICY, "no-referrer")
        .finish();
    match header::HeaderValue::try_from(location) {
        Ok(mut location) => {
            location.set_sensitive(true);
            response.headers_mut().insert(header::LOCATION, location);
        }
        // A registered URI with form-encoded parameters is always a header value.
        Err(_) => response.set_status(StatusCode::INTERNAL_SERVER_ERROR),
    }
    response
}

/// Carries a response to the client by a form (OAuth 2.0 Form Post Response Mode §2).
#[derive(Template)]
#[template(path = "oauth/authorize/form_post.html", config = ".askama.toml")]
pub(crate) struct FormPostPage<'a> {
    pub(crate) localizer: &'a Localizer,
    /// The verified redirect URI.
    pub(crate) action: &'a str,
    pub(crate) fields: &'a [(&'a str, &'a str)],
}

impl PageContent for FormPostPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("form-post-title")
    }
    fn script(&self) -> Option<Script> {
        Some(Script {
            source: include_str!("form_post.js"),
            connects: false,
        })
    }
    fn referrer(&self) -> &'static str {
        "no-referrer"
    }
    fn posts_to_other_origin(&self) -> bool {
        true
    }
}
