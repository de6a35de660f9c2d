//! TLS of the public listener: which certificate it shows, and how a renewed one takes its place.
//!
//! TLS 1.2 and 1.3 with the suites of ring alone: forward secret, authenticated ciphers (RFC 9325 §4.2). Files that have
//! changed are shown to the connections that come after; those that are open go on as they are. Files that cannot serve
//! are refused with a line in the log, and what was shown before stays.

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
        tls_certificate::{self, Files},
        watch::folder_watcher,
    },
    secret::Hash,
};

/// Files are looked at this often even if the system reports no change: some file systems never do.
const EVERY: Duration = Duration::from_secs(30);

/// Two files are not replaced at one instant: so long after the first sign they are read.
const QUIET: Duration = Duration::from_millis(300);

/// The certificate that is shown, and the files that it came from.
#[derive(Debug)]
pub struct Certificate {
    shown: ArcSwap<CertifiedKey>,
    files: Tls,
    /// What the files held when they were last read; None: they could not be read.
    seen: Mutex<Option<Hash>>,
    changed: Notify,
}

/// What reading the files again came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// They hold what they held when they were last read.
    Unchanged,
    /// Another certificate is shown from now on.
    Renewed,
    /// They cannot serve; the old certificate stays.
    Rejected(Problem),
}

impl Certificate {
    /// The certificate of these files. None: no file is configured.
    ///
    /// # Errors
    /// One of both is missing or unreadable, or they are no pair.
    pub fn open(files: &Tls) -> Result<Option<Arc<Self>>, Problem> {
        let Some(found) = tls_certificate::load(files)? else {
            return Ok(None);
        };
        let shown = ArcSwap::from_pointee(tls_certificate::parse(&found)?);
        let seen = Mutex::new(Some(fingerprint(&found)));
        Ok(Some(Arc::new(Self {
            shown,
            files: files.clone(),
            seen,
            changed: Notify::new(),
        })))
    }

    /// Has the files read again soon, from any thread. Only where [`watch`] runs.
    pub fn request_reload(&self) {
        self.changed.notify_one();
    }

    /// Reads the files again, and if they hold something else than the last time, shows that if it can be shown.
    pub fn read(&self) -> ReloadOutcome {
        let (found, pair) = match tls_certificate::load(&self.files) {
            Ok(Some(files)) => (Some(fingerprint(&files)), tls_certificate::parse(&files)),
            Ok(None) => return ReloadOutcome::Unchanged,
            Err(problem) => (None, Err(problem)),
        };
        if std::mem::replace(
            &mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner),
            found,
        ) == found
        {
            return ReloadOutcome::Unchanged;
        }
        match pair {
            Ok(pair) => {
                self.shown.store(Arc::new(pair));
                ReloadOutcome::Renewed
            }
            Err(problem) => ReloadOutcome::Rejected(problem),
        }
    }
}

fn fingerprint(files: &Files) -> Hash {
    // The first one's length keeps the two apart.
    let length = files.cert.len().to_be_bytes();
    Hash::of(&zeroize::Zeroizing::new(
        [&length[..], &files.cert, &files.key].concat(),
    ))
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.load_full())
    }
}

/// What turns connections into TLS connections: HTTP/2 if the client can (RFC 7301), else HTTP/1.1.
///
/// # Errors
/// Never with the suites that are built in.
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

/// Looks for renewed files until dropped.
#[derive(Debug)]
pub struct CertificateWatcher {
    task: tokio::task::JoinHandle<()>,
    _watchers: Vec<notify::RecommendedWatcher>,
}

impl Drop for CertificateWatcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Shows renewed files as they come, inside a tokio runtime. Their folders are watched rather than the files: what
/// renews certificates writes other files and renames them, or swaps links.
#[must_use]
pub fn watch(certificate: Arc<Certificate>) -> CertificateWatcher {
    let mut watchers = Vec::new();
    for file in [&certificate.files.cert_file, &certificate.files.key_file]
        .into_iter()
        .flatten()
    {
        let nudged = Arc::clone(&certificate);
        match folder_watcher(file, move || nudged.request_reload()) {
            Ok(watcher) => watchers.push(watcher),
            Err(error) => {
                tracing::warn!(%error, seconds = EVERY.as_secs(), "a certificate's folder cannot be watched; looking now and then");
            }
        }
    }
    CertificateWatcher {
        task: tokio::spawn(follow(certificate)),
        _watchers: watchers,
    }
}

async fn follow(certificate: Arc<Certificate>) {
    loop {
        let _ = timeout(EVERY, certificate.changed.notified()).await;
        sleep(QUIET).await;
        let reader = Arc::clone(&certificate);
        // Files are read off the runtime's threads: they may be on a slow disk.
        match tokio::task::spawn_blocking(move || reader.read()).await {
            Ok(ReloadOutcome::Unchanged) => {}
            Ok(ReloadOutcome::Renewed) => {
                tracing::info!("a renewed certificate is shown from now on")
            }
            Ok(ReloadOutcome::Rejected(problem)) => {
                tracing::error!(
                    key = problem.key,
                    "the new certificate is refused; the old one stays: {problem}"
                );
            }
            Err(_) => {
                return tracing::error!(
                    "renewed certificates are not looked for any more; restart to show them"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
