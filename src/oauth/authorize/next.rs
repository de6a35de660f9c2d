//! What an authorization request needs next: a sign-in, a refusal, or nothing more.

use super::request::{AuthorizeRequest, Prompt};
use crate::{
    clock::Time,
    oauth::error::{Code, OauthError},
    session::Current,
};

/// The next step.
#[derive(Debug)]
pub enum Next<'a> {
    /// Everything is there: issue a code for this session.
    Code(&'a Current),
    /// Somebody must sign in, or prove again who they are.
    SignIn {
        /// A session alone is not enough.
        fresh: bool,
    },
    /// No page may be shown, and one would be needed.
    Refuse(OauthError),
}

/// Decides. `prompt=login` and `max_age` ask for a proof since the request was made (PM-3, PM-4).
#[must_use]
pub fn next<'a>(asked: &AuthorizeRequest<'_>, current: Option<&'a Current>, now: Time) -> Next<'a> {
    let good = current.filter(|current| is_fresh_enough(asked, current, now));
    match (good, asked.stored.prompt) {
        (Some(current), _) => Next::Code(current),
        (None, Prompt::None) => {
            Next::Refuse(OauthError::new(Code::LoginRequired, "Somebody must sign in, and prompt=none forbids a page."))
        }
        (None, _) => Next::SignIn { fresh: current.is_some() },
    }
}

fn is_fresh_enough(asked: &AuthorizeRequest<'_>, current: &Current, now: Time) -> bool {
    let auth_time = current.session.auth_time;
    // A proof since the request was made satisfies every demand, also max_age=0.
    if auth_time >= asked.stored.asked_at {
        return true;
    }
    let young = asked.stored.max_age.is_none_or(|max| now.seconds().saturating_sub(auth_time.seconds()) <= max)
        && asked.stored.max_age != Some(0);
    asked.stored.prompt != Prompt::Login && young
}

#[cfg(test)]
mod tests;
