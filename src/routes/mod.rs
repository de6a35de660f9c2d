//! The public listener: its routes with the layers around them.

mod api;
mod dev;
mod document;
mod lanes;
mod post_protection;
mod table;

use std::sync::Arc;

use poem::{Endpoint, EndpointExt as _, Request, Response, get, handler, http::StatusCode};

use crate::{
    app::App,
    client, db,
    federation::provider::Providers,
    login::{client_home, context, first_party, page::ErrorPage},
    mail::mailbox::Mailbox,
    oauth::{self, discovery::Metadata},
    web::{
        again::Repeatable,
        cors::{CorsEndpoints, cors},
        lane::{LaneSlots, Lanes},
        layers::{self, Layers},
        line_budget::LineBudget,
        methods::allow_methods,
        page::{PageOptions, render_page},
    },
};
use api::ApiDocument;
use document::Document;
pub use post_protection::{POST_ROUTES, PostProtection};

/// Returns the generated document of the public API, as committed in `openapi/public.yaml`.
#[must_use]
pub fn openapi_public() -> String {
    Document::new(&api::service().spec_yaml(), "/").to_yaml()
}

/// Returns everything on the public listener, with the layers around it. `mailbox` is there in
/// `entree dev` only.
pub fn public(
    app: &App,
    mailbox: Option<Mailbox>,
    providers: &Providers,
) -> impl Endpoint<Output = Response> + 'static {
    let service = api::service();
    let document = Arc::new(ApiDocument::new(&service, &app.public_url));
    let live = app.config.clone();
    let client_origins = move |origin: &str| client::origin_allowed(&live.get(), origin);
    let api = api::endpoint(service, app.config.clone(), Arc::clone(&document));
    let mut routes = table::routes(client_origins.clone())
        .at("/", allow_methods("GET, HEAD", get(home)))
        .nest_no_strip("/api", cors(client_origins.clone(), api));
    let is_dev = mailbox.is_some();
    if let Some(mailbox) = mailbox {
        routes = routes.nest("/dev", dev::routes(mailbox));
    }
    let issuer: first_party::TokenIssuer = Arc::new(oauth::issuer::Issuer { app: app.clone() });
    let mut layers = Layers::new(Some(app.public_url.clone()));
    layers.trusted_proxies = app.config.startup().server.trusted_proxies.clone().into();
    layers.unnamed_proxy = app.unnamed_proxy.clone();
    layers.path_stripping = app.path_stripping.clone();
    layers.redirect_loopback = is_dev;
    layers.lines = Some(LineBudget::default());
    layers.error_page = Some(error_page(app));
    layers.cors = Some(CorsEndpoints::new(client_origins, table::has_cors));
    let slots = LaneSlots::of(app.config.startup());
    layers.lanes = Some(Lanes::new(slots, lanes::lane_of));
    routes
        .data(app.clone())
        .data(issuer)
        .data(Metadata::default())
        .data(document)
        .data(providers.clone())
        .around(after_commit)
        .with(layers)
}

/// Holds a response back until the commits that it depends on are durable (SP-2).
async fn after_commit<E: Endpoint>(endpoint: Arc<E>, request: Request) -> poem::Result<E::Output> {
    db::until_decided(endpoint.call(request)).await?
}

/// `/`: people who open it by hand go to their account.
#[handler]
fn home() -> Response {
    context::see_other("/account")
}

/// Renders the errors for people that no endpoint renders: no such page, wrong method, too large.
fn error_page(app: &App) -> layers::ErrorPage {
    let app = app.clone();
    Arc::new(move |error, failed| {
        let (localizer, options) = failed.look.get().unwrap_or_else(|| {
            let localizer = app.texts.negotiate("", &failed.caller.accept_language);
            (localizer, PageOptions::for_url(&app.public_url))
        });
        let key = match error.status {
            StatusCode::NOT_FOUND => "error-not-found",
            StatusCode::METHOD_NOT_ALLOWED => "error-method",
            StatusCode::MISDIRECTED_REQUEST => "error-deployment",
            StatusCode::TOO_MANY_REQUESTS => "error-busy",
            StatusCode::SERVICE_UNAVAILABLE => "error-away",
            status if status.is_server_error() => "error-internal",
            _ => "error-request",
        };
        let repeatable = failed.repeatable.as_ref();
        let again = repeatable.filter(|_| error.status.is_server_error());
        let config = app.config.get();
        let client = client_home::client_in_uri(&failed.uri, &config);
        let client = client.map(|client| client.client_id.as_str());
        let client_page = client_home::home_of(&config, client);
        let label = match &client_page {
            Some((_, name)) => localizer.text_with("error-to-client", &[("client", name.clone())]),
            None => localizer.text("error-next"),
        };
        let page = ErrorPage {
            next_href: Some(
                client_page
                    .as_ref()
                    .map_or("/login", |(page, _)| page.as_str()),
            ),
            next_label: Some(label),
            again: again.map(Repeatable::again),
            ..ErrorPage::with_texts(&localizer, error.status, key, error.reference.as_deref())
        };
        render_page(&page, options)
    })
}
