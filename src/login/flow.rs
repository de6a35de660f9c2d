//! Flows: one attempt to sign in, started by one browser or one app.
//!
//! Owns `magic_link_flows`. Promises: a flow is consumed by one guarded statement (B6), its tries
//! are counted before anything is compared (D2), and the client request that it carries is taken
//! once, by whichever tab continues first.

use std::time::Duration;

use entity::{Time, magic_link_flow as row};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _,
    QueryFilter as _, QuerySelect as _, UpdateMany,
    sea_query::{Expr, LockBehavior, LockType},
};
use uuid::Uuid;

pub use entity::magic_link_flow::{FlowState, Model as Flow};

use crate::{
    config::Reloadable,
    db::Tx,
    error::InfraError,
    secret::{Hash, public_id},
};

/// How long after success the same browser gets the same result again (B7).
pub const DOUBLE_CLICK: Duration = Duration::from_secs(60);

/// Who began a flow, and must be there to end it: a browser by its cookie, or an app by its
/// verifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowHolder {
    /// The hash of the pre-login cookie.
    Browser(Hash),
    /// The PKCE S256 challenge, given at the start or computed from the verifier.
    App(String),
}

/// What a flow is opened with.
#[derive(Clone, Debug)]
pub struct NewFlow<'a> {
    /// Who begins it.
    pub holder: &'a FlowHolder,
    /// The client that asked, if any.
    pub client_id: Option<&'a str>,
    /// The address, in canonical form.
    pub canonical: &'a str,
    /// Its key in counters.
    pub address_key: &'a Hash,
    /// Language of the mail.
    pub locale: &'a str,
    /// Browser and system, in words.
    pub device: &'a str,
    /// The person wants to stay signed in on this browser.
    pub remembered: bool,
    /// What to continue with.
    pub destination: Option<String>,
    /// The account at a provider that waits for this proof, as JSON.
    pub link: Option<String>,
}

/// How many refusals of one flow have rows in the trail: more than its tries, its mails and a few
/// clicks come to.
const MOST_REFUSALS: i32 = 20;

/// Opens a flow; its first mail counts as asked for.
///
/// # Errors
/// The database's own.
pub async fn open(tx: &Tx, open: NewFlow<'_>, config: &Reloadable) -> Result<Flow, InfraError> {
    let (browser_hash, code_challenge) = match open.holder {
        FlowHolder::Browser(hash) => (Some(hash.to_column()), None),
        FlowHolder::App(challenge) => (None, Some(challenge.clone())),
    };
    let flow = Flow {
        id: public_id(),
        state: FlowState::Open,
        browser_hash,
        code_challenge,
        client_id: open.client_id.map(str::to_owned),
        canonical: open.canonical.to_owned(),
        address_key: open.address_key.to_column(),
        locale: open.locale.to_owned(),
        device: open.device.to_owned(),
        remembered: open.remembered,
        destination: open.destination,
        destination_claimed_at: None,
        tries: 0,
        sends: 1,
        refusals: 0,
        next_send_at: tx.now + resend_delay(config, 1),
        created_at: tx.now,
        expires_at: tx.now + config.flow_lifetime(),
        consumed_at: None,
        consumed_browser_hash: None,
        session_id: None,
        link: open.link,
        link_settled_at: None,
    };
    row::ActiveModel::from(flow.clone())
        .insert(tx.conn())
        .await?;
    Ok(flow)
}

/// How long after the n-th mail the next may be asked for (A5); the last step repeats.
fn resend_delay(config: &Reloadable, sends: i32) -> Duration {
    let steps = &config.limits.resend_seconds;
    let index = usize::try_from(sends).unwrap_or(1).saturating_sub(1);
    Duration::from_secs(steps.get(index).or(steps.last()).copied().unwrap_or(60))
}

