//! Tickets and counters in Redis, shared by all copies of the service.
//!
//! Every step is one command or one script over keys of one slot, so Redis itself makes it atomic. Each waits
//! [`PATIENCE`] for its answer and none is sent twice: a claim whose answer was lost may have happened. So an answer that
//! is here must be read before it is given up: see [`within`]. All callers share one multiplexed connection; a broken or
//! silent one is put away, and the next caller dials.
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

use super::{Answer, Counter, EPOCH_KEPT, Once, Policy, Store, away, bounded};
use crate::{clock::Time, error::InfraError};

/// How long Redis may take to take a connection, and to answer.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

/// In how many parts that time is counted.
const TURNS: u32 = 10;

/// An idle connection is probed so often, so that nothing between us and Redis forgets it.
const KEPT_ALIVE: Duration = Duration::from_secs(30);

/// Commands on their way at once, before callers queue.
const ON_THE_WAY: usize = 512;

/// A live value (its first byte is `L`) is replaced by its tombstone; what stood there is the answer.
const CLAIM: &str = "\
local found = redis.call('GET', KEYS[1])
if found and string.byte(found, 1) == 76 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return found";

/// KEYS: one. ARGV: how the value to be replaced begins; the new one.
const REPLACE: &str = "\
local found = redis.call('GET', KEYS[1])
if not found or string.sub(found, 1, 13) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1";

/// KEYS: counters. ARGV: limit and window of each. Looks at all before it raises any; the answer is how long to wait.
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

/// KEYS: epoch, identifier. ARGV: now and the epoch's life; the value and its life. The answer: the epoch for a first
/// use; 0 for a further one; -1 where there was no epoch.
const ONCE: &str = "\
local since = tonumber(redis.call('GET', KEYS[1]) or '')
if not since then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return -1
end
if redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4], 'NX') then return since end
return 0";

/// KEYS: epoch. ARGV: now and its life. An epoch that is there keeps its value.
const EPOCH: &str = "\
if tonumber(redis.call('GET', KEYS[1]) or '') then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1";

type Slot = ArcSwapOption<MultiplexedConnection>;

pub(super) struct Redis {
    client: Client,
    place: String,
    patience: Duration,
    /// The connection in use; read without a lock.
    slot: Arc<Slot>,
    /// Held while one caller dials; the others wait for its connection instead of making their own.
    dialing: Mutex<()>,
    claim: Script,
    replace: Script,
    hit: Script,
    once: Script,
    epoch: Script,
}

impl Redis {
    pub(super) fn open(url: &str, patience: Duration) -> Result<Self, InfraError> {
        let info = read_url(url)?;
        let place = describe(&info);
        Ok(Self {
            client: Client::open(info)
                .map_err(|e| InfraError::internal(format_args!("tickets.url: {}", e.category())))?,
            place,
            patience,
            slot: Arc::default(),
            dialing: Mutex::default(),
            claim: Script::new(CLAIM),
            replace: Script::new(REPLACE),
            hit: Script::new(HIT),
            once: Script::new(ONCE),
            epoch: Script::new(EPOCH),
        })
    }

    async fn line(&self) -> Result<Arc<MultiplexedConnection>, InfraError> {
        if let Some(line) = self.slot.load_full() {
            return Ok(line);
        }
        within(self.patience, self.dial())
            .await
            .ok_or_else(|| away("no connection in time"))?
    }

    async fn dial(&self) -> Result<Arc<MultiplexedConnection>, InfraError> {
        let _turn = self.dialing.lock().await;
        if let Some(line) = self.slot.load_full() {
            return Ok(line);
        }
        let slot = Arc::downgrade(&self.slot);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(ON_THE_WAY)
            .set_push_sender(move |push| hung_up(&slot, &push));
        let line = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(away)?;
        let line = Arc::new(line);
        self.slot.store(Some(line.clone()));
        Ok(line)
    }

    /// A line that broke or fell silent, or whose server may no longer write, is put away, unless a newer one is there
    /// already. Callers that still wait for an answer on it keep it until they have it.
    fn judge<T>(
        &self,
        line: Arc<MultiplexedConnection>,
        answer: RedisResult<T>,
    ) -> Result<T, InfraError> {
        answer.map_err(|error| {
            if error.is_io_error() || error.is_unrecoverable_error() || is_demoted(&error) {
                self.slot.compare_and_swap(&Some(line), None);
            }
            away(error)
        })
    }

    async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, InfraError> {
        let line = self.line().await?;
        let answer = self
            .answer(command.query_async(&mut MultiplexedConnection::clone(&line)))
            .await;
        self.judge(line, answer)
    }

    async fn answer<T>(&self, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        within(self.patience, work)
            .await
            .unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }

    /// Redis may answer that it does not know the script (after a restart): then, and only then, nothing was done and
    /// the script is loaded and called again.
    async fn script<T: FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, InfraError> {
        let line = self.line().await?;
        let answer = self
            .answer(call.invoke_async(&mut MultiplexedConnection::clone(&line)))
            .await;
        self.judge(line, answer)
    }
}

