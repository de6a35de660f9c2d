#![allow(clippy::unwrap_used)]
use std::time::Duration;

use crate::{
    clock::Clock,
    secret::{Hash, MasterKeys},
    ticket::{
        Claim, Counter, Payer, TicketKind, Tickets, Writable, account::ENTRY_BYTES, payer::Groups,
    },
};

const TTL: Duration = Duration::from_secs(3600);
/// The cost of a ticket with a value of up to 64 bytes, sealed.
const SMALL: usize = 100 + ENTRY_BYTES;
const KEEP: Duration = Duration::from_secs(7200);

/// A store with space for so many small tickets of the service itself: three quarters of it.
fn fresh(tickets: usize) -> (Tickets, Clock) {
    let clock = Clock::default();
    (
        Tickets::memory(
            SMALL * tickets * 4 / 3,
            clock.clone(),
            &MasterKeys::new([7; 32], []),
        ),
        clock,
    )
}

fn number(number: u32) -> Hash {
    Hash::of(&number.to_be_bytes())
}

/// Real time passes beside the shifts: a test that finds it has taken longer than this proves nothing.
const SLACK: Duration = Duration::from_secs(60);

#[tokio::test]
async fn rd_03_a_ticket_ends_at_its_ttl() {
    let (tickets, clock) = fresh(10);
    let at = number(1);
    tickets
        .issue(TicketKind::Code, &at, b"value", TTL)
        .await
        .unwrap();
    clock.advance(TTL - SLACK);
    assert!(tickets.peek(TicketKind::Code, &at).await.unwrap().is_some());
    clock.advance(SLACK);
    assert!(tickets.peek(TicketKind::Code, &at).await.unwrap().is_none());
    assert_eq!(
        tickets
            .claim(TicketKind::Code, &at, b"used", KEEP)
            .await
            .unwrap(),
        Claim::Gone
    );
    assert!(
        tickets
            .issue(TicketKind::Code, &at, b"next", TTL)
            .await
            .unwrap()
    );
}

#[test]
fn rd_03_at_the_very_millisecond_of_its_end_an_entry_is_gone() {
    let memory = super::Memory::new(10_000, Clock::default());
    let mut entries = memory.lock();
    let end = crate::clock::Time(1_000);
    entries.put("key", super::Content::Count(1), end, &Groups::default());
    assert!(entries.live("key", crate::clock::Time(999)).is_some());
    assert!(entries.live("key", end).is_none());
    assert_eq!(entries.delete_expired(crate::clock::Time(999)), 0);
    assert_eq!(entries.delete_expired(end), 1);
    assert!(entries.by_key.is_empty() && entries.by_expiry.is_empty());
    assert_eq!(entries.account.usage().total(), 0);
}

#[tokio::test]
async fn rd_04_a_tombstone_ends_at_its_own_time() {
    let (tickets, clock) = fresh(10);
    let at = number(1);
    tickets
        .issue(TicketKind::Code, &at, b"value", TTL)
        .await
        .unwrap();
    tickets
        .claim(TicketKind::Code, &at, b"used", KEEP)
        .await
        .unwrap();
    clock.advance(KEEP - SLACK);
    assert_eq!(
        tickets.sweep(),
        0,
        "the end of the ticket is not that of its tombstone"
    );
    let claim = tickets
        .claim(TicketKind::Code, &at, b"again", KEEP)
        .await
        .unwrap();
    assert_eq!(claim, Claim::Replayed(b"used".to_vec()));
    clock.advance(SLACK);
    assert_eq!(
        tickets
            .claim(TicketKind::Code, &at, b"late", KEEP)
            .await
            .unwrap(),
        Claim::Gone
    );
}

#[tokio::test]
async fn a5_a_window_runs_from_its_first_hit_and_then_starts_anew() {
    let (tickets, clock) = fresh(10);
    let two = [Counter {
        name: "two".to_owned(),
        limit: 2,
        window: TTL,
    }];
    assert!(tickets.hit(&number(1), &two).await.unwrap().is_none());
    clock.advance(TTL / 2);
    assert!(tickets.hit(&number(1), &two).await.unwrap().is_none());
    let wait = tickets.hit(&number(1), &two).await.unwrap().unwrap();
    assert!(wait <= TTL / 2 && wait > TTL / 2 - SLACK, "{wait:?}");
    clock.advance(wait);
    assert!(tickets.hit(&number(1), &two).await.unwrap().is_none());
    assert!(tickets.hit(&number(1), &two).await.unwrap().is_none());
    assert!(tickets.hit(&number(1), &two).await.unwrap().is_some());
}

