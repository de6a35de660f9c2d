//! The one door: proof of an address → user → session → audit. Every way in ends here.

use crate::{
    audit::{Event, Kind},
    config::{Config, SignUp},
    db::Tx,
    login::{device, flow},
    mail::outbox::{self, LetterKind},
    secret::{Hash, Plain},
    session::{self, Current, Method, Session, Start},
    user::{self, Address, ProvenBy, Resolved, User},
    web::{caller::Caller, error::Failure},
};

/// What a way in has proven, and where.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// The address that is proven.
    pub address: &'a Address,
    /// Its key in counters.
    pub address_key: &'a Hash,
    /// By whom.
    pub by: ProvenBy,
    /// How, for `acr` and `amr`.
    pub method: Method,
    /// The person wants to stay signed in on this browser.
    pub remembered: bool,
    /// Language of a letter that may follow.
    pub locale: &'a str,
    /// What the browser holds; all none for apps.
    pub holds: Holds<'a>,
}

/// What the browser that proves holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holds<'a> {
    /// Hash of its pre-login cookie.
    pub browser: Option<Hash>,
    /// Its device cookie.
    pub device: Option<&'a Plain>,
    /// Who is signed in there.
    pub current: Option<&'a Current>,
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
}

/// Signs in whoever has proven `proof.address`.
///
/// # Errors
/// The database's own.
pub async fn finish(tx: &Tx, proof: Proof<'_>, caller: &Caller, config: &Config) -> Result<Finished, Failure> {
    let may_create = config.magic_link.sign_up == SignUp::Open;
    let (user, kind) = match user::resolve(tx, proof.address, proof.by, may_create).await? {
        Resolved::Known(user) => (user, None),
        Resolved::Created(user) => (user, Some(Kind::UserCreated)),
        Resolved::Reclaimed(user) => (reset_access(tx, user, proof).await?, Some(Kind::AccessReset)),
        Resolved::Refused => return Ok(Finished::Refused("user_disabled")),
        Resolved::Closed => return Ok(Finished::Refused("sign_up_closed")),
    };
    if let Some(kind) = kind {
        event(kind, caller, proof).user(user.id).record(tx).await?;
    }
    let (session, sid) = begin(tx, &user, proof, caller, config).await?;
    let pre = Plain::generate();
    if let Some(old) = proof.holds.browser {
        flow::rebind(tx, old, pre.hash()).await?;
    }
    let device = proof.holds.device.cloned().unwrap_or_else(Plain::generate);
    if proof.holds.browser.is_some() {
        device::remember(tx, &device.hash(), proof.address_key).await?;
    }
    event(Kind::SignedIn, caller, proof).user(user.id).session(session.id).record(tx).await?;
    Ok(Finished::SignedIn(Box::new(SignedIn { session, user, sid, pre, device })))
}

fn event(kind: Kind, caller: &Caller, proof: Proof<'_>) -> Event {
    Event::new(kind).address(proof.address_key.as_bytes()).caller(&caller.network, &caller.request_id)
}

/// The same person again steps up in the same row; anybody else's session in this browser ends.
async fn begin(
    tx: &Tx,
    user: &User,
    proof: Proof<'_>,
    caller: &Caller,
    config: &Config,
) -> Result<(Session, Plain), Failure> {
    if let Some(current) = proof.holds.current {
        if current.user.id == user.id && current.user.auth_epoch == user.auth_epoch {
            if let Some(secret) = session::step_up(tx, current.session.id, proof.method).await? {
                let mut session = current.session.clone();
                (session.auth_time, session.last_seen_at) = (tx.now, tx.now);
                return Ok((session, secret));
            }
        } else {
            session::end(tx, current.user.id, current.session.id).await?;
        }
    }
    let start = Start {
        user,
        method: proof.method,
        device: &caller.device,
        remembered: proof.remembered,
        browser: proof.holds.browser,
    };
    session::start(tx, start, &config.session).await
}

/// E2: nobody had proven this account; whatever was prepared in it ends now, and its owner is told.
async fn reset_access(tx: &Tx, mut user: User, proof: Proof<'_>) -> Result<User, Failure> {
    user.auth_epoch = user::bump_epoch(tx, user.id).await?;
    session::end_all(tx, user.id).await?;
    let letter = outbox::New {
        kind: LetterKind::AccessReset,
        flow_id: None,
        canonical: proof.address.canonical().to_owned(),
        locale: proof.locale.to_owned(),
        due_at: tx.now,
        give_up_at: tx.now + std::time::Duration::from_secs(86_400),
        withheld: false,
    };
    outbox::enqueue(tx, letter).await?;
    Ok(user)
}
