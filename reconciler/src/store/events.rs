//! What happened, for people; the oldest make way for the newest.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::rows::{Columns, EventRow, StoredEvent};
use super::{ROWS_PER_STATEMENT, Store, StoreError, failed};

/// How many events are kept.
const KEPT_EVENTS: i64 = 10_000;
/// How many events are read at the start.
const LOADED_EVENTS: i64 = 1_000;

impl Store {
    pub(super) async fn load_events(&self) -> Result<Vec<StoredEvent>, StoreError> {
        let rows = sqlx::query("SELECT * FROM events ORDER BY id DESC LIMIT $1")
            .bind(LOADED_EVENTS)
            .fetch_all(self.pool())
            .await;
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

pub(super) async fn insert_events(connection: &mut SqliteConnection, events: &[EventRow]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    for chunk in events.chunks(ROWS_PER_STATEMENT) {
        let mut statement = QueryBuilder::<Sqlite>::new("INSERT INTO events (at, kind, device, fleet, code, message) ");
        statement.push_values(chunk, |mut row, event| {
            row.push_bind(event.at.to_string())
                .push_bind(&event.kind)
                .push_bind(event.device.as_ref().map(AsRef::<str>::as_ref))
                .push_bind(event.fleet.as_ref().map(AsRef::<str>::as_ref))
                .push_bind(event.code.as_deref())
                .push_bind(&event.message);
        });
        statement.build().execute(&mut *connection).await.map_err(failed("store events"))?;
    }
    sqlx::query("DELETE FROM events WHERE id <= (SELECT MAX(id) FROM events) - $1")
        .bind(KEPT_EVENTS)
        .execute(&mut *connection)
        .await
        .map_err(failed("prune events"))?;
    Ok(())
}
