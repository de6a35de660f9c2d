//! What is particular to Redis: what it sees, and what happens when it misbehaves.
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use redis::cmd;

use super::{
    Redis, TIMEOUT,
    server::{SPACE, Server},
    within,
};
use crate::{
    clock::Time,
    error::InfraError,
    secret::{Hash, MasterKeys, Plain},
    ticket::{
        Claim, Counter, EvictionPolicy, Once, Payer, Space, TicketKind, Tickets, Writable,
        store::Store as _,
    },
};

const MINUTE: Duration = Duration::from_secs(60);

fn keys() -> MasterKeys {
    MasterKeys::new([7; 32], [])
}

fn handle() -> Hash {
    Plain::generate().hash()
}

async fn is_refused_in_time<T: std::fmt::Debug>(call: impl Future<Output = Result<T, InfraError>>) {
    let begin = Instant::now();
    let failure = call.await.unwrap_err();
    assert!(
        matches!(
            failure,
            InfraError::Unavailable {
                dependency: "ticket store",
                ..
            }
        ),
        "{failure:?}"
    );
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn rd_05_what_was_altered_or_moved_is_absent() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let tickets = server.tickets(&keys());
    let (one, two) = (handle(), handle());
    tickets
        .issue(TicketKind::Code, &one, b"value", MINUTE)
        .await
        .unwrap();
    let key = server.keys().await.pop().unwrap();
    let blob: Vec<u8> = server.raw(cmd("GET").arg(&key)).await;
    let put = async |key: &str, blob: &[u8]| {
        let () = server
            .raw(cmd("SET").arg(key).arg(blob).arg("PX").arg(60_000))
            .await;
    };
    for at in 0..blob.len() {
        let mut altered = blob.clone();
        altered[at] ^= 1;
        put(&key, &altered).await;
        assert_eq!(
            tickets.peek(TicketKind::Code, &one).await.unwrap(),
            None,
            "byte {at}"
        );
        assert_eq!(
            tickets
                .claim(TicketKind::Code, &one, b"used", MINUTE)
                .await
                .unwrap(),
            Claim::Gone,
            "byte {at}"
        );
    }
    for short in [&blob[..0], &blob[..1], &blob[..13], &blob[..blob.len() - 1]] {
        put(&key, short).await;
        assert_eq!(
            tickets
                .claim(TicketKind::Code, &one, b"used", MINUTE)
                .await
                .unwrap(),
            Claim::Gone
        );
    }

    // To another handle, to another kind, and back to life.
    tickets
        .issue(TicketKind::Code, &two, b"other", MINUTE)
        .await
        .unwrap();
    let second = server
        .keys()
        .await
        .into_iter()
        .find(|name| *name != key)
        .unwrap();
    put(&second, &blob).await;
    assert_eq!(tickets.peek(TicketKind::Code, &two).await.unwrap(), None);
    put(&key.replace("t:code:", "t:pending:"), &blob).await;
    assert_eq!(tickets.peek(TicketKind::Pending, &one).await.unwrap(), None);
    put(&key, &blob).await;
    tickets
        .claim(TicketKind::Code, &one, b"used", MINUTE)
        .await
        .unwrap();
    let mut tombstone: Vec<u8> = server.raw(cmd("GET").arg(&key)).await;
    assert_eq!(tombstone[0], b'U');
    tombstone[0] = b'L';
    put(&key, &tombstone).await;
    assert_eq!(
        tickets
            .claim(TicketKind::Code, &one, b"again", MINUTE)
            .await
            .unwrap(),
        Claim::Gone
    );
}

#[tokio::test]
async fn rd_05_redis_sees_no_value_handle_or_subject() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let tickets = server.tickets(&keys());
    let at = handle();
    tickets
        .issue(TicketKind::Code, &at, b"a value in clear", MINUTE)
        .await
        .unwrap();
    let counter = Counter {
        name: "address 60".to_owned(),
        limit: 5,
        window: MINUTE,
    };
    tickets.hit(&at, &[counter]).await.unwrap();
    let key = server
        .keys()
        .await
        .into_iter()
        .find(|name| name.starts_with("t:code:"))
        .unwrap();
    let blob: Vec<u8> = server.raw(cmd("GET").arg(&key)).await;
    assert!(!blob.windows(5).any(|part| part == b"value"));
    let text = |bytes: &[u8]| {
        base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes)
    };
    for name in server.keys().await {
        assert!(!name.contains(&text(at.as_bytes())), "{name}");
        // A handle is too long to be guessed from its hash; a counter's subject is not, so its name is keyed.
        let hashed = name.contains(&format!("{{{}}}", text(Hash::of(at.as_bytes()).as_bytes())));
        assert_eq!(hashed, name.starts_with("t:code:"), "{name}");
    }
}

