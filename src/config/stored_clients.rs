//! The enabled clients of the database, as requests look them up.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::client::{Client, ClientAuth};

/// The enabled clients of the database. Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredClients(Arc<Index>);

/// The clients, and unions over all of them that requests need.
#[derive(Debug, Default, PartialEq, Eq)]
struct Index {
    clients: HashMap<String, Client>,
    audiences: BTreeSet<String>,
    scopes: BTreeSet<String>,
    origins: BTreeSet<String>,
    has_public: bool,
}

impl StoredClients {
    #[must_use]
    pub fn new(clients: impl IntoIterator<Item = Client>) -> Self {
        let mut index = Index::default();
        for client in clients {
            index.audiences.insert(client.audience.clone());
            index.audiences.extend(client.resources.iter().cloned());
            let exchanged = client.token_exchange.iter().map(|rule| rule.to.clone());
            index.audiences.extend(exchanged);
            index.scopes.extend(client.scopes.iter().cloned());
            index.origins.extend(client.allowed_origins.iter().cloned());
            index.has_public |= client.token_endpoint_auth_method == ClientAuth::None;
            index.clients.insert(client.client_id.clone(), client);
        }
        Self(Arc::new(index))
    }

    #[must_use]
    pub fn get(&self, client_id: &str) -> Option<&Client> {
        self.0.clients.get(client_id)
    }

    /// Returns all clients, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.0.clients.values()
    }

    /// Whether the access tokens of a client may have this audience.
    #[must_use]
    pub fn has_audience(&self, name: &str) -> bool {
        self.0.audiences.contains(name)
    }

    /// Returns every scope that a client may request, once.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.scopes.iter().map(String::as_str)
    }

    /// Whether a client has registered this browser origin.
    #[must_use]
    pub fn has_origin(&self, origin: &str) -> bool {
        self.0.origins.contains(origin)
    }

    /// Whether there is a public client.
    #[must_use]
    pub fn has_public(&self) -> bool {
        self.0.has_public
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn stored_clients_answer_what_requests_ask() {
        let none = StoredClients::default();
        assert!(
            none.get("c").is_none()
                && !none.has_public()
                && !none.has_audience("https://api.example")
        );
        let client = toml::from_str(
            "client_id = \"c\"\nname = \"C\"\naudience = \"https://api.example\"\n\
             allowed_origins = [\"https://a.example\"]",
        )
        .unwrap();
        let stored = StoredClients::new([client]);
        assert!(stored.get("c").is_some() && stored.get("C").is_none() && stored.has_public());
        assert!(stored.has_origin("https://a.example") && !stored.has_origin("https://b.example"));
        assert!(
            stored.has_audience("https://api.example")
                && !stored.has_audience("https://api.example/")
        );
        assert_eq!(
            stored.scopes().collect::<Vec<_>>(),
            ["email", "openid", "profile"]
        );
        assert_eq!(stored.iter().count(), 1);
    }
}
