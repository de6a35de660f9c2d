//! `entree clients`: applications beside those of the file, straight in the database beside a running service: each
//! copy follows within three seconds.
#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::bare_urls,
    reason = "these are help texts, shown on a terminal as they are"
)]

mod listing;

use std::io::IsTerminal as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Outcome, Refusal, admin::with_db, load, out};
use crate::{
    client::change::{
        self, ChangedClient, ClientChangeError, KEYS_NOT_SET_BY_HAND, SecretRotation,
    },
    client::definition::DefinitionContext,
    config::{ClientBlock, Config, Problem, Source},
    db::Db,
    error::InfraError,
    secret::Text,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List all clients: those of the file and those of the database
    ///
    /// STATE is `active`, `disabled`, `hidden` (the file has one of the same identifier, which wins) or `broken` (its
    /// definition has problems, which `clients show` tells; it is left out).
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show everything about one client, and never a secret
    Show {
        /// Its identifier
        client: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Register a client in the database
    ///
    /// It is in force on every copy within three seconds. A client that authenticates with a secret
    /// gets one, printed here once and kept as its SHA-256 alone. Example:
    ///
    ///   entree clients create shop --name "The shop" --audience https://api.example.com \
    ///     --redirect-uri https://shop.example.com/callback --auth client_secret_basic
    #[command(verbatim_doc_comment)]
    Create(New),
    /// Change keys of a client in the database
    ///
    /// Each KEY=VALUE is one of a block of [[clients]] (deploy/entree.example.toml has them all): lists are separated by
    /// commas, and an empty value puts the default back. All of them are checked together, and take effect within three
    /// seconds.
    Set {
        /// Its identifier
        client: String,
        /// What to change, for instance `redirect_uris=https://a.example/cb,https://b.example/cb`
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = pair)]
        keys: Vec<(String, String)>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Give a client another secret, printed here once
    ///
    /// The one before stays good until `--finish` or the next rotation, so that the client can move over in its own time:
    /// rotate, give the client its new secret, then run this again with --finish.
    RotateSecret {
        /// Its identifier
        client: String,
        /// Somebody else may have the old ones: none of them is good any more
        #[arg(long, conflicts_with = "finish")]
        at_once: bool,
        /// The client has moved over: make no new secret, and end the one before
        #[arg(long)]
        finish: bool,
        /// Do not ask whether this is meant
        #[arg(long)]
        yes: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a disabled client count again, with the tokens that it still has
    Enable {
        /// Its identifier
        client: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a client out: within three seconds no copy knows it any more
    ///
    /// Nobody is sent back to it, it gets no tokens, and its refresh tokens, userinfo and introspection are refused.
    /// Access tokens that resource servers verify by themselves run out by themselves. Sessions of people stay.
    Disable {
        /// Its identifier
        client: String,
        /// Do not ask whether this is meant
        #[arg(long)]
        yes: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A client to register.
#[derive(Debug, Args)]
pub(super) struct New {
    /// Its identifier: letters, digits, `-`
    client: String,
    /// What people see
    #[arg(long)]
    name: String,
    /// `aud` of its access tokens: the URI of the API that they are for
    #[arg(long, value_name = "URI")]
    audience: String,
    /// Exact address that people are sent back to; again for each further one
    #[arg(long, value_name = "URI")]
    redirect_uri: Vec<String>,
    /// How it authenticates at the token endpoint
    #[arg(long, value_name = "METHOD", default_value = "none")]
    auth: String,
    /// Scopes it may ask for, separated by commas
    #[arg(long, value_delimiter = ',')]
    scopes: Vec<String>,
    /// Any other key of a block of [[clients]], for instance `first_party=true` or `access_token_seconds=300`; again for
    /// each further one
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `KEY=VALUE`, of a key that may be given on a command line.
fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("write KEY=VALUE, for instance first_party=true")?;
    let key = key.trim();
    match key {
        "client_id" => Err("the identifier is the first argument, and stays".to_owned()),
        _ if KEYS_NOT_SET_BY_HAND.contains(&key) => {
            Err("a secret on a command line is seen by everybody on this machine: leave it out, and one is made; \
                 or give client_secret_sha256"
                .to_owned())
        }
        _ => Ok((key.to_owned(), value.trim().to_owned())),
    }
}

pub(super) fn run(source: &Source, command: &Command) -> Outcome {
    let config = load(source)?.config;
    with_db(source, async |db| match command {
        Command::List { json } => listing::list(db, &config, *json).await,
        Command::Show { client, json } => listing::show(db, &config, client, *json).await,
        Command::Create(new) => create(db, &config, new).await,
        Command::Set { client, keys, json } => {
            let tx = db.begin().await?;
            let result = change::set_keys(&tx, client, keys, definition_context(&config)).await;
            let changed = result.map_err(|error| refusal(&config, client, error, *json))?;
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
                Asked {
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
                "nobody can sign in to it, and none of its tokens counts here, until it is enabled",
            )?;
            switch(db, &config, client, false, *json).await
        }
    })
}

fn definition_context(config: &Config) -> DefinitionContext<'_> {
    DefinitionContext {
        token: &config.reloadable.token,
        public_url: &config.startup.server.public_url,
    }
}

#[derive(Clone, Copy)]
struct Asked {
    yes: bool,
    json: bool,
}

async fn create(db: &Db, config: &Config, new: &New) -> Outcome {
    let mut block = ClientBlock::default();
    for (key, text) in [
        ("client_id", &new.client),
        ("name", &new.name),
        ("audience", &new.audience),
    ] {
        block.set(key, text);
    }
    block.set("token_endpoint_auth_method", &new.auth);
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
    let changed = result.map_err(|error| refusal(config, &new.client, error, new.json))?;
    tx.commit().await?;
    print_changed(config, &changed, new.json)
}

async fn rotate(
    db: &Db,
    config: &Config,
    client: &str,
    rotation: SecretRotation,
    asked: Asked,
) -> Outcome {
    if rotation == SecretRotation::ReplaceAll {
        confirm(
            asked.yes,
            client,
            "what shows one of its old secrets is refused at once",
        )?;
    }
    let tx = db.begin().await?;
    let context = definition_context(config);
    let result = change::rotate_secret(&tx, client, rotation, context).await;
    let changed = result.map_err(|error| refusal(config, client, error, asked.json))?;
    tx.commit().await?;
    print_changed(config, &changed, asked.json)?;
    if rotation == SecretRotation::KeepOld {
        let words = format!(
            "the secret before stays good; end it with `entree clients rotate-secret {client} --finish`"
        );
        out::say(&words);
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
        result => result.map_err(|error| refusal(config, client, error, json))?,
    };
    tx.commit().await?;
    out::answer(&if json {
        json!({ "client_id": row.client_id, "state": state }).to_string()
    } else {
        format!("{client} is {state}; every copy follows within three seconds")
    });
    warn_hidden(config, client);
    Ok(())
}

/// Prints the client as it is now, and its new secret if it has one.
fn print_changed(config: &Config, changed: &ChangedClient, json: bool) -> Outcome {
    let secret = changed.secret.as_ref().map(Text::expose);
    if json {
        let mut value = listing::shown(&changed.client)?;
        if let (Value::Object(fields), Some(secret)) = (&mut value, secret) {
            fields.insert("client_secret".to_owned(), secret.into());
        }
        out::answer(&value.to_string());
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
        out::answer(out::table(&["", ""], &rows).trim_start());
    }
    if secret.is_some() {
        out::say("the secret is shown this once: nobody can read it again");
    }
    out::warnings(&changed.warnings);
    warn_hidden(config, &changed.client.client_id);
    Ok(())
}

fn warn_hidden(config: &Config, id: &str) {
    out::warnings(hidden(config, id).as_slice());
}

fn hidden(config: &Config, id: &str) -> Option<Problem> {
    let mend = "remove its block of [[clients]] there for the one of the database to count, or disable that one";
    let there = config
        .reloadable
        .clients
        .iter()
        .any(|client| client.client_id == id);
    there.then(|| {
        Problem::new(
            id,
            "stands in the configuration file too, and the file wins",
            mend,
        )
    })
}

/// What is odd about the clients of the database: those that count for nothing without having been disabled.
pub(super) async fn warnings(db: &Db, config: &Config) -> Result<Vec<Problem>, InfraError> {
    let mut found = Vec::new();
    for one in listing::listed(db, config)
        .await?
        .into_iter()
        .filter(|one| one.from == "database")
    {
        match one.read {
            _ if one.state == "disabled" => {}
            Ok(_) => found.extend(hidden(config, &one.id)),
            Err(problems) => found.extend(problems.into_iter().map(|problem| Problem {
                key: format!("{}: {}", one.id, problem.key),
                ..problem
            })),
        }
    }
    Ok(found)
}

/// What is wrong and how to mend it.
fn refusal(config: &Config, id: &str, error: ClientChangeError, json: bool) -> Refusal {
    let in_file = config
        .reloadable
        .clients
        .iter()
        .any(|client| client.client_id == id);
    match error {
        ClientChangeError::Invalid(problems) if json => {
            out::answer(&json!({ "problems": problems }).to_string());
            Refusal::Said
        }
        ClientChangeError::Invalid(problems) => {
            out::problems(&problems, "of the client; nothing was changed");
            Refusal::Said
        }
        ClientChangeError::AlreadyExists => {
            let words = format!(
                "the database has a client {id:?} already: see `entree clients show {id}`, change it with `set`"
            );
            Refusal::Words(words)
        }
        ClientChangeError::NotFound if in_file => Refusal::Words(format!(
            "{id:?} stands in the configuration file alone: change it there"
        )),
        ClientChangeError::NotFound => Refusal::Words(format!(
            "the database has no client {id:?}; see `entree clients list`"
        )),
        ClientChangeError::NoSecret => {
            let words = "it has no secret: set token_endpoint_auth_method=client_secret_basic first, with a \
                         client_secret_sha256 of one";
            Refusal::Words(words.to_owned())
        }
        ClientChangeError::Unchanged => Refusal::Words(format!("{id:?} is so already")),
        ClientChangeError::Infra(error) => error.into(),
        ClientChangeError::ConcurrentChange => Refusal::Words(
            "somebody else changed it at the same moment: look again, then try again".to_owned(),
        ),
    }
}

/// Asks for the identifier as a word that nobody types by mistake. Without a terminal there is nobody to ask.
fn confirm(yes: bool, id: &str, what: &str) -> Outcome {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(format!(
            "nothing was changed. Once this is done, {what}: give `--yes` if that is meant"
        )
        .into());
    }
    out::say(&format!("{what}.\nType {id} to go on:"));
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    if read.is_ok() && line.trim() == id {
        Ok(())
    } else {
        Err("that is not its identifier: nothing was changed"
            .to_owned()
            .into())
    }
}

#[cfg(test)]
mod tests;
