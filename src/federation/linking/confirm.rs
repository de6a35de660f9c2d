//! The question about a pending link: whether to connect the account (LC-B, LC-E, LC-G), or to
//! leave the session of another user for it (LC-A).
//!
//! A GET only shows the question. The form settles each link once (LK-06), and not at all if its
//! provider has been switched off since.

use askama::Template;
use uuid::Uuid;

use super::{
    connect::{Answered, connect_to_session},
    pending::{PendingLinkSource, return_to},
    second_answer::wait_for,
    switch::{self, is_connected, switch_user},
};
use crate::{
    app::App,
    error::InfraError,
    federation::{
        error::{FederationError, RefusalCode},
        step::{Continuation, LinkQuestion, ReturnTo, RotatedSession, Step, StepError},
    },
    login::{
        PageError, RequestContext,
        client_home::with_client,
        flow::{self, DOUBLE_CLICK, Flow},
        flow_payload::pending_link_in,
        lookup::find_pending,
        pending_link::{self, LinkRequirement, PendingLink},
        resume::continue_path,
    },
    secret::Plain,
    session,
    user::{self, identity},
    web::{filters, locale::Localizer, page::PageContent},
};

/// The name of the form that answers the question, in its form token.
pub const CONFIRM_FORM: &str = "identity";

/// The page of `GET /login/identity`.
#[derive(Template)]
#[template(path = "federation/linking/confirm.html", config = ".askama.toml")]
pub struct ConfirmPage<'a> {
    pub localizer: &'a Localizer,
    pub question: &'a LinkQuestion,
    pub form_token: &'a str,
}

impl ConfirmPage<'_> {
    fn text(&self, key: &str) -> String {
        let provider = self.question.provider_name.clone();
        self.localizer.text_with(key, &[("provider", provider)])
    }

    /// Returns the query that names the client to the endpoint of the form; empty without one.
    fn client_query(&self) -> String {
        with_client("", self.question.client_id.as_deref())
    }

    fn lede(&self) -> String {
        let question = self.question;
        let arguments = [
            ("provider", question.provider_name.clone()),
            ("account", question.account.clone()),
            ("email", question.email.clone()),
        ];
        let key = match (question.switch, question.account.as_str()) {
            (true, _) => "identity-switch-lede",
            (false, "") => "identity-lede-nameless",
            (false, _) => "identity-lede",
        };
        self.localizer.html(key, &arguments)
    }
}

impl PageContent for ConfirmPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.text(if self.question.switch {
            "identity-switch-title"
        } else {
            "identity-title"
        })
    }
}

/// Returns the question about a pending link.
pub async fn question(
    app: &App,
    context: &RequestContext,
    source: &PendingLinkSource,
) -> Result<Step, StepError> {
    let Some(current) = &context.current else {
        return Ok(Step::Redirect {
            path: "/login".to_owned(),
        });
    };
    let link = source.link();
    if identity::is_trusted_issuer(&context.config, &link.account).is_none() {
        return match source {
            // `continue_path` does not ask for this link either.
            PendingLinkSource::Flow(flow, _) => Ok(Step::Redirect {
                path: continue_path(flow),
            }),
            PendingLinkSource::Ticket(..) => Err(refused(RefusalCode::ProviderDisabled, link)),
        };
    }
    let email = user::primary_address(app.db.read(), current.user.id)
        .await?
        .map(|row| user::shown_address(&row.email))
        .unwrap_or_default();
    let others = identity::list_for_user(app.db.read(), current.user.id).await?;
    let has_another = others
        .iter()
        .any(|other| other.issuer == link.account.issuer);
    let client_id = match source {
        PendingLinkSource::Flow(flow, _) => flow.client_id.clone(),
        PendingLinkSource::Ticket(_, link) => find_pending(app, context, link.txn.as_deref())
            .await?
            .and_then(|pending| pending.client().map(str::to_owned)),
    };
    let switch = link.requirement == LinkRequirement::SwitchConsent;
    let (field, value) = source.form_field();
    Ok(Step::ConfirmLink(Box::new(LinkQuestion {
        provider_name: link.provider_name.clone(),
        account: link.account.label().unwrap_or_default(),
        email,
        switch,
        second: !switch && has_another,
        field,
        value,
        client_id,
    })))
}

