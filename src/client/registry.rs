//! The clients of the database that are in force on this instance.
//!
//! The registry follows what other instances and `entree clients` change. Requests look in memory
//! alone: while the database is unavailable, the last state stays in force.

use super::{
    definition::DefinitionContext,
    store::{self, Row},
};
use crate::{
    app::App,
    config::{Problem, Reloadable, StoredClients},
    error::InfraError,
};

/// Puts the changes in the database since the last refresh in force. Returns `false` if there were
/// none. A request that changes a client calls this after the commit, so that its own instance has
/// the change at once; the other instances refresh every few seconds.
///
/// # Errors
/// If the database is unavailable; the last state stays in force.
pub async fn refresh(app: &App) -> Result<bool, InfraError> {
    let mut followed = app.config.followed().lock().await;
    let revision = store::total_revision(app.db.read()).await?;
    if *followed == Some(revision) {
        return Ok(false);
    }
    let rows = store::list(app.db.read()).await?;
    let config = app.config.get();
    let context = DefinitionContext {
        token: &config.token,
        public_url: &app.public_url,
    };
    let mut clients = Vec::new();
    for row in rows.iter().filter(|row| row.enabled) {
        match context.parse_row(row) {
            Ok((client, _)) => clients.push(client),
            Err(problems) => log_problems(row, &problems),
        }
    }
    tracing::info!(
        clients = clients.len(),
        "the clients of the database are in force"
    );
    app.config.store(StoredClients::new(clients));
    log_duplicates(&app.config.get());
    *followed = Some(revision);
    Ok(true)
}

fn log_problems(row: &Row, problems: &[Problem]) {
    for problem in problems {
        tracing::error!(
            client_id = row.client_id,
            key = problem.key,
            "a client of the database is left out: {problem}"
        );
    }
}

/// Returns the identifiers that the file and the database both have: the file wins.
#[must_use]
pub fn duplicate_ids(config: &Reloadable) -> Vec<&str> {
    config
        .clients
        .iter()
        .map(|client| client.client_id.as_str())
        .filter(|id| config.stored.get(id).is_some())
        .collect()
}

/// Warns in the log about identifiers that the file and the database both have.
pub fn log_duplicates(config: &Reloadable) {
    for client_id in duplicate_ids(config) {
        tracing::warn!(
            client_id,
            "a client of this identifier is in the file and in the database: the file's is in \
             force; remove its block there, or disable the other with `entree clients disable`"
        );
    }
}