#[tokio::test]
async fn rd_04_each_entry_ends_at_its_own_time() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let tickets = server.tickets(&keys());
    let at = handle();
    let ttl = async || -> Duration {
        let key = server
            .keys()
            .await
            .into_iter()
            .find(|name| name.starts_with("t:code:"))
            .unwrap();
        Duration::from_millis(server.raw(cmd("PTTL").arg(key)).await)
    };
    tickets
        .issue(TicketKind::Code, &at, b"value", MINUTE)
        .await
        .unwrap();
    assert!((MINUTE / 2..=MINUTE).contains(&ttl().await));
    let (_, seen) = tickets
        .peek_version(TicketKind::Code, &at)
        .await
        .unwrap()
        .unwrap();
    tickets
        .replace_if(TicketKind::Code, &at, &seen, b"other")
        .await
        .unwrap();
    assert!(
        (MINUTE / 2..=MINUTE).contains(&ttl().await),
        "a replaced value keeps its end"
    );
    tickets
        .claim(TicketKind::Code, &at, b"used", 10 * MINUTE)
        .await
        .unwrap();
    assert!((9 * MINUTE..=10 * MINUTE).contains(&ttl().await));
    tickets
        .claim(TicketKind::Code, &at, b"again", 20 * MINUTE)
        .await
        .unwrap();
    assert!(
        (9 * MINUTE..=10 * MINUTE).contains(&ttl().await),
        "a replay does not prolong the tombstone"
    );
    tickets
        .issue(TicketKind::Code, &handle(), b"", Duration::ZERO)
        .await
        .unwrap();
    tickets
        .issue(TicketKind::Code, &handle(), b"", Duration::MAX)
        .await
        .unwrap();
    server.every_key_has_a_ttl().await;
}

#[tokio::test]
async fn rd_09_a_redis_that_lost_its_data_is_known_as_such() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let (tickets, at) = (server.tickets(&keys()), handle());
    let once = async |seconds: i64| {
        tickets
            .once(TicketKind::Jti, &at, MINUTE, Time(seconds * 1000))
            .await
            .unwrap()
    };
    assert_eq!(once(1_000).await, Once::Forgotten, "no epoch is stored");
    assert_eq!(
        once(1_010).await,
        Once::First {
            since: Time(1_000_000)
        }
    );
    assert_eq!(once(1_020).await, Once::Again);
    let () = server.raw(&cmd("FLUSHALL")).await;
    assert_eq!(once(1_030).await, Once::Forgotten);
    assert_eq!(
        once(1_040).await,
        Once::First {
            since: Time(1_030_000)
        },
        "and it was not noted meanwhile"
    );
    let () = server.raw(&cmd("FLUSHALL")).await;
    tickets.keep_epoch(Time(1_050_000)).await.unwrap();
    assert_eq!(
        once(1_060).await,
        Once::First {
            since: Time(1_050_000)
        },
        "so the caller knows since when"
    );
    let () = server
        .raw(
            cmd("SET")
                .arg("t:{once}:epoch")
                .arg("garbage")
                .arg("PX")
                .arg(60_000),
        )
        .await;
    assert_eq!(once(1_070).await, Once::Forgotten);
    server.every_key_has_a_ttl().await;
}

