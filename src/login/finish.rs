//! The one door: proof → user → session → audit. Every way in ends here.

use crate::{
    audit::{Event, Kind},
    config::{Config, SignUp},
    db::Tx,
    error::InfraError,
    login::{device, flow, provider},
    mail::outbox::{self, EmailKind},
    secret::{Hash, Plain},
    session::{self, AuthMethod, CurrentSession, NewSession, Session},
    user::{
        self, Address, Identity, ResolvedUser, UpstreamAccount, User, VerifiedBy,
        identity::{self, LinkResult},
    },
    web::caller::Caller,
};

/// What a way in has proven, and where.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// What is proven.
    pub of: Of<'a>,
    /// The person wants to stay signed in on this browser.
    pub remembered: bool,
    /// Language of a letter that may follow.
    pub locale: &'a str,
    /// What the browser holds; all none for apps.
    pub browser_state: BrowserState<'a>,
}

/// What is proven.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    /// An address, by a secret mailed to it. Whoever is new here gets the account at a provider that waits for this
    /// proof along with it (federation §8, case D); somebody who is known is asked first, elsewhere (case E).
    Mail {
        /// The address.
        address: &'a Address,
        /// Its key in counters.
        key: &'a Hash,
        /// The account that waits; passed over if its provider may not speak for it any more.
        link: Option<&'a UpstreamAccount>,
    },
    /// An address, by the provider that runs its mailbox: makes a user and never joins one (DESIGN §8, linking).
    Mailbox {
        /// The address.
        address: &'a Address,
        /// Its key in counters.
        key: &'a Hash,
        /// The account at the provider.
        link: &'a UpstreamAccount,
        /// How it was proven there.
        amr: &'a str,
    },
    /// An account at a provider that is connected to a user (case A).
    Link {
        /// The link.
        identity: &'a Identity,
        /// What the provider says now.
        arrived: &'a UpstreamAccount,
        /// How it was proven there.
        amr: &'a str,
    },
}

impl Of<'_> {
    const fn key(&self) -> Option<&Hash> {
        match self {
            Self::Mail { key, .. } | Self::Mailbox { key, .. } => Some(key),
            Self::Link { .. } => None,
        }
    }

    fn provider(&self) -> Option<&str> {
        match self {
            Self::Mail { .. } => None,
            Self::Mailbox { link: arrived, .. } | Self::Link { arrived, .. } => {
                Some(&arrived.provider)
            }
        }
    }
}

/// What the browser that proves holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct BrowserState<'a> {
    /// Hash of its pre-login cookie.
    pub browser: Option<Hash>,
    /// Its device cookie.
    pub device: Option<&'a Plain>,
    /// Who is signed in there.
    pub current: Option<&'a CurrentSession>,
}

/// How it ended.
#[derive(Debug)]
pub enum Finished {
    /// Signed in.
    SignedIn(Box<SignedIn>),
    /// Not this user, or nobody new: one generic refusal for people, a word for the trail.
    Refused(&'static str),
}

/// A sign-in: whom, and the cookies to set.
#[derive(Debug)]
pub struct SignedIn {
    /// The session.
    pub session: Session,
    /// Its user.
    pub user: User,
    /// The session cookie.
    pub sid: Plain,
    /// The pre-login cookie that replaces the old one (BS-04).
    pub pre: Plain,
    /// The device cookie: the old one, or a new one.
    pub device: Plain,
    /// The account at a provider that waited for this proof is settled.
    pub linked: bool,
}

/// Who it is, how they proved it, and whether an account that waited was connected.
type Found<'a> = Result<(User, AuthMethod<'a>, bool), &'static str>;

