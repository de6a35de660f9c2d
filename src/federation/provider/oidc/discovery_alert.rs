//! The last refusal of a discovery document that needs an operator (DJ-07). For the audit log it is
//! handed out once, not each time that the document is read again; a document that names another
//! issuer stops new sign-ins until one that names the right issuer was read.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::federation::provider::error::{MetadataError, ProviderError};

#[derive(Debug, Default)]
pub(super) struct DiscoveryAlert(Mutex<AlertState>);

#[derive(Debug, Default)]
struct AlertState {
    error: Option<ProviderError>,
    is_taken: bool,
    /// Stays while the document cannot be read.
    other_issuer: Option<ProviderError>,
}

impl DiscoveryAlert {
    /// Records how reading the document ended.
    pub(super) fn record(&self, error: Option<&ProviderError>) {
        let mut state = self.state();
        match error {
            None => state.other_issuer = None,
            Some(ProviderError::Metadata(MetadataError::Issuer { .. })) => {
                state.other_issuer = error.cloned();
            }
            Some(_) => {}
        }
        let error = error.filter(|error| error.code().alerts());
        if state.error.as_ref() != error {
            state.error = error.cloned();
            state.is_taken = false;
        }
    }

    /// Returns why no sign-in may begin: the last document that was read names another issuer.
    pub(super) fn other_issuer(&self) -> Option<ProviderError> {
        self.state().other_issuer.clone()
    }

    /// Returns the refusal unless it was returned before.
    pub(super) fn take(&self) -> Option<ProviderError> {
        let mut state = self.state();
        if std::mem::replace(&mut state.is_taken, true) {
            None
        } else {
            state.error.clone()
        }
    }

    fn state(&self) -> MutexGuard<'_, AlertState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
