//! Tickets and counters in Redis, shared by all instances.
//!
//! Every operation is one command or one script over keys of one slot, so Redis makes it atomic. Each waits
//! [`TIMEOUT`] for its response and none is sent twice: a claim whose response was lost may have happened. So a
//! response that has arrived must be read before it is given up: see [`within`]. All callers share one
//! multiplexed connection; a broken or silent one is dropped, and the next caller connects.
//!
//! Needs Redis 6.2 and a user with `~PREFIX* +evalsha +script|load +get +set +incr +pttl +pexpire +ping +hello`, and
//! `+info` so that its eviction policy can be checked.

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
    cmd,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use arc_swap::ArcSwapOption;
use tokio::{sync::Mutex, time::timeout};

use super::store::{
    Counter, EPOCH_TTL, EvictionPolicy, Once, OnceKeys, Store, StoreResult, bounded, unavailable,
};
use crate::{clock::Time, error::InfraError};

/// The time-out of a connection and of a response.
pub(super) const TIMEOUT: Duration = Duration::from_millis(250);

/// The number of steps in which the time-out is counted.
const TIMEOUT_STEPS: u32 = 10;

/// The interval of TCP keep-alive, so that no network device between the service and Redis drops the
/// connection.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The commands in flight before callers queue.
const MAX_IN_FLIGHT: usize = 512;

/// Replaces a live value (its first byte is `L`) by its tombstone. Returns the value before.
const CLAIM: &str = "\
local found = redis.call('GET', KEYS[1])
if found and string.byte(found, 1) == 76 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return found";

/// KEYS: one. ARGV: the version of the value to replace; the new value.
const REPLACE: &str = "\
local found = redis.call('GET', KEYS[1])
if not found or string.sub(found, 1, 13) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1";

/// KEYS: counters. ARGV: limit and window of each. Reads all before it raises any. Returns the time to wait.
const HIT: &str = "\
local wait = 0
for i, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or 0) >= tonumber(ARGV[2 * i - 1]) then
    local left = redis.call('PTTL', key)
    if left == -2 then left = tonumber(ARGV[2 * i]) end
    wait = math.max(wait, left, 1)
  end
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do
  if redis.call('INCR', key) == 1 then redis.call('PEXPIRE', key, ARGV[2 * i]) end
end
return 0";

/// KEYS: epoch, identifier. ARGV: now and the epoch's TTL; the value and its TTL. Returns the epoch for a first use,
/// 0 for a further one, -1 without an epoch.
const ONCE: &str = "\
local since = tonumber(redis.call('GET', KEYS[1]) or '')
if not since then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return -1
end
if redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4], 'NX') then return since end
return 0";

/// KEYS: epoch. ARGV: now and its TTL. An existing epoch keeps its value.
const EPOCH: &str = "\
if tonumber(redis.call('GET', KEYS[1]) or '') then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1";

type Slot = ArcSwapOption<MultiplexedConnection>;

pub(super) struct Redis {
    client: Client,
    address: String,
    timeout: Duration,
    /// The connection in use; read without a lock.
    slot: Arc<Slot>,
    /// Held while one caller connects; the others wait for its connection.
    connecting: Mutex<()>,
    claim: Script,
    replace: Script,
    hit: Script,
    once: Script,
    epoch: Script,
}

impl Redis {
    pub(super) fn open(url: &str, timeout: Duration) -> Result<Self, InfraError> {
        let info = read_url(url)?;
        let address = describe(&info);
        Ok(Self {
            client: Client::open(info)
                .map_err(|e| InfraError::internal(format_args!("tickets.url: {}", e.category())))?,
            address,
            timeout,
            slot: Arc::default(),
            connecting: Mutex::default(),
            claim: Script::new(CLAIM),
            replace: Script::new(REPLACE),
            hit: Script::new(HIT),
            once: Script::new(ONCE),
            epoch: Script::new(EPOCH),
        })
    }

