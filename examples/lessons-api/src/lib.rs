//! Verification of Entree's access tokens by a resource server, offline, in small files to copy.
//!
//! [`issuer`] finds the provider's endpoints, [`keys`] keeps its published keys, [`verify`] holds the rules of a token,
//! [`proof`] those of a proof of possession, [`demand`] those of a route, and [`resource`] says where tokens come from.
//! No request of a caller causes one to Entree.

pub mod demand;
pub mod issuer;
pub mod keys;
pub mod proof;
pub mod resource;
pub mod verify;

/// Chooses the one TLS provider of this process. Call it first in `main`; a second call does nothing.
pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Starts logging to standard error, in colours only on a terminal that wants them (OD-17).
pub fn log_to_stderr() {
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let no_color = std::env::var_os("NO_COLOR").is_some();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(wants_colours(is_terminal, no_color))
        .init();
}

const fn wants_colours(is_terminal: bool, no_color: bool) -> bool {
    is_terminal && !no_color
}

/// Returns the seconds since 1970.
#[must_use]
#[allow(
    clippy::disallowed_methods,
    reason = "an example of its own: the ban protects the clock of the service"
)]
pub fn now() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn od_17_a_file_gets_no_colours() {
        assert!(!wants_colours(false, false));
        assert!(!wants_colours(true, true));
        assert!(wants_colours(true, false));
    }
}