/// The flow with this id, whoever holds it.
///
/// # Errors
/// The database's own.
pub async fn find(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<Flow>, InfraError> {
    Ok(row::Entity::find_by_id(id).one(conn).await?)
}

/// The flow with this id, if this holder began it (or, after success, holds the cookie that
/// replaced its own).
///
/// # Errors
/// The database's own.
pub async fn find_held(
    conn: &impl ConnectionTrait,
    id: Uuid,
    holder: &FlowHolder,
) -> Result<Option<Flow>, InfraError> {
    Ok(find(conn, id)
        .await?
        .filter(|flow| is_held_by(flow, holder)))
}

/// Whether this holder began the flow. Hashes and challenges compare in constant time.
#[must_use]
pub fn is_held_by(flow: &Flow, holder: &FlowHolder) -> bool {
    match holder {
        FlowHolder::Browser(cookie) => [&flow.browser_hash, &flow.consumed_browser_hash]
            .into_iter()
            .flatten()
            .filter_map(|column| Hash::from_column(column))
            .any(|hash| hash == *cookie),
        FlowHolder::App(challenge) => flow
            .code_challenge
            .as_ref()
            .is_some_and(|mine| Hash::of(mine.as_bytes()) == Hash::of(challenge.as_bytes())),
    }
}

fn open_flow(tx: &Tx, id: Uuid) -> UpdateMany<row::Entity> {
    row::Entity::update_many()
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::State.eq(FlowState::Open))
        .filter(row::Column::ExpiresAt.gt(tx.now))
}

/// Counts another mail, if the cool-down is over and the flow may have more (A5): one guarded
/// statement. The flow lives on for as long as the new mail needs.
///
/// # Errors
/// The database's own.
pub async fn count_send(tx: &Tx, flow: &Flow, config: &Reloadable) -> Result<bool, InfraError> {
    let done = open_flow(tx, flow.id)
        .col_expr(row::Column::Sends, Expr::col(row::Column::Sends).add(1))
        .col_expr(
            row::Column::NextSendAt,
            Expr::value((tx.now + resend_delay(config, flow.sends + 1)).0),
        )
        .col_expr(
            row::Column::ExpiresAt,
            Expr::value((tx.now + config.flow_lifetime()).0),
        )
        .filter(row::Column::NextSendAt.lte(tx.now))
        .filter(
            row::Column::Sends.lt(i32::try_from(config.limits.sends_per_flow).unwrap_or(i32::MAX)),
        )
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected == 1)
}

/// Counts a try at the code of a flow in this state, if one is left (D2): one guarded statement,
/// before anything is compared.
///
/// # Errors
/// The database's own.
pub async fn count_try(tx: &Tx, id: Uuid, state: FlowState, most: u32) -> Result<bool, InfraError> {
    let done = row::Entity::update_many()
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::State.eq(state))
        .filter(row::Column::ExpiresAt.gt(tx.now))
        .col_expr(row::Column::Tries, Expr::col(row::Column::Tries).add(1))
        .filter(row::Column::Tries.lt(i32::try_from(most).unwrap_or(i32::MAX)))
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected == 1)
}

/// Counts a refusal that is to have a row in the trail, if there are not too many of this flow
/// already.
///
/// # Errors
/// The database's own.
pub async fn count_refusal(tx: &Tx, id: Uuid) -> Result<bool, InfraError> {
    let done = row::Entity::update_many()
        .col_expr(
            row::Column::Refusals,
            Expr::col(row::Column::Refusals).add(1),
        )
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::Refusals.lt(MOST_REFUSALS))
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected == 1)
}

/// Takes an open flow: one guarded statement, so that of any number at once exactly one gets `true`
/// (B6).
///
/// # Errors
/// The database's own.
pub async fn claim(tx: &Tx, id: Uuid) -> Result<bool, InfraError> {
    let done = open_flow(tx, id)
        .col_expr(row::Column::State, Expr::value("consumed"))
        .col_expr(row::Column::ConsumedAt, Expr::value(Some(tx.now.0)))
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected == 1)
}

/// Ends an open flow whose person has turned back: one guarded statement. Its link and code are
/// dead with it.
///
/// # Errors
/// The database's own.
pub async fn abandon(tx: &Tx, id: Uuid) -> Result<bool, InfraError> {
    let done = open_flow(tx, id)
        .col_expr(row::Column::State, Expr::value("ended"))
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected == 1)
}

