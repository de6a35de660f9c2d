//! The command line: what the binary can be asked to do.
//!
//! Each command stands in a file of its own, takes its arguments, and gives an `Outcome`. Standard output carries the
//! answer and nothing else, so that it can be piped; what people need to know beside it goes to standard error.

mod admin;
mod check_config;
mod clients;
mod doctor;
mod instance;
mod keys;
mod migrate;
mod openapi;
mod out;
mod serve;
mod sessions;
mod sign_out;
mod trail;
mod user_change;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{Loaded, Mode, Problem, Source},
    error::InfraError,
};

/// A standalone passwordless identity provider: sign-in by mailed link or code, OpenID Connect for your applications.
///
/// To look around, run `entree dev` and open the address that it prints. To run it for others, write a configuration
/// (`deploy/entree.example.toml` has every key), check it with `entree check-config`, and run `entree serve`.
#[derive(Debug, Parser)]
#[command(
    name = "entree",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Configuration file [default: entree.toml in the working directory, if there is one]
    ///
    /// ENTREE__SECTION__KEY in the environment wins over the file.
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "ENTREE_CONFIG",
        display_order = 100
    )]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    ///
    /// Prints one line a listener once it serves. SIGTERM and SIGINT stop it after the requests under way (see
    /// server.drain_seconds); SIGHUP and a saved configuration file are taken up without a restart.
    Serve,
    /// Run on this machine alone, with a mailbox page instead of a mail server
    ///
    /// Listens on loopback only, takes the bound address as public URL, keeps its data in ./data and shows every mail at
    /// /dev/mailbox. Without clients in the configuration, the client of examples/lessons-web is preset. The
    /// configuration file and ENTREE__… are read as with `serve`.
    Dev(DevArgs),
    /// Bring the database's schema up to date
    ///
    /// Several copies may do this at once: one migrates, the others wait.
    Migrate(migrate::MigrateArgs),
    /// Report every problem of the configuration, each with how to mend it
    ///
    /// Exit code 0: none; 1: there are problems. Warnings do not count.
    CheckConfig {
        /// Check it for `entree dev`
        #[arg(long)]
        dev: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Look whether everything that the service needs is there and as it must be
    ///
    /// Database, signing keys, ticket store, mail server, clock and each upstream provider, with the redirect URI to
    /// register there: each with how to mend it. Writes nothing; run it before the first start, beside a running service,
    /// and when something is wrong. Exit code 1: something fails.
    Doctor {
        /// Look at what `entree dev` would use
        #[arg(long)]
        dev: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the OpenAPI document of the public API
    Openapi {
        /// Compare it with this file instead: exit code 1 if they differ
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "openapi/public.yaml")]
        check: Option<PathBuf>,
    },
    /// Look at signing keys and change them
    #[command(subcommand)]
    Keys(keys::Command),
    /// Look at clients, and register and change those of the database
    #[command(subcommand)]
    Clients(clients::Command),
    /// Look at users, and change their roles and whether they may sign in
    #[command(subcommand)]
    Users(admin::Users),
    /// Ask the audit trail what happened: to a user, an address, a sign-in, a request
    Audit(trail::Question),
    /// Look at sessions and end them
    #[command(subcommand)]
    Sessions(sessions::Command),
}

#[derive(Debug, Args)]
struct DevArgs {
    /// Port of the public listener; 0 picks a free one [default: 8080]
    #[arg(long)]
    port: Option<u16>,
    /// Directory of the database and the keys [default: data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The configuration has problems.
    Configuration(Vec<Problem>),
    /// Anything else, in words for people.
    Words(String),
    /// It has said why itself.
    Said,
}

impl From<String> for Refusal {
    fn from(words: String) -> Self {
        Self::Words(words)
    }
}

impl From<InfraError> for Refusal {
    fn from(failure: InfraError) -> Self {
        let next = match &failure {
            InfraError::Unavailable { .. } => {
                "; does it run, and is its URL right? `entree doctor` looks at everything"
            }
            InfraError::Conflict(_) => "; nothing was changed, try again",
            InfraError::Internal(_) => "",
        };
        Self::Words(format!("{failure}{next}"))
    }
}

/// What a command comes to.
pub(crate) type Outcome = Result<(), Refusal>;

/// Reads the arguments, runs the command and gives the exit code: 0 done, 1 refused, 2 wrong arguments.
#[must_use]
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            refusal.tell();
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Outcome {
    let source = |mode| Source::of_process(cli.config.clone(), mode);
    match cli.command {
        Command::Serve => serve::run(source(Mode::Serve)),
        Command::Dev(args) => serve::run(source(Mode::Dev {
            port: args.port,
            data_dir: args.data,
        })),
        Command::Migrate(args) => migrate::run(&source(Mode::Database), &args),
        Command::CheckConfig { dev, json } => check_config::run(&source(as_run(dev)), json),
        Command::Doctor { dev, json } => doctor::run(&source(as_run(dev)), json),
        Command::Openapi { check } => openapi::run(check.as_deref()),
        Command::Keys(command) => keys::run(&source(Mode::Database), &command),
        Command::Audit(question) => trail::run(&source(Mode::Database), &question),
        Command::Clients(command) => clients::run(&source(Mode::Database), &command),
        Command::Users(command) => admin::users(&source(Mode::Database), &command),
        Command::Sessions(command) => sessions::run(&source(Mode::Database), &command),
    }
}

/// What the service would be run as.
const fn as_run(dev: bool) -> Mode {
    if dev {
        Mode::Dev {
            port: None,
            data_dir: None,
        }
    } else {
        Mode::Serve
    }
}

impl Refusal {
    fn tell(&self) {
        match self {
            Self::Configuration(problems) => out::problems(problems, "in the configuration"),
            Self::Words(words) => out::say(&format!("entree: {words}")),
            Self::Said => {}
        }
    }
}

/// An argument that is a UUID.
fn identifier(text: &str) -> Result<uuid::Uuid, String> {
    let words = "write it in full, for instance 9736b860-f8a9-4cf8-981f-e304f0617e96";
    uuid::Uuid::try_parse(text).map_err(|_| words.to_owned())
}

/// The configuration, or all its problems.
fn load(source: &Source) -> Result<Loaded, Refusal> {
    source.load().map_err(Refusal::Configuration)
}

/// Runs a command that waits for things.
fn block_on<F: Future<Output = Outcome>>(work: F) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime could be made: {error}"))?;
    let done = runtime.block_on(work);
    // A look-up that hangs on a blocking thread must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    done
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for bad in [
            &["entree"][..],
            &["entree", "dev", "--port", "70000"],
            &["entree", "fly"],
            &["entree", "serve", "x"],
        ] {
            assert!(Cli::try_parse_from(bad).is_err(), "{bad:?}");
        }
        let refused = Cli::try_parse_from(["entree", "sessions", "revoke", "x"])
            .err()
            .map(|error| error.to_string());
        assert!(refused.is_some_and(|words| words.contains("write it in full")));
        assert!(Cli::try_parse_from(["entree", "serve", "--config", "x.toml"]).is_ok());
        assert!(Cli::try_parse_from(["entree", "dev", "--port", "0", "--data", "d"]).is_ok());
    }
}
