//! A consistent copy of everything, from one database into an empty one of either kind, while a reconciler writes.
//!
//! One transaction reads one state, page by page; one transaction writes it, all or nothing. Values are copied as they are.

use super::database::{Query, Row, Transaction, Value, query_rows};
use super::{ROWS_PER_STATEMENT, Store, StoreError, failed};

/// How a column's values are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Flag,
}

/// A table: its columns, of which the first `key` are its primary key.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) key: usize,
    pub(super) columns: &'static [(&'static str, Kind)],
}

use Kind::{Flag, Number, Text};

/// Every table of the newest migration; a test compares this with what the migrations make.
pub(super) const TABLES: [Table; 10] = [
    Table { name: "meta", key: 1, columns: &[("key", Text), ("value", Text)] },
    Table {
        name: "head",
        key: 1,
        columns: &[
            ("id", Number),
            ("introduction", Text),
            ("commit_id", Text),
            ("landing", Number),
            ("policy_version", Number),
            ("spoken", Text),
        ],
    },
    Table {
        name: "landings",
        key: 2,
        columns: &[
            ("introduction", Text),
            ("number", Number),
            ("commit_id", Text),
            ("signers", Text),
            ("policy_version", Number),
            ("summary", Text),
            ("committed", Text),
        ],
    },
    Table {
        name: "devices",
        key: 1,
        columns: &[
            ("name", Text),
            ("enrollment", Text),
            ("entry", Text),
            ("enrolled_at", Text),
            ("reported", Text),
            ("last_seen", Text),
            ("last_progress", Text),
            ("offer", Text),
            ("paused", Text),
            ("awaiting_reconnect", Flag),
            ("metadata_version", Number),
            ("allows", Text),
        ],
    },
    Table {
        name: "offers",
        key: 4,
        columns: &[
            ("device", Text),
            ("landing", Number),
            ("commit_id", Text),
            ("revision", Number),
            ("fleet", Text),
            ("template", Text),
            ("digest", Text),
            ("offered_at", Text),
        ],
    },
    Table { name: "rollouts", key: 1, columns: &[("fleet", Text), ("record", Text), ("sequence", Number)] },
    Table { name: "plans", key: 1, columns: &[("id", Number), ("parent", Number), ("at", Text)] },
    Table {
        name: "events",
        key: 1,
        columns: &[
            ("id", Number),
            ("at", Text),
            ("kind", Text),
            ("device", Text),
            ("fleet", Text),
            ("code", Text),
            ("message", Text),
        ],
    },
    Table {
        name: "tokens",
        key: 1,
        columns: &[
            ("hash", Text),
            ("fingerprint", Text),
            ("device", Text),
            ("enrollment", Text),
            ("entry", Text),
            ("certificate", Text),
            ("at", Text),
        ],
    },
    Table {
        name: "certificates",
        key: 3,
        columns: &[
            ("enrollment", Text),
            ("entry", Text),
            ("device", Text),
            ("not_before", Number),
            ("fingerprint", Text),
            ("issuer", Text),
            ("authorities", Text),
            ("unsettled_until", Number),
        ],
    },
];

impl Store {
    /// Copies everything into `target`, which must be empty, as it is at one moment; writers go on meanwhile. Returns how many
    /// rows that were.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`] when the target has content; else when one of the databases fails. The target is unchanged then.
    pub async fn copy_into(&self, target: &Self) -> Result<u64, StoreError> {
        let mut from = self.database().begin_snapshot().await.map_err(failed("begin to read a copy"))?;
        let mut to = target.write().await?;
        for table in &TABLES {
            if table.has_rows(&mut to).await? {
                return Err(StoreError::NotEmpty { table: table.name });
            }
        }
        let mut copied = 0;
        for table in &TABLES {
            copied += table.copy(&mut from, &mut to).await?;
        }
        to.commit().await.map_err(failed("commit a copy"))?;
        Ok(copied)
    }
}

impl Table {
    async fn has_rows(&self, on: &mut Transaction) -> Result<bool, StoreError> {
        let first = Query::of_constants(format!("SELECT 1 FROM {} LIMIT 1", self.name), Vec::new());
        Ok(!first.fetch_all(on).await.map_err(failed("see whether a database is empty"))?.is_empty())
    }

    async fn copy(&self, from: &mut Transaction, to: &mut Transaction) -> Result<u64, StoreError> {
        let mut copied = 0;
        let mut after: Vec<Value> = Vec::new();
        loop {
            let page = self.page_after(after).fetch_all(&mut *from).await.map_err(failed("read a copy"))?;
            let rows = page.iter().map(|row| self.values(row)).collect::<Result<Vec<_>, _>>();
            let rows = rows.map_err(failed("read a copy"))?;
            let Some(last) = rows.last() else { return Ok(copied) };
            after = last[..self.key].to_vec();
            let whole = rows.len() == ROWS_PER_STATEMENT;
            copied += rows.len() as u64;
            self.insert(rows).execute(&mut *to).await.map_err(failed("write a copy"))?;
            if !whole {
                return Ok(copied);
            }
        }
    }

    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    fn values(&self, row: &Row) -> Result<Vec<Value>, sqlx::Error> {
        let value = |(name, kind): &(&'static str, Kind)| {
            Ok(match kind {
                Text => row.text(name)?.into(),
                Number => row.number(name)?.into(),
                Flag => row.flag(name)?.into(),
            })
        };
        self.columns.iter().map(value).collect()
    }

    /// The rows that follow this key; the first ones where there is none.
    fn page_after(&self, key: Vec<Value>) -> Query {
        let by: Vec<&str> = self.columns[..self.key].iter().map(|(name, _)| *name).collect();
        let by = by.join(", ");
        let places: Vec<String> = (1..=key.len()).map(|place| format!("${place}")).collect();
        let condition = if key.is_empty() { String::new() } else { format!("WHERE ({by}) > ({})", places.join(", ")) };
        let (names, name) = (self.names(), self.name);
        Query::of_constants(
            format!("SELECT {names} FROM {name} {condition} ORDER BY {by} LIMIT {ROWS_PER_STATEMENT}"),
            key,
        )
    }

    fn insert(&self, rows: Vec<Vec<Value>>) -> Query {
        query_rows(format!("INSERT INTO {} ({})", self.name, self.names()), rows, "")
    }
}
