//! The authorization endpoint (RFC 6749 §4.1.1, OIDC Core §3.1.2): `GET`, `POST /oauth2/authorize`, and where a request
//! is taken up again after a sign-in.

pub mod consent;
pub mod next;
pub mod request;
pub mod respond;

use poem::{Body, Request, Response, handler, web::Data};

use self::{
    next::{Next, next},
    request::{AuthorizeRequest, Hints, Rejected},
    respond::Leave,
};
use crate::{
    app::App,
    config::{ClientAuth, is_loopback},
    error::InfraError,
    limit,
    login::{
        context::{RequestContext, see_other},
        page_error::{self, PageError},
        pending::{self, PendingRequest},
    },
    oauth::{
        claims_request::wanted,
        consent_store,
        error::{Code, OauthError},
        posted,
    },
    secret::Plain,
    session,
    web::params::Params,
};

/// `GET /oauth2/authorize`.
#[handler]
pub(crate) async fn authorize(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = posted::params(app, request).await?;
        match AuthorizeRequest::parse(&params, &context.config, app, app.clock().now()) {
            Ok(asked) => proceed(app, &context, asked, Leave::ByRedirect).await,
            Err(Rejected::Page(parameter)) => Err(PageError::InvalidClientRequest(parameter)),
            Err(Rejected::Redirect(back, error)) => Ok(respond::error(
                app,
                &context,
                &back,
                error,
                Leave::ByRedirect,
            )),
        }
    })
    .await
}

/// `POST /oauth2/authorize`: a cross-site POST brings no Lax cookie, so it goes on as our own GET (AZ-1).
#[handler]
pub(crate) async fn authorize_post(
    Data(app): Data<&App>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(
        app,
        request,
        posted::keep(app, request, body, "/oauth2/authorize"),
    )
    .await
}

/// `GET /oauth2/authorize/resume`: the person has signed in; the request that waited goes on, once.
#[handler]
pub(crate) async fn resume(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::from_query(request)?;
        let handle = Plain::parse(params.required("txn", 43)?).ok_or(PageError::SignInExpired)?;
        let pending = pending::peek(&app.tickets, &handle, context.requester())
            .await?
            .ok_or(PageError::SignInExpired)?;
        // A handle of something else that waits is no request.
        let stored =
            serde_json::from_str(&pending.request).map_err(|_| PageError::SignInExpired)?;
        // The configuration may have changed since: what is no longer registered is no longer answered.
        let asked = AuthorizeRequest::restore(stored, &context.config)
            .ok_or(PageError::InvalidClientRequest("redirect_uri"))?;
        let answer = proceed(app, &context, asked, Leave::ByRedirect).await?;
        taken(app, &context, &handle, answer).await
    })
    .await
}

/// The answer, if its request had not been taken before. It is taken last: whatever fails before leaves it waiting, and
/// a code that is not sent is worth nothing.
async fn taken(
    app: &App,
    context: &RequestContext,
    handle: &Plain,
    answer: Response,
) -> Result<Response, PageError> {
    pending::claim(&app.tickets, handle, context.requester())
        .await?
        .map(|_| answer)
        .ok_or(PageError::SignInExpired)
}

async fn proceed(
    app: &App,
    context: &RequestContext,
    mut asked: AuthorizeRequest<'_>,
    leave: Leave,
) -> Result<Response, PageError> {
    let now = app.clock().now();
    let consented = is_consented(app, context, &asked).await?;
    match next(&asked, context.current.as_ref(), consented, now) {
        Next::Code(current) => {
            session::record_use(app.db.pool(), &current.session, now).await?;
            respond::code(app, context, &asked, current, leave).await
        }
        Next::Refuse(error) => Ok(respond::error(app, context, &asked.redirect, error, leave)),
        Next::Consent => {
            let handle = park(app, context, &asked, false).await?;
            Ok(context.with_pre_login_cookie(see_other(&consent::path(&handle))))
        }
        Next::SignIn { fresh } => {
            asked.stored.proven_before = context
                .current
                .as_ref()
                .map(|current| current.session.auth_time);
            let handle = park(app, context, &asked, fresh).await?;
            Ok(context
                .with_pre_login_cookie(see_other(&format!("/login?txn={}", handle.to_text()))))
        }
    }
}

/// First-party clients need not ask; others by what the person has allowed them before. Where the answer would go to
/// anything that runs on the person's machine, somebody must have seen a page either way.
async fn is_consented(
    app: &App,
    context: &RequestContext,
    asked: &AuthorizeRequest<'_>,
) -> Result<bool, PageError> {
    let Some(current) = &context.current else {
        return Ok(false);
    };
    if goes_to_the_device(app, asked) && !next::is_new(asked, current) {
        return Ok(false);
    }
    if asked.client.first_party {
        return Ok(true);
    }
    let wanted = wanted(&asked.stored.scope, &asked.stored.claims);
    Ok(consent_store::covers(
        app.db.read(),
        &current.user,
        &asked.client.client_id,
        &wanted,
    )
    .await?)
}

/// RFC 8252 §8.6: anything on the machine may wait at a port or have taken an app's scheme, and begin a request in the
/// app's name, with a challenge of its own. An answer there without a page would give it tokens that nobody knows of. Where
/// we are on that machine ourselves, for development, all of it is one person's anyway.
fn goes_to_the_device(app: &App, asked: &AuthorizeRequest<'_>) -> bool {
    let public = asked.client.token_endpoint_auth_method == ClientAuth::None;
    let ours_is_local = || url::Url::parse(&app.public_url).is_ok_and(|url| is_loopback(&url));
    public && !asked.redirect.uri.as_str().starts_with("https://") && !ours_is_local()
}

/// Parks a request, under a budget of the asker's network: each takes room in the ticket store, and anybody may ask.
async fn park(
    app: &App,
    context: &RequestContext,
    asked: &AuthorizeRequest<'_>,
    fresh: bool,
) -> Result<Plain, PageError> {
    if let Some(wait) =
        limit::authorize(&app.tickets, context.caller.ip, &context.config.limits).await?
    {
        return Err(PageError::TooManyRequests(wait));
    }
    let pending = PendingRequest {
        client_id: asked.client.client_id.clone(),
        client_name: asked.client.name.clone(),
        fresh,
        email_only: next::wants_mail(asked),
        login_hint: asked.stored.login_hint.clone(),
        ui_locales: asked.stored.ui_locales.clone(),
        request: serde_json::to_string(&asked.stored).map_err(InfraError::internal)?,
        origin: None,
        resumed_by: pending::ResumedBy::default(),
    };
    Ok(pending::store(
        &app.tickets,
        context.pre.hash(),
        context.session_id(),
        &pending,
    )
    .await?)
}

impl Hints for App {
    fn ours(&self) -> &str {
        &self.public_url
    }

    fn subject(&self, hint: &str) -> Result<String, OauthError> {
        let refused = OauthError::new(
            Code::InvalidRequest,
            "The parameter id_token_hint is not an ID token of ours.",
        );
        let claims = self
            .keys
            .verify_hint(hint, &self.public_url)
            .map_err(|_| refused)?;
        claims
            .get("sub")
            .and_then(|sub| sub.as_str())
            .map(str::to_owned)
            .ok_or(refused)
    }
}
