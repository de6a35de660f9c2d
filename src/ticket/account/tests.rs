//! What leaves first when space is short.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{Account, Charge, Full, Pool};
use crate::{
    secret::{Hash, MasterKeys},
    ticket::payer::{Groups, Payer, groups_of},
};

/// An account with its entries, as a store keeps them.
struct Store {
    account: Account,
    entries: BTreeMap<Arc<str>, Charge>,
    dropped: Vec<String>,
}

impl Store {
    fn new(limit: usize) -> Self {
        Self {
            account: Account::new(limit),
            entries: BTreeMap::new(),
            dropped: Vec::new(),
        }
    }

    fn put(&mut self, key: &str, pool: Pool, cost: usize, groups: &Groups) -> Result<(), Full> {
        while let Some(key) = self.account.next_to_drop(pool, cost)? {
            self.remove(&key);
            self.dropped.push(key.to_string());
        }
        let key: Arc<str> = key.into();
        let charge = self.account.add(&key, pool, cost, groups);
        self.entries.insert(key, charge);
        Ok(())
    }

    fn remove(&mut self, key: &str) {
        let charge = self.entries.remove(key).unwrap();
        self.account.remove(&charge);
    }
}

fn network(address: &str) -> Groups {
    let address: IpAddr = address.parse().unwrap();
    let mac = MasterKeys::new([7; 32], []).mac("test");
    groups_of(Payer::Network(address), &mac)
}

fn user(id: u128) -> Groups {
    let mac = MasterKeys::new([7; 32], []).mac("test");
    groups_of(Payer::User(uuid::Uuid::from_u128(id)), &mac)
}

#[test]
fn oa_4_the_oldest_entry_of_the_largest_network_makes_space() {
    let mut store = Store::new(8_000);
    store
        .put("old innocent", Pool::Tickets, 400, &network("203.0.113.1"))
        .unwrap();
    for at in 0..9 {
        store
            .put(
                &format!("fat {at}"),
                Pool::Tickets,
                400,
                &network("192.0.2.1"),
            )
            .unwrap();
    }
    assert!(store.dropped.is_empty(), "the half holds ten");
    store
        .put("new innocent", Pool::Tickets, 400, &network("198.51.100.1"))
        .unwrap();
    store
        .put("signed in", Pool::Tickets, 400, &user(1))
        .unwrap();
    assert_eq!(store.dropped, ["fat 0", "fat 1"]);
    store
        .put("fat 9", Pool::Tickets, 400, &network("192.0.2.1"))
        .unwrap();
    assert_eq!(
        store.dropped,
        ["fat 0", "fat 1", "fat 2"],
        "it makes space for itself"
    );
    assert_eq!(store.account.usage().tickets, 4_000);
}

fn client(id: &[u8]) -> Groups {
    let mac = MasterKeys::new([7; 32], []).mac("test");
    groups_of(Payer::Client(Hash::of(id)), &mac)
}

#[test]
fn pu_9_all_users_of_a_client_weigh_as_64_networks_and_it_still_makes_space_for_itself() {
    let mut store = Store::new(2 * 70 * 100);
    for at in 0..40 {
        let key = format!("push {at}");
        store
            .put(&key, Pool::Tickets, 100, &client(b"shop"))
            .unwrap();
    }
    for at in 0..60 {
        let (key, from) = (format!("attack {at}"), format!("10.{}.0.1", at % 10));
        store
            .put(&key, Pool::Tickets, 100, &network(&from))
            .unwrap();
    }
    assert_eq!(store.dropped.len(), 30);
    assert!(store.dropped.iter().all(|key| key.starts_with("attack")));
    let mut store = Store::new(2 * 70 * 100);
    let other = client(b"other");
    store.put("other", Pool::Tickets, 100, &other).unwrap();
    for at in 0..100 {
        let key = format!("push {at}");
        store
            .put(&key, Pool::Tickets, 100, &client(b"shop"))
            .unwrap();
    }
    assert!(store.dropped.iter().all(|key| key.starts_with("push")));
}

