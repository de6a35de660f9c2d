//! The code in the email, entered where the sign-in was requested.

use uuid::Uuid;

use super::{
    budget,
    consume::{self, ConsumeAttempt, ConsumeOutcome, ConsumeRefusal, ConsumedSecret},
    request::address_key,
    token,
};
use crate::{
    db::Tx,
    error::InfraError,
    login::flow::{self, Flow, FlowState},
};

/// The longest text that may be a code: ten digits with any separators fit into it.
const MAX_INPUT: usize = 64;

/// Returns the digits of an entered code. Spaces, dashes and dots are dropped, and digits of other
/// scripts become ASCII (D5). Returns `None` if the rest is not a code of this length.
#[must_use]
pub fn normalise(entered: &str, digits: u32) -> Option<String> {
    if entered.chars().count() > MAX_INPUT {
        return None;
    }
    let mut code = String::new();
    for c in entered.chars().filter(|c| !is_separator(*c)) {
        code.push(char::from_digit(digit_value(c)?, 10)?);
    }
    (code.len() == digits as usize).then_some(code)
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || "-–—‐‑‒−._·'\u{200b}\u{200e}\u{200f}\u{2060}\u{feff}".contains(c)
}

/// Returns the value of a decimal digit: ASCII, full-width, Arabic-Indic, extended Arabic-Indic,
/// Devanagari, Bengali or Thai.
fn digit_value(c: char) -> Option<u32> {
    let zero = [0x30, 0xff10, 0x660, 0x6f0, 0x966, 0x9e6, 0xe50]
        .into_iter()
        .find(|zero| (*zero..*zero + 10).contains(&u32::from(c)))?;
    Some(u32::from(c) - zero)
}

/// Tries a code in the flow that its holder names. Attempts are counted before anything is compared (D2,
/// D3). Only the audit log tells wrong, expired, used and unknown codes apart (D4).
pub async fn consume(
    tx: &Tx,
    id: Uuid,
    entered: &str,
    attempt: &ConsumeAttempt<'_>,
) -> Result<ConsumeOutcome, InfraError> {
    let Some(flow) = flow::find_held(tx.conn(), id, &attempt.holder).await? else {
        return consume::refuse(tx, None, ConsumeRefusal::NotHolder, attempt).await;
    };
    let Some(code) = normalise(entered, attempt.config.magic_link.code_digits) else {
        return consume::refuse(tx, Some(&flow), ConsumeRefusal::Malformed, attempt).await;
    };
    if let Some(outcome) = consume::confirm_switch(tx, &flow, attempt).await? {
        return Ok(outcome);
    }
    if consume::may_repeat(&flow, tx, attempt) {
        return repeat(tx, flow, &code, attempt).await;
    }
    if !count_try(tx, &flow, FlowState::Open, attempt).await? {
        // The same code may have come twice, and the other attempt was quicker.
        let found = flow::find(tx.conn(), id).await?;
        return match found.filter(|flow| consume::may_repeat(flow, tx, attempt)) {
            Some(flow) => repeat(tx, flow, &code, attempt).await,
            None => consume::refuse(tx, Some(&flow), ConsumeRefusal::NoTriesLeft, attempt).await,
        };
    }
    match compare(tx, &flow, &code, attempt).await? {
        Some(reason) => consume::refuse(tx, Some(&flow), reason, attempt).await,
        None => consume::claim(tx, flow, attempt, ConsumedSecret::Code).await,
    }
}

/// Tries a code again within the minute after it worked. Attempts are counted here too.
async fn repeat(
    tx: &Tx,
    flow: Flow,
    code: &str,
    attempt: &ConsumeAttempt<'_>,
) -> Result<ConsumeOutcome, InfraError> {
    if !count_try(tx, &flow, FlowState::Consumed, attempt).await? {
        return consume::refuse(tx, Some(&flow), ConsumeRefusal::NoTriesLeft, attempt).await;
    }
    match compare(tx, &flow, code, attempt).await? {
        Some(reason) => consume::refuse(tx, Some(&flow), reason, attempt).await,
        None => consume::repeat(tx, flow, attempt).await,
    }
}

async fn count_try(
    tx: &Tx,
    flow: &Flow,
    state: FlowState,
    attempt: &ConsumeAttempt<'_>,
) -> Result<bool, InfraError> {
    flow::count_try(tx, flow.id, state, attempt.config.limits.tries_per_flow).await
}

/// Compares a code that was counted against its flow; it is counted against its address first. Returns
/// `None` if the code is right.
async fn compare(
    tx: &Tx,
    flow: &Flow,
    code: &str,
    attempt: &ConsumeAttempt<'_>,
) -> Result<Option<ConsumeRefusal>, InfraError> {
    let address = address_key(flow)?;
    if !budget::spend_attempt(tx, &address, &attempt.config.limits.wrong_codes).await? {
        return Ok(Some(ConsumeRefusal::BudgetSpent));
    }
    let live = token::find_live(tx.conn(), flow.id, tx.now).await?;
    if !token::matches_code(&live, flow.id, code, attempt.code_pepper) {
        return Ok(Some(ConsumeRefusal::WrongCode));
    }
    budget::return_attempt(tx, &address).await?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d_5_codes_are_read_as_people_enter_them() {
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
        for entered in good {
            assert_eq!(
                normalise(entered, 8).as_deref(),
                Some("12345678"),
                "{entered:?}"
            );
        }
        for entered in [
            "",
            "1234567",
            "123456789",
            "1234567a",
            "12345678 or 1=1",
            "①②③④⑤⑥⑦⑧",
            &"1".repeat(100_000),
        ] {
            assert_eq!(normalise(entered, 8), None, "{entered:.20?}");
        }
    }
}
