//! The code in the mail, typed where the sign-in began.

use uuid::Uuid;

use super::{
    budget,
    consume::{self, Attempt, Consumed},
    token,
};
use crate::{
    db::Tx,
    error::InfraError,
    login::flow::{self, Flow, FlowState},
    secret::Hash,
};

/// The digits that a person typed: spaces, dashes and dots fall away, digits of other scripts become ASCII (D5). None
/// if what is left is not a code of this length.
#[must_use]
pub fn normalise(typed: &str, digits: u32) -> Option<String> {
    // Sixty-four characters hold ten digits with any separators; more is not a code.
    if typed.chars().count() > 64 {
        return None;
    }
    let mut code = String::new();
    for c in typed.chars().filter(|c| !is_separator(*c)) {
        code.push(char::from_digit(digit(c)?, 10)?);
    }
    (code.len() == digits as usize).then_some(code)
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || "-–—‐‑‒−._·'\u{200b}\u{200e}\u{200f}\u{2060}\u{feff}".contains(c)
}

/// The value of a decimal digit: ASCII, full-width, Arabic-Indic, extended Arabic-Indic, Devanagari, Bengali, Thai.
fn digit(c: char) -> Option<u32> {
    let zero = [0x30, 0xff10, 0x660, 0x6f0, 0x966, 0x9e6, 0xe50]
        .into_iter()
        .find(|zero| (*zero..*zero + 10).contains(&u32::from(c)))?;
    Some(u32::from(c) - zero)
}

/// Tries a code in the flow that its holder names. Tries are counted before anything is compared (D2, D3); wrong,
/// expired, used and unknown are told apart in the trail alone (D4).
///
/// # Errors
/// The database's own.
pub async fn consume(
    tx: &Tx,
    id: Uuid,
    typed: &str,
    attempt: &Attempt<'_>,
) -> Result<Consumed, InfraError> {
    let Some(flow) = flow::find_held(tx.conn(), id, &attempt.holder).await? else {
        return consume::refuse(tx, None, "not_holder", attempt).await;
    };
    let Some(code) = normalise(typed, attempt.config.magic_link.code_digits) else {
        return consume::refuse(tx, Some(&flow), "malformed", attempt).await;
    };
    if let Some(asked) = consume::ask_first(tx, &flow, attempt).await? {
        return Ok(asked);
    }
    if consume::answers_again(&flow, tx, attempt) {
        return again(tx, flow, &code, attempt).await;
    }
    if !flow::count_try(
        tx,
        id,
        FlowState::Open,
        attempt.config.limits.tries_per_flow,
    )
    .await?
    {
        // Perhaps the same code came twice, and the other was quicker.
        let now = flow::find(tx.conn(), id).await?;
        return match now.filter(|flow| consume::answers_again(flow, tx, attempt)) {
            Some(flow) => again(tx, flow, &code, attempt).await,
            None => consume::refuse(tx, Some(&flow), "no_tries_left", attempt).await,
        };
    }
    match compare(tx, &flow, &code, attempt).await? {
        Some(reason) => consume::refuse(tx, Some(&flow), reason, attempt).await,
        None => consume::claim(tx, flow, attempt, "code").await,
    }
}

/// The same code a moment after it worked: the same result, from the same holder. Tries are counted here too.
async fn again(
    tx: &Tx,
    flow: Flow,
    code: &str,
    attempt: &Attempt<'_>,
) -> Result<Consumed, InfraError> {
    if !flow::count_try(
        tx,
        flow.id,
        FlowState::Consumed,
        attempt.config.limits.tries_per_flow,
    )
    .await?
    {
        return consume::refuse(tx, Some(&flow), "no_tries_left", attempt).await;
    }
    match compare(tx, &flow, code, attempt).await? {
        Some(reason) => consume::refuse(tx, Some(&flow), reason, attempt).await,
        None => consume::again(tx, flow, attempt).await,
    }
}

/// Compares a code that was counted against its flow: first it is counted against its address, too. `None`: it is right.
async fn compare(
    tx: &Tx,
    flow: &Flow,
    code: &str,
    attempt: &Attempt<'_>,
) -> Result<Option<&'static str>, InfraError> {
    let address = address_key(flow)?;
    if !budget::take(tx, &address, &attempt.config.limits.wrong_codes).await? {
        return Ok(Some("budget_spent"));
    }
    let live = token::live(tx.conn(), flow.id, tx.now).await?;
    if !token::matches(&live, flow.id, code, attempt.pepper) {
        return Ok(Some("wrong_code"));
    }
    budget::give_back(tx, &address).await?;
    Ok(None)
}

fn address_key(flow: &Flow) -> Result<Hash, InfraError> {
    Hash::from_column(&flow.address_key)
        .ok_or_else(|| InfraError::internal("an address key is not 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d_5_codes_are_read_as_people_type_them() {
        let good = [
            "12345678",
            " 1234 5678 ",
            "1234-5678",
            "12 34 56 78",
            "１２３４５６７８",
            "١٢٣٤٥٦٧٨",
            "۱۲۳۴۵۶۷۸",
            "1234\u{a0}5678",
            "1234–5678",
        ];
        for typed in good {
            assert_eq!(
                normalise(typed, 8).as_deref(),
                Some("12345678"),
                "{typed:?}"
            );
        }
        for typed in [
            "",
            "1234567",
            "123456789",
            "1234567a",
            "12345678 or 1=1",
            "①②③④⑤⑥⑦⑧",
            &"1".repeat(100_000),
        ] {
            assert_eq!(normalise(typed, 8), None, "{typed:.20?}");
        }
    }
}
