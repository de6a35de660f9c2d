//! Tickets and counters in Redis, shared by all instances.
//!
//! Every operation is one command or one script, so Redis makes it atomic. Each waits
//! [`TIMEOUT`] for its response and none is sent twice: a claim whose response was lost may have happened. So a
//! response that has arrived must be read before it is given up: see [`within`]. All callers share one
//! multiplexed connection; a broken or silent one is dropped, and the next caller connects.
//!
//! Scripts also keep the account of the space that entries take, so all keys are on one server: a Redis Cluster does
//! not do.
//!
//! Needs Redis 6.2 and a user with the permissions that docs/operations.md lists, among them `+info` so that its
//! eviction policy can be checked.

use std::{
    io, pin,
    sync::{Arc, Weak},
    time::Duration,
};

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo as _, ProtocolVersion, PushInfo, PushKind, RedisError, RedisResult, Script,
    ScriptInvocation, ServerErrorKind,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use arc_swap::ArcSwapOption;
use tokio::{sync::Mutex, time::timeout};

use self::scripts::Scripts;
pub use self::tls::StoreTls;
use super::{
    payer::Groups,
    store::{Space, bounded_ttl, store_unavailable},
};
use crate::error::InfraError;

/// The time-out of a connection and of a response.
pub(super) const TIMEOUT: Duration = Duration::from_millis(250);

/// The number of steps in which the time-out is counted.
const TIMEOUT_STEPS: u32 = 10;

/// The interval of TCP keep-alive, so that no network device between the service and Redis drops the
/// connection.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The commands in flight before callers queue.
const MAX_IN_FLIGHT: usize = 512;

type Slot = ArcSwapOption<MultiplexedConnection>;

pub(super) struct Redis {
    client: Client,
    address: String,
    timeout: Duration,
    /// The connection in use; read without a lock.
    slot: Arc<Slot>,
    /// Held while one caller connects; the others wait for its connection.
    connecting: Mutex<()>,
    scripts: Scripts,
}

impl Redis {
    #[cfg(test)]
    pub(super) fn open(url: &str, space: Space<'_>, timeout: Duration) -> Result<Self, InfraError> {
        Self::open_with(url, space, StoreTls::default(), timeout)
    }

    pub(super) fn open_with(
        url: &str,
        space: Space<'_>,
        tls: StoreTls,
        timeout: Duration,
    ) -> Result<Self, InfraError> {
        let info = read_url(url)?;
        let address = describe(&info);
        let client = match tls.certificates() {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        };
        Ok(Self {
            client: client
                .map_err(|e| InfraError::internal(format_args!("tickets.url: {}", e.category())))?,
            address,
            timeout,
            slot: Arc::default(),
            connecting: Mutex::default(),
            scripts: Scripts::new(space.prefix, space.max_bytes),
        })
    }

    async fn connection(&self) -> Result<Arc<MultiplexedConnection>, InfraError> {
        if let Some(connection) = self.slot.load_full() {
            return Ok(connection);
        }
        within(self.timeout, self.connect())
            .await
            .ok_or_else(|| store_unavailable("no connection in time"))?
    }

    async fn connect(&self) -> Result<Arc<MultiplexedConnection>, InfraError> {
        let _guard = self.connecting.lock().await;
        if let Some(connection) = self.slot.load_full() {
            return Ok(connection);
        }
        let slot = Arc::downgrade(&self.slot);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(MAX_IN_FLIGHT)
            .set_push_sender(move |push| on_push(&slot, &push));
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(store_unavailable)?;
        let connection = Arc::new(connection);
        self.slot.store(Some(connection.clone()));
        Ok(connection)
    }

    /// Drops a connection that broke, did not respond, or whose server may no longer write, unless a newer one
    /// has replaced it. Callers that wait for a response on it keep it until they have it.
    fn check_response<T>(
        &self,
        connection: Arc<MultiplexedConnection>,
        response: RedisResult<T>,
    ) -> Result<T, InfraError> {
        response.map_err(|error| {
            if error.is_io_error() || error.is_unrecoverable_error() || is_demoted(&error) {
                self.slot.compare_and_swap(&Some(connection), None);
            }
            store_unavailable(error)
        })
    }

