//! From the start on an empty directory to the first response of the discovery document (SP-6).

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use testkit::{
    Missing,
    child::{self, RunAs},
    driver::{
        connection::{Connection, Target},
        figures::median,
        process,
        report::{Table, caption, cell, publish, ratio},
        subject::{self, words},
    },
    entree::Backend,
    services::{Postgres, Redis},
};

use crate::{mib, not_measured, options::Options};

/// How often a start is measured.
const ROUNDS: usize = 7;

/// What SP-6 allows.
const GOAL_MS: f64 = 150.0;

pub(crate) async fn measure(options: &Options) {
    let mut table = Table::new([
        "back end",
        "first start ms, median",
        "least",
        "most",
        "to the goal of 150 ms",
        "memory",
    ]);
    let mut notes = String::new();
    for backend in options.backends.iter().copied() {
        match starts(&options.binary, backend).await {
            Ok(starts) => table.row(row(backend, &starts)),
            Err(missing) => notes.push_str(&not_measured(backend, &missing)),
        }
    }
    let caption = caption(&options.binary);
    let text = format!(
        "{caption} {ROUNDS} starts.\n\n{}\n{notes}",
        table.markdown()
    );
    publish("first start", &text);
}

/// One start: until the response, and the memory then.
struct Start {
    ms: f64,
    kib: u64,
}

fn row(backend: Backend, starts: &[Start]) -> [String; 6] {
    let ms = |ms: f64| format!("{ms:.0}");
    let all = || starts.iter().map(|start| start.ms);
    let middle = median(all());
    [
        words(backend).to_owned(),
        cell(middle, ms),
        cell(all().reduce(f64::min), ms),
        cell(all().reduce(f64::max), ms),
        ratio(middle, Some(GOAL_MS)),
        mib(starts.iter().map(|start| start.kib).max().unwrap_or(0)),
    ]
}

async fn starts(binary: &Path, backend: Backend) -> Result<Vec<Start>, Missing> {
    let servers = match backend {
        Backend::Embedded => None,
        _ => Some((Postgres::start_synced().await?, Redis::start().await?)),
    };
    let mut starts = Vec::new();
    for _ in 0..ROUNDS {
        starts.push(start(binary, backend, servers.as_ref()).await);
    }
    Ok(starts)
}

async fn start(binary: &Path, backend: Backend, servers: Option<&(Postgres, Redis)>) -> Start {
    let folder = child::scratch("first");
    let port = free_port();
    let mut options = subject::options(backend, ([127, 0, 0, 1], 9).into());
    let quoted = |text: &str| format!("\"{text}\"");
    options.put("server.listen", &quoted(&format!("127.0.0.1:{port}")));
    let public = format!("http://127.0.0.1:{port}");
    options.put("server.public_url", &quoted(&public));
    options.put("server.data_dir", &quoted("data"));
    if let Some((postgres, redis)) = servers {
        options.put("database.url", &quoted(&postgres.empty().await));
        options.put("tickets.url", &quoted(redis.url()));
        options.put("tickets.prefix", &quoted(&redis.prefix()));
    }
    std::fs::write(folder.join("entree.toml"), options.toml()).expect("a file");
    let begin = Instant::now();
    let process = Running(launch(binary, &folder));
    first_response(port, &folder).await;
    let start = Start {
        ms: begin.elapsed().as_secs_f64() * 1e3,
        kib: process::resident_kib(process.0.id()),
    };
    drop(process);
    let _ = std::fs::remove_dir_all(&folder);
    start
}

fn launch(binary: &Path, folder: &Path) -> Child {
    let log = std::fs::File::create(folder.join("log")).expect("a file");
    let mut command = child::command(binary, RunAs::Us, "KILL");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ENTREE_")) {
        command.env_remove(name);
    }
    command
        .arg("serve")
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(log);
    child::spawn(command).expect("the built binary")
}

async fn first_response(port: u16, folder: &Path) {
    let target = Target {
        address: ([127, 0, 0, 1], port).into(),
        host: format!("127.0.0.1:{port}"),
    };
    let request = target.get("/.well-known/openid-configuration", &[]);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60) {
        let response = Connection::new(target.address).send(&request).await;
        if response.is_ok_and(|response| response.status == 200) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    panic!("no response within a minute:\n{log}");
}

/// A port that is free now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// The service, which ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
