//! One server in a container: which image, how it is started, when it answers, and which variables the test kit gets
//! for it.

use std::{net::SocketAddr, time::Duration};

use testcontainers::{
    ContainerAsync, ContainerRequest, GenericImage, ImageExt,
    core::{IntoContainerPort, WaitFor},
    runners::AsyncRunner,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::Failure;

/// Not the versions of `docker-compose.yml` but the older ones that entree supports as well.
const POSTGRES: &str = "16.10-bookworm";
const REDIS: &str = "7.4.2-bookworm";

/// How long an image may take to come and its server to begin.
const PATIENCE: Duration = Duration::from_secs(300);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL, not durable, as the test kit starts its own.
    Postgres,
    /// Redis with `noeviction`, nothing on disk.
    Redis,
    /// Mailpit, at the version that the test kit speaks to.
    Mailpit,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Postgres, Self::Redis, Self::Mailpit];

    /// The kind by the name that the command line has for it; refuses any other name.
    pub fn named(name: &str) -> Result<Self, String> {
        match name {
            "postgres" => Ok(Self::Postgres),
            "redis" => Ok(Self::Redis),
            "mailpit" => Ok(Self::Mailpit),
            _ => Err(format!("{name}: not one of postgres, redis, mailpit")),
        }
    }

    fn request(self, password: &str) -> Result<ContainerRequest<GenericImage>, Failure> {
        let request = match self {
            // The image starts a server for itself first, which logs to stdout; the one that stays logs to stderr.
            Self::Postgres => GenericImage::new("postgres", POSTGRES)
                .with_exposed_port(5432.tcp())
                .with_wait_for(WaitFor::message_on_stderr(
                    "database system is ready to accept connections",
                ))
                .with_env_var("POSTGRES_PASSWORD", password)
                .with_env_var("POSTGRES_INITDB_ARGS", "-E UTF8 --locale=C --no-sync")
                .with_cmd(POSTGRES_SETTINGS.iter().flat_map(|setting| ["-c", setting])),
            Self::Redis => GenericImage::new("redis", REDIS)
                .with_exposed_port(6379.tcp())
                .with_cmd(
                    [
                        "redis-server",
                        "--save",
                        "",
                        "--appendonly",
                        "no",
                        "--maxmemory",
                        "128mb",
                    ]
                    .into_iter()
                    .chain([
                        "--maxmemory-policy",
                        "noeviction",
                        "--requirepass",
                        password,
                    ]),
                ),
            Self::Mailpit => GenericImage::new("axllent/mailpit", mailpit_version()?)
                .with_exposed_port(8025.tcp())
                .with_exposed_port(1025.tcp())
                .with_cmd([
                    "--max",
                    "0",
                    "--smtp-disable-rdns",
                    "--disable-version-check",
                    "--quiet",
                ]),
        };
        Ok(request.with_startup_timeout(PATIENCE))
    }
}

const POSTGRES_SETTINGS: [&str; 5] = [
    "synchronous_commit=off",
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=64MB",
    "max_connections=200",
];

/// A server that answers.
#[derive(Debug)]
pub struct Server {
    container: ContainerAsync<GenericImage>,
    variables: String,
}

impl Server {
    /// Starts it and waits until it answers where the tests will call it.
    pub async fn start(kind: Kind) -> Result<Self, Failure> {
        // The engine publishes ports on every address of the machine, hence the password.
        let password = uuid::Uuid::new_v4().simple().to_string();
        let container = kind.request(&password)?.start().await?;
        let mut this = Self {
            container,
            variables: String::new(),
        };
        match this.introduce(kind, &password).await {
            Ok(variables) => this.variables = variables,
            Err(error) => {
                let _ = this.remove().await;
                return Err(format!("{kind:?}: {error}").into());
            }
        }
        Ok(this)
    }

    /// The lines `NAME=VALUE` for the test kit.
    pub fn variables(&self) -> &str {
        &self.variables
    }

