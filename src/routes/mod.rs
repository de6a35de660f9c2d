//! The table of routes: every path, its methods, and whether a POST there is protected or reads no cookie.

pub mod dev;

use std::sync::Arc;

use poem::{
    Endpoint, EndpointExt as _, IntoResponse as _, Request, Response, Route, get, handler,
    http::{StatusCode, header},
    post,
    web::Data,
};
use poem_openapi::OpenApiService;

use crate::{
    account::{overview, sign_out},
    app::App,
    client,
    config::Live,
    federation::{app::api::UpstreamApi, endpoint, provider::Providers},
    login::{first_party, page::ErrorPage, resume, sign_in},
    magic_link::{api::MagicLinkApi, api_v2::LoginsApi, pages},
    mail::mailbox::Mailbox,
    oauth::{
        self, authorize, connected, discovery, discovery::Metadata, end_session, introspect,
        revoke, token, userinfo,
    },
    web::{
        assets,
        caller::Caller,
        cors::cors,
        docs,
        layers::{self, Layers, allow_methods},
        page::{PageOptions, render_page},
        problem::Problem,
    },
};

/// Why a POST route needs no further look: it checks the form's token and origin, or it reads no cookie (CF-04).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostProtection {
    /// Form token bound to the browser's cookie, and origin check.
    FormToken,
    /// Reads no cookie.
    CookieFree,
}

/// Every path that takes a POST, and why it may. A test holds this against the routes.
pub const POST_ROUTES: &[(&str, PostProtection)] = &[
    ("/login/email", PostProtection::FormToken),
    ("/login/code", PostProtection::FormToken),
    ("/login/link/:token", PostProtection::FormToken),
    ("/login/upstream/:provider", PostProtection::FormToken),
    ("/login/identity", PostProtection::FormToken),
    (
        "/account/identities/:id/disconnect",
        PostProtection::FormToken,
    ),
    ("/upstream/:provider/callback", PostProtection::CookieFree),
    ("/account/sign-out", PostProtection::FormToken),
    ("/account/sign-out-everywhere", PostProtection::FormToken),
    ("/account/sessions/:id/end", PostProtection::FormToken),
    ("/account/access/remove", PostProtection::FormToken),
    ("/oauth2/authorize", PostProtection::CookieFree),
    ("/oauth2/authorize/cancel", PostProtection::FormToken),
    ("/consent", PostProtection::FormToken),
    ("/oauth2/logout", PostProtection::CookieFree),
    ("/oauth2/logout/confirm", PostProtection::FormToken),
    ("/oauth2/token", PostProtection::CookieFree),
    ("/oauth2/userinfo", PostProtection::CookieFree),
    ("/oauth2/revoke", PostProtection::CookieFree),
    ("/oauth2/introspect", PostProtection::CookieFree),
    (
        "/api/v1/auth/magic-link/request",
        PostProtection::CookieFree,
    ),
    (
        "/api/v1/auth/magic-link/consume",
        PostProtection::CookieFree,
    ),
    (
        "/api/v1/auth/oidc/:provider/start",
        PostProtection::CookieFree,
    ),
    (
        "/api/v1/auth/oidc/:provider/callback",
        PostProtection::CookieFree,
    ),
    ("/api/v2/logins", PostProtection::CookieFree),
    ("/api/v2/logins/:id/code", PostProtection::CookieFree),
];

fn service() -> OpenApiService<(MagicLinkApi, UpstreamApi, LoginsApi), ()> {
    OpenApiService::new((MagicLinkApi, UpstreamApi, LoginsApi), "Entree", env!("CARGO_PKG_VERSION"))
        .summary("Passwordless sign-in")
        .description(
            "Sign-in for applications that draw their own form. Applications that use a browser speak OpenID Connect; \
             see `/.well-known/openid-configuration`.",
        )
}

/// The generated document of the public API, as committed in `openapi/public.yaml`.
#[must_use]
pub fn openapi_public() -> String {
    service().spec_yaml()
}

