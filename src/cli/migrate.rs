//! `entree migrate`: the schema, up, down, and how it stands.

use clap::Args;
use migration::{Migrator, MigratorTrait as _};

use super::{Outcome, block_on, instance::InstanceLock, load, out};
use crate::{
    clock::Clock,
    config::{Source, Startup},
    db::Db,
    error::InfraError,
};

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// Only list what is pending: exit code 0 either way
    #[arg(long, conflicts_with = "down")]
    status: bool,
    /// Undo the last N migrations. Their tables and all that is in them are lost
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    down: Option<u32>,
    /// With --status: print JSON
    #[arg(long, requires = "status")]
    json: bool,
}

pub(super) fn run(source: &Source, args: &MigrateArgs) -> Outcome {
    let config = load(source)?.config.startup;
    // SQLite is migrated under the lock of its directory, PostgreSQL under one of its own; listing takes none.
    let embedded = config.database_url().starts_with("sqlite:");
    let _lock = (embedded && !args.status)
        .then(|| InstanceLock::take(&config.server.data_dir))
        .transpose()?;
    block_on(async {
        let db = connect(&config).await?;
        let done = act(&db, args).await;
        db.close().await;
        Ok(done?)
    })
}

/// Opens the configured database for a command.
pub(super) async fn connect(config: &Startup) -> Result<Db, InfraError> {
    Db::connect(
        &config.database_url(),
        config.database.max_connections.min(4),
        Clock::default(),
    )
    .await
}

async fn act(db: &Db, args: &MigrateArgs) -> Result<(), InfraError> {
    if let Some(steps) = args.down {
        Migrator::down(db.pool(), Some(steps)).await?;
        out::answer(&format!("undone: {steps}"));
        return Ok(());
    }
    let pending = db.pending_migrations().await?;
    if args.status {
        let text = if args.json {
            serde_json::json!({ "pending": pending }).to_string()
        } else if pending.is_empty() {
            "nothing is pending".to_owned()
        } else {
            format!("pending:\n  {}", pending.join("\n  "))
        };
        out::answer(&text);
        return Ok(());
    }
    db.migrate().await?;
    out::answer(&if pending.is_empty() {
        "the schema is up to date".to_owned()
    } else {
        format!("done:\n  {}", pending.join("\n  "))
    });
    Ok(())
}