#[tokio::test]
async fn rd_08_killed_redis_is_away_within_a_second_and_found_again() {
    let Some(mut server) = Server::start(&[]).await else {
        return;
    };
    let patient = server.tickets(&keys());
    let tickets = Tickets::connect(&server.url(), SPACE, &keys()).unwrap();
    let at = handle();
    patient
        .issue(TicketKind::Code, &at, b"value", MINUTE)
        .await
        .unwrap();
    let counter = [Counter {
        name: "one".to_owned(),
        limit: 1,
        window: MINUTE,
    }];
    server.kill();
    for _ in 0..3 {
        is_refused_in_time(tickets.ping()).await;
        is_refused_in_time(tickets.policy()).await;
        is_refused_in_time(tickets.issue(TicketKind::Code, &at, b"value", MINUTE)).await;
        is_refused_in_time(tickets.peek(TicketKind::Code, &at)).await;
        is_refused_in_time(patient.claim(TicketKind::Code, &at, b"used", MINUTE)).await;
        is_refused_in_time(tickets.hit(&at, &counter)).await;
    }
    server.restart().await;
    assert_eq!(
        patient
            .claim(TicketKind::Code, &at, b"used", MINUTE)
            .await
            .unwrap(),
        Claim::Gone,
        "and its scripts are known"
    );
    assert!(
        patient
            .issue(TicketKind::Code, &at, b"value", MINUTE)
            .await
            .unwrap()
    );
    assert!(patient.hit(&at, &counter).await.unwrap().is_none());
}

#[tokio::test]
async fn rd_08_a_line_that_redis_closed_is_replaced_unnoticed() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let store = Redis::open(&server.url(), SPACE, MINUTE).unwrap();
    for _ in 0..3 {
        store.ping().await.unwrap();
        let _: i64 = server
            .raw(
                cmd("CLIENT")
                    .arg("KILL")
                    .arg("TYPE")
                    .arg("normal")
                    .arg("SKIPME")
                    .arg("yes"),
            )
            .await;
        let noticed = async {
            while store.slot.load().is_some() {
                tokio::task::yield_now().await
            }
        };
        tokio::time::timeout(MINUTE, noticed).await.unwrap();
    }
    store.ping().await.unwrap();
}

/// X4: a silent store hangs no caller.
#[tokio::test]
async fn rd_11_silent_redis_is_away_in_time_and_a_claim_is_sent_once() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let patient = server.tickets(&keys());
    let hasty = Tickets::connect(&server.url(), SPACE, &keys()).unwrap();
    let (at, untouched) = (handle(), handle());
    patient
        .issue(TicketKind::Code, &at, b"value", MINUTE)
        .await
        .unwrap();
    patient
        .issue(TicketKind::Code, &untouched, b"value", MINUTE)
        .await
        .unwrap();
    // Connected and with its script loaded, so that the silence meets the claim itself.
    let connected = async {
        while hasty
            .claim(TicketKind::Code, &handle(), b"", MINUTE)
            .await
            .is_err()
        {}
    };
    tokio::time::timeout(MINUTE, connected).await.unwrap();
    let _: String = server.raw(cmd("CONFIG").arg("RESETSTAT")).await;
    server.freeze(true);
    let begin = Instant::now();
    is_refused_in_time(hasty.claim(TicketKind::Code, &at, b"lost", MINUTE)).await;
    assert!(begin.elapsed() >= TIMEOUT);
    let many: Vec<_> = (0..20).map(|_| hasty.peek(TicketKind::Code, &at)).collect();
    for peek in futures_util::future::join_all(many).await {
        assert!(
            peek.unwrap_err().is_transient(),
            "callers do not wait for one another"
        );
    }
    assert!(begin.elapsed() < 20 * TIMEOUT, "{:?}", begin.elapsed());
    server.freeze(false);
    assert_eq!(
        patient
            .claim(TicketKind::Code, &at, b"second", MINUTE)
            .await
            .unwrap(),
        Claim::Replayed(b"lost".to_vec())
    );
    let claim = patient
        .claim(TicketKind::Code, &untouched, b"used", MINUTE)
        .await
        .unwrap();
    assert_eq!(claim, Claim::Fresh(b"value".to_vec()));
    let stats: String = server.raw(cmd("INFO").arg("commandstats")).await;
    let calls = stats
        .lines()
        .find(|line| line.starts_with("cmdstat_evalsha:"))
        .unwrap();
    assert!(
        calls.contains("calls=3,"),
        "the lost claim and two others: {calls}"
    );
    hasty.ping().await.unwrap();
    // The patient, the hasty and the one that counts.
    server.clients_fall_to(3).await;
}

