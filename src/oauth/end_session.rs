//! `/oauth2/logout`: sign-out at a client's request (RP-Initiated Logout 1.0).
//!
//! A hint that names this browser's session ends it at once. Otherwise the user is asked, by a form
//! of ours (ES-6, ST-07). The browser is redirected only if a hint that we signed names a client
//! that has registered exactly that URI (ES-1). In every other case it stays on a page of ours
//! (ES-2, ES-3).

use askama::Template;
use poem::{Body, Request, Response, handler, web::Data};
use serde::{Deserialize, Serialize};

use super::{access_token::text_claim, posted_request};
use crate::{
    app::App,
    audit::{Event, Kind},
    client,
    config::{Client, Reloadable},
    error::InfraError,
    key::Claims,
    login::{
        context::{RequestContext, see_other},
        page::ContinuePage,
        page_error::{self, PageError},
    },
    session::{self, CurrentSession},
    user,
    web::{
        locale::Localizer,
        page::{PageContent, render_page},
        params::Params,
    },
};

const KNOWN: [&str; 6] = [
    "id_token_hint",
    "post_logout_redirect_uri",
    "client_id",
    "state",
    "logout_hint",
    "ui_locales",
];

/// The name of the confirmation form.
const FORM: &str = "logout";

/// The longest [`Destination`] in a form.
const MAX_DESTINATION: usize = 8192;

/// Where the browser goes after the sign-out. While the user is asked it is kept in the form, whose
/// token covers it, and not in the ticket store: a signed-in user may open any number of those
/// pages.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Destination {
    client_id: String,
    uri: String,
    state: Option<String>,
}

impl Destination {
    /// RPL §3: the URI with `state` as sent and nothing else (ES-4). None if the client has not
    /// registered exactly this URI.
    fn href(&self, config: &Reloadable) -> Option<String> {
        let registered = &client::find(config, &self.client_id)?.post_logout_redirect_uris;
        if !registered.contains(&self.uri) {
            return None;
        }
        let Some(state) = &self.state else {
            return Some(self.uri.clone());
        };
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("state", state)
            .finish();
        let separator = if self.uri.contains('?') { '&' } else { '?' };
        Some(format!("{}{separator}{query}", self.uri))
    }
}

/// `POST /oauth2/logout`: a cross-site POST carries no cookie, so the request continues as a GET of
/// our own.
#[handler]
pub(crate) async fn logout_post(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let path = "/oauth2/logout";
        match posted_request::store(app, request, body, path).await {
            Ok(location) => Ok(see_other(&location)),
            // RD-08: signing out works without the ticket store. The form is lost, so the user is
            // asked as if there were no hint.
            Err(PageError::Infra(error)) if error.is_transient() => {
                tracing::warn!(cause = %error, "a posted sign-out was not stored");
                Ok(see_other(path))
            }
            Err(error) => Err(error),
        }
    })
    .await
}

/// `GET /oauth2/logout`.
#[handler]
pub(crate) async fn logout(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let params = posted_request::load_params(app, request).await?;
        params.check_all(&KNOWN)?;
        let languages = params
            .optional_within("ui_locales", 512)?
            .unwrap_or_default();
        let context = RequestContext::load(app, request, languages).await?;
        let hint = read_hint(app, &params)?;
        let destination = read_destination(&params, hint.as_ref(), &context.config)?;
        let Some(current) = &context.current else {
            return Ok(render_signed_out(&context, destination.as_ref(), false));
        };
        if hint.is_some_and(|hint| names_session(&hint, current)) {
            end_session(app, &context, current).await?;
            return Ok(render_signed_out(&context, destination.as_ref(), false));
        }
        ask(app, &context, current, destination.as_ref()).await
    })
    .await
}

/// Returns the claims of the hint, if there is one. A hint that is not ours is refused, whatever
/// else the request has (ES-2).
fn read_hint(app: &App, params: &Params) -> Result<Option<Claims>, PageError> {
    let Some(hint) = params.optional_within("id_token_hint", 4096)? else {
        return Ok(None);
    };
    app.keys
        .verify_hint(hint, &app.public_url)
        .map(Some)
        .map_err(|_| PageError::InvalidClientRequest("id_token_hint"))
}

/// Whether the hint names this browser's session.
fn names_session(hint: &Claims, current: &CurrentSession) -> bool {
    text_claim(hint, "sid") == current.session.id.to_string()
        && text_claim(hint, "sub") == current.user.public_id.to_string()
}