/// Whether a consumed flow still answers its holder as it did at first (B7).
#[must_use]
pub fn is_repeatable(flow: &Flow, now: Time) -> bool {
    flow.state == FlowState::Consumed
        && flow
            .consumed_at
            .is_some_and(|at| now.since(at) <= DOUBLE_CLICK)
}

/// Where a flow stands, as pages and the API say it: an open one whose time is over has ended.
#[must_use]
pub fn state_name(flow: &Flow, now: Time) -> &'static str {
    match flow.state {
        FlowState::Consumed => "consumed",
        FlowState::Open if flow.expires_at > now => "open",
        FlowState::Open | FlowState::Ended => "ended",
    }
}

/// Notes what a claimed flow led to.
///
/// # Errors
/// The database's own.
pub async fn record_session(
    tx: &Tx,
    id: Uuid,
    session: Uuid,
    new_browser: Option<Hash>,
) -> Result<(), InfraError> {
    row::Entity::update_many()
        .col_expr(row::Column::SessionId, Expr::value(Some(session)))
        .col_expr(
            row::Column::ConsumedBrowserHash,
            Expr::value(new_browser.map(Hash::to_column)),
        )
        .filter(row::Column::Id.eq(id))
        .exec(tx.conn())
        .await?;
    Ok(())
}

/// The pre-login cookie was replaced: open flows of the old one belong to the new one.
///
/// # Errors
/// The database's own.
pub async fn rebind(tx: &Tx, old: Hash, new: Hash) -> Result<(), InfraError> {
    let open: Vec<Uuid> = row::Entity::find()
        .select_only()
        .column(row::Column::Id)
        .filter(row::Column::BrowserHash.eq(old.to_column()))
        // In the words of the partial index: a bound value would leave the choice of a plan to
        // chance.
        .filter(Expr::cust("state = 'open'"))
        // A flow that another unit of work holds is being consumed just now: waiting for it could
        // be waiting for us.
        .lock_with_behavior(LockType::NoKeyUpdate, LockBehavior::SkipLocked)
        .into_tuple()
        .all(tx.conn())
        .await?;
    if open.is_empty() {
        return Ok(());
    }
    row::Entity::update_many()
        .col_expr(row::Column::BrowserHash, Expr::value(Some(new.to_column())))
        .filter(row::Column::Id.is_in(open))
        .exec(tx.conn())
        .await?;
    Ok(())
}

/// Takes what a consumed flow leads to, once (ST-04): a client's request, by whichever tab
/// continues first, or an app's tokens.
///
/// # Errors
/// The database's own.
pub async fn claim_outcome(tx: &Tx, id: Uuid) -> Result<bool, InfraError> {
    let done = row::Entity::update_many()
        .col_expr(
            row::Column::DestinationClaimedAt,
            Expr::value(Some(tx.now.0)),
        )
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::State.eq(FlowState::Consumed))
        .filter(row::Column::DestinationClaimedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected == 1)
}

/// Settles, once, whether the account that waited in a consumed flow is connected (LK-06): one
/// guarded statement.
///
/// # Errors
/// The database's own.
pub async fn settle_link(tx: &Tx, id: Uuid) -> Result<bool, InfraError> {
    let done = row::Entity::update_many()
        .col_expr(row::Column::LinkSettledAt, Expr::value(Some(tx.now.0)))
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::State.eq(FlowState::Consumed))
        .filter(row::Column::Link.is_not_null())
        .filter(row::Column::LinkSettledAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected == 1)
}

/// Deletes flows (and with them their secrets) whose keeping time is over, at most `most`; gives
/// how many. Open ones go at their end, consumed ones 24 h later.
///
/// # Errors
/// The database's own.
pub async fn sweep(tx: &Tx, most: u64) -> Result<u64, InfraError> {
    let kept = tx.now - Duration::from_secs(86_400);
    let over = row::Column::ExpiresAt.lt(kept).or(row::Column::ExpiresAt
        .lt(tx.now)
        .and(row::Column::State.ne(FlowState::Consumed)));
    tx.delete_some::<row::Entity>(row::Column::Id, over, most)
        .await
}
