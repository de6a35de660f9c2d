//! RP-Initiated Logout 1.0: `/oauth2/logout`.
//!
//! A hint that fits the session of this browser ends it at once; otherwise the person is asked, by a form of ours
//! (ES-6). A redirect follows only where a hint with a signature of ours names a client that has registered exactly
//! that URI (ES-1); everything else ends on a page (ES-2, ES-3).

use poem::{Body, Request, Response, handler, web::Data};
use serde::{Deserialize, Serialize};

use super::{page::Logout, posted};
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
    web::{page::render_page, params::Params},
};

const KNOWN: [&str; 6] = [
    "id_token_hint",
    "post_logout_redirect_uri",
    "client_id",
    "state",
    "logout_hint",
    "ui_locales",
];

/// The form that confirms.
const FORM: &str = "logout";

/// The longest [`After`] in a form.
const MAX_AFTER: usize = 8192;

/// Where the browser goes afterwards. Where the person is asked first it waits in the form itself, whose token is bound to
/// it: anybody signed in can have as many of those pages drawn as they like.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct After {
    client_id: String,
    uri: String,
    state: Option<String>,
}

impl After {
    /// RPL §3: the URI, with `state` as sent and nothing else (ES-4). None: the client has not registered exactly it.
    fn href(&self, config: &Reloadable) -> Option<String> {
        let Self {
            client_id,
            uri,
            state,
        } = self;
        client::find(config, client_id)?
            .post_logout_redirect_uris
            .iter()
            .find(|registered| *registered == uri)?;
        let Some(state) = state else {
            return Some(uri.clone());
        };
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("state", state)
            .finish();
        Some(format!(
            "{uri}{}{query}",
            if uri.contains('?') { '&' } else { '?' }
        ))
    }
}

/// `POST /oauth2/logout`: cross-site it brings no cookie, so it goes on as our own GET.
#[handler]
pub(crate) async fn logout_post(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        match posted::keep(app, request, body, "/oauth2/logout").await {
            // RD-08: signing out works without the ticket store. What was posted is lost, so the person is asked, as
            // whoever comes without a hint.
            Err(PageError::Infra(failure)) if failure.is_transient() => {
                tracing::warn!(cause = %failure, "a posted sign-out was not kept");
                Ok(see_other("/oauth2/logout"))
            }
            answer => answer,
        }
    })
    .await
}

/// `GET /oauth2/logout`.
#[handler]
pub(crate) async fn logout(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let params = posted::params(app, request).await?;
        params.check_all(&KNOWN)?;
        let context = RequestContext::load(
            app,
            request,
            params
                .optional_within("ui_locales", 512)?
                .unwrap_or_default(),
        )
        .await?;
        let hint = read_hint(app, &params)?;
        let after = after(&params, hint.as_ref(), &context.config)?;
        let Some(current) = &context.current else {
            return Ok(gone(&context, after.as_ref(), false));
        };
        if hint.is_some_and(|hint| fits(&hint, current)) {
            end(app, &context, current).await?;
            return Ok(gone(&context, after.as_ref(), false));
        }
        confirm(app, &context, current, after.as_ref()).await
    })
    .await
}

/// The claims of the hint, if there is one. One that is not ours is refused, whatever else is asked (ES-2).
fn read_hint(app: &App, params: &Params) -> Result<Option<Claims>, PageError> {
    let Some(hint) = params.optional_within("id_token_hint", 4096)? else {
        return Ok(None);
    };
    app.keys
        .verify_hint(hint, &app.public_url)
        .map(Some)
        .map_err(|_| PageError::InvalidClientRequest("id_token_hint"))
}

fn claim<'a>(claims: &'a Claims, name: &str) -> &'a str {
    claims
        .get(name)
        .and_then(|value| value.as_str())
        .unwrap_or_default()
}

/// Whether the hint is of this browser's session.
fn fits(hint: &Claims, current: &CurrentSession) -> bool {
    claim(hint, "sid") == current.session.id.to_string()
        && claim(hint, "sub") == current.user.public_id.to_string()
}

/// RPL §3: where a client that the hint names wants the browser to go, if it has registered that.
fn after(
    params: &Params,
    hint: Option<&Claims>,
    config: &Reloadable,
) -> Result<Option<After>, PageError> {
    let client = hinted_client(params, hint, config)?;
    let Some(uri) = params.optional_within("post_logout_redirect_uri", 2048)? else {
        return Ok(None);
    };
    let client = client.ok_or(PageError::InvalidClientRequest("id_token_hint"))?;
    let state = params.optional_within("state", 2048)?.map(str::to_owned);
    let after = After {
        client_id: client.client_id.clone(),
        uri: uri.to_owned(),
        state,
    };
    after
        .href(config)
        .ok_or(PageError::InvalidClientRequest("post_logout_redirect_uri"))?;
    Ok(Some(after))
}

/// The client that the hint was issued to; `client_id`, if sent, must name the same.
fn hinted_client<'a>(
    params: &Params,
    hint: Option<&Claims>,
    config: &'a Reloadable,
) -> Result<Option<&'a Client>, PageError> {
    let named = params.optional_within("client_id", 255)?;
    let Some(hint) = hint else { return Ok(None) };
    let audience = claim(hint, "aud");
    if named.is_some_and(|named| named != audience) {
        return Err(PageError::InvalidClientRequest("client_id"));
    }
    Ok(client::find(config, audience))
}

async fn end(
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

/// Signed out: to the client, or to our own page. From a form's POST the client is reached by a page (CW-03).
fn gone(context: &RequestContext, after: Option<&After>, from_form: bool) -> Response {
    let site = context.page_options_for_client(after.map(|after| after.client_id.as_str()));
    let response = match after.and_then(|after| after.href(&context.config)) {
        Some(href) if from_form => render_page(
            &ContinuePage {
                localizer: &context.localizer,
                href: &href,
            },
            site,
        ),
        Some(href) => see_other(&href),
        None => see_other("/logged-out"),
    };
    context.without_session_cookie(response)
}

async fn confirm(
    app: &App,
    context: &RequestContext,
    current: &CurrentSession,
    after: Option<&After>,
) -> Result<Response, PageError> {
    let email = user::primary_address(app.db.read(), current.user.id)
        .await?
        .map(|row| row.email);
    let site = context.page_options_for_client(after.map(|after| after.client_id.as_str()));
    let after = after
        .map(serde_json::to_string)
        .transpose()
        .map_err(InfraError::internal)?;
    let page = Logout {
        localizer: &context.localizer,
        email: email.as_deref().unwrap_or_default(),
        after: after.as_deref(),
        form_token: &context.session_form_token(app, &form(after.as_deref())),
    };
    Ok(context.with_pre_login_cookie(render_page(&page, site)))
}

/// The name of the form that confirms signing out and then going there.
fn form(after: Option<&str>) -> String {
    format!("{FORM} {}", after.unwrap_or_default())
}

/// `POST /oauth2/logout/confirm`: the person has agreed.
#[handler]
pub(crate) async fn confirmed(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["after", "form_token"])?;
        if context.current.is_none() {
            return Ok(see_other("/logged-out"));
        }
        let after = params.optional_within("after", MAX_AFTER)?;
        let current = context.check_session_form(app, request, &params, &form(after))?;
        let after: Option<After> = after.and_then(|after| serde_json::from_str(after).ok());
        end(app, &context, current).await?;
        Ok(gone(&context, after.as_ref(), true))
    })
    .await
}