    /// Stops and removes it with its data.
    pub async fn remove(self) -> Result<(), Failure> {
        Ok(self.container.rm().await?)
    }

    async fn introduce(&self, kind: Kind, password: &str) -> Result<String, Failure> {
        match kind {
            Kind::Postgres => {
                let at = self.address(5432).await?;
                // SSLRequest (PostgreSQL protocol 3.0, message formats): answered by one letter before any sign-in.
                until_answer(at, &[0, 0, 0, 8, 4, 210, 22, 47], b"N").await?;
                Ok(format!(
                    "TEST_POSTGRES_URL=postgres://postgres:{password}@{at}\n"
                ))
            }
            Kind::Redis => {
                let at = self.address(6379).await?;
                until_answer(
                    at,
                    format!("AUTH {password}\r\nPING\r\n").as_bytes(),
                    b"+OK\r\n+PONG",
                )
                .await?;
                Ok(format!("TEST_REDIS_URL=redis://:{password}@{at}\n"))
            }
            Kind::Mailpit => {
                let (web, smtp) = (self.address(8025).await?, self.address(1025).await?);
                let ask =
                    format!("GET /readyz HTTP/1.1\r\nHost: {web}\r\nConnection: close\r\n\r\n");
                until_answer(web, ask.as_bytes(), b"HTTP/1.1 200").await?;
                until_answer(smtp, b"", b"220 ").await?;
                Ok(format!("MAILPIT_URL=http://{web}\nMAILPIT_SMTP={smtp}\n"))
            }
        }
    }

    /// As an address, not a name: the port is published on IPv4, and the test kit wants `MAILPIT_SMTP` so.
    async fn address(&self, port: u16) -> Result<SocketAddr, Failure> {
        let host = self.container.get_host().await?.to_string();
        let port = self.container.get_host_port_ipv4(port.tcp()).await?;
        let mut found = tokio::net::lookup_host((host.as_str(), port)).await?;
        found
            .find(SocketAddr::is_ipv4)
            .ok_or_else(|| format!("{host} has no IPv4 address").into())
    }
}

/// Asks until the answer begins with `expected`: the engine takes connections before the server behind it does.
async fn until_answer(at: SocketAddr, question: &[u8], expected: &[u8]) -> Result<(), Failure> {
    let asking = async {
        while !matches!(
            timeout(Duration::from_secs(2), answers(at, question, expected)).await,
            Ok(Ok(true))
        ) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(30), asking)
        .await
        .map_err(|_| format!("{at} does not answer").into())
}

async fn answers(at: SocketAddr, question: &[u8], expected: &[u8]) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(question).await?;
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer == expected)
}

/// The version of Mailpit stands once, in the test kit.
fn mailpit_version() -> Result<&'static str, Failure> {
    let text = include_str!("../../testkit/src/mailpit.rs");
    let version = text
        .split_once("VERSION: &str = \"")
        .and_then(|(_, rest)| rest.split_once('"'));
    version
        .map(|(version, _)| version)
        .ok_or_else(|| "tests/testkit/src/mailpit.rs has no VERSION".into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]
mod tests {
    use super::*;

    #[test]
    fn mailpit_has_the_version_of_the_test_kit() {
        let version = mailpit_version().unwrap();
        assert!(
            version.starts_with("v1.") && version.len() < 12,
            "{version}"
        );
    }

    #[test]
    fn redis_refuses_to_evict_and_wants_the_password() {
        let request = Kind::Redis.request("secret").unwrap();
        let command: Vec<_> = request.cmd().collect();
        let line = command.join(" ");
        assert!(
            line.ends_with("--maxmemory-policy noeviction --requirepass secret"),
            "{line}"
        );
    }

    #[tokio::test]
    async fn an_answer_counts_only_when_it_is_the_expected_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            // First as the engine does while its server is not there yet, then a refusal, then the answer.
            for text in ["", "-ERR", "+OK\r\n"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 16]).await;
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        });
        until_answer(at, b"PING\r\n", b"+OK\r").await.unwrap();
        serving.await.unwrap();
    }
}
