//! What every store promises: one suite, run on each of them. Two handles on the same store stand for two copies of
//! the service.
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{future::Future, sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{Claim, Counter, Once, TicketKind, Tickets, memory::Memory, redis::server::Server};
use crate::{
    clock::{Clock, Time},
    secret::{Hash, MasterKeys, Plain},
};

const MINUTE: Duration = Duration::from_secs(60);
const HANDLE_KEY: [u8; 32] = [7; 32];

/// Two handles on one store, and a third that holds another master key.
pub(super) struct Copies {
    pub(super) a: Tickets,
    pub(super) b: Tickets,
    stranger: Tickets,
}

impl Copies {
    fn in_process() -> Self {
        let store = Arc::new(Memory::new(100_000, Clock::default()));
        let over = |key| Tickets::over(store.clone(), "t:", &MasterKeys::new(key, []));
        Self {
            a: over(HANDLE_KEY),
            b: over(HANDLE_KEY),
            stranger: over([8; 32]),
        }
    }

    fn in_redis(server: &Server) -> Self {
        let over = |key| server.tickets(&MasterKeys::new(key, []));
        Self {
            a: over(HANDLE_KEY),
            b: over(HANDLE_KEY),
            stranger: over([8; 32]),
        }
    }
}

fn handle() -> Hash {
    Plain::generate().hash()
}

fn counter(name: &str, limit: u32, window: Duration) -> Counter {
    Counter {
        name: name.to_owned(),
        limit,
        window,
    }
}

/// Runs `one` as many times at once, every other one on the second copy.
async fn race<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    copies: &Copies,
    times: usize,
    one: impl Fn(Tickets) -> F,
) -> Vec<T> {
    let mut all = JoinSet::new();
    for turn in 0..times {
        all.spawn(one(if turn % 2 == 0 {
            copies.a.clone()
        } else {
            copies.b.clone()
        }));
    }
    all.join_all().await
}

async fn put_new_refuses_a_second(copies: Copies) {
    let at = handle();
    assert!(
        copies
            .a
            .issue(TicketKind::Code, &at, b"first", MINUTE)
            .await
            .unwrap()
    );
    assert!(
        !copies
            .b
            .issue(TicketKind::Code, &at, b"second", MINUTE)
            .await
            .unwrap()
    );
    assert!(
        copies
            .b
            .issue(TicketKind::Pending, &at, b"another kind", MINUTE)
            .await
            .unwrap()
    );
    assert_eq!(
        copies.a.peek(TicketKind::Code, &at).await.unwrap().unwrap(),
        b"first"
    );
    copies
        .a
        .claim(TicketKind::Code, &at, b"used", MINUTE)
        .await
        .unwrap();
    assert!(
        !copies
            .b
            .issue(TicketKind::Code, &at, b"third", MINUTE)
            .await
            .unwrap(),
        "a tombstone stands there"
    );
}

async fn peek_keeps_what_is_live(copies: Copies) {
    let at = handle();
    assert_eq!(copies.a.peek(TicketKind::Code, &at).await.unwrap(), None);
    copies
        .a
        .issue(TicketKind::Code, &at, b"value", MINUTE)
        .await
        .unwrap();
    for copy in [&copies.a, &copies.b, &copies.a] {
        assert_eq!(
            copy.peek(TicketKind::Code, &at).await.unwrap().unwrap(),
            b"value"
        );
    }
    copies
        .b
        .claim(TicketKind::Code, &at, b"used", MINUTE)
        .await
        .unwrap();
    assert_eq!(
        copies.a.peek(TicketKind::Code, &at).await.unwrap(),
        None,
        "a tombstone is not a value"
    );
}

