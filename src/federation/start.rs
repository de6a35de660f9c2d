//! `POST /login/upstream/{provider}`: somebody sets out for a provider, to sign in or to connect it (UP-05).

use poem::{
    Body, Request, Response, handler,
    web::{Data, Path},
};

use super::{
    pages::{Leave, Next, Place, refuse},
    provider::{Ask, Providers},
    refused::{Code, Refused},
    state::{self, Intent, State},
};
use crate::{
    app::App,
    limit,
    login::{
        PageError, RequestContext,
        context::{Form, see_other},
        page_error,
        pending_link::ASK_PATH,
        provider::{SIGN_IN_FORM, connect_form, find, form_context, name_or_words},
        sign_in,
    },
    secret::Plain,
    session,
    telemetry::metrics,
    user::Address,
    web::{page::show, params::Params},
};

/// The endpoint: a form of the sign-in page or, with `intent=link`, of the account page. The answer is a page that leads
/// on, never a redirect (CW-03).
#[handler]
pub async fn start(
    Data(app): Data<&App>,
    Data(providers): Data<&Providers>,
    Path(id): Path<String>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::page(app, request, async {
        let context = RequestContext::of(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.known(&["txn", "intent", "email", "form_token"])?;
        let intent = intent(app, request, &context, &params, &id)?;
        let next = || match &intent {
            Intent::Login { txn } => Next::SignIn(txn.as_deref()),
            _ => Next::Account,
        };
        match limit::upstream(&app.tickets, context.caller.ip, &context.config.limits).await {
            Ok(None) => {}
            Ok(Some(wait)) => return Err(PageError::Busy(wait)),
            Err(failure) => {
                return refuse(
                    app,
                    &context,
                    &state::down(&failure),
                    &Place {
                        provider: &id,
                        next: next(),
                    },
                )
                .await;
            }
        }
        let mut site = context.site;
        if let Intent::Login { txn: Some(txn) } = &intent
            && let Some(pending) = sign_in::pending_of(app, &context, Some(txn)).await?
        {
            // DESIGN §8: only mail proves it anew. The page has no button then; this is for whoever made one.
            if pending.mail_only {
                return Ok(see_other(&format!("/login?txn={txn}")));
            }
            site = context.site_of(Some(&pending.client_id));
        }
        let hint = params.one_within("email", 1016)?;
        match set_out(app, providers, &context, &id, intent.clone(), hint).await {
            Ok(href) => {
                let provider = name_or_words(&context.config, &id, &context.localizer);
                metrics::upstream_started(&id);
                Ok(show(
                    &Leave {
                        localizer: &context.localizer,
                        provider: &provider,
                        href: &href,
                    },
                    site,
                ))
            }
            Err(refused) => {
                refuse(
                    app,
                    &context,
                    &refused,
                    &Place {
                        provider: &id,
                        next: next(),
                    },
                )
                .await
            }
        }
    })
    .await
}

/// What the form wants, if it is ours: CF-01, CF-02.
fn intent(
    app: &App,
    request: &Request,
    context: &RequestContext,
    params: &Params,
    id: &str,
) -> Result<Intent, PageError> {
    match params.one("intent")? {
        Some("link") => {
            context.check_session_form(app, request, params, &connect_form(id))?;
            Ok(Intent::Link)
        }
        Some(_) => Err(PageError::Stale),
        None => {
            let txn = params.one_within("txn", 43)?;
            let form_context = form_context(id, txn);
            let form = Form {
                params,
                name: SIGN_IN_FORM,
                context: &form_context,
                allow_null_origin: false,
            };
            context.check_form(app, request, &form)?;
            Ok(Intent::Login {
                txn: txn.map(str::to_owned),
            })
        }
    }
}

/// Asks the provider's room for the way there, and keeps what the answer will be held against. Gives the way.
async fn set_out(
    app: &App,
    providers: &Providers,
    context: &RequestContext,
    id: &str,
    intent: Intent,
    typed: Option<&str>,
) -> Result<String, Refused> {
    find(&context.config, id).ok_or(Code::ProviderDisabled)?;
    let now = app.clock().now();
    let current = context.current.as_ref();
    if intent == Intent::Link
        && !current.is_some_and(|current| session::is_fresh(&current.session, now))
    {
        return Err(Code::LinkStaleAuth.into());
    }
    // UP-07: an address that was typed here, and nothing that a client wrote.
    let hint =
        typed.and_then(|typed| Address::parse(typed, context.config.magic_link.allow_eai).ok());
    let state = Plain::generate().to_text();
    let ask = Ask {
        state: &state,
        login_hint: hint.as_ref().map(Address::canonical),
        ui_locales: &context.localizer.tag,
    };
    let started = providers.authorize_url(id, ask).await?;
    let kept = State {
        record: started.record,
        intent,
        browser: Some(context.pre.hash().to_column()),
        session: current.map(|current| current.session.id),
        user: current.map(|current| current.user.id),
        at: now,
    };
    state::keep(&app.tickets, &state, &kept).await?;
    Ok(started.url)
}

/// Where a person is asked about a link that waits under this handle.
#[must_use]
pub fn ask_path(handle: &Plain) -> String {
    format!("{ASK_PATH}?link={}", handle.to_text())
}
