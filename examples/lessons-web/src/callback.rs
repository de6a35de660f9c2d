//! Checks the provider's response: whether this browser requested it, and who signed in.

use std::sync::Arc;

use poem::{
    Request, Response, handler,
    http::{StatusCode, header},
    web::Data,
};
use serde::Deserialize;

use crate::{
    App, Login, Session, VISIT,
    id_token::{self, LEEWAY, Proof},
    page, see_other,
    session::{TokenResponse, request_tokens},
    store::secret,
};

/// The authorization response (RFC 6749 §4.1.2, RFC 9207 §2). serde refuses a repeated parameter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// Why a sign-in is not completed. The user reads the texts.
#[derive(Debug, thiserror::Error)]
enum SignInError {
    #[error("This response doesn't belong to a sign-in in this browser. Start over.")]
    NotOurs,
    #[error("This response comes from another provider. Start over.")]
    Issuer,
    #[error("The sign-in wasn't completed ({0}). Try again.")]
    Refused(String),
    #[error("The provider didn't accept the sign-in. Start over.")]
    Exchange(#[source] anyhow::Error),
    #[error("The provider's ID token isn't valid. Start over.")]
    IdToken(#[source] id_token::IdTokenError),
    #[error("You signed in as someone else. Sign out first.")]
    OtherPerson,
    #[error("The provider didn't ask you to sign in again. Start over.")]
    Old,
}

/// Completes the sign-in and starts the session.
#[handler]
pub(crate) async fn callback(request: &Request, Data(app): Data<&Arc<App>>) -> Response {
    match finish(app, request).await {
        Ok((session, back)) => {
            // The session gets a new id, also after a step-up, so that the old one is worth nothing.
            let id = secret();
            if !app.sessions.put(id.clone(), session, VISIT) {
                return page::away(&"too many sessions");
            }
            if let Some(old) = app
                .cookie(request, "session")
                .and_then(|old| app.sessions.take(old))
            {
                old.give_back(app).await;
            }
            let mut answer = see_other(back);
            page::add_header(
                &mut answer,
                header::SET_COOKIE,
                &app.set_cookie("session", &id, VISIT),
            );
            answer
        }
        Err(why) => {
            let cause = std::error::Error::source(&why)
                .map(ToString::to_string)
                .unwrap_or_default();
            tracing::info!(%why, cause, "sign-in refused");
            page::failed(StatusCode::BAD_REQUEST, &why.to_string())
        }
    }
}

async fn finish(app: &App, request: &Request) -> Result<(Session, &'static str), SignInError> {
    let answer: Answer = request.params().map_err(|_| SignInError::NotOurs)?;
    let login = claim(app, request, &answer)?;
    // RFC 9207 §2.4: without the issuer, a code of another provider could be injected.
    if answer.iss.as_deref() != Some(app.issuer.url()) {
        return Err(SignInError::Issuer);
    }
    if let Some(error) = answer.error {
        // Only error codes of the standards are shown: anything else could be a text in a crafted URL.
        let plain = error.len() < 40
            && error
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        return Err(SignInError::Refused(if plain {
            error
        } else {
            "unknown error".to_owned()
        }));
    }
    let tokens = exchange(app, &answer.code.ok_or(SignInError::NotOurs)?, &login)
        .await
        .map_err(SignInError::Exchange)?;
    let expected = id_token::Expected {
        client_id: &app.client_id,
        nonce: Some(&login.nonce),
        now: lessons_api::now(),
    };
    let proof = id_token::verify(&app.issuer, &app.keys, tokens.id_token(), &expected).await;
    let proof = proof.map_err(SignInError::IdToken)?;
    check_person(&login, &proof)?;
    Ok((Session::begin(proof, tokens), login.back))
}

/// Claims the sign-in that the response belongs to: once, and only by the browser that began it (RFC 6749 §10.12).
fn claim(app: &App, request: &Request, answer: &Answer) -> Result<Login, SignInError> {
    let state = answer.state.as_deref().ok_or(SignInError::NotOurs)?;
    let browser = app.cookie(request, "browser").ok_or(SignInError::NotOurs)?;
    // It is checked before it is claimed, so that the attempt of another browser ends no sign-in.
    app.logins
        .get(state)
        .filter(|login| login.browser == browser)
        .ok_or(SignInError::NotOurs)?;
    app.logins.take(state).ok_or(SignInError::NotOurs)
}

/// Exchanges the code (RFC 6749 §4.1.3) with the PKCE verifier (RFC 7636 §4.5), which is all that a public client has.
async fn exchange(app: &App, code: &str, login: &Login) -> anyhow::Result<TokenResponse> {
    let redirect_uri = app.redirect_uri();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &redirect_uri),
        ("client_id", &app.client_id),
        ("code_verifier", &login.verifier),
    ];
    Ok(request_tokens(app, &form).await?)
}

/// Checks that the same user signed in, and recently enough (OpenID Connect Core §3.1.3.7, 11). A provider that
/// ignores `max_age` must not pass for one that asked the user again.
fn check_person(login: &Login, proof: &Proof) -> Result<(), SignInError> {
    let recent = |max_age: u32| {
        let age = proof
            .auth_time
            .map(|at| lessons_api::now().saturating_sub(at));
        age.is_some_and(|age| age <= i64::from(max_age).saturating_add(LEEWAY))
    };
    if login.sub.as_ref().is_some_and(|sub| *sub != proof.sub) {
        return Err(SignInError::OtherPerson);
    }
    if login.max_age.is_some_and(|max_age| !recent(max_age)) {
        return Err(SignInError::Old);
    }
    Ok(())
}
