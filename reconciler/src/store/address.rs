//! The address of the database in a configuration: `sqlite://PATH` or `postgres://USER@HOST/DATABASE`, without secrets.

use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use url::Url;

use crate::lock::own_name;

/// How long a writer of SQLite waits for another one; the same for PostgreSQL is in [`LIMITS`].
const BUSY: Duration = Duration::from_secs(15);
/// What a session of PostgreSQL is held to. A reconciler that hangs in a transaction must not keep others from writing, and
/// one whose machine is gone must not keep its locks for longer than a minute.
const LIMITS: [(&str, &str); 6] = [
    ("lock_timeout", "15s"),
    ("statement_timeout", "60s"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("tcp_keepalives_idle", "20"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];
/// Parameters of an address that mean something. Others would be ignored, and a misspelt `sslmode` must not be.
const PARAMETERS: [&str; 10] =
    ["sslmode", "sslrootcert", "sslcert", "sslkey", "host", "hostaddr", "port", "dbname", "user", "options"];

/// Why the address of a database cannot be used. It is not repeated: somebody may have put a password into it.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It names another kind of database.
    #[error(
        "{scheme:?} is no kind of database that is supported: expected sqlite://PATH or postgres://USER@HOST/DATABASE"
    )]
    Kind {
        /// What stands before `://`.
        scheme: String,
    },
    /// It is malformed.
    #[error("the address of the database is malformed: {why}")]
    Malformed {
        /// What is wrong with it.
        why: String,
    },
    /// It holds a password.
    #[error(
        "the address of the database holds a password, and secrets are kept in files: take it out, write the line \
         HOST:PORT:DATABASE:USER:PASSWORD into a file with mode 0600, and name that file by the environment variable PGPASSFILE \
         (without it ~/.pgpass is read); or let the server admit the reconciler by certificate (sslcert, sslkey) or by its \
         user (peer)"
    )]
    Password,
    /// It has a parameter that means nothing.
    #[error("the address of the database has the parameter {name:?}, expected one of {}", PARAMETERS.join(", "))]
    Parameter {
        /// Its name.
        name: String,
    },
    /// It leaves it to the network whether the connection is encrypted.
    #[error(
        "sslmode={mode} lets whoever stands between here and {host} switch encryption off: write verify-full (the default), \
         verify-ca, require or disable"
    )]
    Undecided {
        /// The mode.
        mode: String,
        /// Where the server is.
        host: String,
    },
}

/// An address that can be connected to.
#[derive(Debug, Clone)]
pub(super) enum Address {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(Box<PgConnectOptions>),
}

/// Checks the address of a database, without connecting to it.
///
/// # Errors
/// When it is malformed, names no supported database, or holds a password.
pub fn check_address(url: &str) -> Result<(), AddressError> {
    Address::parse(url).map(drop)
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, AddressError> {
        match url.split_once("://") {
            Some(("sqlite", _)) => Self::sqlite(url),
            Some(("postgres" | "postgresql", _)) => Self::postgres(url),
            other => Err(AddressError::Kind { scheme: other.map_or("", |(scheme, _)| scheme).to_owned() }),
        }
    }

    fn sqlite(url: &str) -> Result<Self, AddressError> {
        let options =
            SqliteConnectOptions::from_str(url).map_err(|why| AddressError::Malformed { why: why.to_string() })?;
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // With NORMAL a power cut takes commits that were acknowledged.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        Ok(Self::Sqlite(Box::new(options)))
    }

    fn postgres(url: &str) -> Result<Self, AddressError> {
        let parsed = Url::parse(url).map_err(|why| AddressError::Malformed { why: why.to_string() })?;
        let mut mode_given = std::env::var_os("PGSSLMODE").is_some();
        for (name, _) in parsed.query_pairs() {
            match &*name {
                "password" => return Err(AddressError::Password),
                "sslmode" => mode_given = true,
                other if PARAMETERS.contains(&other) => {}
                other => return Err(AddressError::Parameter { name: other.to_owned() }),
            }
        }
        if parsed.password().is_some() {
            return Err(AddressError::Password);
        }
        let options =
            PgConnectOptions::from_str(url).map_err(|why| AddressError::Malformed { why: why.to_string() })?;
        let options = encrypted(options, mode_given)?;
        Ok(Self::Postgres(Box::new(options.application_name(&session_name()))))
    }
}

/// By default a server elsewhere has to prove who it is; one on this machine need not.
fn encrypted(options: PgConnectOptions, mode_given: bool) -> Result<PgConnectOptions, AddressError> {
    if options.get_socket().is_some() || is_here(options.get_host()) {
        return Ok(options);
    }
    match options.get_ssl_mode() {
        _ if !mode_given => Ok(options.ssl_mode(PgSslMode::VerifyFull)),
        PgSslMode::VerifyFull | PgSslMode::VerifyCa | PgSslMode::Require | PgSslMode::Disable => Ok(options),
        mode @ (PgSslMode::Allow | PgSslMode::Prefer) => {
            let mode = format!("{mode:?}").to_lowercase();
            Err(AddressError::Undecided { mode, host: options.get_host().to_owned() })
        }
    }
}

fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || host.starts_with('/') || address.is_ok_and(|address| address.is_loopback())
}

/// What the server calls this process' sessions; it takes 63 printable bytes.
fn session_name() -> String {
    let name = format!("bellwether-reconciler, {}", own_name());
    name.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(63).collect()
}

/// The options with the limits of a session that serves: not for migrations, which may take longer.
pub(super) fn limits(options: &PgConnectOptions) -> PgConnectOptions {
    options.clone().options(LIMITS)
}

/// The file of an SQLite database.
pub(super) fn file(options: &SqliteConnectOptions) -> &Path {
    options.get_filename()
}
