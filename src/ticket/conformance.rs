//! What every store promises: one suite, run on each of them. Two handles on the same store stand for two copies of
//! the service.
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{future::Future, sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{
    Claim, Counter, Issue, NewValue, Once, Payer, TicketKind, Tickets, Writable,
    memory::Memory,
    redis::server::{self, Server},
};
use crate::{
    clock::{Clock, Time},
    secret::{Hash, MasterKeys, Plain},
};

const MINUTE: Duration = Duration::from_secs(60);
/// The most bytes of a store.
const SPACE: usize = server::SPACE.max_bytes;
const HANDLE_KEY: [u8; 32] = [7; 32];

/// Two handles on one store, and a third that holds another master key.
pub(super) struct Copies {
    pub(super) a: Tickets,
    pub(super) b: Tickets,
    stranger: Tickets,
}

impl Copies {
    fn in_process() -> Self {
        let store = Arc::new(Memory::new(SPACE, Clock::default()));
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

async fn a_claim_is_undone_once_and_by_its_own_tombstone(copies: Copies) {
    let at = handle();
    let give_back = |tombstone: &'static [u8]| {
        let tickets = copies.b.clone();
        async move {
            let given = tickets.give_back(TicketKind::Code, &at, tombstone, b"value");
            given.await.unwrap()
        }
    };
    let claim = |tombstone: &'static [u8]| {
        let tickets = copies.a.clone();
        async move {
            let claim = tickets.claim(TicketKind::Code, &at, tombstone, MINUTE);
            claim.await.unwrap()
        }
    };
    assert!(!give_back(b"first").await, "there is none");
    let issue = copies.a.issue(TicketKind::Code, &at, b"value", MINUTE);
    assert!(issue.await.unwrap());
    assert!(!give_back(b"first").await, "nothing was claimed");
    assert_eq!(claim(b"first").await, Claim::Fresh(b"value".to_vec()));
    assert!(!give_back(b"other").await, "another claim");
    assert!(give_back(b"first").await);
    assert!(!give_back(b"first").await, "it is live");
    assert_eq!(claim(b"second").await, Claim::Fresh(b"value".to_vec()));
    assert!(!give_back(b"first").await, "claimed anew");
    assert_eq!(claim(b"third").await, Claim::Replayed(b"second".to_vec()));
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

async fn a_value_is_stored_and_counted_together(copies: Copies) {
    let (subject, budget) = (handle(), [counter("codes", 2, MINUTE)]);
    let issue = async |tickets: &Tickets, at: &Hash, counters: &[Counter]| {
        let new = NewValue {
            kind: TicketKind::Code,
            handle: at,
            value: b"value",
            ttl: MINUTE,
        };
        tickets.issue_within(new, &subject, counters).await.unwrap()
    };
    let (first, second, third) = (handle(), handle(), handle());
    assert_eq!(issue(&copies.a, &first, &budget).await, Issue::Issued);
    assert_eq!(issue(&copies.b, &second, &budget).await, Issue::Issued);
    let Issue::Limited(wait) = issue(&copies.a, &third, &budget).await else {
        panic!("the budget is exhausted")
    };
    assert!(wait > MINUTE / 2 && wait <= MINUTE, "{wait:?}");
    let peek = async |at: &Hash| copies.a.peek(TicketKind::Code, at).await.unwrap();
    assert_eq!(peek(&second).await.unwrap(), b"value");
    assert_eq!(peek(&third).await, None, "nothing is stored beyond it");
    let hit = copies.b.hit(&subject, &budget).await.unwrap();
    assert!(hit.is_some(), "they are the counters of a hit");
    assert_eq!(issue(&copies.b, &third, &[]).await, Issue::Issued);
    assert_eq!(issue(&copies.a, &third, &[]).await, Issue::Taken);
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

/// The networks of an attack.
fn attackers(copies: &Copies, number: u8) -> Vec<Tickets> {
    let of = |n: u8| Payer::Network([127, n, 0, 1].into());
    (0..number).map(|n| copies.a.charged_to(of(n))).collect()
}

async fn a_flood_of_tickets_drops_the_floods_own(copies: Copies) {
    let attackers = attackers(&copies, 13);
    let innocent = copies.b.charged_to(Payer::Network([203, 0, 113, 1].into()));
    let (first, code) = (handle(), handle());
    assert!(
        innocent
            .issue(TicketKind::Pending, &first, b"first", MINUTE)
            .await
            .unwrap()
    );
    for at in 0..400 {
        let attacker = &attackers[at % attackers.len()];
        let at = handle();
        let fat = attacker.issue(TicketKind::Pending, &at, &[7; 4096], MINUTE);
        assert!(fat.await.unwrap());
    }
    let usage = copies.b.usage().await.unwrap();
    assert!(
        usage.tickets <= SPACE / 2 && usage.tickets > SPACE / 2 - 5 * 4096,
        "{usage:?}"
    );
    let second = handle();
    assert!(
        innocent
            .issue(TicketKind::Pending, &second, b"second", MINUTE)
            .await
            .unwrap()
    );
    for (at, value) in [(first, b"first".as_slice()), (second, b"second")] {
        let claim = innocent.claim(TicketKind::Pending, &at, b"", MINUTE).await;
        assert_eq!(claim.unwrap(), Claim::Fresh(value.to_vec()));
    }
    for _ in 0..100 {
        assert!(
            copies
                .a
                .issue(TicketKind::Code, &handle(), &[7; 512], MINUTE)
                .await
                .unwrap()
        );
    }
    assert!(
        copies
            .a
            .issue(TicketKind::Code, &code, b"code", MINUTE)
            .await
            .unwrap()
    );
    assert_eq!(copies.b.check_writable().await.unwrap(), Writable::Yes);
}

/// A proof that is forgotten could be shown again.
async fn a_flood_of_proofs_is_refused_to_its_payer_alone(copies: Copies) {
    let now = Clock::default().now();
    copies.a.keep_epoch(now).await.unwrap();
    let user = |number| Payer::User(uuid::Uuid::from_u128(number));
    let (flood, other) = (copies.a.charged_to(user(1)), copies.b.charged_to(user(2)));
    let show = async |tickets: &Tickets, id: &Hash| {
        let shown = tickets.once(TicketKind::Jti, id, MINUTE, now);
        shown.await
    };
    let mut remembered = Vec::new();
    loop {
        let id = handle();
        match show(&flood, &id).await {
            Ok(found) => assert!(matches!(found, Once::First { .. }), "{found:?}"),
            Err(_) => break,
        }
        remembered.push(id);
        assert!(remembered.len() < 1_000, "a payer has a share");
    }
    assert!(!remembered.is_empty(), "a share is not nothing");
    let usage = copies.b.usage().await.unwrap();
    assert!(usage.proofs > 0 && usage.proofs < SPACE / 2, "{usage:?}");
    for id in &remembered {
        assert_eq!(show(&flood, id).await.unwrap(), Once::Again);
    }
    let first = show(&other, &handle()).await.unwrap();
    assert!(matches!(first, Once::First { .. }), "another user");
    let own = show(&copies.a, &handle()).await.unwrap();
    assert!(matches!(own, Once::First { .. }), "one without a payer");
}

async fn a_flood_of_counters_leaves_space(copies: Copies) {
    let attackers = attackers(&copies, 13);
    let innocent = copies.b.charged_to(Payer::Network([203, 0, 113, 1].into()));
    let (subject, two) = (handle(), [counter("two", 2, 60 * MINUTE)]);
    assert!(innocent.hit(&subject, &two).await.unwrap().is_none());
    for at in 0..600 {
        let attacker = &attackers[at % attackers.len()];
        assert!(attacker.hit(&handle(), &two).await.unwrap().is_none());
    }
    let usage = copies.a.usage().await.unwrap();
    assert!(usage.counters <= SPACE / 4, "{usage:?}");
    assert!(innocent.hit(&subject, &two).await.unwrap().is_none());
    let wait = innocent.hit(&subject, &two).await.unwrap();
    assert!(wait.is_some(), "the innocent's count is kept");
}

async fn a_counter_in_use_is_dropped_last(copies: Copies) {
    let attackers = attackers(&copies, 13);
    let own: Vec<Hash> = attackers.iter().map(|_| handle()).collect();
    let two = [counter("two", 2, 60 * MINUTE)];
    let limit = |limit| [counter("network", limit, 60 * MINUTE)];
    for _ in 0..50 {
        for (attacker, own) in attackers.iter().zip(&own) {
            assert!(attacker.hit(own, &limit(50)).await.unwrap().is_none());
            assert!(attacker.hit(&handle(), &two).await.unwrap().is_none());
        }
    }
    for (attacker, own) in attackers.iter().zip(&own) {
        let wait = attacker.hit(own, &limit(50)).await.unwrap();
        assert!(wait.is_some(), "a flood must not drop what limits it");
    }
}

/// The account follows each change of an entry, and its end.
async fn the_account_follows_every_change(copies: Copies) {
    let network = copies.a.charged_to(Payer::Network([127, 0, 0, 9].into()));
    let total = async || copies.b.usage().await.unwrap();
    let (at, short) = (handle(), Duration::from_millis(60));
    network
        .issue(TicketKind::Pending, &at, &[7; 2000], MINUTE)
        .await
        .unwrap();
    let large = total().await.tickets;
    assert!(large > 2000, "{large}");
    let (_, seen) = network
        .peek_version(TicketKind::Pending, &at)
        .await
        .unwrap()
        .unwrap();
    let replaced = network.replace_if(TicketKind::Pending, &at, &seen, &[7; 1000]);
    assert!(replaced.await.unwrap());
    assert_eq!(total().await.tickets, large - 1000);
    let claim = copies.b.claim(TicketKind::Pending, &at, b"", short);
    assert_eq!(claim.await.unwrap(), Claim::Fresh(vec![7; 1000]));
    assert_eq!(total().await.tickets, large - 2000);
    network
        .hit(&handle(), &[counter("one", 9, short)])
        .await
        .unwrap();
    copies
        .a
        .issue(TicketKind::Code, &handle(), b"", short)
        .await
        .unwrap();
    assert!(total().await.counters > 0 && total().await.own > 0);
    let ended = async {
        while total().await.total() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = copies.a.sweep();
            copies.a.keep_epoch(Clock::default().now()).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .unwrap();
}

/// The store is full of entries that have expired: a new one needs the space of many, and finds it.
async fn expired_entries_leave_before_the_store_is_full(copies: Copies) {
    let short = Duration::from_secs(3);
    let mut own = 0;
    let issue = async |length: usize, ttl| {
        let (at, value) = (handle(), vec![7; length]);
        copies.a.issue(TicketKind::Code, &at, &value, ttl).await
    };
    while issue(4_000, short).await.is_ok() {
        own += 1;
        assert!(own < 1_000, "the store has a limit");
    }
    assert!(own > 80, "{own} entries");
    assert!(issue(310_000, MINUTE).await.is_err(), "they are live");
    tokio::time::sleep(short).await;
    assert!(issue(310_000, MINUTE).await.unwrap(), "they have expired");
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
    rd_02_a_claim_is_undone_once_and_by_its_own_tombstone: a_claim_is_undone_once_and_by_its_own_tombstone;
    rd_02_once_is_first_once: once_is_first_once;
    rd_09_the_epoch_is_told_and_does_not_move: the_epoch_is_told_and_does_not_move;
    rd_02_replace_if_takes_only_what_was_seen: replace_if_takes_only_what_was_seen;
    rd_03_a_hundred_parallel_claims_give_one_live: a_hundred_parallel_claims_give_one_live;
    rd_03_values_and_handles_are_any_bytes: values_and_handles_are_any_bytes;
    rd_03_a_cancelled_caller_leaves_the_ticket_live_or_used: a_cancelled_caller_leaves_the_ticket_live_or_used;
    rd_05_another_master_key_sees_nothing: another_master_key_sees_nothing;
    a4_hits_of_two_copies_make_one_exact_total: hits_of_two_copies_make_one_exact_total;
    a5_refused_hits_do_not_count: refused_hits_do_not_count;
    sp_1_a_value_is_stored_and_counted_together: a_value_is_stored_and_counted_together;
    rd_04_entries_end_by_themselves: entries_end_by_themselves;
    oa_4_a_flood_of_tickets_drops_the_floods_own: a_flood_of_tickets_drops_the_floods_own;
    oa_4_a_flood_of_proofs_is_refused_to_its_payer_alone: a_flood_of_proofs_is_refused_to_its_payer_alone;
    oa_4_a_flood_of_counters_leaves_space: a_flood_of_counters_leaves_space;
    oa_4_a_counter_in_use_is_dropped_last: a_counter_in_use_is_dropped_last;
    oa_4_the_account_follows_every_change: the_account_follows_every_change;
    oa_4_expired_entries_leave_before_the_store_is_full: expired_entries_leave_before_the_store_is_full;
    rd_10_it_answers_and_refuses_when_full: it_answers_and_refuses_when_full;
}
