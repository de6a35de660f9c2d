//! Bodies that all responses share.

use poem::Response;

/// Marks a response whose body is one for all requests, so that it takes no memory of its own
/// (OA-5).
#[derive(Clone, Copy, Debug)]
pub struct SharedBody;

impl SharedBody {
    #[must_use]
    pub fn mark(mut response: Response) -> Response {
        response.extensions_mut().insert(Self);
        response
    }
}
