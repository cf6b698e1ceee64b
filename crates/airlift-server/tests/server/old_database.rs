//! Databases that older versions wrote are opened and served.

use airlift_formats::esp::app_image::ChipId;
use airlift_server::Server;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use crate::harness::{TestServer, client, config};
use crate::images::{esp32, littlefs, sha256_hex};

/// A data folder as the version before data releases left it: two apps, one of them withdrawn, and a device that refused
/// the other.
async fn folder_of_version_1(image: &[u8]) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let digest = sha256_hex(image);
    let object = data.path().join("objects").join(&digest[..2]);
    std::fs::create_dir_all(&object).unwrap();
    std::fs::write(object.join(&digest), image).unwrap();

    let options = SqliteConnectOptions::new()
        .filename(data.path().join("airlift.db"))
        .create_if_missing(true);
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await
        .unwrap();
    let first = include_str!("../../migrations/sqlite/0001_first.sql");
    let first = Migration::new(
        1,
        "first".into(),
        MigrationType::Simple,
        first.into_sql_str(),
        false,
    );
    Migrator::with_migrations(vec![first])
        .run(&pool)
        .await
        .unwrap();
    let organization = "INSERT INTO organizations (id, name, created_at) VALUES (1, 'dev', 1)";
    sqlx::query(organization).execute(&pool).await.unwrap();
    let release = "INSERT INTO releases (id, organization_id, project, target_kind, target, kind, version, size, md5, sha256, \
         running_md5, family, chip_id, encoding, published_at, withdrawn_at) \
         VALUES ($1, 1, 'lotus', 'key', 'k', 'app', $2, $3, $4, $5, $4, 'esp32', 0, 'plain', 5, $6)";
    for (id, version, withdrawn) in [(3, "1.0.0", None), (7, "2.0.0", Some(9))] {
        sqlx::query(release)
            .bind(id)
            .bind(version)
            .bind(i64::try_from(image.len()).unwrap())
            .bind("0".repeat(32))
            .bind(&digest)
            .bind(withdrawn)
            .execute(&pool)
            .await
            .unwrap();
    }
    for statement in [
        "INSERT INTO projects (organization_id, name, created_at) VALUES (1, 'lotus', 1)",
        "INSERT INTO devices (organization_id, node, project, key, version, address, first_seen, last_seen, check_ins, \
         decision, offered_count, offered_blindly, result_state, result_at) \
         VALUES (1, 'n1', 'lotus', 'k', '0.9', '192.0.2.1', 1, 2, 3, 'offered', 2, 0, 'failed', 4)",
        "INSERT INTO device_events (organization_id, node, at, event, version) VALUES (1, 'n1', 1, 'running', '0.9')",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    pool.close().await;
    data
}

#[tokio::test]
async fn a_database_without_data_releases_is_opened_served_and_takes_data() {
    let image = esp32(ChipId::ESP32, "1.0.0", 1);
    let data = folder_of_version_1(&image).await;
    let server = Server::start(config(data.path())).await.unwrap();
    let admin = server.admin_token().expect("no token was in the database");
    let server = TestServer {
        server,
        admin,
        data,
        http: client(),
    };

    let device = server.device("n1").await;
    assert_eq!(
        (&device["check_ins"], &device["result"]["state"]),
        (&3.into(), &"failed".into())
    );
    assert_eq!(device["partitions"], serde_json::json!([]));
    assert_eq!(device["events"][0]["event"], "running");
    assert_eq!(device["events"][0]["partition"], serde_json::Value::Null);

    assert_eq!(
        server.check_in("k", &[]).await.bytes().await.unwrap(),
        image
    );
    let releases = server.get("/dev/releases").await.body["releases"].clone();
    for (at, id, offered) in [(0, 7, false), (1, 3, true)] {
        assert_eq!(releases[at]["id"], id);
        assert_eq!(releases[at]["kind"], "app");
        assert_eq!(releases[at]["family"], "esp32");
        assert_eq!(releases[at]["offered"], offered);
    }
    let storage = "project=lotus&key=k&partition=storage&version=1";
    let published = server.publish(storage, &littlefs(1)).await;
    assert_eq!((published.status, &published.body["id"]), (201, &8.into()));
    let mode = [("x-ESP32-mode", "spiffs")];
    assert_eq!(
        server.check_in("k", &mode).await.bytes().await.unwrap(),
        littlefs(1)
    );
}
