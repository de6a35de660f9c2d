//! Why a link or a code is refused, and what is kept of it: a row in the audit log, or a log line.

use crate::{
    audit::{AuditReason, Event, Kind},
    db::Tx,
    error::InfraError,
    login::{
        authenticate::SignInRefusal,
        flow::{self, Flow},
    },
    web::caller::Caller,
};

/// Why a link or code was refused. Users see one text for most of these; the audit log has the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumeRefusal {
    UnknownLink,
    /// An app named another flow than the link's.
    OtherFlow,
    OtherBrowser,
    /// The caller does not hold the flow that it names.
    NotHolder,
    /// The text is not a code.
    Malformed,
    WrongCode,
    /// The code was right once: its time is over, or later emails have replaced it.
    ExpiredCode,
    /// The flow has had all its attempts at a code.
    NoTriesLeft,
    /// The address, or the network with it, has had all its attempts at codes.
    BudgetSpent,
    /// The code is right, but the attempts at codes are spent. The link still works, and so does the
    /// next code.
    RightCodeTooLate,
    Expired,
    /// The user cancelled the sign-in.
    Ended,
    Used,
    SessionEnded,
    SignIn(SignInRefusal),
}

impl ConsumeRefusal {
    /// Returns the reason code for the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownLink => "unknown",
            Self::OtherFlow => "other_flow",
            Self::OtherBrowser => "other_browser",
            Self::NotHolder => "not_holder",
            Self::Malformed => "malformed",
            Self::WrongCode => "wrong_code",
            Self::ExpiredCode => "expired_code",
            Self::NoTriesLeft => "no_tries_left",
            Self::BudgetSpent => "budget_spent",
            Self::RightCodeTooLate => "right_code_too_late",
            Self::Expired => "expired",
            Self::Ended => "ended",
            Self::Used => "used",
            Self::SessionEnded => "session_ended",
            Self::SignIn(refusal) => refusal.as_str(),
        }
    }

    /// Returns whether a refusal may have a row in the audit log. These two cost the caller nothing.
    const fn is_audited(self) -> bool {
        !matches!(self, Self::Malformed | Self::NoTriesLeft)
    }
}

impl AuditReason for ConsumeRefusal {
    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// Why no email is sent for a request. The page does not say so for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestRefusal {
    /// Too many emails went to the address, or to it from this network.
    AddressBudget,
}

impl AuditReason for RequestRefusal {
    fn word(self) -> &'static str {
        match self {
            Self::AddressBudget => "address_budget",
        }
    }
}

/// Records a refusal. One that costs the caller an attempt, an email or a link has a row in the audit
/// log, up to a limit for each flow. What any caller can cause for free is only a log line: otherwise
/// strangers could fill the audit log (ST-17).
pub(super) async fn record(
    tx: &Tx,
    flow: Option<&Flow>,
    reason: ConsumeRefusal,
    caller: &Caller,
) -> Result<(), InfraError> {
    match flow.filter(|_| reason.is_audited()) {
        Some(flow) if flow::count_refusal(tx, flow.id).await? => {
            Event::new(Kind::MagicLinkRefused)
                .reason(reason)
                .caller(&caller.network, &caller.request_id)
                .flow(flow.id)
                .client(flow.client_id.as_deref())
                .address(&flow.address_key)
                .record(tx)
                .await
        }
        _ => {
            log(reason, caller);
            Ok(())
        }
    }
}

/// Writes the line of a refusal that has no row in the audit log.
pub(super) fn log(reason: ConsumeRefusal, caller: &Caller) {
    if let Some(request_id) = caller.reference_if_refused() {
        let reason = reason.as_str();
        tracing::info!(request_id, reason, "link or code refused");
    }
}
