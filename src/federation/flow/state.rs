//! A sign-in that is under way at a provider: what is kept until its answer comes, and who may bring that.
//!
//! It lives in the ticket store alone, sealed, under SHA-256 of `state`, for ten minutes (UP-03). An answer claims it by
//! one atomic step; whatever follows, the flow is spent (CB-04).

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clock::Time,
    error::InfraError,
    federation::{
        error::{FederationError, RefusalCode},
        provider::RequestRecord,
    },
    login::RequestContext,
    secret::Hash,
    ticket::{Claim, Kind, Tickets},
};

/// How long a person may take at the provider, and how long a used state is told from an unknown one.
pub const KEPT: Duration = Duration::from_secs(600);

/// Why somebody set out (UP-03).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intent {
    /// To sign in.
    Login {
        /// The handle of the client's request that waits.
        txn: Option<String>,
    },
    /// To connect the provider to whoever is signed in.
    Link,
    /// To sign in to a first-party app that draws its own form.
    App(AppRequest),
}

/// What an app gave at the start.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRequest {
    /// The registered first-party client.
    pub client_id: String,
    /// The provider it began with.
    pub provider: String,
    /// Where the code goes: verified then, and once more when it goes.
    pub redirect_uri: String,
    /// The PKCE challenge that stands in place of the cookie (DESIGN §8, API flows).
    pub challenge: String,
    /// The app's own state, sent back as it came.
    pub state: Option<String>,
}

/// What is kept.
#[derive(Clone, Serialize, Deserialize)]
pub struct State {
    /// The provider's part.
    pub record: RequestRecord,
    /// Why.
    pub intent: Intent,
    /// SHA-256 of the pre-login cookie; none for apps.
    pub browser: Option<Vec<u8>>,
    /// The session that was there.
    pub session: Option<Uuid>,
    /// Its user.
    pub user: Option<Uuid>,
    /// When it began.
    pub at: Time,
}

impl State {
    /// The handle of the client's request that goes on after it.
    #[must_use]
    pub fn txn(&self) -> Option<&str> {
        match &self.intent {
            Intent::Login { txn } => txn.as_deref(),
            Intent::Link | Intent::App(_) => None,
        }
    }
}

impl fmt::Debug for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login { .. } => f.debug_struct("Login").finish_non_exhaustive(),
            Self::Link => f.write_str("Link"),
            Self::App(for_app) => f.debug_tuple("App").field(for_app).finish(),
        }
    }
}

impl fmt::Debug for AppRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppRequest")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("record", &self.record)
            .field("intent", &self.intent)
            .finish_non_exhaustive()
    }
}

fn handle(state: &str) -> Hash {
    Hash::of(state.as_bytes())
}

/// Keeps it, under a `state` that nobody has used.
///
/// # Errors
/// [`RefusalCode::StoreDown`]; then nothing was sent anywhere.
pub async fn keep(tickets: &Tickets, state: &str, kept: &State) -> Result<(), FederationError> {
    let value = serde_json::to_vec(kept).map_err(|error| down(&InfraError::internal(error)))?;
    match tickets
        .issue(Kind::Upstream, &handle(state), &value, KEPT)
        .await
    {
        Ok(true) => Ok(()),
        Ok(false) => Err(FederationError::new(
            RefusalCode::StoreDown,
            "a fresh 256-bit state was taken",
        )),
        Err(failure) => Err(down(&failure)),
    }
}

/// Whether a sign-in waits under this `state`; it stays.
///
/// # Errors
/// [`RefusalCode::StateUsed`], [`RefusalCode::StateUnknown`], [`RefusalCode::StoreDown`].
pub async fn waits(tickets: &Tickets, state: &str) -> Result<(), FederationError> {
    match tickets.peek(Kind::Upstream, &handle(state)).await {
        Ok(Some(_)) => Ok(()),
        // Nothing is live there: a claim spends nothing, and tells used from unknown.
        Ok(None) => claim(tickets, state).await.map(drop),
        Err(failure) => Err(down(&failure)),
    }
}

/// CB-04: one atomic step that leaves a tombstone.
///
/// # Errors
/// [`RefusalCode::StateUsed`], [`RefusalCode::StateUnknown`], [`RefusalCode::StoreDown`].
pub async fn claim(tickets: &Tickets, state: &str) -> Result<State, FederationError> {
    match tickets
        .claim(Kind::Upstream, &handle(state), b"used", KEPT)
        .await
    {
        Ok(Claim::Fresh(value)) => serde_json::from_slice(&value)
            .map_err(|_| FederationError::new(RefusalCode::StateUnknown, "it cannot be read")),
        Ok(Claim::Replayed(_)) => Err(RefusalCode::StateUsed.into()),
        Ok(Claim::Gone) => Err(RefusalCode::StateUnknown.into()),
        Err(failure) => Err(down(&failure)),
    }
}

/// CB-05: its age by our clock, the provider of the path, the browser that set out; hashes compare in constant time. An
/// app is known by the verifier that it brings later instead.
///
/// # Errors
/// [`RefusalCode::StateUnknown`], [`RefusalCode::ProviderMismatch`], [`RefusalCode::BrowserMismatch`].
pub fn check(
    state: &State,
    provider: &str,
    context: &RequestContext,
    now: Time,
) -> Result<(), FederationError> {
    if now.since(state.at) > KEPT {
        return Err(FederationError::new(
            RefusalCode::StateUnknown,
            "it is too old",
        ));
    }
    if state.record.provider != provider {
        return Err(RefusalCode::ProviderMismatch.into());
    }
    if matches!(state.intent, Intent::App(_)) {
        return Ok(());
    }
    let bound = state.browser.as_deref().and_then(Hash::from_column);
    let requester = context.requester();
    match bound {
        Some(bound) if requester.is_browser(bound) => Ok(()),
        _ => Err(RefusalCode::BrowserMismatch.into()),
    }
}

/// CB-08: who wants to connect something is still who set out to.
///
/// # Errors
/// [`RefusalCode::SessionChanged`].
pub fn check_session(state: &State, context: &RequestContext) -> Result<(), FederationError> {
    if state.intent != Intent::Link {
        return Ok(());
    }
    let now = context
        .current
        .as_ref()
        .map(|current| (current.session.id, current.user.id));
    let then = state.session.zip(state.user);
    if now.is_some() && now == then {
        Ok(())
    } else {
        Err(RefusalCode::SessionChanged.into())
    }
}

/// The store's failure as a refusal, with its cause for the log.
#[must_use]
pub fn down(failure: &InfraError) -> FederationError {
    FederationError::new(RefusalCode::StoreDown, failure.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_of_what_waits_is_printed() {
        let for_app = AppRequest {
            client_id: "native".to_owned(),
            provider: "office".to_owned(),
            redirect_uri: "com.example.app:/callback".to_owned(),
            challenge: "a-challenge".to_owned(),
            state: Some("the-state".to_owned()),
        };
        let login = Intent::Login {
            txn: Some("a-handle".to_owned()),
        };
        let printed = format!("{:?} {login:?}", Intent::App(for_app));
        assert!(printed.contains("native"), "{printed}");
        for secret in ["a-challenge", "the-state", "a-handle"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}
