//! Who may read a file that holds a secret (OB-5).

use std::path::Path;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its owner, and perhaps a group of this process, as Kubernetes mounts secrets with `fsGroup`.
    Private,
    /// Every user, in a file of mode 0444 that root owns, as container engines mount secrets.
    Mounted,
    /// Others, with this mode.
    Open(u32),
}

/// Returns who may read a file; `Private` if it cannot be looked at, since reading it then fails, too.
#[cfg(unix)]
pub(crate) fn access_to_file(path: &Path) -> Access {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).map_or(Access::Private, |file| {
        let is_ours = own_groups().is_none_or(|groups| groups.contains(&file.gid()));
        access_of(file.mode() & 0o7777, file.uid(), is_ours)
    })
}

/// Where files have no modes, the access lists of the system decide.
#[cfg(not(unix))]
pub(crate) fn access_to_file(_path: &Path) -> Access {
    Access::Private
}

/// Returns the mode of a file that others may read.
pub(crate) fn mode_if_too_open(path: &Path) -> Option<u32> {
    match access_to_file(path) {
        Access::Open(mode) => Some(mode),
        Access::Private | Access::Mounted => None,
    }
}

/// `is_group_ours`: whether the file's group is one of this process.
fn access_of(mode: u32, owner: u32, is_group_ours: bool) -> Access {
    let for_owner = mode & !0o600 == 0;
    let for_group = mode & !0o660 == 0 && is_group_ours;
    match mode {
        _ if for_owner || for_group => Access::Private,
        0o444 if owner == 0 => Access::Mounted,
        _ => Access::Open(mode),
    }
}

/// Returns the groups of this process, or `None` where the system does not list them.
#[cfg(unix)]
fn own_groups() -> Option<Vec<u32>> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let lines = status.lines().filter_map(|line| {
        line.strip_prefix("Gid:")
            .or_else(|| line.strip_prefix("Groups:"))
    });
    Some(
        lines
            .flat_map(str::split_whitespace)
            .filter_map(|group| group.parse().ok())
            .collect(),
    )
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn ob_5_secret_files_as_platforms_mount_them() {
        use Access::{Mounted, Open, Private};
        // Mode, owner, whether the group is ours.
        let table = [
            (0o400, 1000, false, Private),
            (0o600, 1000, false, Private),
            (0o400, 0, false, Private),
            (0o440, 0, true, Private),
            (0o440, 1000, true, Private),
            (0o640, 0, true, Private),
            (0o660, 0, true, Private),
            (0o444, 0, false, Mounted),
            (0o444, 0, true, Mounted),
            (0o440, 0, false, Open(0o440)),
            (0o440, 1000, false, Open(0o440)),
            (0o444, 1000, true, Open(0o444)),
            (0o644, 0, true, Open(0o644)),
            (0o604, 0, true, Open(0o604)),
            (0o666, 0, true, Open(0o666)),
            (0o700, 1000, true, Open(0o700)),
            (0o4400, 0, true, Open(0o4400)),
        ];
        for (mode, owner, ours, expected) in table {
            assert_eq!(
                access_of(mode, owner, ours),
                expected,
                "{mode:04o} of {owner}, group ours: {ours}"
            );
        }
    }

    #[test]
    fn ob_5_the_groups_of_this_process_are_known() {
        use std::os::unix::fs::MetadataExt as _;
        let own = std::fs::metadata("/proc/self").map(|file| file.gid());
        if let (Ok(own), Some(groups)) = (own, own_groups()) {
            assert!(groups.contains(&own), "{groups:?}");
        }
    }
}