async fn claim_tells_live_used_and_absent(copies: Copies) {
    let at = handle();
    assert_eq!(
        copies
            .a
            .claim(TicketKind::Code, &at, b"none", MINUTE)
            .await
            .unwrap(),
        Claim::Gone
    );
    assert!(
        copies
            .a
            .issue(TicketKind::Code, &at, b"value", MINUTE)
            .await
            .unwrap(),
        "a claim of nothing leaves nothing"
    );
    let claim = copies
        .b
        .claim(TicketKind::Code, &at, b"by b", MINUTE)
        .await
        .unwrap();
    assert_eq!(claim, Claim::Fresh(b"value".to_vec()));
    for _ in 0..2 {
        let claim = copies
            .a
            .claim(TicketKind::Code, &at, b"by a", MINUTE)
            .await
            .unwrap();
        assert_eq!(
            claim,
            Claim::Replayed(b"by b".to_vec()),
            "the first tombstone stays"
        );
    }
}

async fn a_hundred_parallel_claims_give_one_live(copies: Copies) {
    for _ in 0..5 {
        let at = handle();
        copies
            .a
            .issue(TicketKind::Code, &at, b"value", MINUTE)
            .await
            .unwrap();
        let claim = move |tickets: Tickets| async move {
            let claim = tickets.claim(TicketKind::Code, &at, b"used", MINUTE);
            claim.await.unwrap()
        };
        let claims = race(&copies, 100, claim).await;
        assert_eq!(
            claims
                .iter()
                .filter(|claim| **claim == Claim::Fresh(b"value".to_vec()))
                .count(),
            1
        );
        assert_eq!(
            claims
                .iter()
                .filter(|claim| **claim == Claim::Replayed(b"used".to_vec()))
                .count(),
            99
        );
    }
}

async fn values_and_handles_are_any_bytes(copies: Copies) {
    let all: Vec<u8> = (0..=255).collect();
    for (at, value) in [
        (vec![0; 32], vec![]),
        (vec![255; 32], all.clone()),
        (b"\r\n*{}:?[]\0 LU'\"\\\xff\xfe{x}{y}12345678".to_vec(), all),
    ] {
        let at = Hash::of(&at);
        assert!(
            copies
                .a
                .issue(TicketKind::Code, &at, &value, MINUTE)
                .await
                .unwrap()
        );
        assert_eq!(
            copies.b.peek(TicketKind::Code, &at).await.unwrap().unwrap(),
            value
        );
        assert_eq!(
            copies
                .b
                .claim(TicketKind::Code, &at, &value, MINUTE)
                .await
                .unwrap(),
            Claim::Fresh(value.clone())
        );
        assert_eq!(
            copies
                .b
                .claim(TicketKind::Code, &at, b"", MINUTE)
                .await
                .unwrap(),
            Claim::Replayed(value)
        );
    }
}

async fn a_cancelled_caller_leaves_the_ticket_live_or_used(copies: Copies) {
    let mut tickets = Vec::new();
    for number in 0..50_u8 {
        let at = handle();
        copies
            .a
            .issue(TicketKind::Code, &at, &[number], MINUTE)
            .await
            .unwrap();
        tickets.push((number, at));
    }
    for (number, at) in &tickets {
        let claim = copies.a.claim(TicketKind::Code, at, b"cancelled", MINUTE);
        // Dropped at once, after its first step, or a little later.
        let turns = number % 3;
        tokio::select! {
            biased;
            _ = claim => {}
            () = async { for _ in 0..turns { tokio::task::yield_now().await } } => {}
        }
    }
    for (number, at) in tickets {
        let claim = copies
            .a
            .claim(TicketKind::Code, &at, b"second", MINUTE)
            .await
            .unwrap();
        let fair =
            claim == Claim::Fresh(vec![number]) || claim == Claim::Replayed(b"cancelled".to_vec());
        assert!(fair, "{number}: {claim:?}");
    }
}

async fn another_master_key_sees_nothing(copies: Copies) {
    let at = handle();
    copies
        .a
        .issue(TicketKind::Code, &at, b"value", MINUTE)
        .await
        .unwrap();
    assert_eq!(
        copies.stranger.peek(TicketKind::Code, &at).await.unwrap(),
        None
    );
    assert_eq!(
        copies
            .stranger
            .claim(TicketKind::Code, &at, b"forged", MINUTE)
            .await
            .unwrap(),
        Claim::Gone
    );
    assert_eq!(
        copies
            .a
            .claim(TicketKind::Code, &at, b"used", MINUTE)
            .await
            .unwrap(),
        Claim::Gone,
        "its tombstone is forged"
    );
}