    async fn connection(&self) -> Result<Arc<MultiplexedConnection>, InfraError> {
        if let Some(connection) = self.slot.load_full() {
            return Ok(connection);
        }
        within(self.timeout, self.connect())
            .await
            .ok_or_else(|| unavailable("no connection in time"))?
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
            .map_err(unavailable)?;
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
            unavailable(error)
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
    u64::try_from(bounded(duration).as_millis()).unwrap_or(u64::MAX)
}

impl Store for Redis {
    fn put_new<'a>(&'a self, key: &'a str, blob: Vec<u8>, ttl: Duration) -> StoreResult<'a, bool> {
        Box::pin(async move {
            let mut set = cmd("SET");
            set.arg(key).arg(blob).arg("PX").arg(millis(ttl)).arg("NX");
            Ok(self.command::<Option<String>>(&set).await?.is_some())
        })
    }

    fn get<'a>(&'a self, key: &'a str) -> StoreResult<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.command(cmd("GET").arg(key)).await })
    }

    fn claim<'a>(
        &'a self,
        key: &'a str,
        tombstone: Vec<u8>,
        keep: Duration,
    ) -> StoreResult<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            self.script(self.claim.key(key).arg(tombstone).arg(millis(keep)))
                .await
        })
    }

    fn replace_if<'a>(
        &'a self,
        key: &'a str,
        seen: &'a [u8],
        blob: Vec<u8>,
    ) -> StoreResult<'a, bool> {
        Box::pin(async move { self.script(self.replace.key(key).arg(seen).arg(blob)).await })
    }

    fn hit<'a>(
        &'a self,
        keys: Vec<String>,
        counters: &'a [Counter],
    ) -> StoreResult<'a, Option<Duration>> {
        Box::pin(async move {
            let mut call = self.hit.key(keys);
            for counter in counters {
                call.arg(counter.limit).arg(millis(counter.window));
            }
            let wait: u64 = self.script(&call).await?;
            Ok((wait > 0).then(|| Duration::from_millis(wait)))
        })
    }

    fn once<'a>(
        &'a self,
        keys: OnceKeys<'a>,
        blob: Vec<u8>,
        ttl: Duration,
        now: Time,
    ) -> StoreResult<'a, Once> {
        Box::pin(async move {
            let mut call = self.once.key(keys.epoch);
            call.key(keys.identifier)
                .arg(now.0)
                .arg(millis(EPOCH_TTL))
                .arg(blob)
                .arg(millis(ttl));
            Ok(match self.script::<i64>(&call).await? {
                0 => Once::Again,
                since if since > 0 => Once::First { since: Time(since) },
                _ => Once::Forgotten,
            })
        })
    }

    fn keep_epoch<'a>(&'a self, epoch: &'a str, now: Time) -> StoreResult<'a, ()> {
        Box::pin(async move {
            let mut call = self.epoch.key(epoch);
            self.script::<i64>(call.arg(now.0).arg(millis(EPOCH_TTL)))
                .await
                .map(drop)
        })
    }

    fn ping(&self) -> StoreResult<'_, ()> {
        Box::pin(async move { self.command::<String>(&cmd("PING")).await.map(drop) })
    }

    fn policy(&self) -> StoreResult<'_, EvictionPolicy> {
        Box::pin(async move {
            let connection = self.connection().await?;
            let mut info = cmd("INFO");
            info.arg("memory");
            let response: RedisResult<String> = self
                .in_time(info.query_async(&mut MultiplexedConnection::clone(&connection)))
                .await;
            match response {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => Ok(
                    EvictionPolicy::Unreadable("this user may not run INFO".to_owned()),
                ),
                response => Ok(read_policy(&self.check_response(connection, response)?)),
            }
        })
    }

    /// Redis drops expired keys by itself.
    fn sweep(&self) -> usize {
        0
    }

    fn describe(&self) -> String {
        self.address.clone()
    }
}

fn read_policy(info: &str) -> EvictionPolicy {
    match info
        .lines()
        .find_map(|connection| connection.trim().strip_prefix("maxmemory_policy:"))
    {
        Some("noeviction") => EvictionPolicy::Refuses,
        Some(other) => EvictionPolicy::Evicts(other.to_owned()),
        None => EvictionPolicy::Unreadable("INFO names no maxmemory_policy".to_owned()),
    }
}

#[cfg(test)]
pub(super) mod server;
#[cfg(test)]
mod tests;