/// Our own threads are busy for longer than the patience, twice; the answer came at once.
#[tokio::test]
async fn rd_11_an_answer_that_is_here_is_read_however_busy_we_are() {
    let busy = |turns: u32| async move {
        for _ in 0..turns {
            #[allow(
                clippy::disallowed_methods,
                reason = "a runtime that does not get to its tasks"
            )]
            std::thread::sleep(2 * TIMEOUT);
            tokio::task::yield_now().await;
        }
    };
    let answered = || async {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let waits = tokio::spawn(async move { within(TIMEOUT, answered).await });
        tokio::spawn(busy(2));
        // The driver of the connection must run, too, before a caller receives a response.
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            let _ = answer.send(7);
        });
        waits.await.unwrap().and_then(Result::ok)
    };
    assert_eq!(answered().await, Some(7));
    let begin = Instant::now();
    assert_eq!(within(TIMEOUT, std::future::pending::<()>()).await, None);
    assert!(begin.elapsed() >= TIMEOUT);
}

#[tokio::test]
async fn rd_11_a_silent_line_is_put_away() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let store = Redis::open(&server.url(), SPACE, TIMEOUT).unwrap();
    let connected = async { while store.ping().await.is_err() {} };
    tokio::time::timeout(MINUTE, connected).await.unwrap();
    server.freeze(true);
    is_refused_in_time(store.ping()).await;
    assert!(store.slot.load().is_none(), "the next caller dials");
    server.freeze(false);
}

#[tokio::test]
async fn a5_a_later_hit_does_not_prolong_the_window() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let tickets = server.tickets(&keys());
    let five = [Counter {
        name: "five".to_owned(),
        limit: 5,
        window: 10 * MINUTE,
    }];
    tickets.hit(&handle(), &five).await.unwrap();
    let at = handle();
    let before = server.keys().await;
    tickets.hit(&at, &five).await.unwrap();
    let key = server
        .keys()
        .await
        .into_iter()
        .find(|name| !before.contains(name))
        .unwrap();
    let _: i64 = server.raw(cmd("PEXPIRE").arg(&key).arg(60_000)).await;
    tickets.hit(&at, &five).await.unwrap();
    let left: u64 = server.raw(cmd("PTTL").arg(&key)).await;
    assert!(left <= 60_000, "{left}");
}

#[tokio::test]
async fn rd_10_full_redis_is_away_and_nothing_is_half_done() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let tickets = server.tickets(&keys());
    let at = handle();
    let counters = ["one", "two"].map(|name| Counter {
        name: name.to_owned(),
        limit: 1,
        window: MINUTE,
    });
    tickets
        .issue(TicketKind::Code, &at, b"value", MINUTE)
        .await
        .unwrap();
    let full = async |bytes: &str| -> String {
        server
            .raw(cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes))
            .await
    };
    full("1").await;
    is_refused_in_time(tickets.issue(TicketKind::Code, &handle(), b"value", MINUTE)).await;
    is_refused_in_time(tickets.claim(TicketKind::Code, &at, b"used", MINUTE)).await;
    is_refused_in_time(tickets.hit(&at, &counters)).await;
    assert_eq!(
        tickets.peek(TicketKind::Code, &at).await.unwrap().unwrap(),
        b"value"
    );
    full("128mb").await;
    assert_eq!(
        tickets
            .claim(TicketKind::Code, &at, b"used", MINUTE)
            .await
            .unwrap(),
        Claim::Fresh(b"value".to_vec())
    );
    assert!(tickets.hit(&at, &counters).await.unwrap().is_none());
}

#[tokio::test]
async fn rd_10_h2_policy_tells_who_evicts_and_who_does_not_say() {
    let Some(server) = Server::start(&["--maxmemory-policy", "allkeys-lru"]).await else {
        return;
    };
    let tickets = server.tickets(&keys());
    assert_eq!(
        tickets.policy().await.unwrap(),
        EvictionPolicy::Evicts("allkeys-lru".to_owned())
    );
    let _: String = server
        .raw(
            cmd("CONFIG")
                .arg("SET")
                .arg("maxmemory-policy")
                .arg("noeviction"),
        )
        .await;
    assert_eq!(tickets.policy().await.unwrap(), EvictionPolicy::Refuses);
}

