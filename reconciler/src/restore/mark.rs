//! The mark that a restore is not finished, `restoring.json` in the store: until it is gone nothing runs on what is there. A
//! store that is half made would look whole, and lack the records of spent tokens.

use bellwether_schemas::{Code, codes};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde::{Deserialize, Serialize};

const OBJECT: &str = "restoring.json";

/// What the restore set out to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Mark {
    /// The store is made anew.
    pub(super) new_store: bool,
    /// The backup it restores from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
}

/// Why nothing may run on a store.
#[derive(Debug, thiserror::Error)]
pub enum UnfinishedError {
    /// A restore was interrupted.
    #[error("a restore{} was interrupted: run it again, before anything else", from.as_deref().map(|from| format!(" from {from}")).unwrap_or_default())]
    Interrupted {
        /// The backup it restored from.
        from: Option<String>,
    },
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] object_store::Error),
}

impl UnfinishedError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Interrupted { .. } => codes::RESTORE_UNFINISHED,
            Self::Store(_) => codes::OBJECT_STORE_FAILED,
        }
    }
}

/// Refuses a store that is half restored.
///
/// # Errors
/// When it is, or the store fails.
pub async fn refuse_unfinished(objects: &dyn ObjectStore) -> Result<(), UnfinishedError> {
    match read(objects).await? {
        None => Ok(()),
        Some(mark) => Err(UnfinishedError::Interrupted { from: mark.from }),
    }
}

/// The mark, if there is one. One that cannot be read says that everything is to be made anew.
pub(super) async fn read(objects: &dyn ObjectStore) -> Result<Option<Mark>, object_store::Error> {
    let found = match objects.get(&Path::from(OBJECT)).await {
        Ok(found) => found.bytes().await?,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(serde_json::from_slice(&found).unwrap_or(Mark { new_store: true, from: None })))
}

/// Sets the mark, durable when this returns.
pub(super) async fn set(objects: &dyn ObjectStore, mark: &Mark) -> Result<(), object_store::Error> {
    let bytes = serde_json::to_vec(mark).expect("a struct of a flag and a text");
    objects.put(&Path::from(OBJECT), bytes.into()).await.map(drop)
}

/// Everything that was to be restored is there.
pub(super) async fn remove(objects: &dyn ObjectStore) -> Result<(), object_store::Error> {
    objects.delete(&Path::from(OBJECT)).await
}
