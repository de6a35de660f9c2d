//! The files that the commands create.
#![cfg(unix)]

use std::{os::unix::fs::PermissionsExt as _, process::Command};

use testkit::child;

use crate::service::binary;

/// OA-13: neither the umask nor the directory decides who may read the database.
#[test]
fn oa_13_the_umask_does_not_open_the_database_to_others() {
    let folder = child::scratch("umask");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let text = "[server]\npublic_url = \"https://id.example.com\"\ndata_dir = \".\"\n\
                [mail]\nfrom = \"Entree <login@example.com>\"\nhost = \"smtp.example.com\"\n";
    std::fs::write(folder.join("entree.toml"), text).unwrap();
    let script = format!("umask 0; exec '{}' migrate", binary().display());
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let mode = |name: &str| {
        let metadata = std::fs::metadata(folder.join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!((mode("entree.db"), mode("entree.lock")), (0o600, 0o600));
    let _ = std::fs::remove_dir_all(&folder);
}
