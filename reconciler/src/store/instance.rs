//! Which store the database belongs to: each names the other, so that a lost database is never taken for a new one.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};
use serde::{Deserialize, Serialize};

use bellwether_schemas::{Code, codes};

use super::database::query;
use super::{Store, StoreError, failed};

/// Where the object store says which database it belongs to.
const OBJECT: &str = "instance.json";
/// The key of the same in table `meta`.
const KEY: &str = "instance";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Instance {
    instance: String,
}

/// Why database and object store cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// Neither was ever initialised.
    #[error("{}: neither the database nor the object store was initialised", self.code())]
    NotInitialised,
    /// The object store has content, the database has none.
    #[error("{}: the database is empty, but the object store is not", self.code())]
    EmptyDatabase,
    /// The database has content, the object store has none.
    #[error("{}: the object store lacks {OBJECT}, but the database belongs to one", self.code())]
    EmptyObjectStore,
    /// They belong to others.
    #[error("{}: the database belongs to store {database}, the object store is {objects}", self.code())]
    Mismatch {
        /// What the database says.
        database: String,
        /// What the object store says.
        objects: String,
    },
    /// What should be new is in use.
    #[error("{}: {what} is in use already", self.code())]
    NotNew {
        /// The database or the object store.
        what: &'static str,
    },
    /// The object store's record cannot be read.
    #[error("{}: {OBJECT} in the object store cannot be read", self.code())]
    Unreadable(#[source] serde_json::Error),
    /// The object store failed.
    #[error("{}: the object store failed", self.code())]
    Objects(#[from] object_store::Error),
    /// The database failed.
    #[error("{}: the database failed", self.code())]
    Store(#[from] StoreError),
}

impl InstanceError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::NotInitialised => codes::NOT_INITIALISED,
            Self::EmptyDatabase => codes::DATABASE_EMPTY,
            Self::EmptyObjectStore => codes::OBJECT_STORE_EMPTY,
            Self::Mismatch { .. } => codes::STORE_MISMATCH,
            Self::NotNew { .. } => codes::STORE_IN_USE,
            Self::Unreadable(_) | Self::Objects(_) => codes::OBJECT_STORE_FAILED,
            Self::Store(_) => codes::DATABASE_FAILED,
        }
    }
}

/// Declares an empty database and an empty object store to belong together, as `instance` (a random name).
///
/// # Errors
/// When either is in use, or fails.
pub async fn declare_instance(store: &Store, objects: &dyn ObjectStore, instance: &str) -> Result<(), InstanceError> {
    if in_database(store).await?.is_some() {
        return Err(InstanceError::NotNew { what: "the database" });
    }
    if !is_empty(objects).await? {
        return Err(InstanceError::NotNew { what: "the object store" });
    }
    let record = Instance { instance: instance.to_owned() };
    let bytes = serde_json::to_vec(&record).expect("a struct of strings");
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    match objects.put_opts(&Path::from(OBJECT), Bytes::from(bytes).into(), options).await {
        Ok(_) => {}
        Err(object_store::Error::AlreadyExists { .. }) => {
            return Err(InstanceError::NotNew { what: "the object store" });
        }
        Err(error) => return Err(error.into()),
    }
    query("INSERT INTO meta (key, value) VALUES ($1, $2)")
        .bind(KEY)
        .bind(instance)
        .execute(store.database())
        .await
        .map_err(failed("name the store"))?;
    Ok(())
}

/// Checks at the start that database and object store belong together; returns their name.
///
/// # Errors
/// When one of them is empty or another's: then the records of versions and spent tokens would be missing.
pub async fn check_instance(store: &Store, objects: &dyn ObjectStore) -> Result<String, InstanceError> {
    match (in_database(store).await?, in_objects(objects).await?) {
        (Some(database), Some(found)) if database == found => Ok(database),
        (Some(database), Some(objects)) => Err(InstanceError::Mismatch { database, objects }),
        (Some(_), None) => Err(InstanceError::EmptyObjectStore),
        (None, Some(_)) => Err(InstanceError::EmptyDatabase),
        (None, None) if is_empty(objects).await? => Err(InstanceError::NotInitialised),
        (None, None) => Err(InstanceError::EmptyDatabase),
    }
}

async fn in_database(store: &Store) -> Result<Option<String>, StoreError> {
    let row = query("SELECT value FROM meta WHERE key = $1").bind(KEY).fetch_optional(store.database()).await;
    let value = row.and_then(|row| row.map_or(Ok(None), |row| row.text("value")));
    value.map_err(failed("read which store it belongs to"))
}

async fn in_objects(objects: &dyn ObjectStore) -> Result<Option<String>, InstanceError> {
    let found = match objects.get(&Path::from(OBJECT)).await {
        Ok(found) => found.bytes().await?,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let record: Instance = serde_json::from_slice(&found).map_err(InstanceError::Unreadable)?;
    Ok(Some(record.instance))
}

/// Whether the object store has nothing of ours.
async fn is_empty(objects: &dyn ObjectStore) -> Result<bool, InstanceError> {
    let top = objects.list_with_delimiter(None).await?;
    Ok(top.objects.is_empty() && top.common_prefixes.is_empty())
}
