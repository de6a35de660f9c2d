//! The code in the email, entered where the sign-in was requested.

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{
    budget::{self, Guesser},
    consume::{self, BeforeClaim, ConsumeAttempt, ConsumeOutcome, ConsumedSecret, LookUpError},
    refusal::ConsumeRefusal,
    token,
};
use crate::{
    clock::Time,
    db::Tx,
    error::InfraError,
    login::{
        device,
        flow::{self, Flow, FlowState, Try},
    },
    secret::{Hash, Plain},
};

/// The longest text that may hold a code: a line of an email fits into it.
const MAX_INPUT: usize = 256;

/// Returns the digits of the code in an entered text. Spaces, dashes and dots among them are dropped,
/// and digits of other scripts become ASCII (D5). Words around a code are ignored (OC-7). Returns `None`
/// unless exactly one run of digits has the length of a code.
#[must_use]
pub fn normalise(entered: &str, digits: u32) -> Option<String> {
    if entered.chars().count() > MAX_INPUT {
        return None;
    }
    let is_part = |c: char| is_separator(c) || digit_value(c).is_some();
    let digits_of = |run: &str| -> String {
        run.chars()
            .filter_map(|c| char::from_digit(digit_value(c)?, 10))
            .collect()
    };
    let mut codes = entered
        .split(|c| !is_part(c))
        .map(digits_of)
        .filter(|run| run.len() == digits as usize);
    let code = codes.next()?;
    codes.all(|other| other == code).then_some(code)
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

/// A code that was entered where its flow began.
#[derive(Debug)]
pub struct EnteredCode {
    pub(super) flow: Flow,
    code: String,
}

/// Finds the flow that a code is entered for. What is refused here takes no transaction: the text is no
/// code, or the caller does not hold the flow.
pub async fn look_up_code(
    conn: &impl ConnectionTrait,
    id: Uuid,
    entered: &str,
    attempt: &ConsumeAttempt<'_>,
) -> Result<EnteredCode, LookUpError> {
    let refuse = |flow, reason| consume::refuse_unrecorded(flow, reason, attempt);
    let Some(flow) = flow::find_held(conn, id, &attempt.holder).await? else {
        return Err(refuse(None, ConsumeRefusal::NotHolder));
    };
    attempt.caller.log_line.always_write();
    let Some(code) = normalise(entered, attempt.config.magic_link.code_digits) else {
        return Err(refuse(Some(flow), ConsumeRefusal::Malformed));
    };
    Ok(EnteredCode { flow, code })
}

/// Tries a code whose flow was found. Attempts are counted before anything is compared (D2, D3), by a guarded
/// statement, so that the flow may be older than the unit of work. The holder of the flow learns whether a
/// code is wrong or has expired, at the same cost (OD-8).
pub async fn consume(
    tx: &Tx,
    EnteredCode { flow, code }: EnteredCode,
    attempt: &ConsumeAttempt<'_>,
) -> Result<ConsumeOutcome, InfraError> {
    match consume::before_claim(tx, &flow, attempt).await? {
        BeforeClaim::Repeat => return repeat(tx, flow, &code, attempt).await,
        BeforeClaim::Outcome(outcome) => return Ok(outcome),
        BeforeClaim::Claim => {}
    }
    if !count_try(tx, &flow, FlowState::Open, &code, attempt).await? {
        return not_counted(tx, flow, &code, attempt).await;
    }
    match compare(tx, &flow, &code, attempt).await? {
        Some(reason) => refuse_code(tx, &flow, &code, reason, attempt).await,
        None => consume::claim(tx, flow, attempt, ConsumedSecret::Code).await,
    }
}

/// Refuses a code that was counted. A wrong one is remembered for a moment.
async fn refuse_code(
    tx: &Tx,
    flow: &Flow,
    code: &str,
    reason: ConsumeRefusal,
    attempt: &ConsumeAttempt<'_>,
) -> Result<ConsumeOutcome, InfraError> {
    if matches!(
        reason,
        ConsumeRefusal::WrongCode | ConsumeRefusal::ExpiredCode
    ) {
        flow::remember_wrong_code(tx, flow.id, &code_mac(flow, code, attempt)).await?;
    }
    consume::refuse(tx, Some(flow), reason, attempt).await
}

/// The attempt did not count. The same code may have come twice, by a double click: the right one gives
/// the same session, and the wrong one the same answer, which costs one attempt and tells its sender
/// nothing new. Otherwise the flow accepts no code any more.
async fn not_counted(
    tx: &Tx,
    flow: Flow,
    code: &str,
    attempt: &ConsumeAttempt<'_>,
) -> Result<ConsumeOutcome, InfraError> {
    let found = flow::find(tx.conn(), flow.id).await?;
    match found {
        Some(flow) if consume::may_repeat(&flow, tx, attempt) => {
            repeat(tx, flow, code, attempt).await
        }
        Some(flow)
            if flow.state == FlowState::Open
                && flow::is_repeated_code(&flow, &code_mac(&flow, code, attempt), tx.now) =>
        {
            // Judge by the emails of the first attempt: a later email would make this a free one.
            let reason = why_wrong(tx, &flow, code, attempt, flow.wrong_code_at).await?;
            let flow = Some(Box::new(flow));
            Ok(ConsumeOutcome::Refused { flow, reason })
        }
        found => {
            let flow = found.unwrap_or(flow);
            consume::refuse(tx, Some(&flow), why_not_counted(&flow, tx.now), attempt).await
        }
    }
}

/// Returns the keyed hash under which a wrong code is remembered. It is no hash of a code in an email.
fn code_mac(flow: &Flow, code: &str, attempt: &ConsumeAttempt<'_>) -> Hash {
    let parts: [&[u8]; 3] = [b"wrong code", flow.id.as_bytes(), code.as_bytes()];
    attempt.code_pepper.tag(&parts)
}

/// Returns why an attempt at a flow did not count: the flow is over, or has had all its attempts.
fn why_not_counted(flow: &Flow, now: Time) -> ConsumeRefusal {
    match flow.state {
        FlowState::Ended => ConsumeRefusal::Ended,
        FlowState::Consumed => ConsumeRefusal::Used,
        FlowState::Open if flow.expires_at <= now => ConsumeRefusal::Expired,
        FlowState::Open => ConsumeRefusal::NoTriesLeft,
    }
}

/// Tries a code again within the minute after it worked. Attempts are counted here too.
async fn repeat(
    tx: &Tx,
    flow: Flow,
    code: &str,
    attempt: &ConsumeAttempt<'_>,
) -> Result<ConsumeOutcome, InfraError> {
    if !count_try(tx, &flow, FlowState::Consumed, code, attempt).await? {
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
    code: &str,
    attempt: &ConsumeAttempt<'_>,
) -> Result<bool, InfraError> {
    let code_mac = &code_mac(flow, code, attempt);
    let one = Try {
        flow: flow.id,
        state,
        code_mac,
    };
    flow::count_try(tx, one, attempt.config.limits.tries_per_flow).await
}

/// Compares a code that was counted against its flow, under the budgets of the caller. Returns `None` if
/// the code is right. A flow without a live code costs the same statements and counts nothing here:
/// its requester may not have received an email (OA-2).
async fn compare(
    tx: &Tx,
    flow: &Flow,
    code: &str,
    attempt: &ConsumeAttempt<'_>,
) -> Result<Option<ConsumeRefusal>, InfraError> {
    let limits = &attempt.config.limits;
    let live = token::find_live(tx.conn(), flow.id, tx.now).await?;
    let address = flow::address_key(flow)?;
    let no_code = attempt.code_pepper.tag(&[b"no code", flow.id.as_bytes()]);
    let guesser = Guesser {
        subject: if live.is_empty() { &no_code } else { &address },
        caller: attempt.caller.ip,
        known_device: known_device(tx, &address, attempt).await?,
        mac: attempt.code_pepper,
    };
    let budgets = budget::lock(tx, &guesser, limits).await?;
    let is_right = token::matches_code(&live, flow.id, code, attempt.code_pepper);
    match (budgets.are_spent(tx.now), is_right) {
        (false, true) => {
            budgets.leave(tx).await?;
            Ok(None)
        }
        (true, true) => {
            budget::grant_pass(tx, &guesser).await?;
            token::void_code(tx, &live, flow.id, code, attempt.code_pepper).await?;
            Ok(Some(ConsumeRefusal::RightCodeTooLate))
        }
        (true, false) => Ok(Some(ConsumeRefusal::BudgetSpent)),
        (false, false) => {
            if live.is_empty() {
                budgets.leave(tx).await?;
            } else {
                budgets.count(tx).await?;
            }
            Ok(Some(why_wrong(tx, flow, code, attempt, None).await?))
        }
    }
}

/// Returns whether a code that is not right was right once: that of an email from before `until`, if that
/// is given.
async fn why_wrong(
    tx: &Tx,
    flow: &Flow,
    code: &str,
    attempt: &ConsumeAttempt<'_>,
    until: Option<Time>,
) -> Result<ConsumeRefusal, InfraError> {
    let mut all = token::find_all(tx.conn(), flow.id).await?;
    all.retain(|token| until.is_none_or(|until| token.created_at < until));
    let was_right = token::matches_code(&all, flow.id, code, attempt.code_pepper);
    Ok(match was_right {
        true => ConsumeRefusal::ExpiredCode,
        false => ConsumeRefusal::WrongCode,
    })
}

/// Returns the device of the attempt, if it signed in with the address before.
async fn known_device(
    tx: &Tx,
    address: &Hash,
    attempt: &ConsumeAttempt<'_>,
) -> Result<Option<Hash>, InfraError> {
    let device = attempt.browser_state.device.map(Plain::hash);
    let is_known = device::is_known(tx.conn(), device.as_ref(), address, tx.now).await?;
    Ok(device.filter(|_| is_known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d_5_oc_7_codes_are_read_as_people_enter_them() {
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
            "Your code: 1234 5678.",
            "«1234 5678» within 10 minutes",
            "\u{202a}1234 5678\u{202c}",
            "12345678 or 1=1",
            "12345678, 1234-5678",
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
            "12345678 or 87654321",
            "1234 5678 9",
            "①②③④⑤⑥⑦⑧",
            &"1".repeat(100_000),
        ] {
            assert_eq!(normalise(entered, 8), None, "{entered:.20?}");
        }
    }
}
