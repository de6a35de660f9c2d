//! Watching the configuration: a changed file or SIGHUP puts what may change into force within a second.
//!
//! The folder is watched rather than the file, since editors write another file and rename it, and mounted ConfigMaps
//! swap a link beside it. A file that is missing or has problems is refused: all its problems are logged and the old
//! configuration stays.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{RecursiveMode, Watcher as _};
use tokio::{sync::mpsc, time::timeout};

use super::{
    live::{Change, Live},
    load::{Loaded, Source},
    problem::Problem,
    settings::Reloadable,
};

/// Quiet time after which a burst of changes counts as over.
const QUIET: Duration = Duration::from_millis(100);

/// A burst is not waited for any longer.
const LONGEST: Duration = Duration::from_millis(500);

/// Told after each replacement, and at each SIGHUP: what else hangs on the configuration follows it.
pub type OnChange = dyn Fn(&Reloadable, &Change) + Send + Sync;

/// Watches until dropped.
#[derive(Debug)]
pub struct Watch {
    task: tokio::task::JoinHandle<()>,
    _watcher: Option<notify::RecommendedWatcher>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What asks for reading again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nudge {
    /// Something happened in the folder.
    Folder,
    /// SIGHUP.
    Signal,
}

/// Starts watching, inside a tokio runtime.
#[must_use]
pub fn watch(live: Live, source: Source, on_change: Arc<OnChange>) -> Watch {
    let (nudges, heard) = mpsc::channel(64);
    let folder = nudges.clone();
    let watcher = match folder_watcher(source.path(), move || {
        // A full channel has a nudge in it already.
        let _ = folder.try_send(Nudge::Folder);
    }) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "the configuration's folder cannot be watched; SIGHUP still works");
            None
        }
    };
    // Registered before the task runs, so that a signal right after this call is not fatal.
    #[cfg(unix)]
    signal(nudges);
    let reader = Reader {
        seen: std::fs::read(source.path()).ok(),
        live,
        source,
        on_change,
    };
    Watch {
        task: tokio::spawn(follow(heard, reader)),
        _watcher: watcher,
    }
}

/// Calls `nudge` whenever something in the folder of `file` changes, until the watcher is dropped.
///
/// # Errors
/// The system does not watch that folder: it is not there, or there are too many watches.
pub(crate) fn folder_watcher(
    file: &Path,
    nudge: impl Fn() + Send + 'static,
) -> notify::Result<notify::RecommendedWatcher> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading is an event too.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            nudge();
        }
    })?;
    watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

#[cfg(unix)]
fn signal(nudges: mpsc::Sender<Nudge>) {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::hangup()) {
        Ok(mut hangups) => {
            tokio::spawn(async move {
                while hangups.recv().await.is_some() {
                    // The receiver lives as long as the watch.
                    if nudges.send(Nudge::Signal).await.is_err() {
                        break;
                    }
                }
            });
        }
        Err(error) => tracing::warn!(%error, "SIGHUP cannot be listened to"),
    }
}

async fn follow(mut nudges: mpsc::Receiver<Nudge>, mut reader: Reader) {
    while let Some(first) = nudges.recv().await {
        let mut asked = first == Nudge::Signal;
        let burst = async {
            while let Ok(Some(next)) = timeout(QUIET, nudges.recv()).await {
                asked |= next == Nudge::Signal;
            }
        };
        let _ = timeout(LONGEST, burst).await;
        // Files are read off the runtime's threads: they may be on a slow disk.
        match tokio::task::spawn_blocking(move || {
            reader.read(asked);
            reader
        })
        .await
        {
            Ok(back) => reader = back,
            Err(_) => {
                return tracing::error!(
                    "reading the configuration again ended for good; restart to change it"
                );
            }
        }
    }
}

struct Reader {
    live: Live,
    source: Source,
    on_change: Arc<OnChange>,
    seen: Option<Vec<u8>>,
}

impl Reader {
    /// Reads again if the file's bytes differ from those last seen, or if `asked`.
    fn read(&mut self, asked: bool) {
        let bytes = std::fs::read(self.source.path()).ok();
        if !asked && bytes == self.seen {
            return;
        }
        // A default file that was never there is none at SIGHUP either; one that has gone is not an empty one.
        let gone = bytes.is_none() && self.seen.is_some();
        if gone {
            let file = self.source.path().display().to_string();
            return refuse(&[Problem::new(
                file,
                "is gone or cannot be read",
                "put it back",
            )]);
        }
        if bytes.is_some() {
            self.seen = bytes;
        }
        match self.source.load() {
            Ok(loaded) => self.accept(loaded, asked),
            Err(problems) => refuse(&problems),
        }
    }

