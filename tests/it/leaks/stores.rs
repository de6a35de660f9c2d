//! Everything that the database, Redis and the data directory hold.

use sea_orm::{ConnectionTrait as _, DatabaseBackend, DatabaseConnection, Statement};

use super::canary::Place;
use crate::service::Stage;

/// Every value of every column of every table, as bytes.
pub(crate) async fn dump(db: &DatabaseConnection) -> Vec<Place> {
    let postgres = db.get_database_backend() == DatabaseBackend::Postgres;
    let columns = if postgres {
        "SELECT table_name::text AS t, column_name::text AS c, data_type::text AS k FROM information_schema.columns WHERE \
         table_schema = 'public'"
    } else {
        "SELECT m.name AS t, p.name AS c, p.type AS k FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = \
         'table'"
    };
    let mut places = Vec::new();
    for column in all(db, columns).await {
        let get = |name: &str| column.try_get::<String>("", name).unwrap();
        let (table, name) = (get("t"), get("c"));
        let bytes = match (postgres, get("k") == "bytea") {
            (true, true) => format!("\"{name}\""),
            (true, false) => format!("convert_to(\"{name}\"::text, 'UTF8')"),
            (false, _) => format!("CAST(\"{name}\" AS BLOB)"),
        };
        for row in all(
            db,
            &format!("SELECT {bytes} AS v FROM \"{table}\" WHERE \"{name}\" IS NOT NULL"),
        )
        .await
        {
            places.push((
                format!("{table}.{name}"),
                row.try_get::<Vec<u8>>("", "v").unwrap(),
            ));
        }
    }
    assert!(
        places.len() > 50,
        "only {} values in the database",
        places.len()
    );
    places
}

async fn all(db: &DatabaseConnection, sql: &str) -> Vec<sea_orm::QueryResult> {
    db.query_all_raw(Statement::from_string(db.get_database_backend(), sql))
        .await
        .unwrap()
}

/// Every key and every value of Redis.
pub(crate) fn dump_redis(url: &str) -> Vec<Place> {
    let mut redis = redis::Client::open(url).unwrap().get_connection().unwrap();
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut redis).unwrap();
    let mut places = Vec::new();
    for key in keys {
        let kind: String = redis::cmd("TYPE").arg(&key).query(&mut redis).unwrap();
        let values: Vec<Vec<u8>> = match kind.as_str() {
            "string" => vec![
                redis::cmd("GET")
                    .arg(&key)
                    .query(&mut redis)
                    .unwrap_or_default(),
            ],
            "hash" => redis::cmd("HGETALL")
                .arg(&key)
                .query(&mut redis)
                .unwrap_or_default(),
            "zset" => redis::cmd("ZRANGE")
                .arg(&key)
                .arg(0)
                .arg(-1)
                .query(&mut redis)
                .unwrap_or_default(),
            "none" => Vec::new(),
            other => panic!("a {other}: teach this test to read it"),
        };
        places.push(("a key of Redis".to_owned(), key));
        places.extend(
            values
                .into_iter()
                .map(|value| ("a value of Redis".to_owned(), value)),
        );
    }
    places
}

/// The bytes of every file in the data directory: also what the database has deleted and not yet overwritten.
pub(crate) fn files(stage: &Stage) -> Vec<Place> {
    let mut places = Vec::new();
    for folder in stage.service.data() {
        for entry in std::fs::read_dir(folder)
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_file())
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            places.push((format!("file {name}"), std::fs::read(entry.path()).unwrap()));
        }
    }
    places
}
