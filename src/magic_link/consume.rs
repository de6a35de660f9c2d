//! The use of a link or a code: one guarded statement claims the flow, and the sign-in is completed.
//!
//! A link is looked up first, without a transaction, and so is a code (`code`). In a transaction each
//! is checked, and both call [`claim`] or [`repeat`]. Everything in it is committed, refusals too: a
//! burnt code stays burnt.

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{
    refusal::{self, ConsumeRefusal},
    token::{self, FoundLink},
};
use crate::{
    audit::{Event, Kind},
    clock::Time,
    config::Reloadable,
    db::{Db, Tx},
    error::InfraError,
    login::{
        authenticate::{BrowserState, EmailEvidence, Evidence, SignInAttempt, SignInError},
        finish::{SignedIn, finish_sign_in},
        flow::{self, Flow, FlowHolder, FlowState},
        flow_payload,
        repeated::sign_in_again,
    },
    secret::{Hash, Mac, Plain},
    session,
    telemetry::metrics,
    user::{self, Address},
    web::caller::Caller,
};

/// One attempt to use a link or a code.
#[derive(Debug)]
pub struct ConsumeAttempt<'a> {
    pub holder: FlowHolder,
    pub browser_state: BrowserState<'a>,
    /// The user agreed to leave another user's session.
    pub switch_confirmed: bool,
    pub caller: &'a Caller,
    pub config: &'a Reloadable,
    /// The pepper of codes.
    pub code_pepper: &'a Mac,
    /// Derives the secrets that a repeated click gets.
    pub repeat_mac: &'a Mac,
}

/// Which secret was used; the label in the metrics.
#[derive(Clone, Copy, Debug)]
pub enum ConsumedSecret {
    Link,
    Code,
}

/// How an attempt ended.
#[derive(Debug)]
pub enum ConsumeOutcome {
    /// The user is signed in. Set the cookies and continue with the flow.
    SignedIn(Box<SignedIn>, Box<Flow>),
    /// Another user is signed in in this browser: ask first (C7). Nothing was consumed.
    ConfirmSwitch(Box<Flow>),
    /// The link belongs to another holder (C4). Nothing was consumed.
    OtherHolder,
    /// The flow is named if it is the holder's own.
    Refused {
        flow: Option<Box<Flow>>,
        reason: ConsumeRefusal,
    },
}

impl ConsumeOutcome {
    /// The flow, if it is the holder's own.
    #[must_use]
    pub fn flow(&self) -> Option<&Flow> {
        match self {
            Self::SignedIn(_, flow) | Self::ConfirmSwitch(flow) => Some(flow),
            Self::Refused { flow, .. } => flow.as_deref(),
            Self::OtherHolder => None,
        }
    }
}

/// Why an attempt comes to no unit of work: what any caller can cause for free must not take the one
/// writer of SQLite from the others.
#[derive(Debug)]
pub enum LookUpError {
    Refused(Box<ConsumeOutcome>),
    Infra(InfraError),
}

impl From<InfraError> for LookUpError {
    fn from(error: InfraError) -> Self {
        Self::Infra(error)
    }
}

/// What a link is worth, to any browser that has it.
#[derive(Debug)]
pub(super) enum LinkState {
    /// It signs the holder of its flow in, first or once more.
    Live(Box<Flow>),
    /// It is dead (OD-12), and this flow says why.
    Dead(Box<Flow>),
    Unknown,
}

/// Returns what a link is worth. `holder` alone may repeat a use.
pub(super) async fn find_link_state(
    db: &Db,
    link: &Plain,
    holder: &FlowHolder,
) -> Result<LinkState, InfraError> {
    let now = db.clock().now();
    let Some(found) = token::find_by_link(db.read(), &link.hash(), now).await? else {
        return Ok(LinkState::Unknown);
    };
    let flow = found.flow;
    let is_open = flow.state == FlowState::Open && flow.expires_at > now;
    let is_usable = is_open && found.is_live;
    let is_repeatable = flow::is_repeatable(&flow, now) && flow::is_held_by(&flow, holder);
    let flow = Box::new(flow);
    Ok(if is_usable || is_repeatable {
        LinkState::Live(flow)
    } else {
        LinkState::Dead(flow)
    })
}

