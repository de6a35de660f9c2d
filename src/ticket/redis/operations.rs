//! The operations of the store as commands and scripts of Redis.

use std::time::Duration;

use ::redis::{
    ErrorKind, RedisError, RedisResult, ServerErrorKind, aio::MultiplexedConnection, cmd,
};

use super::{Redis, millis, scripts::pool_field};
use crate::{
    clock::Time,
    ticket::{
        account::{Pool, Usage},
        payer::Groups,
        store::{
            Counter, EPOCH_TTL, EvictionPolicy, Issue, NewTicket, Once, OnceKeys, Store,
            StoreResult, Writable,
        },
    },
};

/// How long the entry stays that readiness writes.
const PROBE_TTL: Duration = Duration::from_secs(5);

impl Store for Redis {
    fn put_new<'a>(&'a self, new: NewTicket<'a>) -> StoreResult<'a, bool> {
        Box::pin(async move {
            let mut call = self.scripts.call(&self.scripts.issue, &new.groups);
            call.key(new.key).arg(new.blob).arg(millis(new.ttl));
            match self.script::<i64>(&call).await? {
                -1 => Err(self.full()),
                stored => Ok(stored == 1),
            }
        })
    }

    fn put_new_within<'a>(
        &'a self,
        new: NewTicket<'a>,
        keys: Vec<String>,
        counters: &'a [Counter],
    ) -> StoreResult<'a, Issue> {
        Box::pin(async move {
            let mut call = self.scripts.call(&self.scripts.issue_within, &new.groups);
            call.key(new.key).key(keys);
            call.arg(new.blob).arg(millis(new.ttl));
            for counter in counters {
                call.arg(counter.limit).arg(millis(counter.window));
            }
            match self.script::<i64>(&call).await? {
                0 => Ok(Issue::Issued),
                -2 => Ok(Issue::Taken),
                wait => {
                    let wait = u64::try_from(wait).map_err(|_| self.full())?;
                    Ok(Issue::Limited(Duration::from_millis(wait)))
                }
            }
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
            let mut call = self.own_call(&self.scripts.claim);
            call.key(key).arg(tombstone).arg(millis(keep));
            self.script(&call).await
        })
    }

    fn replace_if<'a>(
        &'a self,
        key: &'a str,
        seen: &'a [u8],
        blob: Vec<u8>,
    ) -> StoreResult<'a, bool> {
        Box::pin(async move {
            let mut call = self.own_call(&self.scripts.replace);
            call.key(key).arg(seen).arg(blob);
            self.script(&call).await
        })
    }

    fn hit<'a>(
        &'a self,
        keys: Vec<String>,
        counters: &'a [Counter],
        groups: Groups,
    ) -> StoreResult<'a, Option<Duration>> {
        Box::pin(async move {
            let mut call = self.scripts.call(&self.scripts.hit, &groups);
            call.key(keys);
            for counter in counters {
                call.arg(counter.limit).arg(millis(counter.window));
            }
            let wait: i64 = self.script(&call).await?;
            let wait = u64::try_from(wait).map_err(|_| self.full())?;
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
            let mut call = self.scripts.call(&self.scripts.once, keys.groups);
            call.key(keys.epoch).key(keys.identifier);
            call.arg(now.0).arg(millis(EPOCH_TTL));
            call.arg(blob).arg(millis(ttl));
            match self.script::<i64>(&call).await? {
                -2 => Err(self.full()),
                0 => Ok(Once::Again),
                since if since > 0 => Ok(Once::First { since: Time(since) }),
                _ => Ok(Once::Forgotten),
            }
        })
    }

    fn keep_epoch<'a>(&'a self, epoch: &'a str, now: Time) -> StoreResult<'a, ()> {
        Box::pin(async move {
            let mut call = self.own_call(&self.scripts.epoch);
            call.key(epoch).arg(now.0).arg(millis(EPOCH_TTL));
            self.script::<i64>(&call).await.map(drop)
        })
    }

    fn usage(&self) -> StoreResult<'_, Usage> {
        Box::pin(async move {
            let mut read = cmd("HMGET");
            read.arg(self.scripts.bytes_key());
            for pool in [Pool::Own, Pool::Tickets, Pool::Counters, Pool::Proofs] {
                read.arg(pool_field(pool));
            }
            let bytes: [Option<i64>; 4] = self.command(&read).await?;
            let [own, tickets, counters, proofs] =
                bytes.map(|bytes| usize::try_from(bytes.unwrap_or_default()).unwrap_or_default());
            Ok(Usage {
                own,
                tickets,
                counters,
                proofs,
                limit: self.scripts.max_bytes(),
            })
        })
    }

    fn check_writable<'a>(&'a self, key: &'a str) -> StoreResult<'a, Writable> {
        Box::pin(async move {
            let mut set = cmd("SET");
            set.arg(key).arg("").arg("PX").arg(millis(PROBE_TTL));
            let connection = self.connection().await?;
            let response: RedisResult<String> = self
                .in_time(set.query_async(&mut MultiplexedConnection::clone(&connection)))
                .await;
            if let Some(refused) = response.as_ref().err().and_then(refusal) {
                return Ok(refused);
            }
            self.check_response(connection, response)?;
            match self.usage().await {
                Ok(usage) if usage.is_full() => Ok(Writable::Full),
                Ok(_) => Ok(Writable::Yes),
                Err(error) => Err(error),
            }
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

/// Returns why a server that responds refuses to write.
fn refusal(error: &RedisError) -> Option<Writable> {
    match error.code()? {
        "OOM" => Some(Writable::Full),
        "READONLY" => Some(Writable::ReadOnly),
        "NOPERM" => Some(Writable::Forbidden),
        _ => None,
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
