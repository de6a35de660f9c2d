//! What a sign-in method hands to sign-in completion: the evidence, and the circumstances under
//! which the user presented it. Plain values; the rules that judge them are in `authenticate`.

use crate::{
    audit::{Event, Kind},
    secret::{Hash, Plain},
    session::CurrentSession,
    user::{Address, Identity, UpstreamAccount},
    web::caller::Caller,
};

/// One attempt to sign in, after a sign-in method has checked its evidence.
#[derive(Clone, Copy, Debug)]
pub struct SignInAttempt<'a> {
    pub evidence: Evidence<'a>,
    /// The user asked to stay signed in on this browser.
    pub remembered: bool,
    /// The locale of emails that may follow.
    pub locale: &'a str,
    pub browser_state: BrowserState<'a>,
    pub caller: &'a Caller,
}

impl SignInAttempt<'_> {
    /// Returns an event with what the audit log records of every attempt.
    #[must_use]
    pub fn audit_event(&self, kind: Kind) -> Event {
        let mut event = Event::new(kind).caller(&self.caller.network, &self.caller.request_id);
        if let Some(key) = self.evidence.address_key() {
            event = event.address(key.as_bytes());
        }
        if let Some(provider) = self.evidence.provider() {
            event = event.provider(provider);
        }
        event
    }
}

/// The reason to believe that a user is who they say they are.
#[derive(Clone, Copy, Debug)]
pub enum Evidence<'a> {
    Email(EmailEvidence<'a>),
    Mailbox(MailboxEvidence<'a>),
    Identity(IdentityEvidence<'a>),
}

/// An address, verified by a secret in an email. A new user gets the pending account along with it
/// (LC-D); an existing user is asked first, elsewhere (LC-E).
#[derive(Clone, Copy, Debug)]
pub struct EmailEvidence<'a> {
    pub address: &'a Address,
    /// The key of the address in counters and in the audit log.
    pub address_key: &'a Hash,
    /// The account at a provider that waits for this verification. It is ignored if its provider is
    /// no longer trusted with it.
    pub pending_account: Option<&'a UpstreamAccount>,
}

/// An address from the provider that runs its mailbox. It creates a user and never joins an
/// existing one (ST-01).
#[derive(Clone, Copy, Debug)]
pub struct MailboxEvidence<'a> {
    pub address: &'a Address,
    /// The key of the address in counters and in the audit log.
    pub address_key: &'a Hash,
    pub account: &'a UpstreamAccount,
    /// The authentication methods that the provider reports, separated by spaces.
    pub amr: &'a str,
}

/// An account at a provider that is linked to a user (LC-A).
#[derive(Clone, Copy, Debug)]
pub struct IdentityEvidence<'a> {
    pub identity: &'a Identity,
    /// The account as the provider describes it now.
    pub account: &'a UpstreamAccount,
    /// Its address, with its key: the browser is known for it if the user has verified it.
    pub address: Option<(&'a Address, &'a Hash)>,
    /// The authentication methods that the provider reports, separated by spaces.
    pub amr: &'a str,
}

impl Evidence<'_> {
    #[must_use]
    pub const fn address_key(&self) -> Option<&Hash> {
        match self {
            Self::Email(EmailEvidence { address_key, .. })
            | Self::Mailbox(MailboxEvidence { address_key, .. }) => Some(address_key),
            Self::Identity(_) => None,
        }
    }

    /// Returns the id of the provider that vouches for the user, if one does.
    #[must_use]
    pub fn provider(&self) -> Option<&str> {
        match self {
            Self::Email(_) => None,
            Self::Mailbox(MailboxEvidence { account, .. })
            | Self::Identity(IdentityEvidence { account, .. }) => Some(&account.provider),
        }
    }
}

/// What the browser held when the user presented the evidence. An app has no more than a device secret.
#[derive(Clone, Copy, Debug, Default)]
pub struct BrowserState<'a> {
    /// The hash of the pre-login cookie.
    pub browser: Option<Hash>,
    /// The device cookie, or an app's device secret.
    pub device: Option<&'a Plain>,
    /// The session that the browser is signed in with.
    pub current: Option<&'a CurrentSession>,
}
