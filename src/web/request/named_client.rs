//! The registered client that a request names, for its line in the log.

use std::sync::{Arc, OnceLock};

use poem::Request;

/// The client, once an endpoint has found it. Clones share it. What a stranger makes up is not logged.
#[derive(Clone, Debug, Default)]
pub struct NamedClient(Arc<OnceLock<String>>);

impl NamedClient {
    /// Notes the registered client that a request names.
    pub fn note(request: &Request, client_id: &str) {
        if let Some(named) = request.data::<Self>() {
            let _ = named.0.set(client_id.to_owned());
        }
    }

    /// Returns its identifier.
    #[must_use]
    pub fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}
