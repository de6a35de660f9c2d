#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use entity::{Time, session, user};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseBackend, EntityTrait as _,
    IntoActiveModel as _,
    sea_query::{Expr, Query},
};

use super::*;
use crate::{
    clock::Clock,
    db::Db,
    secret::{Plain, public_id, row_id},
    session::{find_by_cookie, id_is, read_joined, select_one_with_user},
};

struct Stage {
    db: Db,
    folder: PathBuf,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Stage {
    async fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("entree-lookup-{}", public_id()));
        std::fs::create_dir(&folder).unwrap();
        let url = format!("sqlite:{}", folder.join("entree.db").display());
        let db = Db::connect(&url, 4, Clock::default()).await.unwrap();
        db.migrate().await.unwrap();
        Self { db, folder }
    }

    async fn user(&self, name: Option<&str>) -> user::Model {
        let now = self.db.clock().now();
        let row = user::Model {
            id: row_id(now),
            public_id: public_id(),
            state: user::UserState::Active,
            auth_epoch: 7,
            roles: "coach admin".to_owned(),
            name: name.map(str::to_owned),
            locale: None,
            created_at: now,
            updated_at: Time(i64::MAX),
        };
        let insert = row.clone().into_active_model().insert(self.db.pool());
        assert_eq!(insert.await.unwrap(), row);
        row
    }

    async fn session(&self, user: &user::Model) -> session::Model {
        let now = self.db.clock().now();
        let row = session::Model {
            id: public_id(),
            user_id: user.id,
            secret_hash: Plain::generate().hash().to_column(),
            // As long as a UUID, which must make no UUID of it.
            previous_hash: Some(vec![6; 16]),
            previous_until: Some(now),
            browser_hash: None,
            auth_epoch: 7,
            auth_time: now,
            acr: String::new(),
            amr: "mfa".to_owned(),
            identity_id: Some(public_id()),
            device: "Firefox, Linux".to_owned(),
            remembered: true,
            created_at: now,
            last_seen_at: now,
            expires_at: Time(i64::MAX),
            revoked_at: None,
            told_at: None,
        };
        let insert = row.clone().into_active_model().insert(self.db.pool());
        assert_eq!(insert.await.unwrap(), row);
        row
    }
}

#[tokio::test]
async fn sp_11_a_lookup_reads_what_was_written() {
    let stage = Stage::new().await;
    for name in [None, Some("Zoë 🩰"), Some("")] {
        let user = stage.user(name).await;
        let session = stage.session(&user).await;
        let select = select_one_with_user(id_is(session.id));
        let row = stage.db.lookup().find_row(&select).await.unwrap().unwrap();
        assert!(matches!(row, Row::Own(_)));
        assert_eq!(read_joined(&row).unwrap(), Some(session.clone()));
        assert_eq!(crate::user::read_joined(&row).unwrap(), Some(user));
        let row = stage.db.read().find_row(&select).await.unwrap().unwrap();
        assert!(matches!(row, Row::Driver(_)));
        assert_eq!(read_joined(&row).unwrap(), Some(session));
    }
    let none = select_one_with_user(id_is(public_id()));
    assert!(stage.db.lookup().find_row(&none).await.unwrap().is_none());
}

#[tokio::test]
async fn sp_11_an_outer_join_that_finds_none_is_none() {
    let stage = Stage::new().await;
    let user = stage.user(None).await;
    let session = stage.session(&user).await;
    let mut select = Query::select();
    select.from(session::Entity).cond_where(id_is(session.id));
    // No user has the id of a connected account.
    crate::user::join(&mut select, session::Column::IdentityId.as_column_ref());
    let row = stage.db.lookup().find_row(&select).await.unwrap().unwrap();
    assert_eq!(crate::user::read_joined(&row).unwrap(), None);
    // Columns that were not selected are a fault.
    assert!(read_joined(&row).is_err());
}

#[tokio::test]
async fn sp_11_a_lookup_sees_what_is_committed_and_nothing_else() {
    let stage = Stage::new().await;
    let user = stage.user(None).await;
    let session = stage.session(&user).await;
    let select = select_one_with_user(id_is(session.id));
    let device = async || {
        let row = stage.db.lookup().find_row(&select).await.unwrap().unwrap();
        read_joined(&row).unwrap().unwrap().device
    };
    let tx = stage.db.begin().await.unwrap();
    session::Entity::update_many()
        .col_expr(session::Column::Device, Expr::value("Safari"))
        .exec(tx.conn())
        .await
        .unwrap();
    assert_eq!(device().await, "Firefox, Linux");
    tx.commit().await.unwrap();
    assert_eq!(device().await, "Safari");
}

#[tokio::test]
async fn sp_11_a_lookup_writes_nothing() {
    let stage = Stage::new().await;
    let user = stage.user(None).await;
    let statement = Statement::from_string(
        DatabaseBackend::Sqlite,
        "UPDATE users SET roles = '' RETURNING roles",
    );
    let readers = stage.db.lookup().readers.as_ref().unwrap();
    assert!(readers.find(&statement).unwrap().is_err());
    let found = user::Entity::find_by_id(user.id).one(stage.db.pool()).await;
    assert_eq!(found.unwrap(), Some(user));
}

