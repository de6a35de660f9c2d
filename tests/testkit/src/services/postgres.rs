//! A PostgreSQL of our own: socket only, no durability, a database per test.

use std::{
    future::Future,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sea_orm::{ConnectionTrait, Database};
use tokio::sync::OnceCell;

use crate::{
    Missing,
    child::{self, RunAs},
};

/// A server.
#[derive(Debug)]
pub struct Postgres {
    base: String,
    own: Option<Own>,
    templates: [OnceCell<String>; 2],
}

#[derive(Debug)]
struct Own {
    programs: PathBuf,
    folder: PathBuf,
    durability: Durability,
    process: Mutex<Option<Child>>,
}

/// What an acknowledged commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    Nothing,
    /// A crash of the server.
    Crash,
    /// The end of the machine: the server waits for the disk, as it does by default.
    PowerLoss,
}

/// The server that all tests of this process share.
///
/// Looked for in this order: `TEST_POSTGRES_URL`; `$PGBIN`, `/usr/lib/postgresql/*/bin` (newest first), `PATH`.
///
/// # Errors
/// None of them is there.
pub async fn postgres() -> Result<&'static Postgres, Missing> {
    static SHARED: OnceCell<Result<Postgres, Missing>> = OnceCell::const_new();
    SHARED
        .get_or_init(Postgres::shared)
        .await
        .as_ref()
        .map_err(Clone::clone)
}

impl Postgres {
    async fn shared() -> Result<Self, Missing> {
        match std::env::var("TEST_POSTGRES_URL") {
            Ok(url) if !url.is_empty() => Ok(Self {
                base: url.trim_end_matches('/').to_owned(),
                own: None,
                templates: Default::default(),
            }),
            _ => Self::start(false).await,
        }
    }

    /// Another server, for tests that kill it. `durable`: an acknowledged commit survives a crash of the server.
    ///
    /// # Errors
    /// No PostgreSQL is installed, or it does not start.
    pub async fn start(durable: bool) -> Result<Self, Missing> {
        Self::start_with(if durable {
            Durability::Crash
        } else {
            Durability::Nothing
        })
        .await
    }

    /// Another server that waits for the disk at each commit, for measurements.
    ///
    /// # Errors
    /// See [`Postgres::start`].
    pub async fn start_synced() -> Result<Self, Missing> {
        Self::start_with(Durability::PowerLoss).await
    }

