//! What happened, for people; the oldest make way for the newest.

use bellwether_schemas::DeviceName;

use super::database::{Transaction, query, query_rows};
use super::rows::{Columns, EventRow, StoredEvent};
use super::{ROWS_PER_STATEMENT, Store, StoreError, failed};

/// How many events are kept.
const KEPT_EVENTS: i64 = 10_000;
/// How many events are read at the start.
const LOADED_EVENTS: u32 = 1_000;

impl Store {
    pub(super) async fn load_events(&self) -> Result<Vec<StoredEvent>, StoreError> {
        self.events(None, LOADED_EVENTS).await
    }

    /// What happened, to one device or at all: the newest first, and no more than this many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events(&self, device: Option<&DeviceName>, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let newest = match device {
            None => query("SELECT * FROM events ORDER BY id DESC LIMIT $1").bind(i64::from(limit)),
            Some(device) => query("SELECT * FROM events WHERE device = $2 ORDER BY id DESC LIMIT $1")
                .bind(i64::from(limit))
                .bind(device.as_str()),
        };
        let rows = newest.fetch_all(self.database()).await;
        rows.map_err(failed("read the events"))?
            .iter()
            .map(|row| {
                let columns = Columns::new(row, "events", "at");
                let event = EventRow {
                    at: columns.parsed("at")?,
                    kind: columns.text("kind")?,
                    device: columns.optional("device")?,
                    fleet: columns.optional("fleet")?,
                    code: columns.optional_text("code")?,
                    message: columns.text("message")?,
                };
                Ok(StoredEvent { id: columns.number("id")?, event })
            })
            .collect()
    }

    /// Appends events.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn append_events(&self, events: &[EventRow]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut transaction = self.write().await?;
        insert_events(&mut transaction, events).await?;
        transaction.commit().await.map_err(failed("commit events"))
    }
}

pub(super) async fn insert_events(transaction: &mut Transaction, events: &[EventRow]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    // The write lock is held: nobody else gives numbers.
    let newest = query("SELECT COALESCE(MAX(id), 0) AS newest FROM events").fetch_one(&mut *transaction).await;
    let newest = newest.and_then(|row| row.number("newest")).map_err(failed("number events"))?;
    for (chunk, first) in events.chunks(ROWS_PER_STATEMENT).zip((newest + 1..).step_by(ROWS_PER_STATEMENT)) {
        let rows = chunk.iter().zip(first..).map(|(event, id)| {
            [
                id.into(),
                event.at.to_string().into(),
                event.kind.as_str().into(),
                event.device.as_ref().map(AsRef::<str>::as_ref).into(),
                event.fleet.as_ref().map(AsRef::<str>::as_ref).into(),
                event.code.as_deref().into(),
                event.message.as_str().into(),
            ]
        });
        let statement = query_rows("INSERT INTO events (id, at, kind, device, fleet, code, message)", rows, "");
        statement.execute(&mut *transaction).await.map_err(failed("store events"))?;
    }
    query("DELETE FROM events WHERE id <= (SELECT MAX(id) FROM events) - $1")
        .bind(KEPT_EVENTS)
        .execute(&mut *transaction)
        .await
        .map_err(failed("prune events"))?;
    Ok(())
}
