//! The providers that are measured, each with users who are signed in.

use std::{any::Any, collections::BTreeMap, path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use testkit::{
    driver::{
        connection::Target,
        process::Watched,
        provider::{Credentials, Endpoints, Provider, Session, Work},
        subject::Subject,
        worker::Worker,
    },
    entree::{Backend, run},
    services::Postgres,
};

use crate::{options::Options, program::Program};

pub(crate) const SQLITE: &str = "Entree, SQLite";
pub(crate) const SERVERS: &str = "Entree, PostgreSQL + Redis";
pub(crate) const NODE_MEMORY: &str = "oidc-provider, memory";
pub(crate) const NODE_POSTGRES: &str = "oidc-provider, PostgreSQL";
pub(crate) const KEYCLOAK: &str = "Keycloak, in memory";
pub(crate) const DEX: &str = "Dex, memory";

/// The order of the tables.
pub(crate) const WORKS: [Work; 6] = [
    Work::CodeFlow,
    Work::ClientCredentials,
    Work::Refresh,
    Work::Userinfo,
    Work::Introspection,
    Work::Discovery,
];

/// A provider that runs.
pub(crate) struct Peer {
    pub(crate) provider: Arc<Provider>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) works: Vec<Work>,
    /// Its version, and how its tokens are signed.
    pub(crate) about: String,
    /// What ends with it.
    _running: Box<dyn Any>,
}

/// Starts what can be had and was asked for; what cannot be had comes with its reason.
pub(crate) async fn start_all(options: &Options) -> (Vec<Peer>, Vec<(&'static str, String)>) {
    let (mut peers, mut missing) = (Vec::new(), Vec::new());
    for name in [SQLITE, SERVERS, NODE_MEMORY, NODE_POSTGRES, KEYCLOAK, DEX] {
        if !options.wants(name) {
            continue;
        }
        eprintln!("starting {name}");
        match start(name, options).await {
            Ok(peer) => peers.push(peer),
            Err(why) => {
                eprintln!("{name}: {why}");
                missing.push((name, why));
            }
        }
    }
    (peers, missing)
}

async fn start(name: &'static str, options: &Options) -> Result<Peer, String> {
    match name {
        SQLITE => entree(Backend::Embedded, options).await,
        SERVERS => entree(Backend::Servers, options).await,
        NODE_MEMORY => program(name, &["oidc-provider.mjs", "memory"], None, options).await,
        NODE_POSTGRES => {
            let postgres = Postgres::start_synced().await;
            let postgres = postgres.map_err(|missing| missing.to_string())?;
            let command = ["oidc-provider.mjs", "postgres"];
            program(name, &command, Some(postgres), options).await
        }
        KEYCLOAK => program(name, &["keycloak.mjs"], None, options).await,
        _ => program(name, &["dex.mjs"], None, options).await,
    }
}

async fn entree(backend: Backend, options: &Options) -> Result<Peer, String> {
    let subject = Subject::start(&options.binary, backend).await;
    let subject = subject.map_err(|missing| missing.to_string())?;
    let sessions = subject.sessions(options.connections).await;
    let provider = Arc::clone(&subject.provider);
    let version = version_of(&options.binary);
    let about = about(&version, &provider, &sessions[0]).await?;
    Ok(Peer {
        provider,
        sessions,
        works: WORKS.to_vec(),
        about,
        _running: Box::new(subject),
    })
}

fn version_of(binary: &Path) -> String {
    let (_, text) = run(binary, Path::new("/"), &["--version"]);
    let version = text.split_whitespace().last();
    version.unwrap_or_default().to_owned()
}

async fn program(
    name: &str,
    command: &[&str],
    postgres: Option<Postgres>,
    options: &Options,
) -> Result<Peer, String> {
    let env = postgres.as_ref().map(environment).unwrap_or_default();
    let program = Program::start(command, env).await?;
    let provider = Arc::new(provider_of(name, &program, postgres.as_ref()).await?);
    let report = &program.report;
    let mut sessions = Vec::new();
    for _ in 0..options.connections {
        sessions.push(match &report.form {
            Some(fields) => provider.sign_in_at_forms(fields).await,
            None => without_a_page(&provider),
        });
    }
    let about = about(&report.version, &provider, &sessions[0]).await?;
    let can = |work: &Work| report.works.iter().any(|name| name == work.name());
    Ok(Peer {
        provider,
        sessions,
        works: WORKS.into_iter().filter(can).collect(),
        about,
        _running: Box::new((program, postgres)),
    })
}

/// Where its own PostgreSQL is, in the variables that each client of PostgreSQL reads.
fn environment(postgres: &Postgres) -> BTreeMap<&'static str, String> {
    let socket = postgres.socket();
    let folder = socket.parent().expect("a folder").display().to_string();
    BTreeMap::from([
        ("PGHOST", folder),
        ("PGUSER", "postgres".to_owned()),
        ("PGDATABASE", "postgres".to_owned()),
    ])
}

