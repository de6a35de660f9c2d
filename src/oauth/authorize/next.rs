//! Decides what an authorization request needs next: a sign-in, consent, an error, or nothing more.
//!
//! A pure table over the request, the session and the time.

use super::request::{AuthorizationRequest, UNMET_ACR};
use crate::{
    clock::Time,
    display_text,
    oauth::error::{ErrorCode, OauthError},
    session::{self, AuthMethod, CurrentSession},
};

/// How long, in seconds, a sign-in for this request answers it, however small `max_age` is: it
/// takes a moment to return from the email or to read the consent page.
const RETURN_TIME: i64 = 60;

#[derive(Debug)]
pub(crate) enum NextStep<'a> {
    /// Nothing is missing: issue a code for this session.
    IssueCode(&'a CurrentSession),
    SignIn {
        /// The signed-in user must sign in again: the session alone is not enough.
        fresh: bool,
    },
    AskConsent,
    /// The client needs a name, and the user has none (OC-6).
    AskName,
    /// The request cannot be granted, or only with a page that it forbids.
    Refuse(OauthError),
}

/// Decides the next step. `prompt=login` and `max_age` demand a sign-in since the request was made
/// (PM-3, PM-4). `has_consent` says that the user has allowed the client all that it requests, or
/// need not be asked.
#[must_use]
pub(crate) fn next_step<'a>(
    request: &AuthorizationRequest<'_>,
    current: Option<&'a CurrentSession>,
    has_consent: bool,
    now: Time,
) -> NextStep<'a> {
    let prompt = request.params.prompt;
    let sign_in = |fresh| {
        if prompt.none {
            let description = "The user must sign in, and prompt=none forbids a page.";
            return NextStep::Refuse(OauthError::new(ErrorCode::LoginRequired, description));
        }
        NextStep::SignIn { fresh }
    };
    if current.is_some_and(|current| {
        is_for_request(request, current) && !is_hinted_user(request, current)
    }) {
        // The user has just signed in as another one: to ask again would change nothing.
        let description = "Another user signed in than the one that the request names.";
        return NextStep::Refuse(OauthError::new(ErrorCode::LoginRequired, description));
    }
    let Some(current) = current.filter(|current| is_sufficient(request, current, now)) else {
        // A user who may choose the account, or must be another one, is not asked to confirm the
        // current one.
        let is_same_user = current.is_some_and(|current| is_hinted_user(request, current));
        return sign_in(is_same_user && !prompt.select_account);
    };
    let acr = &current.session.acr;
    if !meets_acr(request, acr) {
        // A signed-in user can only sign in again by email.
        if meets_acr(request, AuthMethod::Email.acr()) {
            return sign_in(true);
        }
        return NextStep::Refuse(UNMET_ACR);
    }
    if prefers_email(request, acr) && !prompt.none {
        return sign_in(true);
    }
    match (has_consent && !prompt.consent, prompt.none) {
        (true, true) if lacks_name(request, current) => {
            let description = "The user must give a name, and prompt=none forbids a page.";
            NextStep::Refuse(OauthError::new(ErrorCode::InteractionRequired, description))
        }
        (true, false) if lacks_name(request, current) => NextStep::AskName,
        (true, _) => NextStep::IssueCode(current),
        (false, true) => {
            let description = "The user must allow this client, and prompt=none forbids a page.";
            NextStep::Refuse(OauthError::new(ErrorCode::ConsentRequired, description))
        }
        (false, false) => NextStep::AskConsent,
    }
}

/// Whether only a sign-in by email answers the request: it demands a fresh one, or an `acr` that a
/// provider does not reach (ST-12). The sign-in page offers no provider then.
#[must_use]
pub(crate) fn needs_email(request: &AuthorizationRequest<'_>) -> bool {
    demands_fresh_sign_in(request)
        || !meets_acr(request, session::UPSTREAM_ACR)
        || prefers_email(request, session::UPSTREAM_ACR)
}

/// Whether the sign-in was made for this request: the user has seen a page that named the client.
/// It satisfies `prompt=login` and `max_age=0`.
#[must_use]
pub(crate) fn is_for_request(request: &AuthorizationRequest<'_>, current: &CurrentSession) -> bool {
    let auth_time = current.session.auth_time;
    auth_time >= request.params.requested_at
        && request
            .params
            .stale_auth_time
            .is_none_or(|stale| auth_time > stale)
}

/// Whether the client needs a name and the user has none.
fn lacks_name(request: &AuthorizationRequest<'_>, current: &CurrentSession) -> bool {
    let name = current.user.name.as_deref().unwrap_or_default();
    request.client.require_name && !display_text::is_visible(name)
}

const fn demands_fresh_sign_in(request: &AuthorizationRequest<'_>) -> bool {
    request.params.prompt.login || request.params.max_age.is_some()
}

/// Whether the client prefers, by `acr_values`, a sign-in by email to one of this `acr`. A client
/// passes the challenge of a resource server on in them (RFC 9470 §4). A preference that no sign-in
/// reaches is ignored, and no preference fails a request.
fn prefers_email(request: &AuthorizationRequest<'_>, acr: &str) -> bool {
    let email = AuthMethod::Email.acr();
    let values = || request.params.acr_values.split_ascii_whitespace();
    let is_preferred = |acr: &str| values().any(|value| value == acr);
    !is_preferred(acr) && is_preferred(email) && meets_acr(request, email)
}

/// OIDC Core §5.5.1.1: whether a sign-in of this `acr` is one that the request demands.
fn meets_acr(request: &AuthorizationRequest<'_>, acr: &str) -> bool {
    let demanded = &request.params.acr;
    demanded.is_empty() || demanded.iter().any(|value| value == acr)
}

/// Whether this is the user that `id_token_hint` or `claims` names, if one is named (OIDC Core
/// §3.1.2.2).
fn is_hinted_user(request: &AuthorizationRequest<'_>, current: &CurrentSession) -> bool {
    let hinted = request.params.hinted_sub.as_ref();
    hinted.is_none_or(|sub| *sub == current.user.public_id.to_string())
}

/// Whether this session answers the request: it is the hinted user's (PM-7), and its sign-in is
/// fresh enough.
fn is_sufficient(request: &AuthorizationRequest<'_>, current: &CurrentSession, now: Time) -> bool {
    let (prompt, max_age) = (request.params.prompt, request.params.max_age);
    // A provider may have let the user pass by a session of its own: nothing fresh about that
    // (ST-12).
    if demands_fresh_sign_in(request) && session::is_from_upstream(&current.session) {
        return false;
    }
    if !is_hinted_user(request, current) {
        return false;
    }
    let age = now
        .seconds()
        .saturating_sub(current.session.auth_time.seconds());
    if is_for_request(request, current) {
        return max_age.is_none_or(|max| age <= max.max(RETURN_TIME));
    }
    !prompt.login && !prompt.select_account && max_age.is_none_or(|max| max > 0 && age <= max)
}

#[cfg(test)]
mod tests;
