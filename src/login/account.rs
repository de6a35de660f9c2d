//! `/account` and `/logged-out`: who one is here, where one is signed in, and how to leave.

use poem::{
    Body, Request, Response, handler,
    web::{Data, Path},
};
use uuid::Uuid;

use super::{
    context::{RequestContext, see_other},
    page, page_error,
    page_error::PageError,
    provider::{self, connect_buttons},
};
use crate::{
    app::App,
    audit::{Event, Kind},
    session::{
        self, CurrentSession,
        page::{Account, IdentityRow, SessionRow},
    },
    user::{self, identity},
    web::{page::render_page, params::Params},
};

/// The account page.
#[handler]
pub async fn account(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let Some(current) = &context.current else {
            return Ok(see_other("/login"));
        };
        let now = app.clock().now();
        session::record_use(app.db.pool(), &current.session, now).await?;
        let email = user::primary_address(app.db.read(), current.user.id)
            .await?
            .map(|row| row.email);
        let rows: Vec<SessionRow> =
            session::list_live(app.db.read(), &current.user, now, &context.config.session)
                .await?
                .into_iter()
                .map(|row| SessionRow {
                    id: row.id.to_string(),
                    form_token: context.session_form_token(app, &end_form(row.id)),
                    current: row.id == current.session.id,
                    last_seen: context.localizer.date_time(row.last_seen_at),
                    created: context.localizer.date_time(row.created_at),
                    device: row.device,
                })
                .collect();
        let linked = identity::list_for_user(app.db.read(), current.user.id).await?;
        let connected: Vec<String> = linked.iter().map(|row| row.provider.clone()).collect();
        let page = Account {
            identities: &identities(app, &context, linked),
            providers: &connect_buttons(app, &context, &connected),
            localizer: &context.localizer,
            name: current.user.name.as_deref(),
            email: email.as_deref().unwrap_or_default(),
            roles: &user::roles(&current.user),
            sessions: &rows,
            form_token_sign_out: &context.session_form_token(app, "sign-out"),
            form_token_everywhere: &context.session_form_token(app, "sign-out-everywhere"),
        };
        Ok(render_page(&page, context.site))
    })
    .await
}

/// The connected providers.
fn identities(
    app: &App,
    context: &RequestContext,
    linked: Vec<user::Identity>,
) -> Vec<IdentityRow> {
    let row = |row: user::Identity| IdentityRow {
        id: row.id.to_string(),
        provider: provider::name_or_words(&context.config, &row.provider, &context.localizer),
        account: row.email.or(row.name).unwrap_or_default(),
        linked: context.localizer.date_time(row.linked_at),
        used: context.localizer.date_time(row.last_used_at),
        form_token: context.session_form_token(app, &disconnect_form(row.id)),
    };
    linked.into_iter().map(row).collect()
}

/// The name of the form that disconnects one account at a provider.
#[must_use]
pub fn disconnect_form(id: Uuid) -> String {
    format!("disconnect {id}")
}

/// The name of the form that ends one session: its token is good for no other.
fn end_form(id: Uuid) -> String {
    format!("end-session {id}")
}

/// Which sessions a form ends.
enum Which {
    Current,
    All,
    One(Uuid),
}

async fn leave(
    app: &App,
    request: &Request,
    body: Body,
    form: &str,
    which: Which,
) -> Result<Response, PageError> {
    let context = RequestContext::load(app, request, "").await?;
    let params = Params::read_form(request, body).await?;
    if context.current.is_none() {
        // Signed out already, in another tab. The cookie is left alone: a form of another site comes without it, and
        // the answer must not delete what the form could not read.
        return Ok(see_other("/logged-out"));
    }
    let current = context.check_session_form(app, request, &params, form)?;
    let ends_current = match which {
        Which::Current | Which::All => true,
        Which::One(id) => id == current.session.id,
    };
    end(app, &context, current, which).await?;
    Ok(if ends_current {
        context.without_session_cookie(see_other("/logged-out"))
    } else {
        see_other("/account")
    })
}

async fn end(
    app: &App,
    context: &RequestContext,
    current: &CurrentSession,
    which: Which,
) -> Result<(), PageError> {
    let tx = app.db.begin().await?;
    let user = current.user.id;
    let event = Event::new(Kind::SignedOut)
        .user(user)
        .caller(&context.caller.network, &context.caller.request_id);
    match which {
        Which::All => {
            session::end_all(&tx, user).await?;
            event.reason("everywhere").record(&tx).await?;
        }
        Which::Current => {
            session::end(&tx, user, current.session.id).await?;
            event.session(current.session.id).record(&tx).await?;
        }
        Which::One(id) => {
            if session::end(&tx, user, id).await? {
                event.session(id).record(&tx).await?;
            }
        }
    }
    Ok(tx.commit().await?)
}

/// Signs out of this browser.
#[handler]
pub async fn sign_out(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(
        app,
        request,
        leave(app, request, body, "sign-out", Which::Current),
    )
    .await
}

/// Signs out everywhere.
#[handler]
pub async fn sign_out_everywhere(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(
        app,
        request,
        leave(app, request, body, "sign-out-everywhere", Which::All),
    )
    .await
}

/// Ends one session.
#[handler]
pub async fn end_session(
    Data(app): Data<&App>,
    Path(id): Path<String>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(app, request, async {
        let id = Uuid::try_parse(&id).map_err(|_| PageError::NotFound)?;
        leave(app, request, body, &end_form(id), Which::One(id)).await
    })
    .await
}

/// What is left after signing out.
#[handler]
pub async fn logged_out(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        Ok(render_page(
            &page::SignedOutPage {
                localizer: &context.localizer,
                next_href: None,
            },
            context.site,
        ))
    })
    .await
}
