//! `entree clients`: lists clients, and registers and changes those of the database, beside a running
//! service. Each instance follows within three seconds.
#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::bare_urls,
    reason = "these are help texts, shown on a terminal as they are"
)]

mod hidden;
mod listing;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use hidden::{definition_context, hidden_warning, warn_hidden};

use super::{
    confirm::confirm,
    database::with_database,
    outcome::{CommandError, Outcome, load},
    output,
};
use crate::{
    client::change::{
        self, ChangedClient, ClientChangeError, KEYS_NOT_SET_BY_HAND, SecretRotation,
    },
    config::{ClientBlock, Config, Problem, Source},
    db::Db,
    error::InfraError,
    secret::Text,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List all clients: those of the file and those of the database
    ///
    /// STATE is `active`, `disabled`, `hidden` (the file has one with the same identifier, which wins)
    /// or `broken` (its definition has problems, which `clients show` lists; it is left out).
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one client, without its secrets
    Show {
        /// The client identifier
        client: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Register a client in the database
    ///
    /// It takes effect on every instance within three seconds. A client that authenticates with a
    /// secret gets one, printed here once and stored as its SHA-256 alone. Example:
    ///
    ///   entree clients create shop --name "The shop" --audience https://api.example.com \
    ///     --redirect-uri https://shop.example.com/callback --auth client_secret_basic
    #[command(verbatim_doc_comment)]
    Create(NewClient),
    /// Change keys of a client in the database
    ///
    /// Each KEY=VALUE is a key of a block of [[clients]] (deploy/entree.example.toml has them all).
    /// Lists are separated by commas; an empty value restores the default. All of them are checked
    /// together and take effect within three seconds.
    Set {
        /// The client identifier
        client: String,
        /// What to change, for instance `redirect_uris=https://a.example/cb,https://b.example/cb`
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = parse_pair)]
        keys: Vec<(String, String)>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a new secret for a client, printed here once
    ///
    /// The old one stays valid until `--finish` or the next rotation, so that the client can change over
    /// in its own time: rotate, give the client its new secret, then run this again with --finish.
    RotateSecret {
        /// The client identifier
        client: String,
        /// The old secrets may have leaked: end all of them now
        #[arg(long, conflicts_with = "finish")]
        at_once: bool,
        /// The client has changed over: make no new secret, and end the old one
        #[arg(long)]
        finish: bool,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Re-enable a disabled client; its existing tokens work again
    Enable {
        /// The client identifier
        client: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Disable a client on every instance within three seconds
    ///
    /// No user is sent to it, it gets no tokens, and its refresh tokens, userinfo and introspection are
    /// refused. Access tokens that resource servers verify offline expire by themselves. Sessions of
    /// users stay.
    Disable {
        /// The client identifier
        client: String,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct NewClient {
    /// The client identifier: letters, digits, `-`
    client: String,
    /// The name that users see
    #[arg(long)]
    name: String,
    /// `aud` of its access tokens: the URI of the API
    #[arg(long, value_name = "URI")]
    audience: String,
    /// The exact redirect URI; repeat for each further one
    #[arg(long, value_name = "URI")]
    redirect_uri: Vec<String>,
    /// The authentication method at the token endpoint: `none`, `client_secret_basic`,
    /// `client_secret_post` or `private_key_jwt` [default: none, or as the profile says]
    #[arg(long, value_name = "METHOD")]
    auth: Option<String>,
    /// Scopes it may request, separated by commas
    #[arg(long, value_delimiter = ',')]
    scopes: Vec<String>,
    /// Any other key of a block of [[clients]], for instance `first_party=true` or
    /// `access_token_seconds=300`; repeat for each further one
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    set: Vec<(String, String)>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Parses `KEY=VALUE`, for keys that may be given on a command line.
fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("write KEY=VALUE, for instance first_party=true")?;
    let key = key.trim();
    match key {
        "client_id" => Err("the identifier is the first argument, and cannot change".to_owned()),
        _ if KEYS_NOT_SET_BY_HAND.contains(&key) => {
            Err("every user of this machine can see a secret on a command line: leave it out, and one is made; \
                 or set client_secret_sha256"
                .to_owned())
        }
        _ => Ok((key.to_owned(), value.trim().to_owned())),
    }
}

pub(super) fn run(source: &Source, command: &Command) -> Outcome {
    let config = load(source)?.config;
    with_database(source, async |db| match command {
        Command::List { json } => listing::list(db, &config, *json).await,
        Command::Show { client, json } => listing::show(db, &config, client, *json).await,
        Command::Create(new) => create(db, &config, new).await,
        Command::Set { client, keys, json } => {
            let tx = db.begin().await?;
            let result = change::set_keys(&tx, client, keys, definition_context(&config)).await;
            let changed = result.map_err(|error| change_error(&config, client, error, *json))?;
            tx.commit().await?;
            print_changed(&config, &changed, *json)
        }
        Command::RotateSecret {
            client,
            at_once,
            finish,
            yes,
            json,
        } => {
            let rotation = match (at_once, finish) {
                (true, _) => SecretRotation::ReplaceAll,
                (_, true) => SecretRotation::EndOld,
                _ => SecretRotation::KeepOld,
            };
            rotate(
                db,
                &config,
                client,
                rotation,
                Flags {
                    yes: *yes,
                    json: *json,
                },
            )
            .await
        }
        Command::Enable { client, json } => switch(db, &config, client, true, *json).await,
        Command::Disable { client, yes, json } => {
            confirm(
                *yes,
                client,
                "users cannot sign in to the client until it is enabled again, and Entree refuses its tokens",
            )?;
            switch(db, &config, client, false, *json).await
        }
    })
}

#[derive(Clone, Copy)]
struct Flags {
    yes: bool,
    json: bool,
}

async fn create(db: &Db, config: &Config, new: &NewClient) -> Outcome {
    let mut block = ClientBlock::default();
    for (key, text) in [
        ("client_id", &new.client),
        ("name", &new.name),
        ("audience", &new.audience),
    ] {
        block.set(key, text);
    }
    if let Some(method) = &new.auth {
        block.set("token_endpoint_auth_method", method);
    }
    for (key, list) in [
        ("redirect_uris", &new.redirect_uri),
        ("scopes", &new.scopes),
    ] {
        if !list.is_empty() {
            block.keys.insert(
                key.to_owned(),
                list.iter().map(String::as_str).collect::<Vec<_>>().into(),
            );
        }
    }
    for (key, text) in &new.set {
        block.set(key, text);
    }
    let tx = db.begin().await?;
    let result = change::create(&tx, block, definition_context(config)).await;
    let changed = result.map_err(|error| change_error(config, &new.client, error, new.json))?;
    tx.commit().await?;
    print_changed(config, &changed, new.json)
}

async fn rotate(
    db: &Db,
    config: &Config,
    client: &str,
    rotation: SecretRotation,
    flags: Flags,
) -> Outcome {
    if rotation == SecretRotation::ReplaceAll {
        confirm(
            flags.yes,
            client,
            "requests with one of its old secrets are refused at once",
        )?;
    }
    let tx = db.begin().await?;
    let context = definition_context(config);
    let result = change::rotate_secret(&tx, client, rotation, context).await;
    let changed = result.map_err(|error| change_error(config, client, error, flags.json))?;
    tx.commit().await?;
    print_changed(config, &changed, flags.json)?;
    if rotation == SecretRotation::KeepOld {
        let message = format!(
            "the old secret stays valid; end it with `entree clients rotate-secret {client} --finish`"
        );
        output::note(&message);
    }
    Ok(())
}

async fn switch(db: &Db, config: &Config, client: &str, enabled: bool, json: bool) -> Outcome {
    let tx = db.begin().await?;
    let state = if enabled { "active" } else { "disabled" };
    let row = match change::set_enabled(&tx, client, enabled).await {
        Err(ClientChangeError::Unchanged) => {
            return Err(format!("{client:?} is {state} already: nothing was changed").into());
        }
        result => result.map_err(|error| change_error(config, client, error, json))?,
    };
    tx.commit().await?;
    output::print(&if json {
        json!({ "client_id": row.client_id, "state": state }).to_string()
    } else {
        format!("{client} is {state}; every instance follows within three seconds")
    })?;
    warn_hidden(config, client);
    Ok(())
}

/// Prints the client as it is now, and its new secret if it has one.
fn print_changed(config: &Config, changed: &ChangedClient, json: bool) -> Outcome {
    let secret = changed.secret.as_ref().map(Text::expose);
    if json {
        let mut value = listing::client_json(&changed.client)?;
        if let (Value::Object(fields), Some(secret)) = (&mut value, secret) {
            fields.insert("client_secret".to_owned(), secret.into());
        }
        output::print(&value.to_string())?;
    } else {
        let rows: Vec<_> = std::iter::once(vec![
            "client_id".to_owned(),
            changed.client.client_id.clone(),
        ])
        .chain(secret.map(|secret| vec!["client_secret".to_owned(), secret.to_owned()]))
        .chain([vec![
            "secrets".to_owned(),
            changed.client.client_secret_sha256.len().to_string(),
        ]])
        .collect();
        output::print(output::table(&["", ""], &rows).trim_start())?;
    }
    if secret.is_some() {
        output::note("the secret is shown only now: it cannot be read again");
    }
    output::warnings(&changed.warnings);
    warn_hidden(config, &changed.client.client_id);
    Ok(())
}

/// Returns warnings about clients of the database that have no effect although they are enabled.
pub(super) async fn warnings(db: &Db, config: &Config) -> Result<Vec<Problem>, InfraError> {
    let mut found = Vec::new();
    for one in listing::list_all(db, config)
        .await?
        .into_iter()
        .filter(|one| one.from == "database")
    {
        match one.definition {
            _ if one.state == "disabled" => {}
            Ok(_) => found.extend(hidden_warning(config, &one.id)),
            Err(problems) => found.extend(problems.into_iter().map(|problem| Problem {
                key: format!("{}: {}", one.id, problem.key),
                ..problem
            })),
        }
    }
    Ok(found)
}

/// Turns the error of a change into what the command prints.
fn change_error(config: &Config, id: &str, error: ClientChangeError, json: bool) -> CommandError {
    let in_file = config
        .reloadable
        .clients
        .iter()
        .any(|client| client.client_id == id);
    match error {
        ClientChangeError::Invalid(problems) if json => {
            let problems = json!({ "problems": problems }).to_string();
            output::print(&problems)
                .err()
                .unwrap_or(CommandError::Reported)
        }
        ClientChangeError::Invalid(problems) => {
            output::problems(&problems, "of the client; nothing was changed");
            CommandError::Reported
        }
        ClientChangeError::AlreadyExists => {
            let message = format!(
                "the database has a client {id:?} already: see `entree clients show {id}`, change it with `set`"
            );
            CommandError::Message(message)
        }
        ClientChangeError::NotFound if in_file => CommandError::Message(format!(
            "{id:?} is defined in the configuration file alone: change it there"
        )),
        ClientChangeError::NotFound => CommandError::Message(format!(
            "the database has no client {id:?}; see `entree clients list`"
        )),
        ClientChangeError::NoSecret => {
            let message = "it has no secret: set token_endpoint_auth_method=client_secret_basic first, with a \
                         client_secret_sha256 of one";
            CommandError::Message(message.to_owned())
        }
        ClientChangeError::Unchanged => {
            CommandError::Message(format!("{id:?} has this state already"))
        }
        ClientChangeError::Infra(error) => error.into(),
        ClientChangeError::ConcurrentChange => CommandError::Message(
            "another operator changed it at the same time: look at it, then try again".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests;
