//! Asking the lessons API for a person, and understanding what it wants instead of answering.

use poem::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use crate::{
    App,
    challenge::Challenge,
    session::{Session, SessionError},
};

/// What came of it.
pub(crate) enum Answer<T> {
    /// What was asked for.
    Found(T),
    /// The visit is over.
    Over,
    /// The person must prove again who they are: an authorization request with this `max_age` (RFC 9470 §4).
    StepUp(u32),
    /// The person lacks the role, which only an operator can give.
    NotForYou,
    /// The API or Entree is away, or speaks otherwise.
    Away(anyhow::Error),
}

/// GETs `path` with the token of a visit. A token that is refused is replaced once.
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
