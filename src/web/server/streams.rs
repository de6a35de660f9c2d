//! The requests of one HTTP/2 connection, all run in the task of that connection.
//!
//! A task for each request would let a client put as many tasks before those of others as it may have
//! streams. Some thousands of them overflow the queues of the runtime's workers, and what another thread
//! wakes, as each statement on SQLite does, then waits for all of them (OA-5).

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};

use futures_util::{
    StreamExt as _,
    future::{BoxFuture, poll_fn},
    stream::FuturesUnordered,
};
use hyper::rt::Executor;

/// Takes the futures of requests from the HTTP/2 library. Clones share them.
#[derive(Clone, Default)]
pub(super) struct StreamExecutor {
    arrived: Arc<Mutex<Vec<BoxFuture<'static, ()>>>>,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, request: F) {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.push(Box::pin(request));
    }
}

/// Runs the requests of a connection.
#[derive(Default)]
pub(super) struct Streams {
    executor: StreamExecutor,
    running: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Streams {
    /// Returns what the HTTP/2 library runs the requests of this connection on.
    pub(super) fn executor(&self) -> StreamExecutor {
        self.executor.clone()
    }

    /// Runs the connection with its requests until it ends. Requests that have no response by then are
    /// dropped with `self`, as those of an HTTP/1.1 connection are with the connection.
    pub(super) async fn drive<C: Future>(&mut self, mut connection: Pin<&mut C>) -> C::Output {
        poll_fn(|context| {
            // First: it is the connection that brings requests.
            if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            let arrived = std::mem::take(
                &mut *self
                    .executor
                    .arrived
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner),
            );
            self.running.extend(arrived);
            while let Poll::Ready(Some(())) = self.running.poll_next_unpin(context) {}
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt as _;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn requests_run_with_their_connection_and_end_with_it() {
        let mut streams = Streams::default();
        let executor = streams.executor();
        let (started, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let go_on = Arc::new(Notify::new());
        for _ in 0..3 {
            let (started, go_on) = (Arc::clone(&started), Arc::clone(&go_on));
            executor.execute(async move {
                started.fetch_add(1, Ordering::SeqCst);
                go_on.notified().await;
                started.fetch_add(10, Ordering::SeqCst);
            });
        }
        let mut connection = Box::pin(ended.notified());
        let mut poll = || streams.drive(connection.as_mut()).now_or_never().is_some();
        assert!(!poll());
        assert_eq!(started.load(Ordering::SeqCst), 3, "all at the same time");
        go_on.notify_one();
        assert!(!poll());
        assert_eq!(started.load(Ordering::SeqCst), 13, "one went on");
        ended.notify_one();
        assert!(poll(), "the connection ended");
        drop(streams);
        assert_eq!(Arc::strong_count(&go_on), 1, "the others are gone");
    }
}
