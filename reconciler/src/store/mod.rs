//! The database: what the reconciler remembers between two starts. It is a cache, and decides nothing.
//!
//! In: rows of the domain. Out: the same rows, after any crash as of the last acknowledged transaction.
//! It is SQLite or PostgreSQL: `database.rs` is the only place that runs statements on either.
//! Writers exclude each other from the start of their transactions, so that what they read still is so when they write.

mod address;
mod certificates;
mod copy;
mod database;
mod devices;
mod events;
mod heads;
mod instance;
mod lock;
mod migrate;
mod plans;
mod rows;
mod tokens;

use std::time::Duration;

use bellwether_schemas::{Code, codes};
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::SqlitePoolOptions;

use address::Address;
use database::{Database, Transaction};

pub use address::{AddressError, check_address};
pub use certificates::CertificateRow;
pub use heads::AcceptError;
pub use instance::{
    Instance, InstanceError, adopt_instance, check_instance, declare_instance, instance_of, is_empty, write_name,
};
pub use lock::{StateLock, StateLockError};
pub use plans::{PlanChange, PlanError, PlanId};
pub use rows::{DeviceRow, EventRow, HeadRow, LandingRow, OfferRow, OfferedRow, RolloutRow, StoredEvent};
pub use tokens::TokenRow;

/// How long to wait for a connection, also to a server that does not answer.
const CONNECT: Duration = Duration::from_secs(30);
/// Connections of one reconciler.
const CONNECTIONS: u32 = 4;
/// Rows in one statement: well below SQLite's limit of 32,766 parameters, and PostgreSQL's of 65,535.
const ROWS_PER_STATEMENT: usize = 1_000;

/// Why the database could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address is not one that is supported.
    #[error(transparent)]
    Address(#[from] AddressError),
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
    /// A newer release migrated it.
    #[error(
        "{}: the database {url} was migrated by a newer release: it has migration {found}, and this release knows those up to \
         {newest}; run the newer release, or restore the backup that was made before the upgrade", self.code()
    )]
    Newer {
        /// Its address.
        url: String,
        /// The migration that is not known.
        found: i64,
        /// The newest that is.
        newest: i64,
    },
    /// This release has not brought it forward yet, and is not to now.
    #[error(
        "{}: the database {url} is of an earlier release: it has migration {found}, and this release works with {newest}; \
         use the earlier release's program, or start this one's reconciler on it first", self.code()
    )]
    Older {
        /// Its address.
        url: String,
        /// The newest migration that it has.
        found: i64,
        /// The newest that this release knows.
        newest: i64,
    },
    /// A migration in it is not the one of this program.
    #[error(
        "{}: the database {url} was not made by a release of this program: its migration {found} is another one; configure the \
         right database, or restore it from a backup", self.code()
    )]
    Altered {
        /// Its address.
        url: String,
        /// The migration.
        found: i64,
    },
    /// It cannot hold every text.
    #[error("the database {url} is encoded in {encoding}: make it anew, with ENCODING 'UTF8'")]
    Encoding {
        /// Its address.
        url: String,
        /// Its encoding.
        encoding: String,
    },
    /// What must be empty is not.
    #[error("the database has rows in table {table}, and only an empty one can be copied into")]
    NotEmpty {
        /// The first table that has.
        table: &'static str,
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

impl StoreError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Address(_) => codes::CONFIG_INVALID,
            Self::Newer { .. } => codes::DATABASE_NEWER,
            Self::Older { .. } => codes::DATABASE_OLDER,
            Self::Altered { .. } => codes::DATABASE_ALTERED,
            Self::NotEmpty { .. } => codes::STORE_IN_USE,
            Self::Open { .. }
            | Self::Migrate { .. }
            | Self::Encoding { .. }
            | Self::Statement { .. }
            | Self::Value { .. } => codes::DATABASE_FAILED,
        }
    }
}

/// The reconciler's database.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
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
    /// Opens the database at `url` and brings its tables up to date. `sqlite://PATH` is created where it is missing; the
    /// database of `postgres://USER@HOST/DATABASE` must be there.
    ///
    /// # Errors
    /// When the address is not supported, the database cannot be reached, or a newer release migrated it.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_as(url, true).await
    }

    /// Opens what is there, and brings nothing forward: for looking at a state on which another release may be running.
    ///
    /// # Errors
    /// Also when an earlier release's reconciler was the last one on it.
    pub async fn open_beside(url: &str) -> Result<Self, StoreError> {
        let store = Self::open_as(url, false).await?;
        migrate::require_newest(url, &store.database).await?;
        Ok(store)
    }

    async fn open_as(url: &str, migrates: bool) -> Result<Self, StoreError> {
        let open = |source| StoreError::Open { url: url.to_owned(), source };
        let database = match Address::parse(url)? {
            Address::Sqlite(options) => {
                let pool =
                    SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(*options).await.map_err(open)?;
                if migrates {
                    migrate::sqlite(url, &pool).await?;
                }
                Database::Sqlite(pool)
            }
            Address::Postgres(options) => {
                if migrates {
                    migrate::postgres(url, &options).await?;
                }
                // A connection that was lost is noticed before it is used again, so that a server may be started again.
                let pool = PgPoolOptions::new()
                    .max_connections(CONNECTIONS)
                    .acquire_timeout(CONNECT)
                    .test_before_acquire(true);
                Database::Postgres(pool.connect_with(address::limits(&options)).await.map_err(open)?)
            }
        };
        Ok(Self { database })
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

    /// Closes the database, after all that runs on it.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// The connections, for statements of other parts.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Runs a statement that no program would.
    #[cfg(test)]
    pub(crate) async fn run(&self, sql: &'static str) {
        database::query(sql).execute(self.database()).await.expect("the statement runs");
    }

    /// Begins a transaction that holds the write lock from its first moment.
    pub(crate) async fn write(&self) -> Result<Transaction, StoreError> {
        self.database.begin_write().await.map_err(failed("begin a transaction"))
    }
}

/// Turns a failure of sqlx into ours.
pub(crate) fn failed(doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Statement { doing, source }
}

#[cfg(test)]
mod tests;