/// RPL §3: where the browser should go, which the client in the hint must have registered.
fn read_destination(
    params: &Params,
    hint: Option<&Claims>,
    config: &Reloadable,
) -> Result<Option<Destination>, PageError> {
    let client = find_hinted_client(params, hint, config)?;
    let Some(uri) = params.optional_within("post_logout_redirect_uri", 2048)? else {
        return Ok(None);
    };
    let client = client.ok_or(PageError::InvalidClientRequest("id_token_hint"))?;
    let destination = Destination {
        client_id: client.client_id.clone(),
        uri: uri.to_owned(),
        state: params.optional_within("state", 2048)?.map(str::to_owned),
    };
    if destination.href(config).is_none() {
        return Err(PageError::InvalidClientRequest("post_logout_redirect_uri"));
    }
    Ok(Some(destination))
}

/// Finds the client that the hint was issued to. A `client_id` in the request must name the same.
fn find_hinted_client<'a>(
    params: &Params,
    hint: Option<&Claims>,
    config: &'a Reloadable,
) -> Result<Option<&'a Client>, PageError> {
    let client_id = params.optional_within("client_id", 255)?;
    let Some(hint) = hint else {
        return Ok(None);
    };
    let audience = text_claim(hint, "aud");
    if client_id.is_some_and(|id| id != audience) {
        return Err(PageError::InvalidClientRequest("client_id"));
    }
    Ok(client::find(config, audience))
}

async fn end_session(
    app: &App,
    context: &RequestContext,
    current: &CurrentSession,
) -> Result<(), InfraError> {
    let tx = app.db.begin().await?;
    session::end(&tx, current.user.id, current.session.id).await?;
    Event::new(Kind::SignedOut)
        .user(current.user.id)
        .session(current.session.id)
        .caller(&context.caller.network, &context.caller.request_id)
        .record(&tx)
        .await?;
    tx.commit().await
}

/// Sends the browser to the client or to our own page. In response to a form's POST a page leads to
/// the client (CW-03).
fn render_signed_out(
    context: &RequestContext,
    destination: Option<&Destination>,
    is_form: bool,
) -> Response {
    let client_id = destination.map(|destination| destination.client_id.as_str());
    let site = context.page_options_for_client(client_id);
    let localizer = &context.localizer;
    let response = match destination.and_then(|destination| destination.href(&context.config)) {
        Some(href) if is_form => render_page(
            &ContinuePage {
                localizer,
                href: &href,
            },
            site,
        ),
        Some(href) => see_other(&href),
        None => see_other("/logged-out"),
    };
    context.without_session_cookie(response)
}

async fn ask(
    app: &App,
    context: &RequestContext,
    current: &CurrentSession,
    destination: Option<&Destination>,
) -> Result<Response, PageError> {
    let address = user::primary_address(app.db.read(), current.user.id).await?;
    let client_id = destination.map(|destination| destination.client_id.as_str());
    let site = context.page_options_for_client(client_id);
    let after = destination
        .map(serde_json::to_string)
        .transpose()
        .map_err(InfraError::internal)?;
    let page = LogoutPage {
        localizer: &context.localizer,
        email: address.as_ref().map_or("", |address| &address.email),
        after: after.as_deref(),
        form_token: &context.session_form_token(app, &form_name(after.as_deref())),
    };
    Ok(context.with_pre_login_cookie(render_page(&page, site)))
}

/// The name of the confirmation form with this destination.
fn form_name(destination: Option<&str>) -> String {
    format!("{FORM} {}", destination.unwrap_or_default())
}

/// `POST /oauth2/logout/confirm`: the user confirms.
#[handler]
pub(crate) async fn confirm(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["after", "form_token"])?;
        if context.current.is_none() {
            return Ok(see_other("/logged-out"));
        }
        let after = params.optional_within("after", MAX_DESTINATION)?;
        let form = form_name(after);
        let current = context.check_session_form(app, request, &params, &form)?;
        let destination = after.and_then(|text| serde_json::from_str(text).ok());
        end_session(app, &context, current).await?;
        Ok(render_signed_out(&context, destination.as_ref(), true))
    })
    .await
}

/// Asks whether to sign out, where the client did not show whose session it means.
#[derive(Template)]
#[template(path = "oauth/logout.html", config = ".askama.toml")]
pub(crate) struct LogoutPage<'a> {
    pub(crate) localizer: &'a Localizer,
    /// The address of the signed-in user.
    pub(crate) email: &'a str,
    /// The destination, which the form token covers.
    pub(crate) after: Option<&'a str>,
    pub(crate) form_token: &'a str,
}

impl LogoutPage<'_> {
    fn lede(&self) -> String {
        self.localizer
            .html("logout-lede", &[("email", self.email.to_owned())])
    }
}

impl PageContent for LogoutPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("logout-title")
    }
}
