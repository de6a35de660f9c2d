//! `entree migrate`: updates the schema, undoes migrations, and lists pending ones.

use clap::Args;

use super::{
    confirm::confirm,
    database::{missing_file, open},
    instance::{InstanceLock, give_files_to_owner},
    outcome::{Outcome, block_on, load},
    output,
};
use crate::{
    config::Source,
    db::{Db, known_migrations},
};

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// List what is pending and change nothing: exit code 0 either way
    #[arg(long, conflicts_with = "down")]
    status: bool,
    /// Undo the last N migrations. The data in what they added is lost
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    down: Option<u32>,
    /// With --down: do not ask for confirmation
    #[arg(long, requires = "down")]
    yes: bool,
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
    if args.status && missing_file(&config).is_some() {
        // Opening the file would make it, and listing changes nothing.
        return list(&known_migrations(), args.json);
    }
    block_on(async {
        let db = open(&config).await?;
        let outcome = migrate(&db, args).await;
        db.close().await;
        give_files_to_owner(&config.server.data_dir);
        outcome
    })
}

async fn migrate(db: &Db, args: &MigrateArgs) -> Outcome {
    if let Some(steps) = args.down {
        return undo(db, steps, args.yes).await;
    }
    let pending = db.pending_migrations().await?;
    if args.status {
        return list(&pending, args.json);
    }
    db.migrate().await?;
    output::print(&if pending.is_empty() {
        "the schema is up to date".to_owned()
    } else {
        format!("done:\n  {}", pending.join("\n  "))
    })
}

/// Prints the pending migrations.
fn list(pending: &[String], json: bool) -> Outcome {
    output::print(&if json {
        serde_json::json!({ "pending": pending }).to_string()
    } else if pending.is_empty() {
        "nothing is pending".to_owned()
    } else {
        format!("pending:\n  {}", pending.join("\n  "))
    })
}

/// Undoes the last `steps` migrations, if the operator confirms it and no instance uses the database
/// (OD-2). On SQLite the lock of the data directory has shown that none does.
async fn undo(db: &Db, steps: u32, yes: bool) -> Outcome {
    let mut applied = db.applied_migrations().await?;
    applied.reverse();
    applied.truncate(usize::try_from(steps).unwrap_or(usize::MAX));
    if applied.is_empty() {
        return output::print("nothing was undone: no migration is applied");
    }
    let users = db.other_clients().await?;
    if !users.is_empty() {
        let message = format!(
            "nothing was undone: the database is in use by {}; stop every instance first",
            users.join(", ")
        );
        return Err(message.into());
    }
    let words = format!("the data in what {} added is lost", applied.join(", "));
    confirm(yes, "undo", &words)?;
    let count = u32::try_from(applied.len()).unwrap_or(steps);
    db.migrate_down(count).await?;
    output::print(&format!("undone:\n  {}", applied.join("\n  ")))
}
