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
struct Name {
    instance: String,
}

/// How database and object store stand to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instance {
    /// They belong together, under this name.
    Known(String),
    /// The object store has this name, and the database was lost: it is empty.
    DatabaseLost(String),
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
    if store.instance().await?.is_some() {
        return Err(InstanceError::NotNew { what: "the database" });
    }
    if !is_empty(objects).await? {
        return Err(InstanceError::NotNew { what: "the object store" });
    }
    write_name(objects, instance).await?;
    adopt_instance(store, instance).await?;
    Ok(())
}

/// Names an object store, which has no name yet.
///
/// # Errors
/// When it has one, or fails.
pub async fn write_name(objects: &dyn ObjectStore, instance: &str) -> Result<(), InstanceError> {
    let in_use = InstanceError::NotNew { what: "the object store" };
    let record = Name { instance: instance.to_owned() };
    let bytes = serde_json::to_vec(&record).expect("a struct of strings");
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    match objects.put_opts(&Path::from(OBJECT), Bytes::from(bytes).into(), options).await {
        Ok(_) => Ok(()),
        Err(object_store::Error::AlreadyExists { .. }) => Err(in_use),
        Err(error) => Err(error.into()),
    }
}

/// Has an empty database belong to the object store of this name: once everything that this remembers is in it.
///
/// # Errors
/// When the database fails.
pub async fn adopt_instance(store: &Store, instance: &str) -> Result<(), StoreError> {
    query("INSERT INTO meta (key, value) VALUES ($1, $2)")
        .bind(KEY)
        .bind(instance)
        .execute(store.database())
        .await
        .map_err(failed("name the store"))?;
    Ok(())
}

impl Store {
    /// The store that the database belongs to; none for one that is new.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn instance(&self) -> Result<Option<String>, StoreError> {
        let row = query("SELECT value FROM meta WHERE key = $1").bind(KEY).fetch_optional(self.database()).await;
        let value = row.and_then(|row| row.map_or(Ok(None), |row| row.text("value")));
        value.map_err(failed("read which store it belongs to"))
    }

    /// Whether nothing was ever stored.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        let loaded = self.load_all().await?;
        Ok(self.instance().await?.is_none() && loaded.head.is_none() && loaded.devices.is_empty())
    }
}

/// Checks at the start whether database and object store belong together.
///
/// # Errors
/// When the object store is empty, or another database's: then the records of spent tokens would be missing.
pub async fn check_instance(store: &Store, objects: &dyn ObjectStore) -> Result<Instance, InstanceError> {
    match (store.instance().await?, instance_of(objects).await?) {
        (Some(database), Some(found)) if database == found => Ok(Instance::Known(database)),
        (Some(database), Some(objects)) => Err(InstanceError::Mismatch { database, objects }),
        (Some(_), None) => Err(InstanceError::EmptyObjectStore),
        (None, Some(found)) => Ok(Instance::DatabaseLost(found)),
        (None, None) if is_empty(objects).await? => Err(InstanceError::NotInitialised),
        (None, None) => Err(InstanceError::EmptyDatabase),
    }
}

/// The name of an object store; none for one that is new, or was lost.
///
/// # Errors
/// When it fails, or its name cannot be read.
pub async fn instance_of(objects: &dyn ObjectStore) -> Result<Option<String>, InstanceError> {
    let found = match objects.get(&Path::from(OBJECT)).await {
        Ok(found) => found.bytes().await?,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let record: Name = serde_json::from_slice(&found).map_err(InstanceError::Unreadable)?;
    Ok(Some(record.instance))
}

/// Whether the object store has nothing at all.
///
/// # Errors
/// When it fails.
pub async fn is_empty(objects: &dyn ObjectStore) -> Result<bool, InstanceError> {
    let top = objects.list_with_delimiter(None).await?;
    Ok(top.objects.is_empty() && top.common_prefixes.is_empty())
}
