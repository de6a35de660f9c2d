//! The certificates of a connection to Redis over TLS (OB-4). Names are always verified.

use std::path::Path;

use ::redis::{ClientTlsConfig, TlsCertificates};

use crate::{config::Startup, error::InfraError};

/// Certificates in PEM. Without any, the system's authorities are trusted and none is shown.
#[derive(Clone, Default)]
pub struct StoreTls {
    /// The authorities that are trusted in place of the system's.
    authorities: Option<Vec<u8>>,
    /// What this service shows, and its private key.
    client: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for StoreTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreTls")
            .field("has_authorities", &self.authorities.is_some())
            .field("has_client", &self.client.is_some())
            .finish()
    }
}

impl StoreTls {
    /// Reads the files of `tickets.ca_file`, `tickets.client_cert_file` and `tickets.client_key_file`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(config: &Startup) -> Result<Self, InfraError> {
        let section = &config.tickets;
        let read = |file: &Option<std::path::PathBuf>, key: &str| {
            file.as_deref().map(|path| read(path, key)).transpose()
        };
        let authorities = read(&section.ca_file, "tickets.ca_file")?;
        let cert = read(&section.client_cert_file, "tickets.client_cert_file")?;
        let key = read(&section.client_key_file, "tickets.client_key_file")?;
        Ok(Self {
            authorities,
            client: cert.zip(key),
        })
    }

    /// What the library takes; nothing if only defaults count.
    pub(super) fn certificates(self) -> Option<TlsCertificates> {
        if self.authorities.is_none() && self.client.is_none() {
            return None;
        }
        let client_tls = self
            .client
            .map(|(client_cert, client_key)| ClientTlsConfig {
                client_cert,
                client_key,
            });
        Some(TlsCertificates {
            client_tls,
            root_cert: self.authorities,
        })
    }
}

fn read(path: &Path, key: &str) -> Result<Vec<u8>, InfraError> {
    std::fs::read(path).map_err(|error| InfraError::internal(format_args!("{key}: {error}")))
}
