//! `containers [postgres] [redis] [mailpit]` (all three where none is named): throw-away servers in containers, for
//! tests of entree on a machine that has a container engine and no server of its own.
//!
//! Once all answer, stdout has one `NAME=VALUE` line for each variable that the test kit reads (`TEST_POSTGRES_URL`,
//! `TEST_REDIS_URL`, `MAILPIT_URL`, `MAILPIT_SMTP`), then an empty line. They stay until stdin closes, or SIGINT or
//! SIGTERM comes, and are removed then. Exit code 3, and one line on stderr: no engine answers within 2 s.

use std::{
    io::{Read as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use testcontainers::bollard::Docker;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::timeout,
};

mod server;

use server::{Kind, Server};

/// Whatever went wrong, in words.
type Failure = Box<dyn std::error::Error + Send + Sync>;

const NO_ENGINE: u8 = 3;

#[tokio::main]
async fn main() -> ExitCode {
    let kinds = match kinds(std::env::args().skip(1)) {
        Ok(kinds) => kinds,
        Err(why) => return ended(2, &why),
    };
    let mut end = match End::new() {
        Ok(end) => end,
        Err(error) => return ended(1, &error.to_string()),
    };
    if !engine_answers().await {
        return ended(
            NO_ENGINE,
            "no container engine answers (DOCKER_HOST names one that is elsewhere)",
        );
    }
    // A request to end that comes while an image is still on its way takes effect once all is up: nothing is left
    // behind.
    let mut servers = Vec::new();
    let up = start(&kinds, &mut servers).await;
    if up.is_ok() {
        end.wait().await;
    }
    let mut code = up.map_or_else(|error| ended(1, &error.to_string()), |()| ExitCode::SUCCESS);
    for server in servers {
        if let Err(error) = server.remove().await {
            code = ended(1, &error.to_string());
        }
    }
    code
}

fn kinds(names: impl Iterator<Item = String>) -> Result<Vec<Kind>, String> {
    let named: Vec<Kind> = names
        .map(|name| Kind::named(&name))
        .collect::<Result<_, _>>()?;
    Ok(if named.is_empty() {
        Kind::ALL.to_vec()
    } else {
        named
    })
}

/// Those that started are in `servers` also when a later one fails.
async fn start(kinds: &[Kind], servers: &mut Vec<Server>) -> Result<(), Failure> {
    let mut lines = String::new();
    for kind in kinds {
        let server = Server::start(*kind).await?;
        lines.push_str(server.variables());
        servers.push(server);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{lines}")?;
    Ok(out.flush()?)
}

async fn engine_answers() -> bool {
    let Ok(engine) = Docker::connect_with_defaults() else {
        return false;
    };
    matches!(
        timeout(Duration::from_secs(2), engine.ping()).await,
        Ok(Ok(_))
    )
}

fn ended(code: u8, why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "containers: {why}");
    ExitCode::from(code)
}

/// What ends the servers.
struct End {
    stdin: oneshot::Receiver<()>,
    interrupt: Signal,
    terminate: Signal,
}

impl End {
    fn new() -> std::io::Result<Self> {
        let (closed, stdin) = oneshot::channel();
        // A thread of its own: the runtime would wait for one of its threads that still reads.
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while matches!(std::io::stdin().read(&mut buffer), Ok(1..)) {}
            let _ = closed.send(());
        });
        Ok(Self {
            stdin,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = &mut self.stdin => {}
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
