//! Opening, signing and publishing, on SQLite and, with `TEST_POSTGRES_URL`, on PostgreSQL.
#![allow(
    clippy::disallowed_methods,
    reason = "shows that the library finds our provider"
)]
use std::path::PathBuf;

use entity::signing_key::{ActiveModel, Column, Entity as Row, Model};
use jsonwebtoken::{DecodingKey, EncodingKey, Validation, decode, decode_header, encode, jwk};
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ConnectionTrait as _, DatabaseBackend,
    IntoActiveModel as _, Statement,
};
use serde_json::{Value, json};

use std::sync::{Arc, atomic::Ordering};

use entity::signing_key::State;
use sea_orm::{EntityTrait as _, QueryOrder as _};

use super::{row::ALGS, *};
use crate::{
    clock::Clock,
    config::Alg,
    db::Db,
    error::InfraError,
    secret::{self, MasterKeys},
};

/// A migrated database of its own.
pub(super) struct TestApp {
    url: String,
    file: Option<PathBuf>,
    pub(super) db: Db,
}

impl TestApp {
    async fn at(url: String, file: Option<PathBuf>) -> Self {
        let db = Db::connect(&url, 4, Clock::default()).await.unwrap();
        db.migrate().await.unwrap();
        Self { url, file, db }
    }

    pub(super) async fn sqlite() -> Self {
        let file = std::env::temp_dir().join(format!("entree-keys-{}.db", secret::public_id()));
        Self::at(format!("sqlite:{}", file.display()), Some(file)).await
    }