async fn once_is_first_once(copies: Copies) {
    copies.a.keep_epoch(Clock::default().now()).await.unwrap();
    let (id, now) = (handle(), Clock::default().now());
    let all = race(&copies, 64, move |tickets| async move {
        tickets
            .once(TicketKind::Jti, &id, MINUTE, now)
            .await
            .unwrap()
    });
    let all = all.await;
    assert_eq!(
        all.iter()
            .filter(|found| matches!(found, Once::First { .. }))
            .count(),
        1
    );
    assert_eq!(
        all.iter().filter(|found| **found == Once::Again).count(),
        63
    );
    assert!(matches!(
        copies
            .a
            .once(TicketKind::Jti, &handle(), MINUTE, now)
            .await
            .unwrap(),
        Once::First { .. }
    ));
}

async fn the_epoch_is_told_and_does_not_move(copies: Copies) {
    let begin = Clock::default().now();
    copies.a.keep_epoch(begin).await.unwrap();
    let late = begin + 5 * MINUTE;
    copies.b.keep_epoch(late).await.unwrap();
    for copy in [&copies.a, &copies.b] {
        let Once::First { since } = copy
            .once(TicketKind::Jti, &handle(), MINUTE, late)
            .await
            .unwrap()
        else {
            panic!("never seen before")
        };
        assert!(
            since <= begin && since > Time(begin.0 - 60_000),
            "{since:?} for {begin:?}"
        );
    }
}

async fn replace_if_takes_only_what_was_seen(copies: Copies) {
    let at = handle();
    copies
        .a
        .issue(TicketKind::Pending, &at, b"one", MINUTE)
        .await
        .unwrap();
    let (value, seen) = copies
        .a
        .peek_version(TicketKind::Pending, &at)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(value, b"one");
    // Even the same value again is another writing.
    assert!(
        copies
            .b
            .replace_if(TicketKind::Pending, &at, &seen, b"one")
            .await
            .unwrap()
    );
    assert!(
        !copies
            .a
            .replace_if(TicketKind::Pending, &at, &seen, b"two")
            .await
            .unwrap()
    );
    assert_eq!(
        copies
            .a
            .peek(TicketKind::Pending, &at)
            .await
            .unwrap()
            .unwrap(),
        b"one"
    );

    let (_, seen) = copies
        .a
        .peek_version(TicketKind::Pending, &at)
        .await
        .unwrap()
        .unwrap();
    let replaced = race(&copies, 32, move |tickets| {
        let seen = seen.clone();
        async move {
            tickets
                .replace_if(TicketKind::Pending, &at, &seen, b"raced")
                .await
                .unwrap()
        }
    });
    assert_eq!(replaced.await.into_iter().filter(|done| *done).count(), 1);

    let (_, seen) = copies
        .a
        .peek_version(TicketKind::Pending, &at)
        .await
        .unwrap()
        .unwrap();
    copies
        .b
        .claim(TicketKind::Pending, &at, b"used", MINUTE)
        .await
        .unwrap();
    assert!(
        !copies
            .a
            .replace_if(TicketKind::Pending, &at, &seen, b"revived")
            .await
            .unwrap(),
        "a claim is final"
    );
    assert!(
        !copies
            .a
            .replace_if(TicketKind::Pending, &handle(), &seen, b"made")
            .await
            .unwrap()
    );
}

async fn hits_of_two_copies_make_one_exact_total(copies: Copies) {
    let subject = handle();
    let waits = race(&copies, 64, move |tickets| async move {
        tickets
            .hit(
                &subject,
                &[
                    counter("short", 40, MINUTE),
                    counter("long", 1000, 60 * MINUTE),
                ],
            )
            .await
            .unwrap()
    });
    let waits = waits.await;
    assert_eq!(waits.iter().filter(|wait| wait.is_none()).count(), 40);
    assert!(
        waits
            .iter()
            .flatten()
            .all(|wait| *wait > MINUTE / 2 && *wait <= MINUTE),
        "{waits:?}"
    );
}

