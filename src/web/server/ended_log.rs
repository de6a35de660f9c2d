//! The log line of the requests that were ended to make space (OA-5, OC-12).

/// How many requests were ended with 503, and how many connections were closed on responses that
/// their client did not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    requests: usize,
    connections: usize,
}

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

    pub(super) const fn is_none(self) -> bool {
        self.requests == 0 && self.connections == 0
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            connections: self.connections + other.connections,
        }
    }

    /// Writes the line.
    pub(super) fn write(self) {
        let Self {
            requests,
            connections,
        } = self;
        tracing::warn!(
            requests,
            connections,
            reason = "request_space",
            "unfinished requests held all their space: the oldest of the network that held most were ended, with 503 or \
             by closing the connection of a client that did not read"
        );
    }
}
