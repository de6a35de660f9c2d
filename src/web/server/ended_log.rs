//! The log line of the requests that were ended to make space (OA-5, OC-12).
//!
//! A flood ends thousands of requests, so that there is at most one line a second, with their number.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long ended requests are counted before they are logged.
const PAUSE: Duration = Duration::from_secs(1);

/// How many requests were ended with 503, and how many connections were closed on responses that
/// their client did not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    requests: usize,
    connections: usize,
}

/// Counts what was ended, and logs it once a second.
#[derive(Debug, Default)]
pub(super) struct EndedLog(Arc<Mutex<Ended>>);

impl Ended {
    pub(super) const fn requests(requests: usize) -> Self {
        Self {
            requests,
            connections: 0,
        }
    }

    pub(super) const fn connections(connections: usize) -> Self {
        Self {
            requests: 0,
            connections,
        }
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            connections: self.connections + other.connections,
        }
    }

    pub(super) const fn is_none(self) -> bool {
        self.requests == 0 && self.connections == 0
    }
}

impl EndedLog {
    /// Counts what was ended. The first of a second begins the line that counts the others, too.
    pub(super) fn note(&self, ended: Ended) {
        let lock = |counted: &Mutex<Ended>| {
            let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
            let before = *counted;
            *counted = before.with(ended);
            before
        };
        if lock(&self.0).is_none() {
            let counted = Arc::clone(&self.0);
            tokio::spawn(async move {
                tokio::time::sleep(PAUSE).await;
                write(std::mem::take(
                    &mut *counted.lock().unwrap_or_else(PoisonError::into_inner),
                ));
            });
        }
    }
}

fn write(
    Ended {
        requests,
        connections,
    }: Ended,
) {
    tracing::warn!(
        requests,
        connections,
        reason = "request_space",
        "unfinished requests held all their space: the oldest of the network that held most were ended, with 503 or \
         by closing the connection of a client that did not read"
    );
}
