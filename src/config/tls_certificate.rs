//! The TLS certificate of the public listener and its private key, read from two PEM files.
//!
//! It is read when the configuration is checked, at start, and whenever the files change. A problem
//! names the key of the configuration and never shows anything of the private key.

use std::path::{Path, PathBuf};

use rustls::{
    Error, InconsistentKeys,
    client::verify_server_name,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::ParsedCertificate,
    sign::CertifiedKey,
};

use super::{problem::Problem, settings::Tls};

const CERT: &str = "server.tls.cert_file";
const KEY: &str = "server.tls.key_file";

/// The content of both files.
pub(crate) struct PemFiles {
    pub(crate) cert: Vec<u8>,
    pub(crate) key: zeroize::Zeroizing<Vec<u8>>,
}

/// Returns the configured certificate. None: the listener has none.
///
/// # Errors
/// One of the files is missing or unreadable, or the key is not that of the certificate.
pub(super) fn load_certificate(tls: &Tls) -> Result<Option<CertifiedKey>, Problem> {
    read_files(tls)?
        .map(|files| parse_certificate(&files))
        .transpose()
}

/// Reads both files. An empty path, as the environment may hold, is none.
pub(crate) fn read_files(tls: &Tls) -> Result<Option<PemFiles>, Problem> {
    let path = |file: &Option<PathBuf>| file.clone().filter(|path| !path.as_os_str().is_empty());
    let missing = |key, other| {
        Problem::new(
            key,
            format!("is not set beside {other}"),
            "Set both keys, or neither.",
        )
    };
    let (cert, key) = match (path(&tls.cert_file), path(&tls.key_file)) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(missing(KEY, CERT)),
        (None, Some(_)) => return Err(missing(CERT, KEY)),
        (Some(cert), Some(key)) => (cert, key),
    };
    let read = |path: &Path, key| {
        std::fs::read(path).map_err(|error| {
            let what = format!("names a file that cannot be read ({error})");
            let hint = "Name a file that the user of the service may read. Relative paths begin at its working directory.";
            Problem::new(key, what, hint)
        })
    };
    Ok(Some(PemFiles {
        cert: read(&cert, CERT)?,
        key: read(&key, KEY)?.into(),
    }))
}

/// Parses both files and checks that they belong together.
pub(crate) fn parse_certificate(files: &PemFiles) -> Result<CertifiedKey, Problem> {
    let no_certificate = || {
        let hint = "Name a PEM file that begins with the certificate of the server, such as fullchain.pem.";
        Problem::new(CERT, "has no certificate that can be read", hint)
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&files.cert)
        .collect::<Result<_, _>>()
        .map_err(|_| no_certificate())?;
    chain
        .first()
        .and_then(|leaf| ParsedCertificate::try_from(leaf).ok())
        .ok_or_else(no_certificate)?;
    let no_key = || {
        let hint = "Name a PEM file with an unencrypted ECDSA key (P-256 or P-384), Ed25519 key, or RSA key of at least \
                    2048 bits.";
        Problem::new(KEY, "has no private key that can be used", hint)
    };
    let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|_| no_key())?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let hint = "Name the key for which the certificate was issued.";
            Problem::new(KEY, "is not the key of the certificate", hint)
        }
        _ => no_key(),
    })
}

/// Whether the certificate is for this host: a name, or an address without brackets (RFC 9525 §6).
pub(super) fn is_for_host(certificate: &CertifiedKey, host: &str) -> bool {
    let Ok(host) = ServerName::try_from(host) else {
        return false;
    };
    let leaf = certificate
        .end_entity_cert()
        .and_then(ParsedCertificate::try_from);
    leaf.and_then(|leaf| verify_server_name(&leaf, &host))
        .is_ok()
}

/// Whether users other than the owner and the group may read or change the file.
#[cfg(unix)]
pub(super) fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o006 != 0)
}

/// Where files have no modes, the access lists of the system decide.
#[cfg(not(unix))]
pub(super) fn is_open_to_others(_path: &Path) -> bool {
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use local_cert::Authority;

    use super::*;

    fn files(cert: &str, key: &str) -> PemFiles {
        PemFiles {
            cert: cert.as_bytes().to_vec(),
            key: key.as_bytes().to_vec().into(),
        }
    }

    fn refused_key(cert: &str, key: &str) -> String {
        parse_certificate(&files(cert, key)).unwrap_err().key
    }

    #[test]
    fn a_certificate_needs_its_own_key() {
        let authority = Authority::new().unwrap();
        let (pair, other) = (
            authority.issue(&["localhost"]).unwrap(),
            authority.issue(&["localhost"]).unwrap(),
        );
        assert_eq!(
            parse_certificate(&files(&pair.cert, &pair.key))
                .unwrap()
                .cert
                .len(),
            1
        );
        let chain = format!("{}{}", pair.cert, authority.pem());
        assert_eq!(
            parse_certificate(&files(&chain, &pair.key))
                .unwrap()
                .cert
                .len(),
            2,
            "intermediate certificates are sent, too"
        );
        assert_eq!(refused_key(&pair.cert, &other.key), KEY);
        assert_eq!(
            refused_key(&format!("{}{}", authority.pem(), pair.cert), &pair.key),
            KEY,
            "the certificate of the server comes first"
        );
        for (cert, key, expected) in [
            ("", pair.key.as_str(), CERT),
            (pair.key.as_str(), &pair.key, CERT),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                &pair.key,
                CERT,
            ),
            (&pair.cert[..pair.cert.len() / 2], &pair.key, CERT),
            (&pair.cert, "", KEY),
            (&pair.cert, &pair.cert, KEY),
            (&pair.cert, &pair.key[..pair.key.len() / 2], KEY),
        ] {
            assert_eq!(refused_key(cert, key), expected, "{cert:.30} {key:.30}");
        }
    }

    #[test]
    fn a_certificate_is_for_the_names_in_it() {
        let pair = Authority::new()
            .unwrap()
            .issue(&["id.example.com", "127.0.0.1", "::1"])
            .unwrap();
        let pair = parse_certificate(&files(&pair.cert, &pair.key)).unwrap();
        for host in ["id.example.com", "127.0.0.1", "::1"] {
            assert!(is_for_host(&pair, host), "{host}");
        }
        for host in ["example.com", "a.id.example.com", "127.0.0.2", ""] {
            assert!(!is_for_host(&pair, host), "{host}");
        }
    }
}
