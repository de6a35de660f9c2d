//! The use of a link or a code: one guarded statement claims the flow, and the sign-in is completed.
//!
//! `link` and `code` look first, without a transaction, then check their secret in one and call
//! [`claim`] or [`repeat`]. Everything in it is committed, refusals too: a burnt code stays burnt.

use crate::{
    audit::{Event, Kind},
    config::Reloadable,
    db::Tx,
    error::InfraError,
    login::{
        authenticate::{SignInError, SignInRefusal},
        device,
        evidence::{BrowserState, EmailEvidence, Evidence, SignInAttempt},
        finish::{SignedIn, finish_sign_in},
        flow::{self, Flow, FlowHolder, FlowState},
        flow_payload,
    },
    secret::{Hash, Mac},
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
pub enum NotTried {
    Refused(Box<ConsumeOutcome>),
    Infra(InfraError),
}

impl From<InfraError> for NotTried {
    fn from(error: InfraError) -> Self {
        Self::Infra(error)
    }
}

/// Why a link or code was refused. Users see one text for most of these; the audit log has the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumeRefusal {
    UnknownLink,
    /// An app named another flow than the link's.
    OtherFlow,
    OtherBrowser,
    /// The caller does not hold the flow that it names.
    NotHolder,
    /// The text is not a code.
    Malformed,
    WrongCode,
    /// The code was right once: its time is over, or later emails have replaced it.
    ExpiredCode,
    /// The flow has had all its attempts at a code.
    NoTriesLeft,
    /// The address, or the network with it, has had all its attempts at codes.
    BudgetSpent,
    /// The code is right, but the attempts at codes are spent. The link still works, and so does the
    /// next code.
    RightCodeTooLate,
    Expired,
    /// The user cancelled the sign-in.
    Ended,
    Used,
    SessionEnded,
    SignIn(SignInRefusal),
}

impl ConsumeRefusal {
    /// Returns the reason code for the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownLink => "unknown",
            Self::OtherFlow => "other_flow",
            Self::OtherBrowser => "other_browser",
            Self::NotHolder => "not_holder",
            Self::Malformed => "malformed",
            Self::WrongCode => "wrong_code",
            Self::ExpiredCode => "expired_code",
            Self::NoTriesLeft => "no_tries_left",
            Self::BudgetSpent => "budget_spent",
            Self::RightCodeTooLate => "right_code_too_late",
            Self::Expired => "expired",
            Self::Ended => "ended",
            Self::Used => "used",
            Self::SessionEnded => "session_ended",
            Self::SignIn(refusal) => refusal.as_str(),
        }
    }

    /// Returns whether a refusal may have a row in the audit log. These two cost the caller nothing.
    const fn is_audited(self) -> bool {
        !matches!(self, Self::Malformed | Self::NoTriesLeft)
    }
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
    audit_event(Kind::MagicLinkConsumed, Some(&flow), attempt)
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

/// B7: the holder of a flow that was consumed within the last minute gets the same session with another
/// secret. Every repetition gets the same secret: of three clicks whose responses arrive in any order,
/// each leaves cookies that work.
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
    let derive = |purpose: &[u8]| {
        // A step-up between two clicks gives other secrets: those from before it are void (BS-04).
        let since = current.session.auth_time.0.to_be_bytes();
        let parts = [purpose, flow.id.as_bytes(), id.as_bytes(), &since];
        attempt.repeat_mac.secret(&parts)
    };
    let (pre, sid) = (derive(b"pre"), derive(b"sid"));
    // The flow's row is written before the session's, here as in `claim`: in the other order two clicks at
    // once would wait for each other.
    flow::record_session(tx, flow.id, id, Some(pre.hash())).await?;
    let before = flow.consumed_browser_hash.as_deref();
    if let Some(before) = before.and_then(Hash::from_column) {
        flow::rebind(tx, before, pre.hash()).await?;
    }
    if !session::renew_secret(tx, id, &sid).await? {
        return refuse(tx, Some(&flow), ConsumeRefusal::SessionEnded, attempt).await;
    }
    let key = flow::address_key(&flow)?;
    let device = match attempt.browser_state.device {
        Some(sent) if !device::has_ended(tx, &sent.hash(), &key).await? => sent.clone(),
        _ => derive(b"device"),
    };
    device::remember(tx, &device.hash(), &key, current.user.id).await?;
    let signed_in = SignedIn {
        session: current.session,
        user: current.user,
        sid,
        pre,
        device,
        linked: false,
    };
    Ok(ConsumeOutcome::SignedIn(
        Box::new(signed_in),
        Box::new(flow),
    ))
}

/// Records a refusal. One that costs the caller an attempt, an email or a link has a row in the audit
/// log, up to a limit for each flow. What any caller can cause for free is only a log line: otherwise
/// strangers could fill the audit log (ST-17).
pub(super) async fn refuse(
    tx: &Tx,
    flow: Option<&Flow>,
    reason: ConsumeRefusal,
    attempt: &ConsumeAttempt<'_>,
) -> Result<ConsumeOutcome, InfraError> {
    match flow.filter(|_| reason.is_audited()) {
        Some(flow) if flow::count_refusal(tx, flow.id).await? => {
            audit_event(Kind::MagicLinkRefused, Some(flow), attempt)
                .reason(reason.as_str())
                .record(tx)
                .await?;
        }
        _ => log_refusal(reason, attempt),
    }
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
) -> NotTried {
    log_refusal(reason, attempt);
    NotTried::Refused(Box::new(ConsumeOutcome::Refused {
        flow: flow.map(Box::new),
        reason,
    }))
}

/// Writes the line of a refusal that has no row in the audit log.
pub(super) fn log_refusal(reason: ConsumeRefusal, attempt: &ConsumeAttempt<'_>) {
    if let Some(request_id) = attempt.caller.reference_if_refused() {
        let reason = reason.as_str();
        tracing::info!(request_id, reason, "link or code refused");
    }
}

fn audit_event(kind: Kind, flow: Option<&Flow>, attempt: &ConsumeAttempt<'_>) -> Event {
    let event = Event::new(kind).caller(&attempt.caller.network, &attempt.caller.request_id);
    match flow {
        Some(flow) => event
            .flow(flow.id)
            .client(flow.client_id.as_deref())
            .address(&flow.address_key),
        None => event,
    }
}
