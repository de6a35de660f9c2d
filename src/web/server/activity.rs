//! The activity of one connection, and how long it may be quiet.

use std::{pin::Pin, sync::Arc, task};

use hyper::body::{Body, Frame, SizeHint};
use tokio::{sync::watch, time::timeout};

use super::options::ServerOptions;

#[derive(Clone, Copy, Default)]
pub(super) struct Activity {
    /// Whether a request ever began.
    has_begun: bool,
    /// Requests whose response has not been sent whole.
    in_flight: usize,
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

/// Waits until the connection has been quiet for too long.
pub(super) async fn quiet(
    activity: &mut watch::Receiver<Activity>,
    options: &ServerOptions,
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
            } => (options.idle_timeout, Closing::Graceful),
        };
        match timeout(limit, activity.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_sender_gone)) => std::future::pending().await,
            Err(_elapsed) => return closing,
        }
    }
}

/// Counts a request as in flight, from its header to the last byte of its response.
pub(super) struct ActivityGuard(Arc<watch::Sender<Activity>>);

impl ActivityGuard {
    pub(super) fn new(activity: Arc<watch::Sender<Activity>>) -> Self {
        activity.send_modify(|activity| {
            activity.has_begun = true;
            activity.in_flight = activity.in_flight.saturating_add(1);
        });
        Self(activity)
    }

    /// Notes that a part of the response left: an event stream may go on while its client reads.
    fn note_progress(&self) {
        self.0.send_modify(|_unchanged| {});
    }
}

impl Drop for ActivityGuard {
    fn drop(&mut self) {
        self.0.send_modify(|activity| {
            activity.in_flight = activity.in_flight.saturating_sub(1);
        });
    }
}

/// A response body that holds its [`ActivityGuard`] until it has been sent. Hyper polls for a part
/// only once the client has read the parts before it.
pub(super) struct GuardedBody<B> {
    pub(super) body: B,
    pub(super) guard: ActivityGuard,
}

impl<B: Body + Unpin> Body for GuardedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> task::Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, task::Poll::Ready(Some(Ok(_)))) {
            self.guard.note_progress();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
