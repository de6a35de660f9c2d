//! What the waiting page says after a form was refused, and what the form held.
//!
//! The POST answers with a redirect, so that the page can be reloaded, and a cookie carries this over
//! it (OD-8). The cookie tells the browser nothing that its user did not enter there, and keeps a code
//! out of addresses and out of our stores.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use poem::Response;
use uuid::Uuid;

use crate::{
    login::{
        context::{RequestContext, see_other},
        flow::Flow,
        resume::sent_path,
    },
    magic_link::refusal::ConsumeRefusal,
};

/// The most bytes of an entry that come back into its field.
const MAX_KEPT: usize = 256;

/// Why a form of the waiting page was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another email was requested too early.
    CoolingDown,
    /// The text holds no code.
    NotACode,
    WrongCode,
    /// The code is of an earlier email, or its time is over.
    ExpiredCode,
    /// The code is right, but too many wrong ones were entered for the address (OA-2).
    RightCodeTooLate,
    /// Codes of this address are switched off for a while (D3).
    CodesOff,
    /// Another user is signed in in this browser, and has not agreed to leave that session.
    SwitchNotConfirmed,
    /// The browser signed in in another tab since the form was shown.
    OtherTab,
}

impl Refusal {
    const ALL: [Self; 8] = [
        Self::CoolingDown,
        Self::NotACode,
        Self::WrongCode,
        Self::ExpiredCode,
        Self::RightCodeTooLate,
        Self::CodesOff,
        Self::SwitchNotConfirmed,
        Self::OtherTab,
    ];

    /// Returns what the page says of a refused code.
    pub(super) const fn of_code(reason: ConsumeRefusal) -> Self {
        match reason {
            ConsumeRefusal::Malformed => Self::NotACode,
            ConsumeRefusal::ExpiredCode => Self::ExpiredCode,
            ConsumeRefusal::RightCodeTooLate => Self::RightCodeTooLate,
            ConsumeRefusal::BudgetSpent => Self::CodesOff,
            _ => Self::WrongCode,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::CoolingDown => "wait",
            Self::NotACode => "form",
            Self::WrongCode => "wrong",
            Self::ExpiredCode => "expired",
            Self::RightCodeTooLate => "right",
            Self::CodesOff => "off",
            Self::SwitchNotConfirmed => "switch",
            Self::OtherTab => "tab",
        }
    }

    /// Returns the key of the text; the page has its own for a switch.
    pub(super) const fn text_key(self) -> Option<&'static str> {
        match self {
            Self::CoolingDown => Some("sent-error-wait"),
            Self::NotACode => Some("sent-error-form"),
            Self::WrongCode => Some("sent-error-code"),
            Self::ExpiredCode => Some("sent-error-expired"),
            Self::RightCodeTooLate => Some("sent-error-right-code"),
            Self::CodesOff => Some("sent-error-off"),
            Self::OtherTab => Some("sent-error-tab"),
            Self::SwitchNotConfirmed => None,
        }
    }
}

/// A refusal, and the text in the field then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) refusal: Refusal,
    pub(super) entered: String,
}

impl Entry {
    /// Returns the entry of a flow in the browser's cookie; none if the cookie is another flow's.
    pub(super) fn of_flow(context: &RequestContext, flow: &Flow) -> Option<Self> {
        Self::parse(context.entry.as_deref()?, flow.id)
    }

    fn parse(text: &str, flow: Uuid) -> Option<Self> {
        let mut parts = text.split('.');
        let own = parts.next()? == flow.simple().to_string();
        let name = parts.next()?;
        let refusal = Refusal::ALL.into_iter().find(|one| one.name() == name)?;
        let entered = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        let entered = String::from_utf8(entered).ok()?;
        own.then_some(Self { refusal, entered })
    }

    fn to_text(&self, flow: Uuid) -> String {
        let kept: String = (self.entered.char_indices())
            .take_while(|(at, c)| at + c.len_utf8() <= MAX_KEPT)
            .filter(|(_, c)| !c.is_control())
            .map(|(_, c)| c)
            .collect();
        let entered = URL_SAFE_NO_PAD.encode(kept);
        format!("{}.{}.{entered}", flow.simple(), self.refusal.name())
    }
}

/// Leads back to the waiting page, which says why.
pub(super) fn refuse(
    context: &RequestContext,
    flow: &Flow,
    refusal: Refusal,
    entered: &str,
) -> Response {
    let entry = Entry {
        refusal,
        entered: entered.to_owned(),
    };
    context.with_entry(see_other(&sent_path(flow)), &entry.to_text(flow.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn od_8_an_entry_comes_back_to_its_own_flow() {
        let (flow, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for refusal in Refusal::ALL {
            let entry = Entry {
                refusal,
                entered: "1234 5678é".to_owned(),
            };
            let text = entry.to_text(flow);
            assert!(
                text.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            );
            assert_eq!(Entry::parse(&text, flow), Some(entry));
            assert_eq!(Entry::parse(&text, other), None);
        }
        for text in ["", ".", "..", "x.wrong.", "0.wrong.!"] {
            assert_eq!(Entry::parse(text, flow), None, "{text}");
        }
    }

    #[test]
    fn od_8_a_long_entry_is_cut_at_a_character() {
        let entry = Entry {
            refusal: Refusal::NotACode,
            entered: "é".repeat(1000),
        };
        let parsed = Entry::parse(&entry.to_text(Uuid::nil()), Uuid::nil());
        assert_eq!(parsed.map(|entry| entry.entered.len()), Some(MAX_KEPT));
    }
}
