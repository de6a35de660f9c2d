//! The answer to a form about a client's request, for a browser that sends the form twice: of two
//! presses of a button it shows the last response alone (ST-04).
//!
//! The answer takes the place of the claimed request in the ticket store. It leads to the client
//! again only while its code has not been exchanged: a client that has it would take the second one
//! for a replay.

use serde::{Deserialize, Serialize};

use super::{
    response::AuthorizationResponse,
    step::{self, AuthorizationStep},
};
use crate::{
    app::App,
    error::InfraError,
    login::{
        context::RequestContext,
        page_error::PageError,
        pending::{self, Answer},
    },
    oauth::token::code_store,
    secret::Plain,
};

/// What the user decided by a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Decision {
    Allow,
    Deny,
    Cancel,
}

/// An answer as it is stored. It has no `Debug`, because it may contain a code.
#[derive(Serialize, Deserialize)]
struct FormAnswer {
    decision: Decision,
    outcome: Outcome,
}

#[derive(Serialize, Deserialize)]
enum Outcome {
    /// The parameters of the response for the client.
    Response(Vec<(String, String)>),
    /// The path of the next page.
    Page(String),
}

/// Claims a request whose answer is ready, and keeps the answer. Returns the step, or none if
/// another form has claimed the request.
pub(super) async fn claim(
    app: &App,
    context: &RequestContext,
    handle: &Plain,
    decision: Decision,
    step: AuthorizationStep,
) -> Result<Option<AuthorizationStep>, PageError> {
    let outcome = match (&step, step.page_path()) {
        (AuthorizationStep::Respond(response), _) => Outcome::Response(response.fields().to_vec()),
        (_, path) => Outcome::Page(path.unwrap_or_default()),
    };
    let answer = FormAnswer { decision, outcome };
    let answer = Answer {
        at: app.clock().now(),
        text: serde_json::to_string(&answer).map_err(InfraError::internal)?,
    };
    let requester = context.requester();
    let is_first = pending::claim_with_answer(&app.tickets, handle, requester, &answer).await?;
    Ok(is_first.then_some(step))
}

/// Returns the answer that the same form got from this browser within the last minute.
pub(super) async fn repeat(
    app: &App,
    context: &RequestContext,
    handle: &Plain,
    decision: Decision,
) -> Result<Option<AuthorizationStep>, PageError> {
    let (requester, now) = (context.requester(), app.clock().now());
    let found = pending::find_answered(&app.tickets, handle, requester, now).await?;
    let Some((pending, text)) = found else {
        return Ok(None);
    };
    let answer: FormAnswer = serde_json::from_str(&text).map_err(InfraError::internal)?;
    if answer.decision != decision {
        return Ok(None);
    }
    match answer.outcome {
        Outcome::Page(path) => Ok(Some(AuthorizationStep::Page(path))),
        Outcome::Response(fields) => {
            let code = fields.iter().find(|(name, _)| name == "code");
            if let Some((_, code)) = code
                && !code_store::is_live(app, code).await?
            {
                return Ok(None);
            }
            let target = step::restore(&pending, context)?.target;
            let response = AuthorizationResponse::repeated(target, fields);
            Ok(Some(AuthorizationStep::Respond(response)))
        }
    }
}
