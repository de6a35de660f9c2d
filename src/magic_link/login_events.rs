//! The event stream of a login: its states as they change, for a bounded number of streams.

use std::time::Duration;

use futures_util::{Stream, stream};
use poem_openapi::Object;
use uuid::Uuid;

use super::open_streams::StreamSlot;
use crate::{
    app::App,
    error::InfraError,
    login::flow::{self, Flow, FlowHolder},
};

/// How often a stream reads the state.
const POLL: Duration = Duration::from_secs(1);
/// The state of a login that waits.
const OPEN: &str = "open";

/// The state of a login.
#[derive(Clone, Debug, PartialEq, Eq, Object)]
pub struct LoginState {
    /// The id of the login.
    pub id: String,
    /// `open`, `consumed` or `ended`.
    pub state: String,
    /// Seconds until the login expires.
    pub expires_in: u64,
}

impl LoginState {
    /// Returns whether the login may still change.
    pub(super) fn is_open(&self) -> bool {
        self.state == OPEN
    }

    pub(super) fn of(app: &App, flow: &Flow) -> Self {
        let now = app.clock().now();
        Self {
            id: flow.id.to_string(),
            state: flow::state_name(flow, now).to_owned(),
            expires_in: flow.expires_at.since(now).as_secs(),
        }
    }
}

/// One login as its holder follows it.
pub(super) struct LoginStream {
    pub(super) app: App,
    pub(super) flow_id: Uuid,
    pub(super) holder: FlowHolder,
    /// Held while the stream is open; a login that has ended holds none.
    pub(super) slot: Option<StreamSlot>,
}

impl LoginStream {
    /// Streams the first state, then each that differs from the one before. The stream ends with the
    /// login, when another stream takes its place, or when the database is unavailable: clients of event streams
    /// connect again.
    pub(super) fn states(
        self,
        first: LoginState,
    ) -> impl Stream<Item = LoginState> + Send + 'static {
        stream::unfold(
            (self, None, Some(first)),
            |(login, last, first)| async move {
                let next = match first {
                    Some(first) => first,
                    None => login.next_state(last.as_deref()).await?,
                };
                let last = Some(next.state.clone());
                Some((next, (login, last, None)))
            },
        )
    }

    async fn next_state(&self, last: Option<&str>) -> Option<LoginState> {
        while last == Some(OPEN) {
            let slot = self.slot.as_ref()?;
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = slot.ended() => return None,
            }
            // The switch is read each time: a stream must not outlive it.
            if !self.app.config.get().api.v2_enabled {
                return None;
            }
            let state = self.read_state().await.ok().flatten()?;
            if Some(state.state.as_str()) != last {
                return Some(state);
            }
        }
        None
    }

    async fn read_state(&self) -> Result<Option<LoginState>, InfraError> {
        let flow = flow::find_held(self.app.db.read(), self.flow_id, &self.holder).await?;
        Ok(flow.map(|flow| LoginState::of(&self.app, &flow)))
    }
}
