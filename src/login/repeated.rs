//! The secrets of a session and of a sign-in whose form or link the user may use twice (B7, ST-04).

use poem::Response;
use uuid::Uuid;

use super::{
    context::{PRE_LOGIN_TTL, RequestContext},
    device,
    finish::SignedIn,
    flow::{self, Flow},
};
use crate::{
    app::App,
    db::Tx,
    error::InfraError,
    secret::{Hash, Mac, Plain},
    session::{self, CurrentSession},
    web::cookie::CookieKind,
};

/// The cookies that a browser gets by an answer, however often it gives it: browsers show the last
/// response alone, and the first one may not have reached them.
#[derive(Debug)]
pub struct RepeatableSecrets {
    /// The session cookie.
    pub sid: Plain,
    /// The pre-login cookie.
    pub pre: Plain,
}

impl RepeatableSecrets {
    /// Returns the secrets that follow from those that the browser has, and from the question: no
    /// other browser gets them.
    #[must_use]
    pub fn new(mac: &Mac, question: &Hash, sid: &Hash, pre: &Hash) -> Self {
        let derive = |purpose: &[u8]| {
            let parts: [&[u8]; 4] = [purpose, question.as_bytes(), sid.as_bytes(), pre.as_bytes()];
            mac.secret(&parts)
        };
        Self {
            sid: derive(b"answered sid"),
            pre: derive(b"answered pre"),
        }
    }

    /// Gives them to a sign-in of the same unit of work, in place of its own.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn give_to(&self, tx: &Tx, signed_in: &mut SignedIn) -> Result<(), InfraError> {
        flow::rebind(tx, signed_in.pre.hash(), self.pre.hash()).await?;
        if !session::rotate(tx, signed_in.session.id, &self.sid).await? {
            return Err(InfraError::internal("a session ended as it began"));
        }
        signed_in.sid = self.sid.clone();
        signed_in.pre = self.pre.clone();
        Ok(())
    }
}

/// B7: gives the holder of a consumed flow its session with another secret. Every repetition gets the
/// same secret: of three clicks whose responses arrive in any order, each leaves cookies that work.
/// Returns none if the session has ended.
pub async fn sign_in_again(
    tx: &Tx,
    flow: &Flow,
    current: CurrentSession,
    sent_device: Option<&Plain>,
    mac: &Mac,
) -> Result<Option<SignedIn>, InfraError> {
    let id = current.session.id;
    let derive = |purpose: &[u8]| {
        // A step-up between two clicks gives other secrets: those from before it are void (BS-04).
        let since = current.session.auth_time.0.to_be_bytes();
        mac.secret(&[purpose, flow.id.as_bytes(), id.as_bytes(), &since])
    };
    let (pre, sid) = (derive(b"pre"), derive(b"sid"));
    // The flow's row is written before the session's, as where the flow is claimed: in the other order two
    // clicks at once would wait for each other.
    flow::record_session(tx, flow.id, id, Some(pre.hash())).await?;
    let before = flow.consumed_browser_hash.as_deref();
    if let Some(before) = before.and_then(Hash::from_column) {
        flow::rebind(tx, before, pre.hash()).await?;
    }
    if !session::renew_secret(tx, id, &sid).await? {
        return Ok(None);
    }
    let key = flow::address_key(flow)?;
    let device = match sent_device {
        Some(sent) if !device::has_ended(tx, &sent.hash(), &key).await? => sent.clone(),
        _ => derive(b"device"),
    };
    device::remember(tx, &device.hash(), &key, current.user.id).await?;
    Ok(Some(SignedIn {
        session: current.session,
        user: current.user,
        sid,
        pre,
        device,
        linked: false,
    }))
}

impl RequestContext {
    /// Returns the secret that the session gets once this browser has answered the question
    /// `question`. It is made of the secret that the browser has, so that a repeated answer gets the
    /// same one, and no other browser does (ST-04). Returns none without a session cookie.
    #[must_use]
    pub fn next_session_secret(&self, app: &App, session: Uuid, question: &[u8]) -> Option<Plain> {
        let sid = self.sid.as_ref()?;
        let parts = [b"next sid", question, session.as_bytes(), sid.as_bytes()];
        Some(app.macs.repeats.secret(&parts))
    }

    /// Returns the secrets that this browser gets once it has left its session by an answer to the
    /// question under `handle`; none without a session cookie.
    #[must_use]
    pub fn secrets_after(&self, app: &App, handle: &Plain) -> Option<RepeatableSecrets> {
        let (sid, pre) = (self.sid.as_ref()?, self.pre.hash());
        let mac = &app.macs.repeats;
        Some(RepeatableSecrets::new(mac, &handle.hash(), sid, &pre))
    }

    /// Returns the live session of the browser's cookie as it is now.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn reload_session(&self, app: &App) -> Result<Option<CurrentSession>, InfraError> {
        let Some(sid) = &self.sid else {
            return Ok(None);
        };
        let (now, limits) = (app.clock().now(), &self.config.session);
        session::find_by_cookie(app.db.lookup(), sid, now, limits).await
    }

    /// Adds the fresh session cookie of a session that the browser already has.
    #[must_use]
    pub fn with_rotated_session(
        &self,
        mut response: Response,
        sid: &Plain,
        remembered: bool,
    ) -> Response {
        let ttl = self.session_cookie_ttl(remembered);
        self.set_cookie(&mut response, CookieKind::Sid, sid, ttl);
        response
    }

    /// Adds the cookies of a sign-in whose form came twice.
    #[must_use]
    pub fn with_repeated_sign_in(
        &self,
        response: Response,
        secrets: &RepeatableSecrets,
        remembered: bool,
    ) -> Response {
        let mut response = self.with_rotated_session(response, &secrets.sid, remembered);
        let ttl = Some(PRE_LOGIN_TTL);
        self.set_cookie(&mut response, CookieKind::Pre, &secrets.pre, ttl);
        response
    }
}