/// Signs in whoever has proven what `proof` says.
///
/// # Errors
/// The database's own.
pub async fn finish(
    tx: &Tx,
    proof: Proof<'_>,
    caller: &Caller,
    config: &Config,
) -> Result<Finished, InfraError> {
    let found = match proof.of {
        Of::Mail { .. } => by_mail(tx, proof, caller, config).await?,
        Of::Mailbox { .. } => by_mailbox(tx, proof, caller, config).await?,
        Of::Link {
            identity,
            arrived,
            amr,
        } => by_link(tx, identity, arrived, amr).await?,
    };
    let (user, method, linked) = match found {
        Ok(found) => found,
        Err(reason) => return Ok(Finished::Refused(reason)),
    };
    let (session, sid) = begin(tx, &user, method, proof, caller, config).await?;
    let pre = Plain::generate();
    if let Some(old) = proof.browser_state.browser {
        flow::rebind(tx, old, pre.hash()).await?;
    }
    let device = proof
        .browser_state
        .device
        .cloned()
        .unwrap_or_else(Plain::generate);
    if let (Some(_), Some(key)) = (proof.browser_state.browser, proof.of.key()) {
        device::remember(tx, &device.hash(), key).await?;
    }
    event(Kind::SignedIn, caller, proof)
        .user(user.id)
        .session(session.id)
        .record(tx)
        .await?;
    Ok(Finished::SignedIn(Box::new(SignedIn {
        session,
        user,
        sid,
        pre,
        device,
        linked,
    })))
}

async fn by_mail<'a>(
    tx: &Tx,
    proof: Proof<'a>,
    caller: &Caller,
    config: &Config,
) -> Result<Found<'a>, InfraError> {
    let Of::Mail { address, link, .. } = proof.of else {
        return Ok(Err("not_mail"));
    };
    // The mail is proof enough. What a provider said is worth nothing once that is switched off.
    let link = link.filter(|arrived| provider::is_trusted_issuer(config, arrived).is_some());
    let may_create = config.magic_link.sign_up == SignUp::Open;
    Ok(
        match user::resolve(tx, address, VerifiedBy::Email, may_create).await? {
            ResolvedUser::Known(user) => Ok((user, AuthMethod::Email, false)),
            ResolvedUser::Created(mut user) => {
                event(Kind::UserCreated, caller, proof)
                    .user(user.id)
                    .record(tx)
                    .await?;
                let linked = match link {
                    Some(arrived) => connect(tx, &user, arrived, caller).await?.is_some(),
                    None => false,
                };
                let name = link
                    .filter(|_| linked)
                    .and_then(|arrived| arrived.name.as_deref());
                user::set_initial_profile(tx, &mut user, proof.locale, name).await?;
                if let Some(arrived) = link.filter(|_| linked) {
                    tell_connected(tx, address, arrived, proof.locale).await?;
                }
                Ok((user, AuthMethod::Email, linked))
            }
            ResolvedUser::Reclaimed(user) => {
                let mut user = reset_access(tx, user, address, proof.locale).await?;
                user::set_initial_profile(tx, &mut user, proof.locale, None).await?;
                event(Kind::AccessReset, caller, proof)
                    .user(user.id)
                    .record(tx)
                    .await?;
                Ok((user, AuthMethod::Email, false))
            }
            ResolvedUser::Refused => Err("user_disabled"),
            ResolvedUser::Closed => Err(CLOSED),
        },
    )
}

/// User, address and link in one unit of work, or nothing (case D without a mail, LK-02).
async fn by_mailbox<'a>(
    tx: &Tx,
    proof: Proof<'a>,
    caller: &Caller,
    config: &Config,
) -> Result<Found<'a>, InfraError> {
    let Of::Mailbox {
        address, link, amr, ..
    } = proof.of
    else {
        return Ok(Err("not_a_mailbox"));
    };
    if config.magic_link.sign_up == SignUp::Closed {
        return Ok(Err(CLOSED));
    }
    let Some(mut user) = user::create_verified(tx, address).await? else {
        return Ok(Err(HELD));
    };
    user::set_initial_profile(tx, &mut user, proof.locale, link.name.as_deref()).await?;
    event(Kind::UserCreated, caller, proof)
        .user(user.id)
        .record(tx)
        .await?;
    match connect(tx, &user, link, caller).await? {
        // No letter: the provider runs this mailbox, and whoever came has made the account by that one press.
        Some(identity) => Ok(Ok((
            user,
            AuthMethod::Upstream {
                identity: identity.id,
                amr,
            },
            true,
        ))),
        // Its link was made a moment ago, for somebody else: a user without it would be of no use to anybody.
        None => Err(InfraError::Conflict(
            "the account was connected in the meantime".to_owned(),
        )),
    }
}

/// Why a provider's word made no user: somebody has the address by now.
pub const HELD: &str = "address_held";

/// Why a proof made no user: nobody new is welcome.
pub const CLOSED: &str = "sign_up_closed";

/// Why a link signed nobody in: it was disconnected meanwhile.
pub const UNLINKED: &str = "identity_unlinked";

