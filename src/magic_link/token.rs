//! The secrets of one email: made when it is sent, stored as hashes before it is handed over (B3, B4, G2).
//! How they are found when they are used is in `find`.

mod find;

use std::time::Duration;

use entity::magic_link_token as row;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryTrait as _,
    sea_query::Expr,
};
use uuid::Uuid;

pub use entity::magic_link_token::Model as Token;
pub use find::{FoundLink, find_all, find_by_link, find_live, matches_code, void_code};

use crate::{
    clock::Time,
    db::Tx,
    error::InfraError,
    secret::{Hash, Mac, Plain, random_below, row_id},
};

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
