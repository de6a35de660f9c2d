//! Names the keys at which two configurations differ.

use super::settings::{
    DatabaseSection, Mail, Management, Reloadable, ReloadableServer, ReloadableTelemetry, Server,
    Startup, Telemetry, Tickets,
};

/// Defines functions that list the fields of a type whose values differ. Each names every field of
/// its type, so that a field that is missing here does not compile. Fields after `;` are skipped.
macro_rules! changed_keys {
    ($($name:ident: $Section:ident $prefix:literal { $($key:ident),+ $(; $($skipped:ident),+)? })+) => {$(
        fn $name(old: &$Section, new: &$Section) -> Vec<&'static str> {
            let $Section { $($key,)+ $($($skipped: _,)+)? } = old;
            let changes = [$((concat!($prefix, stringify!($key)), *$key != new.$key)),+];
            let changed = changes.into_iter().filter(|(_, has_changed)| *has_changed);
            changed.map(|(key, _)| key).collect()
        }
    )+};
}

changed_keys! {
    server: Server "server." {
        listen, public_url, data_dir, master_key, previous_master_keys, trusted_proxies,
        connections_per_network, email_slots, provider_slots, quick_slots, single_instance,
        drain_seconds, tls
    }
    database: DatabaseSection "database." { url, max_connections, migrate }
    tickets: Tickets "tickets." {
        url, prefix, max_bytes, ca_file, client_cert_file, client_key_file
    }
    mail: Mail "mail." {
        transport, host, port, tls, ca_file, username, password, from, concurrency, waiting_connections, ceiling_per_minute,
        ceiling_times_normal, timeout_seconds
    }
    telemetry: Telemetry "telemetry." { format, otlp_endpoint, traces_per_mille }
    management: Management "management." { listen }
    reloadable_server: ReloadableServer "server." {
        texts_dir, service_documentation, op_policy_uri
    }
    reloadable_telemetry: ReloadableTelemetry "telemetry." { level }
    reloadable_sections: Reloadable "" {
        magic_link, session, token, limits, api, device, clients, resources, providers; server, telemetry, stored
    }
}

/// Returns the keys that need a restart.
pub(super) fn in_startup(old: &Startup, new: &Startup) -> Vec<&'static str> {
    [
        server(&old.server, &new.server),
        database(&old.database, &new.database),
        tickets(&old.tickets, &new.tickets),
        mail(&old.mail, &new.mail),
        telemetry(&old.telemetry, &new.telemetry),
        management(&old.management, &new.management),
    ]
    .concat()
}

/// Returns the keys and sections that change at once. The clients of the database are not compared.
pub(super) fn in_reloadable(old: &Reloadable, new: &Reloadable) -> Vec<&'static str> {
    [
        reloadable_sections(old, new),
        reloadable_server(&old.server, &new.server),
        reloadable_telemetry(&old.telemetry, &new.telemetry),
    ]
    .concat()
}
