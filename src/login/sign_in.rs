//! `GET /login`: the page where the user enters an address or chooses a provider.

use poem::{Request, Response, handler, web::Data};
use uuid::Uuid;

use super::{
    client_home::with_client,
    context::{RequestContext, see_other},
    flow::{self, Flow},
    lookup::{require_pending, require_pending_link},
    page::{LinkingAccount, SignInPage},
    page_error::{self, PageError},
    pending::{PendingRequest, ResumedBy},
    pending_link::PendingLink,
    provider_buttons::sign_in_buttons,
    resume,
};
use crate::{
    app::App,
    user,
    web::{page::render_page, params::Params},
};

/// Where a signed-in user signs in again by email. The page offers no provider and leads to the
/// account page.
pub const SIGN_IN_BY_EMAIL_PATH: &str = "/login?by=mail";

/// What the sign-in page shows beside its defaults.
#[derive(Debug, Default)]
pub struct SignInView<'a> {
    /// The handle of the client's pending request.
    pub txn: Option<&'a str>,
    pub pending: Option<&'a PendingRequest>,
    /// The address that the user entered, or a suggestion.
    pub email: &'a str,
    /// The reason why the address was refused.
    pub error: Option<String>,
    /// What happened before, if nothing is wrong.
    pub notice: Option<String>,
    /// The handle of a pending link.
    pub link: Option<&'a str>,
    pub linking: Option<&'a PendingLink>,
    /// The user asked to stay signed in.
    pub remembered: bool,
    /// Only a sign-in by email will do.
    pub email_only: bool,
}

/// Renders the sign-in page.
pub async fn render(
    app: &App,
    context: &RequestContext,
    view: SignInView<'_>,
) -> Result<Response, PageError> {
    let signed_in_as = current_address(app, context).await?;
    // ST-12: only an email is a fresh sign-in, and a user who comes from a provider needs no other.
    let email_only = view.email_only || view.pending.is_some_and(|pending| pending.email_only);
    let providers = if email_only || view.linking.is_some() {
        Vec::new()
    } else {
        sign_in_buttons(app, context, view.txn)
    };
    let is_fresh = view.email_only || view.pending.is_some_and(|pending| pending.fresh);
    let txn = view.txn.unwrap_or_default();
    // An app that waits in its own window has no page to return to.
    let has_cancel = view
        .pending
        .is_none_or(|pending| pending.resumed_by == ResumedBy::Protocol);
    let cancel = has_cancel.then(|| context.form_token(app, "cancel", txn));
    let linking_account = view.linking.and_then(|link| link.account.label());
    let linking_account = linking_account.unwrap_or_default();
    let page = SignInPage {
        localizer: &context.localizer,
        email: view.email,
        error: view.error,
        client: view
            .pending
            .map(|pending| pending.client_name.as_str())
            .filter(|name| !name.is_empty()),
        txn: view.txn,
        client_query: &with_client("", view.pending.map(|pending| pending.client_id.as_str())),
        remember_checked: view.remembered,
        form_token: &context.form_token(app, "sign-in", txn),
        signed_in_as: signed_in_as.as_deref(),
        form_token_cancel: cancel.as_deref(),
        confirm_as: signed_in_as.as_deref().filter(|_| is_fresh),
        requires_fresh_sign_in: view.pending.is_some_and(|pending| pending.fresh),
        notice: view.notice,
        link: view.link,
        linking: view.linking.map(|link| LinkingAccount {
            provider: &link.provider_name,
            account: &linking_account,
        }),
        providers: &providers,
    };
    let client = view.pending.and_then(PendingRequest::client);
    let response = render_page(&page, context.page_options_for_client(client));
    Ok(context.with_pre_login_cookie(response))
}

/// Returns the address of the signed-in user.
async fn current_address(app: &App, context: &RequestContext) -> Result<Option<String>, PageError> {
    let Some(current) = &context.current else {
        return Ok(None);
    };
    let address = user::primary_address(app.db.read(), current.user.id).await?;
    Ok(address.map(|row| user::shown_address(&row.email)))
}

/// OD-8: returns the flow that the user left for another address, or to start over.
async fn flow_left(
    app: &App,
    context: &RequestContext,
    params: &Params,
) -> Result<Option<Flow>, PageError> {
    let Some(id) = params.optional_within("flow", 36)? else {
        return Ok(None);
    };
    let id = Uuid::try_parse(id).map_err(|_| PageError::SignInExpired)?;
    Ok(flow::find_held(app.db.read(), id, &context.holder()).await?)
}

/// ST-04: returns where a client's request continues whose user has signed in since, in another
/// tab.
fn way_on(txn: Option<&str>, pending: Option<&PendingRequest>) -> Option<String> {
    let pending = pending.filter(|pending| pending.signed_in_since)?;
    if pending.resumed_by == ResumedBy::Upstream {
        return None;
    }
    let path = format!("{}?txn={}", pending.resumed_by.resume_path(), txn?);
    Some(with_client(&path, Some(&pending.client_id)))
}

#[handler]
pub(crate) async fn sign_in(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let params = Params::from_query(request)?;
        params.check_all(&["txn", "ui_locales", "login_hint", "link", "by", "flow"])?;
        let txn = params.optional_within("txn", 43)?;
        let locales = params
            .optional_within("ui_locales", 512)?
            .unwrap_or_default();
        let mut context = RequestContext::load(app, request, locales).await?;
        let pending = match require_pending(app, &context, txn).await {
            Err(PageError::SignInExpired) => {
                return resume::lead_on_without_request(&context, request);
            }
            pending => pending?,
        };
        if let Some(pending) = pending.as_ref().filter(|_| locales.is_empty()) {
            context.follow(app, pending);
        }
        let link = params.optional_within("link", 43)?;
        if let Some(path) = way_on(txn, pending.as_ref()).filter(|_| link.is_none()) {
            return Ok(see_other(&path));
        }
        let linking = require_pending_link(app, &context, link).await?;
        let email_only = params.optional_within("by", 16)? == Some("mail");
        let own_address = match email_only {
            true => current_address(app, &context).await?,
            false => None,
        };
        let linked_address = linking
            .as_ref()
            .and_then(|link| link.account.email.as_deref());
        let left = flow_left(app, &context, &params).await?;
        let left_address = left.as_ref().map(|flow| flow.canonical.as_str());
        let known_address = left_address.or(linked_address).map(user::shown_address);
        let email = match (known_address.as_deref(), &pending, &own_address) {
            (Some(address), ..) => address,
            (None, Some(pending), _) => &pending.login_hint,
            (None, None, Some(address)) => address,
            (None, None, None) => params
                .optional_within("login_hint", 254)?
                .unwrap_or_default(),
        };
        let view = SignInView {
            txn,
            pending: pending.as_ref(),
            email,
            notice: email_only.then(|| context.localizer.text("sign-in-by-mail")),
            link,
            linking: linking.as_ref(),
            email_only,
            remembered: left.as_ref().is_some_and(|flow| flow.remembered),
            ..SignInView::default()
        };
        render(app, &context, view).await
    })
    .await
}
