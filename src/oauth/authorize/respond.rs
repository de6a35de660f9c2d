//! The authorization response (RFC 6749 §4.1.2): a code or an error, with `state` as sent and `iss` (RFC 9207).

use std::time::Duration;

use poem::{
    Response,
    http::{StatusCode, header},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::request::{AuthorizeRequest, Back};
use crate::{
    app::App,
    login::{Trouble, Visit},
    oauth::error::OauthError,
    secret::{Plain, public_id},
    session::Current,
    ticket::Kind,
    web::error::Failure,
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
    /// The session that granted it.
    pub session: Uuid,
}

/// Issues a code and sends it to the client.
///
/// # Errors
/// If the ticket store is away.
pub async fn code(
    app: &App,
    visit: &Visit,
    asked: &AuthorizeRequest<'_>,
    current: &Current,
) -> Result<Response, Trouble> {
    let code = Plain::generate();
    let grant = CodeGrant {
        grant: public_id(),
        client_id: asked.client.client_id.clone(),
        redirect_uri: asked.redirect.uri.as_str().to_owned(),
        code_challenge: asked.stored.code_challenge.clone(),
        nonce: asked.stored.nonce.clone(),
        scope: asked.stored.scope.clone(),
        session: current.session.id,
    };
    let value = serde_json::to_vec(&grant).map_err(Failure::internal)?;
    let life = Duration::from_secs(visit.config.token.code_seconds);
    if !app.tickets.issue(Kind::Code, &code.hash(), &value, life).await? {
        return Err(Failure::internal("a fresh 256-bit code was taken").into());
    }
    Ok(redirect(app, &asked.redirect, &[("code", &code.to_text())]))
}

/// Sends an error to the client.
#[must_use]
pub fn error(app: &App, back: &Back, error: OauthError) -> Response {
    redirect(app, back, &[("error", error.code.name()), ("error_description", error.description)])
}

fn redirect(app: &App, back: &Back, parameters: &[(&str, &str)]) -> Response {
    let mut all = parameters.to_vec();
    if let Some(state) = &back.state {
        all.push(("state", state));
    }
    all.push(("iss", &app.public_url));
    let mut location = header::HeaderValue::try_from(back.uri.with(&all)).ok();
    if let Some(location) = &mut location {
        location.set_sensitive(true);
    }
    let mut response = Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::REFERRER_POLICY, "no-referrer")
        .finish();
    match location {
        Some(location) => {
            response.headers_mut().insert(header::LOCATION, location);
        }
        // A registered URI and form-encoded parameters are always a header value.
        None => response.set_status(StatusCode::INTERNAL_SERVER_ERROR),
    }
    response
}
