//! The JSON API: its service, its generated document, and the switch of version 2.

use std::sync::Arc;

use poem::{
    Endpoint, EndpointExt as _, IntoResponse as _, Request, Response, handler,
    http::{StatusCode, header},
    web::Data,
};
use poem_openapi::OpenApiService;

use crate::{
    config::Live,
    federation::app::api::UpstreamApi,
    magic_link::{api::MagicLinkApi, api_v2::LoginsApi},
    web::{caller::Caller, docs::DocumentationPage, problem::Problem},
};

pub(super) type Service = OpenApiService<(MagicLinkApi, UpstreamApi, LoginsApi), ()>;

pub(super) fn service() -> Service {
    OpenApiService::new(
        (MagicLinkApi, UpstreamApi, LoginsApi),
        "Entree",
        env!("CARGO_PKG_VERSION"),
    )
    .summary("Passwordless sign-in")
    .description(
        "Sign-in for applications that draw their own form. Applications that use a browser speak OpenID Connect; \
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
    request: Request,
    config: &Live,
    document: &ApiDocument,
) -> poem::Result<Response> {
    let path = request.uri().path().to_owned();
    if path.starts_with("/api/v2") && !config.get().api.v2_enabled {
        let reference = Caller::from_request(&request).request_id;
        let problem = Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing here.");
        return Ok(problem.with_reference(reference).into_response());
    }
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

/// The generated document and its page, made once.
pub(super) struct ApiDocument {
    json: String,
    value: serde_json::Value,
    page: DocumentationPage,
}

impl ApiDocument {
    pub(super) fn new(service: &Service) -> Self {
        let json = service.spec();
        Self {
            value: serde_json::from_str(&json).unwrap_or_default(),
            json,
            page: DocumentationPage::new(&service.swagger_ui_html()),
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
pub(super) fn openapi_json(Data(document): Data<&Arc<ApiDocument>>) -> Response {
    Response::builder()
        .header(header::CACHE_CONTROL, "no-cache")
        .content_type("application/json")
        .body(document.json.clone())
}

/// `/docs`.
#[handler]
pub(super) fn documentation(Data(document): Data<&Arc<ApiDocument>>) -> Response {
    document.page.to_response()
}
