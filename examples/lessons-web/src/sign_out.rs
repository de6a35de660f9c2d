//! Signs a user out: here alone, or at Entree, too.

use std::{sync::Arc, time::Duration};

use poem::{Request, Response, handler, http::header, web::Data};
use url::Url;

use crate::{App, Session, page, see_other};

/// Ends the session here and revokes its refresh token. The user stays signed in at Entree, so that the next sign-in
/// takes one redirect. No other site can send this POST, since the cookie is `SameSite=Lax`.
#[handler]
pub(crate) async fn here(request: &Request, Data(app): Data<&Arc<App>>) -> Response {
    if let Some(session) = take_session(app, request) {
        session.give_back(app).await;
    }
    forget(app, see_other("/"))
}

/// Does the same, and then redirects the browser to Entree, which ends its session (RP-Initiated Logout 1.0 §2) and the
/// refresh tokens that any application got in that session. Their access tokens expire within minutes.
#[handler]
pub(crate) async fn everywhere(request: &Request, Data(app): Data<&Arc<App>>) -> Response {
    let Some(session) = take_session(app, request) else {
        return see_other("/");
    };
    session.give_back(app).await;
    let answer = match end_session_url(app, &session.id_token().await).await {
        Some(url) => see_other(url.as_str()),
        None => page::sign_in(Some(
            "You've signed out here, but we can't reach Entree. Sign out there later.",
        )),
    };
    forget(app, answer)
}

/// The page to which Entree redirects after the sign-out.
#[handler]
pub(crate) fn done() -> Response {
    page::sign_in(Some("You've signed out here and at Entree."))
}

fn take_session(app: &App, request: &Request) -> Option<Session> {
    app.sessions.take(app.cookie(request, "session")?)
}

fn forget(app: &App, mut answer: Response) -> Response {
    page::add_header(
        &mut answer,
        header::SET_COOKIE,
        &app.set_cookie("session", "", Duration::ZERO),
    );
    answer
}

async fn end_session_url(app: &App, id_token: &str) -> Option<Url> {
    let metadata = app.issuer.metadata().await.ok()?;
    let mut url = Url::parse(metadata.end_session_endpoint.as_deref()?).ok()?;
    url.query_pairs_mut()
        .append_pair("id_token_hint", id_token)
        .append_pair("client_id", &app.client_id)
        .append_pair(
            "post_logout_redirect_uri",
            &format!("{}/signed-out", app.public_url),
        );
    Some(url)
}
