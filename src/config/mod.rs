//! The configuration: what operators may set in `entree.toml`, in the environment and in files of secrets.
//!
//! `settings`, `client` and `providers` are its shape. `load` lays the sources over each other (`layers`), reads the
//! result by type (`deserialize`) and checks what types cannot say (`check`), and reports every problem at once. `live`
//! holds the configuration in force and replaces it atomically; `watch` decides when.

mod block;
pub mod check;
mod client;
mod deserialize;
pub mod jwks;
mod layers;
pub mod live;
pub mod load;
mod mode;
mod problem;
pub mod providers;
mod settings;
mod stored;
pub mod tls_certificate;
mod token_lifetimes;
mod url;
pub mod watch;

pub use block::{Block, definition};
pub use client::{Alg, Client, ClientAuth, GrantType, RefreshTokens};
pub(crate) use layers::too_open;
pub use live::Live;
pub use load::{Loaded, Source, load};
pub use mode::Mode;
pub use problem::Problem;
pub use providers::Provider;
pub use settings::{
    Api, Budget, Config, DatabaseSection, Limits, MagicLink, Mail, MailTransport, Management,
    Reloadable, ReloadableServer, ReloadableTelemetry, Server, Session, SignUp, SmtpTls, Startup,
    Telemetry, Tickets, Tls, Token,
};
pub use stored::Stored;
pub use url::is_loopback;