/// Everything on the public listener, with the layers around it. `mailbox` in `entree dev` only.
pub fn public(
    app: &App,
    mailbox: Option<Mailbox>,
    providers: &Providers,
) -> impl Endpoint<Output = Response> + 'static {
    let service = service();
    let issuer: first_party::TokenIssuer = Arc::new(oauth::issuer::Issuer { app: app.clone() });
    let spec = Arc::new(Spec::new(&service.spec()));
    let live = app.config.clone();
    let origins = move |origin: &str| client::origin_allowed(&live.get(), origin);
    let gate = Gate {
        config: app.config.clone(),
        spec: Arc::clone(&spec),
    };
    let mut routes = Route::new()
        .nest_no_strip(
            "/api",
            cors(
                origins.clone(),
                service.around(move |api, request| gate.clone().pass(api, request)),
            ),
        )
        .at("/", allow_methods("GET, HEAD", get(home)))
        .at("/login", allow_methods("GET, HEAD", get(sign_in::sign_in)))
        .at("/login/email", allow_methods("POST", post(pages::email)))
        .at("/login/sent", allow_methods("GET, HEAD", get(pages::sent)))
        .at(
            "/login/sent/state",
            allow_methods("GET, HEAD", get(pages::state)),
        )
        .at("/login/code", allow_methods("POST", post(pages::type_code)))
        .at("/login/link", allow_methods("GET", get(pages::scrubbed)))
        .at(
            "/login/link/:token",
            allow_methods("GET, POST", get(pages::show_link).post(pages::use_link)),
        )
        .at(
            "/login/upstream/:provider",
            allow_methods("POST", post(endpoint::start)),
        )
        .at(
            "/login/identity",
            allow_methods(
                "GET, HEAD, POST",
                get(endpoint::link_question).post(endpoint::link_decision),
            ),
        )
        .at(
            "/login/app",
            allow_methods("GET", get(endpoint::app_resume)),
        )
        .at(
            "/upstream/:provider/callback",
            allow_methods(
                "GET, HEAD, POST",
                // By itself HEAD would be GET to the handler, and a link preview would spend the flow (CB-01).
                get(endpoint::callback_get)
                    .head(endpoint::callback_get)
                    .post(endpoint::callback_post),
            ),
        )
        .at(
            "/upstream/:provider/callback/resume",
            allow_methods("GET", get(endpoint::callback_resume)),
        )
        .at(
            "/login/continue",
            allow_methods("GET", get(resume::continue_sign_in)),
        )
        .at("/login/restart", allow_methods("GET", get(resume::restart)))
        .at(
            "/account",
            allow_methods("GET, HEAD", get(overview::account)),
        )
        .at(
            "/account/sign-out",
            allow_methods("POST", post(sign_out::sign_out)),
        )
        .at(
            "/account/sign-out-everywhere",
            allow_methods("POST", post(sign_out::sign_out_everywhere)),
        )
        .at(
            "/account/sessions/:id/end",
            allow_methods("POST", post(sign_out::end_session)),
        )
        .at(
            "/account/identities/:id/disconnect",
            allow_methods("POST", post(endpoint::disconnect_identity)),
        )
        .at(
            "/account/access",
            allow_methods("GET, HEAD", get(connected::connected)),
        )
        .at(
            "/account/access/remove",
            allow_methods("POST", post(connected::remove)),
        )
        .at(
            "/logged-out",
            allow_methods("GET, HEAD", get(sign_out::logged_out)),
        )
        .at(
            "/oauth2/authorize",
            allow_methods(
                "GET, POST",
                get(authorize::authorize).post(authorize::authorize_post),
            ),
        )
        .at(
            "/oauth2/authorize/resume",
            allow_methods("GET", get(authorize::resume)),
        )
        .at(
            "/oauth2/authorize/cancel",
            allow_methods("POST", post(authorize::consent::cancel)),
        )
        .at(
            "/consent",
            allow_methods(
                "GET, POST",
                get(authorize::consent::show_consent).post(authorize::consent::decide),
            ),
        )
        .at(
            "/oauth2/logout",
            allow_methods(
                "GET, POST",
                get(end_session::logout).post(end_session::logout_post),
            ),
        )
        .at(
            "/oauth2/logout/confirm",
            allow_methods("POST", post(end_session::confirm)),
        )
        .at(
            "/oauth2/token",
            cors(origins.clone(), allow_methods("POST", post(token::token))),
        )
        .at(
            "/oauth2/userinfo",
            cors(
                origins.clone(),
                allow_methods(
                    "GET, HEAD, POST",
                    get(userinfo::userinfo).post(userinfo::userinfo),
                ),
            ),
        )
        .at(
            "/oauth2/revoke",
            cors(origins, allow_methods("POST", post(revoke::revoke))),
        )
        .at(
            "/oauth2/introspect",
            allow_methods("POST", post(introspect::introspect)),
        )
        .at(
            "/.well-known/openid-configuration",
            allow_methods("GET, HEAD", get(discovery::metadata)),
        )
        .at(
            "/.well-known/oauth-authorization-server",
            allow_methods("GET, HEAD", get(discovery::metadata)),
        )
        .at(
            "/.well-known/jwks.json",
            allow_methods("GET, HEAD", get(discovery::jwks)),
        )
        .at(
            "/openapi.json",
            allow_methods("GET, HEAD", get(openapi_json)),
        )
        .at("/docs", allow_methods("GET, HEAD", get(documentation)))
        .at(
            assets::style_path(),
            allow_methods(
                "GET, HEAD",
                get(assets::style("public, max-age=31536000, immutable")),
            ),
        )
        .at(
            "/assets/entree.css",
            allow_methods("GET, HEAD", get(assets::style("public, max-age=300"))),
        );
    // The mailbox is there in `entree dev` alone, which also takes other names of this machine for its own.
    let is_dev = mailbox.is_some();
    if let Some(mailbox) = mailbox {
        routes = routes.nest("/dev", dev::routes(mailbox));
    }
    let mut layers = Layers::new(Some(app.public_url.clone()));
    layers.trusted_proxies = app.config.startup().server.trusted_proxies.clone().into();
    layers.redirect_loopback = is_dev;
    layers.error_page = Some(error_page(app));
    routes
        .data(app.clone())
        .data(issuer)
        .data(Metadata::default())
        .data(spec)
        .data(providers.clone())
        .with(layers)
}