#[tokio::test]
async fn rd_12_a_large_entry_takes_the_room_of_several_until_it_is_gone() {
    let (tickets, clock) = fresh(10);
    let large = vec![0; 4 * SMALL];
    for n in 1..=2 {
        let at = number(n);
        let issued = tickets.issue(TicketKind::Pending, &at, &large, TTL);
        assert!(issued.await.unwrap(), "nearly five of ten, sealed");
    }
    assert!(
        tickets
            .issue(TicketKind::Pending, &number(3), b"small", TTL)
            .await
            .is_err(),
        "full"
    );
    tickets
        .claim(TicketKind::Pending, &number(1), b"used", TTL)
        .await
        .unwrap();
    assert!(
        tickets
            .issue(TicketKind::Pending, &number(3), b"small", TTL)
            .await
            .unwrap(),
        "a tombstone is small"
    );
    clock.advance(TTL);
    let (usage, limit) = (tickets.usage().await.unwrap(), SMALL * 40 / 3);
    assert_eq!(usage.limit, limit);
    assert!(tickets.sweep() == 3 && tickets.usage().await.unwrap().total() == 0);
}

#[tokio::test]
async fn rd_12_h2_a_full_store_refuses_and_drops_nothing_of_its_own() {
    let (tickets, clock) = fresh(100);
    let mut stored = 0;
    while tickets
        .issue(
            TicketKind::Code,
            &number(stored),
            &stored.to_be_bytes(),
            TTL,
        )
        .await
        .is_ok()
    {
        stored += 1;
    }
    assert!((100..125).contains(&stored), "{stored}");
    assert_eq!(tickets.check_writable().await.unwrap(), Writable::Full);
    let one = ["a", "b"].map(|name| Counter {
        name: name.to_owned(),
        limit: 1,
        window: TTL,
    });
    let next = number(stored);
    let refused = tickets.issue(TicketKind::Code, &next, b"", TTL);
    assert!(refused.await.unwrap_err().is_transient());
    let charged = tickets.charged_to(Payer::Network([192, 0, 2, 1].into()));
    assert!(
        charged.hit(&number(stored), &one).await.unwrap().is_none(),
        "counters have space of their own"
    );
    assert!(
        !tickets
            .issue(TicketKind::Code, &number(7), b"", TTL)
            .await
            .unwrap(),
        "an existing value is still found"
    );
    for n in 0..stored {
        let claim = tickets
            .claim(TicketKind::Code, &number(n), b"used", KEEP)
            .await
            .unwrap();
        assert_eq!(
            claim,
            Claim::Fresh(n.to_be_bytes().to_vec()),
            "a claim needs no room"
        );
    }
    let refused = tickets.issue(TicketKind::Code, &next, b"", TTL);
    assert!(refused.await.is_err(), "tombstones are live entries too");
    clock.advance(KEEP);
    assert!(
        tickets
            .issue(TicketKind::Code, &number(stored), b"", TTL)
            .await
            .unwrap(),
        "what has ended makes room by itself"
    );
}

#[tokio::test]
async fn rd_12_a_hit_that_does_not_fit_raises_nothing() {
    let clock = Clock::default();
    let tickets = Tickets::memory(ENTRY_BYTES * 3, clock, &MasterKeys::new([7; 32], []));
    let counter = |name: &str| Counter {
        name: name.to_owned(),
        limit: 1,
        window: TTL,
    };
    let three = ["a", "b", "c"].map(counter);
    assert!(tickets.hit(&number(1), &three).await.is_err());
    assert!(
        tickets
            .hit(&number(1), &[counter("a")])
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn sweep_drops_all_that_ended_and_nothing_else() {
    let (tickets, clock) = fresh(1000);
    for n in 0..300 {
        tickets
            .issue(
                TicketKind::Code,
                &number(n),
                b"",
                if n < 200 { TTL } else { KEEP },
            )
            .await
            .unwrap();
    }
    assert_eq!(tickets.sweep(), 0);
    clock.advance(TTL);
    assert_eq!(tickets.sweep(), 200);
    assert_eq!(tickets.sweep(), 0);
    assert!(
        tickets
            .peek(TicketKind::Code, &number(250))
            .await
            .unwrap()
            .is_some()
    );
}