    fn accept(&self, loaded: Loaded, asked: bool) {
        let change = self.live.reload(loaded.config);
        for warning in &loaded.warnings {
            tracing::warn!(key = warning.key, "{warning}");
        }
        for key in &change.needs_restart {
            tracing::warn!(key, "changed in the configuration, but needs a restart");
        }
        if !change.applied.is_empty() || asked {
            (self.on_change)(&self.live.get(), &change);
            tracing::info!(
                changed = change.applied.join(" "),
                "configuration read again"
            );
        }
    }
}

fn refuse(problems: &[Problem]) {
    tracing::error!(
        problems = problems.len(),
        "the new configuration is refused; the old one stays in force"
    );
    for problem in problems {
        tracing::error!(key = problem.key, "{problem}");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::secret::public_id;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("entree-watch-{}", public_id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("entree.toml")
        }

        /// As editors do: another file, then a rename.
        fn write(&self, text: &str) {
            let other = self.0.join("entree.toml~");
            std::fs::write(&other, text).unwrap();
            std::fs::rename(other, self.file()).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const BASE: &str = "[server]\npublic_url = \"https://login.example.com\"\n[mail]\nfrom = \"Entree <login@example.com>\"\n";

    fn start(folder: &Folder) -> (Live, Reader, mpsc::UnboundedReceiver<Change>) {
        folder.write(BASE);
        let source = Source {
            file: Some(folder.file()),
            ..Source::default()
        };
        let live = Live::new(source.load().unwrap().config);
        let (told, changes) = mpsc::unbounded_channel();
        let on_change: Arc<OnChange> =
            Arc::new(move |_: &Reloadable, change: &Change| told.send(change.clone()).unwrap());
        let reader = Reader {
            seen: std::fs::read(folder.file()).ok(),
            live: live.clone(),
            source,
            on_change,
        };
        (live, reader, changes)
    }

    #[test]
    fn a_good_file_applies_a_bad_or_missing_one_keeps_the_old() {
        let folder = Folder::new();
        let (live, mut reader, mut changes) = start(&folder);
        folder.write(&format!("{BASE}[api]\nv2_enabled = true\n"));
        reader.read(false);
        assert!(live.get().api.v2_enabled);
        assert_eq!(changes.try_recv().unwrap().applied, ["api"]);

        folder.write(&format!(
            "{BASE}[api]\nv2_enabled = false\n[token]\naccess_seconds = 5\n"
        ));
        reader.read(false);
        assert!(
            live.get().api.v2_enabled,
            "one problem refuses the whole file"
        );

        std::fs::remove_file(folder.file()).unwrap();
        reader.read(false);
        reader.read(true);
        assert!(
            live.get().api.v2_enabled,
            "a missing file is not an empty one"
        );
        assert!(changes.try_recv().is_err());

        folder.write(BASE);
        reader.read(false);
        assert!(!live.get().api.v2_enabled);
    }

    #[test]
    fn a_look_alike_key_does_nothing() {
        let folder = Folder::new();
        let (live, mut reader, mut changes) = start(&folder);
        folder.write(&format!("{BASE}[api]\nv2_enabled_x = true\n"));
        reader.read(false);
        assert!(!live.get().api.v2_enabled);
        assert!(changes.try_recv().is_err());
    }

    #[test]
    fn sighup_tells_even_if_nothing_changed() {
        let folder = Folder::new();
        let (_, mut reader, mut changes) = start(&folder);
        reader.read(false);
        assert!(changes.try_recv().is_err());
        reader.read(true);
        assert_eq!(changes.try_recv().unwrap(), Change::default());
    }

    #[tokio::test]
    async fn a_renamed_and_a_relinked_file_are_noticed_within_a_second() {
        let folder = Folder::new();
        let (live, reader, mut changes) = start(&folder);
        let Reader {
            source, on_change, ..
        } = reader;
        let watch = watch(live.clone(), source, on_change);
        folder.write(&format!("{BASE}[api]\nv2_enabled = true\n"));
        const { assert!(LONGEST.as_millis() < 1_000) };
        let long = Duration::from_secs(20);
        assert_eq!(
            timeout(long, changes.recv())
                .await
                .unwrap()
                .unwrap()
                .applied,
            ["api"]
        );

        // As a mounted ConfigMap does: a link to a folder is swapped.
        let other = folder.0.join("next.toml");
        std::fs::write(&other, BASE).unwrap();
        std::os::unix::fs::symlink("next.toml", folder.0.join("link")).unwrap();
        std::fs::rename(folder.0.join("link"), folder.file()).unwrap();
        assert_eq!(
            timeout(long, changes.recv())
                .await
                .unwrap()
                .unwrap()
                .applied,
            ["api"]
        );
        assert!(!live.get().api.v2_enabled);
        drop(watch);
    }
}
