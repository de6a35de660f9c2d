//! What becomes of somebody who came back from a provider: the facts, the decision, and what it does, in one unit of
//! work.

use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};

use super::table::{Decision, Facts, Owner, decide};
use crate::{
    app::App,
    config::{Reloadable, SignUp},
    db::Tx,
    error::InfraError,
    federation::{
        error::{FederationError, RefusalCode},
        provider::is_still_authoritative,
        provider::{Identity, Trust},
    },
    login::{
        evidence::{BrowserState, Evidence, IdentityEvidence, MailboxEvidence, SignInAttempt},
        finish::{SignInError, SignInRefusal, SignedIn, finish_sign_in},
        pending_link::{LinkRequirement, PendingLink},
        provider_buttons,
    },
    telemetry::metrics,
    user::{self, Address, UpstreamAccount, UserState, identity},
    web::{caller::Caller, text::Localizer},
};

/// Who came back, as all that follows needs to know them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpstreamLogin {
    /// The account.
    pub arrived: UpstreamAccount,
    /// The provider ran the mailbox of its address when they came back: by the settings of then.
    pub authoritative: bool,
    /// How it was proven there, separated by blanks.
    pub amr: String,
}

impl UpstreamLogin {
    /// From what was identified. `amr` values stand in our tokens: only plain words of RFC 8176's kind are kept, so that
    /// none reads like a name of ours (`urn:entree:…`).
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        let plain = |word: &String| (1..=32).contains(&word.len()) && word.bytes().all(is_plain);
        let amr: Vec<String> = identity.amr.into_iter().filter(plain).take(10).collect();
        Self {
            arrived: UpstreamAccount {
                provider: identity.provider,
                issuer: identity.issuer,
                subject: identity.subject,
                email: identity.email.filter(|email| email.len() <= 1016),
                name: identity.name.map(|name| {
                    name.chars()
                        .filter(|c| !c.is_control())
                        .take(user::MAX_NAME)
                        .collect()
                }),
            },
            authoritative: identity.trust == Trust::Authoritative,
            amr: amr.join(" "),
        }
    }

    /// From a link that waited.
    #[must_use]
    pub fn again(link: &PendingLink) -> Self {
        Self {
            arrived: link.account.clone(),
            authoritative: link.authoritative,
            amr: link.amr.clone(),
        }
    }

    /// To wait for something.
    #[must_use]
    pub fn waiting(
        &self,
        wants: LinkRequirement,
        app: &App,
        config: &Reloadable,
        localizer: &Localizer,
    ) -> PendingLink {
        PendingLink {
            account: self.arrived.clone(),
            authoritative: self.authoritative,
            amr: self.amr.clone(),
            provider_name: provider_buttons::display_name(
                config,
                &self.arrived.provider,
                localizer,
            ),
            requirement: wants,
            session: None,
            txn: None,
            waiting_since: app.clock().now(),
            returned_at: None,
            origin: None,
        }
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte)
}

/// In which browser, or none, somebody came back.
#[derive(Clone, Copy, Debug)]
pub struct LinkContext<'a> {
    /// What the browser holds; all none for apps.
    pub browser_state: BrowserState<'a>,
    /// They set out to connect it to whoever is signed in.
    pub connecting: bool,
    /// They have agreed to leave somebody else's session.
    pub switch: bool,
    /// The session is to be long.
    pub remembered: bool,
    /// Language of letters.
    pub locale: &'a str,
    /// Network and request.
    pub caller: &'a Caller,
}

/// How it ended.
#[derive(Debug)]
pub enum LinkOutcome {
    /// Signed in.
    SignedIn(Box<SignedIn>),
    /// It is theirs already.
    Own,
    /// It waits for something.
    Waits(LinkRequirement),
    /// Refused, with a code for the audit log.
    Refused(FederationError),
}

/// Settles it.
///
/// # Errors
/// The database's own.
pub async fn settle(
    app: &App,
    came: &UpstreamLogin,
    at: LinkContext<'_>,
) -> Result<LinkOutcome, InfraError> {
    // Once more if another first sign-in of the same person was quicker: then their link is there (LK-09). Or if the
    // account was disconnected meanwhile: then it is a stranger's.
    for _ in 0..2 {
        let tx = app.db.begin().await?;
        if let Some(settled) = settle_in(app, &tx, came, at).await? {
            tx.commit().await?;
            return Ok(settled);
        }
    }
    Ok(LinkOutcome::Waits(LinkRequirement::VerifiedEmail))
}

/// What the database knows of somebody who came back.
#[derive(Debug)]
pub struct Known {
    /// The facts to decide by.
    pub facts: Facts,
    link: Option<user::Identity>,
    address: Option<Address>,
}