async fn by_link<'a>(
    tx: &Tx,
    identity: &Identity,
    arrived: &UpstreamAccount,
    amr: &'a str,
) -> Result<Found<'a>, InfraError> {
    let Some(user) = user::find_by_id(tx.conn(), identity.user_id).await? else {
        return Ok(Err("user_disabled"));
    };
    if user.state != user::UserState::Active {
        return Ok(Err("user_disabled"));
    }
    if !identity::record_use(tx, identity.id, arrived).await? {
        return Ok(Err(UNLINKED));
    }
    Ok(Ok((
        user,
        AuthMethod::Upstream {
            identity: identity.id,
            amr,
        },
        false,
    )))
}

/// Connects an account to a user, with its row in the trail; none if it is somebody else's.
///
/// # Errors
/// The database's own.
pub async fn connect(
    tx: &Tx,
    user: &User,
    arrived: &UpstreamAccount,
    caller: &Caller,
) -> Result<Option<Identity>, InfraError> {
    match identity::link(tx, user.id, arrived).await? {
        LinkResult::Linked(identity) => {
            let event = Event::new(Kind::IdentityLinked)
                .user(user.id)
                .provider(&arrived.provider);
            event
                .caller(&caller.network, &caller.request_id)
                .record(tx)
                .await?;
            Ok(Some(identity))
        }
        LinkResult::AlreadyLinked(identity) => Ok(Some(identity)),
        LinkResult::LinkedToOther => Ok(None),
    }
}

fn event(kind: Kind, caller: &Caller, proof: Proof<'_>) -> Event {
    let event = Event::new(kind).caller(&caller.network, &caller.request_id);
    let event = match proof.of.key() {
        Some(key) => event.address(key.as_bytes()),
        None => event,
    };
    match proof.of.provider() {
        Some(provider) => event.provider(provider),
        None => event,
    }
}

/// The same person again steps up in the same row; anybody else's session in this browser ends.
async fn begin(
    tx: &Tx,
    user: &User,
    method: AuthMethod<'_>,
    proof: Proof<'_>,
    caller: &Caller,
    config: &Config,
) -> Result<(Session, Plain), InfraError> {
    if let Some(current) = proof.browser_state.current {
        if current.user.id == user.id && current.user.auth_epoch == user.auth_epoch {
            if let Some(secret) = session::step_up(tx, current.session.id, method).await? {
                let mut session = current.session.clone();
                (session.auth_time, session.last_seen_at) = (tx.now, tx.now);
                return Ok((session, secret));
            }
        } else {
            session::end(tx, current.user.id, current.session.id).await?;
        }
    }
    let start = NewSession {
        user,
        method,
        device: &caller.device,
        remembered: proof.remembered,
        browser: proof.browser_state.browser,
    };
    session::start(tx, start, &config.session).await
}

/// E2: nobody had proven this account; whatever was prepared in it ends now, and its owner is told. Where there was
/// nothing, as after `entree users create`, there is nothing to tell.
async fn reset_access(
    tx: &Tx,
    mut user: User,
    address: &Address,
    locale: &str,
) -> Result<User, InfraError> {
    user.auth_epoch = user::bump_epoch(tx, user.id).await?;
    let ended = identity::unlink_all(tx, user.id).await? + session::end_all(tx, user.id).await?;
    if ended > 0 {
        tell(
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

/// LK-07: whoever has the mailbox learns which account at a provider signs in here, from the first day on.
async fn tell_connected(
    tx: &Tx,
    address: &Address,
    arrived: &UpstreamAccount,
    locale: &str,
) -> Result<(), InfraError> {
    let about = Some(arrived.provider.clone());
    tell(
        tx,
        EmailKind::ProviderConnected,
        address.canonical(),
        locale,
        about,
    )
    .await
}

/// Queues a letter that tells somebody what happened to their account.
///
/// # Errors
/// The database's own.
pub async fn tell(
    tx: &Tx,
    kind: EmailKind,
    to: &str,
    locale: &str,
    about: Option<String>,
) -> Result<(), InfraError> {
    let letter = outbox::New {
        kind,
        flow_id: None,
        canonical: to.to_owned(),
        locale: locale.to_owned(),
        due_at: tx.now,
        give_up_at: tx.now + std::time::Duration::from_secs(86_400),
        about,
        withheld: false,
    };
    outbox::enqueue(tx, letter).await
}
