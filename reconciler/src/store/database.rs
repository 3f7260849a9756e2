//! Two databases behind one face: a statement is written once, with `$1` for its values, and runs on either.
//!
//! Values are text, whole numbers and flags, and nothing else: all that both databases hold alike.

use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgPool, PgRow, Postgres};
use sqlx::sqlite::{Sqlite, SqliteArguments, SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, SqlSafeStr as _, SqlStr};

/// The lock of whoever writes, named so that it is another one in each schema of a PostgreSQL database.
const WRITERS: &str =
    "SELECT pg_advisory_xact_lock(1651268197, oid::int4) FROM pg_namespace WHERE nspname = current_schema()";
/// How long a statement may take, the network included; PostgreSQL itself gives up earlier (`address.rs`).
const PATIENCE: Duration = Duration::from_secs(75);

/// The connections to a database.
#[derive(Debug, Clone)]
pub(crate) enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A transaction, rolled back where it is dropped.
#[derive(Debug)]
pub(crate) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

/// What a statement runs on.
pub(crate) enum On<'c> {
    Database(&'c Database),
    Transaction(&'c mut Transaction),
}

impl<'c> From<&'c Database> for On<'c> {
    fn from(database: &'c Database) -> Self {
        Self::Database(database)
    }
}

impl<'c> From<&'c mut Transaction> for On<'c> {
    fn from(transaction: &'c mut Transaction) -> Self {
        Self::Transaction(transaction)
    }
}

impl Database {
    /// Begins a transaction that excludes other writers from its first moment, so that what it reads still is so when it writes.
    pub(crate) async fn begin_write(&self) -> Result<Transaction, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => Ok(Transaction::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?)),
            Self::Postgres(pool) => {
                let mut transaction = Transaction::Postgres(limited(pool.begin()).await?);
                query(WRITERS).execute(&mut transaction).await?;
                Ok(transaction)
            }
        }
    }

    /// Begins a transaction that reads one state, whatever others write meanwhile.
    pub(crate) async fn begin_snapshot(&self) -> Result<Transaction, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => Ok(Transaction::Sqlite(pool.begin().await?)),
            Self::Postgres(pool) => {
                let snapshot = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
                Ok(Transaction::Postgres(limited(snapshot).await?))
            }
        }
    }

    /// Closes all connections, after what runs on them.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Transaction {
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(transaction) => limited(transaction.commit()).await,
        }
    }
}

