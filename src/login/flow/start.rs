//! The start of a flow, and the emails that may be requested in it.

use std::time::Duration;

use entity::{
    Time,
    magic_link_flow::{self as row, FlowState, Model as Flow},
};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, QueryTrait as _, sea_query::Expr,
};

use super::{FlowHolder, has_updated, update_open};
use crate::{
    config::Reloadable,
    db::Tx,
    error::InfraError,
    secret::{Hash, public_id},
};

/// How long after another email was requested a request for one more is a double click.
const SECOND_CLICK: Duration = Duration::from_secs(5);

/// The most open flows of one browser and address that are looked at.
const MAX_LISTED: u64 = 20;

/// What a flow is opened with.
#[derive(Clone, Debug)]
pub struct NewFlow<'a> {
    pub holder: &'a FlowHolder,
    /// The client that asks for the sign-in, if any.
    pub client_id: Option<&'a str>,
    /// The address, in canonical form.
    pub canonical: &'a str,
    /// The key of the address in counters.
    pub address_key: &'a Hash,
    /// The locale of the email.
    pub locale: &'a str,
    /// Browser and system, in words.
    pub device: &'a str,
    /// The user asked to stay signed in on this browser.
    pub remembered: bool,
    /// The client's request that continues afterwards, as JSON.
    pub destination: Option<String>,
    /// The pending link that waits for this flow, as JSON.
    pub link: Option<String>,
    /// The email is withheld, and no other goes to the address for this long.
    pub withheld_for: Option<Duration>,
}

/// Opens a flow; its first email counts as requested.
pub async fn open(tx: &Tx, new: NewFlow<'_>, config: &Reloadable) -> Result<Flow, InfraError> {
    let (browser_hash, code_challenge) = match new.holder {
        FlowHolder::Browser(hash) => (Some(hash.to_column()), None),
        FlowHolder::App(challenge) => (None, Some(challenge.clone())),
    };
    let flow = Flow {
        id: public_id(),
        state: FlowState::Open,
        browser_hash,
        code_challenge,
        client_id: new.client_id.map(str::to_owned),
        canonical: new.canonical.to_owned(),
        address_key: new.address_key.to_column(),
        locale: new.locale.to_owned(),
        device: new.device.to_owned(),
        remembered: new.remembered,
        destination: new.destination,
        destination_claimed_at: None,
        tries: 0,
        sends: 1,
        refusals: 0,
        next_send_at: tx.now + resend_delay(config, 1),
        withheld_until: new.withheld_for.map(|wait| tx.now + wait),
        created_at: tx.now,
        expires_at: tx.now + config.flow_lifetime(),
        consumed_at: None,
        consumed_browser_hash: None,
        session_id: None,
        link: new.link,
        link_settled_at: None,
        wrong_code_mac: None,
        wrong_code_at: None,
    };
    let insert = row::Entity::insert(row::ActiveModel::from(flow.clone()));
    tx.defer::<row::Entity>(insert.into_query()).await?;
    Ok(flow)
}

/// A5: returns how long after the n-th email the next may be requested. The last step repeats.
fn resend_delay(config: &Reloadable, sends: i32) -> Duration {
    let steps = &config.limits.resend_seconds;
    let index = usize::try_from(sends).unwrap_or(1).saturating_sub(1);
    Duration::from_secs(steps.get(index).or(steps.last()).copied().unwrap_or(60))
}

/// Returns whether another email was requested a moment ago: a second request is a double click, and
/// gets what the first one got.
#[must_use]
pub fn was_sent_just_now(flow: &Flow, config: &Reloadable, now: Time) -> bool {
    let sent_at = flow.next_send_at - resend_delay(config, flow.sends);
    flow.sends > 1 && now.since(sent_at) <= SECOND_CLICK
}

/// Returns the open flows that a browser started for an address, the latest first.
pub async fn list_open(
    conn: &impl ConnectionTrait,
    browser: Hash,
    canonical: &str,
    now: Time,
) -> Result<Vec<Flow>, InfraError> {
    Ok(row::Entity::find()
        .filter(row::Column::BrowserHash.eq(browser.to_column()))
        // Spelled as in the index `magic_link_flows_browser`, or the planner does not use it.
        .filter(Expr::cust("state = 'open'"))
        .filter(row::Column::ExpiresAt.gt(now))
        .filter(row::Column::Canonical.eq(canonical))
        .order_by_desc(row::Column::CreatedAt)
        .limit(MAX_LISTED)
        .all(conn)
        .await?)
}

/// A5: counts another email, by one guarded statement. Returns `false` if the pause is not over or
/// the flow has sent enough. The flow is prolonged for as long as the new email needs.
pub async fn count_send(
    tx: &Tx,
    flow: &Flow,
    withheld_for: Option<Duration>,
    config: &Reloadable,
) -> Result<bool, InfraError> {
    let max_sends = i32::try_from(config.limits.sends_per_flow).unwrap_or(i32::MAX);
    let result = update_open(tx, flow.id)
        .col_expr(row::Column::Sends, Expr::col(row::Column::Sends).add(1))
        .col_expr(
            row::Column::NextSendAt,
            Expr::value((tx.now + resend_delay(config, flow.sends + 1)).0),
        )
        .col_expr(
            row::Column::WithheldUntil,
            Expr::value(withheld_for.map(|wait| (tx.now + wait).0)),
        )
        .col_expr(
            row::Column::ExpiresAt,
            Expr::value((tx.now + config.flow_lifetime()).0),
        )
        .filter(row::Column::NextSendAt.lte(tx.now))
        .filter(row::Column::Sends.lt(max_sends))
        .exec(tx.conn())
        .await?;
    Ok(has_updated(&result))
}
