//! The end of a browser's flow: the user is signed in, or the account waits for something (CB-10).

use super::state::{Intent, UpstreamFlow};
use crate::{
    app::App,
    federation::{
        linking::{
            pending::wait,
            settle::{LinkContext, LinkOutcome, UpstreamLogin, settle},
        },
        step::{Continuation, Step, StepError},
    },
    login::{RequestContext, pending_link::PendingLink},
};

/// Settles whose account it is.
pub async fn complete(
    app: &App,
    context: &RequestContext,
    flow: &UpstreamFlow,
    login: &UpstreamLogin,
) -> Result<Step, StepError> {
    let connecting = flow.intent == Intent::Link;
    let link_context = LinkContext {
        connecting,
        ..LinkContext::in_browser(context)
    };
    match settle(app, login, link_context).await? {
        LinkOutcome::SignedIn(session) => Ok(Step::SignedIn(
            session,
            Continuation::load(app, context, flow.txn()).await?,
        )),
        LinkOutcome::OwnAccount => Ok(Step::OwnAccount {
            provider: login.account.provider.clone(),
        }),
        LinkOutcome::Waits(requirement) => {
            let link = PendingLink {
                session: flow.session.filter(|_| connecting),
                txn: flow.txn().map(str::to_owned),
                client_id: flow.client_id.clone(),
                ..login.to_pending(requirement, app, &context.config, &context.localizer)
            };
            Ok(wait(app, context, &link).await?)
        }
        LinkOutcome::Refused(error) => Err(StepError::refused(
            error,
            &login.account.provider,
            flow.return_to(),
        )),
    }
}
