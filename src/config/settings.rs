//! The shape of the configuration, in two parts: what is read once at start, and what changes
//! without a restart.
//!
//! A key belongs to the part whose type has a field for it. `[server]` and `[telemetry]` have keys
//! in both.

mod reloadable;
mod startup;

pub use reloadable::{
    Api, Budget, DpopNonce, Limits, MagicLink, Reloadable, ReloadableServer, ReloadableTelemetry,
    Session, SignUp, Token,
};
pub use startup::{
    DatabaseSection, Mail, MailTransport, Management, Server, SmtpTls, Startup, Telemetry, Tickets,
    Tls,
};

/// The whole configuration. Each key may be left out; the defaults run one instance without any
/// other server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub startup: Startup,
    pub reloadable: Reloadable,
}
