//! Leaving: here alone, or at Entree too.

use std::{sync::Arc, time::Duration};

use poem::{Request, Response, handler, http::header, web::Data};
use url::Url;

use crate::{App, Session, page, see_other};

/// Forgets the visit here and gives its refresh token back. The person stays signed in at Entree, so that the next
/// sign-in costs one redirect. A POST, and the cookie is `SameSite=Lax`: no other site can send it.
#[handler]
pub(crate) async fn here(request: &Request, Data(app): Data<&Arc<App>>) -> Response {
    if let Some(session) = take_session(app, request) {
        session.give_back(app).await;
    }
    forget(app, see_other("/"))
}

/// The same, and then sends the browser to Entree to end its session there (RP-Initiated Logout 1.0 §2): with it end
/// the refresh tokens of every application that were given in that session. Their access tokens run out within minutes.
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

/// Where Entree sends the browser back to.
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
