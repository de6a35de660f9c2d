//! TLS of the public listener: its certificate, and the reload of a renewed one.
//!
//! TLS 1.2 and 1.3 with the suites of ring alone: forward secret, authenticated ciphers (RFC 9325
//! §4.2). Files that have changed are used for new connections; open ones go on as they are. Files
//! that cannot be used are rejected with a line in the log, and the old certificate stays.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    config::{
        Problem, Tls,
        tls_certificate::{self, PemFiles},
        watch::{FolderWatch, watch_folder},
    },
    secret::Hash,
};

/// The files are read this often even if the operating system reports no change: some file systems
/// never do.
const POLL_INTERVAL: Duration = Duration::from_secs(30);

/// The files are read this long after the first notice: two files are not replaced at one instant.
const SETTLE_TIME: Duration = Duration::from_millis(300);

/// The certificate in use, and its files.
#[derive(Debug)]
pub struct Certificate {
    current: ArcSwap<CertifiedKey>,
    files: Tls,
    /// The hash of the files when they were last read; none if they could not be read.
    fingerprint: Mutex<Option<Hash>>,
    changed: Notify,
}

/// The outcome of reading the files again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    Unchanged,
    /// Another certificate is used from now on.
    Renewed,
    /// The files cannot be used; the old certificate stays.
    Rejected(Problem),
}

impl Certificate {
    /// Returns nothing if no file is configured.
    ///
    /// # Errors
    /// If one of both files is missing or unreadable, or they do not belong together.
    pub fn open(files: &Tls) -> Result<Option<Arc<Self>>, Problem> {
        let Some(contents) = tls_certificate::read_files(files)? else {
            return Ok(None);
        };
        let current = ArcSwap::from_pointee(tls_certificate::parse_certificate(&contents)?);
        let fingerprint = Mutex::new(Some(fingerprint(&contents)));
        Ok(Some(Arc::new(Self {
            current,
            files: files.clone(),
            fingerprint,
            changed: Notify::new(),
        })))
    }

    /// Has the files read again soon, where [`watch`] runs. From any thread.
    pub fn request_reload(&self) {
        self.changed.notify_one();
    }

    /// Reads the files again, and uses what they hold if it has changed.
    pub fn reload(&self) -> ReloadOutcome {
        let (fingerprint, parsed) = match tls_certificate::read_files(&self.files) {
            Ok(Some(files)) => (
                Some(fingerprint(&files)),
                tls_certificate::parse_certificate(&files),
            ),
            Ok(None) => return ReloadOutcome::Unchanged,
            Err(problem) => (None, Err(problem)),
        };
        let mut last = self
            .fingerprint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *last, fingerprint) == fingerprint {
            return ReloadOutcome::Unchanged;
        }
        drop(last);
        match parsed {
            Ok(certificate) => {
                self.current.store(Arc::new(certificate));
                ReloadOutcome::Renewed
            }
            Err(problem) => ReloadOutcome::Rejected(problem),
        }
    }
}

fn fingerprint(files: &PemFiles) -> Hash {
    // The length of the first file keeps the two apart.
    let length = files.cert.len().to_be_bytes();
    Hash::of(&zeroize::Zeroizing::new(
        [&length[..], &files.cert, &files.key].concat(),
    ))
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// Returns the acceptor of TLS connections: HTTP/2 if the client can (RFC 7301), else HTTP/1.1.
pub fn acceptor(certificate: &Arc<Certificate>) -> Result<TlsAcceptor, String> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| error.to_string())?;
    let resolver: Arc<dyn ResolvesServerCert> = Arc::<Certificate>::clone(certificate);
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = [&b"h2"[..], b"http/1.1"].map(<[u8]>::to_vec).to_vec();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Watches for renewed files until it is dropped.
#[derive(Debug)]
pub struct CertificateWatcher {
    task: tokio::task::JoinHandle<()>,
    _watchers: Vec<FolderWatch>,
}

impl Drop for CertificateWatcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Uses renewed files as they appear, inside a tokio runtime. Their folders are watched rather than
/// the files: tools that renew certificates write other files and rename them, or swap links.
#[must_use]
pub fn watch(certificate: Arc<Certificate>) -> CertificateWatcher {
    let mut watchers = Vec::new();
    for file in [&certificate.files.cert_file, &certificate.files.key_file]
        .into_iter()
        .flatten()
    {
        let reloaded = Arc::clone(&certificate);
        match watch_folder(file, move || reloaded.request_reload()) {
            Ok(watcher) => watchers.push(watcher),
            Err(error) => {
                tracing::warn!(%error, seconds = POLL_INTERVAL.as_secs(), "the folder of a certificate cannot be watched; it is polled instead");
            }
        }
    }
    CertificateWatcher {
        task: tokio::spawn(reload_on_change(certificate)),
        _watchers: watchers,
    }
}

async fn reload_on_change(certificate: Arc<Certificate>) {
    loop {
        let _ = timeout(POLL_INTERVAL, certificate.changed.notified()).await;
        sleep(SETTLE_TIME).await;
        let reader = Arc::clone(&certificate);
        // The disk may be slow: not on the threads of the runtime.
        match tokio::task::spawn_blocking(move || reader.reload()).await {
            Ok(ReloadOutcome::Unchanged) => {}
            Ok(ReloadOutcome::Renewed) => {
                tracing::info!("a renewed certificate is used from now on")
            }
            Ok(ReloadOutcome::Rejected(problem)) => {
                tracing::error!(
                    key = problem.key,
                    "the new certificate is refused; the old one stays: {problem}"
                );
            }
            Err(_) => {
                return tracing::error!(
                    "renewed certificates are not noticed any more; restart to use them"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
