//! Who is charged for an entry of the store.
//!
//! An entry that any stranger can cause is charged to the network that its request came from, and
//! to the wider prefixes of that network with weaker shares. Where space is short, the group that
//! holds most beside its share loses its oldest entry (OA-4). The store sees keyed hashes of groups.

use std::{net::IpAddr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::{
    network::{Network, shares},
    secret::{Hash, Mac},
};

/// Who is charged for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer {
    /// The network of a request.
    Network(IpAddr),
    /// The user who is signed in: strangers on the same network take nothing from this user.
    User(Uuid),
    /// A session, where its user is not known yet.
    Session(Uuid),
    /// A client that has authenticated, by the hash of its identifier.
    Client(Hash),
}

/// The name of a group: a part of a keyed hash, in base64url.
pub(super) type GroupName = [u8; 12];

/// A set of entries that are charged together: those of one user, one network or one wider prefix.
pub(super) type Group = shares::Group<GroupName>;

/// How many networks' worth a client may hold.
const CLIENT_SHARE: u32 = 64;

/// The groups of one payer, the narrowest first. Without any, the entry is the service's own and is
/// never dropped.
pub(super) type Groups = Arc<[Group]>;

/// Returns the groups of a payer.
pub(super) fn groups_of(payer: Payer, mac: &Mac) -> Groups {
    let group = |kind: &[u8], id: &[u8], share| {
        let tag = mac.tag(&[b"payer", kind, id]);
        let mut name = GroupName::default();
        // Nine bytes are twelve characters, so it fits.
        let _ = URL_SAFE_NO_PAD.encode_slice(&tag.as_bytes()[..9], &mut name);
        Group { id: name, share }
    };
    match payer {
        Payer::User(id) => Arc::new([group(b"user", id.as_bytes(), 1)]),
        Payer::Session(id) => Arc::new([group(b"session", id.as_bytes(), 1)]),
        // All users of a client together must not weigh as one network of an attacker.
        Payer::Client(id) => Arc::new([group(b"client", id.as_bytes(), CLIENT_SHARE)]),
        Payer::Network(address) => Network::of(address)
            .prefixes()
            .map(|prefix| group(b"network", &prefix.to_bytes(), prefix.weight))
            .collect(),
    }
}