/// Settles a pending link by the user's answer.
pub async fn decide(
    app: &App,
    context: &RequestContext,
    source: &PendingLinkSource,
    agreed: bool,
) -> Result<Step, StepError> {
    match source {
        PendingLinkSource::Ticket(handle, _) => decide_ticket(app, context, handle, agreed).await,
        PendingLinkSource::Flow(flow, link) if agreed => {
            connect_in_flow(app, context, flow, link).await
        }
        PendingLinkSource::Flow(flow, _) => decline_in_flow(app, flow).await,
    }
}

async fn decide_ticket(
    app: &App,
    context: &RequestContext,
    handle: &Plain,
    agreed: bool,
) -> Result<Step, StepError> {
    let now = app.clock().now();
    let claimed = pending_link::claim(&app.tickets, handle, context.requester(), now).await?;
    let link = claimed.ok_or(StepError::NoPendingLink)?;
    if !agreed {
        // The client's request continues for the user who stays signed in.
        let continuation = Continuation::load(app, context, link.txn.as_deref()).await?;
        return Ok(Step::Continue(continuation));
    }
    match link.requirement {
        LinkRequirement::SwitchConsent => switch_user(app, context, handle, link).await,
        LinkRequirement::LinkConsent => {
            let is_same = link.session.is_some() && link.session == context.session_id();
            let Some(current) = context.current.as_ref().filter(|_| is_same) else {
                return Err(refused(RefusalCode::SessionChanged, &link));
            };
            let session =
                connect_to_session(app, context, current, &link, Answered::Ticket(handle)).await?;
            Ok(Step::Connected(session, Continuation::Account))
        }
        LinkRequirement::VerifiedEmail => Err(PageError::SignInExpired.into()),
    }
}

/// LC-E, LC-G: the address was verified in this browser a moment ago, and the account is connected
/// to the user who has it.
async fn connect_in_flow(
    app: &App,
    context: &RequestContext,
    flow: &Flow,
    link: &PendingLink,
) -> Result<Step, StepError> {
    let current = context.current.as_ref().ok_or(PageError::InvalidForm)?;
    if identity::is_trusted_issuer(&context.config, &link.account).is_none() {
        // The question is not asked again, so that the rest of the sign-in continues.
        return Err(StepError::refused(
            RefusalCode::ProviderDisabled,
            &link.account.provider,
            ReturnTo::Continue(continue_path(flow)),
        ));
    }
    let session = connect_to_session(app, context, current, link, Answered::InFlow(flow)).await?;
    Ok(Step::Connected(session, continuation_of(flow)))
}

async fn decline_in_flow(app: &App, flow: &Flow) -> Result<Step, StepError> {
    let tx = app.db.begin().await?;
    flow::settle_link(&tx, flow.id).await?;
    tx.commit().await?;
    Ok(Step::Continue(continuation_of(flow)))
}

/// ST-04: returns the result of an answer that this browser gave within the last minute, for a user
/// who pressed the button twice: browsers show the last response alone. A session that changed its
/// secret by the first answer gets the same one.
pub async fn repeat(
    app: &App,
    context: &RequestContext,
    (handle, flow_id): (Option<&str>, Option<&str>),
    agreed: bool,
) -> Result<Step, StepError> {
    match (handle.and_then(Plain::parse), flow_id) {
        (Some(handle), None) => repeat_of_ticket(app, context, &handle, agreed).await,
        (None, Some(id)) => repeat_in_flow(app, context, id, agreed).await,
        _ => Err(StepError::NoPendingLink),
    }
}