#[tokio::test]
async fn rd_11_the_documented_user_may_do_all_that_is_needed_and_no_more() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let may = "on >pass ~t:* +evalsha +script|load +ping +hello +time +get +set +incr +del +exists +pttl +pexpire \
               +hget +hset +hdel +hmget +hincrby +zadd +zrem +zincrby +zrange +zrevrange +zrangebyscore";
    let _: String = server
        .raw(
            cmd("ACL")
                .arg("SETUSER")
                .arg("entree")
                .arg(may.split(' ').collect::<Vec<_>>()),
        )
        .await;
    let url = format!("{}?user=entree&pass=pass", server.url());
    let store = Redis::open(&url, SPACE, MINUTE).unwrap();
    assert!(!store.describe().contains("pass"));
    let tickets = Tickets::over(std::sync::Arc::new(store), "t:", &keys());
    let at = handle();
    let counter = [Counter {
        name: "one".to_owned(),
        limit: 1,
        window: MINUTE,
    }];
    tickets.ping().await.unwrap();
    assert!(
        tickets
            .issue(TicketKind::Code, &at, b"value", MINUTE)
            .await
            .unwrap()
    );
    let (_, seen) = tickets
        .peek_version(TicketKind::Code, &at)
        .await
        .unwrap()
        .unwrap();
    assert!(
        tickets
            .replace_if(TicketKind::Code, &at, &seen, b"other")
            .await
            .unwrap()
    );
    assert_eq!(
        tickets
            .claim(TicketKind::Code, &at, b"", MINUTE)
            .await
            .unwrap(),
        Claim::Fresh(b"other".to_vec())
    );
    assert!(tickets.hit(&at, &counter).await.unwrap().is_none());
    assert!(tickets.hit(&at, &counter).await.unwrap().is_some());
    assert!(matches!(
        tickets.policy().await.unwrap(),
        EvictionPolicy::Unreadable(_)
    ));
    let elsewhere = Tickets::over(
        std::sync::Arc::new(Redis::open(&url, SPACE, MINUTE).unwrap()),
        "other:",
        &keys(),
    );
    assert!(
        elsewhere
            .issue(TicketKind::Code, &at, b"value", MINUTE)
            .await
            .unwrap_err()
            .is_transient()
    );
}

#[tokio::test]
async fn a2_a_limited_address_costs_redis_the_same_commands() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let tickets = server.tickets(&keys());
    let limits = crate::config::Limits::default();
    let ask = async |key: &Hash, caller: &str| {
        let request = crate::limit::EmailRequest {
            address: key,
            domain: None,
            caller: caller.parse().unwrap(),
            known_device: None,
        };
        crate::limit::spend_email(&tickets, &request, &limits)
            .await
            .unwrap()
    };
    let (spent, fresh) = (Hash::of(b"spent"), Hash::of(b"fresh"));
    for n in 0..30 {
        ask(&spent, &format!("10.0.{n}.1")).await;
    }
    for (key, caller) in [
        (spent, "10.1.1.1"),
        (fresh, "10.1.1.1"),
        (spent, "10.0.0.1"),
    ] {
        let _: String = server.raw(cmd("CONFIG").arg("RESETSTAT")).await;
        ask(&key, caller).await;
        let stats: String = server.raw(cmd("INFO").arg("commandstats")).await;
        assert!(stats.contains("cmdstat_evalsha:calls=4,"), "{stats}");
    }
}

/// OB-7, ST-20: a store that responds and refuses to write says why.
#[tokio::test]
async fn ob_7_a_store_that_refuses_writes_says_why() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let tickets = server.tickets(&keys());
    assert_eq!(tickets.check_writable().await.unwrap(), Writable::Yes);
    let set = async |name: &str, value: &str| -> String {
        server
            .raw(cmd("CONFIG").arg("SET").arg(name).arg(value))
            .await
    };
    set("maxmemory", "1").await;
    assert_eq!(tickets.check_writable().await.unwrap(), Writable::Full);
    set("maxmemory", "128mb").await;
    let _: String = server.raw(cmd("REPLICAOF").arg("127.0.0.1").arg("1")).await;
    assert_eq!(tickets.check_writable().await.unwrap(), Writable::ReadOnly);
    let _: String = server.raw(cmd("REPLICAOF").arg("NO").arg("ONE")).await;
    assert_eq!(tickets.check_writable().await.unwrap(), Writable::Yes);
    let may = ["on", ">pass", "~t:*", "+@read", "+ping", "+hello"];
    let _: String = server
        .raw(cmd("ACL").arg("SETUSER").arg("reader").arg(&may))
        .await;
    let url = format!("{}?user=reader&pass=pass", server.url());
    let store = Redis::open(&url, SPACE, MINUTE).unwrap();
    let reader = Tickets::over(std::sync::Arc::new(store), "t:", &keys());
    assert_eq!(reader.check_writable().await.unwrap(), Writable::Forbidden);
    server.every_key_has_a_ttl().await;
}

