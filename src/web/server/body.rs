//! Reading a request's body within its bounds.

use std::time::Duration;

use futures_util::StreamExt as _;
use poem::{Body, http::StatusCode};
use tokio::time::timeout;

use super::budget::{RequestEnded, RequestSpace};

/// How much space a body takes at once.
const STEP: usize = 4096;

/// The bounds of one body.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyBounds {
    /// The most bytes: 413.
    pub(super) bytes: usize,
    /// How long no part of it may arrive: 408.
    pub(super) pause: Duration,
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    Status(StatusCode),
    Ended,
}

impl From<RequestEnded> for BodyError {
    fn from(RequestEnded: RequestEnded) -> Self {
        Self::Ended
    }
}

/// Reads a body whole, counting its bytes: Content-Length is not trusted, and may be absent
/// (PO-04). Of a body that is too large some more is read, so that the client gets to reading the
/// response. Without a space it is read by the other bounds alone.
pub(super) async fn read_whole(
    body: Body,
    bounds: BodyBounds,
    space: Option<&RequestSpace>,
) -> Result<Vec<u8>, BodyError> {
    let mut stream = std::pin::pin!(body.into_bytes_stream());
    let (mut bytes, mut received) = (Vec::new(), 0_usize);
    loop {
        let next = timeout(bounds.pause, stream.next());
        let next = next
            .await
            .map_err(|_elapsed| BodyError::Status(StatusCode::REQUEST_TIMEOUT))?;
        let Some(chunk) = next else { break };
        let chunk = chunk.map_err(|_| BodyError::Status(StatusCode::BAD_REQUEST))?;
        received = received.saturating_add(chunk.len());
        if received <= bounds.bytes {
            if bytes.capacity() < received {
                let more = chunk.len().max(STEP);
                space.map_or(Ok(()), |space| space.hold_body(bytes.len() + more))?;
                bytes.reserve_exact(more);
            }
            bytes.extend_from_slice(&chunk);
        } else if received > bounds.bytes.saturating_mul(4) {
            break;
        }
    }
    if received > bounds.bytes {
        return Err(BodyError::Status(StatusCode::PAYLOAD_TOO_LARGE));
    }
    space.map_or(Ok(()), |space| space.hold_whole_body(bytes.capacity()))?;
    Ok(bytes)
}
