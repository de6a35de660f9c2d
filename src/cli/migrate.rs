//! `entree migrate`: updates the schema, undoes migrations, and lists pending ones.

use clap::Args;
use migration::{Migrator, MigratorTrait as _};

use super::{
    database::connect,
    instance::InstanceLock,
    outcome::{Outcome, block_on, load},
    output,
};
use crate::{config::Source, db::Db, error::InfraError};

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// List what is pending and change nothing: exit code 0 either way
    #[arg(long, conflicts_with = "down")]
    status: bool,
    /// Undo the last N migrations. The data in what they added is lost
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    down: Option<u32>,
    /// With --status: print JSON
    #[arg(long, requires = "status")]
    json: bool,
}

pub(super) fn run(source: &Source, args: &MigrateArgs) -> Outcome {
    let config = load(source)?.config.startup;
    // SQLite is migrated under the lock of its directory, PostgreSQL under a lock of its own;
    // listing takes none.
    let embedded = config.database_url().starts_with("sqlite:");
    let _lock = (embedded && !args.status)
        .then(|| InstanceLock::take(&config.server.data_dir))
        .transpose()?;
    block_on(async {
        let db = connect(&config).await?;
        let outcome = migrate(&db, args).await;
        db.close().await;
        Ok(outcome?)
    })
}

async fn migrate(db: &Db, args: &MigrateArgs) -> Result<(), InfraError> {
    if let Some(steps) = args.down {
        Migrator::down(db.pool(), Some(steps)).await?;
        output::print(&format!("undone: {steps}"));
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
        output::print(&text);
        return Ok(());
    }
    db.migrate().await?;
    output::print(&if pending.is_empty() {
        "the schema is up to date".to_owned()
    } else {
        format!("done:\n  {}", pending.join("\n  "))
    });
    Ok(())
}