    async fn start_with(durability: Durability) -> Result<Self, Missing> {
        let programs = programs()?;
        let folder = child::scratch("pg");
        if let Some(user) = child::servant() {
            run(Command::new("chown").arg(format!("{user}:")).arg(&folder))?;
        }
        let mut init = child::command(programs.join("initdb"), RunAs::Servant, "KILL");
        init.arg("-D").arg(folder.join("data")).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
        ]);
        init.args(["--no-sync", "--no-instructions"])
            .current_dir(&folder);
        // On a thread of its own: other work in the same task goes on meanwhile.
        tokio::task::spawn_blocking(move || run(&mut init))
            .await
            .expect("a program that ran")?;
        let own = Own {
            programs,
            folder,
            durability,
            process: Mutex::new(None),
        };
        let this = Self {
            base: String::new(),
            own: Some(own),
            templates: Default::default(),
        };
        this.revive().await?;
        Ok(this)
    }

    /// The URL of one of its databases, as sqlx reads it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        match &self.own {
            Some(own) => format!(
                "postgres://postgres@localhost/{database}?host={}",
                own.folder.display()
            ),
            None => match url::Url::parse(&self.base) {
                Ok(mut url) => {
                    url.set_path(&format!("/{database}"));
                    url.into()
                }
                Err(_) => self.base.clone(),
            },
        }
    }

    /// A new empty database; gives its URL.
    pub async fn empty(&self) -> String {
        let name = fresh();
        self.admin(&format!("create database {name}")).await;
        self.url(&name)
    }

    /// A new database that already has the schema; gives its URL. `migrate` is called once per process, with the URL of
    /// the template; a copy of it takes a tenth of the time.
    pub async fn migrated<F, Fut>(&self, migrate: F) -> String
    where
        F: FnOnce(String) -> Fut,
        Fut: Future<Output = ()>,
    {
        self.copy_of(0, migrate).await
    }

    /// The same from another template, for tests in whose databases there is more than the schema from the start: what
    /// one service has sealed no other can open.
    pub async fn prepared<F, Fut>(&self, prepare: F) -> String
    where
        F: FnOnce(String) -> Fut,
        Fut: Future<Output = ()>,
    {
        self.copy_of(1, prepare).await
    }

    async fn copy_of<F, Fut>(&self, number: usize, make: F) -> String
    where
        F: FnOnce(String) -> Fut,
        Fut: Future<Output = ()>,
    {
        let template = self.templates[number]
            .get_or_init(|| async {
                let name = fresh();
                self.admin(&format!("create database {name}")).await;
                make(self.url(&name)).await;
                name
            })
            .await;
        let name = fresh();
        self.admin(&format!("create database {name} template {template}"))
            .await;
        self.url(&name)
    }

    /// Another server that follows this one. From then on each commit of this one waits until the other has it.
    ///
    /// # Errors
    /// No PostgreSQL is installed, or it does not start.
    pub async fn standby(&self) -> Result<Self, Missing> {
        let own = self.own.as_ref().expect("a server that we started");
        let folder = child::scratch("pg");
        if let Some(user) = child::servant() {
            run(Command::new("chown").arg(format!("{user}:")).arg(&folder))?;
        }
        let mut copy = child::command(own.programs.join("pg_basebackup"), RunAs::Servant, "KILL");
        copy.args(["-U", "postgres", "-R", "--no-sync", "-c", "fast", "-h"])
            .arg(&own.folder)
            .arg("-D")
            .arg(folder.join("data"))
            .current_dir(&folder);
        tokio::task::spawn_blocking(move || run(&mut copy))
            .await
            .expect("a program that ran")?;
        let this = Self {
            base: String::new(),
            own: Some(Own {
                programs: own.programs.clone(),
                folder,
                durability: Durability::Crash,
                process: Mutex::new(None),
            }),
            templates: Default::default(),
        };
        this.revive().await?;
        self.admin("alter system set synchronous_standby_names = '*'")
            .await;
        self.admin("select pg_reload_conf()").await;
        Ok(this)
    }

    /// Ends the standby's following: it accepts writes when this returns.
    pub async fn promote(&self) {
        self.admin("select pg_promote()").await;
    }

    /// Accepts no more writes, also from those who are connected, as when another server is about to take over.
    pub async fn fence(&self) {
        self.admin("alter system set default_transaction_read_only = on")
            .await;
        self.admin("select pg_reload_conf()").await;
    }

    /// Its process. Only for one that we started and that runs.
    #[must_use]
    pub fn id(&self) -> u32 {
        let own = self.own.as_ref().expect("a server that we started");
        own.lock().as_ref().expect("a server that runs").id()
    }

    /// The socket on which it listens. Only for one that we started.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        let own = self.own.as_ref().expect("a server that we started");
        own.folder.join(".s.PGSQL.5432")
    }

    /// Ends it in good order, as `systemctl stop` would.
    pub async fn stop(&self) {
        let own = self.own.as_ref().expect("a server that we started");
        if let Some(process) = own.lock().as_ref() {
            child::signal(process.id(), "INT");
        }
        let ended = || async { own.ended().then_some(()) };
        crate::until("PostgreSQL's end", Duration::from_secs(30), ended)
            .await
            .unwrap_or_else(|why| panic!("{why}"));
    }

    /// Kills the server at once, as a crash would. Only for one that we started with [`Postgres::start`].
    pub fn kill(&self) {
        let own = self.own.as_ref().expect("a server that we started");
        if let Some(mut process) = own.lock().take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again on the same data, and waits until it answers.
    ///
    /// # Errors
    /// It does not start; the end of its log is in the reason.
    pub async fn revive(&self) -> Result<(), Missing> {
        let own = self.own.as_ref().expect("a server that we started");
        own.clear_after_crash().await;
        own.launch()?;
        let ready = || async {
            // While a child of the killed one lives on, a new server ends at once.
            if own.ended() {
                own.launch().ok()?;
            }
            own.answers().then_some(())
        };
        crate::until("PostgreSQL", Duration::from_secs(30), ready)
            .await
            .map_err(|why| Missing::new("PostgreSQL", format!("{why}; {}", own.log_end())))
    }

    async fn admin(&self, statement: &str) {
        let database = Database::connect(self.url("postgres"))
            .await
            .expect("PostgreSQL answers");
        database
            .execute_unprepared(statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
        let _ = database.close().await;
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            if let Some(mut process) = own.lock().take() {
                child::signal(process.id(), "QUIT");
                let _ = process.wait();
            }
            let _ = std::fs::remove_dir_all(&own.folder);
        }
    }
}

