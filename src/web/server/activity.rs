//! The activity of one connection, and how long it may be quiet.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::options::ServerOptions;

/// How often an idle connection compares its time with the time-out, which changes.
const RECHECK: Duration = Duration::from_secs(2);

#[derive(Clone, Copy)]
pub(super) struct Activity {
    /// Whether a request ever began.
    has_begun: bool,
    /// Requests whose response has not been sent whole.
    in_flight: usize,
    /// When the last activity was.
    last: Instant,
}

impl Activity {
    /// The activity of a connection that was just accepted.
    pub(super) fn new() -> Self {
        Self {
            has_begun: false,
            in_flight: 0,
            last: Instant::now(),
        }
    }

    /// Notes that a request begins.
    pub(super) fn begin(&mut self) {
        self.has_begun = true;
        self.in_flight = self.in_flight.saturating_add(1);
        self.last = Instant::now();
    }

    pub(super) const fn is_busy(&self) -> bool {
        self.in_flight > 0
    }

    /// Returns when the last activity was.
    pub(super) const fn last(&self) -> Instant {
        self.last
    }

    pub(super) fn quiet_for(&self) -> Duration {
        self.last.elapsed()
    }
}

/// How to close a connection that has been quiet for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// The connection is idle: the client is notified, and a request that begins meanwhile is
    /// served.
    Graceful,
    /// The client does not send or does not read: the connection is cut.
    Forced,
}

/// Waits until the connection has been quiet for too long. The idle time-out may change meanwhile.
pub(super) async fn until_quiet(
    activity: &mut watch::Receiver<Activity>,
    options: &ServerOptions,
    idle_timeout: impl Fn() -> Duration,
) -> Closing {
    loop {
        let now = *activity.borrow_and_update();
        let (limit, closing) = match now {
            Activity { in_flight: 1.., .. } => (options.busy_timeout, Closing::Forced),
            // This covers the first bytes, too, before it is known which HTTP they are.
            Activity {
                has_begun: false, ..
            } => (options.header_timeout, Closing::Forced),
            Activity {
                has_begun: true, ..
            } => (idle_timeout(), Closing::Graceful),
        };
        let left = limit.saturating_sub(now.quiet_for());
        match timeout(left.min(RECHECK), activity.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_sender_gone)) => std::future::pending().await,
            Err(_elapsed) if left > RECHECK => {}
            Err(_elapsed) => return closing,
        }
    }
}

/// Counts a request as in flight, from its header to the last byte of its response.
pub(super) struct ActivityGuard(Arc<watch::Sender<Activity>>);

impl ActivityGuard {
    pub(super) fn new(activity: Arc<watch::Sender<Activity>>) -> Self {
        activity.send_modify(Activity::begin);
        Self(activity)
    }

    /// Notes that a part of the response left: an event stream may go on while its client reads.
    pub(super) fn note_progress(&self) {
        self.0
            .send_modify(|activity| activity.last = Instant::now());
    }
}

impl Drop for ActivityGuard {
    fn drop(&mut self) {
        self.0.send_modify(|activity| {
            activity.in_flight = activity.in_flight.saturating_sub(1);
            activity.last = Instant::now();
        });
    }
}
