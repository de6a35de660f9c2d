//! Flows: attempts to sign in, each started by one browser or one app. Owns `magic_link_flows`.
//!
//! A flow is consumed by one guarded statement (B6). The client request that it carries is claimed once,
//! by the tab that continues first. A flow is opened, and its emails are counted, in `start`; its tries
//! are counted before anything is compared (D2), in `tries`.

mod start;
mod sweep;
mod tries;

use std::time::Duration;

use entity::{Time, magic_link_flow as row};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, QueryTrait as _, UpdateMany, UpdateResult,
    sea_query::{Expr, IntoColumnRef, LockBehavior, LockType, SelectStatement},
};
use uuid::Uuid;

pub use entity::magic_link_flow::{FlowState, Model as Flow};
pub use start::{NewFlow, count_send, list_open, open, was_sent_just_now};
pub use sweep::sweep;
pub use tries::{
    Try, count_refusal, count_try, is_repeated_code, remember_wrong_code, takes_attempts,
};

use crate::{
    db::{
        Tx,
        joined::{self, Row},
    },
    error::InfraError,
    secret::Hash,
};

/// How long after success the same browser gets the same result again (B7).
pub const DOUBLE_CLICK: Duration = Duration::from_secs(60);

/// The prefix of a flow's columns in a statement that reads several tables.
const COLUMNS: &str = "flow_";

/// The browser or app that starts a flow, and that must finish it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowHolder {
    /// The hash of the pre-login cookie.
    Browser(Hash),
    /// The PKCE S256 challenge, given at the start or computed from the verifier.
    App(String),
}

/// Returns the key of a flow's address in counters.
pub fn address_key(flow: &Flow) -> Result<Hash, InfraError> {
    Hash::from_column(&flow.address_key)
        .ok_or_else(|| InfraError::internal("an address key is not 32 bytes"))
}

/// Returns the flow with this id, of any holder.
pub async fn find(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<Flow>, InfraError> {
    Ok(row::Entity::find_by_id(id).one(conn).await?)
}

/// Joins the flow whose id is in the column `id`, if there is one, to a statement.
pub fn join(select: &mut SelectStatement, id: impl IntoColumnRef) {
    joined::add_columns::<row::Entity>(select, COLUMNS);
    let is_named = Expr::col(row::Column::Id.as_column_ref()).equals(id);
    select.left_join(row::Entity, is_named);
}

/// Reads the flow that [`join`] joined.
pub fn read_joined(row: &Row) -> Result<Option<Flow>, InfraError> {
    joined::read::<row::Entity>(row, COLUMNS)
}

/// Returns the flow with this id, if this holder started it or, after success, holds the cookie
/// that replaced its own.
pub async fn find_held(
    conn: &impl ConnectionTrait,
    id: Uuid,
    holder: &FlowHolder,
) -> Result<Option<Flow>, InfraError> {
    let flow = find(conn, id).await?;
    Ok(flow.filter(|flow| is_held_by(flow, holder)))
}

/// Returns the open flow that a browser started last.
pub async fn latest_open(
    conn: &impl ConnectionTrait,
    browser: Hash,
    now: Time,
) -> Result<Option<Flow>, InfraError> {
    Ok(row::Entity::find()
        .filter(row::Column::BrowserHash.eq(browser.to_column()))
        // Spelled as in the index `magic_link_flows_browser`, or the planner does not use it.
        .filter(Expr::cust("state = 'open'"))
        .filter(row::Column::ExpiresAt.gt(now))
        .order_by_desc(row::Column::CreatedAt)
        .one(conn)
        .await?)
}

/// Returns whether this holder started the flow, or has the cookie that replaced the one of then.
/// Hashes and challenges compare in constant time.
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
            .is_some_and(|own| Hash::of(own.as_bytes()) == Hash::of(challenge.as_bytes())),
    }
}

fn update_open(tx: &Tx, id: Uuid) -> UpdateMany<row::Entity> {
    row::Entity::update_many()
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::State.eq(FlowState::Open))
        .filter(row::Column::ExpiresAt.gt(tx.now))
}

const fn has_updated(result: &UpdateResult) -> bool {
    result.rows_affected == 1
}