impl Own {
    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn launch(&self) -> Result<(), Missing> {
        let process = child::spawn(self.command())
            .map_err(|error| Missing::new("PostgreSQL", error.to_string()))?;
        *self.lock() = Some(process);
        Ok(())
    }

    fn ended(&self) -> bool {
        self.lock()
            .as_mut()
            .is_none_or(|process| process.try_wait().is_ok_and(|status| status.is_some()))
    }

    fn command(&self) -> Command {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .expect("a log");
        // QUIT is PostgreSQL's immediate stop: it takes its children and its socket with it.
        let mut command = child::command(self.programs.join("postgres"), RunAs::Servant, "QUIT");
        command
            .arg("-D")
            .arg(self.folder.join("data"))
            .current_dir(&self.folder);
        let on = |is_on: bool| if is_on { "on" } else { "off" };
        let commit = on(self.durability != Durability::Nothing);
        let disk = on(self.durability == Durability::PowerLoss);
        for setting in [
            "listen_addresses=",
            &format!("unix_socket_directories={}", self.folder.display()),
            &format!("synchronous_commit={commit}"),
            &format!("fsync={disk}"),
            &format!("full_page_writes={disk}"),
            "shared_buffers=64MB",
            "max_connections=1000",
        ] {
            command.arg("-c").arg(setting);
        }
        command.stdout(Stdio::null()).stderr(log);
        command
    }

    fn answers(&self) -> bool {
        let mut ask = Command::new(self.programs.join("pg_isready"));
        ask.args(["-q", "-h"])
            .arg(&self.folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Debian's pg_isready belongs to the client; where it is missing, the socket must do.
        ask.status().map_or_else(
            |_| self.folder.join(".s.PGSQL.5432").exists(),
            |status| status.success(),
        )
    }

    /// A killed server leaves its lock and its socket behind, and its children end a moment later.
    async fn clear_after_crash(&self) {
        let lock = self.folder.join("data/postmaster.pid");
        let _ = std::fs::remove_file(lock);
        for name in [".s.PGSQL.5432", ".s.PGSQL.5432.lock"] {
            let _ = std::fs::remove_file(self.folder.join(name));
        }
    }

    fn log_end(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        text.lines()
            .rev()
            .take(5)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
            .join(" | ")
    }
}

fn fresh() -> String {
    format!("t{}", uuid::Uuid::new_v4().simple())
}

fn programs() -> Result<PathBuf, Missing> {
    let mut folders: Vec<PathBuf> = std::env::var_os("PGBIN")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    let mut debian: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path().join("bin"))
        .collect();
    let version = |folder: &PathBuf| {
        folder
            .parent()
            .and_then(Path::file_name)
            .and_then(|v| v.to_str()?.parse::<u32>().ok())
    };
    debian.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    folders.extend(debian);
    let initdb = child::find("initdb", &folders).ok_or_else(|| {
        Missing::new(
            "PostgreSQL",
            "no initdb in $PGBIN, /usr/lib/postgresql/*/bin or PATH; scripts/setup.sh installs it",
        )
    })?;
    Ok(initdb.parent().expect("a folder").to_path_buf())
}

fn run(command: &mut Command) -> Result<(), Missing> {
    let what = format!("{command:?}");
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Missing::new(
            "PostgreSQL",
            format!("{what}: {}", String::from_utf8_lossy(&output.stderr)),
        )),
        Err(error) => Err(Missing::new("PostgreSQL", format!("{what}: {error}"))),
    }
}
