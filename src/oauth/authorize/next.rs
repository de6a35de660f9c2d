//! What an authorization request needs next: a sign-in, consent, a refusal, or nothing more.

use super::request::{AuthorizeRequest, Prompt, UNMET};
use crate::{
    clock::Time,
    oauth::error::{Code, OauthError},
    session::{self, AuthMethod, CurrentSession},
};

/// The next step.
#[derive(Debug)]
pub enum Next<'a> {
    /// Everything is there: issue a code for this session.
    Code(&'a CurrentSession),
    /// Somebody must sign in, or prove again who they are.
    SignIn {
        /// Whoever is signed in must prove it again: a session alone is not enough.
        fresh: bool,
    },
    /// The person must allow it.
    Consent,
    /// No page may be shown, and one would be needed.
    Refuse(OauthError),
}

/// Decides. `prompt=login` and `max_age` ask for a proof since the request was made (PM-3, PM-4); `consented` says
/// whether the person has allowed this client all that it asks for, or need not be asked.
#[must_use]
pub fn next<'a>(
    asked: &AuthorizeRequest<'_>,
    current: Option<&'a CurrentSession>,
    consented: bool,
    now: Time,
) -> Next<'a> {
    let prompt = asked.stored.prompt;
    let sign_in = |fresh| match prompt.none {
        true => {
            let words = "Somebody must sign in, and prompt=none forbids a page.";
            Next::Refuse(OauthError::new(Code::LoginRequired, words))
        }
        false => Next::SignIn { fresh },
    };
    if current.is_some_and(|current| is_new(asked, current) && !is_meant(asked, current)) {
        // To ask once more would ask in vain: whoever sits there is somebody else.
        let words = "Somebody else signed in than the one whom the request names.";
        return Next::Refuse(OauthError::new(Code::LoginRequired, words));
    }
    let Some(current) = current.filter(|current| is_good(asked, current, now)) else {
        // Who may be anybody, or must be somebody else, is not told to prove it once more.
        let same = current.is_some_and(|current| is_meant(asked, current));
        return sign_in(same && !prompt.select_account);
    };
    if !is_strong(asked, &current.session.acr) {
        // A fresh proof is one by mail; nothing else can be had of somebody who is signed in.
        return if is_strong(asked, AuthMethod::Email.acr()) {
            sign_in(true)
        } else {
            Next::Refuse(UNMET)
        };
    }
    if wishes_mail(asked, &current.session.acr) && !prompt.none {
        return sign_in(true);
    }
    match (consented && !prompt.consent, prompt.none) {
        (true, _) => Next::Code(current),
        (false, true) => Next::Refuse(OauthError::new(
            Code::ConsentRequired,
            "The person must allow this client, and prompt=none forbids a page.",
        )),
        (false, false) => Next::Consent,
    }
}

/// Whether only a proof by mail answers the request: a fresh one is wanted, or a strength that a provider's word is not
/// (DESIGN §8, upstream and freshness). The sign-in page offers no provider then.
#[must_use]
pub fn wants_mail(asked: &AuthorizeRequest<'_>) -> bool {
    let fresh = asked.stored.prompt.login || asked.stored.max_age.is_some();
    fresh || !is_strong(asked, session::UPSTREAM_ACR) || wishes_mail(asked, session::UPSTREAM_ACR)
}

/// `acr_values`, which a resource server's challenge is passed on in (RFC 9470 §4): whether the client would rather have a
/// sign-in of another strength than this, and a proof by mail is one. A wish that nothing here fulfils is none, and no
/// wish fails a request.
fn wishes_mail(asked: &AuthorizeRequest<'_>, acr: &str) -> bool {
    let wished = |acr: &str| {
        asked
            .stored
            .acr_values
            .split_ascii_whitespace()
            .any(|value| value == acr)
    };
    let mail = AuthMethod::Email.acr();
    !wished(acr) && wished(mail) && is_strong(asked, mail)
}

/// OIDC Core §5.5.1.1: whether a sign-in of this strength is one that the request demands.
fn is_strong(asked: &AuthorizeRequest<'_>, acr: &str) -> bool {
    asked.stored.acr.is_empty() || asked.stored.acr.iter().any(|wanted| wanted == acr)
}

/// Whether it is the user whom `id_token_hint` or `claims` names, if one is named (OIDC Core §3.1.2.2).
fn is_meant(asked: &AuthorizeRequest<'_>, current: &CurrentSession) -> bool {
    asked
        .stored
        .hinted_sub
        .as_ref()
        .is_none_or(|sub| *sub == current.user.public_id.to_string())
}

/// Whether this session answers the request: the user that the hint names (PM-7), and a proof that is fresh enough.
fn is_good(asked: &AuthorizeRequest<'_>, current: &CurrentSession, now: Time) -> bool {
    let Prompt {
        login,
        select_account,
        ..
    } = asked.stored.prompt;
    // A provider may have let them pass by a session of its own: that proves nothing fresh (DESIGN §8).
    let wants_fresh = login || asked.stored.max_age.is_some();
    if wants_fresh && session::is_from_upstream(&current.session) {
        return false;
    }
    if !is_meant(asked, current) {
        return false;
    }
    let age = now
        .seconds()
        .saturating_sub(current.session.auth_time.seconds());
    if is_new(asked, current) {
        return asked
            .stored
            .max_age
            .is_none_or(|max| age <= max.max(ON_THE_WAY));
    }
    !login && !select_account && asked.stored.max_age.is_none_or(|max| max > 0 && age <= max)
}

/// For how long a proof that was given for this very request answers it, however young `max_age` wants one: it takes a
/// moment to come back from the mail, or to read the question for consent.
const ON_THE_WAY: i64 = 60;

/// Whether the proof was given since the request was made, and so for it: the person has seen a page that named its
/// client. It satisfies `prompt=login` and `max_age=0`.
#[must_use]
pub fn is_new(asked: &AuthorizeRequest<'_>, current: &CurrentSession) -> bool {
    let auth_time = current.session.auth_time;
    auth_time >= asked.stored.asked_at
        && asked
            .stored
            .proven_before
            .is_none_or(|before| auth_time > before)
}

#[cfg(test)]
mod tests;
