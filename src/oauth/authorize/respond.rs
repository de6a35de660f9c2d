//! The authorization response (RFC 6749 §4.1.2): a code or an error, with `state` as sent and `iss` (RFC 9207).

use std::time::Duration;

use poem::{
    Response,
    http::{StatusCode, header},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::request::{AuthorizeRequest, Back, Mode};
use crate::{
    app::App,
    clock::Time,
    error::InfraError,
    login::{PageError, RequestContext, page::ContinuePage},
    oauth::{error::OauthError, page::FormPost},
    secret::{Plain, public_id},
    session::CurrentSession,
    ticket::Kind,
    web::page::render_page,
};

/// What a code stands for (AZ-17). It is kept sealed in the ticket store.
#[derive(Debug, Serialize, Deserialize)]
pub struct CodeGrant {
    /// The id that the grant will have.
    pub grant: Uuid,
    /// To whom it was issued.
    pub client_id: String,
    /// Where it was sent.
    pub redirect_uri: String,
    /// PKCE S256, unless the client may do without and did.
    pub code_challenge: Option<String>,
    /// For the ID token.
    pub nonce: Option<String>,
    /// What was granted.
    pub scope: String,
    /// What `claims` asked for and was granted.
    #[serde(default)]
    pub claims: String,
    /// For which resource servers, separated by spaces, if the client said.
    pub resource: Option<String>,
    /// The session that granted it.
    pub session: Uuid,
    /// When its person had proven who they are: tokens tell of the sign-in that answered the request, whatever becomes of
    /// the session before the exchange.
    pub auth_time: Time,
    /// How strong that was.
    pub acr: String,
    /// How it was done, separated by spaces.
    pub amr: String,
    /// The account at a provider by which it was done, if it was one.
    #[serde(default)]
    pub identity: Option<Uuid>,
}

/// How an answer leaves our origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// By 303, from a GET.
    ByRedirect,
    /// By a page, from a form's POST: Chromium applies `form-action` to redirects (CW-03).
    ByPage,
}

/// Issues a code and sends it to the client.
///
/// # Errors
/// If the ticket store is away.
pub async fn code(
    app: &App,
    context: &RequestContext,
    asked: &AuthorizeRequest<'_>,
    current: &CurrentSession,
    leave: Leave,
) -> Result<Response, PageError> {
    let code = Plain::generate();
    let grant = CodeGrant {
        grant: public_id(),
        client_id: asked.client.client_id.clone(),
        redirect_uri: asked.redirect.uri.as_str().to_owned(),
        code_challenge: asked.stored.code_challenge.clone(),
        nonce: asked.stored.nonce.clone(),
        scope: asked.stored.scope.clone(),
        claims: asked.stored.claims.clone(),
        resource: asked.stored.resource.clone(),
        session: current.session.id,
        auth_time: current.session.auth_time,
        acr: current.session.acr.clone(),
        amr: current.session.amr.clone(),
        identity: current.session.identity_id,
    };
    let value = serde_json::to_vec(&grant).map_err(InfraError::internal)?;
    let life = Duration::from_secs(
        asked
            .client
            .token_lifetimes(&context.config.token)
            .code_seconds,
    );
    if !app
        .tickets
        .issue(Kind::Code, &code.hash(), &value, life)
        .await?
    {
        return Err(InfraError::internal("a fresh 256-bit code was taken").into());
    }
    Ok(send(
        app,
        context,
        &asked.redirect,
        &[("code", &code.to_text())],
        leave,
    ))
}

/// Sends an error to the client (AZ-16: nothing but error, error_description, state, iss).
#[must_use]
pub fn error(
    app: &App,
    context: &RequestContext,
    back: &Back,
    error: OauthError,
    leave: Leave,
) -> Response {
    let description = error.description();
    let fields = [
        ("error", error.code.name()),
        ("error_description", &description),
    ];
    send(app, context, back, &fields, leave)
}

fn send(
    app: &App,
    context: &RequestContext,
    back: &Back,
    answer: &[(&str, &str)],
    leave: Leave,
) -> Response {
    let mut fields = answer.to_vec();
    if let Some(state) = &back.state {
        fields.push(("state", state));
    }
    fields.push(("iss", &app.public_url));
    let site = context.page_options_for_client(Some(&back.client_id));
    let response = match (back.mode, leave) {
        (Mode::FormPost, _) => render_page(
            &FormPost {
                localizer: &context.localizer,
                action: back.uri.as_str(),
                fields: &fields,
            },
            site,
        ),
        (Mode::Query, Leave::ByPage) => render_page(
            &ContinuePage {
                localizer: &context.localizer,
                href: &back.uri.with(&fields),
            },
            site,
        ),
        (Mode::Query, Leave::ByRedirect) => redirect(&back.uri.with(&fields)),
    };
    context.with_pre_login_cookie(response)
}

fn redirect(location: &str) -> Response {
    let mut response = Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::REFERRER_POLICY, "no-referrer")
        .finish();
    match header::HeaderValue::try_from(location) {
        Ok(mut location) => {
            location.set_sensitive(true);
            response.headers_mut().insert(header::LOCATION, location);
        }
        // A registered URI and form-encoded parameters are always a header value.
        Err(_) => response.set_status(StatusCode::INTERNAL_SERVER_ERROR),
    }
    response
}
