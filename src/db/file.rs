//! The file of an SQLite database.

#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt;
use std::{fs::OpenOptions, io::ErrorKind, path::Path};

use crate::error::InfraError;

/// Creates the file of the database for its owner alone, whatever the umask and the folder (OA-13).
/// SQLite gives the mode of this file to those that it creates beside it. A file that exists keeps
/// its mode: the operator may let a group read it.
pub(super) fn create_private(path: &Path) -> Result<(), InfraError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(InfraError::Unavailable {
            dependency: "database",
            cause: format!("{} cannot be created: {error}", path.display()),
        }),
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use crate::{clock::Clock, db::Db, secret::public_id};

    #[tokio::test]
    async fn oa_13_the_file_and_its_companions_are_for_their_owner_alone() {
        let folder = std::env::temp_dir().join(format!("entree-mode-{}", public_id()));
        std::fs::create_dir(&folder).unwrap();
        let everyone = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(&folder, everyone).unwrap();
        let file = folder.join("entree.db");
        let url = format!("sqlite:{}", file.display());
        let db = Db::connect(&url, 2, Clock::default()).await.unwrap();
        db.migrate().await.unwrap();
        let mut modes: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                (entry.file_name().into_string().unwrap(), mode)
            })
            .collect();
        modes.sort();
        assert_eq!(
            modes,
            ["entree.db", "entree.db-shm", "entree.db-wal"].map(|name| (name.to_owned(), 0o600))
        );
        db.close().await;
        let _ = std::fs::remove_dir_all(folder);
    }
}
