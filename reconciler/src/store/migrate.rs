//! Brings the tables to this release's form; refuses tables of a newer one.

use std::cmp::Ordering;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::SqlitePool;
use sqlx::{Connection as _, Row as _};

use super::database::{Database, query};
use super::rows::Columns;
use super::{StoreError, failed};

/// The migrations of SQLite.
pub(super) static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
/// The same of PostgreSQL, with the same numbers and the same meaning.
pub(super) static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Migrates an SQLite database.
pub(super) async fn sqlite(url: &str, pool: &SqlitePool) -> Result<(), StoreError> {
    SQLITE.run(pool).await.map_err(|error| refused(url, &SQLITE, error))
}

/// Migrates a PostgreSQL database, on a connection of its own: a migration may take longer than what serves, and the lock
/// that it holds ends with it in any case.
pub(super) async fn postgres(url: &str, options: &PgConnectOptions) -> Result<(), StoreError> {
    let open = |source| StoreError::Open { url: url.to_owned(), source };
    let mut connection = PgConnection::connect_with(options).await.map_err(open)?;
    let encoding = sqlx::query("SHOW server_encoding").fetch_one(&mut connection).await;
    let encoding: String = encoding.and_then(|row| row.try_get(0)).map_err(failed("read the database's encoding"))?;
    if encoding != "UTF8" {
        return Err(StoreError::Encoding { url: url.to_owned(), encoding });
    }
    let migrated = POSTGRES.run_direct(None, &mut connection, false).await;
    // Whether it said farewell is no concern of what was done on it.
    let _ = connection.close().await;
    migrated.map_err(|error| refused(url, &POSTGRES, error))
}

/// Refuses a database that is not in this release's form, without a change to it.
pub(super) async fn require_newest(url: &str, database: &Database) -> Result<(), StoreError> {
    let rows = query("SELECT MAX(version) AS version FROM _sqlx_migrations").fetch_all(database).await;
    let rows = rows.map_err(failed("read which migrations the database has"))?;
    let found: Option<i64> =
        rows.first().map(|row| Columns::new(row, "_sqlx_migrations", "version").number("version")).transpose()?;
    let (url, found) = (url.to_owned(), found.unwrap_or_default());
    let newest: i64 = SQLITE.iter().map(|migration| migration.version).max().unwrap_or_default();
    match found.cmp(&newest) {
        Ordering::Less => Err(StoreError::Older { url, found, newest }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(StoreError::Newer { url, found, newest }),
    }
}

fn refused(url: &str, known: &Migrator, error: MigrateError) -> StoreError {
    let url = url.to_owned();
    let newest = known.iter().map(|migration| migration.version).max().unwrap_or_default();
    match error {
        MigrateError::VersionMissing(found) if found > newest => StoreError::Newer { url, found, newest },
        MigrateError::VersionMissing(found) | MigrateError::VersionMismatch(found) => {
            StoreError::Altered { url, found }
        }
        source => StoreError::Migrate { url, source },
    }
}