    async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, InfraError> {
        let connection = self.connection().await?;
        let response = self
            .in_time(command.query_async(&mut MultiplexedConnection::clone(&connection)))
            .await;
        self.check_response(connection, response)
    }

    async fn in_time<T>(&self, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        within(self.timeout, work)
            .await
            .unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }

    /// Begins a call of a script for which no payer is charged.
    fn own_call<'a>(&self, script: &'a Script) -> ScriptInvocation<'a> {
        self.scripts.call(script, &Groups::default())
    }

    fn full(&self) -> InfraError {
        store_unavailable(format_args!("full: {} bytes", self.scripts.max_bytes()))
    }

    /// Calls a script. If Redis does not know it (after a restart), then nothing was done, and the script is
    /// loaded and called again.
    async fn script<T: FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, InfraError> {
        let connection = self.connection().await?;
        let response = self
            .in_time(call.invoke_async(&mut MultiplexedConnection::clone(&connection)))
            .await;
        self.check_response(connection, response)
    }
}

/// Returns the result of `work`, or `None` after `limit`.
///
/// The time is counted in consecutive steps. On an overloaded machine each step lasts longer, so that a response
/// that waits in the socket while all threads are busy is read between two steps. One long wait would expire first,
/// and a claim that had succeeded would be called lost.
async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin::pin!(work);
    for _ in 0..TIMEOUT_STEPS {
        if let Ok(done) = timeout(limit / TIMEOUT_STEPS, work.as_mut()).await {
            return Some(done);
        }
    }
    None
}

/// Drops a connection that Redis closed, perhaps for being idle, so that the next caller connects.
fn on_push(slot: &Weak<Slot>, push: &PushInfo) -> Result<(), std::convert::Infallible> {
    if push.kind == PushKind::Disconnection
        && let Some(slot) = slot.upgrade()
    {
        slot.store(None);
    }
    Ok(())
}

/// Whether the server was demoted: after a failover the name in the URL may lead to the new primary, but this
/// connection does not.
fn is_demoted(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
    )
}

fn read_url(url: &str) -> Result<ConnectionInfo, InfraError> {
    // The message contains no part of the URL: any may hold a password.
    let invalid = |why: &str| InfraError::internal(format_args!("tickets.url: {why}"));
    let parsed =
        url::Url::parse(url).map_err(|_| invalid("not a URL; write redis://host:6379/0"))?;
    if !matches!(parsed.scheme(), "redis" | "rediss" | "redis+unix") {
        return Err(invalid(
            "write memory:, redis://…, rediss://… or redis+unix:///path",
        ));
    }
    if parsed.fragment().is_some() {
        return Err(invalid(
            "remove what follows #: certificates are always checked",
        ));
    }
    let info = parsed
        .into_connection_info()
        .map_err(|e| invalid(e.detail().unwrap_or(e.category())))?;
    // RESP3 reports at once when a connection ends.
    let settings = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3);
    let socket = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(KEEP_ALIVE));
    Ok(info.set_redis_settings(settings).set_tcp_settings(socket))
}

fn describe(info: &ConnectionInfo) -> String {
    let database = info.redis_settings().db();
    match info.addr() {
        ConnectionAddr::TcpTls { host, port, .. } => format!("rediss://{host}:{port}/{database}"),
        ConnectionAddr::Tcp(host, port) if host.contains(':') => {
            format!("redis://[{host}]:{port}/{database}")
        }
        ConnectionAddr::Unix(path) => format!("redis+unix://{}?db={database}", path.display()),
        other => format!("redis://{other}/{database}"),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(bounded_ttl(duration).as_millis()).unwrap_or(u64::MAX)
}

mod operations;
mod scripts;
#[cfg(test)]
pub(super) mod server;
#[cfg(test)]
mod tests;
mod tls;
