//! The endpoints of browsers: each parses a request, runs a step, and hands the value that the step
//! returns to [`respond`].

pub(crate) mod callback;

use poem::{
    Body, Request, Response, handler,
    http::StatusCode,
    web::{Data, Path},
};
use uuid::Uuid;

use super::{
    app as app_flow,
    flow::{
        start::{self, StartForm},
        state::Intent,
    },
    linking::{
        confirm::{self, CONFIRM_FORM},
        disconnect,
        pending::{self, PendingLinkSource},
        switch,
    },
    provider::Providers,
    respond::respond,
    step::{Step, StepError},
};
use crate::{
    app::App,
    login::{
        PageError, RequestContext,
        first_party::TokenIssuer,
        form::PostedForm,
        lookup::{find_pending, follow_sign_in},
        page_error,
        provider_buttons::{SIGN_IN_FORM, connect_form, disconnect_form, sign_in_form_context},
    },
    web::{csrf, params::Params},
};

/// `POST /login/upstream/{provider}`: a provider's button (UP-05).
#[handler]
pub(crate) async fn start_flow(
    Data(app): Data<&App>,
    Data(providers): Data<&Providers>,
    Path(id): Path<String>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["txn", "intent", "email", "form_token"])?;
        follow_sign_in(app, &mut context, &params).await;
        let form = StartForm {
            provider: &id,
            intent: check_start_form(app, request, &context, &params, &id)?,
            email: params.optional_within("email", 1016)?,
        };
        let step = start::start(app, providers, &context, &form).await;
        respond(app, &context, step).await
    })
    .await
}

/// CF-01, CF-02: whether the form is ours, and what it is for.
fn check_start_form(
    app: &App,
    request: &Request,
    context: &RequestContext,
    params: &Params,
    id: &str,
) -> Result<Intent, PageError> {
    match params.optional("intent")? {
        Some("link") => {
            context.check_session_form(app, request, params, &connect_form(id))?;
            Ok(Intent::Link)
        }
        Some(_) => Err(PageError::InvalidForm),
        None => {
            let txn = params.optional_within("txn", 43)?;
            let form = PostedForm {
                params,
                name: SIGN_IN_FORM,
                context: &sign_in_form_context(id, txn),
                allow_null_origin: false,
            };
            context.check_form(app, request, &form)?;
            Ok(Intent::Login {
                txn: txn.map(str::to_owned),
            })
        }
    }
}

/// `GET /login/app`: an app's request continues after the user has verified an address.
#[handler]
pub(crate) async fn app_resume(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let params = Params::from_query(request)?;
        follow_sign_in(app, &mut context, &params).await;
        let step = app_flow::complete::resume(app, &context, params.required("txn", 43)?).await;
        respond(app, &context, step).await
    })
    .await
}

/// `GET /login/identity`: the question about a pending link.
#[handler]
pub(crate) async fn link_question(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let params = Params::from_query(request)?;
        let (handle, flow) = (
            params.optional_within("link", 43)?,
            params.optional_within("flow", 36)?,
        );
        let found = pending::find(app, &context, handle, flow).await;
        follow_source(app, &mut context, &found).await;
        let step = match found {
            Ok(source) => confirm::question(app, &context, &source).await,
            Err(error) => Err(error),
        };
        respond(app, &context, step).await
    })
    .await
}

/// Lets the pages about a pending link look as those of the sign-in that it came from (OC-3).
async fn follow_source(
    app: &App,
    context: &mut RequestContext,
    found: &Result<PendingLinkSource, StepError>,
) {
    match found {
        Ok(PendingLinkSource::Flow(flow, _)) => context.follow_flow(app, flow),
        Ok(PendingLinkSource::Ticket(_, link)) => {
            if let Ok(Some(pending)) = find_pending(app, context, link.txn.as_deref()).await {
                context.follow(app, &pending);
            }
        }
        Err(_) => {}
    }
}

/// `POST /login/identity`: the user's answer.
#[handler]
pub(crate) async fn link_decision(
    Data(app): Data<&App>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["link", "flow", "decision", "form_token"])?;
        let (handle, flow) = (
            params.optional_within("link", 43)?,
            params.optional_within("flow", 36)?,
        );
        let form = PostedForm {
            params: &params,
            name: CONFIRM_FORM,
            context: handle.or(flow).unwrap_or_default(),
            allow_null_origin: false,
        };
        if let Err(error) = context.check_form(app, request, &form) {
            let step = answered_before(app, &context, request, handle, error).await;
            return respond(app, &context, step).await;
        }
        let agreed = match params.optional("decision")? {
            Some("yes") => true,
            Some("no") => false,
            _ => {
                return Err(PageError::InvalidParameter {
                    name: "decision".to_owned(),
                    status: StatusCode::BAD_REQUEST,
                });
            }
        };
        let found = pending::find(app, &context, handle, flow).await;
        follow_source(app, &mut context, &found).await;
        let step = match found {
            Ok(source) => confirm::decide(app, &context, &source, agreed).await,
            Err(error) => Err(error),
        };
        let step = match step {
            Err(StepError::NoPendingLink) => {
                confirm::repeat(app, &context, (handle, flow), agreed).await
            }
            step => step,
        };
        respond(app, &context, step).await
    })
    .await
}

/// ST-04: the form came twice, and the first response has changed the cookies that its token is bound
/// to.
async fn answered_before(
    app: &App,
    context: &RequestContext,
    request: &Request,
    handle: Option<&str>,
    error: PageError,
) -> Result<Step, StepError> {
    let is_own = csrf::is_from_own_page(request, &app.public_url, false);
    let step = match error {
        PageError::InvalidForm if is_own => switch::continue_switched(app, context, handle).await?,
        _ => None,
    };
    step.ok_or(StepError::Page(error))
}

/// `POST /account/identities/{id}/disconnect`.
#[handler]
pub(crate) async fn disconnect_identity(
    Data(app): Data<&App>,
    Data(tokens): Data<&TokenIssuer>,
    Path(id): Path<String>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(app, request, async {
        let id = Uuid::try_parse(&id).map_err(|_| PageError::NotFound)?;
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        let current = context.check_session_form(app, request, &params, &disconnect_form(id))?;
        let step = disconnect::disconnect(app, tokens, &context, current, id).await;
        respond(app, &context, step).await
    })
    .await
}
