//! Pending links: where a link waits for the user's answer, and how its browser finds it again.

use uuid::Uuid;

use crate::{
    app::App,
    error::InfraError,
    federation::step::{ReturnTo, Step, StepError},
    login::{
        RequestContext,
        client_home::with_client,
        flow::{self, Flow, FlowState},
        flow_payload::pending_link_in,
        pending_link::{self, CONFIRM_PATH, LinkRequirement, PendingLink},
    },
    secret::Plain,
};

/// A link that waits for the consent of its user, and where it is stored.
#[derive(Debug)]
pub enum PendingLinkSource {
    /// In the ticket store under this handle, since the callback.
    Ticket(Plain, PendingLink),
    /// In the row of a flow whose address was verified by email in this browser.
    Flow(Box<Flow>, PendingLink),
}

impl PendingLinkSource {
    #[must_use]
    pub const fn link(&self) -> &PendingLink {
        match self {
            Self::Ticket(_, link) | Self::Flow(_, link) => link,
        }
    }

    /// Returns the form field that identifies the link, and its value.
    #[must_use]
    pub fn form_field(&self) -> (&'static str, String) {
        match self {
            Self::Ticket(handle, _) => ("link", handle.to_text()),
            Self::Flow(flow, _) => ("flow", flow.id.to_string()),
        }
    }
}

/// Returns the link behind the handle of a ticket or the id of a flow, if it belongs to this
/// browser.
pub async fn find(
    app: &App,
    context: &RequestContext,
    handle: Option<&str>,
    flow_id: Option<&str>,
) -> Result<PendingLinkSource, StepError> {
    let found = match (handle, flow_id) {
        (Some(handle), None) => find_in_tickets(app, context, handle).await?,
        (None, Some(id)) => find_in_flow(app, context, id).await?,
        _ => None,
    };
    found.ok_or(StepError::NoPendingLink)
}

async fn find_in_tickets(
    app: &App,
    context: &RequestContext,
    handle: &str,
) -> Result<Option<PendingLinkSource>, InfraError> {
    let Some(handle) = Plain::parse(handle) else {
        return Ok(None);
    };
    let now = app.clock().now();
    let link = pending_link::peek(&app.tickets, &handle, context.requester(), now).await?;
    Ok(link
        .filter(|link| link.requirement != LinkRequirement::VerifiedEmail)
        .map(|link| PendingLinkSource::Ticket(handle, link)))
}

async fn find_in_flow(
    app: &App,
    context: &RequestContext,
    id: &str,
) -> Result<Option<PendingLinkSource>, InfraError> {
    let Ok(id) = Uuid::try_parse(id) else {
        return Ok(None);
    };
    let Some(flow) = flow::find(app.db.read(), id).await? else {
        return Ok(None);
    };
    let is_own = flow.state == FlowState::Consumed
        && flow.session_id.is_some()
        && flow.session_id == context.session_id();
    let link = pending_link_in(&flow)?.filter(|_| is_own && flow.link_settled_at.is_none());
    Ok(link.map(|link| PendingLinkSource::Flow(Box::new(flow), link)))
}

/// Stores a link and leads the browser to the page for what it waits for.
pub async fn wait(
    app: &App,
    context: &RequestContext,
    link: &PendingLink,
) -> Result<Step, InfraError> {
    let tickets = app.tickets.charged_to(context.payer());
    let handle = pending_link::store(&tickets, context.pre.hash(), link).await?;
    let handle = handle.to_text();
    let path = match (link.requirement, &link.txn) {
        (LinkRequirement::SwitchConsent | LinkRequirement::LinkConsent, _) => {
            let path = format!("{CONFIRM_PATH}?link={handle}");
            with_client(&path, link.client_id.as_deref())
        }
        (LinkRequirement::VerifiedEmail, Some(txn)) => {
            let path = format!("/login?txn={txn}&link={handle}");
            with_client(&path, link.client_id.as_deref())
        }
        (LinkRequirement::VerifiedEmail, None) => format!("/login?link={handle}"),
    };
    Ok(Step::Wait { path })
}

/// Returns where the user goes when a pending link is refused: a user who came to sign in may have
/// a client's request that waits, and a user who came to connect an account has the account page.
#[must_use]
pub fn return_to(link: &PendingLink) -> ReturnTo {
    if link.requirement == LinkRequirement::SwitchConsent {
        ReturnTo::SignIn {
            txn: link.txn.clone(),
            client_id: link.client_id.clone(),
        }
    } else {
        ReturnTo::Account
    }
}
