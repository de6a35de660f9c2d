//! `POST /login/code`: the code, entered where the sign-in was requested.

use poem::{Body, Request, Response, handler, web::Data};
use uuid::Uuid;

use super::{
    sent::{Refusal, render_sent},
    shared::{attempt_of, closed_error, render_continue, sent_path},
};
use crate::{
    app::App,
    login::{
        context::{RequestContext, see_other},
        flow::{self, FlowState},
        form::PostedForm,
        lookup::flow_id,
        page_error::{self, PageError},
        resume::continue_path,
    },
    magic_link::{
        code,
        consume::{ConsumeOutcome, ConsumeRefusal},
    },
    web::{csrf, params::Params},
};

#[handler]
pub(crate) async fn submit(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
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
            return recover_stale_form(app, &context, request, id, error).await;
        }
        let entered = params.optional("code")?.unwrap_or_default();
        let attempt = attempt_of(app, &context, &params)?;
        let tx = app.db.begin().await?;
        let outcome = code::consume(&tx, id, entered, &attempt).await?;
        tx.commit().await?;
        respond(app, &context, outcome).await
    })
    .await
}

async fn respond(
    app: &App,
    context: &RequestContext,
    outcome: ConsumeOutcome,
) -> Result<Response, PageError> {
    match outcome {
        ConsumeOutcome::SignedIn(signed_in, flow) => {
            Ok(context.with_sign_in_cookies(render_continue(context, &flow), &signed_in))
        }
        ConsumeOutcome::ConfirmSwitch(flow) => {
            render_sent(app, context, &flow, Some(Refusal::SwitchNotConfirmed)).await
        }
        ConsumeOutcome::Refused {
            flow: Some(flow),
            reason,
        } if flow.state == FlowState::Open => {
            let refusal = match reason {
                ConsumeRefusal::NoTriesLeft => Refusal::NoTriesLeft,
                _ => Refusal::WrongCode,
            };
            render_sent(app, context, &flow, Some(refusal)).await
        }
        ConsumeOutcome::Refused { flow, .. } => Err(closed_error(flow.as_deref())),
        ConsumeOutcome::OtherHolder => Err(PageError::SignInExpired),
    }
}

/// Handles a code form that was open in another tab while its browser signed in: the sign-in replaced
/// the cookie that the form's token is bound to (BS-04). Nothing in the form is used. If that sign-in
/// completed this flow, the user continues; if the flow still waits, the user gets a fresh form.
async fn recover_stale_form(
    app: &App,
    context: &RequestContext,
    request: &Request,
    id: Uuid,
    error: PageError,
) -> Result<Response, PageError> {
    let (PageError::InvalidForm, Some(session)) = (&error, context.session_id()) else {
        return Err(error);
    };
    if !csrf::is_from_own_page(request, &app.public_url, false) {
        return Err(error);
    }
    match flow::find(app.db.read(), id).await? {
        Some(flow) if flow.session_id == Some(session) => Ok(see_other(&continue_path(id))),
        Some(flow) if flow::is_held_by(&flow, &context.holder()) => {
            Ok(see_other(&sent_path(&flow)))
        }
        _ => Err(error),
    }
}
