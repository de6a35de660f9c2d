//! The event stream of a login: its states as they change, for a bounded number of streams.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{Stream, stream};
use poem_openapi::Object;
use uuid::Uuid;

use crate::{
    app::App,
    error::InfraError,
    login::flow::{self, Flow, FlowHolder},
};

/// How often a stream reads the state.
const POLL: Duration = Duration::from_secs(1);
/// The most streams of this process. Each queries the database once a second.
const MAX_STREAMS: usize = 256;
const MAX_STREAMS_PER_LOGIN: usize = 4;
/// The most streams of one network, an IPv4 address or an IPv6 /64, so that a few callers do not take all.
const MAX_STREAMS_PER_NETWORK: usize = 16;

/// The open streams of this process: the login and the network of each.
static OPEN_STREAMS: Mutex<Vec<(Uuid, String)>> = Mutex::new(Vec::new());

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
    pub(super) fn of(app: &App, flow: &Flow) -> Self {
        let now = app.clock().now();
        Self {
            id: flow.id.to_string(),
            state: flow::state_name(flow, now).to_owned(),
            expires_in: flow.expires_at.since(now).as_secs(),
        }
    }
}

/// One open stream. It is released when the stream is dropped.
pub(super) struct StreamSlot {
    login: Uuid,
    network: String,
}

impl StreamSlot {
    /// Reserves a slot, or returns `None` if too many streams are open.
    pub(super) fn reserve(login: Uuid, network: &str) -> Option<Self> {
        let mut open = OPEN_STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
        let of_login = open.iter().filter(|stream| stream.0 == login).count();
        let of_network = open.iter().filter(|stream| stream.1 == network).count();
        if open.len() >= MAX_STREAMS
            || of_login >= MAX_STREAMS_PER_LOGIN
            || of_network >= MAX_STREAMS_PER_NETWORK
        {
            return None;
        }
        open.push((login, network.to_owned()));
        Some(Self {
            login,
            network: network.to_owned(),
        })
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut open = OPEN_STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
        let is_own = |stream: &(Uuid, String)| stream.0 == self.login && stream.1 == self.network;
        if let Some(at) = open.iter().position(is_own) {
            open.swap_remove(at);
        }
    }
}

/// One login as its holder follows it.
pub(super) struct LoginStream {
    pub(super) app: App,
    pub(super) flow_id: Uuid,
    pub(super) holder: FlowHolder,
    /// Held while the stream is open.
    pub(super) _slot: StreamSlot,
}

impl LoginStream {
    /// Streams the first state, then each that differs from the one before. The stream ends with the
    /// login, or when the database is unavailable: clients of event streams connect again.
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
        while last == Some("open") {
            tokio::time::sleep(POLL).await;
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
