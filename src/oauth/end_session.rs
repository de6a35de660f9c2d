//! `/oauth2/logout`: sign-out at a client's request (RP-Initiated Logout 1.0).
//!
//! A hint that names this browser's session ends it at once. Otherwise the user is asked, by a form
//! of ours (ES-6, ST-07). The browser is redirected only if a hint that we signed names a client
//! that has registered exactly that URI (ES-1). In every other case it stays on a page of ours,
//! which names the parameter at fault and asks all the same (ES-2, ES-3, OC-2).

mod page;
mod request;

use poem::{Body, Request, Response, handler, web::Data};

use self::{
    page::{LogoutPage, Question},
    request::{Destination, LogoutRequest, LogoutRequestError},
};
use super::{
    posted_request::{self, OverBudget},
    reason::Reason,
};
use crate::{
    app::App,
    audit::{Event, Kind},
    error::InfraError,
    login::{
        context::{RequestContext, see_other},
        page::ContinuePage,
        page_error::{self, PageError},
    },
    session::{self, CurrentSession},
    user,
    web::{page::render_page, params::Params, reason::RefusalReason},
};

/// The name of the confirmation form.
const FORM: &str = "logout";

/// The longest [`Destination`] in a form.
const MAX_DESTINATION: usize = 16 * 1024;

/// `POST /oauth2/logout`: a cross-site POST carries no cookie, so the request continues as a GET of
/// our own.
#[handler]
pub(crate) async fn logout_post(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let path = "/oauth2/logout";
        match posted_request::store(app, request, body, path, OverBudget::Refuse).await {
            Ok(location) => Ok(see_other(&location)),
            // RD-08: signing out works without the ticket store. The form is lost, so the user is
            // asked as if there were no hint.
            Err(PageError::Infra(error)) if error.is_transient() => {
                tracing::warn!(cause = %error, "a posted sign-out was not stored");
                Ok(see_other(path))
            }
            // A neighbour's requests must not keep a user signed in.
            Err(PageError::TooManyRequests(_)) => Ok(see_other(path)),
            Err(error) => Err(error),
        }
    })
    .await
}

/// `GET /oauth2/logout`.
#[handler]
pub(crate) async fn logout(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let params = match posted_request::load_params(app, request).await {
            // The stored form is gone: ask as if there were no hint.
            Err(PageError::SignInExpired) => Params::default(),
            loaded => loaded?,
        };
        // A hint, which fails no request.
        let languages = params.optional_within("ui_locales", 512).ok().flatten();
        let languages = languages.unwrap_or_default();
        let context = RequestContext::load(app, request, languages).await?;
        let asked = match LogoutRequest::parse(app, &context.config, &params) {
            Ok(asked) => asked,
            Err(fault) => return render_question(app, &context, None, Some(fault)).await,
        };
        let destination = asked.destination.as_ref();
        let Some(current) = &context.current else {
            return Ok(render_signed_out(&context, destination, Answering::Link));
        };
        if asked.names(current) {
            end_session(app, &context, current).await?;
            return Ok(render_signed_out(&context, destination, Answering::Link));
        }
        render_question(app, &context, destination, None).await
    })
    .await
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

/// What the browser did to get this response.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answering {
    /// It followed a link or a redirect.
    Link,
    /// It posted a form: a page leads to the client then (CW-03).
    Form,
}

/// Sends the browser to the client or to our own page, in the language of the request.
fn render_signed_out(
    context: &RequestContext,
    destination: Option<&Destination>,
    answering: Answering,
) -> Response {
    let client_id = destination.map(|destination| destination.client_id.as_str());
    let site = context.page_options_for_client(client_id);
    let localizer = &context.localizer;
    let response = match destination.and_then(|destination| destination.href(&context.config)) {
        Some(href) if answering == Answering::Form => render_page(
            &ContinuePage {
                localizer,
                href: &href,
            },
            site,
        ),
        Some(href) => see_other(&href),
        None => see_other(&signed_out_path(context)),
    };
    context.without_session_cookie(response)
}

fn signed_out_path(context: &RequestContext) -> String {
    format!("/logged-out?ui_locales={}", context.localizer.tag)
}

/// Asks a signed-in user whether to sign out here, and says what is wrong with the request.
async fn render_question(
    app: &App,
    context: &RequestContext,
    destination: Option<&Destination>,
    fault: Option<LogoutRequestError>,
) -> Result<Response, PageError> {
    let client_id = destination.map(|destination| destination.client_id.as_str());
    let site = context.page_options_for_client(client_id);
    let after = destination
        .map(serde_json::to_string)
        .transpose()
        .map_err(InfraError::internal)?;
    let address = match &context.current {
        Some(current) => user::primary_address(app.db.read(), current.user.id).await?,
        None => None,
    };
    let email = address.map_or_else(String::new, |address| user::shown_address(&address.email));
    let form_token = context.session_form_token(app, &form_name(after.as_deref()));
    let reason = fault.as_ref().map(|fault| {
        RefusalReason::new(Reason::SignOutRequestInvalid.as_str()).about(Some(fault.parameter))
    });
    let page = LogoutPage {
        localizer: &context.localizer,
        fault,
        question: context.current.as_ref().map(|_| Question {
            email: &email,
            after: after.as_deref(),
            form_token: &form_token,
        }),
    };
    let response = context.with_pre_login_cookie(render_page(&page, site));
    Ok(match reason {
        Some(reason) => reason.attach_to(response),
        None => response,
    })
}

/// The name of the confirmation form with this destination.
fn form_name(destination: Option<&str>) -> String {
    format!("{FORM} {}", destination.unwrap_or_default())
}

/// `POST /oauth2/logout/confirm`: the user confirms.
#[handler]
pub(crate) async fn confirm(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let params = Params::read_form(request, body).await?;
        params.check_all(&["after", "ui_locales", "form_token"])?;
        let languages = params.optional("ui_locales")?.unwrap_or_default();
        let context = RequestContext::load(app, request, languages).await?;
        if context.current.is_none() {
            // The cookie is left alone: a form of another site comes without it.
            return Ok(see_other(&signed_out_path(&context)));
        }
        let after = params.optional_within("after", MAX_DESTINATION)?;
        let form = form_name(after);
        let current = context.check_session_form(app, request, &params, &form)?;
        let destination = after.and_then(|text| serde_json::from_str(text).ok());
        end_session(app, &context, current).await?;
        Ok(render_signed_out(
            &context,
            destination.as_ref(),
            Answering::Form,
        ))
    })
    .await
}
