//! The database: opening, migrating, pools.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlSafeStr as _, SqlitePool};

/// The tables, version by version. A released file never changes; a change is a new file and a new line.
const MIGRATIONS: [(i64, &str, &str); 6] = [
    (
        1,
        "first",
        include_str!("../../migrations/sqlite/0001_first.sql"),
    ),
    (
        2,
        "data",
        include_str!("../../migrations/sqlite/0002_data.sql"),
    ),
    (
        3,
        "matter",
        include_str!("../../migrations/sqlite/0003_matter.sql"),
    ),
    (
        4,
        "jobs",
        include_str!("../../migrations/sqlite/0004_jobs.sql"),
    ),
    (
        5,
        "release_order",
        include_str!("../../migrations/sqlite/0005_release_order.sql"),
    ),
    (
        6,
        "rollouts",
        include_str!("../../migrations/sqlite/0006_rollouts.sql"),
    ),
];

/// Connections to the database. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    /// For queries that change nothing.
    pub(super) read: SqlitePool,
    /// One connection for all changes: `SQLite` has one writer anyway, and waiting here is fair, while waiting for its lock
    /// is not and can fail.
    pub(super) write: SqlitePool,
}

impl Database {
    /// Opens the database file, makes it when missing, and brings its tables up to date.
    ///
    /// Write-ahead logging lets readers go on during a change. `synchronous = FULL` makes a commit survive a power cut of
    /// the server: a publisher who was told "published" can rely on it, and devices cost one commit a second.
    pub(crate) async fn open(file: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5));
        let pool = |connections| {
            // Testing a connection before each use costs a round trip and cannot fail with an embedded database.
            SqlitePoolOptions::new()
                .max_connections(connections)
                .test_before_acquire(false)
        };
        let write = pool(1).connect_with(options.clone()).await?;
        migrations().run(&write).await?;
        let read = pool(4).connect_with(options).await?;
        Ok(Self { read, write })
    }

    /// Finishes what runs, and folds the write-ahead log into the database file.
    pub(crate) async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

fn migrations() -> Migrator {
    let migrations = MIGRATIONS.map(|(version, name, sql)| {
        Migration::new(
            version,
            name.into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(migrations.into())
}