/// `/`: where a person who comes here by hand wants to go.
#[handler]
fn home() -> Response {
    crate::login::context::see_other("/account")
}

/// Errors for people that no endpoint drew itself: no such page, wrong method, too large.
fn error_page(app: &App) -> layers::ErrorPage {
    let app = app.clone();
    Arc::new(move |fault, caller| {
        let localizer = app.texts.negotiate("", &caller.accept_language);
        let key = match fault.status {
            StatusCode::NOT_FOUND => "error-not-found",
            StatusCode::TOO_MANY_REQUESTS => "error-busy",
            StatusCode::SERVICE_UNAVAILABLE => "error-away",
            status if status.is_server_error() => "error-internal",
            _ => "error-request",
        };
        let page = ErrorPage {
            next_href: Some("/login"),
            ..ErrorPage::with_texts(&localizer, fault.status, key, &fault.reference)
        };
        render_page(&page, PageOptions::for_url(&app.public_url))
    })
}

/// The switch of `/api/v2`: off, it is as if nothing were there.
#[derive(Clone)]
struct Gate {
    config: Live,
    spec: Arc<Spec>,
}

impl Gate {
    async fn pass<E: Endpoint>(self, api: Arc<E>, request: Request) -> poem::Result<Response> {
        let closed =
            request.uri().path().starts_with("/api/v2") && !self.config.get().api.v2_enabled;
        if closed {
            let reference = Caller::from_request(&request).request_id;
            let problem =
                Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing here.");
            return Ok(problem.with_reference(reference).into_response());
        }
        let path = request.uri().path().to_owned();
        match api.call(request).await {
            Err(error) if error.status() == StatusCode::METHOD_NOT_ALLOWED => {
                let refused = Response::builder().status(StatusCode::METHOD_NOT_ALLOWED);
                let refused = refused
                    .header(header::ALLOW, self.spec.methods(&path))
                    .finish();
                Err(poem::Error::from_response(refused))
            }
            answer => Ok(answer?.into_response()),
        }
    }
}

/// The generated document, parsed and as bytes, made once.
struct Spec {
    json: String,
    value: serde_json::Value,
}

impl Spec {
    fn new(json: &str) -> Self {
        Self {
            json: json.to_owned(),
            value: serde_json::from_str(json).unwrap_or_default(),
        }
    }

    /// The methods of a path, as the header Allow lists them (RFC 9110 §15.5.6).
    fn methods(&self, path: &str) -> String {
        let fits = |template: &str| {
            let (there, here) = (template.split('/'), path.split('/'));
            there.clone().count() == here.clone().count()
                && there
                    .zip(here)
                    .all(|(there, here)| there.starts_with('{') || there == here)
        };
        let paths = self
            .value
            .get("paths")
            .and_then(serde_json::Value::as_object)
            .into_iter()
            .flatten();
        let methods = paths
            .filter(|(template, _)| fits(template))
            .filter_map(|(_, item)| item.as_object());
        methods
            .flat_map(|item| item.keys().map(|method| method.to_uppercase()))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// `/openapi.json`.
#[handler]
fn openapi_json(Data(spec): Data<&Arc<Spec>>) -> Response {
    Response::builder()
        .header(header::CACHE_CONTROL, "no-cache")
        .content_type("application/json")
        .body(spec.json.clone())
}

/// `/docs`: the generated document for people, from this host alone.
#[handler]
fn documentation(Data(app): Data<&App>, Data(spec): Data<&Arc<Spec>>) -> Response {
    docs::page(
        &spec.value,
        "/openapi.json",
        &app.texts.localizer("en"),
        PageOptions::for_url(&app.public_url),
    )
}
