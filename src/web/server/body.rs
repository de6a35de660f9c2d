//! Reading a request's body within its bounds.

use futures_util::StreamExt as _;
use poem::{Body, http::StatusCode};

/// Reads a body whole, counting its bytes: Content-Length is not trusted, and may be absent
/// (PO-04). Of a body that is too large some more is read, so that the client gets to reading the
/// response.
pub(super) async fn read_whole(body: Body, limit: usize) -> Result<Vec<u8>, StatusCode> {
    let mut stream = std::pin::pin!(body.into_bytes_stream());
    let (mut bytes, mut received) = (Vec::new(), 0_usize);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| StatusCode::BAD_REQUEST)?;
        received = received.saturating_add(chunk.len());
        if received <= limit {
            bytes.extend_from_slice(&chunk);
        } else if received > limit.saturating_mul(4) {
            break;
        }
    }
    if received > limit {
        Err(StatusCode::PAYLOAD_TOO_LARGE)
    } else {
        Ok(bytes)
    }
}
