//! The key of a ticket in the store, and the encryption of its value (RD-05).

use super::store::TicketState;
use crate::secret::{Hash, Mac, Sealer};

/// The key of one ticket, and what encrypts its value.
pub(super) struct TicketKey<'a> {
    pub(super) key: String,
    pub(super) handle: Hash,
    pub(super) mac: &'a Mac,
}

impl TicketKey<'_> {
    fn context(&self, state: TicketState) -> Vec<u8> {
        [self.key.as_bytes(), &[state.byte()]].concat()
    }

    /// Returns the state, then the value under AES-256-GCM. The encryption key is made of the master key and the
    /// handle, which the store has not seen.
    pub(super) fn seal(&self, state: TicketState, value: &[u8]) -> Vec<u8> {
        let sealer = Sealer::with_key(*self.mac.tag(&[self.handle.as_bytes()]).as_bytes());
        let mut blob = vec![state.byte()];
        blob.extend(sealer.seal(&self.context(state), value));
        blob
    }

    pub(super) fn open(&self, blob: &[u8]) -> Option<(TicketState, Vec<u8>)> {
        let (&first, sealed) = blob.split_first()?;
        let state = [TicketState::Live, TicketState::Used]
            .into_iter()
            .find(|state| state.byte() == first)?;
        let context = self.context(state);
        let value = self
            .mac
            .tags(&[self.handle.as_bytes()])
            .find_map(|key| Sealer::with_key(*key.as_bytes()).open(&context, sealed))?;
        Some((state, value.to_vec()))
    }
}
