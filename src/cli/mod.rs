//! The command line.
//!
//! Each command has a file of its own, takes its arguments and returns an `Outcome`. Standard output
//! carries the result and nothing else, so that it can be piped; everything else goes to standard
//! error.

mod audit;
mod check_config;
mod clients;
mod confirm;
mod database;
mod doctor;
mod instance;
mod keys;
mod migrate;
mod open;
mod openapi;
mod outcome;
mod output;
mod reach;
mod serve;
mod sessions;
mod sign_out;
mod user_change;
mod users;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

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
    /// Configuration file [default: entree.toml in the working directory, else /etc/entree/entree.toml]
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
    let matches = command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::report(&error);
            ExitCode::FAILURE
        }
    }
}

/// Returns the command line, in which each single value may begin with `-`: identifiers and secrets are
/// often base64url, whose alphabet has it (OD-1). A list ends at the next option, so its values may not.
fn command() -> clap::Command {
    accept_hyphens(Cli::command())
}

fn accept_hyphens(command: clap::Command) -> clap::Command {
    let accept = |arg: clap::Arg| {
        let is_single =
            arg.get_action().takes_values() && arg.get_num_args().is_none_or(|n| n == 1.into());
        let is_list = arg.is_positional() && !matches!(arg.get_action(), clap::ArgAction::Set);
        arg.allow_hyphen_values(is_single && !is_list)
    };
    command.mut_args(accept).mut_subcommands(accept_hyphens)
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
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        let matches = command().try_get_matches_from([&["entree"], arguments].concat())?;
        Cli::from_arg_matches(&matches)
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn od_1_identifiers_may_begin_with_a_hyphen() {
        for kid in [
            "-bXnvonyoMhES8LWVsI9wQ4GqTUbNnhwwIgDUey7VyA",
            "-cXnvonyoMhES8LWVsI9wQ4GqTUbNnhwwIgDUey7VyA",
            "--Xnvonyo-hES8LWVsI9wQ4GqTUbNnhwwIgDUey7VyA",
            "-Q",
        ] {
            for arguments in [
                ["keys", "revoke", kid, "--yes", "--json"],
                ["keys", "revoke", "--yes", "--json", kid],
            ] {
                let is_read = matches!(
                    parse(&arguments).map(|cli| cli.command),
                    Ok(Command::Keys(keys::Command::Revoke { kid: read, yes: true, json: true })) if read == kid
                );
                assert!(is_read, "{arguments:?}");
            }
        }
    }

    /// OD-1: wherever one value is expected, it may begin with a hyphen.
    #[test]
    fn od_1_every_single_value_may_begin_with_a_hyphen() {
        for arguments in [
            &["users", "show", "-jo@example.com"][..],
            &["users", "disable", "-jo@example.com", "--yes"],
            &["users", "sign-out", "-jo@example.com", "--json"],
            &[
                "users",
                "sign-out",
                "--connected-with",
                "-office",
                "--disconnect",
            ],
            &["users", "set", "-jo@example.com", "--name", "-Jo"],
            &["users", "create", "-jo@example.com", "--role", "-coach"],
            &[
                "users",
                "roles",
                "set",
                "-jo@example.com",
                "coach",
                "--json",
            ],
            &["clients", "show", "-shop", "--json"],
            &["clients", "set", "-shop", "first_party=true", "--json"],
            &["clients", "rotate-secret", "-shop", "--finish"],
            &[
                "audit",
                "--request",
                "-Qx",
                "--user",
                "-jo@example.com",
                "--json",
            ],
            &["audit", "--kind", "-x", "--limit", "5"],
            &["sessions", "list", "--user", "-jo@example.com"],
        ] {
            assert!(parse(arguments).is_ok(), "{arguments:?}");
        }
        for unknown in [&["keys", "list", "--all"][..], &["users", "list", "-x"]] {
            assert!(parse(unknown).is_err(), "{unknown:?}");
        }
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for bad in [
            &[][..],
            &["dev", "--port", "70000"],
            &["fly"],
            &["serve", "x"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let refused = parse(&["sessions", "revoke", "x"])
            .err()
            .map(|error| error.to_string());
        assert!(refused.is_some_and(|words| words.contains("write it in full")));
        assert!(parse(&["serve", "--config", "x.toml"]).is_ok());
        assert!(parse(&["dev", "--port", "0", "--data", "d"]).is_ok());
    }
}
