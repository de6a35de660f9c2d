//! A list whose places are used again.

/// Entries, each at a place of its own until it is removed.
#[derive(Debug)]
pub(super) struct Requests<T> {
    places: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Requests<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Requests<T> {
    /// Adds an entry, and returns its place.
    pub(super) fn insert(&mut self, entry: T) -> usize {
        let at = self.free.pop();
        match at.and_then(|at| Some((at, self.places.get_mut(at)?))) {
            Some((at, place)) => {
                *place = Some(entry);
                at
            }
            None => {
                self.places.push(Some(entry));
                self.places.len() - 1
            }
        }
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.places.get_mut(at)?.as_mut()
    }

    pub(super) fn remove(&mut self, at: usize) -> Option<T> {
        let entry = self.places.get_mut(at)?.take()?;
        self.free.push(at);
        if self.is_empty() {
            // What a flood took is given back.
            self.places.truncate(0);
            self.places.shrink_to(1024);
            self.free.clear();
            self.free.shrink_to(1024);
        }
        Some(entry)
    }

    /// The entries with their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(at, entry)| Some((at, entry.as_ref()?)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_again_and_holds_one_entry() {
        let mut requests = Requests::default();
        let (first, second) = (requests.insert("first"), requests.insert("second"));
        assert_eq!(requests.remove(first), Some("first"));
        assert_eq!(requests.remove(first), None);
        let third = requests.insert("third");
        assert_eq!(third, first);
        let all: Vec<_> = requests.iter().map(|(_, entry)| *entry).collect();
        assert_eq!(all, ["third", "second"]);
        assert!(!requests.is_empty() && requests.get_mut(second) == Some(&mut "second"));
        assert!(requests.remove(second).is_some() && requests.remove(third).is_some());
        assert!(requests.is_empty() && requests.iter().next().is_none());
        assert_eq!(requests.insert("again"), 0);
    }
}
