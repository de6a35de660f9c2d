//! Requests to the lessons API in the name of a user, and what the API requires in place of a response.

use poem::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use crate::{
    App,
    challenge::Challenge,
    session::{Session, SessionError},
};

/// The result of a request.
pub(crate) enum Answer<T> {
    /// The response.
    Found(T),
    /// The session is over.
    Over,
    /// The user must sign in again, by an authorization request with this `max_age` (RFC 9470 §4).
    StepUp(u32),
    /// The user lacks the role, which only an operator can give.
    NotForYou,
    /// The API or Entree is unavailable, or its response is malformed.
    Away(anyhow::Error),
}

/// Requests `path` with the access token of a session. A token that is refused is replaced once.
pub(crate) async fn get<T: DeserializeOwned>(
    app: &App,
    session: &Session,
    path: &str,
) -> Answer<T> {
    attempt(app, session, path)
        .await
        .unwrap_or_else(|lost| match lost {
            SessionError::Over => Answer::Over,
            SessionError::Away(cause) => Answer::Away(cause),
        })
}

async fn attempt<T: DeserializeOwned>(
    app: &App,
    session: &Session,
    path: &str,
) -> Result<Answer<T>, SessionError> {
    let mut token = session.access_token(app).await?;
    for last in [false, true] {
        let url = format!("{}{path}", app.lessons_api_url);
        let answer = app.http.get(url).bearer_auth(&token).send().await;
        let answer = answer.map_err(|error| anyhow::Error::from(error.without_url()))?;
        match answer.status() {
            StatusCode::UNAUTHORIZED => {
                if let Some(max_age) = challenge(&answer).step_up() {
                    return Ok(Answer::StepUp(max_age));
                }
                if last {
                    return Ok(Answer::Over);
                }
                token = session.renewed(app, &token).await?;
            }
            StatusCode::FORBIDDEN if challenge(&answer).error.is_empty() => {
                return Ok(Answer::NotForYou);
            }
            status if status.is_success() => {
                return Ok(Answer::Found(
                    answer.json().await.map_err(anyhow::Error::from)?,
                ));
            }
            status => {
                return Ok(Answer::Away(anyhow::anyhow!(
                    "the lessons API answered {status}"
                )));
            }
        }
    }
    Ok(Answer::Over)
}

fn challenge(answer: &reqwest::Response) -> Challenge {
    let text = answer
        .headers()
        .get(header::WWW_AUTHENTICATE)
        .and_then(|value| value.to_str().ok());
    Challenge::parse(text.unwrap_or_default())
}
