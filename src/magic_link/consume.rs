//! Using a link or a code: whatever the proof, the flow is claimed by one guarded statement and ends at the one door.

use uuid::Uuid;

use super::token;
use crate::{
    audit::{Event, Kind},
    config::Reloadable,
    db::Tx,
    error::InfraError,
    login::{
        authenticate::SignInError,
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

/// Who tries, with what, under which rules.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// The browser's cookie or the app's challenge.
    pub holder: FlowHolder,
    /// What else the browser holds.
    pub browser_state: BrowserState<'a>,
    /// The person has agreed to leave somebody else's session.
    pub switch: bool,
    /// Where from.
    pub caller: &'a Caller,
    /// The rules.
    pub config: &'a Reloadable,
    /// The pepper of codes.
    pub pepper: &'a Mac,
    /// Makes the secrets that a repeated click gets.
    pub repeats: &'a Mac,
}

/// How it ended. Everything is committed, refusals too.
#[derive(Debug)]
pub enum Consumed {
    /// Signed in: set these cookies and go on with this flow.
    SignedIn(Box<SignedIn>, Box<Flow>),
    /// Somebody else is signed in here: ask first (C7). Nothing was consumed.
    AskFirst(Box<Flow>),
    /// The link works, but not here: this is not who asked for it (C4). Nothing was consumed.
    Elsewhere,
    /// Refused; the flow if it is the holder's, and a word for the trail.
    Refused(Option<Box<Flow>>, &'static str),
}

/// Uses a link. `of` is the flow that an app names beside it; a browser names none.
///
/// # Errors
/// The database's own.
pub async fn by_link(
    tx: &Tx,
    link: &Hash,
    of: Option<Uuid>,
    attempt: &Attempt<'_>,
) -> Result<Consumed, InfraError> {
    let Some(token) = token::by_link(tx.conn(), link).await? else {
        return refuse(tx, None, "unknown", attempt).await;
    };
    // No try is counted: 256 bits are not guessed, and whoever names another flow may not hold that one.
    if of.is_some_and(|id| id != token.flow_id) {
        return refuse(tx, None, "other_flow", attempt).await;
    }
    let Some(flow) = flow::find(tx.conn(), token.flow_id).await? else {
        return refuse(tx, None, "unknown", attempt).await;
    };
    if !flow::is_held_by(&flow, &attempt.holder) {
        refuse(tx, None, "other_browser", attempt).await?;
        return Ok(Consumed::Elsewhere);
    }
    if answers_again(&flow, tx, attempt) {
        return again(tx, flow, attempt).await;
    }
    if let Some(asked) = ask_first(tx, &flow, attempt).await? {
        return Ok(asked);
    }
    let live = token::live(tx.conn(), flow.id, tx.now).await?;
    if !live.iter().any(|live| live.id == token.id) {
        return refuse(tx, Some(&flow), "expired", attempt).await;
    }
    claim(tx, flow, attempt, "link").await
}

/// C7: somebody else is signed in in this browser, and nobody has agreed to leave that session.
///
/// # Errors
/// The database's own.
pub async fn ask_first(
    tx: &Tx,
    flow: &Flow,
    attempt: &Attempt<'_>,
) -> Result<Option<Consumed>, InfraError> {
    let Some(current) = attempt.browser_state.current else {
        return Ok(None);
    };
    if attempt.switch || flow.state != FlowState::Open {
        return Ok(None);
    }
    let same = user::has_verified(tx.conn(), current.user.id, &flow.canonical).await?;
    Ok((!same).then(|| Consumed::AskFirst(Box::new(flow.clone()))))
}

/// Claims the flow and opens the door. Of any number at once one wins; the others, if they hold the same cookie, get
/// the same session (B6, B7). `by` is `link` or `code`, for the metrics.
///
/// # Errors
/// The database's own.
pub async fn claim(
    tx: &Tx,
    flow: Flow,
    attempt: &Attempt<'_>,
    by: &'static str,
) -> Result<Consumed, InfraError> {
    if !flow::claim(tx, flow.id).await? {
        let now = flow::find(tx.conn(), flow.id).await?;
        let turned_back = now
            .as_ref()
            .is_some_and(|flow| flow.state == FlowState::Ended);
        return match now.filter(|flow| answers_again(flow, tx, attempt)) {
            Some(flow) => again(tx, flow, attempt).await,
            None => {
                refuse(
                    tx,
                    Some(&flow),
                    if turned_back { "ended" } else { "used" },
                    attempt,
                )
                .await
            }
        };
    }
    let address = Address::from_column(&flow.canonical);
    let key = Hash::from_column(&flow.address_key)
        .ok_or_else(|| InfraError::internal("an address key is not 32 bytes"))?;
    let link = flow_payload::pending_link_in(&flow)?;
    let sign_in = SignInAttempt {
        evidence: Evidence::Email(EmailEvidence {
            address: &address,
            address_key: &key,
            pending_account: link.as_ref().map(|link| &link.account),
        }),
        remembered: flow.remembered,
        locale: &flow.locale,
        browser_state: attempt.browser_state,
        caller: attempt.caller,
    };
    match finish_sign_in(tx, &sign_in, attempt.config).await {
        Err(SignInError::Infra(error)) => Err(error),
        Err(SignInError::Refused(reason)) => {
            refuse(tx, Some(&flow), reason.as_str(), attempt).await
        }
        Ok(done) => {
            let new_browser =
                matches!(attempt.holder, FlowHolder::Browser(_)).then(|| done.pre.hash());
            flow::record_session(tx, flow.id, done.session.id, new_browser).await?;
            if done.linked {
                flow::settle_link(tx, flow.id).await?;
            }
            event(Kind::MagicLinkConsumed, Some(&flow), attempt)
                .user(done.user.id)
                .record(tx)
                .await?;
            let after = tx.now.since(flow.created_at);
            tx.on_commit(move || metrics::consumed(by, after));
            Ok(Consumed::SignedIn(Box::new(done), Box::new(flow)))
        }
    }
}

/// Whether a flow that was consumed answers this holder once more (B7). Browsers only: what an app gets is its tokens,
/// and those are given once.
#[must_use]
pub fn answers_again(flow: &Flow, tx: &Tx, attempt: &Attempt<'_>) -> bool {
    matches!(attempt.holder, FlowHolder::Browser(_)) && flow::is_repeatable(flow, tx.now)
}

/// B7: the holder of a flow that was consumed within the last minute gets the same session with another secret. Every
/// repetition gets that same one: so of three clicks whose answers come in any order, each leaves cookies that work.
///
/// # Errors
/// The database's own.
pub async fn again(tx: &Tx, flow: Flow, attempt: &Attempt<'_>) -> Result<Consumed, InfraError> {
    let Some(id) = flow.session_id else {
        return refuse(tx, Some(&flow), "used", attempt).await;
    };
    let Some(current) = session::find_live(tx.conn(), id, tx.now, &attempt.config.session).await?
    else {
        return refuse(tx, Some(&flow), "session_ended", attempt).await;
    };
    let secret = |what: &[u8]| {
        // A step-up between two clicks makes other secrets: those from before it are dead (BS-04).
        let since = current.session.auth_time.0.to_be_bytes();
        attempt
            .repeats
            .secret(&[what, flow.id.as_bytes(), id.as_bytes(), &since])
    };
    let (pre, sid) = (secret(b"pre"), secret(b"sid"));
    // The flow's row comes before the session's, here as in `claim`: in the other order two clicks at once would wait
    // for each other.
    flow::record_session(tx, flow.id, id, Some(pre.hash())).await?;
    if let Some(before) = flow
        .consumed_browser_hash
        .as_deref()
        .and_then(Hash::from_column)
    {
        flow::rebind(tx, before, pre.hash()).await?;
    }
    if !session::renew_secret(tx, id, &sid).await? {
        return refuse(tx, Some(&flow), "session_ended", attempt).await;
    }
    let device = attempt
        .browser_state
        .device
        .cloned()
        .unwrap_or_else(|| secret(b"device"));
    if let Some(key) = Hash::from_column(&flow.address_key) {
        device::remember(tx, &device.hash(), &key).await?;
    }
    let done = SignedIn {
        session: current.session,
        user: current.user,
        sid,
        pre,
        device,
        linked: false,
    };
    Ok(Consumed::SignedIn(Box::new(done), Box::new(flow)))
}

/// A refusal. One that costs whoever asks a try, a mail or a link has its row in the trail, up to so many a flow; what
/// anybody can bring about for nothing is a line in the log alone, or they could fill the trail.
///
/// # Errors
/// The database's own.
pub async fn refuse(
    tx: &Tx,
    flow: Option<&Flow>,
    reason: &'static str,
    attempt: &Attempt<'_>,
) -> Result<Consumed, InfraError> {
    let told = flow.filter(|_| !matches!(reason, "malformed" | "no_tries_left"));
    match told {
        Some(flow) if flow::count_refusal(tx, flow.id).await? => {
            event(Kind::MagicLinkRefused, told, attempt)
                .reason(reason)
                .record(tx)
                .await?;
        }
        _ => tracing::info!(
            request_id = attempt.caller.request_id,
            reason,
            "link or code refused"
        ),
    }
    Ok(Consumed::Refused(flow.cloned().map(Box::new), reason))
}

fn event(kind: Kind, flow: Option<&Flow>, attempt: &Attempt<'_>) -> Event {
    let event = Event::new(kind).caller(&attempt.caller.network, &attempt.caller.request_id);
    match flow {
        Some(flow) => event
            .flow(flow.id)
            .client(flow.client_id.as_deref())
            .address(&flow.address_key),
        None => event,
    }
}
