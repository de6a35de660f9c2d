//! What follows when a provider has identified a user: the facts, the decision, and what it does,
//! in one unit of work.

use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};

use super::table::{Decision, Facts, Owner, decide};
use crate::{
    app::App,
    config::{Reloadable, SignUp},
    db::Tx,
    display_text,
    error::InfraError,
    federation::{
        error::{FederationError, RefusalCode},
        provider::{ProviderIdentity, Trust, is_still_authoritative},
    },
    login::{
        RequestContext,
        authenticate::{
            BrowserState, Evidence, IdentityEvidence, MailboxEvidence, SignInAttempt, SignInError,
            SignInRefusal,
        },
        finish::{SignedIn, finish_sign_in},
        pending_link::{LinkRequirement, PendingLink},
        provider_buttons::display_name,
    },
    telemetry::metrics,
    user::{self, Address, UpstreamAccount, UserState, identity},
    web::{caller::Caller, locale::Localizer},
};

/// The user whom a provider has identified, as the rest of the sign-in needs it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpstreamLogin {
    #[serde(rename = "arrived")]
    pub account: UpstreamAccount,
    /// The provider ran the mailbox of the address at that time, by the settings of that time.
    pub authoritative: bool,
    /// The authentication methods at the provider, separated by spaces.
    pub amr: String,
}

impl UpstreamLogin {
    /// Takes over what a provider has identified. `amr` values appear in our tokens: only plain
    /// words like those of RFC 8176 are kept, so that none reads like a name of ours
    /// (`urn:entree:…`).
    #[must_use]
    pub fn new(identity: ProviderIdentity) -> Self {
        let is_word = |word: &String| (1..=32).contains(&word.len()) && word.bytes().all(is_plain);
        let amr: Vec<String> = identity.amr.into_iter().filter(is_word).take(10).collect();
        Self {
            account: UpstreamAccount {
                provider: identity.provider,
                issuer: identity.issuer,
                subject: identity.subject,
                // Pages show it where a name would stand.
                email: identity.email.filter(|email| {
                    email.len() <= 1016 && !email.contains(display_text::is_hidden)
                }),
                name: identity
                    .name
                    .and_then(|name| display_text::cleaned(&name, user::MAX_NAME)),
            },
            authoritative: identity.trust == Trust::Authoritative,
            amr: amr.join(" "),
        }
    }

    #[must_use]
    pub fn from_pending(link: &PendingLink) -> Self {
        Self {
            account: link.account.clone(),
            authoritative: link.authoritative,
            amr: link.amr.clone(),
        }
    }

    #[must_use]
    pub fn to_pending(
        &self,
        requirement: LinkRequirement,
        app: &App,
        config: &Reloadable,
        localizer: &Localizer,
    ) -> PendingLink {
        PendingLink {
            account: self.account.clone(),
            authoritative: self.authoritative,
            amr: self.amr.clone(),
            provider_name: display_name(config, &self.account.provider, localizer),
            requirement,
            session: None,
            txn: None,
            client_id: None,
            waiting_since: app.clock().now(),
            returned_at: None,
            origin: None,
        }
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte)
}

/// The circumstances under which an upstream login is settled.
#[derive(Clone, Copy, Debug)]
pub struct LinkContext<'a> {
    /// The cookies and the session of the browser; empty for apps.
    pub browser_state: BrowserState<'a>,
    /// The user began this to connect the account to the session.
    pub connecting: bool,
    /// The user has agreed to leave the session of another user.
    pub switch: bool,
    /// The session shall outlive the browser.
    pub remembered: bool,
    /// The language of emails.
    pub locale: &'a str,
    pub caller: &'a Caller,
}

impl<'a> LinkContext<'a> {
    #[must_use]
    pub fn in_browser(context: &'a RequestContext) -> Self {
        Self {
            browser_state: context.browser_state(),
            connecting: false,
            switch: false,
            remembered: false,
            locale: &context.localizer.tag,
            caller: &context.caller,
        }
    }

    /// Returns the context of an app, which has no browser state with us.
    #[must_use]
    pub fn for_app(locale: &'a str, caller: &'a Caller) -> Self {
        Self {
            browser_state: BrowserState::default(),
            connecting: false,
            switch: false,
            remembered: true,
            locale,
            caller,
        }
    }
}

/// The result of settling an upstream login.
#[derive(Debug)]
pub enum LinkOutcome {
    SignedIn(Box<SignedIn>),
    /// The account is connected to the user of this session already.
    OwnAccount,
    Waits(LinkRequirement),
    Refused(FederationError),
}

impl From<Decision> for LinkOutcome {
    /// Returns the outcome of a decision after which no user is signed in.
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::ConfirmSwitch => Self::Waits(LinkRequirement::SwitchConsent),
            Decision::ConfirmLink => Self::Waits(LinkRequirement::LinkConsent),
            Decision::OwnAccount => Self::OwnAccount,
            Decision::Refuse(code) => Self::Refused(code.into()),
            Decision::VerifyEmail | Decision::SignIn | Decision::CreateUser => {
                Self::Waits(LinkRequirement::VerifiedEmail)
            }
        }
    }
}

/// Settles an upstream login in units of work of its own.
pub async fn settle(
    app: &App,
    login: &UpstreamLogin,
    context: LinkContext<'_>,
) -> Result<LinkOutcome, InfraError> {
    // The second attempt sees what another request did meanwhile: it created the link of the same
    // user (LK-09), or disconnected the account, which is then unknown.
    for _ in 0..2 {
        let tx = app.db.begin().await?;
        if let Some(outcome) = settle_in(app, &tx, login, context).await? {
            tx.commit().await?;
            return Ok(outcome);
        }
    }
    Ok(LinkOutcome::Waits(LinkRequirement::VerifiedEmail))
}

