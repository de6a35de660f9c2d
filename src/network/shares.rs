//! Who holds most of something that strangers share: a pure account by groups, such as networks and
//! the wider prefixes around them.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher as _, Hash, RandomState},
};

/// A set of holdings that count together, for instance those of one prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<G> {
    pub id: G,
    /// How many networks' worth the group may hold. A divisor of [`WHOLE_SHARE`].
    pub share: u32,
}

/// Shares are divisors of this.
const WHOLE_SHARE: usize = 64;

/// One holding. Its groups begin with the narrowest.
#[derive(Clone, Debug)]
pub struct Holding<K, L> {
    pub key: K,
    /// Its place in the order of all holdings.
    pub turn: u64,
    pub amount: usize,
    pub groups: L,
}

/// The holdings of each group, and the groups by what they hold beside their share.
///
/// Among groups that hold the same, a keyed hash decides: no one can choose an address that always
/// comes before a victim's.
#[derive(Debug)]
pub struct Shares<G, K> {
    groups: HashMap<G, Held<G, K>>,
    by_weight: BTreeSet<Rank<G>>,
    /// Its keys are random.
    hasher: RandomState,
}

/// What a group holds, its place among those that hold the same, and its id.
type Rank<G> = (usize, u64, G);

/// What one group holds.
#[derive(Debug)]
struct Held<G, K> {
    amount: usize,
    /// The holdings of a narrowest group, the oldest first.
    entries: BTreeSet<(u64, K)>,
    /// The narrowest groups of a wider one, by their amount.
    members: BTreeSet<Rank<G>>,
}

impl<G, K> Default for Held<G, K> {
    fn default() -> Self {
        Self {
            amount: 0,
            entries: BTreeSet::new(),
            members: BTreeSet::new(),
        }
    }
}

impl<G, K> Default for Shares<G, K> {
    fn default() -> Self {
        Self {
            groups: HashMap::new(),
            by_weight: BTreeSet::new(),
            hasher: RandomState::new(),
        }
    }
}

const fn weight(amount: usize, share: u32) -> usize {
    amount * WHOLE_SHARE / share as usize
}

impl<G: Copy + Ord + Hash, K: Clone + Ord> Shares<G, K> {
    pub fn add<L: AsRef<[Group<G>]>>(&mut self, holding: &Holding<K, L>) {
        let groups = holding.groups.as_ref();
        self.change(groups, |amount| amount + holding.amount);
        if let Some(held) = self.narrowest(groups) {
            held.entries.insert((holding.turn, holding.key.clone()));
        }
    }

    /// Removes a holding that was added.
    pub fn remove<L: AsRef<[Group<G>]>>(&mut self, holding: &Holding<K, L>) {
        let groups = holding.groups.as_ref();
        if let Some(held) = self.narrowest(groups) {
            held.entries.remove(&(holding.turn, holding.key.clone()));
        }
        self.change(groups, |amount| amount.saturating_sub(holding.amount));
    }

    fn narrowest(&mut self, groups: &[Group<G>]) -> Option<&mut Held<G, K>> {
        self.groups.get_mut(&groups.first()?.id)
    }

    /// Changes the amount of each group of a holding.
    fn change(&mut self, groups: &[Group<G>], change: impl Fn(usize) -> usize) {
        let Some(narrowest) = groups.first() else {
            return;
        };
        let before = self.groups.get(&narrowest.id).map_or(0, |held| held.amount);
        let hasher = &self.hasher;
        let rank = |amount, id| (amount, hasher.hash_one(id), id);
        for group in groups {
            let held = self.groups.entry(group.id).or_default();
            self.by_weight
                .remove(&rank(weight(held.amount, group.share), group.id));
            held.amount = change(held.amount);
            if group.id != narrowest.id {
                held.members.remove(&rank(before, narrowest.id));
                if change(before) > 0 {
                    held.members.insert(rank(change(before), narrowest.id));
                }
            }
            if held.amount == 0 {
                self.groups.remove(&group.id);
            } else {
                self.by_weight
                    .insert(rank(weight(held.amount, group.share), group.id));
            }
        }
    }

    /// Returns the holdings of the group that holds most beside its share, the oldest first. Of a
    /// wider group they are those of its narrowest group that holds most.
    pub fn of_largest(&self) -> impl Iterator<Item = &K> {
        let largest = self.by_weight.last().and_then(|(.., id)| {
            let held = self.groups.get(id)?;
            match held.members.last() {
                Some((.., member)) => self.groups.get(member),
                None => Some(held),
            }
        });
        let entries = largest.into_iter().flat_map(|held| &held.entries);
        entries.map(|(_, key)| key)
    }

    /// Returns whether each of these groups, with so much more, holds at most `most` for a network's
    /// worth of its share, in parts of [`WHOLE_SHARE`].
    #[must_use]
    pub fn allows(&self, groups: &[Group<G>], more: usize, most: usize) -> bool {
        let held = |group: &Group<G>| self.groups.get(&group.id).map_or(0, |held| held.amount);
        let mut groups = groups.iter();
        groups.all(|group| weight(held(group) + more, group.share) <= most)
    }

    /// Returns whether these groups hold, beside their shares, at least half of what the largest
    /// group does.
    #[must_use]
    pub fn is_large(&self, groups: &[Group<G>]) -> bool {
        let most = self.by_weight.last().map_or(0, |(weight, ..)| *weight);
        let own = groups.iter().filter_map(|group| {
            let held = self.groups.get(&group.id)?;
            Some(weight(held.amount, group.share))
        });
        own.max().is_some_and(|own| own.saturating_mul(2) >= most)
    }

    /// Returns whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.by_weight.is_empty()
    }
}

/// Returns the groups of a network: itself and the wider prefixes around it.
#[must_use]
pub fn groups_of(network: super::Network) -> Vec<Group<super::Prefix>> {
    let group = |prefix: super::Prefix| Group {
        id: prefix,
        share: prefix.weight,
    };
    network.prefixes().map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Network, Prefix},
        *,
    };

    #[test]
    fn oa_5_among_equals_the_highest_address_loses_no_more_than_its_share() {
        let networks = ["192.0.2.1", "198.51.100.1", "203.0.113.1", "223.255.255.1"];
        let lost = |_: &usize| {
            let mut shares: Shares<Prefix, usize> = Shares::default();
            for (key, network) in networks.iter().enumerate() {
                let Ok(address) = network.parse() else {
                    continue;
                };
                shares.add(&Holding {
                    key,
                    turn: 0,
                    amount: 1,
                    groups: groups_of(Network::of(address)),
                });
            }
            shares.of_largest().next() == Some(&(networks.len() - 1))
        };
        let highest = (0..400).filter(lost).count();
        assert!((40..200).contains(&highest), "{highest} of 400");
    }
}