async fn refused_hits_do_not_count(copies: Copies) {
    let subject = handle();
    let both = [
        counter("wide", 5, 60 * MINUTE),
        counter("narrow", 2, MINUTE),
    ];
    let wide = [counter("wide", 5, 60 * MINUTE)];
    let mut passed = 0;
    for _ in 0..10 {
        passed += u32::from(copies.a.hit(&subject, &both).await.unwrap().is_none());
    }
    assert_eq!(passed, 2, "the narrow one refuses");
    for _ in 0..10 {
        passed += u32::from(copies.b.hit(&subject, &wide).await.unwrap().is_none());
    }
    assert_eq!(passed, 5, "what it refused is not in the wide one");
    let wait = copies.a.hit(&subject, &both).await.unwrap().unwrap();
    assert!(
        wait > 59 * MINUTE && wait <= 60 * MINUTE,
        "until both let one pass: {wait:?}"
    );
    assert!(
        copies.a.hit(&handle(), &both).await.unwrap().is_none(),
        "another subject has its own"
    );
    let none = copies
        .a
        .hit(&handle(), &[counter("none", 0, MINUTE)])
        .await
        .unwrap();
    assert_eq!(none, Some(MINUTE), "a limit of nothing lets nothing pass");
}

async fn entries_end_by_themselves(copies: Copies) {
    let short = Duration::from_millis(40);
    let at = handle();
    let one = [counter("one", 1, short)];
    assert!(copies.a.hit(&at, &one).await.unwrap().is_none());
    assert!(
        copies
            .a
            .issue(TicketKind::Code, &at, b"value", short)
            .await
            .unwrap()
    );
    let ended = async {
        while !copies
            .b
            .issue(TicketKind::Code, &at, b"next", MINUTE)
            .await
            .unwrap()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        while copies.b.hit(&at, &one).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .unwrap();
    assert_eq!(
        copies.a.peek(TicketKind::Code, &at).await.unwrap().unwrap(),
        b"next"
    );
}

async fn it_answers_and_refuses_when_full(copies: Copies) {
    copies.a.ping().await.unwrap();
    assert_eq!(
        copies.a.policy().await.unwrap(),
        super::EvictionPolicy::Refuses
    );
    assert!(format!("{:?}", copies.a).starts_with("Tickets("));
}

macro_rules! suite {
    ($($test:ident: $case:ident;)*) => {
        mod memory_store {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$case(super::Copies::in_process()).await;
            })*
        }
        mod redis_store {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let Some(server) = super::Server::start(&[]).await else { return };
                super::$case(super::Copies::in_redis(&server)).await;
                server.every_key_has_a_ttl().await;
            })*
        }
    };
}

suite! {
    rd_02_put_new_refuses_a_second: put_new_refuses_a_second;
    rd_02_peek_keeps_what_is_live: peek_keeps_what_is_live;
    rd_02_claim_tells_live_used_and_absent: claim_tells_live_used_and_absent;
    rd_02_once_is_first_once: once_is_first_once;
    rd_09_the_epoch_is_told_and_does_not_move: the_epoch_is_told_and_does_not_move;
    rd_02_replace_if_takes_only_what_was_seen: replace_if_takes_only_what_was_seen;
    rd_03_a_hundred_parallel_claims_give_one_live: a_hundred_parallel_claims_give_one_live;
    rd_03_values_and_handles_are_any_bytes: values_and_handles_are_any_bytes;
    rd_03_a_cancelled_caller_leaves_the_ticket_live_or_used: a_cancelled_caller_leaves_the_ticket_live_or_used;
    rd_05_another_master_key_sees_nothing: another_master_key_sees_nothing;
    a4_hits_of_two_copies_make_one_exact_total: hits_of_two_copies_make_one_exact_total;
    a5_refused_hits_do_not_count: refused_hits_do_not_count;
    rd_04_entries_end_by_themselves: entries_end_by_themselves;
    rd_10_it_answers_and_refuses_when_full: it_answers_and_refuses_when_full;
}
