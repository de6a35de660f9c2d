//! The secrets of one email: made when it is sent, stored as hashes before it is handed over (B3, B4, G2).

use std::time::Duration;

use entity::magic_link_token as row;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, QueryTrait as _,
    sea_query::{Alias, Expr, Query, SelectStatement},
};
use uuid::Uuid;

pub use entity::magic_link_token::Model as Token;

use crate::{
    clock::Time,
    db::{
        Tx,
        joined::{self, Row},
    },
    error::InfraError,
    login::flow::{self, Flow},
    secret::{Hash, Mac, Plain, random_below, row_id},
};

/// How many emails of a flow work at the same time (B5).
const MAX_LIVE: u64 = 3;

/// The secrets of an email. Only the email holds them in clear.
pub struct EmailSecrets {
    /// 256 bits for the link, independent of the code (B1).
    pub link: Plain,
    /// The digits of the code (B2).
    pub code: String,
    /// The row that holds their hashes.
    pub id: Uuid,
}

impl std::fmt::Debug for EmailSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EmailSecrets(…)")
    }
}

/// Generates a code. Every value from all zeroes to all nines is equally likely (B2).
fn generate_code(digits: u32) -> String {
    let width = digits as usize;
    format!("{:0width$}", random_below(10_u64.pow(digits.clamp(1, 18))))
}

/// Returns the stored form of a code: a MAC under the pepper, bound to its flow (B3).
#[must_use]
pub fn code_mac(pepper: &Mac, flow: Uuid, code: &str) -> Hash {
    pepper.tag(&[flow.as_bytes(), code.as_bytes()])
}

/// Makes the secrets of an email and stores their hashes. Their lifetime is extended when the mail
/// server accepts the email (B4).
pub async fn create(
    tx: &Tx,
    flow: Uuid,
    digits: u32,
    lifetime: Duration,
    pepper: &Mac,
) -> Result<EmailSecrets, InfraError> {
    let secrets = generate(tx.now, digits);
    let expires_at = tx.now + lifetime;
    store(tx, new_row(flow, &secrets, pepper, [tx.now, expires_at])).await?;
    Ok(secrets)
}

/// Stores secrets that no email brings, like those of one that is sent: both cost the same (A2).
pub async fn create_void(tx: &Tx, flow: Uuid, digits: u32, pepper: &Mac) -> Result<(), InfraError> {
    let secrets = generate(tx.now, digits);
    let row = row::ActiveModel {
        refused_at: Set(Some(tx.now)),
        ..new_row(flow, &secrets, pepper, [tx.now, tx.now])
    };
    store(tx, row).await
}

fn generate(now: Time, digits: u32) -> EmailSecrets {
    EmailSecrets {
        link: Plain::generate(),
        code: generate_code(digits),
        id: row_id(now),
    }
}

fn new_row(
    flow: Uuid,
    secrets: &EmailSecrets,
    pepper: &Mac,
    [created_at, expires_at]: [Time; 2],
) -> row::ActiveModel {
    row::ActiveModel {
        id: Set(secrets.id),
        flow_id: Set(flow),
        link_hash: Set(secrets.link.hash().to_column()),
        code_mac: Set(code_mac(pepper, flow, &secrets.code).to_column()),
        created_at: Set(created_at),
        expires_at: Set(expires_at),
        refused_at: Set(None),
    }
}

async fn store(tx: &Tx, token: row::ActiveModel) -> Result<(), InfraError> {
    let insert = row::Entity::insert(token);
    tx.defer::<row::Entity>(insert.into_query()).await
}

/// Starts the lifetime of the secrets anew: the mail server accepted their email (ASVS 6.5.5).
pub async fn extend_lifetime(tx: &Tx, id: Uuid, lifetime: Duration) -> Result<(), InfraError> {
    let update = row::Entity::update_many()
        .col_expr(row::Column::ExpiresAt, Expr::value((tx.now + lifetime).0))
        .filter(row::Column::Id.eq(id));
    tx.defer::<row::Entity>(update.into_query()).await
}

/// Marks the secrets of an email that was certainly not sent: it does not count among the live ones
/// (ST-11).
pub async fn mark_not_sent(tx: &Tx, id: Uuid) -> Result<(), InfraError> {
    let update = row::Entity::update_many()
        .col_expr(row::Column::RefusedAt, Expr::value(Some(tx.now.0)))
        .filter(row::Column::Id.eq(id));
    tx.defer::<row::Entity>(update.into_query()).await
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b_2_codes_have_their_digits_and_are_uniform() {
        // Chi-square over the first and the last digit of 20 000 codes: 9 degrees of freedom, 1 in 100 000 above 39.3.
        let mut counts = [[0_f64; 10]; 2];
        for _ in 0..20_000 {
            let code = generate_code(8);
            assert_eq!(code.len(), 8);
            let digit = |c: Option<char>| c.and_then(|c| c.to_digit(10)).expect("a digit") as usize;
            counts[0][digit(code.chars().next())] += 1.0;
            counts[1][digit(code.chars().last())] += 1.0;
        }
        for digits in counts {
            let chi: f64 = digits
                .iter()
                .map(|seen| (seen - 2000.0).powi(2) / 2000.0)
                .sum();
            assert!(chi < 39.3, "chi-square {chi}");
        }
    }

    #[test]
    fn b_2_both_ends_of_the_range_are_reachable() {
        let drawn: std::collections::BTreeSet<String> =
            (0..2000).map(|_| generate_code(1)).collect();
        assert_eq!(drawn.first().map(String::as_str), Some("0"));
        assert_eq!(drawn.last().map(String::as_str), Some("9"));
    }

    #[test]
    fn b_3_a_code_is_bound_to_its_flow_and_pepper() {
        let pepper = crate::secret::MasterKeys::new([1; 32], []).mac("p");
        let other = crate::secret::MasterKeys::new([2; 32], []).mac("p");
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let stored = code_mac(&pepper, a, "12345678");
        let token = |mac: Hash| Token {
            id: a,
            flow_id: a,
            link_hash: vec![],
            code_mac: mac.to_column(),
            created_at: Time(0),
            expires_at: Time(1),
            refused_at: None,
        };
        assert!(matches_code(&[token(stored)], a, "12345678", &pepper));
        assert!(!matches_code(&[token(stored)], b, "12345678", &pepper));
        assert!(!matches_code(&[token(stored)], a, "12345679", &pepper));
        assert!(!matches_code(&[token(stored)], a, "12345678", &other));
    }
}
