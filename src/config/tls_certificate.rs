//! Certificate and private key of the public listener: taken together or not at all.
//!
//! Read when the configuration is checked, at start, and whenever the files change. What is refused is said with the
//! key of the configuration; nothing of the private key is ever shown.

use std::path::Path;

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

/// What stands in both files.
pub(crate) struct Files {
    pub(crate) cert: Vec<u8>,
    pub(crate) key: zeroize::Zeroizing<Vec<u8>>,
}

/// The pair that is configured. None: there is none.
///
/// # Errors
/// One of both is missing or unreadable, or they cannot serve as a pair.
pub fn read(tls: &Tls) -> Result<Option<CertifiedKey>, Problem> {
    load(tls)?.map(|files| parse(&files)).transpose()
}

/// Reads both files. An empty path, as the environment may hold, is none.
pub(crate) fn load(tls: &Tls) -> Result<Option<Files>, Problem> {
    let named = |path: &'_ Option<std::path::PathBuf>| {
        path.clone().filter(|path| !path.as_os_str().is_empty())
    };
    let missing = |key, other| {
        Problem::new(
            key,
            format!("is not set beside {other}"),
            "give both, or neither",
        )
    };
    let (cert, key) = match (named(&tls.cert_file), named(&tls.key_file)) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(missing(KEY, CERT)),
        (None, Some(_)) => return Err(missing(CERT, KEY)),
        (Some(cert), Some(key)) => (cert, key),
    };
    let bytes = |path: &Path, key| {
        std::fs::read(path).map_err(|error| {
            let mend = "name a file that the service's user may read; relative paths begin at its working directory";
            Problem::new(key, format!("names a file that cannot be read ({error})"), mend)
        })
    };
    Ok(Some(Files {
        cert: bytes(&cert, CERT)?,
        key: bytes(&key, KEY)?.into(),
    }))
}

/// Makes a pair of what stands in both files.
pub(crate) fn parse(files: &Files) -> Result<CertifiedKey, Problem> {
    let no_cert = || {
        let mend =
            "name a PEM file that begins with the server's own certificate, such as fullchain.pem";
        Problem::new(CERT, "holds no certificate that can be read", mend)
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&files.cert).collect();
    let chain = chain
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(no_cert)?;
    chain
        .first()
        .and_then(|leaf| ParsedCertificate::try_from(leaf).ok())
        .ok_or_else(no_cert)?;
    let no_key = || {
        let mend = "name a PEM file with an ECDSA (P-256, P-384), Ed25519 or RSA key of at least 2048 bits, not encrypted";
        Problem::new(KEY, "holds no private key that can be used", mend)
    };
    let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|_| no_key())?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let mend = "name the key that the certificate was asked for with";
            Problem::new(KEY, "is not the key of the certificate", mend)
        }
        _ => no_key(),
    })
}

/// Whether the certificate is for this host: a name, or an address without brackets (RFC 9525 §6).
pub(crate) fn names(pair: &CertifiedKey, host: &str) -> bool {
    let Ok(host) = ServerName::try_from(host) else {
        return false;
    };
    let leaf = pair.end_entity_cert().and_then(ParsedCertificate::try_from);
    leaf.and_then(|leaf| verify_server_name(&leaf, &host))
        .is_ok()
}

/// Whether users beside the owner and its group may read or change the file.
#[cfg(unix)]
pub(crate) fn anybody_reads(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o006 != 0)
}

/// Where there are no modes, the system's access lists rule.
#[cfg(not(unix))]
pub(crate) fn anybody_reads(_path: &Path) -> bool {
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use local_cert::Authority;

    use super::*;

    fn files(cert: &str, key: &str) -> Files {
        Files {
            cert: cert.as_bytes().to_vec(),
            key: key.as_bytes().to_vec().into(),
        }
    }

    fn refused(cert: &str, key: &str) -> String {
        parse(&files(cert, key)).unwrap_err().key
    }

    #[test]
    fn only_a_certificate_with_its_own_key_is_a_pair() {
        let authority = Authority::new().unwrap();
        let (pair, other) = (
            authority.issue(&["localhost"]).unwrap(),
            authority.issue(&["localhost"]).unwrap(),
        );
        assert_eq!(parse(&files(&pair.cert, &pair.key)).unwrap().cert.len(), 1);
        let chain = format!("{}{}", pair.cert, authority.pem());
        assert_eq!(
            parse(&files(&chain, &pair.key)).unwrap().cert.len(),
            2,
            "those between are sent too"
        );
        assert_eq!(refused(&pair.cert, &other.key), KEY);
        assert_eq!(
            refused(&format!("{}{}", authority.pem(), pair.cert), &pair.key),
            KEY,
            "its own comes first"
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
            assert_eq!(refused(cert, key), expected, "{cert:.30} {key:.30}");
        }
    }

    #[test]
    fn a_certificate_is_for_the_names_in_it() {
        let pair = Authority::new()
            .unwrap()
            .issue(&["id.example.com", "127.0.0.1", "::1"])
            .unwrap();
        let pair = parse(&files(&pair.cert, &pair.key)).unwrap();
        for host in ["id.example.com", "127.0.0.1", "::1"] {
            assert!(names(&pair, host), "{host}");
        }
        for host in ["example.com", "a.id.example.com", "127.0.0.2", ""] {
            assert!(!names(&pair, host), "{host}");
        }
    }
}
