//! What the error page of a listener is rendered from.

use std::{fmt, sync::Arc};

use poem::{Response, http::Uri};

use crate::web::{again::Repeatable, caller::Caller, error::ErrorResponse, look::PageLook};

/// Renders an error for people as a page.
pub type ErrorPage = Arc<dyn Fn(&ErrorResponse, &FailedRequest) -> Response + Send + Sync>;

/// What an error page knows of the request.
#[derive(Clone)]
pub struct FailedRequest {
    /// It may hold a token.
    pub uri: Uri,
    pub caller: Caller,
    /// How the pages of its sign-in look.
    pub look: PageLook,
    /// How the person sends it again.
    pub repeatable: Option<Repeatable>,
}

impl fmt::Debug for FailedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailedRequest")
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}
