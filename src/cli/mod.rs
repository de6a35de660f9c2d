//! The command line.
//!
//! Each command has a file of its own, takes its arguments and returns an `Outcome`. Standard output
//! carries the result and nothing else, so that it can be piped; everything else goes to standard
//! error.

mod audit;
mod check_config;
mod clients;
mod database;
mod doctor;
mod instance;
mod keys;
mod migrate;
mod open;
mod openapi;
mod outcome;
mod output;
mod serve;
mod sessions;
mod sign_out;
mod user_change;
mod users;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::config::{Mode, Source};
use outcome::Outcome;

/// A passwordless OpenID Connect provider: users sign in with a link or code sent by email
///
/// To try it, run `entree dev` and open the address that it prints. To run it for others, write a
/// configuration (`deploy/entree.example.toml` has every key), check it with `entree check-config`,
/// and run `entree serve`.
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
    /// Prints one line for each listener once it is ready. SIGTERM and SIGINT stop it after the
    /// requests in progress (see server.drain_seconds). SIGHUP and a saved configuration file take
    /// effect without a restart.
    Serve,
    /// Run on this machine alone, with a mailbox page instead of a mail server
    ///
    /// Listens on loopback only, uses the bound address as public URL, keeps its data in ./data and
    /// shows every email at /dev/mailbox. Without clients in the configuration, the client of
    /// examples/lessons-web is preset. The configuration file and ENTREE__… are read as with `serve`.
    Dev(DevArgs),
    /// Update the schema of the database
    ///
    /// Several instances may do this at once: one migrates, the others wait.
    Migrate(migrate::MigrateArgs),
    /// Report every problem of the configuration, each with a fix
    ///
    /// Exit code 0: no problem; 1: problems. Warnings do not count.
    CheckConfig {
        /// Check it for `entree dev`
        #[arg(long)]
        dev: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check every dependency of the service
    ///
    /// Database, signing keys, ticket store, mail server, clock and each upstream provider, with the
    /// redirect URI to register there, and a fix for each finding. Writes nothing. Run it before the
    /// first start, beside a running service, and when something is wrong. Exit code 1: a check
    /// fails.
    Doctor {
        /// Check what `entree dev` would use
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
    /// List, rotate and revoke signing keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// List clients, and register and change those of the database
    #[command(subcommand)]
    Clients(clients::Command),
    /// List users, create and disable them, and change their roles
    #[command(subcommand)]
    Users(users::Command),
    /// Search the audit log: by user, address, sign-in, request or provider
    Audit(audit::Query),
    /// List sessions and end them
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

/// Parses the arguments, runs the command and returns the exit code: 0 done, 1 failed, 2 wrong
/// arguments.
#[must_use]
pub fn main() -> ExitCode {
    match run(Cli::parse_from(identifiers_last(std::env::args_os()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.report();
            ExitCode::FAILURE
        }
    }
}

/// Moves key identifiers that begin with `-` behind a `--`, so that they are not taken for options. Such an
/// identifier has 43 characters of base64url (RFC 7638 §3); no option has that length.
fn identifiers_last(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let is_identifier = |argument: &OsString| {
        argument.to_str().is_some_and(|text| {
            let is_base64url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            text.len() == 43 && text.starts_with('-') && text.chars().all(is_base64url)
        })
    };
    let (identifiers, mut ordered): (Vec<_>, Vec<_>) = arguments.partition(is_identifier);
    if !identifiers.is_empty() && !ordered.iter().any(|argument| argument == "--") {
        ordered.push("--".into());
    }
    ordered.extend(identifiers);
    ordered
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
        Command::CheckConfig { dev, json } => check_config::run(&source(mode_of(dev)), json),
        Command::Doctor { dev, json } => doctor::run(&source(mode_of(dev)), json),
        Command::Openapi { check } => openapi::run(check.as_deref()),
        Command::Keys(command) => keys::run(&source(Mode::Database), &command),
        Command::Audit(query) => audit::run(&source(Mode::Database), &query),
        Command::Clients(command) => clients::run(&source(Mode::Database), &command),
        Command::Users(command) => users::run(&source(Mode::Database), &command),
        Command::Sessions(command) => sessions::run(&source(Mode::Database), &command),
    }
}

const fn mode_of(dev: bool) -> Mode {
    if dev {
        Mode::Dev {
            port: None,
            data_dir: None,
        }
    } else {
        Mode::Serve
    }
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
    fn a_key_that_begins_with_a_hyphen_is_no_option() {
        for kid in [
            "-bXnvonyoMhES8LWVsI9wQ4GqTUbNnhwwIgDUey7VyA",
            "-cXnvonyoMhES8LWVsI9wQ4GqTUbNnhwwIgDUey7VyA",
            "--Xnvonyo-hES8LWVsI9wQ4GqTUbNnhwwIgDUey7VyA",
        ] {
            let arguments = ["entree", "keys", "revoke", kid, "--json"].map(OsString::from);
            let cli = Cli::try_parse_from(identifiers_last(arguments.into_iter()));
            let is_read = matches!(
                cli.map(|cli| cli.command),
                Ok(Command::Keys(keys::Command::Revoke { kid: read, json: true })) if read == kid
            );
            assert!(is_read, "{kid}");
        }
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
