//! The accepted head and the landings verified up to it.

use bellwether_schemas::{CommitId, PersonName};

use super::database::{query, query_rows};
use super::rows::{Columns, HeadRow, LandingRow, number};
use super::{ROWS_PER_STATEMENT, Store, StoreError, failed};

/// Why a head was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The accepted head is not the one that the new one was verified on.
    #[error("the accepted head changed meanwhile: it is {}", .found.map_or_else(|| "absent".to_owned(), |id| id.to_string()))]
    Conflict {
        /// The head that is stored.
        found: Option<CommitId>,
    },
    /// The database failed.
    #[error("the accepted head could not be stored")]
    Store(#[from] StoreError),
}

impl Store {
    pub(super) async fn load_head(&self) -> Result<Option<HeadRow>, StoreError> {
        let row = query("SELECT * FROM head").fetch_optional(self.database()).await;
        let row = row.map_err(failed("read the accepted head"))?;
        row.map(|row| {
            let columns = Columns::new(&row, "head", "commit_id");
            Ok(HeadRow {
                introduction: columns.parsed("introduction")?,
                commit: columns.parsed("commit_id")?,
                landing: columns.number("landing")?,
                policy_version: columns.number("policy_version")?,
                spoken: columns.optional("spoken")?,
            })
        })
        .transpose()
    }

    pub(super) async fn load_landings(&self, introduction: &CommitId) -> Result<Vec<LandingRow>, StoreError> {
        let rows = query("SELECT * FROM landings WHERE introduction = $1 ORDER BY number")
            .bind(introduction.to_string())
            .fetch_all(self.database())
            .await;
        rows.map_err(failed("read the landings"))?
            .iter()
            .map(|row| {
                let columns = Columns::new(row, "landings", "commit_id");
                Ok(LandingRow {
                    commit: columns.parsed("commit_id")?,
                    number: columns.number("number")?,
                    signers: columns.list("signers")?,
                    policy_version: columns.number("policy_version")?,
                    summary: columns.text("summary")?,
                    committed: columns.parsed("committed")?,
                })
            })
            .collect()
    }

    /// Stores a verified head with the landings that led to it, in one transaction, if `before` still is the accepted head.
    ///
    /// `landings` are those that were verified now, rising; of the same introduction, later ones that are stored make way.
    ///
    /// # Errors
    /// [`AcceptError::Conflict`] when another head was accepted since; else when the database fails.
    pub async fn accept_head(
        &self,
        before: Option<&CommitId>,
        head: &HeadRow,
        landings: &[LandingRow],
    ) -> Result<(), AcceptError> {
        let mut transaction = self.write().await?;
        let stored = query("SELECT commit_id FROM head").fetch_optional(&mut transaction).await;
        let stored = stored.and_then(|row| row.map_or(Ok(None), |row| row.text("commit_id")));
        let stored = stored.map_err(failed("read the accepted head"))?;
        if stored != before.map(ToString::to_string) {
            return Err(AcceptError::Conflict { found: stored.and_then(|id| id.parse().ok()) });
        }
        let introduction = head.introduction.to_string();
        if let Some(first) = landings.first() {
            query("DELETE FROM landings WHERE introduction = $1 AND number >= $2")
                .bind(&introduction)
                .bind(number(first.number))
                .execute(&mut transaction)
                .await
                .map_err(failed("replace landings"))?;
        }
        for chunk in landings.chunks(ROWS_PER_STATEMENT) {
            let rows = chunk.iter().map(|landing| {
                [
                    introduction.as_str().into(),
                    number(landing.number).into(),
                    landing.commit.to_string().into(),
                    words(&landing.signers).into(),
                    number(landing.policy_version).into(),
                    landing.summary.as_str().into(),
                    landing.committed.to_string().into(),
                ]
            });
            let statement = query_rows(
                "INSERT INTO landings (introduction, number, commit_id, signers, policy_version, summary, committed)",
                rows,
                "",
            );
            statement.execute(&mut transaction).await.map_err(failed("store landings"))?;
        }
        query(
            "INSERT INTO head (id, introduction, commit_id, landing, policy_version, spoken) VALUES (1, $1, $2, $3, $4, $5) \
             ON CONFLICT (id) DO UPDATE SET introduction = excluded.introduction, commit_id = excluded.commit_id, \
             landing = excluded.landing, policy_version = excluded.policy_version, spoken = excluded.spoken",
        )
        .bind(&introduction)
        .bind(head.commit.to_string())
        .bind(number(head.landing))
        .bind(number(head.policy_version))
        .bind(head.spoken.map(|at| at.to_string()))
        .execute(&mut transaction)
        .await
        .map_err(failed("store the accepted head"))?;
        transaction.commit().await.map_err(failed("commit the accepted head"))?;
        Ok(())
    }
}

fn words(signers: &[PersonName]) -> String {
    signers.iter().map(PersonName::as_str).collect::<Vec<_>>().join(" ")
}
