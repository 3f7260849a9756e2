//! The database: what the reconciler remembers between two starts. It is a cache, and decides nothing.
//!
//! In: rows of the domain. Out: the same rows, after any crash as of the last acknowledged transaction.
//! Writers take the write lock at `BEGIN`, so that reading and then writing in one transaction cannot fail half-way.

mod certificates;
mod devices;
mod events;
mod heads;
mod instance;
mod plans;
mod rows;
mod tokens;

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

pub use certificates::CertificateRow;
pub use heads::AcceptError;
pub use instance::{
    Instance, InstanceError, adopt_instance, check_instance, declare_instance, instance_of, is_empty, name_objects,
};
pub use plans::{PlanChange, PlanError, PlanId};
pub use rows::{DeviceRow, EventRow, HeadRow, LandingRow, OfferRow, OfferedRow, RolloutRow, StoredEvent};
pub use tokens::TokenRow;

/// How long a writer waits for another one.
const BUSY: Duration = Duration::from_secs(15);
/// Rows in one statement: well below SQLite's limit of 32,766 parameters.
const ROWS_PER_STATEMENT: usize = 1_000;

/// Why the database could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address is not one that is supported.
    #[error("{url:?} is no address of a database, expected sqlite:///absolute/path or sqlite://relative/path")]
    Address {
        /// What was given.
        url: String,
    },
    /// The database cannot be opened.
    #[error("the database {url} cannot be opened")]
    Open {
        /// Its address.
        url: String,
        /// Why.
        source: sqlx::Error,
    },
    /// Its tables cannot be brought to this release's form.
    #[error("the database {url} cannot be migrated")]
    Migrate {
        /// Its address.
        url: String,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// A statement failed.
    #[error("the database failed to {doing}")]
    Statement {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: sqlx::Error,
    },
    /// A stored value is not one that this release writes.
    #[error("table {table}, column {column}, row {row}: the stored value cannot be read: {why}")]
    Value {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The key of the row.
        row: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The reconciler's database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

/// Everything that is stored, as read at the start.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The accepted head; none before the introduction was verified.
    pub head: Option<HeadRow>,
    /// The landings verified since the head's introduction, by number.
    pub landings: Vec<LandingRow>,
    /// Devices, by name.
    pub devices: Vec<DeviceRow>,
    /// Every offer that was ever signed, by device and rank.
    pub offered: Vec<OfferedRow>,
    /// The rollout records, by fleet.
    pub rollouts: Vec<RolloutRow>,
    /// The plan in force.
    pub plan: PlanId,
    /// The newest events, newest first.
    pub events: Vec<StoredEvent>,
}

impl Store {
    /// Opens the database at `url` (`sqlite:///path`), creates it where it is missing, and brings its tables up to date.
    ///
    /// # Errors
    /// When the address is not supported, the file cannot be opened, or it was written by a newer release.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let bad_address = || StoreError::Address { url: url.to_owned() };
        if !url.starts_with("sqlite://") {
            return Err(bad_address());
        }
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|_| bad_address())?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // With NORMAL a power cut takes commits that were acknowledged.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await
            .map_err(|source| StoreError::Open { url: url.to_owned(), source })?;
        sqlx::migrate!("migrations/sqlite")
            .run(&pool)
            .await
            .map_err(|source| StoreError::Migrate { url: url.to_owned(), source })?;
        Ok(Self { pool })
    }

    /// Reads everything.
    ///
    /// # Errors
    /// When the database fails, or holds a value that this release does not write.
    pub async fn load_all(&self) -> Result<Loaded, StoreError> {
        let head = self.load_head().await?;
        let landings = match &head {
            Some(head) => self.load_landings(&head.introduction).await?,
            None => Vec::new(),
        };
        Ok(Loaded {
            landings,
            head,
            devices: self.load_devices().await?,
            offered: self.load_offered().await?,
            rollouts: self.load_rollouts().await?,
            plan: self.newest_plan().await?,
            events: self.load_events().await?,
        })
    }

    /// Copies everything into an empty database.
    ///
    /// # Errors
    /// When either fails.
    pub async fn copy_into(&self, target: &Self) -> Result<(), StoreError> {
        let file = self.pool.connect_options().get_filename().display().to_string();
        let mut connection = target.pool.acquire().await.map_err(failed("open a database to copy into"))?;
        let attach = sqlx::query("ATTACH DATABASE $1 AS source").bind(file);
        attach.execute(&mut *connection).await.map_err(failed("open a database to copy from"))?;
        for table in
            ["meta", "head", "landings", "devices", "offers", "rollouts", "plans", "events", "tokens", "certificates"]
        {
            let copy = sqlx::AssertSqlSafe(format!("INSERT INTO main.{table} SELECT * FROM source.{table}"));
            sqlx::query(copy).execute(&mut *connection).await.map_err(failed("copy a table"))?;
        }
        let detach = sqlx::query("DETACH DATABASE source").execute(&mut *connection).await;
        detach.map_err(failed("close a database that was copied"))?;
        Ok(())
    }

    /// Closes the database, after all that runs on it.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// The connections, for statements of other parts.
    pub(crate) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Begins a transaction that holds the write lock from its first moment.
    pub(crate) async fn write(&self) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>, StoreError> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin a transaction"))
    }
}

/// Turns a failure of sqlx into ours.
pub(crate) fn failed(doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Statement { doing, source }
}

#[cfg(test)]
mod tests;
