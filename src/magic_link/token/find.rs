//! Finds the secrets of emails when a user brings them: a link by its hash, a code among those of its flow.

use entity::magic_link_token::{self as row, Model as Token};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
    sea_query::{Alias, Expr, Query, SelectStatement},
};
use uuid::Uuid;

use crate::{
    clock::Time,
    db::{
        Tx,
        joined::{self, Row},
    },
    error::InfraError,
    login::flow::{self, Flow},
    secret::{Hash, Mac},
};

/// How many emails of a flow work at the same time (B5).
const MAX_LIVE: u64 = 3;

/// The prefix of the columns of an email's secrets in a statement that reads several tables.
const COLUMNS: &str = "token_";

/// The column that says how many later emails of the flow were sent.
const LATER: &str = "later_emails";

/// A link with its flow.
#[derive(Debug)]
pub struct FoundLink {
    pub flow: Flow,
    /// The link is in one of the last three emails of its flow (B5) and has not expired.
    pub is_live: bool,
}

/// Finds a link, live or not, and its flow, by one statement.
pub async fn find_by_link(
    conn: &impl ConnectionTrait,
    link: &Hash,
    now: Time,
) -> Result<Option<FoundLink>, InfraError> {
    let mut select = Query::select();
    joined::add_columns::<row::Entity>(&mut select, COLUMNS);
    select
        .expr_as(later_emails(), Alias::new(LATER))
        .from(row::Entity)
        .and_where(row::Column::LinkHash.eq(link.to_column()))
        .limit(1);
    flow::join(&mut select, row::Column::FlowId.as_column_ref());
    let Some(row) = conn.query_one(&select).await? else {
        return Ok(None);
    };
    let later: i64 = row.try_get("", LATER)?;
    let row = Row::Driver(row);
    let token = joined::read::<row::Entity>(&row, COLUMNS)?;
    let is_live = token.is_some_and(|token| {
        let is_among_last = u64::try_from(later).is_ok_and(|later| later < MAX_LIVE);
        is_among_last && token.refused_at.is_none() && token.expires_at > now
    });
    Ok(flow::read_joined(&row)?.map(|flow| FoundLink { flow, is_live }))
}

/// Returns the statement that counts the emails of the same flow that were sent after this one, in
/// the order of [`find_live`].
fn later_emails() -> SelectStatement {
    let later = Alias::new("later");
    let column = |column: row::Column| Expr::col((later.clone(), column));
    let this = |column: row::Column| column.as_column_ref();
    let is_later = column(row::Column::CreatedAt)
        .gt(Expr::col(this(row::Column::CreatedAt)))
        .or(column(row::Column::CreatedAt)
            .equals(this(row::Column::CreatedAt))
            .and(column(row::Column::Id).gt(Expr::col(this(row::Column::Id)))));
    Query::select()
        .expr(Expr::cust("COUNT(*)"))
        .from_as(row::Entity, later.clone())
        .and_where(column(row::Column::FlowId).equals(this(row::Column::FlowId)))
        .and_where(column(row::Column::RefusedAt).is_null())
        .and_where(is_later)
        .to_owned()
}

/// Returns the last three emails of a flow (B5), without those that have expired.
pub async fn find_live(
    conn: &impl ConnectionTrait,
    flow: Uuid,
    now: Time,
) -> Result<Vec<Token>, InfraError> {
    let mut tokens = row::Entity::find()
        .filter(row::Column::FlowId.eq(flow))
        .filter(row::Column::RefusedAt.is_null())
        .order_by_desc(row::Column::CreatedAt)
        .order_by_desc(row::Column::Id)
        .limit(MAX_LIVE)
        .all(conn)
        .await?;
    tokens.retain(|token| token.expires_at > now);
    Ok(tokens)
}

/// Returns the emails of a flow that were sent, live or not. A flow has a few.
pub async fn find_all(conn: &impl ConnectionTrait, flow: Uuid) -> Result<Vec<Token>, InfraError> {
    Ok(row::Entity::find()
        .filter(row::Column::FlowId.eq(flow))
        .filter(row::Column::RefusedAt.is_null())
        .all(conn)
        .await?)
}

/// Returns whether `code` is that of any of these emails. Every MAC under every live pepper is compared,
/// in constant time (D4).
#[must_use]
pub fn matches_code(tokens: &[Token], flow: Uuid, code: &str, pepper: &Mac) -> bool {
    let parts: [&[u8]; 2] = [flow.as_bytes(), code.as_bytes()];
    tokens
        .iter()
        .filter_map(|token| Hash::from_column(&token.code_mac))
        .fold(false, |ok, stored| pepper.verify(&parts, &stored) | ok)
}

/// Voids a code that was right at the wrong time. The link of the same email keeps working.
pub async fn void_code(
    tx: &Tx,
    tokens: &[Token],
    flow: Uuid,
    code: &str,
    pepper: &Mac,
) -> Result<(), InfraError> {
    let matching = tokens
        .iter()
        .filter(|token| matches_code(std::slice::from_ref(token), flow, code, pepper));
    for token in matching {
        // No code has this MAC.
        row::Entity::update_many()
            .col_expr(row::Column::CodeMac, Expr::value(vec![0_u8; 32]))
            .filter(row::Column::Id.eq(token.id))
            .exec(tx.conn())
            .await?;
    }
    Ok(())
}