/// Looks a link up before its use. An app names the link's flow in `expected_flow`; a browser names
/// none. The claim is guarded, so that what is found may be older than the unit of work.
pub(super) async fn look_up_link(
    conn: &impl ConnectionTrait,
    now: Time,
    link: &Hash,
    expected_flow: Option<Uuid>,
    attempt: &ConsumeAttempt<'_>,
) -> Result<FoundLink, LookUpError> {
    let refuse = |reason| refuse_unrecorded(None, reason, attempt);
    let Some(found) = token::find_by_link(conn, link, now).await? else {
        return Err(refuse(ConsumeRefusal::UnknownLink));
    };
    // No attempt is counted: 256 bits are not guessed, and the caller may not hold the flow that it names.
    if expected_flow.is_some_and(|id| id != found.flow.id) {
        return Err(refuse(ConsumeRefusal::OtherFlow));
    }
    if !flow::is_held_by(&found.flow, &attempt.holder) {
        refusal::log(ConsumeRefusal::OtherBrowser, attempt.caller);
        return Err(LookUpError::Refused(Box::new(ConsumeOutcome::OtherHolder)));
    }
    attempt.caller.log_line.always_write();
    Ok(found)
}

/// Uses a link that its holder has looked up.
pub(super) async fn consume_link(
    tx: &Tx,
    FoundLink { flow, is_live }: FoundLink,
    attempt: &ConsumeAttempt<'_>,
) -> Result<ConsumeOutcome, InfraError> {
    match before_claim(tx, &flow, attempt).await? {
        BeforeClaim::Repeat => return repeat(tx, flow, attempt).await,
        BeforeClaim::Outcome(outcome) => return Ok(outcome),
        BeforeClaim::Claim => {}
    }
    if !is_live {
        return refuse(tx, Some(&flow), ConsumeRefusal::Expired, attempt).await;
    }
    claim(tx, flow, attempt, ConsumedSecret::Link).await
}

/// What an attempt comes to before its flow is claimed.
pub(super) enum BeforeClaim {
    /// The flow was consumed a moment ago: its holder gets the result once more (B7).
    Repeat,
    Outcome(ConsumeOutcome),
    Claim,
}

/// Decides what precedes the claim of a flow, the same for a link and a code.
pub(super) async fn before_claim(
    tx: &Tx,
    flow: &Flow,
    attempt: &ConsumeAttempt<'_>,
) -> Result<BeforeClaim, InfraError> {
    if may_repeat(flow, tx, attempt) {
        return Ok(BeforeClaim::Repeat);
    }
    let switch = confirm_switch(tx, flow, attempt).await?;
    Ok(switch.map_or(BeforeClaim::Claim, BeforeClaim::Outcome))
}

/// C7: returns `ConfirmSwitch` if another user is signed in in this browser and has not agreed to leave
/// that session.
async fn confirm_switch(
    tx: &Tx,
    flow: &Flow,
    attempt: &ConsumeAttempt<'_>,
) -> Result<Option<ConsumeOutcome>, InfraError> {
    let Some(current) = attempt.browser_state.current else {
        return Ok(None);
    };
    if attempt.switch_confirmed || flow.state != FlowState::Open {
        return Ok(None);
    }
    let is_same_user = user::has_verified(tx.conn(), current.user.id, &flow.canonical).await?;
    Ok((!is_same_user).then(|| ConsumeOutcome::ConfirmSwitch(Box::new(flow.clone()))))
}

