//! `GET /login`: the page where a person types an address.

use poem::{Request, Response, handler, web::Data};

use super::{
    context::RequestContext, page, page_error, page_error::PageError, pending, pending_link,
    pending_link::PendingLink, provider,
};
use crate::{
    app::App,
    secret::Plain,
    user,
    web::{page::render_page, params::Params},
};

/// Where somebody who is signed in proves by mail that it is still them: it offers no provider, and leads to the account
/// page.
pub const SIGN_IN_BY_EMAIL_PATH: &str = "/login?by=mail";

/// What the sign-in page shows beside the usual.
#[derive(Debug, Default)]
pub struct SignInView<'a> {
    /// The handle of a pending client request.
    pub txn: Option<&'a str>,
    /// The request itself.
    pub pending: Option<&'a pending::PendingRequest>,
    /// What was typed, or a first guess.
    pub email: &'a str,
    /// What is wrong with it.
    pub error: Option<String>,
    /// What happened before, where nothing is wrong.
    pub notice: Option<String>,
    /// The handle of an account at a provider that waits for an address.
    pub link: Option<&'a str>,
    /// The account itself.
    pub linking: Option<&'a PendingLink>,
    /// The box is ticked.
    pub remembered: bool,
    /// Only a proof by mail will do.
    pub by_mail: bool,
}

/// Draws the sign-in page.
///
/// # Errors
/// If the database is away.
pub async fn render(
    app: &App,
    context: &RequestContext,
    shown: SignInView<'_>,
) -> Result<Response, PageError> {
    let signed_in_as = match &context.current {
        Some(current) => user::primary_address(app.db.read(), current.user.id)
            .await?
            .map(|row| row.email),
        None => None,
    };
    let fresh = shown.pending.is_some_and(|pending| pending.fresh);
    // Only mail proves it anew (DESIGN §8), and who comes from a provider needs no second one.
    let mail_only = shown.by_mail || shown.pending.is_some_and(|pending| pending.mail_only);
    let buttons = match (mail_only, shown.linking) {
        (false, None) => provider::sign_in_buttons(app, context, shown.txn),
        _ => Vec::new(),
    };
    // An app that waits in its own window has no page to go back to.
    let cancels = shown
        .pending
        .is_none_or(|pending| pending.resumed_by == pending::ResumedBy::Protocol);
    let cancel = cancels.then(|| context.form_token(app, "cancel", shown.txn.unwrap_or_default()));
    let page = page::SignInPage {
        localizer: &context.localizer,
        email: shown.email,
        error: shown.error,
        client: shown.pending.map(|pending| pending.client_name.as_str()),
        txn: shown.txn,
        remember_checked: shown.remembered,
        form_token: &context.form_token(app, "sign-in", shown.txn.unwrap_or_default()),
        signed_in_as: signed_in_as.as_deref(),
        form_token_cancel: cancel.as_deref(),
        limited_to_mail: fresh,
        notice: shown.notice,
        link: shown.link,
        linking: shown.linking.map(|link| page::Linking {
            provider: &link.provider_name,
            account: link.arrived.label().unwrap_or_default(),
        }),
        providers: &buttons,
    };
    let site = context.site_for_client(shown.pending.map(|pending| pending.client_id.as_str()));
    Ok(context.with_pre_login_cookie(render_page(&page, site)))
}

/// The pending request behind a handle: none was named, or this browser brought it.
///
/// # Errors
/// [`PageError::SignInExpired`] if it is over, spent or another browser's.
pub async fn require_pending(
    app: &App,
    context: &RequestContext,
    txn: Option<&str>,
) -> Result<Option<pending::PendingRequest>, PageError> {
    let Some(txn) = txn else { return Ok(None) };
    let handle = Plain::parse(txn).ok_or(PageError::SignInExpired)?;
    let found = pending::peek(&app.tickets, &handle, context.requester()).await?;
    found.map(Some).ok_or(PageError::SignInExpired)
}

/// The endpoint.
#[handler]
pub async fn login(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let params = Params::from_query(request)?;
        params.check_all(&["txn", "ui_locales", "login_hint", "link", "by"])?;
        let txn = params.optional_within("txn", 43)?;
        let locales = params
            .optional_within("ui_locales", 512)?
            .unwrap_or_default();
        let mut context = RequestContext::load(app, request, locales).await?;
        let pending = require_pending(app, &context, txn).await?;
        let link = params.optional_within("link", 43)?;
        let linking = pending_link::find_named(app, &context, link).await?;
        if let Some(pending) = pending.as_ref().filter(|_| locales.is_empty()) {
            context.localizer = app
                .texts
                .negotiate(&pending.ui_locales, &context.caller.accept_language);
        }
        let told = linking
            .as_ref()
            .and_then(|link| link.arrived.email.as_deref());
        let by_mail = params.optional_within("by", 16)? == Some("mail");
        let own = match &context.current {
            Some(current) if by_mail => user::primary_address(app.db.read(), current.user.id)
                .await?
                .map(|row| row.email),
            _ => None,
        };
        let hint = match &pending {
            _ if told.is_some() => told.unwrap_or_default(),
            Some(pending) => pending.login_hint.as_str(),
            None if own.is_some() => own.as_deref().unwrap_or_default(),
            None => params
                .optional_within("login_hint", 254)?
                .unwrap_or_default(),
        };
        let shown = SignInView {
            txn,
            pending: pending.as_ref(),
            email: hint,
            notice: by_mail.then(|| context.localizer.text("sign-in-by-mail")),
            link,
            linking: linking.as_ref(),
            by_mail,
            ..SignInView::default()
        };
        render(app, &context, shown).await
    })
    .await
}
