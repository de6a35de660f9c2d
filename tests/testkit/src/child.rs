//! Child processes that never outlive the test process.
//!
//! Each child is started through `setpriv --pdeathsig`, so that the kernel ends it even when we are killed. That
//! signal is sent when the *thread* that forked ends, not the process: one thread that never ends does all the forking.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex, mpsc},
    thread,
};

type Order = (Command, mpsc::Sender<io::Result<Child>>);

static NURSERY: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
    let (orders, inbox) = mpsc::channel::<Order>();
    thread::Builder::new()
        .name("testkit-children".to_owned())
        .spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        })
        .expect("a thread");
    Mutex::new(orders)
});

/// Which user a child runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunAs {
    /// As we do.
    Us,
    /// The first of `postgres` and `nobody`, when we are root: PostgreSQL refuses to run as root.
    Servant,
}

/// True when we are root.
#[must_use]
pub fn root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// The user for [`RunAs::Servant`]; `None`: we are not root, or neither user exists.
#[must_use]
pub fn servant() -> Option<&'static str> {
    if !root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    ["postgres", "nobody"].into_iter().find(|name| {
        users
            .lines()
            .any(|line| line.starts_with(&format!("{name}:")))
    })
}

/// A command for `program` that dies with us. `signal` is what the kernel sends then (`KILL`, `QUIT`).
#[must_use]
pub fn command(program: impl AsRef<Path>, run_as: RunAs, signal: &str) -> Command {
    let mut command = Command::new("setpriv");
    if let (RunAs::Servant, Some(user)) = (run_as, servant()) {
        let group = if user == "nobody" { "nogroup" } else { user };
        command.args([
            &format!("--reuid={user}"),
            &format!("--regid={group}"),
            "--clear-groups",
        ]);
    }
    command
        .arg(format!("--pdeathsig={signal}"))
        .arg(program.as_ref())
        .stdin(Stdio::null());
    command
}

/// Starts it from the thread that lives as long as the process.
///
/// # Errors
/// The program cannot be started.
pub fn spawn(command: Command) -> io::Result<Child> {
    let (answer, result) = mpsc::channel();
    NURSERY
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .send((command, answer))
        .expect("the thread lives");
    result.recv().expect("the thread answers")
}

/// Sends a signal by name (`TERM`, `HUP`, `KILL`, `STOP`).
pub fn signal(pid: u32, name: &str) {
    // `kill` is built into every shell; the separate program is not on every machine.
    let _ = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .stderr(Stdio::null())
        .status();
}

/// The first `name` among `folders` and then `PATH`.
#[must_use]
pub fn find(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders
        .iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// A fresh directory `entree-test-PID-…` that the servant may enter.
///
/// Static values are never dropped in Rust, so what an earlier run left behind is swept here: directories whose process
/// is gone.
#[must_use]
pub fn scratch(name: &str) -> PathBuf {
    static SWEEP: std::sync::Once = std::sync::Once::new();
    // Socket paths are limited to 107 bytes, and a home directory may be closed to the servant.
    let base = std::env::temp_dir();
    SWEEP.call_once(|| sweep(&base));
    let id = uuid::Uuid::new_v4().simple().to_string();
    let folder = base.join(format!(
        "entree-test-{}-{name}-{}",
        std::process::id(),
        &id[..8]
    ));
    std::fs::create_dir_all(&folder).expect("a temporary directory");
    folder
}

fn sweep(base: &Path) {
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name
            .to_str()
            .and_then(|name| name.strip_prefix("entree-test-"))
        else {
            continue;
        };
        let Some(pid) = rest
            .split('-')
            .next()
            .and_then(|pid| pid.parse::<u32>().ok())
        else {
            continue;
        };
        if !Path::new(&format!("/proc/{pid}")).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
