//! The configuration in force: read without a lock, replaced atomically.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::{
    settings::{
        Config, DatabaseSection, Mail, Management, Reloadable, ReloadableServer,
        ReloadableTelemetry, Server, Startup, Telemetry, Tickets,
    },
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
        }
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
            needs_restart: changed_startup(&self.startup, &new.startup),
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
        let changed = changed_reloadable(&old, &new);
        if !changed.is_empty() {
            new.stored = old.stored.clone();
            self.current.store(Arc::new(new));
        }
        changed
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

/// Lists the fields of a section whose values differ. The pattern names every field of the type, so
/// that a field that is missing here does not compile.
macro_rules! changed {
    ($prefix:literal, $Section:ident { $($key:ident),+ $(; $($other:ident),+)? }, $old:expr, $new:expr) => {{
        let $Section { $($key,)+ $($($other: _,)+)? } = &$old;
        let changes = [$((concat!($prefix, stringify!($key)), *$key != $new.$key)),+];
        changes.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key)
    }};
}

fn changed_startup(old: &Startup, new: &Startup) -> Vec<&'static str> {
    let Startup {
        server,
        database,
        tickets,
        mail,
        telemetry,
        management,
    } = old;
    changed!(
        "server.",
        Server {
            listen,
            public_url,
            data_dir,
            master_key,
            previous_master_keys,
            trusted_proxies,
            connections_per_network,
            single_instance,
            drain_seconds,
            tls
        },
        server,
        new.server
    )
    .chain(changed!(
        "database.",
        DatabaseSection {
            url,
            max_connections,
            migrate
        },
        database,
        new.database
    ))
    .chain(changed!(
        "tickets.",
        Tickets {
            url,
            prefix,
            memory_entries
        },
        tickets,
        new.tickets
    ))
    .chain(changed!(
        "mail.",
        Mail {
            transport,
            host,
            port,
            tls,
            ca_file,
            username,
            password,
            from,
            concurrency,
            timeout_seconds
        },
        mail,
        new.mail
    ))
    .chain(changed!(
        "telemetry.",
        Telemetry {
            format,
            otlp_endpoint,
            traces_per_mille
        },
        telemetry,
        new.telemetry
    ))
    .chain(changed!(
        "management.",
        Management { listen },
        management,
        new.management
    ))
    .collect()
}

fn changed_reloadable(old: &Reloadable, new: &Reloadable) -> Vec<&'static str> {
    changed!("", Reloadable {
        magic_link, session, token, limits, api, clients, providers; server, telemetry, stored
    }, *old, new)
    .chain(changed!(
        "server.",
        ReloadableServer {
            texts_dir,
            service_documentation,
            op_policy_uri
        },
        old.server,
        new.server
    ))
    .chain(changed!(
        "telemetry.",
        ReloadableTelemetry { level },
        old.telemetry,
        new.telemetry
    ))
    .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{config::MailTransport, secret::Text};

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