async fn repeat_of_ticket(
    app: &App,
    context: &RequestContext,
    handle: &Plain,
    agreed: bool,
) -> Result<Step, StepError> {
    let now = app.clock().now();
    let link = pending_link::find_claimed(&app.tickets, handle, context.requester(), now)
        .await?
        .ok_or(StepError::NoPendingLink)?;
    if agreed && link.requirement == LinkRequirement::SwitchConsent {
        let step = switch::repeat(app, context, handle, &link).await?;
        return step.ok_or(StepError::NoPendingLink);
    }
    if agreed {
        // The ticket is claimed before the account is connected: the first answer may not be done. Once
        // it is, the cookie of before is worth nothing.
        let look = || find_connection(app, context, handle, &link);
        let found = match context.current {
            Some(_) => wait_for(context.payer(), look).await?,
            None => look().await?,
        };
        return found.ok_or(StepError::NoPendingLink);
    }
    if let Some(session) = link.session
        && let Some(rotated) = find_rotated(app, context, session, Answered::Ticket(handle)).await?
    {
        return Ok(Step::Connected(rotated, Continuation::Account));
    }
    let current = context.reload_session(app).await?;
    current.ok_or(StepError::NoPendingLink)?;
    let continuation = Continuation::load(app, context, link.txn.as_deref()).await?;
    Ok(Step::Continue(continuation))
}

/// Returns the result of an answer that has connected the account of a link. The account is read before
/// the session: both change by one commit, which may come between.
async fn find_connection(
    app: &App,
    context: &RequestContext,
    handle: &Plain,
    link: &PendingLink,
) -> Result<Option<Step>, InfraError> {
    let (issuer, subject) = (&link.account.issuer, &link.account.subject);
    let linked = identity::find_linked(app.db.read(), issuer, subject).await?;
    if let Some(session) = link.session
        && let Some(rotated) = find_rotated(app, context, session, Answered::Ticket(handle)).await?
    {
        return Ok(Some(Step::Connected(rotated, Continuation::Account)));
    }
    let Some(linked) = linked else {
        return Ok(None);
    };
    let current = context.reload_session(app).await?;
    Ok(current
        .filter(|current| current.user.id == linked.user_id)
        .map(|_| Step::Continue(Continuation::Account)))
}

async fn repeat_in_flow(
    app: &App,
    context: &RequestContext,
    id: &str,
    agreed: bool,
) -> Result<Step, StepError> {
    let id = Uuid::try_parse(id).map_err(|_| StepError::NoPendingLink)?;
    let now = app.clock().now();
    let flow = flow::find_held(app.db.read(), id, &context.holder())
        .await?
        .filter(|flow| (flow.link_settled_at).is_some_and(|at| now.since(at) <= DOUBLE_CLICK));
    let session = flow.as_ref().and_then(|flow| flow.session_id);
    let (Some(flow), Some(session)) = (flow, session) else {
        return Err(StepError::NoPendingLink);
    };
    if let Some(rotated) = find_rotated(app, context, session, Answered::InFlow(&flow)).await? {
        return Ok(Step::Connected(rotated, continuation_of(&flow)));
    }
    let current = context.reload_session(app).await?;
    let current = current.filter(|current| current.session.id == session);
    let link = pending_link_in(&flow)?;
    let (Some(current), Some(link)) = (current, link) else {
        return Err(StepError::NoPendingLink);
    };
    match !agreed || is_connected(app, &current, &link).await? {
        true => Ok(Step::Continue(continuation_of(&flow))),
        false => Err(StepError::NoPendingLink),
    }
}

/// Returns the session under the secret that it got by the first answer, if it did.
async fn find_rotated(
    app: &App,
    context: &RequestContext,
    session: Uuid,
    answered: Answered<'_>,
) -> Result<Option<RotatedSession>, InfraError> {
    let question = answered.question();
    let Some(secret) = context.next_session_secret(app, session, &question) else {
        return Ok(None);
    };
    let (now, limits) = (app.clock().now(), &context.config.session);
    let found = session::find_by_cookie(app.db.lookup(), &secret.hash(), now, limits).await?;
    Ok(found
        .filter(|current| current.session.id == session)
        .map(|current| RotatedSession {
            secret,
            remembered: current.session.remembered,
        }))
}

fn continuation_of(flow: &Flow) -> Continuation {
    Continuation::Page {
        url: continue_path(flow),
        client_id: flow.client_id.clone(),
    }
}

fn refused(error: impl Into<FederationError>, link: &PendingLink) -> StepError {
    StepError::refused(error, &link.account.provider, return_to(link))
}
