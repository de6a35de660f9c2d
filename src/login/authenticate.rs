//! Authentication: the evidence that a sign-in method hands over, and the user that it leads to.
//!
//! An email creates a user, finds one, or gives an account to its owner. A provider that runs the
//! mailbox creates a user and never joins one (ST-01). A linked account finds its user.

use super::{device, notify::notify};
use crate::{
    audit::{AuditReason, Event, Kind},
    config::{Reloadable, SignUp},
    db::Tx,
    error::InfraError,
    mail::outbox::EmailKind,
    secret::{Hash, Plain},
    session::{self, AuthMethod, CurrentSession},
    user::{
        self, Address, Identity, ResolvedUser, UpstreamAccount, User, VerifiedBy,
        identity::{self, LinkResult},
    },
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

/// The reason why evidence signs no user in. People see one generic refusal; the audit log gets the
/// code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInRefusal {
    /// The user is locked or deleted.
    UserDisabled,
    /// The evidence belongs to no user, and new users may not sign up.
    SignUpClosed,
    /// A provider asserted an address that a user has in the meantime.
    AddressClaimed,
    /// The identity was unlinked in the meantime.
    IdentityUnlinked,
}

impl SignInRefusal {
    /// Returns the reason code for the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserDisabled => "user_disabled",
            Self::SignUpClosed => "sign_up_closed",
            Self::AddressClaimed => "address_held",
            Self::IdentityUnlinked => "identity_unlinked",
        }
    }
}

impl AuditReason for SignInRefusal {
    fn word(self) -> &'static str {
        self.as_str()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    #[error("sign-in refused: {}", .0.as_str())]
    Refused(SignInRefusal),
    #[error(transparent)]
    Infra(#[from] InfraError),
}

impl From<SignInRefusal> for SignInError {
    fn from(refusal: SignInRefusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The user that the evidence leads to.
pub(super) struct Authenticated<'a> {
    pub user: User,
    pub method: AuthMethod<'a>,
    /// The pending account was linked along the way.
    pub linked: bool,
}

/// Returns the user that the evidence of `attempt` leads to.
pub(super) async fn authenticate<'a>(
    tx: &Tx,
    attempt: &SignInAttempt<'a>,
    config: &Reloadable,
) -> Result<Authenticated<'a>, SignInError> {
    match attempt.evidence {
        Evidence::Email(email) => authenticate_by_email(tx, attempt, email, config).await,
        Evidence::Mailbox(mailbox) => create_by_mailbox(tx, attempt, mailbox, config).await,
        Evidence::Identity(identity) => authenticate_by_identity(tx, identity).await,
    }
}

async fn authenticate_by_email<'a>(
    tx: &Tx,
    attempt: &SignInAttempt<'_>,
    email: EmailEvidence<'_>,
    config: &Reloadable,
) -> Result<Authenticated<'a>, SignInError> {
    let may_create = config.magic_link.sign_up == SignUp::Open;
    let resolved = user::resolve(tx, email.address, VerifiedBy::Email, may_create).await?;
    let (user, linked) = match resolved {
        ResolvedUser::Known(user) => (user, false),
        ResolvedUser::Created(user) => set_up_new_user(tx, attempt, email, user, config).await?,
        ResolvedUser::Reclaimed(user) => {
            let mut user = reset_access(tx, user, email.address, attempt.locale).await?;
            user::set_initial_profile(tx, &mut user, attempt.locale, None).await?;
            let event = attempt.audit_event(Kind::AccessReset).user(user.id);
            event.record(tx).await?;
            (user, false)
        }
        ResolvedUser::Disabled => return Err(SignInRefusal::UserDisabled.into()),
        ResolvedUser::SignUpClosed => return Err(SignInRefusal::SignUpClosed.into()),
    };
    Ok(Authenticated {
        user,
        method: AuthMethod::Email,
        linked,
    })
}