#[test]
fn oa_4_many_networks_of_one_wider_prefix_are_one_attacker() {
    let mut store = Store::new(2 * 43 * 100);
    let family = network("203.0.113.1");
    let site = |at: usize| network(&format!("2001:db8:1:{at:x}00::1"));
    for at in 0..3 {
        let key = format!("family {at}");
        store.put(&key, Pool::Tickets, 100, &family).unwrap();
    }
    for at in 0..60 {
        let key = format!("site {at}");
        store.put(&key, Pool::Tickets, 100, &site(at)).unwrap();
    }
    assert_eq!(store.dropped.len(), 20);
    let of_site = store.dropped.iter().filter(|key| key.starts_with("site"));
    assert_eq!(
        of_site.count(),
        20,
        "40 networks of a /48 weigh as much as 5 elsewhere"
    );
}

#[test]
fn oa_4_charged_tickets_take_half_counters_a_quarter_and_own_entries_find_space() {
    let mut store = Store::new(10_000);
    let attackers: Vec<Groups> = (0..100).map(|n| network(&format!("10.{n}.0.1"))).collect();
    for at in 0..500 {
        let payer = &attackers[at % 100];
        store
            .put(&format!("ticket {at}"), Pool::Tickets, 90, payer)
            .unwrap();
        store
            .put(&format!("counter {at}"), Pool::Counters, 50, payer)
            .unwrap();
    }
    let usage = store.account.usage();
    assert!(
        usage.tickets <= 5_000 && usage.counters <= 2_500,
        "{usage:?}"
    );
    let own = Groups::default();
    for at in 0..75 {
        store
            .put(&format!("code {at}"), Pool::Own, 100, &own)
            .unwrap();
    }
    assert_eq!(
        store.put("code 75", Pool::Own, 100, &own),
        Err(Full),
        "three quarters are codes"
    );
    assert!(store.account.usage().is_full());
    store
        .put("a counter", Pool::Counters, 50, &attackers[0])
        .unwrap();
    let codes = store.entries.keys().filter(|key| key.starts_with("code"));
    assert_eq!(codes.count(), 75);
    assert!(store.account.usage().total() <= 10_000);
}

#[test]
fn an_account_without_entries_is_empty() {
    let mut store = Store::new(100_000);
    for at in 0..40 {
        let address = format!("2001:db8:{:x}:{at:x}::1", at % 3);
        store
            .put(
                &format!("{at}"),
                Pool::Tickets,
                100 + at,
                &network(&address),
            )
            .unwrap();
    }
    for at in (0..40).rev() {
        store.remove(&format!("{at}"));
    }
    assert!(store.account.tickets.is_empty());
    assert_eq!(store.account.usage().total(), 0);
}

#[test]
fn an_entry_that_is_larger_than_its_pool_is_refused() {
    let mut store = Store::new(10_000);
    store
        .put("small", Pool::Tickets, 1_000, &network("192.0.2.1"))
        .unwrap();
    assert_eq!(
        store.put("huge", Pool::Tickets, 5_001, &network("192.0.2.1")),
        Err(Full)
    );
}

/// As many accounts as an attacker can make: each shows as many proofs as it may.
#[test]
fn oa_4_proofs_of_many_payers_leave_space_for_one_more_and_none_is_dropped() {
    const COST: usize = 900;
    let mut store = Store::new(64 << 20);
    let show = |store: &mut Store, groups: &Groups, key: String| {
        let is_admitted = store.account.admits_proof(COST, groups);
        if is_admitted {
            store.put(&key, Pool::Proofs, COST, groups).unwrap();
        }
        is_admitted
    };
    let attackers: Vec<Groups> = (0..250).map(user).collect();
    for round in 0.. {
        let mut admitted = 0;
        for (at, groups) in attackers.iter().enumerate() {
            admitted += usize::from(show(&mut store, groups, format!("{at} {round}")));
        }
        if admitted == 0 {
            break;
        }
    }
    let held = store.account.usage().proofs;
    assert!(held > 16 << 20, "they hold {held}");
    let innocent = user(1_000);
    let shown = (0..).take_while(|at| show(&mut store, &innocent, format!("innocent {at}")));
    let shown = shown.count();
    assert!((50..200).contains(&shown), "{shown}");
    assert!(store.dropped.is_empty(), "{:?}", store.dropped);
    store
        .put("code", Pool::Own, 4_096, &Groups::default())
        .unwrap();
}
