//! The JSON API: its service, its generated document, and the switch of version 2.

use std::sync::Arc;

use hyper::body::Bytes;
use poem::{
    Endpoint, EndpointExt as _, IntoResponse as _, Request, Response, handler,
    http::{StatusCode, header},
    web::Data,
};
use poem_openapi::{OpenApiService, error::ParseRequestPayloadError};

use super::document::Document;
use crate::{
    app::App,
    config::Live,
    federation::app::api::UpstreamApi,
    magic_link::{api::MagicLinkApi, api_v2::LoginsApi},
    web::{docs::DocumentationPage, problem::Problem, shared::SharedBody},
};

pub(super) type Service = OpenApiService<(MagicLinkApi, UpstreamApi, LoginsApi), ()>;

pub(super) fn service() -> Service {
    OpenApiService::new(
        (MagicLinkApi, UpstreamApi, LoginsApi),
        "Entree",
        env!("CARGO_PKG_VERSION"),
    )
    .description(
        "Passwordless sign-in for applications that draw their own form. Applications that use a browser speak OpenID Connect; \
         see `/.well-known/openid-configuration`.",
    )
}

/// Returns the endpoint below `/api`.
pub(super) fn endpoint(
    service: Service,
    config: Live,
    document: Arc<ApiDocument>,
) -> impl Endpoint<Output = Response> {
    service.around(move |api, request| {
        let (config, document) = (config.clone(), Arc::clone(&document));
        async move { call(&*api, request, &config, &document).await }
    })
}

/// Calls the API. While `api.v2_enabled` is off, version 2 is as if it were not there. Where a
/// method is not allowed, it adds what the framework leaves out: Allow.
async fn call<E: Endpoint>(
    api: &E,
    mut request: Request,
    config: &Live,
    document: &ApiDocument,
) -> poem::Result<Response> {
    let path = request.uri().path().to_owned();
    if path.starts_with("/api/v2") && !config.get().api.v2_enabled {
        let problem = Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing here.");
        return Ok(problem.into_response());
    }
    check_strings(&mut request).await?;
    match api.call(request).await {
        Err(error) if error.status() == StatusCode::METHOD_NOT_ALLOWED => {
            let response = Response::builder()
                .status(StatusCode::METHOD_NOT_ALLOWED)
                .header(header::ALLOW, document.methods(&path))
                .finish();
            Err(poem::Error::from_response(response))
        }
        result => Ok(result?.into_response()),
    }
}

/// Refuses a body with a value that is neither a string nor null. Every value of this API is a string, and
/// the framework would take a number for one: a code sent as a number works until one begins with 0.
async fn check_strings(request: &mut Request) -> poem::Result<()> {
    let body = request.take_body().into_vec().await?;
    // What is no JSON object is refused in the words of the framework.
    let values: Option<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_slice(&body).ok();
    request.set_body(body);
    let is_expected = |value: &serde_json::Value| value.is_string() || value.is_null();
    if values.is_none_or(|values| values.values().all(is_expected)) {
        return Ok(());
    }
    let reason = "Expected input type \"string\", found another.".to_owned();
    Err(ParseRequestPayloadError { reason }.into())
}

/// The document and its page, made once, each with version 2 and without.
pub(super) struct ApiDocument {
    value: serde_json::Value,
    with_v2: Published,
    without_v2: Published,
}

struct Published {
    json: Bytes,
    page: DocumentationPage,
}

impl ApiDocument {
    pub(super) fn new(service: &Service, public_url: &str) -> Self {
        let generated = service.spec();
        let document = Document::new(&service.spec_yaml(), public_url);
        let publish = |document: &Document| {
            let json = document.to_json();
            let page = service.swagger_ui_html().replacen(&generated, &json, 1);
            let page = DocumentationPage::new(&page);
            Published {
                json: json.into(),
                page,
            }
        };
        Self {
            with_v2: publish(&document),
            without_v2: publish(&document.without_v2()),
            value: serde_json::from_str(&generated).unwrap_or_default(),
        }
    }

    fn published(&self, config: &Live) -> &Published {
        if config.get().api.v2_enabled {
            &self.with_v2
        } else {
            &self.without_v2
        }
    }

    /// Returns the methods of a path, as the header Allow lists them (RFC 9110 §15.5.6).
    fn methods(&self, path: &str) -> String {
        let matches = |template: &str| {
            let (expected, segments) = (template.split('/'), path.split('/'));
            expected.clone().count() == segments.clone().count()
                && expected
                    .zip(segments)
                    .all(|(expected, segment)| expected.starts_with('{') || expected == segment)
        };
        let paths = self
            .value
            .get("paths")
            .and_then(serde_json::Value::as_object);
        paths
            .into_iter()
            .flatten()
            .filter(|(template, _)| matches(template))
            .filter_map(|(_, item)| item.as_object())
            .flat_map(|item| item.keys().map(|method| method.to_uppercase()))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// `/openapi.json`.
#[handler]
pub(super) fn openapi_json(
    Data(app): Data<&App>,
    Data(document): Data<&Arc<ApiDocument>>,
) -> Response {
    let response = Response::builder()
        .header(header::CACHE_CONTROL, "no-cache")
        .content_type("application/json")
        .body(document.published(&app.config).json.clone());
    SharedBody::mark(response)
}

/// `/docs`.
#[handler]
pub(super) fn documentation(
    Data(app): Data<&App>,
    Data(document): Data<&Arc<ApiDocument>>,
) -> Response {
    document.published(&app.config).page.to_response()
}
