//! The end of a flow that an app began: the app gets a code, or the user first verifies an address.
//!
//! The provider leads the user to our one callback (UP-02), in whatever browser the app opened; the
//! PKCE challenge of the app takes the place of the cookie (ST-09). No account is connected here.

use askama::Template;

use super::code::{self, CodeSubject, Redeemable, callback_url, redirect_of};
use crate::{
    app::App,
    error::InfraError,
    federation::{
        error::RefusalCode,
        flow::state::AppRequest,
        linking::{
            settle::{LinkContext, UpstreamLogin, preview_decision},
            table::Decision,
        },
        step::{Continuation, Step, StepError},
    },
    login::{
        PageError, RequestContext,
        client_home::with_client,
        first_party,
        pending::{self, PendingRequest, ResumedBy},
    },
    secret::Plain,
    web::{filters, locale::Localizer, page::PageContent},
};

/// The page that leads to an app on the user's own device once the user presses a button.
#[derive(Template)]
#[template(path = "federation/app/to_app.html", config = ".askama.toml")]
pub struct OpenAppPage<'a> {
    pub localizer: &'a Localizer,
    pub client: &'a str,
    /// The verified redirect URI, with the code.
    pub href: &'a str,
}

impl OpenAppPage<'_> {
    fn text(&self, key: &str) -> String {
        self.localizer
            .text_with(key, &[("client", self.client.to_owned())])
    }
}

impl PageContent for OpenAppPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.text("upstream-app-title")
    }
    fn referrer(&self) -> &'static str {
        "no-referrer"
    }
}

/// Completes the callback of a flow that an app began.
pub async fn complete(
    app: &App,
    context: &RequestContext,
    request: &AppRequest,
    login: &UpstreamLogin,
) -> Result<Step, StepError> {
    let link_context = LinkContext::for_app(&context.localizer.tag, &context.caller);
    match preview_decision(app.db.read(), &context.config, login, link_context).await? {
        Decision::SignIn | Decision::CreateUser => {
            let subject = CodeSubject::UpstreamLogin(login.clone());
            send_code(app, context, request, subject).await
        }
        Decision::VerifyEmail => verify_email_first(app, context, request).await,
        Decision::Refuse(refusal) => Err(refused(app, context, request, refusal)),
        Decision::ConfirmSwitch | Decision::ConfirmLink | Decision::OwnAccount => {
            Err(refused(app, context, request, RefusalCode::UserDisabled))
        }
    }
}

fn refused(
    app: &App,
    context: &RequestContext,
    request: &AppRequest,
    refusal: RefusalCode,
) -> StepError {
    let return_to = code::return_to(&context.config, request, &app.public_url, refusal);
    StepError::refused(refusal, &request.provider, return_to)
}

/// LC-C: the user verifies an address in this browser while the request of the app waits like a
/// client's request.
///
/// The account at the provider is dropped. No cookie shows that this browser is the one that signed
/// in there, so a user who was sent the callback of another person would connect that person's
/// account.
async fn verify_email_first(
    app: &App,
    context: &RequestContext,
    request: &AppRequest,
) -> Result<Step, StepError> {
    let client = first_party::find_app(&context.config, &request.client_id)
        .ok_or(PageError::InvalidClientRequest("client_id"))?;
    let pending = PendingRequest {
        client_id: client.client_id.clone(),
        client_name: client.name.clone(),
        fresh: false,
        email_only: false,
        login_hint: String::new(),
        ui_locales: String::new(),
        request: serde_json::to_string(request).map_err(InfraError::internal)?,
        is_unbound: false,
        signed_in_since: false,
        resumed_by: ResumedBy::Upstream,
        origin: None,
    };
    let session = context.current.as_ref().map(|current| &current.session);
    let tickets = app.tickets.charged_to(context.payer());
    let handle = pending::store(&tickets, context.pre.hash(), session, &pending).await?;
    let path = format!("/login?txn={}", handle.to_text());
    Ok(Step::Wait {
        path: with_client(&path, Some(&pending.client_id)),
    })
}

/// Continues the app's request after the user has verified an address, once.
pub async fn resume(app: &App, context: &RequestContext, txn: &str) -> Result<Step, StepError> {
    let handle = Plain::parse(txn).ok_or(PageError::SignInExpired)?;
    let session = context.session_id().ok_or(PageError::SignInExpired)?;
    let pending = pending::claim(&app.tickets, &handle, context.requester())
        .await?
        .filter(|pending| pending.resumed_by == ResumedBy::Upstream)
        .ok_or(PageError::SignInExpired)?;
    let request: AppRequest =
        serde_json::from_str(&pending.request).map_err(|_| PageError::SignInExpired)?;
    send_code(app, context, &request, CodeSubject::Session(session)).await
}

/// Leads the browser to the app with a code.
///
/// The page leads on by itself only to an https URL. Any program on the device may listen on a port
/// or have registered the app's scheme, and its sign-in would end before the user has seen it
/// (RFC 8252 §8.6): there the user presses a button that names the app.
async fn send_code(
    app: &App,
    context: &RequestContext,
    request: &AppRequest,
    subject: CodeSubject,
) -> Result<Step, StepError> {
    let redirect = redirect_of(&context.config, request)
        .ok_or(PageError::InvalidClientRequest("redirect_uri"))?;
    let redeemable = Redeemable {
        request: request.clone(),
        subject,
    };
    let tickets = app.tickets.charged_to(context.payer());
    let code = code::issue(&tickets, &redeemable).await?.to_text();
    let url = callback_url(&redirect, request, &app.public_url, ("code", &code));
    if redirect.as_str().starts_with("https://") {
        return Ok(Step::Continue(Continuation::Page {
            url,
            client_id: None,
        }));
    }
    let client_name = first_party::find_app(&context.config, &request.client_id)
        .map_or_else(String::new, |client| client.name.clone());
    Ok(Step::OpenApp { client_name, url })
}
