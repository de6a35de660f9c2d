//! A changed, broken, missing and relinked file.
#![allow(clippy::unwrap_used)]

use tokio::time::timeout;

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

    /// Writes as editors do: another file, then a rename.
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

fn start(folder: &Folder) -> (Live, Reloader, mpsc::UnboundedReceiver<Change>) {
    folder.write(BASE);
    let source = Source {
        file: Some(folder.file()),
        ..Source::default()
    };
    let live = Live::new(source.load().unwrap().config);
    let (sender, changes) = mpsc::unbounded_channel();
    let on_change: Arc<OnChange> =
        Arc::new(move |_: &Reloadable, change: &Change| sender.send(change.clone()).unwrap());
    let reloader = Reloader {
        seen: std::fs::read(folder.file()).ok(),
        live: live.clone(),
        source,
        on_change,
    };
    (live, reloader, changes)
}

/// The log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn oc_12_a_warning_is_logged_once_and_again_when_it_comes_back() {
    let folder = Folder::new();
    let (_, mut reloader, _changes) = start(&folder);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    // With a single subscriber, another test's thread, which has none, may disable an event for all.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);
    let warned = || {
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        text.matches("limits.network ").count()
    };
    let generous = "[limits]\nnetwork = [{ count = 1000000, seconds = 60 }]\n";
    for (text, expected) in [
        (format!("{BASE}{generous}"), 1),
        (format!("{BASE}{generous}[api]\nv2_enabled = true\n"), 1),
        (BASE.to_owned(), 1),
        (format!("{BASE}{generous}"), 2),
    ] {
        folder.write(&text);
        for _ in 0..3 {
            reloader.reload(ReloadTrigger::Signal);
        }
        assert_eq!(warned(), expected, "{text}");
    }
}

#[test]
fn a_good_file_applies_and_a_bad_or_missing_one_keeps_the_old() {
    let folder = Folder::new();
    let (live, mut reloader, mut changes) = start(&folder);
    folder.write(&format!("{BASE}[api]\nv2_enabled = true\n"));
    reloader.reload(ReloadTrigger::Folder);
    assert!(live.get().api.v2_enabled);
    assert_eq!(changes.try_recv().unwrap().applied, ["api"]);

    folder.write(&format!(
        "{BASE}[api]\nv2_enabled = false\n[token]\naccess_seconds = 5\n"
    ));
    reloader.reload(ReloadTrigger::Folder);
    assert!(
        live.get().api.v2_enabled,
        "one problem refuses the whole file"
    );

    std::fs::remove_file(folder.file()).unwrap();
    reloader.reload(ReloadTrigger::Folder);
    reloader.reload(ReloadTrigger::Signal);
    assert!(
        live.get().api.v2_enabled,
        "a missing file is not an empty one"
    );
    assert!(changes.try_recv().is_err());

    folder.write(BASE);
    reloader.reload(ReloadTrigger::Folder);
    assert!(!live.get().api.v2_enabled);
}

#[test]
fn a_misspelt_key_changes_nothing() {
    let folder = Folder::new();
    let (live, mut reloader, mut changes) = start(&folder);
    folder.write(&format!("{BASE}[api]\nv2_enabled_x = true\n"));
    reloader.reload(ReloadTrigger::Folder);
    assert!(!live.get().api.v2_enabled);
    assert!(changes.try_recv().is_err());
}

#[test]
fn sighup_calls_on_change_even_if_nothing_changed() {
    let folder = Folder::new();
    let (_, mut reloader, mut changes) = start(&folder);
    reloader.reload(ReloadTrigger::Folder);
    assert!(changes.try_recv().is_err());
    reloader.reload(ReloadTrigger::Signal);
    assert_eq!(changes.try_recv().unwrap(), Change::default());
}

#[tokio::test]
async fn a_renamed_and_a_relinked_file_are_noticed_within_a_second() {
    let folder = Folder::new();
    let (live, reloader, mut changes) = start(&folder);
    let Reloader {
        source, on_change, ..
    } = reloader;
    let watch = watch(live.clone(), source, on_change);
    folder.write(&format!("{BASE}[api]\nv2_enabled = true\n"));
    const { assert!(2 * QUIET.as_millis() < 1_000) };
    let mut applied = async || {
        let change = timeout(Duration::from_secs(20), changes.recv()).await;
        change.unwrap().unwrap().applied
    };
    assert_eq!(applied().await, ["api"]);

    // A mounted ConfigMap swaps a link.
    let other = folder.0.join("next.toml");
    std::fs::write(&other, BASE).unwrap();
    std::os::unix::fs::symlink("next.toml", folder.0.join("link")).unwrap();
    std::fs::rename(folder.0.join("link"), folder.file()).unwrap();
    assert_eq!(applied().await, ["api"]);
    assert!(!live.get().api.v2_enabled);
    drop(watch);
}
