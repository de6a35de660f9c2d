//! The start of a flow: a browser leaves for a provider, to sign in or to connect it (UP-05).

use askama::Template;

use super::state::{self, Intent, UpstreamFlow};
use crate::{
    app::App,
    federation::{
        error::{FederationError, RefusalCode},
        provider::{AuthorizationRequest, Providers},
        step::{Step, StepError},
    },
    limit,
    login::{PageError, RequestContext, client_home::with_client, lookup::require_pending},
    secret::{Hash, Plain},
    session::{self, CurrentSession},
    telemetry::metrics,
    ticket::Payer,
    user::Address,
    web::{filters, locale::Localizer, page::PageContent},
};

/// The page that leads on to a provider with status 200: browsers would hold a redirect after a
/// form against its `form-action` (CW-03).
#[derive(Template)]
#[template(path = "federation/flow/leave.html", config = ".askama.toml")]
pub struct LeavePage<'a> {
    pub localizer: &'a Localizer,
    pub provider: &'a str,
    pub href: &'a str,
}

impl LeavePage<'_> {
    fn text(&self, key: &str) -> String {
        self.localizer
            .text_with(key, &[("provider", self.provider.to_owned())])
    }
}

impl PageContent for LeavePage<'_> {
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

/// The form of a provider's button, on the sign-in page or on the account page.
#[derive(Clone, Debug)]
pub struct StartForm<'a> {
    /// The provider's id, as the path has it.
    pub provider: &'a str,
    pub intent: Intent,
    /// The address that was typed beside the button.
    pub email: Option<&'a str>,
}

/// Begins the flow for which a button was pressed.
pub async fn start(
    app: &App,
    providers: &Providers,
    context: &RequestContext,
    form: &StartForm<'_>,
) -> Result<Step, StepError> {
    let refused = |error: FederationError, client_id: Option<&str>| {
        let return_to = form.intent.return_to(client_id);
        StepError::refused_without_flow(error, form.provider, return_to)
    };
    let device = context.known_device(app).await.map_err(PageError::from)?;
    let sender = context.sender(device.as_ref());
    match limit::upstream(&app.tickets, sender, &context.config.limits).await {
        Ok(None) => {}
        Ok(Some(wait)) => return Err(PageError::TooManyRequests(wait).into()),
        Err(error) => return Err(refused(state::store_down(&error), None)),
    }
    let mut client_id = None;
    if let Intent::Login { txn: Some(txn) } = &form.intent
        && let Some(pending) = require_pending(app, context, Some(txn)).await?
    {
        // ST-12: only email proves freshness. The page shows no provider then, so this form was
        // made by hand.
        if pending.email_only {
            let path = format!("/login?txn={txn}");
            return Ok(Step::Redirect {
                path: with_client(&path, Some(&pending.client_id)),
            });
        }
        client_id = pending.client().map(str::to_owned);
    }
    let refused = |error| refused(error, client_id.as_deref());
    let flow = NewFlow {
        client_id: client_id.as_deref(),
        ..new_flow(app, context, form).map_err(refused)?
    };
    let authorization_url = begin(app, providers, flow).await.map_err(refused)?;
    Ok(Step::LeaveForProvider {
        provider: form.provider.to_owned(),
        authorization_url,
        client_id,
    })
}

/// Returns the flow that a form asks for, if the provider is on and the session may link.
fn new_flow<'a>(
    app: &App,
    context: &'a RequestContext,
    form: &StartForm<'a>,
) -> Result<NewFlow<'a>, FederationError> {
    context
        .config
        .find_provider(form.provider)
        .ok_or(RefusalCode::ProviderDisabled)?;
    let current = context.current.as_ref();
    let now = app.clock().now();
    if form.intent == Intent::Link
        && !current.is_some_and(|current| session::is_fresh(&current.session, now))
    {
        return Err(RefusalCode::LinkStaleAuth.into());
    }
    // UP-07: the provider receives an address that was typed here, and nothing that a client wrote.
    let login_hint = form
        .email
        .and_then(|email| Address::parse(email, context.config.magic_link.allow_eai).ok());
    Ok(NewFlow {
        provider: form.provider,
        intent: form.intent.clone(),
        client_id: None,
        browser: Some(context.pre.hash()),
        current,
        login_hint,
        ui_locales: &context.localizer.tag,
        payer: context.payer(),
    })
}

/// What a flow begins with.
#[derive(Clone, Debug)]
pub struct NewFlow<'a> {
    /// The provider's id, as the path has it.
    pub provider: &'a str,
    pub intent: Intent,
    /// The client whose request continues afterwards.
    pub client_id: Option<&'a str>,
    /// The hash of the pre-login cookie; `None` for apps.
    pub browser: Option<Hash>,
    pub current: Option<&'a CurrentSession>,
    pub login_hint: Option<Address>,
    pub ui_locales: &'a str,
    /// Who is charged for the stored flow.
    pub payer: Payer,
}

/// Stores a new flow and returns the provider's authorization URL for it.
pub async fn begin(
    app: &App,
    providers: &Providers,
    new: NewFlow<'_>,
) -> Result<String, FederationError> {
    let started_at = app.clock().now();
    let state = Plain::generate().to_text();
    let request = AuthorizationRequest {
        state: &state,
        login_hint: new.login_hint.as_ref().map(Address::canonical),
        ui_locales: new.ui_locales,
    };
    let redirect = providers.start_authorization(new.provider, request).await?;
    let flow = UpstreamFlow {
        record: redirect.record,
        intent: new.intent,
        client_id: new.client_id.map(str::to_owned),
        browser: new.browser.map(|browser| browser.to_column()),
        session: new.current.map(|current| current.session.id),
        user: new.current.map(|current| current.user.id),
        started_at,
    };
    state::store(&app.tickets.charged_to(new.payer), &state, &flow).await?;
    metrics::upstream_started(new.provider);
    Ok(redirect.url)
}
