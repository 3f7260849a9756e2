//! The lock of the state: one process runs on it, from before it is read until after it was written last.
//!
//! SQLite: a lock on a file beside the database. PostgreSQL: an advisory lock of a session of its own, which ends with that
//! session. The lock keeps two reconcilers from working at the same time for long; what keeps them from overwriting each other
//! at any time is that heads and plans are stored only on top of those they were made from (docs/decisions/0014).

use std::path::PathBuf;
use std::time::Duration;

use bellwether_schemas::{Code, codes};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Row as _};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::address::{Address, AddressError, file, limits};
use super::database::limited;
use super::{Store, StoreError, failed};
use crate::lock::{Lock, LockError};

/// How often a standby looks whether the lock is free, and how soon after a failure the next try comes.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the session of the lock is looked at.
const PULSE: Duration = Duration::from_secs(5);
/// How long its answer may take.
const ANSWER: Duration = Duration::from_secs(15);
/// How long a statement that asks for the lock may take: it does not wait, so only a server that is gone takes longer.
const CONNECT: Duration = Duration::from_secs(30);

/// Takes the lock, named so that it is another one in each schema; no row where there is no schema.
const TAKE: &str = "SELECT pg_try_advisory_lock(1651268198, oid::int4) AS taken, pg_backend_pid() AS pid \
                    FROM pg_namespace WHERE nspname = current_schema()";
/// The session that holds it.
const HOLDER: &str = "SELECT l.pid, a.application_name, host(a.client_addr) AS address FROM pg_locks l \
                      JOIN pg_namespace n ON n.oid::int4 = l.objid::int4 LEFT JOIN pg_stat_activity a ON a.pid = l.pid \
                      WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 1651268198 \
                      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                      AND n.nspname = current_schema()";

/// Why the state is not this process' own.
#[derive(Debug, thiserror::Error)]
pub enum StateLockError {
    /// Another process has it.
    #[error("{}: the state is in use, {holder}", self.code())]
    Held {
        /// Who has it, and how that is known.
        holder: String,
    },
    /// Another process took it after the connection was lost.
    #[error("{}: the connection that held the state was lost, and meanwhile the state was taken, {holder}", self.code())]
    Lost {
        /// Who has it now.
        holder: String,
    },
    /// The file beside an SQLite database cannot be locked.
    #[error("{}: the state cannot be locked", self.code())]
    File(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database failed.
    #[error("{}: the state cannot be locked", self.code())]
    Database(#[from] StoreError),
}

impl StateLockError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Held { .. } => codes::STATE_LOCKED,
            Self::Lost { .. } => codes::STATE_LOCK_LOST,
            Self::File(_) => codes::DATABASE_FAILED,
            Self::Database(error) => error.code(),
        }
    }
}

impl From<AddressError> for StateLockError {
    fn from(error: AddressError) -> Self {
        Self::Database(error.into())
    }
}

/// The state is this process' own until this is released or dropped.
#[derive(Debug)]
pub struct StateLock {
    held: Held,
}

#[derive(Debug)]
enum Held {
    File { _lock: Lock },
    Session { lost: oneshot::Receiver<StateLockError>, tasks: TaskTracker, end: DropGuard },
}

impl Store {
    /// Locks the state at this address, which need not exist yet, or says who has it.
    ///
    /// # Errors
    /// [`StateLockError::Held`] when another process has it; else when the database fails.
    pub async fn lock(url: &str) -> Result<StateLock, StateLockError> {
        match Address::parse(url)? {
            Address::Sqlite(options) => StateLock::of_file(lock_file(file(&options).to_owned())).await,
            Address::Postgres(options) => {
                let seat = Seat { url: url.to_owned(), options: *options };
                match seat.try_take().await? {
                    Taken::Yes(session) => Ok(StateLock::of_session(seat, session)),
                    Taken::No(holder) => Err(StateLockError::Held { holder: holder.to_string() }),
                }
            }
        }
    }

    /// Locks the state at this address. Where several reconcilers may stand by for one state (PostgreSQL) it waits until the
    /// lock is free; none when the shutdown came first.
    ///
    /// # Errors
    /// As [`Store::lock`]; a server that fails while this waits is waited for as well.
    pub async fn lock_when_free(url: &str, shutdown: &CancellationToken) -> Result<Option<StateLock>, StateLockError> {
        let Address::Postgres(options) = Address::parse(url)? else { return Self::lock(url).await.map(Some) };
        let seat = Seat { url: url.to_owned(), options: *options };
        let mut tried = Some(seat.try_take().await?);
        let mut told = false;
        loop {
            match tried {
                Some(Taken::Yes(session)) => return Ok(Some(StateLock::of_session(seat, session))),
                Some(Taken::No(holder)) if !told => {
                    told = true;
                    tracing::info!(
                        "standing by: the state is in use, {holder}; this reconciler takes over when it ends"
                    );
                }
                Some(Taken::No(_)) | None => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(None),
                () = tokio::time::sleep(PAUSE) => {}
            }
            tried = match seat.try_take().await {
                Ok(tried) => Some(tried),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "standing by: the database cannot be asked"
                    );
                    None
                }
            };
        }
    }
}

