//! The body of a response, which holds what its request holds until the client has it.

use std::{pin::Pin, sync::Arc, task};

use hyper::body::{Body, Buf, Bytes, Frame, SizeHint};

use super::{activity::ActivityGuard, budget::RequestSpace};
use crate::web::shared::SharedBody;

/// A response body that holds its [`ActivityGuard`] until it has been sent. Hyper polls for a part
/// only once the client has read the parts before it.
pub(super) struct GuardedBody<B> {
    body: B,
    guard: ActivityGuard,
    space: Arc<RequestSpace>,
}

/// A part of a response. HTTP/2 keeps it, after the body has ended, until the client reads it.
pub(super) struct Part {
    bytes: Bytes,
    /// Held as long as the part.
    _space: Arc<RequestSpace>,
}

impl<B: Body> GuardedBody<B> {
    /// Charges the body of a response in place of the request.
    pub(super) fn respond(
        response: hyper::Response<B>,
        guard: ActivityGuard,
        space: Arc<RequestSpace>,
    ) -> hyper::Response<Self> {
        let is_shared = response.extensions().get::<SharedBody>().is_some();
        let bytes = response.body().size_hint().lower();
        space.respond(if is_shared { 0 } else { bytes });
        response.map(|body| Self { body, guard, space })
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for GuardedBody<B> {
    type Data = Part;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> task::Poll<Option<Result<Frame<Part>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, task::Poll::Ready(Some(Ok(_)))) {
            self.guard.note_progress();
        }
        let space = &self.space;
        let part = |bytes| Part {
            bytes,
            _space: Arc::clone(space),
        };
        frame.map_ok(|frame| frame.map_data(part))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Buf for Part {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}
