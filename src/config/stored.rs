//! The enabled clients of the database as a set that requests look into.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::client::{Client, ClientAuth};

/// The enabled clients of the database. Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored(Arc<Inner>);

/// What is asked at each request is gathered once.
#[derive(Debug, Default, PartialEq, Eq)]
struct Inner {
    clients: HashMap<String, Client>,
    audiences: BTreeSet<String>,
    scopes: BTreeSet<String>,
    origins: BTreeSet<String>,
    has_public: bool,
}

impl Stored {
    /// Of these.
    #[must_use]
    pub fn new(clients: impl IntoIterator<Item = Client>) -> Self {
        let mut inner = Inner::default();
        for client in clients {
            inner.audiences.insert(client.audience.clone());
            inner.audiences.extend(client.resources.iter().cloned());
            inner.scopes.extend(client.scopes.iter().cloned());
            inner.origins.extend(client.allowed_origins.iter().cloned());
            inner.has_public |= client.token_endpoint_auth_method == ClientAuth::None;
            inner.clients.insert(client.client_id.clone(), client);
        }
        Self(Arc::new(inner))
    }

    /// The one with this identifier.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Client> {
        self.0.clients.get(id)
    }

    /// All, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.0.clients.values()
    }

    /// Whether tokens of one of them may have this audience.
    #[must_use]
    pub fn has_audience(&self, name: &str) -> bool {
        self.0.audiences.contains(name)
    }

    /// Every scope that one of them may ask for, once.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.scopes.iter().map(String::as_str)
    }

    /// Whether one of them has registered this browser origin.
    #[must_use]
    pub fn has_origin(&self, origin: &str) -> bool {
        self.0.origins.contains(origin)
    }

    /// Whether one of them is a public client.
    #[must_use]
    pub fn has_public(&self) -> bool {
        self.0.has_public
    }
}