impl StateLock {
    async fn of_file(path: PathBuf) -> Result<Self, StateLockError> {
        match Lock::take(path, Duration::ZERO).await {
            Ok(lock) => Ok(Self { held: Held::File { _lock: lock } }),
            Err(LockError::Held { file, holder, .. }) => {
                Err(StateLockError::Held { holder: format!("{holder}: {} is locked", file.display()) })
            }
            Err(error @ LockError::File { .. }) => Err(StateLockError::File(error.into())),
        }
    }

    fn of_session(seat: Seat, session: Session) -> Self {
        let (tell, lost) = oneshot::channel();
        let (ended, tasks) = (CancellationToken::new(), TaskTracker::new());
        let end = ended.clone().drop_guard();
        tasks.spawn(async move {
            if let Some(holder) = keep(&seat, session, &ended).await {
                // Nobody listens where the lock was dropped just now.
                let _ = tell.send(StateLockError::Lost { holder: holder.to_string() });
            }
        });
        tasks.close();
        Self { held: Held::Session { lost, tasks, end } }
    }

    /// Waits until another process has the state: then this one must write no more, and end.
    pub async fn lost(&mut self) -> StateLockError {
        match &mut self.held {
            Held::File { .. } => std::future::pending().await,
            Held::Session { lost, .. } => match lost.await {
                Ok(error) => error,
                // The task ended without a word only if it panicked: nobody keeps the lock then.
                Err(_) => {
                    StateLockError::Lost { holder: "by nobody yet: this process' own part for it failed".to_owned() }
                }
            },
        }
    }

    /// Gives the state up; when this returns, others can have it.
    pub async fn release(self) {
        match self.held {
            Held::File { .. } => {}
            Held::Session { end, tasks, .. } => {
                drop(end);
                tasks.wait().await;
            }
        }
    }
}

fn lock_file(mut database: PathBuf) -> PathBuf {
    database.as_mut_os_string().push(".lock");
    database
}

/// Where the lock of a PostgreSQL state is.
struct Seat {
    url: String,
    options: PgConnectOptions,
}

/// A session that holds the lock.
struct Session {
    connection: PgConnection,
    pid: i32,
}

enum Taken {
    Yes(Session),
    No(Holder),
}

/// Who holds the lock.
struct Holder {
    pid: i32,
    name: Option<String>,
    address: Option<String>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, address) = (self.name.as_deref().unwrap_or("a session of another role"), self.address.as_deref());
        write!(
            f,
            "by {name} (connected from {}, process {} of the server)",
            address.unwrap_or("the server's machine"),
            self.pid
        )
    }
}

impl Seat {
    async fn try_take(&self) -> Result<Taken, StoreError> {
        let late = || {
            let why =
                std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {} s", CONNECT.as_secs()));
            StoreError::Open { url: self.url.clone(), source: sqlx::Error::Io(why) }
        };
        tokio::time::timeout(CONNECT, self.ask()).await.map_err(|_| late())?
    }

    async fn ask(&self) -> Result<Taken, StoreError> {
        let open = |source| StoreError::Open { url: self.url.clone(), source };
        let mut connection = PgConnection::connect_with(&limits(&self.options)).await.map_err(open)?;
        let row = sqlx::query(TAKE).fetch_one(&mut connection).await.map_err(failed("lock the state"))?;
        let read = |row: sqlx::postgres::PgRow| Ok((row.try_get("taken")?, row.try_get("pid")?));
        let (taken, pid): (bool, i32) = read(row).map_err(failed("lock the state"))?;
        if taken {
            return Ok(Taken::Yes(Session { connection, pid }));
        }
        let row = sqlx::query(HOLDER).fetch_optional(&mut connection).await.map_err(failed("see who has the state"))?;
        let _ = connection.close().await;
        // It may have been given back since; the next try will get it.
        let Some(row) = row else {
            return Ok(Taken::No(Holder { pid: 0, name: Some("a session that just ended".into()), address: None }));
        };
        let read = |row: sqlx::postgres::PgRow| {
            Ok(Holder {
                pid: row.try_get("pid")?,
                name: row.try_get("application_name")?,
                address: row.try_get("address")?,
            })
        };
        read(row).map(Taken::No).map_err(failed("see who has the state"))
    }
}

/// Keeps the lock until `ended`; a session that was lost is replaced, so that a server may be started again. Returns who has
/// the lock where another process took it in between.
async fn keep(seat: &Seat, mut session: Session, ended: &CancellationToken) -> Option<Holder> {
    loop {
        let pulse = async {
            tokio::time::sleep(PULSE).await;
            tokio::time::timeout(ANSWER, session.connection.ping()).await
        };
        let failure = tokio::select! {
            () = ended.cancelled() => break,
            answer = pulse => match answer {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", ANSWER.as_secs()),
            },
        };
        tracing::warn!(why = failure, "the connection that holds the state was lost; it is made again");
        let lost = session.pid;
        let again = async {
            loop {
                match seat.try_take().await {
                    Ok(Taken::Yes(session)) => return Ok(session),
                    // The server has not noticed yet that the old session is gone.
                    Ok(Taken::No(holder)) if holder.pid == lost || holder.pid == 0 => {}
                    Ok(Taken::No(holder)) => return Err(holder),
                    Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "the database is away"),
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        session = tokio::select! {
            () = ended.cancelled() => return None,
            again = again => match again {
                Ok(session) => session,
                Err(holder) => return Some(holder),
            },
        };
        tracing::info!("the state is held again");
    }
    // The farewell makes the server give the lock back before this returns.
    let _ = limited(session.connection.close()).await;
    None
}
