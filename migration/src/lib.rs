//! The history of the schema. Each migration is the SQL of one release, the same text for both
//! databases except for three names of types ([`run`]) and what SQLite can only do by a new table. The crate imports
//! nothing of the service, so that an old migration never changes its meaning when the code changes.

pub use beside::Beside;
use sea_orm_migration::prelude::*;
pub use sea_orm_migration::{MigratorTrait, MigratorTraitSelf};

mod beside;
mod m20261123_000001_foundation;
mod m20261123_000002_refresh;
mod m20261123_000003_consents;
mod m20261123_000004_identities;
mod m20261123_000005_clients;
mod m20261123_000006_claims;
mod m20261128_000007_bounds;
mod m20261129_000008_fair_shares;
mod m20261129_000009_withheld;
mod m20261129_000010_readiness;
mod m20261130_000011_device_owner;
mod m20261130_000012_turns;
mod m20261130_000013_repeated_code;
mod m20261201_000014_bound_grants;
mod m20261201_000015_logout;

/// All migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_foundation::Migration),
            Box::new(m20261123_000002_refresh::Migration),
            Box::new(m20261123_000003_consents::Migration),
            Box::new(m20261123_000004_identities::Migration),
            Box::new(m20261123_000005_clients::Migration),
            Box::new(m20261123_000006_claims::Migration),
            Box::new(m20261128_000007_bounds::Migration),
            Box::new(m20261129_000008_fair_shares::Migration),
            Box::new(m20261129_000009_withheld::Migration),
            Box::new(m20261129_000010_readiness::Migration),
            Box::new(m20261130_000011_device_owner::Migration),
            Box::new(m20261130_000012_turns::Migration),
            Box::new(m20261130_000013_repeated_code::Migration),
            Box::new(m20261201_000014_bound_grants::Migration),
            Box::new(m20261201_000015_logout::Migration),
        ]
    }
}

/// Runs SQL written once for both databases: `{uuid}`, `{bytes}` and `{json}` stand for the type
/// that each database has.
pub(crate) async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let postgres =
        manager.get_database_backend() == sea_orm_migration::sea_orm::DatabaseBackend::Postgres;
    let (uuid, bytes, json) = if postgres {
        ("uuid", "bytea", "jsonb")
    } else {
        ("blob", "blob", "text")
    };
    for statement in statements {
        let sql = statement
            .replace("{uuid}", uuid)
            .replace("{bytes}", bytes)
            .replace("{json}", json);
        manager.get_connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}
