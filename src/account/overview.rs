//! `GET /account`: the user's profile, linked accounts and live sessions.

use std::collections::BTreeSet;

use poem::{Request, Response, handler, web::Data};

use super::{
    page::{AccountPage, IdentityRow, SessionRow},
    sign_out::{SIGN_OUT_EVERYWHERE_FORM, SIGN_OUT_FORM, end_session_form},
};
use crate::{
    app::App,
    config::Provider,
    login::{
        PageError, RequestContext,
        context::see_other,
        done::Done,
        page::ProviderButton,
        page_error,
        provider_buttons::{self, connect_form, disconnect_form},
    },
    session::{self, CurrentSession},
    user::{self, Identity, identity},
    web::page::render_page,
};

#[handler]
pub(crate) async fn account(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let Some(current) = &context.current else {
            return Ok(see_other("/login"));
        };
        session::record_use(app.db.write(), &current.session, app.clock().now()).await?;
        let email = user::primary_address(app.db.read(), current.user.id).await?;
        let sessions = session_rows(app, &context, current).await?;
        let identities = identity::list_for_user(app.db.read(), current.user.id).await?;
        let done = Done::of_page("/account", app, &context);
        let page = AccountPage {
            notice: done.map(|done| done.text(&context.localizer)),
            localizer: &context.localizer,
            name: current.user.name.as_deref(),
            email: &email.map_or_else(String::new, |row| user::shown_address(&row.email)),
            roles: &user::roles(&current.user),
            providers: &connect_buttons(app, &context, &identities),
            identities: &identity_rows(app, &context, identities),
            sessions: &sessions,
            form_token_sign_out: &context.session_form_token(app, SIGN_OUT_FORM),
            form_token_everywhere: &context.session_form_token(app, SIGN_OUT_EVERYWHERE_FORM),
        };
        Ok(context.without_done(render_page(&page, &context.page_options)))
    })
    .await
}

async fn session_rows(
    app: &App,
    context: &RequestContext,
    current: &CurrentSession,
) -> Result<Vec<SessionRow>, PageError> {
    let (now, limits) = (app.clock().now(), &context.config.session);
    let sessions = session::list_live(app.db.read(), &current.user, now, limits).await?;
    let row = |session: session::Session| SessionRow {
        id: session.id.to_string(),
        form_token: context.session_form_token(app, &end_session_form(session.id)),
        current: session.id == current.session.id,
        last_seen: context.localizer.date_time(session.last_seen_at),
        created: context.localizer.date_time(session.created_at),
        device: session.device,
    };
    Ok(sessions.into_iter().map(row).collect())
}

fn identity_rows(
    app: &App,
    context: &RequestContext,
    identities: Vec<Identity>,
) -> Vec<IdentityRow> {
    let (config, localizer) = (&context.config, &context.localizer);
    let row = |identity: Identity| IdentityRow {
        id: identity.id.to_string(),
        provider: provider_buttons::display_name(config, &identity.provider, localizer),
        account: account_name(identity.email.as_deref(), identity.name),
        linked: localizer.date_time(identity.linked_at),
        used: localizer.date_time(identity.last_used_at),
        form_token: context.session_form_token(app, &disconnect_form(identity.id)),
    };
    identities.into_iter().map(row).collect()
}

/// Returns the address by which the user recognises an account, else its name.
fn account_name(email: Option<&str>, name: Option<String>) -> String {
    email.map(user::shown_address).or(name).unwrap_or_default()
}

/// The buttons that connect a provider. A provider may be connected more than once.
fn connect_buttons(
    app: &App,
    context: &RequestContext,
    identities: &[Identity],
) -> Vec<ProviderButton> {
    let connected: BTreeSet<&str> = identities.iter().map(|row| row.provider.as_str()).collect();
    let text = |provider: &Provider| {
        let key = if connected.contains(provider.id.as_str()) {
            "account-connect-another"
        } else {
            "account-connect"
        };
        let name = provider.shown_name().to_owned();
        context.localizer.text_with(key, &[("provider", name)])
    };
    let form_token = |id: &str| context.session_form_token(app, &connect_form(id));
    provider_buttons::buttons(&context.config, text, form_token)
}
