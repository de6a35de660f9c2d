//! The state of a sign-in while the user is at the provider: what is stored, and who may bring the
//! provider's response.
//!
//! An [`UpstreamFlow`] is a sealed ticket under the SHA-256 of `state`, good for ten minutes (UP-03).
//! The callback claims it in one atomic step, and whatever follows, the flow is spent (CB-04).

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clock::Time,
    error::InfraError,
    federation::{
        error::{FederationError, RefusalCode},
        provider::RequestRecord,
        step::ReturnTo,
    },
    login::{RequestContext, pending},
    secret::Hash,
    ticket::{Claim, TicketKind, Tickets},
};

/// How long a user may stay at the provider.
pub const STATE_TTL: Duration = Duration::from_secs(600);

/// How long a flow, late or spent, still says which client's request it belongs to: as long as the
/// request waits (OC-8).
const RETENTION: Duration = pending::TTL;

/// Why the browser went to the provider (UP-03).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intent {
    /// To sign in, perhaps for the client's request behind `txn`.
    Login { txn: Option<String> },
    /// To connect the provider to the user who is signed in.
    Link,
    /// To sign in to a first-party app that draws its own form (ST-09).
    App(AppRequest),
}

impl Intent {
    /// Returns where the user goes from a refusal. An app has no page of ours to return to.
    #[must_use]
    pub fn return_to(&self, client_id: Option<&str>) -> ReturnTo {
        match self {
            Self::Login { txn } => ReturnTo::SignIn {
                txn: txn.clone(),
                client_id: client_id.map(str::to_owned),
            },
            Self::Link => ReturnTo::Account,
            Self::App(_) => ReturnTo::SIGN_IN,
        }
    }
}

/// The request with which an app began.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRequest {
    pub client_id: String,
    /// The provider's id in the configuration.
    pub provider: String,
    /// Where the code goes. It is verified now, and again when the code is sent.
    pub redirect_uri: String,
    /// ST-09: the PKCE challenge that takes the place of the cookie.
    pub challenge: String,
    /// The app's own `state`, which returns unchanged.
    pub state: Option<String>,
}

/// A sign-in for which a browser is at the provider.
#[derive(Clone, Serialize, Deserialize)]
pub struct UpstreamFlow {
    pub record: RequestRecord,
    pub intent: Intent,
    /// The client whose request continues after the sign-in.
    #[serde(default)]
    pub client_id: Option<String>,
    /// SHA-256 of the pre-login cookie; `None` for apps.
    pub browser: Option<Vec<u8>>,
    /// The session at the start, if any, and its user.
    pub session: Option<Uuid>,
    pub user: Option<Uuid>,
    #[serde(rename = "at")]
    pub started_at: Time,
}

impl UpstreamFlow {
    /// Returns the handle of the client's request that continues after the sign-in.
    #[must_use]
    pub fn txn(&self) -> Option<&str> {
        match &self.intent {
            Intent::Login { txn } => txn.as_deref(),
            Intent::Link | Intent::App(_) => None,
        }
    }

    /// Returns where the user goes from a refusal.
    #[must_use]
    pub fn return_to(&self) -> ReturnTo {
        self.intent.return_to(self.client_id.as_deref())
    }

    /// CB-05, CB-08: whether this callback may continue the flow.
    pub fn check(
        &self,
        provider: &str,
        context: &RequestContext,
        now: Time,
    ) -> Result<(), FederationError> {
        if now.since(self.started_at) > STATE_TTL {
            return Err(FederationError::new(
                RefusalCode::StateUnknown,
                "it is too old",
            ));
        }
        if self.record.provider != provider {
            return Err(RefusalCode::ProviderMismatch.into());
        }
        self.check_browser(context)?;
        self.check_session(context)
    }

    /// CB-05: the browser is the one that left for the provider. An app is identified later, by its
    /// verifier.
    fn check_browser(&self, context: &RequestContext) -> Result<(), FederationError> {
        if matches!(self.intent, Intent::App(_)) || self.is_of_browser(context) {
            Ok(())
        } else {
            Err(RefusalCode::BrowserMismatch.into())
        }
    }

    /// Returns whether this browser left for the provider; hashes compare in constant time.
    #[must_use]
    pub fn is_of_browser(&self, context: &RequestContext) -> bool {
        let bound = self.browser.as_deref().and_then(Hash::from_column);
        bound.is_some_and(|bound| context.requester().is_browser(bound))
    }

    /// CB-08: a provider is connected only in the session that began it.
    fn check_session(&self, context: &RequestContext) -> Result<(), FederationError> {
        if self.intent != Intent::Link {
            return Ok(());
        }
        let now = context
            .current
            .as_ref()
            .map(|current| (current.session.id, current.user.id));
        let then = self.session.zip(self.user);
        if now.is_some() && now == then {
            Ok(())
        } else {
            Err(RefusalCode::SessionChanged.into())
        }
    }
}

