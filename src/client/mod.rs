//! Applications that may ask for sign-ins: who they are and where answers may go.

pub mod redirect;

pub use redirect::VerifiedRedirect;

use crate::config::{Client, Config};

/// The client with this identifier.
#[must_use]
pub fn find<'a>(config: &'a Config, id: &str) -> Option<&'a Client> {
    config.clients.iter().find(|client| client.client_id == id)
}

/// Whether a browser origin may call the API for any client (CORS).
#[must_use]
pub fn origin_allowed(config: &Config, origin: &str) -> bool {
    config.clients.iter().any(|client| client.allowed_origins.iter().any(|allowed| allowed == origin))
}