/// Gathers the facts.
///
/// # Errors
/// The database's own.
pub async fn known(
    conn: &impl ConnectionTrait,
    config: &Reloadable,
    came: &UpstreamLogin,
    at: LinkContext<'_>,
) -> Result<Known, InfraError> {
    let told = came.arrived.email.as_deref();
    let address = told.and_then(|email| Address::parse(email, config.magic_link.allow_eai).ok());
    let held = match &address {
        Some(address) => user::is_claimed(conn, address).await?,
        None => false,
    };
    // After the address: who finds it held by a first sign-in that was quicker finds that one's link, too (LK-09).
    let link = identity::find_linked(conn, &came.arrived.issuer, &came.arrived.subject).await?;
    let owner = match &link {
        Some(link) => user::find_by_id(conn, link.user_id).await?,
        None => None,
    };
    // Whatever it was worth when it came, it is worth no more than it would be now.
    let authoritative = came.authoritative
        && address.is_some()
        && identity::is_trusted_issuer(config, &came.arrived)
            .zip(told)
            .is_some_and(|(provider, told)| is_still_authoritative(provider, told));
    let facts = Facts {
        connecting: at.connecting,
        owner: owner.map(|owner| Owner {
            user: owner.id,
            active: owner.state == UserState::Active,
        }),
        current: at.browser_state.current.map(|current| current.user.id),
        switch: at.switch,
        authoritative,
        held,
        sign_up: config.magic_link.sign_up == SignUp::Open,
    };
    Ok(Known {
        facts,
        link,
        address,
    })
}

/// Settles it within a unit of work. None: somebody got the address, or the link was disconnected, meanwhile, and what
/// this unit of work did is to be forgotten.
///
/// # Errors
/// The database's own.
pub async fn settle_in(
    app: &App,
    tx: &Tx,
    came: &UpstreamLogin,
    at: LinkContext<'_>,
) -> Result<Option<LinkOutcome>, InfraError> {
    let config = app.config.get();
    // also of an answer that was taken before, and has waited since.
    if identity::is_trusted_issuer(&config, &came.arrived).is_none() {
        return Ok(Some(LinkOutcome::Refused(
            RefusalCode::ProviderDisabled.into(),
        )));
    }
    let known = known(tx.conn(), &config, came, at).await?;
    let (account, amr) = (&came.arrived, came.amr.as_str());
    match (decide(&known.facts), &known.link, &known.address) {
        (Decision::SignIn, Some(identity), _) => {
            let evidence = Evidence::Identity(IdentityEvidence {
                identity,
                account,
                amr,
            });
            enter(tx, evidence, &config, at).await
        }
        (Decision::Create, _, Some(address)) => {
            let key = address.key(&app.macs.address);
            let evidence = Evidence::Mailbox(MailboxEvidence {
                address,
                address_key: &key,
                account,
                amr,
            });
            enter(tx, evidence, &config, at).await
        }
        (decision, ..) => Ok(Some(without_entering(decision))),
    }
}

/// What a decision that signs nobody in comes to.
#[must_use]
pub fn without_entering(decision: Decision) -> LinkOutcome {
    match decision {
        Decision::AskFirst => LinkOutcome::Waits(LinkRequirement::SwitchConsent),
        Decision::Confirm => LinkOutcome::Waits(LinkRequirement::LinkConsent),
        Decision::Own => LinkOutcome::Own,
        Decision::Taken => LinkOutcome::Refused(RefusalCode::LinkTaken.into()),
        Decision::Disabled => LinkOutcome::Refused(RefusalCode::UserDisabled.into()),
        Decision::Closed => LinkOutcome::Refused(RefusalCode::SignUpClosed.into()),
        Decision::Prove | Decision::SignIn | Decision::Create => {
            LinkOutcome::Waits(LinkRequirement::VerifiedEmail)
        }
    }
}

async fn enter(
    tx: &Tx,
    evidence: Evidence<'_>,
    config: &Reloadable,
    at: LinkContext<'_>,
) -> Result<Option<LinkOutcome>, InfraError> {
    let provider = evidence.provider().unwrap_or_default().to_owned();
    let attempt = SignInAttempt {
        evidence,
        remembered: at.remembered,
        locale: at.locale,
        browser_state: at.browser_state,
        caller: at.caller,
    };
    let refusal = match finish_sign_in(tx, &attempt, config).await {
        Ok(signed_in) => {
            tx.on_commit(move || metrics::upstream_signed_in(&provider));
            return Ok(Some(LinkOutcome::SignedIn(Box::new(signed_in))));
        }
        Err(SignInError::Infra(error)) => return Err(error),
        Err(SignInError::Refused(refusal)) => refusal,
    };
    Ok(match refusal {
        SignInRefusal::AddressClaimed | SignInRefusal::IdentityUnlinked => None,
        SignInRefusal::SignUpClosed => Some(LinkOutcome::Refused(RefusalCode::SignUpClosed.into())),
        SignInRefusal::UserDisabled => Some(LinkOutcome::Refused(FederationError::new(
            RefusalCode::UserDisabled,
            refusal.as_str(),
        ))),
    })
}
