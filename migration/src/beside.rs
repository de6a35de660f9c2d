//! The history of the schema beside migrations that only a newer build knows.

use sea_orm_migration::{MigratorTraitSelf, prelude::*};

use crate::Migrator;

/// The migrations of this build, and those that a newer one has applied. The library refuses a
/// database with an applied migration that it does not know; but while instances of two builds run
/// beside each other, or after a step back, the schema is ahead of the older build.
#[derive(Debug)]
pub struct Beside {
    pending: Vec<String>,
    unknown: Vec<String>,
}

impl Beside {
    /// `applied`: the names of all migrations that the database has.
    #[must_use]
    pub fn new(applied: &[String]) -> Self {
        let known: Vec<String> = known()
            .iter()
            .map(|migration| migration.name().to_owned())
            .collect();
        let without = |all: &[String], others: &[String]| {
            let rest = all.iter().filter(|name| !others.contains(name));
            rest.cloned().collect()
        };
        Self {
            pending: without(&known, applied),
            unknown: without(applied, &known),
        }
    }

    /// The names of those that the database lacks.
    #[must_use]
    pub fn pending(&self) -> &[String] {
        &self.pending
    }

    /// The names of those that this build does not know.
    #[must_use]
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }
}

fn known() -> Vec<Box<dyn MigrationTrait>> {
    <Migrator as MigratorTrait>::migrations()
}

impl MigratorTraitSelf for Beside {
    fn migrations(&self) -> Vec<Box<dyn MigrationTrait>> {
        let mut all = known();
        // They are applied, so that only undoing ever calls one.
        all.extend(
            self.unknown
                .iter()
                .map(|name| Box::new(Unknown(name.clone())) as Box<dyn MigrationTrait>),
        );
        all
    }
}

struct Unknown(String);

impl MigrationName for Unknown {
    fn name(&self) -> &str {
        &self.0
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Unknown {
    async fn up(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(self.refusal())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(self.refusal())
    }
}

impl Unknown {
    fn refusal(&self) -> DbErr {
        DbErr::Custom(format!(
            "the migration {} belongs to a newer version: undo it with that version",
            self.0
        ))
    }
}
