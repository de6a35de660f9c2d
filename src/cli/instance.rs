//! One instance on this machine: its data directory, the lock on it, and the generated master key.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use crate::{
    config::{Startup, mode_if_too_open, parse_master_key},
    secret::{self, MasterKeys, Text},
};

/// Held while this process uses the data directory; the system releases it even after a crash.
#[derive(Debug)]
pub(super) struct InstanceLock {
    _file: File,
}

impl InstanceLock {
    /// Takes the lock if this configuration keeps rows or tickets on this machine. Otherwise none is
    /// needed.
    pub(super) fn for_config(config: &Startup) -> Result<Option<Self>, String> {
        let embedded = config.database_url().starts_with("sqlite:")
            || config.tickets.url.expose() == "memory:";
        if embedded {
            Self::take(&config.server.data_dir).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Takes the lock of a directory, and makes the directory if it does not exist.
    ///
    /// # Errors
    /// A sentence for the operator: another process has the lock, or the directory cannot be written.
    pub(super) fn take(dir: &Path) -> Result<Self, String> {
        make_private(dir)?;
        warn_if_open(dir);
        let path = dir.join("entree.lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options
            .open(&path)
            .map_err(|error| format!("{} cannot be opened: {error}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(format!(
                "another entree runs on the data directory {}: stop it, give this one another server.data_dir (with \
                 `entree dev` by `--data`), or use PostgreSQL and Redis for several instances",
                dir.display()
            )),
            Err(TryLockError::Error(error)) => {
                Err(format!("{} cannot be locked: {error}", path.display()))
            }
        }
    }
}

/// Makes a directory that only its owner may enter. An existing one keeps its mode.
fn make_private(dir: &Path) -> Result<(), String> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|error| {
        format!(
            "the data directory {} cannot be made ({error}): name another as server.data_dir",
            dir.display()
        )
    })
}

/// Warns if others may enter the directory: the database holds addresses.
#[cfg(unix)]
fn warn_if_open(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    if fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0) {
        tracing::warn!(dir = %dir.display(), "others on this machine may enter the data directory: chmod 0700");
    }
}

/// Does nothing where files have no modes.
#[cfg(not(unix))]
fn warn_if_open(_dir: &Path) {}

/// Returns the files of the data directory that belong to root, where the directory belongs to another
/// user: that user's service cannot write them.
#[cfg(unix)]
pub(super) fn files_of_root(dir: &Path) -> Vec<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = |path: &Path| fs::metadata(path).map(|meta| meta.uid()).ok();
    if owner(dir).is_none_or(|uid| uid == 0) {
        return Vec::new();
    }
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| owner(path) == Some(0)).collect()
}

/// Gives what root has made in the data directory to the directory's owner: root may run commands beside
/// a service of another user (OD-3).
#[cfg(unix)]
pub(super) fn give_files_to_owner(dir: &Path) {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let Ok(meta) = fs::metadata(dir) else {
        return;
    };
    for path in files_of_root(dir) {
        if let Err(error) = chown(&path, Some(meta.uid()), Some(meta.gid())) {
            tracing::warn!(path = %path.display(), "stays root's ({error}): chown it to the service's user");
        }
    }
}

/// Returns none where files have no owners.
#[cfg(not(unix))]
pub(super) fn files_of_root(_dir: &Path) -> Vec<PathBuf> {
    Vec::new()
}

/// Does nothing where files have no owners.
#[cfg(not(unix))]
pub(super) fn give_files_to_owner(_dir: &Path) {}

/// Returns the master keys: from the configuration, else from `master.key` in the data directory, which
/// is made if it does not exist.
///
/// # Errors
/// A sentence for the operator. The keys of the configuration were checked when it was read.
pub(super) fn master_keys(config: &Startup) -> Result<MasterKeys, String> {
    let server = &config.server;
    let bytes = |text: &Text, place: &str| {
        parse_master_key(text).ok_or_else(|| {
            format!("{place} is not 32 random bytes, in hexadecimal or base64url: put back what was there before")
        })
    };
    let current = if server.master_key.is_empty() {
        let path = server.data_dir.join("master.key");
        bytes(&stored_key(&path)?, &path.display().to_string())?
    } else {
        bytes(&server.master_key, "server.master_key")?
    };
    let previous: Result<Vec<_>, _> = server
        .previous_master_keys
        .iter()
        .map(|text| bytes(text, "server.previous_master_keys"))
        .collect();
    Ok(MasterKeys::new(current, previous?))
}