/// A Redis with less memory than the budget makes charged tickets leave, too.
#[tokio::test]
async fn oa_4_a_full_redis_drops_charged_tickets_for_a_code() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let tickets = server.tickets(&keys());
    let attacker = tickets.charged_to(Payer::Network([192, 0, 2, 1].into()));
    for _ in 0..20 {
        let at = handle();
        let issued = attacker.issue(TicketKind::Pending, &at, &[7; 2000], MINUTE);
        assert!(issued.await.unwrap());
    }
    let _: String = server
        .raw(cmd("CONFIG").arg("SET").arg("maxmemory").arg("1"))
        .await;
    let at = handle();
    let issued = tickets.issue(TicketKind::Code, &at, b"code", MINUTE);
    assert!(issued.await.unwrap());
    assert!(tickets.peek(TicketKind::Code, &at).await.unwrap().is_some());
}

/// The estimate of an entry's cost covers what Redis really takes.
#[tokio::test]
async fn oa_4_the_account_is_no_less_than_the_memory_of_redis() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let space = Space {
        max_bytes: 64 << 20,
        ..SPACE
    };
    let store = Redis::open(&server.url(), space, MINUTE).unwrap();
    let tickets = Tickets::over(std::sync::Arc::new(store), "t:", &keys());
    let used = async || -> usize {
        let info: String = server.raw(cmd("INFO").arg("memory")).await;
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        line.unwrap().trim().parse().unwrap()
    };
    let counter = [Counter {
        name: "address 60".to_owned(),
        limit: 5,
        window: MINUTE,
    }];
    for (is_counter, spread) in [(false, 72), (true, 72), (false, 0), (true, 0)] {
        let (before, accounted) = (used().await, tickets.usage().await.unwrap().total());
        for n in 0..4000_u128 {
            // Each from a network of its own, or all from one.
            let address = std::net::Ipv6Addr::from_bits(0x2001 << 112 | n << spread);
            let payer = tickets.charged_to(Payer::Network(address.into()));
            if is_counter {
                payer.hit(&handle(), &counter).await.unwrap();
            } else {
                let at = handle();
                let issued = payer.issue(TicketKind::Pending, &at, &[7; 100], MINUTE);
                assert!(issued.await.unwrap());
            }
        }
        let grown = used().await - before;
        let accounted = tickets.usage().await.unwrap().total() - accounted;
        assert!(grown < accounted, "{grown} bytes, {accounted} accounted");
    }
}

#[test]
fn urls_that_are_not_of_redis_are_refused_without_repeating_them() {
    for bad in [
        "",
        "memory:",
        "http://canary@host",
        "redis://",
        "redis://:canary@0.0.0.0",
        "rediss://:canary@host#insecure",
        "redis://:canary@host/x",
        "redis+unix:",
        "valkey://:canary@host",
    ] {
        let failure = Tickets::connect(bad, SPACE, &keys())
            .unwrap_err()
            .to_string();
        assert!(failure.starts_with("tickets.url: "), "{bad}: {failure}");
        assert!(!failure.contains("canary"), "{failure}");
    }
}

#[tokio::test]
async fn describe_names_the_place_without_user_or_password() {
    for (url, place) in [
        (
            "redis://user:canary@cache.example:7000/3",
            "redis://cache.example:7000/3",
        ),
        (
            "rediss://:canary@cache.example",
            "rediss://cache.example:6379/0",
        ),
        ("redis://[::1]", "redis://[::1]:6379/0"),
        (
            "redis+unix:///run/r.sock?db=2&user=u&pass=canary",
            "redis+unix:///run/r.sock?db=2",
        ),
    ] {
        let tickets = Tickets::connect(url, SPACE, &keys()).unwrap();
        assert_eq!(tickets.describe(), place);
        assert_eq!(format!("{tickets:?}"), format!("Tickets({place})"));
    }
}
