//! How the pages of a request look, once the endpoint knows whose sign-in they belong to.
//!
//! An endpoint fails by a value, and what renders its error page knows nothing of the sign-in. So
//! the layers put an empty [`PageLook`] into each request, the endpoint fills it in, and the error
//! page reads it (OC-3).

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use poem::Request;

use crate::web::{locale::Localizer, page::PageOptions};

/// The language and the options of the pages of one request. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct PageLook(Arc<ArcSwapOption<(Localizer, PageOptions)>>);

impl PageLook {
    /// Returns what the layers put into this request.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        request.data::<Self>().cloned().unwrap_or_default()
    }

    pub fn set(&self, localizer: &Localizer, options: PageOptions) {
        self.0.store(Some(Arc::new((localizer.clone(), options))));
    }

    /// Returns what was set last.
    #[must_use]
    pub fn get(&self) -> Option<(Localizer, PageOptions)> {
        self.0.load().as_deref().cloned()
    }
}
