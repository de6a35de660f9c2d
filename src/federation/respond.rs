//! The values of steps as responses: each [`Step`] is rendered, and each refusal is recorded and
//! shown, in this one place.

use poem::{Response, http::StatusCode};

use super::{
    app::complete::OpenAppPage,
    flow::start::LeavePage,
    linking::confirm::{CONFIRM_FORM, ConfirmPage},
    refusal::{self, Refusal},
    step::{Continuation, LinkQuestion, Step, StepError},
};
use crate::{
    app::App,
    login::{
        PageError, RequestContext,
        context::see_other,
        done::Done,
        lookup::refuse_pending_link,
        page::{ContinuePage, ErrorPage},
        provider_buttons::display_name,
    },
    web::page::render_page,
};

/// Renders what a step returned. A refusal is recorded first.
pub async fn respond(
    app: &App,
    context: &RequestContext,
    step: Result<Step, StepError>,
) -> Result<Response, PageError> {
    match step {
        Ok(step) => Ok(render(app, context, step)),
        Err(StepError::Refused(refused)) => {
            let refusal = Refusal {
                error: &refused.error,
                provider: &refused.provider,
                current: context.current.as_ref(),
                has_flow: refused.has_flow,
            };
            refusal::record(app, &context.caller, refusal).await?;
            refusal::render(app, context, &refused).await
        }
        Err(StepError::NoPendingLink) => Err(refuse_pending_link(app, context).await?),
        Err(StepError::Page(error)) => Err(error),
    }
}

fn render(app: &App, context: &RequestContext, step: Step) -> Response {
    match step {
        Step::LeaveForProvider {
            provider,
            authorization_url,
            client_id,
        } => {
            let page = LeavePage {
                localizer: &context.localizer,
                provider: &display_name(&context.config, &provider, &context.localizer),
                href: &authorization_url,
            };
            render_page(&page, context.page_options_for_client(client_id.as_deref()))
        }
        Step::SignedIn(session, continuation) => {
            context.with_sign_in_cookies(render_continuation(context, &continuation), &session)
        }
        Step::SignedInAgain(again, continuation) => context.with_repeated_sign_in(
            render_continuation(context, &continuation),
            &again.secrets,
            again.remembered,
        ),
        Step::Continue(continuation) => render_continuation(context, &continuation),
        Step::Connected(session, continuation) => context.with_rotated_session(
            render_continuation(context, &continuation),
            &session.secret,
            session.remembered,
        ),
        Step::Wait { path } => context.with_pre_login_cookie(see_other(&path)),
        Step::ConfirmLink(question) => render_question(app, context, &question),
        Step::OwnAccount { provider } => render_own_account(context, &provider),
        Step::OpenApp { client_name, url } => {
            let page = OpenAppPage {
                localizer: &context.localizer,
                client: &client_name,
                href: &url,
            };
            render_page(&page, &context.page_options)
        }
        Step::Disconnected => Done::Disconnected.redirect(app, context),
        Step::SignedOut => context.without_session_cookie(see_other("/logged-out")),
        Step::Redirect { path } => see_other(&path),
    }
}

fn render_continuation(context: &RequestContext, continuation: &Continuation) -> Response {
    match continuation {
        Continuation::Account => see_other("/account"),
        Continuation::Page { url, client_id } => {
            let page = ContinuePage {
                localizer: &context.localizer,
                href: url,
            };
            render_page(&page, context.page_options_for_client(client_id.as_deref()))
        }
    }
}

fn render_question(app: &App, context: &RequestContext, question: &LinkQuestion) -> Response {
    let page = ConfirmPage {
        localizer: &context.localizer,
        question,
        form_token: &context.form_token(app, CONFIRM_FORM, &question.value),
    };
    render_page(
        &page,
        context.page_options_for_client(question.client_id.as_deref()),
    )
}

fn render_own_account(context: &RequestContext, provider: &str) -> Response {
    let localizer = &context.localizer;
    let arguments = [(
        "provider",
        display_name(&context.config, provider, localizer),
    )];
    let page = ErrorPage {
        localizer,
        status: StatusCode::OK,
        title: localizer.text_with("upstream-own-title", &arguments),
        message: localizer.text_with("upstream-own", &arguments),
        parameter: None,
        again: None,
        next_href: Some("/account"),
        next_label: Some(localizer.text("upstream-back-account")),
        reference: None,
    };
    render_page(&page, &context.page_options)
}