    async fn postgres(server: &str) -> Self {
        let name = format!("keys_{}", secret::public_id().simple());
        let admin = Db::connect(server, 1, Clock::default()).await.unwrap();
        admin
            .pool()
            .execute_unprepared(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        let mut url = url::Url::parse(server).unwrap();
        url.set_path(&name);
        Self::at(url.into(), None).await
    }

    /// Returns one of each available back end.
    pub(super) async fn all() -> Vec<Self> {
        let mut test_apps = vec![Self::sqlite().await];
        if let Ok(server) = std::env::var("TEST_POSTGRES_URL") {
            test_apps.push(Self::postgres(&server).await);
        }
        test_apps
    }

    /// Returns another instance of the service, with connections of its own and the same clock.
    pub(super) async fn other_instance(&self) -> Db {
        Db::connect(&self.url, 4, self.db.clock().clone())
            .await
            .unwrap()
    }

    pub(super) async fn rows(&self) -> Vec<Model> {
        Row::find()
            .order_by_asc(Column::CreatedAt)
            .all(self.db.pool())
            .await
            .unwrap()
    }

    /// Returns whether a transaction waits for an advisory lock in this PostgreSQL database.
    pub(super) async fn waits_for_lock(&self) -> bool {
        let sql = "SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                   WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted";
        let statement = Statement::from_string(DatabaseBackend::Postgres, sql);
        self.db
            .pool()
            .query_one_raw(statement)
            .await
            .unwrap()
            .is_some()
    }

    async fn change(&self, row: &Model, change: impl FnOnce(&mut ActiveModel)) {
        let mut row = row.clone().into_active_model();
        change(&mut row);
        row.update(self.db.pool()).await.unwrap();
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        for ending in ["", "-wal", "-shm"] {
            if let Some(file) = &self.file {
                let _ = std::fs::remove_file(format!("{}{ending}", file.display()));
            }
        }
    }
}

pub(super) fn masters() -> MasterKeys {
    MasterKeys::new([7; 32], [])
}

pub(super) async fn open(db: &Db) -> Keys {
    Keys::open(db, &masters()).await.unwrap()
}

/// The `kid` that a token was signed with.
pub(super) fn kid_of(token: &str) -> String {
    decode_header(token).unwrap().kid.unwrap()
}

/// The `kid`s in the JWKS.
pub(super) fn kids(keys: &Keys) -> Vec<String> {
    let jwks: Value = serde_json::from_slice(&keys.published().body).unwrap();
    jwks["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

fn access_token(keys: &Keys, alg: Alg) -> String {
    let now = keys.db().clock().now().seconds();
    let claims = json!({"iss": "https://id.example", "aud": "lessons", "sub": "u", "iat": now, "exp": now + 600});
    keys.sign(alg, "at+jwt", &claims).unwrap()
}

const EXPECT: ExpectedToken<'_> = ExpectedToken {
    typ: "at+jwt",
    issuer: "https://id.example",
    audiences: &["lessons"],
};

#[tokio::test]
async fn sk_01_ky_02_first_start_makes_one_key_of_each_kind_and_signs_with_it() {
    for test_app in TestApp::all().await {
        let keys = open(&test_app.db).await;
        for alg in ALGS {
            let token = access_token(&keys, alg);
            assert_eq!(
                decode_header(&token).unwrap().typ.as_deref(),
                Some("at+jwt")
            );
            assert_eq!(keys.verify(&token, &EXPECT).unwrap()["sub"], "u");
        }
        let mut algs: Vec<_> = test_app
            .rows()
            .await
            .into_iter()
            .map(|row| (row.alg, row.state))
            .collect();
        algs.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(
            algs,
            [
                ("ES256".to_owned(), State::Active),
                ("RS256".to_owned(), State::Active)
            ]
        );
    }
}

#[tokio::test]
async fn sk_04_copies_that_start_together_make_one_key_of_each_kind() {
    for test_app in TestApp::all().await {
        let (one, two, three) = (
            test_app.other_instance().await,
            test_app.other_instance().await,
            test_app.other_instance().await,
        );
        let (one, two, three) = tokio::join!(open(&one), open(&two), open(&three));
        assert_eq!(test_app.rows().await.len(), 2);
        for other in [two, three] {
            assert_eq!(one.published().etag, other.published().etag);
            assert!(
                other
                    .verify(&access_token(&one, Alg::ES256), &EXPECT)
                    .is_ok()
            );
        }
    }
}

#[tokio::test]
async fn ky_05_a_wrong_master_key_stops_the_start_and_says_how_to_mend_it() {
    for test_app in TestApp::all().await {
        open(&test_app.db).await;
        let refused = Keys::open(&test_app.db, &MasterKeys::new([8; 32], []))
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("previous_master_keys"), "{refused}");
        assert_eq!(test_app.rows().await.len(), 2, "and makes nothing");
        assert!(
            Keys::open(&test_app.db, &MasterKeys::new([8; 32], [[7; 32]]))
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn sk_07_after_rewrap_the_old_master_key_is_not_needed_and_private_parts_were_not_touched() {
    for test_app in TestApp::all().await {
        open(&test_app.db).await;
        let before = test_app.rows().await;
        let keys = Keys::open(&test_app.db, &MasterKeys::new([8; 32], [[7; 32]]))
            .await
            .unwrap();
        assert_eq!(keys.rewrap().await.unwrap(), 2);
        assert!(
            Keys::open(&test_app.db, &MasterKeys::new([8; 32], []))
                .await
                .is_ok()
        );
        for (old, new) in before.iter().zip(test_app.rows().await) {
            let expected = Model {
                wrapped_data_key: new.wrapped_data_key.clone(),
                ..old.clone()
            };
            assert!(old.wrapped_data_key != new.wrapped_data_key && expected == new);
        }
    }
}

#[tokio::test]
async fn sk_05_following_keys_that_did_not_change_parses_nothing_and_confirms_them() {
    for test_app in TestApp::all().await {
        let keys = open(&test_app.db).await;
        let before = keys.inner.snapshot.load_full();
        keys.inner.confirmed_at.store(-1, Ordering::Relaxed);
        keys.reload().await.unwrap();
        assert!(
            Arc::ptr_eq(&before, &keys.inner.snapshot.load_full()),
            "the same snapshot"
        );
        assert!(
            keys.inner.confirmed_at.load(Ordering::Relaxed) >= 0,
            "read again"
        );
        keys.rotate(Alg::ES256).await.unwrap();
        assert!(!Arc::ptr_eq(&before, &keys.inner.snapshot.load_full()));
    }
}

#[tokio::test]
async fn sk_07_swapped_rows_stop_the_start() {
    for test_app in TestApp::all().await {
        let keys = open(&test_app.db).await;
        keys.rotate(Alg::ES256).await.unwrap();
        let rows: Vec<_> = test_app
            .rows()
            .await
            .into_iter()
            .filter(|row| row.alg == "ES256")
            .collect();
        for (row, other) in [(&rows[0], &rows[1]), (&rows[1], &rows[0])] {
            test_app
                .change(row, |row| {
                    row.sealed_private = Set(other.sealed_private.clone());
                    row.wrapped_data_key = Set(other.wrapped_data_key.clone());
                })
                .await;
        }
        assert!(Keys::open(&test_app.db, &masters()).await.is_err());
    }
}

#[tokio::test]
async fn sk_07_a_row_that_holds_another_key_than_it_names_stops_the_start() {
    let test_app = TestApp::sqlite().await;
    open(&test_app.db).await;
    let row = test_app
        .rows()
        .await
        .into_iter()
        .find(|row| row.alg == "ES256")
        .unwrap();
    let other = pair::generate(Alg::ES256).unwrap();
    let sealed = seal::seal(&masters().sealer(seal::WRAP), &row.kid, Alg::ES256, &other);
    test_app
        .change(&row, |row| {
            row.sealed_private = Set(Some(sealed.private));
            row.wrapped_data_key = Set(Some(sealed.data_key));
        })
        .await;
    assert!(
        Keys::open(&test_app.db, &masters())
            .await
            .unwrap_err()
            .to_string()
            .contains("damaged")
    );
}

#[tokio::test]
async fn ky_05_after_a_lost_master_key_the_way_out_that_the_message_names_works() {
    for test_app in TestApp::all().await {
        open(&test_app.db).await;
        for row in test_app.rows().await {
            test_app
                .change(&row, |row| row.state = Set(State::Compromised))
                .await;
        }
        let keys = Keys::open(&test_app.db, &MasterKeys::new([8; 32], []))
            .await
            .unwrap();
        assert!(
            keys.verify(&access_token(&keys, Alg::RS256), &EXPECT)
                .is_ok()
        );
        assert_eq!(kids(&keys).len(), 2);
    }
}

#[tokio::test]
async fn sk_07_a_public_key_without_its_sealed_private_part_is_never_published() {
    for test_app in TestApp::all().await {
        let keys = open(&test_app.db).await;
        let before = keys.published();
        let rogue = pair::SigningPair::parse(Alg::ES256, &pair::generate(Alg::ES256).unwrap())
            .unwrap()
            .verifying_key()
            .unwrap();
        let mut row = test_app.rows().await.remove(0).into_active_model();
        (row.kid, row.public_jwk) = (Set(rogue.thumbprint()), Set(rogue.jwk()));
        (row.alg, row.state) = (Set("ES256".to_owned()), Set(State::Retired));
        (row.sealed_private, row.wrapped_data_key) = (Set(None), Set(None));
        row.insert(test_app.db.pool()).await.unwrap();
        keys.reload().await.unwrap();
        assert_eq!(
            keys.published().etag,
            before.etag,
            "a retired key is not published"
        );
        // Known by now, it must not come back without proof.
        let row = test_app
            .rows()
            .await
            .into_iter()
            .find(|row| row.kid == rogue.thumbprint())
            .unwrap();
        test_app
            .change(&row, |row| row.state = Set(State::Retiring))
            .await;
        assert!(keys.reload().await.is_err());
        assert_eq!(keys.published().etag, before.etag, "the keys in force stay");
        assert!(Keys::open(&test_app.db, &masters()).await.is_err());
    }
}

#[tokio::test]
async fn sk_07_neither_table_nor_file_holds_a_private_key_in_clear() {
    // The object identifiers that open every PKCS#8 of these kinds (RFC 5480 §2.1.1, RFC 8017
    // §A.1).
    let marks: [(Alg, &[u8]); 2] = [
        (Alg::ES256, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]),
        (
            Alg::RS256,
            &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01],
        ),
    ];
    let browser_state =
        |bytes: &[u8], mark: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
    for test_app in TestApp::all().await {
        open(&test_app.db).await;
        let mut dump: Vec<u8> = test_app
            .rows()
            .await
            .into_iter()
            .filter_map(|row| row.sealed_private)
            .flatten()
            .collect();
        for file in test_app
            .file
            .iter()
            .flat_map(|file| ["", "-wal"].map(|ending| format!("{}{ending}", file.display())))
        {
            dump.extend(std::fs::read(file).unwrap_or_default());
        }
        for (alg, mark) in marks {
            assert!(
                browser_state(&pair::generate(alg).unwrap(), mark),
                "the mark is a mark"
            );
            assert!(!dump.is_empty() && !browser_state(&dump, mark));
        }
    }
}

#[tokio::test]
async fn jw_01_the_jwks_holds_public_members_alone_under_thumbprints() {
    let test_app = TestApp::sqlite().await;
    let keys = open(&test_app.db).await;
    let set: jwk::JwkSet = serde_json::from_slice(&keys.published().body).unwrap();
    let raw: Value = serde_json::from_slice(&keys.published().body).unwrap();
    assert_eq!(set.keys.len(), 2);
    for (key, raw) in set.keys.iter().zip(raw["keys"].as_array().unwrap()) {
        let members: Vec<_> = raw
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let expected: &[&str] = match raw["kty"].as_str().unwrap() {
            "EC" => &["alg", "crv", "kid", "kty", "use", "x", "y"],
            _ => &["alg", "e", "kid", "kty", "n", "use"],
        };
        assert_eq!(members, expected);
        assert_eq!(raw["use"], "sig");
        let thumbprint = key.thumbprint(jwk::ThumbprintHash::SHA256).unwrap();
        assert_eq!(
            key.common.key_id.as_deref(),
            Some(thumbprint.as_str()),
            "RFC 7638"
        );
    }
}

#[tokio::test]
async fn jw_03_the_etag_is_strong_and_changes_with_the_set_alone() {
    let test_app = TestApp::sqlite().await;
    let keys = open(&test_app.db).await;
    let before = keys.published();
    keys.reload().await.unwrap();
    assert_eq!(keys.published().etag, before.etag);
    assert!(before.etag.starts_with('"') && before.etag.ends_with('"'));
    keys.rotate(Alg::ES256).await.unwrap();
    assert_ne!(keys.published().etag, before.etag);
}

#[tokio::test]
async fn jt_01_jsonwebtoken_signs_and_verifies_with_our_cryptography() {
    install();
    install();
    let test_app = TestApp::sqlite().await;
    let keys = open(&test_app.db).await;
    let set: jwk::JwkSet = serde_json::from_slice(&keys.published().body).unwrap();
    for alg in ALGS {
        let token = access_token(&keys, alg);
        let header = decode_header(&token).unwrap();
        let key = DecodingKey::from_jwk(set.find(&kid_of(&token)).unwrap()).unwrap();
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&["lessons"]);
        assert!(
            decode::<Value>(&token, &key, &validation).is_ok(),
            "{alg:?}"
        );
        assert!(
            decode::<Value>(format!("{token}AA"), &key, &validation).is_err(),
            "{alg:?}"
        );
    }
    let private = pair::generate(Alg::ES256).unwrap();
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    assert!(encode(&header, &json!({}), &EncodingKey::from_ec_der(&private)).is_ok());
    let hmac = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    assert!(
        encode(&hmac, &json!({}), &EncodingKey::from_secret(b"secret")).is_err(),
        "refused, not a panic"
    );
}

#[tokio::test]
async fn sk_05_jt_02_reload_parses_only_new_keys_and_drops_those_that_stopped() {
    let test_app = TestApp::sqlite().await;
    let keys = open(&test_app.db).await;
    let parsed = || {
        keys.inner
            .snapshot
            .load()
            .es256
            .as_ref()
            .and_then(|key| key.pair.clone())
            .unwrap()
    };
    let before = Arc::downgrade(&parsed());
    keys.reload().await.unwrap();
    assert!(Arc::ptr_eq(&before.upgrade().unwrap(), &parsed()));
    keys.compromise(&kid_of(&access_token(&keys, Alg::ES256)))
        .await
        .unwrap();
    assert!(before.upgrade().is_none());
}

/// ST-13: signing waits until the clock has caught up.
#[tokio::test]
async fn sk_08_no_signature_while_the_clock_is_behind_the_last_one() {
    let test_app = TestApp::sqlite().await;
    let keys = open(&test_app.db).await;
    access_token(&keys, Alg::ES256);
    // As if the last signature had been made before the clock was set back by a minute.
    keys.inner.signed_at.fetch_add(60_000, Ordering::Relaxed);
    let refused = keys.sign(Alg::ES256, "at+jwt", &json!({}));
    assert!(matches!(
        refused,
        Err(InfraError::Unavailable {
            dependency: "clock",
            ..
        })
    ));
    test_app
        .db
        .clock()
        .advance(std::time::Duration::from_secs(56));
    assert!(
        keys.sign(Alg::ES256, "at+jwt", &json!({})).is_ok(),
        "4 s behind"
    );
}

#[tokio::test]
async fn sk_03_a_copy_that_cannot_read_the_keys_stops_signing() {
    let test_app = TestApp::sqlite().await;
    let keys = open(&test_app.db).await;
    let limit = i64::try_from(lifecycle::MAX_UNCONFIRMED.as_secs()).unwrap();
    keys.inner.confirmed_at.store(-limit - 2, Ordering::Relaxed);
    let refused = keys.sign(Alg::ES256, "at+jwt", &json!({}));
    assert!(matches!(
        refused,
        Err(InfraError::Unavailable {
            dependency: "signing keys",
            ..
        })
    ));
    keys.reload().await.unwrap();
    assert!(keys.sign(Alg::ES256, "at+jwt", &json!({})).is_ok());
}

#[test]
fn sk_06_no_other_library_for_private_keys_can_be_named() {
    // What the manifest does not list, no line of ours can use, wherever else in the tree it is.
    let manifest = include_str!("../../Cargo.toml");
    for library in ["rsa", "p256", "p384", "ecdsa", "ed25519-dalek", "openssl"] {
        let lists = |line: &str| {
            line.strip_prefix(library)
                .is_some_and(|rest| rest.starts_with([' ', '.', '=']))
        };
        assert!(!manifest.lines().any(lists), "{library}");
    }
}

#[tokio::test]
async fn keys_are_listed_without_anything_secret_or_the_master_key() {
    let test_app = TestApp::sqlite().await;
    let keys = open(&test_app.db).await;
    keys.compromise(&kid_of(&access_token(&keys, Alg::ES256)))
        .await
        .unwrap();
    let listed = serde_json::to_value(Keys::list(&test_app.db).await.unwrap()).unwrap();
    let states: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["state"].as_str().unwrap())
        .collect();
    assert_eq!(states.iter().filter(|state| **state == "active").count(), 2);
    assert_eq!(
        states
            .iter()
            .filter(|state| **state == "compromised")
            .count(),
        1
    );
    let members: Vec<_> = listed[0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        members,
        [
            "activated_at",
            "alg",
            "demoted_at",
            "kid",
            "published_at",
            "state"
        ]
    );
}

#[tokio::test]
async fn sk_07_debug_shows_names_alone() {
    let test_app = TestApp::sqlite().await;
    let keys = open(&test_app.db).await;
    let shown = format!("{keys:?}");
    assert!(kids(&keys).iter().all(|kid| shown.contains(kid.as_str())));
    assert!(shown.len() < 150, "{shown}");
}
