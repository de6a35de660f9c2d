//! `POST /login/upstream/{provider}`: somebody sets out for a provider, to sign in or to connect it (UP-05).

use askama::Template;
use poem::{
    Body, Request, Response, handler,
    web::{Data, Path},
};

use super::state::{self, Intent, State};
use crate::{
    app::App,
    federation::{
        error::{FederationError, RefusalCode},
        provider::{AuthorizationRequest, Providers},
        refusal::{Next, Place, refuse},
    },
    limit,
    login::{
        PageError, RequestContext,
        context::see_other,
        form::PostedForm,
        lookup, page_error,
        provider_buttons::{SIGN_IN_FORM, connect_form, display_name, sign_in_form_context},
    },
    secret::Plain,
    session,
    telemetry::metrics,
    user::Address,
    web::{
        page::{PageContent, render_page},
        params::Params,
        text::Localizer,
    },
};

/// Leads on to a provider with status 200: a redirect after a form would be held against `form-action` (CW-03).
#[derive(Template)]
#[template(path = "federation/flow/leave.html", config = ".askama.toml")]
pub struct Leave<'a> {
    /// Its language.
    pub localizer: &'a Localizer,
    /// What people call the provider.
    pub provider: &'a str,
    /// Where to.
    pub href: &'a str,
}

impl Leave<'_> {
    fn text(&self, key: &str) -> String {
        self.localizer
            .text_with(key, &[("provider", self.provider.to_owned())])
    }
}

impl PageContent for Leave<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.text("upstream-leave-title")
    }
    fn refresh(&self) -> Option<&str> {
        Some(self.href)
    }
    fn referrer(&self) -> &'static str {
        "no-referrer"
    }
}

/// The endpoint: a form of the sign-in page or, with `intent=link`, of the account page. The answer is a page that leads
/// on, never a redirect (CW-03).
#[handler]
pub(crate) async fn start(
    Data(app): Data<&App>,
    Data(providers): Data<&Providers>,
    Path(id): Path<String>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["txn", "intent", "email", "form_token"])?;
        let intent = intent(app, request, &context, &params, &id)?;
        let next = || match &intent {
            Intent::Login { txn } => Next::SignIn(txn.as_deref()),
            _ => Next::Account,
        };
        match limit::upstream(&app.tickets, context.caller.ip, &context.config.limits).await {
            Ok(None) => {}
            Ok(Some(wait)) => return Err(PageError::TooManyRequests(wait)),
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
        let mut site = context.page_options;
        if let Intent::Login { txn: Some(txn) } = &intent
            && let Some(pending) = lookup::require_pending(app, &context, Some(txn)).await?
        {
            // DESIGN §8: only mail proves it anew. The page has no button then; this is for whoever made one.
            if pending.email_only {
                return Ok(see_other(&format!("/login?txn={txn}")));
            }
            site = context.page_options_for_client(Some(&pending.client_id));
        }
        let hint = params.optional_within("email", 1016)?;
        match set_out(app, providers, &context, &id, intent.clone(), hint).await {
            Ok(href) => {
                let provider = display_name(&context.config, &id, &context.localizer);
                metrics::upstream_started(&id);
                Ok(render_page(
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
    match params.optional("intent")? {
        Some("link") => {
            context.check_session_form(app, request, params, &connect_form(id))?;
            Ok(Intent::Link)
        }
        Some(_) => Err(PageError::InvalidForm),
        None => {
            let txn = params.optional_within("txn", 43)?;
            let form_context = sign_in_form_context(id, txn);
            let form = PostedForm {
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
) -> Result<String, FederationError> {
    context
        .config
        .find_provider(id)
        .ok_or(RefusalCode::ProviderDisabled)?;
    let now = app.clock().now();
    let current = context.current.as_ref();
    if intent == Intent::Link
        && !current.is_some_and(|current| session::is_fresh(&current.session, now))
    {
        return Err(RefusalCode::LinkStaleAuth.into());
    }
    // UP-07: an address that was typed here, and nothing that a client wrote.
    let hint =
        typed.and_then(|typed| Address::parse(typed, context.config.magic_link.allow_eai).ok());
    let state = Plain::generate().to_text();
    let ask = AuthorizationRequest {
        state: &state,
        login_hint: hint.as_ref().map(Address::canonical),
        ui_locales: &context.localizer.tag,
    };
    let started = providers.start_authorization(id, ask).await?;
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
