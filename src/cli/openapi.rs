//! `entree openapi`: the document that is generated from the code.

use std::{path::Path, sync::Arc};

use super::{Outcome, Refusal, block_on, out};
use crate::{
    app::{App, Macs},
    clock::Clock,
    config::{Config, Live},
    db::Db,
    key::{self, Keys},
    routes,
    secret::{self, MasterKeys},
    ticket::Tickets,
    web::text::Texts,
};

/// Prints the document, or compares it with a file.
pub(super) fn run(check: Option<&Path>) -> Outcome {
    block_on(async {
        let document = document().await?;
        let Some(path) = check else {
            out::answer(document.trim_end());
            return Ok(());
        };
        let file =
            std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        if file.trim_end() == document.trim_end() {
            out::answer(&format!("{} is up to date", path.display()));
            return Ok(());
        }
        Err(format!("{0} differs from the code: run `entree openapi > {0}`", path.display()).into())
    })
}

/// The document hangs on the code alone, but the endpoints that it describes hold an [`App`]: one on a database of its
/// own, which goes again.
async fn document() -> Result<String, Refusal> {
    key::install();
    let dir = Scratch(std::env::temp_dir().join(format!("entree-openapi-{}", secret::public_id())));
    std::fs::create_dir(&dir.0).map_err(|error| format!("{} cannot be made: {error}", dir.0.display()))?;
    let clock = Clock::default();
    let masters = MasterKeys::new(secret::random(), []);
    let db = Db::connect(&format!("sqlite:{}", dir.0.join("entree.db").display()), 1, clock.clone()).await?;
    db.migrate().await?;
    let app = App {
        config: Live::new(Config::default()),
        public_url: Arc::from("http://127.0.0.1"),
        keys: Keys::open(&db, &masters).await?,
        db,
        tickets: Tickets::memory(1_000, clock, &masters),
        texts: Texts::load(None)?,
        macs: Macs::new(&masters),
        outbox: Arc::default(),
    };
    let document = routes::openapi_public(&app);
    app.db.close().await;
    Ok(document)
}

/// A directory that goes when this does.
struct Scratch(std::path::PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
