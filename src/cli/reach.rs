//! Why a server cannot be used, step by step: its name, its port, TLS, the login (OD-7).
//!
//! A pool of connections reports one time-out for all of these.

use std::{io::ErrorKind, time::Duration};

use sea_orm::sqlx::{Connection as _, Error as SqlxError, PgConnection};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use url::Url;

use crate::db::accepts_writes;

/// The time-out of each step.
const STEP_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a server could not be used, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    pub(super) what: String,
    pub(super) hint: &'static str,
}

impl Obstacle {
    fn new(what: impl Into<String>, hint: &'static str) -> Self {
        Self {
            what: what.into(),
            hint,
        }
    }
}

/// Resolves a name and opens a connection to a port, and closes it.
///
/// # Errors
/// DNS, refusal and time-out have words of their own.
pub(super) async fn connect_to(host: &str, port: u16) -> Result<(), Obstacle> {
    let host = host.trim_matches(['[', ']']);
    let resolved = timeout(STEP_TIMEOUT, lookup_host((host, port))).await;
    let addresses: Vec<_> = match resolved {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    if addresses.is_empty() {
        return Err(Obstacle::new(
            format!("the name {host} does not resolve (DNS)"),
            "is the name right, and does this machine reach its DNS server?",
        ));
    }
    match timeout(STEP_TIMEOUT, TcpStream::connect(addresses.as_slice())).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Err(Obstacle::new(
            format!("{host} refuses connections on port {port}"),
            "is the server running, and is the port right?",
        )),
        Ok(Err(error)) => Err(Obstacle::new(
            format!("{host} cannot be reached on port {port} ({})", error.kind()),
            "does the network of this machine lead there?",
        )),
        Err(_) => Err(Obstacle::new(
            format!("{host} does not respond on port {port} (time-out)"),
            "does a firewall drop the connection, and is the address right?",
        )),
    }
}

/// Resolves, connects and logs in to the PostgreSQL of a URL, past any pool.
///
/// # Errors
/// The first step that fails.
pub(super) async fn log_in_to_postgres(url: &str) -> Result<(), Obstacle> {
    let is_socket = url.contains("host=");
    if let Ok(parsed) = Url::parse(url)
        && let Some(host) = parsed
            .host_str()
            .filter(|host| !is_socket && !host.contains('%'))
    {
        connect_to(host, parsed.port().unwrap_or(5432)).await?;
    }
    match timeout(STEP_TIMEOUT, PgConnection::connect(url)).await {
        Ok(Ok(mut connection)) => {
            let accepts_writes = accepts_writes(&mut connection).await;
            // The login was the question; a connection that does not close cleanly is no obstacle.
            let _ = connection.close().await;
            match accepts_writes {
                Ok(true) => Ok(()),
                Ok(false) => Err(Obstacle::new(
                    "PostgreSQL accepts no writes",
                    "it is a standby, or default_transaction_read_only is on: name the primary in database.url",
                )),
                Err(error) => Err(login_obstacle(&error)),
            }
        }
        Ok(Err(error)) => Err(login_obstacle(&error)),
        Err(_) => Err(Obstacle::new(
            "the port is open, but PostgreSQL does not respond (time-out)",
            "is it PostgreSQL that listens there, and is it overloaded?",
        )),
    }
}

fn login_obstacle(error: &SqlxError) -> Obstacle {
    match error {
        SqlxError::Tls(cause) => Obstacle::new(
            format!("TLS with PostgreSQL failed: {cause}"),
            "does its certificate fit the host, and is its authority named by `sslrootcert` in database.url?",
        ),
        SqlxError::Database(refusal) => {
            let hint = match refusal.code().as_deref() {
                Some("28P01" | "28000") => {
                    "correct user and password in database.url, and pg_hba.conf there"
                }
                Some("3D000") => "create that database, or correct its name in database.url",
                Some("53300") => {
                    "raise max_connections there, or lower database.max_connections here"
                }
                Some("57P03") => "it is starting or stopping: wait a moment",
                _ => "correct database.url, or the settings of the server",
            };
            // The message alone: the library's debug form has lines of the server's sources.
            Obstacle::new(
                format!("PostgreSQL refuses the login: {}", refusal.message()),
                hint,
            )
        }
        other => Obstacle::new(
            format!("the connection broke at the login: {other}"),
            "is it PostgreSQL that listens there?",
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn od_7_dns_and_refusal_are_told_apart() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = closed.local_addr().unwrap().port();
        assert_eq!(connect_to("127.0.0.1", port).await, Ok(()));
        drop(closed);
        let refused = connect_to("127.0.0.1", port).await.unwrap_err();
        assert!(refused.what.contains("refuses connections"), "{refused:?}");
        let unknown = connect_to("database.invalid", 5432).await.unwrap_err();
        assert!(unknown.what.contains("DNS"), "{unknown:?}");
    }

    /// A server that accepts and says nothing is not PostgreSQL.
    #[tokio::test]
    async fn od_7_silence_is_a_time_out() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("postgres://u:secret@{}/d", silent.local_addr().unwrap());
        let obstacle = log_in_to_postgres(&url).await.unwrap_err();
        assert!(obstacle.what.contains("time-out"), "{obstacle:?}");
        assert!(!format!("{obstacle:?}").contains("secret"));
    }
}
