#![allow(clippy::unwrap_used)]

use migration::{Migrator, MigratorTrait as _};

use super::*;
use crate::{clock::Clock, db::Db, secret::public_id};

#[tokio::test]
async fn db_02_older_grants_get_a_date_and_an_epoch_and_the_migration_can_be_reverted() {
    let file = std::env::temp_dir().join(format!("entree-grants-{}.db", public_id()));
    let db = Db::connect(&format!("sqlite:{}", file.display()), 1, Clock::default())
        .await
        .unwrap();
    Migrator::up(db.pool(), Some(1)).await.unwrap();
    let id = "X'00000000000000000000000000000001'";
    for statement in [
        format!("INSERT INTO users (id, public_id, state, auth_epoch, created_at, updated_at) VALUES ({id}, {id}, 'active', 3, 0, 0)"),
        format!(
            "INSERT INTO grant_families (id, user_id, client_id, scope, audience, auth_time, acr, amr, created_at, expires_at)
             VALUES ({id}, {id}, 'c', 'openid', 'a', 0, '', '', 0, 1800000003600)"
        ),
    ] {
        db.pool().execute_unprepared(&statement).await.unwrap();
    }
    db.migrate().await.unwrap();
    let found = find(db.read(), Uuid::from_u128(1)).await.unwrap();
    let grant = found.unwrap().grant;
    assert_eq!(
        (grant.gc_day, grant.auth_epoch, grant.generation),
        (gc_day(grant.expires_at), 3, 0)
    );
    assert_eq!((grant.current_hash, grant.idle_until), (None, None));
    Migrator::down(db.pool(), None).await.unwrap();
    db.close().await;
    let _ = std::fs::remove_file(file);
}
