//! The clients of the database as this copy has them in force, and following what other copies and `entree clients`
//! change. Requests look in memory alone: while the database is away, what was read last stays in force.

use crate::{
    app::App,
    client::store::{self, Row},
    config::{Block, Client, Problem, Reloadable, Stored},
    error::InfraError,
};

/// Takes over what changed in the database since the last look; `false` if nothing did. Whoever changes a client calls
/// this after the commit, so that its own copy has it at once; the others look every few seconds.
///
/// # Errors
/// The database's own; what was in force stays.
pub async fn follow(app: &App) -> Result<bool, InfraError> {
    let mut followed = app.config.followed().lock().await;
    let state = store::state(app.db.read()).await?;
    if *followed == Some(state) {
        return Ok(false);
    }
    let rows = store::all(app.db.read()).await?;
    let config = app.config.get();
    let mut clients = Vec::new();
    for row in rows.iter().filter(|row| row.enabled) {
        match read(row, &config, &app.public_url) {
            Ok((client, _)) => clients.push(client),
            Err(problems) => leave_out(row, &problems),
        }
    }
    tracing::info!(
        clients = clients.len(),
        "the clients of the database are in force"
    );
    app.config.store(Stored::new(clients));
    tell_clashes(&app.config.get());
    *followed = Some(state);
    Ok(true)
}

/// The client of a row, and what should be looked at.
///
/// # Errors
/// Its problems: somebody else wrote the row, or a newer release.
pub fn read(
    row: &Row,
    config: &Reloadable,
    ours: &str,
) -> Result<(Client, Vec<Problem>), Vec<Problem>> {
    match Block::of(&row.client_id, &row.definition) {
        Some(block) => block.read(&config.token, ours),
        None => {
            let mend = "write JSON with the keys of a block of [[clients]]";
            Err(vec![Problem::new(
                "definition",
                "is not a JSON object",
                mend,
            )])
        }
    }
}

fn leave_out(row: &Row, problems: &[Problem]) {
    for problem in problems {
        tracing::error!(
            client_id = row.client_id,
            key = problem.key,
            "a client of the database is left out: {problem}"
        );
    }
}

/// Identifiers that file and database both have: the file wins (DESIGN §8).
#[must_use]
pub fn clashes(config: &Reloadable) -> Vec<&str> {
    let ids = config
        .clients
        .iter()
        .map(|client| client.client_id.as_str());
    ids.filter(|id| config.stored.get(id).is_some()).collect()
}

/// Says so in the log.
pub fn tell_clashes(config: &Reloadable) {
    for client_id in clashes(config) {
        tracing::warn!(
            client_id,
            "a client of this identifier stands in the file and in the database: the file's is in force; remove its \
             block there, or disable the other with `entree clients disable`"
        );
    }
}