async fn provider_of(
    name: &str,
    program: &Program,
    postgres: Option<&Postgres>,
) -> Result<Provider, String> {
    let report = &program.report;
    let (_, rest) = report.issuer.split_once("://").ok_or("no issuer")?;
    let host = rest.split('/').next().unwrap_or(rest).to_owned();
    let address = host.parse().map_err(|_| format!("{host}: no address"))?;
    let target = Target { address, host };
    let endpoints = Endpoints::read(&target, &report.issuer).await?;
    let mut watched = vec![Watched {
        name: "server",
        root: report.pid,
    }];
    watched.extend(postgres.map(|postgres| Watched {
        name: "database",
        root: postgres.id(),
    }));
    let credentials = Credentials {
        id: report.id.clone(),
        secret: report.secret.clone(),
    };
    Ok(Provider {
        name: name.to_owned(),
        issuer: report.issuer.clone(),
        target,
        endpoints,
        client: credentials.clone(),
        software: credentials,
        scope: report.scope.clone(),
        resource: report.resource.clone(),
        watched,
    })
}

/// For a provider that signs a user in without a page: each flow signs in anew.
fn without_a_page(provider: &Provider) -> Session {
    let (authorize, verifier) = provider.authorization_request();
    Session {
        cookies: String::new(),
        authorize,
        verifier,
    }
}

/// Makes one code flow, and says what it brings.
async fn about(
    version: &str,
    provider: &Arc<Provider>,
    session: &Session,
) -> Result<String, String> {
    let worker = Worker::new(Arc::clone(provider), Work::CodeFlow, session).await;
    let tokens = worker?.tokens(session).await?;
    let refresh = if tokens["refresh_token"].is_string() {
        "a refresh token"
    } else {
        "no refresh token"
    };
    Ok(format!(
        "{version}; a code flow gives an ID token ({}), an access token ({}) and {refresh}.",
        signed_with(&tokens["id_token"]),
        signed_with(&tokens["access_token"]),
    ))
}

/// The algorithm of a JWT; any other token is opaque to its client.
fn signed_with(token: &Value) -> String {
    let header = token.as_str().and_then(|token| token.split('.').next());
    let header = header.and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    let header = header.and_then(|header| serde_json::from_slice::<Value>(&header).ok());
    let alg = header.and_then(|header| header["alg"].as_str().map(str::to_owned));
    alg.unwrap_or_else(|| "opaque".to_owned())
}

#[cfg(test)]
mod tests {
    use testkit::driver::subject::words;

    use super::*;

    #[test]
    fn the_algorithm_of_a_jwt_is_read_and_an_opaque_token_has_none() {
        assert_eq!(signed_with(&"eyJhbGciOiJFUzI1NiJ9.e30.x".into()), "ES256");
        assert_eq!(signed_with(&"mF_9.B5f-4.1JqM".into()), "opaque");
        assert_eq!(signed_with(&Value::Null), "opaque");
    }

    #[test]
    fn names_are_those_of_the_subjects() {
        assert_eq!(SQLITE, format!("Entree, {}", words(Backend::Embedded)));
        assert_eq!(SERVERS, format!("Entree, {}", words(Backend::Servers)));
    }
}