/// Records a new user, and links the pending account if its provider is still trusted with it. The
/// email alone is enough to sign in. Returns whether the account was linked.
async fn set_up_new_user(
    tx: &Tx,
    attempt: &SignInAttempt<'_>,
    email: EmailEvidence<'_>,
    mut user: User,
    config: &Reloadable,
) -> Result<(User, bool), InfraError> {
    let event = attempt.audit_event(Kind::UserCreated).user(user.id);
    event.record(tx).await?;
    let mut linked = None;
    if let Some(account) = email.pending_account
        && identity::is_trusted_issuer(config, account).is_some()
        && link_account(tx, &user, account, attempt.caller)
            .await?
            .is_some()
    {
        linked = Some(account);
    }
    let name = linked.and_then(|account| account.name.as_deref());
    user::set_initial_profile(tx, &mut user, attempt.locale, name).await?;
    if let Some(account) = linked {
        // LK-07: the owner of the mailbox learns which account signs them in from the first day on.
        let (to, provider) = (email.address.canonical(), Some(&*account.provider));
        notify(
            tx,
            EmailKind::ProviderConnected,
            to,
            attempt.locale,
            provider,
        )
        .await?;
    }
    Ok((user, linked.is_some()))
}

/// Creates user, address and identity in one transaction, or nothing (LC-D without an email,
/// LK-02).
async fn create_by_mailbox<'a>(
    tx: &Tx,
    attempt: &SignInAttempt<'_>,
    mailbox: MailboxEvidence<'a>,
    config: &Reloadable,
) -> Result<Authenticated<'a>, SignInError> {
    let account = mailbox.account;
    if config.magic_link.sign_up == SignUp::Closed {
        return Err(SignInRefusal::SignUpClosed.into());
    }
    let Some(mut user) = user::create_verified(tx, mailbox.address).await? else {
        return Err(SignInRefusal::AddressClaimed.into());
    };
    user::set_initial_profile(tx, &mut user, attempt.locale, account.name.as_deref()).await?;
    let event = attempt.audit_event(Kind::UserCreated).user(user.id);
    event.record(tx).await?;
    // No email is sent: the provider runs this mailbox, and the user chose it a moment ago.
    let Some(identity) = link_account(tx, &user, account, attempt.caller).await? else {
        // Another user linked the account a moment ago. A user without it would be of no use.
        let cause = "the account was linked in the meantime".to_owned();
        return Err(InfraError::Conflict(cause).into());
    };
    Ok(Authenticated {
        user,
        method: AuthMethod::Upstream {
            identity_id: identity.id,
            amr: mailbox.amr,
        },
        linked: true,
    })
}

async fn authenticate_by_identity<'a>(
    tx: &Tx,
    evidence: IdentityEvidence<'a>,
) -> Result<Authenticated<'a>, SignInError> {
    let identity = evidence.identity;
    let user = user::find_by_id(tx.conn(), identity.user_id).await?;
    let Some(user) = user.filter(|user| user.state == user::UserState::Active) else {
        return Err(SignInRefusal::UserDisabled.into());
    };
    if !identity::record_use(tx, identity.id, evidence.account).await? {
        return Err(SignInRefusal::IdentityUnlinked.into());
    }
    Ok(Authenticated {
        user,
        method: AuthMethod::Upstream {
            identity_id: identity.id,
            amr: evidence.amr,
        },
        linked: false,
    })
}

/// Links an account to a user and records it in the audit log. Returns none if the account belongs
/// to another user.
pub async fn link_account(
    tx: &Tx,
    user: &User,
    account: &UpstreamAccount,
    caller: &Caller,
) -> Result<Option<Identity>, InfraError> {
    match identity::link(tx, user.id, account).await? {
        LinkResult::Linked(identity) => {
            Event::new(Kind::IdentityLinked)
                .user(user.id)
                .provider(&account.provider)
                .caller(&caller.network, &caller.request_id)
                .record(tx)
                .await?;
            Ok(Some(identity))
        }
        LinkResult::AlreadyLinked(identity) => Ok(Some(identity)),
        LinkResult::LinkedToOther => Ok(None),
    }
}

/// E2: this is the first verification of the account, so everything that was prepared in it ends
/// now, and its owner is notified. After `entree users create` there is nothing to end and nothing
/// to notify of.
async fn reset_access(
    tx: &Tx,
    mut user: User,
    address: &Address,
    locale: &str,
) -> Result<User, InfraError> {
    user.auth_epoch = user::bump_epoch(tx, user.id).await?;
    let ended = identity::unlink_all(tx, user.id).await? + session::end_all(tx, user.id).await?;
    device::end_all(tx, user.id).await?;
    if ended > 0 {
        notify(
            tx,
            EmailKind::AccessReset,
            address.canonical(),
            locale,
            None,
        )
        .await?;
    }
    Ok(user)
}
