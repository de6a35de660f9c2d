//! The provider's answer: is it the one that this browser asked for, and who came?

use std::{sync::Arc, time::Duration};

use poem::{
    Request, Response, handler,
    http::{StatusCode, header},
    web::Data,
};
use serde::Deserialize;

use crate::{App, Login, Session, id_token, page, see_other, store::secret};

/// What the provider sends back (RFC 6749 §4.1.2, RFC 9207 §2). A repeated parameter is refused by serde.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// RFC 6749 §5.1.
#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    token_type: String,
    id_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// Why a sign-in does not come to its end. The words are for the person.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("This answer belongs to no sign-in of this browser. Please begin again.")]
    NotOurs,
    #[error("This answer comes from somebody else.")]
    Issuer,
    #[error("The sign-in was not finished ({0}).")]
    Refused(String),
    #[error("The provider did not take the sign-in. Please begin again.")]
    Exchange(#[source] anyhow::Error),
    #[error("The provider's proof does not fit. Please begin again.")]
    IdToken(#[source] id_token::Refused),
}

/// Ends the sign-in and begins the session.
#[handler]
pub async fn callback(request: &Request, Data(app): Data<&Arc<App>>) -> Response {
    match finish(app, request).await {
        Ok((session, life)) => {
            let id = secret();
            if !app.sessions.put(id.clone(), session, life) {
                return page::away(&"too many sessions");
            }
            let mut answer = see_other("/");
            page::add_header(&mut answer, header::SET_COOKIE, &app.set_cookie("session", &id, life));
            answer
        }
        Err(why) => {
            let cause = std::error::Error::source(&why).map(ToString::to_string).unwrap_or_default();
            tracing::info!(%why, cause, "sign-in refused");
            page::failed(StatusCode::BAD_REQUEST, &why.to_string())
        }
    }
}

async fn finish(app: &App, request: &Request) -> Result<(Session, Duration), Failed> {
    let answer: Answer = request.params().map_err(|_| Failed::NotOurs)?;
    let login = claim(app, request, &answer)?;
    // RFC 9207 §2.4: the answer says whose it is, or another provider's code could be slipped in.
    if answer.iss.as_deref() != Some(app.issuer.url()) {
        return Err(Failed::Issuer);
    }
    if let Some(error) = answer.error {
        // Only words that the standards know are shown: the rest is whatever somebody put into a URL.
        let plain = error.len() < 40 && error.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        return Err(Failed::Refused(if plain { error } else { "unknown error".to_owned() }));
    }
    let tokens = exchange(app, &answer.code.ok_or(Failed::NotOurs)?, &login).await.map_err(Failed::Exchange)?;
    let expected = id_token::Expected { client_id: &app.client_id, nonce: &login.nonce, now: lessons_api::now() };
    let sub = id_token::verify(&app.issuer, &app.keys, &tokens.id_token, &expected).await.map_err(Failed::IdToken)?;
    // As long as the access token lives: a new one costs a redirect, without a page, while Entree's session lasts.
    let life = Duration::from_secs(tokens.expires_in.unwrap_or(300).min(3600));
    Ok((Session { sub, access_token: tokens.access_token }, life))
}

/// The sign-in this answer belongs to: taken once, and only by the browser that began it (RFC 6749 §10.12).
fn claim(app: &App, request: &Request, answer: &Answer) -> Result<Login, Failed> {
    let state = answer.state.as_deref().ok_or(Failed::NotOurs)?;
    let browser = app.cookie(request, "browser").ok_or(Failed::NotOurs)?;
    // Looked at before it is taken, so that another browser's try spoils nothing.
    app.logins.get(state).filter(|login| login.browser == browser).ok_or(Failed::NotOurs)?;
    app.logins.take(state).ok_or(Failed::NotOurs)
}

/// RFC 6749 §4.1.3 with the proof of RFC 7636 §4.5. A public client: the verifier is all that it shows.
async fn exchange(app: &App, code: &str, login: &Login) -> anyhow::Result<Tokens> {
    let redirect_uri = app.redirect_uri();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &redirect_uri),
        ("client_id", &app.client_id),
        ("code_verifier", &login.verifier),
    ];
    let endpoint = &app.issuer.metadata().await?.token_endpoint;
    let answer = app.issuer.post(endpoint).form(&form).send().await?.error_for_status()?;
    let tokens: Tokens = answer.json().await?;
    anyhow::ensure!(tokens.token_type.eq_ignore_ascii_case("bearer"), "a token type that we do not know");
    Ok(tokens)
}