/// Settles an upstream login in a given unit of work. Returns `None` if another request claimed the
/// address or disconnected the account meanwhile: the caller then rolls back and may try again.
pub async fn settle_in(
    app: &App,
    tx: &Tx,
    login: &UpstreamLogin,
    context: LinkContext<'_>,
) -> Result<Option<LinkOutcome>, InfraError> {
    let config = app.config.get();
    // the provider may have been switched off since the callback.
    if identity::is_trusted_issuer(&config, &login.account).is_none() {
        return Ok(Some(LinkOutcome::Refused(
            RefusalCode::ProviderDisabled.into(),
        )));
    }
    let known = KnownLogin::load(tx.conn(), &config, login, context).await?;
    let (account, amr) = (&login.account, login.amr.as_str());
    match (decide(&known.facts), &known.identity, &known.address) {
        (Decision::SignIn, Some(identity), address) => {
            let key = address
                .as_ref()
                .map(|address| address.key(&app.macs.address));
            let evidence = Evidence::Identity(IdentityEvidence {
                identity,
                account,
                address: address.as_ref().zip(key.as_ref()),
                amr,
            });
            sign_in(tx, evidence, &config, context).await
        }
        (Decision::CreateUser, _, Some(address)) => {
            let evidence = Evidence::Mailbox(MailboxEvidence {
                address,
                address_key: &address.key(&app.macs.address),
                account,
                amr,
            });
            sign_in(tx, evidence, &config, context).await
        }
        (decision, ..) => Ok(Some(decision.into())),
    }
}

/// Returns what settling would decide now, and changes nothing.
pub async fn preview_decision(
    conn: &impl ConnectionTrait,
    config: &Reloadable,
    login: &UpstreamLogin,
    context: LinkContext<'_>,
) -> Result<Decision, InfraError> {
    let known = KnownLogin::load(conn, config, login, context).await?;
    Ok(decide(&known.facts))
}

/// What the database knows about an upstream login.
struct KnownLogin {
    facts: Facts,
    identity: Option<user::Identity>,
    address: Option<Address>,
}

impl KnownLogin {
    async fn load(
        conn: &impl ConnectionTrait,
        config: &Reloadable,
        login: &UpstreamLogin,
        context: LinkContext<'_>,
    ) -> Result<Self, InfraError> {
        let account = &login.account;
        let email = account.email.as_deref();
        let address =
            email.and_then(|email| Address::parse(email, config.magic_link.allow_eai).ok());
        let held = match &address {
            Some(address) => user::is_claimed(conn, address).await?,
            None => false,
        };
        // LK-09: read after the address. Where a concurrent first sign-in has claimed the address,
        // its link is visible, too.
        let identity = identity::find_linked(conn, &account.issuer, &account.subject).await?;
        let owner = match &identity {
            Some(identity) => user::find_by_id(conn, identity.user_id).await?,
            None => None,
        };
        // A stored statement about an address is worth no more than it would be now.
        let authoritative = login.authoritative
            && address.is_some()
            && identity::is_trusted_issuer(config, account)
                .zip(email)
                .is_some_and(|(provider, email)| is_still_authoritative(provider, email));
        let facts = Facts {
            connecting: context.connecting,
            owner: owner.map(|owner| Owner {
                user: owner.id,
                active: owner.state == UserState::Active,
            }),
            current: context.browser_state.current.map(|current| current.user.id),
            switch: context.switch,
            authoritative,
            held,
            sign_up: config.magic_link.sign_up == SignUp::Open,
        };
        Ok(Self {
            facts,
            identity,
            address,
        })
    }
}

async fn sign_in(
    tx: &Tx,
    evidence: Evidence<'_>,
    config: &Reloadable,
    context: LinkContext<'_>,
) -> Result<Option<LinkOutcome>, InfraError> {
    let provider = evidence.provider().unwrap_or_default().to_owned();
    let attempt = SignInAttempt {
        evidence,
        remembered: context.remembered,
        locale: context.locale,
        browser_state: context.browser_state,
        caller: context.caller,
    };
    let refusal = match finish_sign_in(tx, &attempt, config).await {
        Ok(signed_in) => {
            tx.on_commit(move || metrics::upstream_signed_in(&provider));
            return Ok(Some(LinkOutcome::SignedIn(Box::new(signed_in))));
        }
        Err(SignInError::Infra(error)) => return Err(error),
        Err(SignInError::Refused(refusal)) => refusal,
    };
    let code = match refusal {
        SignInRefusal::AddressClaimed | SignInRefusal::IdentityUnlinked => return Ok(None),
        SignInRefusal::SignUpClosed => RefusalCode::SignUpClosed,
        SignInRefusal::UserDisabled => RefusalCode::UserDisabled,
    };
    let error = FederationError::new(code, refusal.as_str());
    Ok(Some(LinkOutcome::Refused(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(email: &str, name: &str) -> UpstreamLogin {
        UpstreamLogin::new(ProviderIdentity {
            provider: "office".to_owned(),
            issuer: "https://op.example".to_owned(),
            subject: "7".to_owned(),
            email: Some(email.to_owned()),
            trust: Trust::None,
            name: Some(name.to_owned()),
            locale: None,
            amr: vec![],
        })
    }

    #[test]
    fn oc_6_an_address_with_hidden_characters_is_none_and_a_name_is_without_them() {
        let plain = login("ada@example.com", "Ada").account;
        assert_eq!(plain.email.as_deref(), Some("ada@example.com"));
        let hidden = login("ada\u{202e}@example.com", "A\u{202e}da").account;
        assert_eq!(hidden.email, None);
        assert_eq!(hidden.name.as_deref(), Some("Ada"));
    }
}
