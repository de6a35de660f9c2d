//! A PgBouncer before a PostgreSQL of our own.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::Postgres;
use crate::{
    Missing,
    child::{self, RunAs},
};

/// A running PgBouncer. Dropping it ends it.
#[derive(Debug)]
pub struct PgBouncer {
    folder: PathBuf,
    process: Child,
}

/// The program of Debian, which is older than 1.21.
///
/// # Errors
/// It is not installed.
pub fn old_pgbouncer() -> Result<PathBuf, Missing> {
    child::find("pgbouncer", &[PathBuf::from("/usr/sbin")])
        .ok_or_else(|| Missing::new("PgBouncer", "not on PATH; scripts/setup.sh installs it"))
}

/// One of 1.21 or later: `PGBOUNCER`, or what `scripts/setup.sh` has built.
///
/// # Errors
/// There is none.
pub fn new_pgbouncer() -> Result<PathBuf, Missing> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/pgbouncer");
    let named = std::env::var_os("PGBOUNCER").map(PathBuf::from);
    named
        .into_iter()
        .chain([built])
        .find(|program| program.is_file())
        .ok_or_else(|| {
            let why =
                "neither $PGBOUNCER nor target/tools/pgbouncer; scripts/setup.sh interop builds it";
            Missing::new("PgBouncer 1.21", why)
        })
}

impl PgBouncer {
    /// Starts `program` before `server` with these settings, a line each.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(
        program: &Path,
        server: &Postgres,
        settings: &[&str],
    ) -> Result<Self, Missing> {
        let folder = child::scratch("bouncer");
        let socket = server.socket();
        let host = socket.parent().expect("a folder").display();
        let text = format!(
            "[databases]\n* = host={host} user=postgres\n[pgbouncer]\nlisten_port = 6432\nunix_socket_dir = {}\n\
             auth_type = any\n{}\n",
            folder.display(),
            settings.join("\n")
        );
        let file = folder.join("pgbouncer.ini");
        std::fs::write(&file, text).expect("a file");
        if let Some(user) = child::servant() {
            let _ = Command::new("chown")
                .arg("-R")
                .arg(user)
                .arg(&folder)
                .status();
        }
        let mut command = child::command(program, RunAs::Servant, "KILL");
        command
            .arg("-q")
            .arg(&file)
            .current_dir(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process =
            child::spawn(command).map_err(|error| Missing::new("PgBouncer", error.to_string()))?;
        let this = Self { folder, process };
        let socket = this.folder.join(".s.PGSQL.6432");
        let open = || async { std::os::unix::net::UnixStream::connect(&socket).ok() };
        crate::until("PgBouncer", Duration::from_secs(10), open)
            .await
            .map_err(|why| Missing::new("PgBouncer", why))?;
        Ok(this)
    }

    /// The URL of a database of the server by way of this.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let path = database.split('?').next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        format!(
            "postgres://postgres@localhost:6432/{name}?host={}",
            self.folder.display()
        )
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
