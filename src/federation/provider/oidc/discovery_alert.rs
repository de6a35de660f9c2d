//! The last refusal of a discovery document that needs an operator, for the audit log (DJ-07). A
//! refusal is handed out once, not each time that the document is read again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::federation::provider::error::ProviderError;

#[derive(Debug, Default)]
pub(super) struct DiscoveryAlert(Mutex<AlertState>);

#[derive(Debug, Default)]
struct AlertState {
    error: Option<ProviderError>,
    is_taken: bool,
}

impl DiscoveryAlert {
    /// Records how reading the document ended.
    pub(super) fn record(&self, error: Option<&ProviderError>) {
        let error = error.filter(|error| error.code().alerts());
        let mut state = self.state();
        if state.error.as_ref() != error {
            *state = AlertState {
                error: error.cloned(),
                is_taken: false,
            };
        }
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
