//! A known device records its user, so that it can be ended with the user's access. A row from before
//! gets its user at the next sign-in on the device.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName, Debug)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "ALTER TABLE known_devices ADD COLUMN user_id {uuid} REFERENCES users (id) ON DELETE CASCADE",
    "CREATE INDEX known_devices_user ON known_devices (user_id)",
];

const DOWN: &[&str] = &[
    "DROP INDEX known_devices_user",
    "ALTER TABLE known_devices DROP COLUMN user_id",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN).await
    }
}