/// B6: claims an open flow, by one guarded statement: of any number at once exactly one gets
/// `true`.
pub async fn claim(tx: &Tx, id: Uuid) -> Result<bool, InfraError> {
    let result = update_open(tx, id)
        .col_expr(row::Column::State, Expr::value("consumed"))
        .col_expr(row::Column::ConsumedAt, Expr::value(Some(tx.now.0)))
        .exec(tx.conn())
        .await?;
    Ok(has_updated(&result))
}

/// Ends an open flow whose user returned to the client, by one guarded statement. Its link and code
/// are dead with it.
pub async fn abandon(tx: &Tx, id: Uuid) -> Result<bool, InfraError> {
    let result = update_open(tx, id)
        .col_expr(row::Column::State, Expr::value("ended"))
        .exec(tx.conn())
        .await?;
    Ok(has_updated(&result))
}

/// Returns whether the user of the flow returned to the client, while the client may still wait.
#[must_use]
pub fn is_abandoned(flow: &Flow, now: Time) -> bool {
    flow.state == FlowState::Ended && flow.expires_at > now
}

/// B7: returns whether a consumed flow still gives its holder the same result as at first.
#[must_use]
pub fn is_repeatable(flow: &Flow, now: Time) -> bool {
    flow.state == FlowState::Consumed
        && flow
            .consumed_at
            .is_some_and(|at| now.since(at) <= DOUBLE_CLICK)
}

/// Returns the state of a flow as pages and the API name it. An open flow that has expired has
/// ended.
#[must_use]
pub fn state_name(flow: &Flow, now: Time) -> &'static str {
    match flow.state {
        FlowState::Consumed => "consumed",
        FlowState::Open if flow.expires_at > now => "open",
        FlowState::Open | FlowState::Ended => "ended",
    }
}

/// Records the session that a claimed flow led to, and the cookie that replaces the holder's.
pub async fn record_session(
    tx: &Tx,
    id: Uuid,
    session: Uuid,
    new_browser: Option<Hash>,
) -> Result<(), InfraError> {
    let update = row::Entity::update_many()
        .col_expr(row::Column::SessionId, Expr::value(Some(session)))
        .col_expr(
            row::Column::ConsumedBrowserHash,
            Expr::value(new_browser.map(Hash::to_column)),
        )
        .filter(row::Column::Id.eq(id));
    tx.defer::<row::Entity>(update.into_query()).await
}

/// ST-04: binds the open flows of a pre-login cookie to the cookie that replaces it.
pub async fn rebind(tx: &Tx, old: Hash, new: Hash) -> Result<(), InfraError> {
    let open = row::Entity::find()
        .select_only()
        .column(row::Column::Id)
        .filter(row::Column::BrowserHash.eq(old.to_column()))
        // In the words of the partial index: with a bound value the planner may not use it.
        .filter(Expr::cust("state = 'open'"))
        // A flow that another transaction holds is being consumed just now: waiting for it could
        // deadlock.
        .lock_with_behavior(LockType::NoKeyUpdate, LockBehavior::SkipLocked)
        .into_query();
    let update = row::Entity::update_many()
        .col_expr(row::Column::BrowserHash, Expr::value(Some(new.to_column())))
        .filter(row::Column::Id.in_subquery(open));
    tx.defer::<row::Entity>(update.into_query()).await
}

/// ST-04: claims what a consumed flow leads to, once: a client's request, by the tab that continues
/// first, or an app's tokens.
pub async fn claim_outcome(tx: &Tx, id: Uuid) -> Result<bool, InfraError> {
    let result = row::Entity::update_many()
        .col_expr(
            row::Column::DestinationClaimedAt,
            Expr::value(Some(tx.now.0)),
        )
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::State.eq(FlowState::Consumed))
        .filter(row::Column::DestinationClaimedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(has_updated(&result))
}

/// LK-06: settles, once, whether the pending link of a consumed flow is linked, by one guarded
/// statement.
pub async fn settle_link(tx: &Tx, id: Uuid) -> Result<bool, InfraError> {
    let result = row::Entity::update_many()
        .col_expr(row::Column::LinkSettledAt, Expr::value(Some(tx.now.0)))
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::State.eq(FlowState::Consumed))
        .filter(row::Column::Link.is_not_null())
        .filter(row::Column::LinkSettledAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(has_updated(&result))
}
