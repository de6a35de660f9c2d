//! `POST /login/code`: the code, entered where the sign-in was requested.

use poem::{Body, Request, Response, handler, web::Data};
use uuid::Uuid;

use super::{
    entry::{self, Refusal},
    link::attempt_of,
};
use crate::{
    app::App,
    login::{
        context::RequestContext,
        flow::{self, Flow, FlowState},
        form::PostedForm,
        lookup::{flow_id, is_of_session},
        page_error::{self, PageError},
        resume::{render_continue, restart_path},
    },
    magic_link::{
        code,
        consume::{ConsumeOutcome, LookUpError},
        refusal::ConsumeRefusal,
    },
    web::{csrf, params::Params},
};

#[handler]
pub(crate) async fn submit(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["flow", "code", "switch", "form_token"])?;
        let id = flow_id(&params)?;
        let form_context = id.to_string();
        let form = PostedForm {
            params: &params,
            name: "code",
            context: &form_context,
            allow_null_origin: false,
        };
        if let Err(error) = context.check_form(app, request, &form) {
            let entered = params.optional("code").ok().flatten().unwrap_or_default();
            return match recover_stale_form(app, &context, request, id, error).await? {
                Recovered::Continue(flow) => Ok(render_continue(&context, &flow)),
                Recovered::Again(flow) => {
                    Ok(entry::refuse(&context, &flow, Refusal::OtherTab, entered))
                }
            };
        }
        let entered = params.optional("code")?.unwrap_or_default();
        let attempt = attempt_of(app, &context, &params)?;
        let outcome = match code::look_up_code(app.db.read(), id, entered, &attempt).await {
            Ok(code) => {
                let tx = app.db.begin().await?;
                let outcome = code::consume(&tx, code, &attempt).await?;
                tx.commit().await?;
                outcome
            }
            Err(LookUpError::Refused(outcome)) => *outcome,
            Err(LookUpError::Infra(error)) => return Err(error.into()),
        };
        if let Some(flow) = outcome.flow() {
            context.follow_flow(app, flow);
        }
        respond(&context, outcome, entered)
    })
    .await
}

fn respond(
    context: &RequestContext,
    outcome: ConsumeOutcome,
    entered: &str,
) -> Result<Response, PageError> {
    match outcome {
        ConsumeOutcome::SignedIn(signed_in, flow) => {
            Ok(context.with_sign_in_cookies(render_continue(context, &flow), &signed_in))
        }
        ConsumeOutcome::ConfirmSwitch(flow) => {
            let refusal = Refusal::SwitchNotConfirmed;
            Ok(entry::refuse(context, &flow, refusal, entered))
        }
        ConsumeOutcome::Refused {
            reason: ConsumeRefusal::SignIn(_),
            ..
        } => Err(PageError::SignInRefused),
        ConsumeOutcome::Refused {
            flow: Some(flow),
            reason,
        } if flow.state == FlowState::Open && reason != ConsumeRefusal::Expired => Ok(
            entry::refuse(context, &flow, Refusal::of_code(reason), entered),
        ),
        ConsumeOutcome::Refused {
            flow: Some(flow), ..
        } if is_of_session(context, &flow) => Ok(render_continue(context, &flow)),
        ConsumeOutcome::Refused { flow, .. } => Err(closed_error(flow.as_deref())),
        ConsumeOutcome::OtherHolder => Err(PageError::SignInExpired),
    }
}

/// Returns why a flow accepts nothing any more: it was used, perhaps by this user in another window, or
/// it has expired.
fn closed_error(flow: Option<&Flow>) -> PageError {
    match flow {
        Some(flow) if flow.state == FlowState::Consumed => PageError::AlreadyUsed,
        Some(flow) if flow.state == FlowState::Open => PageError::FlowExpired(restart_path(flow)),
        _ => PageError::SignInExpired,
    }
}

/// Where the form of another tab leads.
enum Recovered {
    /// The sign-in completed this flow.
    Continue(Flow),
    /// The flow still waits.
    Again(Flow),
}

/// Handles a code form that was open in another tab while its browser signed in: the sign-in replaced
/// the cookie that the form's token is bound to (BS-04). Nothing in the form is used, and what was
/// entered comes back in a fresh one.
async fn recover_stale_form(
    app: &App,
    context: &RequestContext,
    request: &Request,
    id: Uuid,
    error: PageError,
) -> Result<Recovered, PageError> {
    let (PageError::InvalidForm, Some(session)) = (&error, context.session_id()) else {
        return Err(error);
    };
    if !csrf::is_from_own_page(request, &app.public_url, false) {
        return Err(error);
    }
    match flow::find(app.db.read(), id).await? {
        Some(flow) if flow.session_id == Some(session) => Ok(Recovered::Continue(flow)),
        Some(flow) if flow::is_held_by(&flow, &context.holder()) => Ok(Recovered::Again(flow)),
        _ => Err(error),
    }
}
