//! Signing out of this browser, of another session, or everywhere.

use poem::{
    Body, Request, Response, handler,
    web::{Data, Path},
};
use uuid::Uuid;

use crate::{
    app::App,
    audit::{AuditReason, Event, Kind},
    login::{
        PageError, RequestContext, context::see_other, device, done::Done, page::SignedOutPage,
        page_error,
    },
    session::{self, CurrentSession},
    web::{page::render_page, params::Params},
};

/// The name of the form that signs out of this browser.
pub const SIGN_OUT_FORM: &str = "sign-out";

/// The name of the form that ends all sessions.
pub const SIGN_OUT_EVERYWHERE_FORM: &str = "sign-out-everywhere";

/// Returns the name of the form that ends one session: its token is good for no other.
pub fn end_session_form(id: Uuid) -> String {
    format!("end-session {id}")
}

/// The sessions that a form ends.
enum SessionsToEnd {
    Current,
    All,
    One(Uuid),
}

/// Why a sign-out has no session of its own in the audit log.
#[derive(Clone, Copy, Debug)]
enum SignOutReason {
    /// All sessions of the user ended.
    Everywhere,
}

impl AuditReason for SignOutReason {
    fn word(self) -> &'static str {
        match self {
            Self::Everywhere => "everywhere",
        }
    }
}

/// `POST /account/sign-out`.
#[handler]
pub(crate) async fn sign_out(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    let work = end_sessions(app, request, body, SIGN_OUT_FORM, SessionsToEnd::Current);
    page_error::respond(app, request, work).await
}

/// `POST /account/sign-out-everywhere`.
#[handler]
pub(crate) async fn sign_out_everywhere(
    Data(app): Data<&App>,
    request: &Request,
    body: Body,
) -> Response {
    let (form, sessions) = (SIGN_OUT_EVERYWHERE_FORM, SessionsToEnd::All);
    let work = end_sessions(app, request, body, form, sessions);
    page_error::respond(app, request, work).await
}

/// `POST /account/sessions/{id}/end`.
#[handler]
pub(crate) async fn end_session(
    Data(app): Data<&App>,
    Path(id): Path<String>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(app, request, async {
        let id = Uuid::try_parse(&id).map_err(|_| PageError::NotFound)?;
        let form = end_session_form(id);
        end_sessions(app, request, body, &form, SessionsToEnd::One(id)).await
    })
    .await
}

/// `GET /logged-out`: the page after signing out, in the language in which the user was asked.
#[handler]
pub(crate) async fn logged_out(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let params = Params::from_query(request)?;
        let languages = params.optional_within("ui_locales", 512).ok().flatten();
        let context = RequestContext::load(app, request, languages.unwrap_or_default()).await?;
        let page = SignedOutPage {
            localizer: &context.localizer,
            next_href: None,
            is_everywhere: Done::of_page("/logged-out", app, &context).is_some(),
        };
        Ok(context.without_done(render_page(&page, &context.page_options)))
    })
    .await
}

async fn end_sessions(
    app: &App,
    request: &Request,
    body: Body,
    form: &str,
    sessions: SessionsToEnd,
) -> Result<Response, PageError> {
    let context = RequestContext::load(app, request, "").await?;
    let params = Params::read_form(request, body).await?;
    if context.current.is_none() {
        // Signed out already, in another tab. The cookie is left alone: a form of another site
        // comes without it, and the response must not delete what the form could not read.
        return Ok(see_other("/logged-out"));
    }
    let current = context.check_session_form(app, request, &params, form)?;
    let (ends_current, done) = match sessions {
        SessionsToEnd::Current => (true, None),
        SessionsToEnd::All => (true, Some(Done::SignedOutEverywhere)),
        SessionsToEnd::One(id) if id == current.session.id => (true, None),
        SessionsToEnd::One(_) => (false, Some(Done::SessionEnded)),
    };
    end_and_record(app, &context, current, sessions).await?;
    let response = match done {
        Some(done) => done.redirect(app, &context),
        None => see_other("/logged-out"),
    };
    Ok(match ends_current {
        true => context.without_session_cookie(response),
        false => response,
    })
}

async fn end_and_record(
    app: &App,
    context: &RequestContext,
    current: &CurrentSession,
    sessions: SessionsToEnd,
) -> Result<(), PageError> {
    let tx = app.db.begin().await?;
    let user = current.user.id;
    let event = Event::new(Kind::SignedOut)
        .user(user)
        .caller(&context.caller.network, &context.caller.request_id);
    match sessions {
        SessionsToEnd::All => {
            session::end_all(&tx, user).await?;
            device::end_all(&tx, user).await?;
            event.reason(SignOutReason::Everywhere).record(&tx).await?;
        }
        SessionsToEnd::Current => {
            session::end(&tx, user, current.session.id).await?;
            event.session(current.session.id).record(&tx).await?;
        }
        SessionsToEnd::One(id) => {
            if session::end(&tx, user, id).await? {
                event.session(id).record(&tx).await?;
            }
        }
    }
    Ok(tx.commit().await?)
}
