//! The configuration in force: read without a lock, replaced atomically.
//!
//! Every key is either listed in `differing` as one that needs a restart, or changes at once; a test holds that each
//! key is in one of the two lists.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::{settings::Config, stored::Stored};

/// A handle to the configuration in force. Clones share it.
#[derive(Clone, Debug)]
pub struct Live {
    current: Arc<ArcSwap<Config>>,
    /// One change at a time: file and database are followed by different tasks.
    changing: Arc<Mutex<()>>,
    followed: Arc<tokio::sync::Mutex<Option<i64>>>,
}

/// What a replacement changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Keys and sections whose new value is in force.
    pub applied: Vec<&'static str>,
    /// Keys whose new value waits for a restart.
    pub needs_restart: Vec<&'static str>,
}

impl Live {
    /// Starts with one.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            current: Arc::new(ArcSwap::from_pointee(config)),
            changing: Arc::default(),
            followed: Arc::default(),
        }
    }

    /// The one in force now. Take it once per request, so that one request never sees two.
    #[must_use]
    pub fn get(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// Puts what may change without a restart into force, in one step, and keeps the rest. `new` must have been checked.
    pub fn replace(&self, new: Config) -> Change {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.get();
        let change = Change {
            applied: applied(&old, &new),
            needs_restart: differing(&old, &new),
        };
        if !change.applied.is_empty() {
            self.current.store(Arc::new(blend(&old, new)));
        }
        change
    }
}

impl Live {
    /// Puts the clients of the database into force, in one step, and keeps everything else.
    pub fn store(&self, stored: Stored) {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = Config::clone(&self.get());
        new.stored = stored;
        self.current.store(Arc::new(new));
    }

    /// Which state of the database's clients was taken over last; locked while somebody looks.
    #[must_use]
    pub fn followed(&self) -> &tokio::sync::Mutex<Option<i64>> {
        &self.followed
    }
}

/// The names of the listed keys whose values differ.
macro_rules! differing {
    ($old:expr, $new:expr; $($($step:ident).+),+ $(,)?) => {{
        let mut names = Vec::new();
        $(if $old.$($step).+ != $new.$($step).+ {
            names.push(stringify!($($step).+));
        })+
        names
    }};
}

/// Keys that are read once, at start.
fn differing(old: &Config, new: &Config) -> Vec<&'static str> {
    differing!(old, new;
        server.listen, server.public_url, server.data_dir, server.master_key, server.previous_master_keys,
        server.trusted_proxies, server.connections_per_network, server.single_instance, server.drain_seconds, server.tls,
        database.url, database.max_connections, database.migrate,
        tickets.url, tickets.prefix, tickets.memory_entries,
        mail.transport, mail.host, mail.port, mail.tls, mail.ca_file, mail.username, mail.password, mail.from,
        mail.concurrency, mail.timeout_seconds,
        telemetry.format, telemetry.otlp_endpoint, telemetry.traces_per_mille, management.listen,
    )
}

/// Keys and whole sections that are read at each use.
fn applied(old: &Config, new: &Config) -> Vec<&'static str> {
    differing!(old, new; magic_link, session, token, clients, providers, limits, api, telemetry.level, server.texts_dir,
        server.service_documentation, server.op_policy_uri)
}

/// What is in force after a change: the old one with the new values of [`applied`].
fn blend(old: &Config, new: Config) -> Config {
    let mut blend = old.clone();
    blend.magic_link = new.magic_link;
    blend.session = new.session;
    blend.token = new.token;
    blend.clients = new.clients;
    blend.providers = new.providers;
    blend.limits = new.limits;
    blend.api = new.api;
    blend.telemetry.level = new.telemetry.level;
    blend.server.texts_dir = new.server.texts_dir;
    blend.server.service_documentation = new.server.service_documentation;
    blend.server.op_policy_uri = new.server.op_policy_uri;
    blend
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{config::MailTransport, secret::Text};

    #[test]
    fn only_what_may_change_changes() {
        let live = Live::new(Config::default());
        let mut new = Config::default();
        new.api.v2_enabled = true;
        new.telemetry.level = "debug".to_owned();
        new.server.listen = "127.0.0.1:1".parse().unwrap();
        new.mail.transport = MailTransport::Mailbox;
        new.database.url = Text::new("postgres://elsewhere/db".to_owned());
        let change = live.replace(new);
        assert_eq!(change.applied, ["api", "telemetry.level"]);
        assert_eq!(
            change.needs_restart,
            ["server.listen", "database.url", "mail.transport"]
        );
        let now = live.get();
        assert!(now.api.v2_enabled);
        assert_eq!(now.telemetry.level, "debug");
        assert_eq!(now.server.listen, Config::default().server.listen);
        assert!(now.database.url.is_empty());
    }

    #[test]
    fn nothing_new_changes_nothing() {
        let live = Live::new(Config::default());
        let before = live.get();
        assert_eq!(live.replace(Config::default()), Change::default());
        assert!(Arc::ptr_eq(&before, &live.get()));
    }

    #[test]
    fn a_request_keeps_the_one_that_it_took() {
        let live = Live::new(Config::default());
        let taken = live.get();
        let mut new = Config::default();
        new.api.v2_enabled = true;
        live.replace(new);
        assert!(!taken.api.v2_enabled && live.get().api.v2_enabled);
    }

    /// Every key of the shape is in one list: found by asking the shape for its keys.
    #[test]
    fn every_key_either_applies_or_needs_a_restart() {
        let source = include_str!("live.rs");
        let lists = source.split("fn blend").next().unwrap();
        for (section, keys) in crate::config::load::tests::keys_of_the_shape() {
            for key in keys {
                let full = format!("{section}.{key}");
                let whole = [
                    "magic_link",
                    "session",
                    "token",
                    "clients",
                    "providers",
                    "limits",
                    "api",
                ];
                let whole = whole.contains(&section.as_str());
                assert!(
                    whole || lists.contains(&full),
                    "{full} is in no list of live.rs"
                );
            }
        }
    }
}