impl fmt::Debug for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login { .. } => f.debug_struct("Login").finish_non_exhaustive(),
            Self::Link => f.write_str("Link"),
            Self::App(request) => f.debug_tuple("App").field(request).finish(),
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

impl fmt::Debug for UpstreamFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamFlow")
            .field("record", &self.record)
            .field("intent", &self.intent)
            .finish_non_exhaustive()
    }
}

fn handle_of(state: &str) -> Hash {
    Hash::of(state.as_bytes())
}

/// Stores a flow under a fresh `state`.
pub async fn store(
    tickets: &Tickets,
    state: &str,
    flow: &UpstreamFlow,
) -> Result<(), FederationError> {
    let value =
        serde_json::to_vec(flow).map_err(|error| store_down(&InfraError::internal(error)))?;
    match tickets
        .issue(TicketKind::Upstream, &handle_of(state), &value, RETENTION)
        .await
    {
        Ok(true) => Ok(()),
        Ok(false) => Err(FederationError::new(
            RefusalCode::StoreDown,
            "a fresh 256-bit state was taken",
        )),
        Err(error) => Err(store_down(&error)),
    }
}

/// Checks that a flow waits or waited under this `state`, and does not spend it. One that was spent still
/// says where its own browser goes (OC-8).
pub async fn check_known(tickets: &Tickets, state: &str) -> Result<(), FederationError> {
    match find_without_claim(tickets, state).await {
        Unclaimed::Used(Some(_)) => Ok(()),
        unclaimed => Err(unclaimed.into_error()),
    }
}

/// Returns what a request that may not claim the flow gets. A flow that is still live counts as used: the
/// request that may claim it is about to.
pub async fn find_without_claim(tickets: &Tickets, state: &str) -> Unclaimed {
    match tickets.peek(TicketKind::Upstream, &handle_of(state)).await {
        Ok(Some(flow)) => Unclaimed::Used(serde_json::from_slice(&flow).ok()),
        // No flow is live there: a claim spends nothing, and distinguishes a used state from an
        // unknown one.
        Ok(None) => match claim(tickets, state).await {
            Ok(flow) => Unclaimed::Used(Some(Box::new(flow))),
            Err(unclaimed) => unclaimed,
        },
        Err(error) => Unclaimed::Error(store_down(&error)),
    }
}

/// Why no flow was claimed.
#[derive(Debug)]
pub enum Unclaimed {
    /// This flow was claimed before, or another request may claim it.
    Used(Option<Box<UpstreamFlow>>),
    Error(FederationError),
}

impl Unclaimed {
    #[must_use]
    pub fn into_error(self) -> FederationError {
        match self {
            Self::Used(_) => RefusalCode::StateUsed.into(),
            Self::Error(error) => error,
        }
    }
}

/// CB-04: claims a flow in one atomic step. Its tombstone is the flow, which says where its own
/// browser goes from a second response (OC-8).
pub async fn claim(tickets: &Tickets, state: &str) -> Result<UpstreamFlow, Unclaimed> {
    let unavailable = |error| Unclaimed::Error(store_down(&error));
    let handle = handle_of(state);
    let live = tickets.peek(TicketKind::Upstream, &handle).await;
    let tombstone = live.map_err(unavailable)?.unwrap_or_default();
    let claim = tickets.claim(TicketKind::Upstream, &handle, &tombstone, RETENTION);
    match claim.await.map_err(unavailable)? {
        Claim::Fresh(value) => serde_json::from_slice(&value).map_err(|_| {
            let error = FederationError::new(RefusalCode::StateUnknown, "it cannot be read");
            Unclaimed::Error(error)
        }),
        Claim::Replayed(tombstone) => Err(Unclaimed::Used(serde_json::from_slice(&tombstone).ok())),
        Claim::Gone => Err(Unclaimed::Error(RefusalCode::StateUnknown.into())),
    }
}

/// Returns the failure of the ticket store as a refusal, with its cause for the log.
#[must_use]
pub fn store_down(error: &InfraError) -> FederationError {
    FederationError::new(RefusalCode::StoreDown, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_of_a_flow_contains_no_secret() {
        let app_request = AppRequest {
            client_id: "native".to_owned(),
            provider: "office".to_owned(),
            redirect_uri: "com.example.app:/callback".to_owned(),
            challenge: "a-challenge".to_owned(),
            state: Some("the-state".to_owned()),
        };
        let login = Intent::Login {
            txn: Some("a-handle".to_owned()),
        };
        let printed = format!("{:?} {login:?}", Intent::App(app_request));
        assert!(printed.contains("native"), "{printed}");
        for secret in ["a-challenge", "the-state", "a-handle"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}
