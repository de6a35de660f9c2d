#![allow(clippy::unwrap_used)]
use std::time::Duration;

use crate::{
    clock::Clock,
    secret::{Hash, MasterKeys},
    ticket::{Claim, Counter, TicketKind, Tickets},
};

const TTL: Duration = Duration::from_secs(3600);
const KEEP: Duration = Duration::from_secs(7200);

fn fresh(capacity: usize) -> (Tickets, Clock) {
    let clock = Clock::default();
    (
        Tickets::memory(capacity, clock.clone(), &MasterKeys::new([7; 32], [])),
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
    let mut entries = super::Entries::default();
    let end = crate::clock::Time(1_000);
    entries.put("key", super::Content::Count(1), end);
    assert!(entries.live("key", crate::clock::Time(999)).is_some());
    assert!(entries.live("key", end).is_none());
    assert_eq!(entries.delete_expired(crate::clock::Time(999)), 0);
    assert_eq!(entries.delete_expired(end), 1);
    assert!(entries.by_key.is_empty() && entries.by_expiry.is_empty());
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
    let large = vec![0; 4 * 1024];
    assert!(
        tickets
            .issue(TicketKind::Pending, &number(1), &large, TTL)
            .await
            .unwrap(),
        "five of ten, sealed"
    );
    assert!(
        tickets
            .issue(TicketKind::Pending, &number(2), &large, TTL)
            .await
            .unwrap()
    );
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
    assert!(
        tickets
            .issue(TicketKind::Pending, &number(4), &vec![0; 9 * 1024], TTL)
            .await
            .unwrap(),
        "all of it"
    );
    assert!(
        tickets
            .issue(TicketKind::Pending, &number(5), b"small", TTL)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn rd_12_h2_a_full_store_refuses_and_evicts_nothing() {
    let (tickets, clock) = fresh(100);
    for n in 0..100 {
        assert!(
            tickets
                .issue(TicketKind::Code, &number(n), &n.to_be_bytes(), TTL)
                .await
                .unwrap()
        );
    }
    let one = ["a", "b"].map(|name| Counter {
        name: name.to_owned(),
        limit: 1,
        window: TTL,
    });
    assert!(
        tickets
            .issue(TicketKind::Code, &number(100), b"", TTL)
            .await
            .unwrap_err()
            .is_transient()
    );
    assert!(
        tickets
            .hit(&number(100), &one)
            .await
            .unwrap_err()
            .is_transient()
    );
    assert!(
        !tickets
            .issue(TicketKind::Code, &number(7), b"", TTL)
            .await
            .unwrap(),
        "an existing value is still found"
    );
    for n in 0..100 {
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
    assert!(
        tickets
            .issue(TicketKind::Code, &number(100), b"", TTL)
            .await
            .is_err(),
        "tombstones are live entries too"
    );
    clock.advance(KEEP);
    assert!(
        tickets.hit(&number(100), &one).await.unwrap().is_none(),
        "what has ended makes room by itself"
    );
}

#[tokio::test]
async fn rd_12_a_hit_that_does_not_fit_raises_nothing() {
    let (tickets, _) = fresh(2);
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