/// What comes of `work`, unless it takes longer than `patience`.
///
/// The time is counted in parts that follow each other. On a machine out of breath each lasts longer, so that it is Redis
/// whose silence is counted and not our own: an answer that lies in the socket while all threads are busy is read
/// between two parts. One long wait would run out first, and a claim that had worked would be called lost.
async fn within<T>(patience: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin::pin!(work);
    for _ in 0..TURNS {
        if let Ok(done) = timeout(patience / TURNS, work.as_mut()).await {
            return Some(done);
        }
    }
    None
}

/// Redis closed the connection, perhaps for being idle: the next caller dials instead of meeting a dead line.
fn hung_up(slot: &Weak<Slot>, push: &PushInfo) -> Result<(), std::convert::Infallible> {
    if push.kind == PushKind::Disconnection
        && let Some(slot) = slot.upgrade()
    {
        slot.store(None);
    }
    Ok(())
}

/// After a failover the name in the URL may lead to the new primary; this line does not.
fn is_demoted(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
    )
}

fn read_url(url: &str) -> Result<ConnectionInfo, InfraError> {
    // The words name no part of the URL: a password may stand in any of them.
    let bad = |why: &str| InfraError::internal(format_args!("tickets.url: {why}"));
    let parsed = url::Url::parse(url).map_err(|_| bad("not a URL; write redis://host:6379/0"))?;
    if !matches!(parsed.scheme(), "redis" | "rediss" | "redis+unix") {
        return Err(bad(
            "write memory:, redis://…, rediss://… or redis+unix:///path",
        ));
    }
    if parsed.fragment().is_some() {
        return Err(bad(
            "remove what follows #: certificates are always checked",
        ));
    }
    let info = parsed
        .into_connection_info()
        .map_err(|e| bad(e.detail().unwrap_or(e.category())))?;
    // RESP3 tells at once when a connection ends.
    let settings = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3);
    let socket = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(KEPT_ALIVE));
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
    fn put_new<'a>(&'a self, key: &'a str, blob: Vec<u8>, ttl: Duration) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut set = cmd("SET");
            set.arg(key).arg(blob).arg("PX").arg(millis(ttl)).arg("NX");
            Ok(self.command::<Option<String>>(&set).await?.is_some())
        })
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.command(cmd("GET").arg(key)).await })
    }

    fn claim<'a>(
        &'a self,
        key: &'a str,
        tombstone: Vec<u8>,
        keep: Duration,
    ) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            self.script(self.claim.key(key).arg(tombstone).arg(millis(keep)))
                .await
        })
    }

    fn replace_if<'a>(&'a self, key: &'a str, seen: &'a [u8], blob: Vec<u8>) -> Answer<'a, bool> {
        Box::pin(async move { self.script(self.replace.key(key).arg(seen).arg(blob)).await })
    }

    fn hit<'a>(
        &'a self,
        keys: Vec<String>,
        counters: &'a [Counter],
    ) -> Answer<'a, Option<Duration>> {
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
        key: &'a str,
        epoch: &'a str,
        blob: Vec<u8>,
        ttl: Duration,
        now: Time,
    ) -> Answer<'a, Once> {
        Box::pin(async move {
            let mut call = self.once.key(epoch);
            call.key(key)
                .arg(now.0)
                .arg(millis(EPOCH_KEPT))
                .arg(blob)
                .arg(millis(ttl));
            Ok(match self.script::<i64>(&call).await? {
                0 => Once::Again,
                since if since > 0 => Once::First { since: Time(since) },
                _ => Once::Forgotten,
            })
        })
    }

    fn keep_epoch<'a>(&'a self, epoch: &'a str, now: Time) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut call = self.epoch.key(epoch);
            self.script::<i64>(call.arg(now.0).arg(millis(EPOCH_KEPT)))
                .await
                .map(drop)
        })
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async move { self.command::<String>(&cmd("PING")).await.map(drop) })
    }

    fn policy(&self) -> Answer<'_, Policy> {
        Box::pin(async move {
            let line = self.line().await?;
            let mut info = cmd("INFO");
            info.arg("memory");
            let answer: RedisResult<String> = self
                .answer(info.query_async(&mut MultiplexedConnection::clone(&line)))
                .await;
            match answer {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => {
                    Ok(Policy::Unreadable("this user may not ask INFO".to_owned()))
                }
                answer => Ok(read_policy(&self.judge(line, answer)?)),
            }
        })
    }

    /// Redis drops expired keys by itself.
    fn sweep(&self) -> usize {
        0
    }

    fn describe(&self) -> String {
        self.place.clone()
    }
}

fn read_policy(info: &str) -> Policy {
    match info
        .lines()
        .find_map(|line| line.trim().strip_prefix("maxmemory_policy:"))
    {
        Some("noeviction") => Policy::Refuses,
        Some(other) => Policy::Evicts(other.to_owned()),
        None => Policy::Unreadable("INFO names no maxmemory_policy".to_owned()),
    }
}

#[cfg(test)]
pub(super) mod server;
#[cfg(test)]
mod tests;