/// A value of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(Option<String>),
    Number(i64),
    Flag(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Some(text).into()
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        text.map(str::to_owned).into()
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        // PostgreSQL refuses NUL in text, and a device or a commit may bring one: that must not keep a plan from being stored.
        Self::Text(text.map(|text| if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// A statement and its values.
#[derive(Debug)]
pub(crate) struct Query {
    sql: Sql,
    values: Vec<Value>,
}

#[derive(Debug)]
enum Sql {
    /// Comes again in the same words: connections keep it prepared.
    Constant(&'static str),
    Composed(String),
    /// Rows of so many values, between a head and a tail.
    Rows {
        head: String,
        width: usize,
        tail: &'static str,
    },
}

/// A statement with `$1`, `$2` … for the values that are bound to it.
pub(crate) fn query(sql: &'static str) -> Query {
    Query { sql: Sql::Constant(sql), values: Vec::new() }
}

/// A statement with rows of values in its middle: `head VALUES (…), (…) tail`. There must be a row.
pub(crate) fn query_rows<R: IntoIterator<Item = Value>>(
    head: impl Into<String>,
    rows: impl IntoIterator<Item = R>,
    tail: &'static str,
) -> Query {
    let (mut values, mut width) = (Vec::new(), 0);
    for row in rows {
        let before = values.len();
        values.extend(row);
        width = values.len() - before;
    }
    Query { sql: Sql::Rows { head: head.into(), width, tail }, values }
}

impl Sql {
    /// The statement's text, in which `place` writes the place of the value of this number.
    fn text(self, values: usize, place: impl Fn(&mut String, usize)) -> SqlStr {
        let (head, width, tail) = match self {
            Self::Constant(sql) => return sql.into_sql_str(),
            Self::Composed(sql) => return AssertSqlSafe(sql).into_sql_str(),
            Self::Rows { head, width, tail } => (head, width, tail),
        };
        let mut sql = format!("{head} VALUES ");
        for number in 0..values {
            sql.push_str(match number {
                0 => "(",
                _ if number % width == 0 => "), (",
                _ => ", ",
            });
            place(&mut sql, number + 1);
        }
        sql.push_str(") ");
        sql.push_str(tail);
        // What was put together here are constants of this program and numbers.
        AssertSqlSafe(sql).into_sql_str()
    }

    fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }
}

impl Query {
    /// A statement put together from constants of this program.
    pub(super) fn of_constants(sql: String, values: Vec<Value>) -> Self {
        Self { sql: Sql::Composed(sql), values }
    }

    /// Binds the next value.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it.
    pub(crate) async fn execute<'c>(self, on: impl Into<On<'c>>) -> Result<(), sqlx::Error> {
        match on.into() {
            On::Database(Database::Sqlite(pool)) => self.sqlite().execute(pool).await.map(drop),
            On::Database(Database::Postgres(pool)) => limited(self.postgres().execute(pool)).await.map(drop),
            On::Transaction(Transaction::Sqlite(on)) => self.sqlite().execute(&mut **on).await.map(drop),
            On::Transaction(Transaction::Postgres(on)) => limited(self.postgres().execute(&mut **on)).await.map(drop),
        }
    }

    /// Runs it; all rows that come of it.
    pub(crate) async fn fetch_all<'c>(self, on: impl Into<On<'c>>) -> Result<Vec<Row>, sqlx::Error> {
        match on.into() {
            On::Database(Database::Sqlite(pool)) => self.sqlite().fetch_all(pool).await.map(Row::all_sqlite),
            On::Database(Database::Postgres(pool)) => {
                limited(self.postgres().fetch_all(pool)).await.map(Row::all_postgres)
            }
            On::Transaction(Transaction::Sqlite(on)) => self.sqlite().fetch_all(&mut **on).await.map(Row::all_sqlite),
            On::Transaction(Transaction::Postgres(on)) => {
                limited(self.postgres().fetch_all(&mut **on)).await.map(Row::all_postgres)
            }
        }
    }

    /// Runs it; the one row that comes of it, if any.
    pub(crate) async fn fetch_optional<'c>(self, on: impl Into<On<'c>>) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.fetch_all(on).await?.pop())
    }

    /// Runs it; the row that comes of it.
    pub(crate) async fn fetch_one<'c>(self, on: impl Into<On<'c>>) -> Result<Row, sqlx::Error> {
        self.fetch_optional(on).await?.ok_or(sqlx::Error::RowNotFound)
    }

    fn sqlite(self) -> sqlx::query::Query<'static, Sqlite, SqliteArguments> {
        let kept = self.sql.is_constant();
        // SQLite looks each numbered place up among all others: with thousands of them that takes seconds.
        let sql = self.sql.text(self.values.len(), |sql, _| sql.push('?'));
        self.values.into_iter().fold(sqlx::query(sql).persistent(kept), |statement, value| match value {
            Value::Text(text) => statement.bind(text),
            Value::Number(number) => statement.bind(number),
            Value::Flag(flag) => statement.bind(flag),
        })
    }

    fn postgres(self) -> sqlx::query::Query<'static, Postgres, PgArguments> {
        let kept = self.sql.is_constant();
        let sql = self.sql.text(self.values.len(), |sql, number| {
            write!(sql, "${number}").expect("a string takes what is written");
        });
        self.values.into_iter().fold(sqlx::query(sql).persistent(kept), |statement, value| match value {
            Value::Text(text) => statement.bind(text),
            Value::Number(number) => statement.bind(number),
            Value::Flag(flag) => statement.bind(flag),
        })
    }
}

/// A row; its columns are read by name.
#[derive(Debug)]
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    fn all_sqlite(rows: Vec<SqliteRow>) -> Vec<Self> {
        rows.into_iter().map(Self::Sqlite).collect()
    }

    fn all_postgres(rows: Vec<PgRow>) -> Vec<Self> {
        rows.into_iter().map(Self::Postgres).collect()
    }

    pub(crate) fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    pub(crate) fn number(&self, column: &str) -> Result<i64, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    pub(crate) fn flag(&self, column: &str) -> Result<bool, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

/// Gives up on a server that does not answer: a connection whose other end is gone would be waited for many minutes.
pub(super) async fn limited<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer,
        Err(_) => {
            let why = format!("no answer within {} s", PATIENCE.as_secs());
            Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, why)))
        }
    }
}
