//! The configuration in force: read without a lock, replaced atomically.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;

use super::{
    changed,
    problem::Problem,
    providers::Provider,
    settings::{Config, Reloadable, Startup},
    stored_clients::StoredClients,
};

/// A handle to the configuration in force. Clones share it.
#[derive(Clone, Debug)]
pub struct Live {
    startup: Arc<Startup>,
    current: Arc<ArcSwap<Reloadable>>,
    /// Held during a replacement: the file and the database are followed by different tasks.
    replacing: Arc<Mutex<()>>,
    followed: Arc<tokio::sync::Mutex<Option<i64>>>,
    /// By the id of a provider: how often it was removed, or became another party.
    departures: Arc<Mutex<BTreeMap<String, u64>>>,
    /// The warnings about the configuration that the log has.
    warned: Arc<Mutex<BTreeSet<String>>>,
}

/// The difference that a new configuration makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The keys and sections whose new value is in force.
    pub applied: Vec<&'static str>,
    /// The keys whose new value needs a restart.
    pub needs_restart: Vec<&'static str>,
}

impl Live {
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            startup: Arc::new(config.startup),
            current: Arc::new(ArcSwap::from_pointee(config.reloadable)),
            replacing: Arc::default(),
            followed: Arc::default(),
            departures: Arc::default(),
            warned: Arc::default(),
        }
    }

    /// Logs the warnings that the configuration of before did not have: each is written once, and
    /// again only when it comes back (OC-12).
    pub fn log_new_warnings(&self, warnings: &[Problem]) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in warnings {
            if !warned.contains(&warning.to_string()) {
                tracing::warn!(key = warning.key, "{warning}");
            }
        }
        *warned = warnings.iter().map(ToString::to_string).collect();
    }

    /// Returns the settings that were read at start.
    #[must_use]
    pub fn startup(&self) -> &Startup {
        &self.startup
    }

    /// Returns the settings in force now. Call it once per request, so that one request never sees
    /// two states.
    #[must_use]
    pub fn get(&self) -> Arc<Reloadable> {
        self.current.load_full()
    }

    /// Puts the reloadable part of a checked configuration into force, and compares the other part.
    pub fn reload(&self, new: Config) -> Change {
        Change {
            needs_restart: changed::in_startup(&self.startup, &new.startup),
            applied: self.replace(new.reloadable),
        }
    }

    /// Puts checked settings into force in one step, except for the clients of the database, which
    /// stay as they are. Returns what changed.
    pub fn replace(&self, mut new: Reloadable) -> Vec<&'static str> {
        let _one = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let old = self.get();
        let changed = changed::in_reloadable(&old, &new);
        if !changed.is_empty() {
            new.stored = old.stored.clone();
            let new = Arc::new(new);
            self.current.store(Arc::clone(&new));
            // Last: what is cached meanwhile is cached for the count of before.
            self.count_departures(&old.providers, &new.providers);
        }
        changed
    }

    /// A provider that is switched off stays the party that it was.
    fn count_departures(&self, old: &[Provider], new: &[Provider]) {
        let is_kept = |old: &Provider| {
            new.iter().filter(|new| new.id == old.id).any(|new| {
                let enabled = old.enabled;
                old.is_same_party(&Provider {
                    enabled,
                    ..new.clone()
                })
            })
        };
        let mut departures = self
            .departures
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for gone in old.iter().filter(|old| !is_kept(old)) {
            *departures.entry(gone.id.clone()).or_default() += 1;
        }
    }

    /// Returns how often the provider of this id was removed, or became another party: what was
    /// cached under another number is of another provider (OC-11).
    #[must_use]
    pub fn departures(&self, provider: &str) -> u64 {
        self.departures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(provider)
            .copied()
            .unwrap_or_default()
    }

    /// Puts the clients of the database into force in one step. Everything else stays as it is.
    pub fn store(&self, stored: StoredClients) {
        let _one = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut new = Reloadable::clone(&self.get());
        new.stored = stored;
        self.current.store(Arc::new(new));
    }

    /// The version of the database's clients that is in force; locked while a task compares and
    /// replaces them.
    #[must_use]
    pub fn followed(&self) -> &tokio::sync::Mutex<Option<i64>> {
        &self.followed
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        config::{MailTransport, Resource, Resources},
        secret::Text,
    };

    #[test]
    fn only_reloadable_settings_change_without_a_restart() {
        let live = Live::new(Config::default());
        let mut new = Config::default();
        new.reloadable.api.v2_enabled = true;
        new.reloadable.telemetry.level = "debug".to_owned();
        new.startup.server.listen = "127.0.0.1:1".parse().unwrap();
        new.startup.mail.transport = MailTransport::Mailbox;
        new.startup.database.url = Text::new("postgres://elsewhere/db".to_owned());
        let change = live.reload(new);
        assert_eq!(change.applied, ["api", "telemetry.level"]);
        assert_eq!(
            change.needs_restart,
            ["server.listen", "database.url", "mail.transport"]
        );
        let now = live.get();
        assert!(now.api.v2_enabled);
        assert_eq!(now.telemetry.level, "debug");
        assert_eq!(*live.startup(), Startup::default());
    }

    #[test]
    fn rs_1_resources_change_without_a_restart() {
        let live = Live::new(Config::default());
        let mut new = Config::default();
        new.reloadable.resources = Resources::from(vec![Resource {
            identifier: "https://api.example".to_owned(),
            ..Resource::default()
        }]);
        let change = live.reload(new);
        assert_eq!(change.applied, ["resources"]);
        assert!(change.needs_restart.is_empty());
        let now = live.get();
        assert!(now.resources.find("https://api.example").is_some());
    }

    #[test]
    fn an_equal_configuration_changes_nothing() {
        let live = Live::new(Config::default());
        let before = live.get();
        assert_eq!(live.reload(Config::default()), Change::default());
        assert!(Arc::ptr_eq(&before, &live.get()));
    }

    #[test]
    fn a_request_keeps_the_settings_that_it_took() {
        let live = Live::new(Config::default());
        let taken = live.get();
        let mut new = Reloadable::default();
        new.api.v2_enabled = true;
        live.replace(new);
        assert!(!taken.api.v2_enabled && live.get().api.v2_enabled);
    }
}