/// Claims the flow and completes the sign-in. Of any number of attempts at once, one wins; the others
/// get the same session if they hold the same cookie (B6, B7).
pub(super) async fn claim(
    tx: &Tx,
    flow: Flow,
    attempt: &ConsumeAttempt<'_>,
    secret: ConsumedSecret,
) -> Result<ConsumeOutcome, InfraError> {
    if !flow::claim(tx, flow.id).await? {
        return lost_claim(tx, &flow, attempt).await;
    }
    let address = Address::from_column(&flow.canonical);
    let key = flow::address_key(&flow)?;
    let pending_link = flow_payload::pending_link_in(&flow)?;
    let sign_in = SignInAttempt {
        evidence: Evidence::Email(EmailEvidence {
            address: &address,
            address_key: &key,
            pending_account: pending_link.as_ref().map(|link| &link.account),
        }),
        remembered: flow.remembered,
        locale: &flow.locale,
        browser_state: attempt.browser_state,
        caller: attempt.caller,
    };
    let signed_in = match finish_sign_in(tx, &sign_in, attempt.config).await {
        Ok(signed_in) => signed_in,
        Err(SignInError::Infra(error)) => return Err(error),
        Err(SignInError::Refused(refusal)) => {
            return refuse(tx, Some(&flow), ConsumeRefusal::SignIn(refusal), attempt).await;
        }
    };
    let is_browser = matches!(attempt.holder, FlowHolder::Browser(_));
    let new_browser = is_browser.then(|| signed_in.pre.hash());
    flow::record_session(tx, flow.id, signed_in.session.id, new_browser).await?;
    if signed_in.linked {
        flow::settle_link(tx, flow.id).await?;
    }
    Event::new(Kind::MagicLinkConsumed)
        .caller(&attempt.caller.network, &attempt.caller.request_id)
        .flow(flow.id)
        .client(flow.client_id.as_deref())
        .address(&flow.address_key)
        .user(signed_in.user.id)
        .record(tx)
        .await?;
    let took = tx.now.since(flow.created_at);
    let label = match secret {
        ConsumedSecret::Link => "link",
        ConsumedSecret::Code => "code",
    };
    tx.on_commit(move || metrics::consumed(label, took));
    Ok(ConsumeOutcome::SignedIn(
        Box::new(signed_in),
        Box::new(flow),
    ))
}

/// The flow was claimed by another attempt, or ended, since it was read.
async fn lost_claim(
    tx: &Tx,
    flow: &Flow,
    attempt: &ConsumeAttempt<'_>,
) -> Result<ConsumeOutcome, InfraError> {
    match flow::find(tx.conn(), flow.id).await? {
        Some(claimed) if may_repeat(&claimed, tx, attempt) => repeat(tx, claimed, attempt).await,
        Some(ended) if ended.state == FlowState::Ended => {
            refuse(tx, Some(flow), ConsumeRefusal::Ended, attempt).await
        }
        _ => refuse(tx, Some(flow), ConsumeRefusal::Used, attempt).await,
    }
}

/// Returns whether a consumed flow gives this holder its result once more (B7). Only browsers repeat:
/// what an app gets is tokens, and those are issued once.
pub(super) fn may_repeat(flow: &Flow, tx: &Tx, attempt: &ConsumeAttempt<'_>) -> bool {
    matches!(attempt.holder, FlowHolder::Browser(_)) && flow::is_repeatable(flow, tx.now)
}

/// B7: the holder of a flow that was consumed within the last minute gets the same session once more.
pub(super) async fn repeat(
    tx: &Tx,
    flow: Flow,
    attempt: &ConsumeAttempt<'_>,
) -> Result<ConsumeOutcome, InfraError> {
    let Some(id) = flow.session_id else {
        return refuse(tx, Some(&flow), ConsumeRefusal::Used, attempt).await;
    };
    let limits = &attempt.config.session;
    let Some(current) = session::find_live(tx.conn(), id, tx.now, limits).await? else {
        return refuse(tx, Some(&flow), ConsumeRefusal::SessionEnded, attempt).await;
    };
    let device = attempt.browser_state.device;
    match sign_in_again(tx, &flow, current, device, attempt.repeat_mac).await? {
        Some(signed_in) => Ok(ConsumeOutcome::SignedIn(
            Box::new(signed_in),
            Box::new(flow),
        )),
        None => refuse(tx, Some(&flow), ConsumeRefusal::SessionEnded, attempt).await,
    }
}

/// Records a refusal in this unit of work, and returns it.
pub(super) async fn refuse(
    tx: &Tx,
    flow: Option<&Flow>,
    reason: ConsumeRefusal,
    attempt: &ConsumeAttempt<'_>,
) -> Result<ConsumeOutcome, InfraError> {
    refusal::record(tx, flow, reason, attempt.caller).await?;
    Ok(ConsumeOutcome::Refused {
        flow: flow.cloned().map(Box::new),
        reason,
    })
}

/// Refuses without a unit of work what has no row in the audit log.
pub(super) fn refuse_unrecorded(
    flow: Option<Flow>,
    reason: ConsumeRefusal,
    attempt: &ConsumeAttempt<'_>,
) -> LookUpError {
    refusal::log(reason, attempt.caller);
    LookUpError::Refused(Box::new(ConsumeOutcome::Refused {
        flow: flow.map(Box::new),
        reason,
    }))
}
