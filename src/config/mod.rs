//! The configuration: what operators set in `entree.toml`, in the environment and in files of
//! secrets.
//!
//! `settings`, `client` and `providers` are its shape. `load` lays the sources over each other
//! (`layers`), reads each section by its type (`deserialize`) and checks what types cannot say
//! (`check`). It reports every problem at once. `live` holds the settings in force and replaces
//! them atomically; `watch` decides when.

mod changed;
mod check;
mod client;
mod client_block;
mod deserialize;
mod device;
mod exchange;
pub mod jwks;
mod layers;
mod live;
mod load;
mod master_key;
mod mode;
mod problem;
mod profile;
pub mod providers;
mod resources;
mod secret_files;
mod secret_mode;
mod settings;
mod stored_clients;
pub(crate) mod tls_certificate;
mod token_lifetimes;
mod url;
mod variables;
pub(crate) mod watch;

#[cfg(test)]
mod tests;

pub use client::{Alg, Client, ClientAuth, GrantType, IdTokenClaim, RefreshTokens};
pub use client_block::{ClientBlock, client_definition};
pub use device::Device;
pub use exchange::ExchangeRule;
pub use live::{Change, Live};
pub use load::{Loaded, Source};
pub use master_key::parse_master_key;
pub use mode::Mode;
pub use problem::Problem;
pub use profile::{AssertionAudience, CODE_RACE, Demands, Profile};
pub use providers::Provider;
pub use resources::{ADMIN_SCOPE, AccessTokenTyp, RESERVED_SCOPES, Resource, Resources, Words};
pub(crate) use secret_mode::mode_if_too_open;
pub use settings::{
    Api, Budget, Config, DatabaseSection, DpopNonce, Limits, MagicLink, Mail, MailTransport,
    Management, Reloadable, ReloadableServer, ReloadableTelemetry, Server, Session, SignUp,
    SmtpTls, Startup, Telemetry, Tickets, Tls, Token,
};
pub use stored_clients::StoredClients;
pub use url::is_loopback;