/// ST-18: a file that cannot be read now is an outage and no bug.
#[tokio::test]
async fn st_18_a_lookup_in_a_file_that_is_away_is_an_outage() {
    let stage = Stage::new().await;
    std::fs::remove_dir_all(&stage.folder).unwrap();
    let select = select_one_with_user(id_is(public_id()));
    let error = stage.db.lookup().find_row(&select).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

/// What cannot run at once goes to the pool, whose own threads wait.
#[tokio::test]
async fn sp_11_a_lookup_never_waits() {
    let stage = Stage::new().await;
    let user = stage.user(None).await;
    let session = stage.session(&user).await;
    let statement = DatabaseBackend::Sqlite.build(&select_one_with_user(id_is(session.id)));
    let readers = stage.db.lookup().readers.as_ref().unwrap();
    assert!(readers.find(&statement).unwrap().unwrap().is_some());
    {
        let _in_use: Vec<_> = readers
            .slots
            .iter()
            .map(|slot| slot.lock().unwrap())
            .collect();
        assert!(readers.find(&statement).is_none());
    }
    let other = Connection::open(&*readers.path).unwrap();
    other
        .pragma_update(None, "locking_mode", "EXCLUSIVE")
        .unwrap();
    readers
        .slots
        .iter()
        .for_each(|slot| *slot.lock().unwrap() = None);
    stage.db.read().inner.clone().close().await.unwrap();
    stage.db.write().inner.clone().close().await.unwrap();
    other
        .execute_batch("BEGIN EXCLUSIVE; UPDATE users SET roles = ''; COMMIT")
        .unwrap();
    let began = Instant::now();
    assert!(readers.find(&statement).is_none());
    assert!(began.elapsed() < Duration::from_secs(1));
}

/// ST-18: after the service has let go of its database, a look-up is an outage, as any statement is.
#[tokio::test]
async fn st_18_a_lookup_after_the_end_is_an_outage() {
    let stage = Stage::new().await;
    let select = select_one_with_user(id_is(public_id()));
    assert!(stage.db.lookup().find_row(&select).await.unwrap().is_none());
    stage.db.close().await;
    let error = stage.db.lookup().find_row(&select).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

/// A file that was put in place of the first one is found once a connection is old, and after an error at once.
#[tokio::test]
async fn sp_11_a_reader_is_dropped_after_an_error() {
    let stage = Stage::new().await;
    let readers = stage.db.lookup().readers.as_ref().unwrap();
    let wrong = Statement::from_string(DatabaseBackend::Sqlite, "SELECT nothing FROM nowhere");
    assert!(readers.find(&wrong).unwrap().is_err());
    assert!(
        readers
            .slots
            .iter()
            .all(|slot| slot.lock().unwrap().is_none())
    );
}

/// The driver decodes a path as part of a URL.
#[tokio::test]
async fn sp_11_lookups_read_the_file_of_the_driver() {
    let folder = std::env::temp_dir().join(format!("entree%2Dlookup-{}", public_id()));
    let decoded = PathBuf::from(folder.display().to_string().replace("%2D", "-"));
    std::fs::create_dir(&decoded).unwrap();
    let url = format!("sqlite:{}", folder.join("entree.db").display());
    let db = Db::connect(&url, 4, Clock::default()).await.unwrap();
    let stage = Stage {
        db,
        folder: decoded,
    };
    stage.db.migrate().await.unwrap();
    let select = select_one_with_user(id_is(public_id()));
    assert!(stage.db.lookup().find_row(&select).await.unwrap().is_none());
    assert!(!folder.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn sp_11_lookups_of_many_threads_and_writes_go_on_together() {
    let stage = Stage::new().await;
    let user = stage.user(Some("one")).await;
    let session = stage.session(&user).await;
    let look = |db: Db, id| async move {
        let select = select_one_with_user(id_is(id));
        for _ in 0..200 {
            let row = db.lookup().find_row(&select).await.unwrap().unwrap();
            assert_eq!(read_joined(&row).unwrap().unwrap().id, id);
        }
    };
    let looking: Vec<_> = (0..16)
        .map(|_| tokio::spawn(look(stage.db.clone(), session.id)))
        .collect();
    for _ in 0..50 {
        stage.user(None).await;
    }
    for task in looking {
        task.await.unwrap();
    }
    // The log is folded into the file once no connection is left.
    stage.db.close().await;
    assert!(!stage.folder.join("entree.db-wal").exists());
}

#[tokio::test]
async fn sp_11_a_session_is_found_by_its_cookie() {
    let stage = Stage::new().await;
    let user = stage.user(None).await;
    let session = stage.session(&user).await;
    let cookie = crate::secret::Hash::from_column(&session.secret_hash).unwrap();
    let limits = crate::config::Session::default();
    let now = stage.db.clock().now();
    let found = find_by_cookie(stage.db.lookup(), &cookie, now, &limits).await;
    let found = found.unwrap().unwrap();
    assert_eq!((found.session, found.user), (session, user));
}
