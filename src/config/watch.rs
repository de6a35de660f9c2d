//! Reloads the configuration when its file changes, or at SIGHUP.
//!
//! The folder is watched, not the file: editors write another file and rename it, and a mounted
//! ConfigMap swaps a link beside it. A file that is missing or has problems is refused: its
//! problems are logged, and the old settings stay.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify_debouncer_full::{
    DebounceEventResult, Debouncer, RecommendedCache, new_debouncer,
    notify::{self, RecommendedWatcher, RecursiveMode},
};
use tokio::sync::mpsc;

use super::{
    live::{Change, Live},
    load::{Loaded, Source},
    problem::Problem,
    settings::Reloadable,
};

/// The time without a change after which several changes of a file count as one.
const QUIET: Duration = Duration::from_millis(200);

/// Called after each change and at each SIGHUP, for what depends on the configuration but is not
/// part of it.
pub(crate) type OnChange = dyn Fn(&Reloadable, &Change) + Send + Sync;

/// The running watch. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct ConfigWatch {
    task: tokio::task::JoinHandle<()>,
    _folder: Option<FolderWatch>,
}

impl Drop for ConfigWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What asks for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReloadTrigger {
    /// A change in the folder.
    Folder,
    /// SIGHUP.
    Signal,
}

/// Starts watching, inside a tokio runtime.
#[must_use]
pub(crate) fn watch(live: Live, source: Source, on_change: Arc<OnChange>) -> ConfigWatch {
    let (triggers, receiver) = mpsc::channel(64);
    let folder_triggers = triggers.clone();
    let folder = watch_folder(source.path(), move || {
        // A full channel has a trigger that will be handled.
        let _ = folder_triggers.try_send(ReloadTrigger::Folder);
    })
    .inspect_err(|error| {
        tracing::warn!(%error, "the folder of the configuration cannot be watched; SIGHUP still works");
    });
    // Registered before the task runs, so that a signal right after this call does not end the
    // process.
    #[cfg(unix)]
    forward_sighup(triggers);
    let reloader = Reloader {
        seen: std::fs::read(source.path()).ok(),
        live,
        source,
        on_change,
    };
    ConfigWatch {
        task: tokio::spawn(reload_on(receiver, reloader)),
        _folder: folder.ok(),
    }
}

/// A watched folder. The watch ends when this is dropped.
#[derive(Debug)]
pub(crate) struct FolderWatch {
    _debouncer: Debouncer<RecommendedWatcher, RecommendedCache>,
}

/// Calls `on_change` when something in the folder of `file` has changed and is quiet again.
///
/// # Errors
/// The folder does not exist, or the system has no watch left.
pub(crate) fn watch_folder(
    file: &Path,
    on_change: impl Fn() + Send + 'static,
) -> notify::Result<FolderWatch> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut debouncer = new_debouncer(QUIET, Some(QUIET), move |result: DebounceEventResult| {
        // Our own reading is an event, too.
        let is_access_only =
            result.is_ok_and(|events| events.iter().all(|event| event.kind.is_access()));
        if !is_access_only {
            on_change();
        }
    })?;
    debouncer.watch(&folder, RecursiveMode::NonRecursive)?;
    Ok(FolderWatch {
        _debouncer: debouncer,
    })
}

#[cfg(unix)]
fn forward_sighup(triggers: mpsc::Sender<ReloadTrigger>) {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::hangup()) {
        Ok(mut signals) => {
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    // The receiver lives as long as the watch.
                    if triggers.send(ReloadTrigger::Signal).await.is_err() {
                        break;
                    }
                }
            });
        }
        Err(error) => tracing::warn!(%error, "SIGHUP cannot be received"),
    }
}

async fn reload_on(mut triggers: mpsc::Receiver<ReloadTrigger>, mut reloader: Reloader) {
    while let Some(trigger) = triggers.recv().await {
        // Files are read outside the threads of the runtime: they may be on a slow disk.
        let reload = tokio::task::spawn_blocking(move || {
            reloader.reload(trigger);
            reloader
        });
        match reload.await {
            Ok(returned) => reloader = returned,
            Err(_) => {
                return tracing::error!(
                    "the configuration is no longer reloaded; restart to change it"
                );
            }
        }
    }
}

struct Reloader {
    live: Live,
    source: Source,
    on_change: Arc<OnChange>,
    /// The content of the file when it was last read.
    seen: Option<Vec<u8>>,
}

impl Reloader {
    /// Reloads if the content of the file has changed, or at a signal.
    fn reload(&mut self, trigger: ReloadTrigger) {
        let bytes = std::fs::read(self.source.path()).ok();
        if trigger == ReloadTrigger::Folder && bytes == self.seen {
            return;
        }
        // A default file that never existed need not exist at SIGHUP. One that has gone is not an
        // empty one.
        if bytes.is_none() && self.seen.is_some() {
            let file = self.source.path().display().to_string();
            let hint = "Put the file back.";
            return log_refusal(&[Problem::new(file, "is gone or cannot be read", hint)]);
        }
        if bytes.is_some() {
            self.seen = bytes;
        }
        match self.source.load() {
            Ok(loaded) => self.apply(loaded, trigger),
            Err(problems) => log_refusal(&problems),
        }
    }

    fn apply(&self, loaded: Loaded, trigger: ReloadTrigger) {
        let change = self.live.reload(loaded.config);
        let hint = "Restart the service.";
        let mut warnings = loaded.warnings;
        warnings.extend(change.needs_restart.iter().map(|key| {
            Problem::new(
                *key,
                "has changed in the configuration and needs a restart",
                hint,
            )
        }));
        self.live.log_new_warnings(&warnings);
        if !change.applied.is_empty() || trigger == ReloadTrigger::Signal {
            (self.on_change)(&self.live.get(), &change);
            let changed = change.applied.join(" ");
            tracing::info!(changed, "the configuration is reloaded");
        }
    }
}

fn log_refusal(problems: &[Problem]) {
    tracing::error!(
        problems = problems.len(),
        "the new configuration is refused; the old one stays in force"
    );
    for problem in problems {
        tracing::error!(key = problem.key, "{problem}");
    }
}

#[cfg(test)]
mod tests;