/// Returns the key in a file of mode 0400 or 0600, or a fresh one if there is no file.
fn stored_key(path: &Path) -> Result<Text, String> {
    if let Some(dir) = path.parent() {
        make_private(dir)?;
    }
    if !path.exists() {
        make_key(path)?;
    }
    if let Some(mode) = mode_if_too_open(path) {
        return Err(format!(
            "{0} may be read by others (mode {mode:04o}): chmod 0400 {0}",
            path.display()
        ));
    }
    fs::read_to_string(path)
        .map(Text::new)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// Writes a fresh key, whole or not at all, and never replaces one: two processes that start at once end
/// up with the same key.
fn make_key(path: &Path) -> Result<(), String> {
    let message = |error: std::io::Error| format!("{} cannot be made: {error}", path.display());
    let draft = Draft(path.with_extension(format!("key.{}", secret::public_id())));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o400);
    let mut file = options.open(&draft.0).map_err(message)?;
    let text = Text::new(secret::Plain::generate().to_text());
    file.write_all(text.expose().as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(message)?;
    match fs::hard_link(&draft.0, path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(message(error)),
    }
    // The directory entry must be durable before anything is encrypted under the key.
    path.parent()
        .map_or(Ok(()), |dir| File::open(dir).and_then(|dir| dir.sync_all()))
        .map_err(message)
}

/// A file that is deleted when this is dropped.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new() -> Self {
            Self(std::env::temp_dir().join(format!("entree-data-{}", secret::public_id())))
        }

        fn config(&self) -> Startup {
            let mut config = Startup::default();
            config.server.data_dir = self.0.clone();
            config
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn sk_07_a_master_key_is_made_once_with_mode_0400() {
        let dir = Dir::new();
        let first = master_keys(&dir.config()).unwrap();
        let path = dir.0.join("master.key");
        assert_eq!((mode(&path), mode(&dir.0)), (0o400, 0o700));
        let again = master_keys(&dir.config()).unwrap();
        assert!(first.derive("x") == again.derive("x"));
        assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 1, "no draft stays");
    }

    #[test]
    fn sk_07_a_key_that_others_may_read_is_refused() {
        let dir = Dir::new();
        master_keys(&dir.config()).unwrap();
        let path = dir.0.join("master.key");
        for (wide, refused) in [
            // Its group is one of this process (OB-5).
            (0o440, false),
            (0o404, true),
            (0o644, true),
            (0o700, true),
            (0o600, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(wide)).unwrap();
            let answer = master_keys(&dir.config());
            assert_eq!(answer.is_err(), refused, "{wide:o}");
            assert!(
                answer
                    .err()
                    .is_none_or(|words| words.contains("chmod 0400"))
            );
        }
    }

    #[test]
    fn sk_07_a_damaged_key_is_refused_and_kept() {
        let dir = Dir::new();
        fs::create_dir_all(&dir.0).unwrap();
        let path = dir.0.join("master.key");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(master_keys(&dir.config()).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn sk_07_many_that_start_at_once_agree_on_one_key() {
        let dir = Dir::new();
        let config = dir.config();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| master_keys(&config).unwrap().derive("x")))
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap())
                .collect()
        });
        assert!(keys.windows(2).all(|pair| pair.first() == pair.last()));
    }

    /// Needs root, as the commands that it is about do; other users can leave nothing of root's.
    #[test]
    fn od_3_what_root_makes_belongs_to_the_owner_of_the_directory() {
        use std::os::unix::fs::{MetadataExt as _, chown};
        let dir = Dir::new();
        make_private(&dir.0).unwrap();
        let file = dir.0.join("entree.db");
        fs::write(&file, "").unwrap();
        assert!(files_of_root(&dir.0).is_empty(), "all belong to one user");
        if chown(&dir.0, Some(4242), Some(4242)).is_err() {
            return;
        }
        assert_eq!(files_of_root(&dir.0), std::slice::from_ref(&file));
        give_files_to_owner(&dir.0);
        let meta = fs::metadata(&file).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (4242, 4242));
        assert!(files_of_root(&dir.0).is_empty());
    }

    #[test]
    fn one_instance_a_data_directory() {
        let dir = Dir::new();
        let lock = InstanceLock::for_config(&dir.config()).unwrap();
        assert!(lock.is_some());
        let refused = InstanceLock::for_config(&dir.config()).unwrap_err();
        assert!(refused.contains("another entree runs"), "{refused}");
        drop(lock);
        assert!(InstanceLock::for_config(&dir.config()).is_ok());

        let mut shared = dir.config();
        shared.database.url = Text::new("postgres://h/d".to_owned());
        shared.tickets.url = Text::new("redis://h".to_owned());
        let _one = InstanceLock::for_config(&shared).unwrap();
        assert!(InstanceLock::for_config(&shared).unwrap().is_none());
    }
}
