//! The table of routes: every path with its methods. The paths of the JSON API are in the generated
//! document.

use poem::{Route, get, post};

use super::api;
use crate::{
    account::{overview, sign_out},
    federation::endpoint,
    login::{restart, resume, sign_in},
    magic_link::pages,
    oauth::{
        authorize, connected, device, discovery, end_session, introspect, par, revoke, token,
        userinfo,
    },
    web::{
        assets,
        cors::{Origins, cors},
        methods::allow_methods,
    },
};

/// The endpoints outside `/api` that have CORS.
const CORS: [&str; 4] = [
    "/oauth2/token",
    "/oauth2/par",
    "/oauth2/userinfo",
    "/oauth2/revoke",
];

/// Returns whether the endpoint at a path has CORS.
pub(super) fn has_cors(path: &str) -> bool {
    CORS.contains(&path) || path.starts_with("/api/")
}

/// Returns all routes but those of the JSON API and of the mailbox.
pub(super) fn routes(client_origins: impl Origins + Clone + 'static) -> Route {
    let routes = add_sign_in(Route::new());
    let routes = add_federation(routes);
    let routes = add_account(routes);
    let routes = add_browser_oauth(routes);
    let routes = add_client_oauth(routes, client_origins);
    add_documents(routes)
}

fn add_sign_in(routes: Route) -> Route {
    routes
        .at("/login", allow_methods("GET, HEAD", get(sign_in::sign_in)))
        .at(
            "/login/again",
            allow_methods("GET, HEAD", get(restart::again)),
        )
        .at(
            "/login/email",
            allow_methods("POST", post(pages::start::request_email)),
        )
        .at(
            "/login/sent",
            allow_methods("GET, HEAD", get(pages::sent::show)),
        )
        .at(
            "/login/sent/state",
            allow_methods("GET, HEAD", get(pages::sent::state)),
        )
        .at(
            "/login/code",
            allow_methods("POST", post(pages::code::submit)),
        )
        .at(
            "/login/link",
            allow_methods("GET", get(pages::link::show_without_token)),
        )
        .at(
            "/login/link/:token",
            allow_methods(
                "GET, POST",
                get(pages::link::show).post(pages::link::submit),
            ),
        )
        .at(
            "/login/continue",
            allow_methods("GET", get(resume::continue_sign_in)),
        )
        .at(
            "/login/restart",
            allow_methods("GET", get(restart::restart)),
        )
}

/// The pages of sign-in with an upstream provider.
fn add_federation(routes: Route) -> Route {
    routes
        .at(
            "/login/upstream/:provider",
            allow_methods("POST", post(endpoint::start_flow)),
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
                // The handler itself must see HEAD to refuse it. Otherwise the framework would turn it into a
                // GET, which uses the flow up (CB-01).
                get(endpoint::callback::get)
                    .head(endpoint::callback::get)
                    .post(endpoint::callback::post),
            ),
        )
        .at(
            "/upstream/:provider/callback/resume",
            allow_methods("GET", get(endpoint::callback::resume)),
        )
}

fn add_account(routes: Route) -> Route {
    routes
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
}

/// The OAuth endpoints that a browser opens.
fn add_browser_oauth(routes: Route) -> Route {
    routes
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
            "/login/name",
            allow_methods(
                "GET, POST",
                get(authorize::name::show).post(authorize::name::submit),
            ),
        )
        .at(
            "/consent",
            allow_methods(
                "GET, POST",
                get(authorize::consent::show_consent).post(authorize::consent::decide),
            ),
        )
        .at(
            "/device",
            allow_methods(
                "GET, POST",
                get(device::page::show).post(device::page::enter),
            ),
        )
        .at(
            "/device/decide",
            allow_methods("POST", post(device::page::decide)),
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
}

/// The OAuth endpoints that client software calls.
fn add_client_oauth(routes: Route, origins: impl Origins + Clone + 'static) -> Route {
    routes
        .at(
            "/oauth2/token",
            cors(origins.clone(), allow_methods("POST", post(token::token))),
        )
        .at(
            "/oauth2/par",
            cors(
                origins.clone(),
                allow_methods("POST", post(par::push_request)),
            ),
        )
        .at(
            "/oauth2/userinfo",
            cors(
                origins.clone(),
                allow_methods(
                    "GET, HEAD, POST",
                    // The framework would turn HEAD into a GET, for which the proof is not (RFC 9449 §4.2).
                    get(userinfo::userinfo)
                        .head(userinfo::userinfo)
                        .post(userinfo::userinfo),
                ),
            ),
        )
        .at(
            "/oauth2/revoke",
            cors(origins, allow_methods("POST", post(revoke::revoke))),
        )
        .at(
            "/oauth2/device_authorization",
            allow_methods("POST", post(device::start::start)),
        )
        .at(
            "/oauth2/introspect",
            allow_methods("POST", post(introspect::introspect)),
        )
}

/// Documents for client software, and static files.
fn add_documents(routes: Route) -> Route {
    let with_icons = assets::ICON_PATHS.iter().fold(routes, |routes, path| {
        let icon = allow_methods("GET, HEAD", get(assets::serve_icon()));
        routes.at(path, icon)
    });
    with_icons
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
            allow_methods("GET, HEAD", get(api::openapi_json)),
        )
        .at("/docs", allow_methods("GET, HEAD", get(api::documentation)))
        .at(
            assets::style_path(),
            allow_methods("GET, HEAD", get(assets::serve_style(assets::FOR_GOOD))),
        )
        .at(
            "/assets/entree.css",
            allow_methods("GET, HEAD", get(assets::serve_style("public, max-age=300"))),
        )
}
