//! Https in tests: one authority for the whole test process, which only its own clients trust.

use std::{path::Path, sync::LazyLock};

use local_cert::Authority;

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::new().expect("an authority"));

/// The authority's certificate in PEM.
#[must_use]
pub fn authority() -> String {
    AUTHORITY.pem()
}

/// Writes a new `key.pem` and `cert.pem` for the loopback interface, as what renews certificates does: each file in
/// place of the old one.
pub fn issue(folder: &Path) {
    let pair = AUTHORITY
        .issue(&["127.0.0.1", "localhost"])
        .expect("a certificate");
    std::fs::create_dir_all(folder).expect("a directory");
    for (name, text) in [("key.pem", pair.key), ("cert.pem", pair.cert)] {
        let next = folder.join("next");
        std::fs::write(&next, text).expect("a file");
        std::fs::rename(next, folder.join(name)).expect("a file");
    }
}
