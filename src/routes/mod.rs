//! The public listener: its routes with the layers around them.

mod api;
mod dev;
mod post_protection;
mod table;

use std::sync::Arc;

use poem::{Endpoint, EndpointExt as _, Response, get, handler, http::StatusCode};

use crate::{
    app::App,
    client,
    federation::provider::Providers,
    login::{context, first_party, page::ErrorPage},
    mail::mailbox::Mailbox,
    oauth::{self, discovery::Metadata},
    web::{
        cors::cors,
        layers::{self, Layers},
        methods::allow_methods,
        page::{PageOptions, render_page},
    },
};
use api::ApiDocument;
pub use post_protection::{POST_ROUTES, PostProtection};

/// Returns the generated document of the public API, as committed in `openapi/public.yaml`.
#[must_use]
pub fn openapi_public() -> String {
    api::service().spec_yaml()
}

/// Returns everything on the public listener, with the layers around it. `mailbox` is there in
/// `entree dev` only.
pub fn public(
    app: &App,
    mailbox: Option<Mailbox>,
    providers: &Providers,
) -> impl Endpoint<Output = Response> + 'static {
    let service = api::service();
    let document = Arc::new(ApiDocument::new(&service));
    let live = app.config.clone();
    let client_origins = move |origin: &str| client::origin_allowed(&live.get(), origin);
    let api = api::endpoint(service, app.config.clone(), Arc::clone(&document));
    let mut routes = table::routes(client_origins.clone())
        .at("/", allow_methods("GET, HEAD", get(home)))
        .nest_no_strip("/api", cors(client_origins, api));
    let is_dev = mailbox.is_some();
    if let Some(mailbox) = mailbox {
        routes = routes.nest("/dev", dev::routes(mailbox));
    }
    let issuer: first_party::TokenIssuer = Arc::new(oauth::issuer::Issuer { app: app.clone() });
    let mut layers = Layers::new(Some(app.public_url.clone()));
    layers.trusted_proxies = app.config.startup().server.trusted_proxies.clone().into();
    layers.redirect_loopback = is_dev;
    layers.error_page = Some(error_page(app));
    routes
        .data(app.clone())
        .data(issuer)
        .data(Metadata::default())
        .data(document)
        .data(providers.clone())
        .with(layers)
}

/// `/`: people who open it by hand go to their account.
#[handler]
fn home() -> Response {
    context::see_other("/account")
}

/// Renders the errors for people that no endpoint renders: no such page, wrong method, too large.
fn error_page(app: &App) -> layers::ErrorPage {
    let app = app.clone();
    Arc::new(move |error, caller| {
        let localizer = app.texts.negotiate("", &caller.accept_language);
        let key = match error.status {
            StatusCode::NOT_FOUND => "error-not-found",
            StatusCode::TOO_MANY_REQUESTS => "error-busy",
            StatusCode::SERVICE_UNAVAILABLE => "error-away",
            status if status.is_server_error() => "error-internal",
            _ => "error-request",
        };
        let page = ErrorPage {
            next_href: Some("/login"),
            ..ErrorPage::with_texts(&localizer, error.status, key, &error.reference)
        };
        render_page(&page, PageOptions::for_url(&app.public_url))
    })
}
