//! `bellwether-reconciler restore`: brings database and store back from a backup, or from whichever of the two is left, and says
//! so to both. What it does not know it does not guess: devices are waited for, and tokens that may be spent are void.

use std::path::Path;

use bellwether_core::admission::Domain;
use bellwether_schemas::{Code, codes};
use jiff::Timestamp;
use object_store::path::Path as ObjectPath;

use super::backup::{self, BackupError, DATABASE};
use super::mark::{self, Mark, UnfinishedError};
use super::{RecoverError, Recovered, expected, is_older, recover};
use crate::config::{Config, ConfigError};
use crate::keys::{KeyError, OnlineKeys};
use crate::pki::{Authority, AuthorityError};
use crate::publish::{Objects, ObjectsError, PublishError, Publisher, publish_roots};
use crate::store::{
    Instance, InstanceError, StateLockError, Store, StoreError, adopt_instance, check_instance, instance_of, is_empty,
    write_name,
};

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is the failure of one part, which documents itself")]
pub enum RestoreError {
    #[error("the configuration cannot be used")]
    Config(#[from] ConfigError),
    #[error("the domain {0:?} in the configuration is not one")]
    Domain(String),
    #[error("the online keys cannot be used: put them back first, they are no part of a backup")]
    Keys(#[from] KeyError),
    #[error("the certificate authority cannot be used: put it back first, it is no part of a backup")]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Unfinished(#[from] UnfinishedError),
    #[error("the database {0} is not empty: move it aside, or restore without --from to go on with it")]
    InUse(String),
    #[error("the store has content, but lacks instance.json, so it is damaged: move it aside, and restore again")]
    Damaged,
    #[error("the backup is of store {backup}, and the store is {store}")]
    Other { backup: String, store: String },
    #[error("the backup cannot be used")]
    Backup(#[from] BackupError),
    #[error("a reconciler runs on this state: stop it first")]
    Lock(#[from] StateLockError),
    #[error("the database failed")]
    Store(#[from] StoreError),
    #[error("the store cannot be used")]
    Objects(#[from] ObjectsError),
    #[error("database and store do not belong together")]
    Instance(#[from] InstanceError),
    #[error("the store failed")]
    Publish(#[from] PublishError),
    #[error("what was restored cannot be brought together")]
    Recover(#[from] RecoverError),
    #[error("the system gave no random numbers")]
    Random,
}

impl RestoreError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Config(error) => error.code(),
            Self::Domain(_) => codes::CONFIG_INVALID,
            Self::Keys(error) => error.code(),
            Self::Authority(error) => error.code(),
            Self::Instance(error) => error.code(),
            Self::Publish(error) => error.code(),
            Self::Lock(error) => error.code(),
            Self::Unfinished(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Objects(_) => codes::OBJECT_STORE_FAILED,
            Self::InUse(_) | Self::Damaged | Self::Other { .. } | Self::Backup(_) | Self::Recover(_) | Self::Random => {
                codes::RESTORE_REFUSED
            }
        }
    }
}

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// What came back.
    pub recovered: Recovered,
    /// Whether the store was made anew.
    pub new_store: bool,
    /// Whether tokens are void that the history listed until now.
    pub void_tokens: bool,
}

/// Restores from the backup `from`, or from what is left of database and store. Nothing runs on either meanwhile.
///
/// # Errors
/// When something is missing that only people can bring, or would be written over; or a part fails: then do it again.
pub async fn restore(config: &Config, from: Option<&Path>, now: Timestamp) -> Result<Restored, RestoreError> {
    let domain: Domain = config.domain.parse().map_err(|_| RestoreError::Domain(config.domain.clone()))?;
    let keys = OnlineKeys::load(&config.keys)?;
    Authority::load(&config.ca)?;
    let lock = Store::lock(&config.state).await?;
    let store = Store::open(&config.state).await?;
    let objects = Objects::in_directory(&config.store)?;
    let new_store = begin(&store, &objects, config, from).await?;
    if let Some(from) = from {
        fill_database(&store, from).await?;
    }
    if new_store {
        fill_store(&store, &objects, config, from).await?;
    }
    let publisher = Publisher::open(objects.clone(), keys).await?;
    publisher.take_over(now).await?;
    let instance = check_instance(&store, objects.store().as_ref()).await?;

    let loaded = store.load_all().await?;
    let tokens = store.tokens(&domain).await?;
    let checked = publisher.check(expected(&loaded.devices)).await?;
    let is_set_back = is_older(&loaded, &publisher.fleets().await?, &checked);
    let is_lost = matches!(instance, Instance::DatabaseLost(_));
    // A store that is newer than the database, or all that is left, has every record of a spent token.
    let void_tokens = new_store || !(is_lost || is_set_back);
    if void_tokens {
        publisher.void_within(config.introduction().commit).await?;
        publisher.store_void_tokens(None).await?;
    }
    publisher.keep_tokens(tokens).await?;
    let recovered = recover(&store, &publisher, &domain, "restored by command", now).await?;
    if let Instance::DatabaseLost(name) = &instance {
        adopt_instance(&store, name).await?;
    }
    mark::remove(objects.store().as_ref()).await.map_err(PublishError::from)?;
    store.close().await;
    lock.release().await;
    Ok(Restored { recovered, new_store, void_tokens })
}

/// Finds out whether the store is to be made anew, or goes on with a restore that was interrupted, and marks that one is under
/// way. Nothing is changed before that.
async fn begin(store: &Store, objects: &Objects, config: &Config, from: Option<&Path>) -> Result<bool, RestoreError> {
    let place = from.map(|from| from.display().to_string());
    if let Some(mark) = mark::read(objects.store().as_ref()).await.map_err(PublishError::from)? {
        // What a backup has is no longer told from what the interrupted restore made of it.
        if mark.from.is_some() && mark.from != place {
            return Err(UnfinishedError::Interrupted { from: mark.from }.into());
        }
        return Ok(mark.new_store);
    }
    let new_store = is_store_lost(objects, from).await?;
    if from.is_some() && !store.is_empty().await? {
        return Err(RestoreError::InUse(config.state.clone()));
    }
    let mark = Mark { new_store, from: place };
    mark::set(objects.store().as_ref(), &mark).await.map_err(PublishError::from)?;
    Ok(new_store)
}

/// Copies the database of a backup into an empty one, all or nothing: what is there is from an interrupted restore.
async fn fill_database(store: &Store, from: &Path) -> Result<(), RestoreError> {
    if !store.is_empty().await? {
        return Ok(());
    }
    // An older release's is brought up to date on the way; the backup itself stays as it is.
    let copy = backup::copy_of(&from.join(DATABASE))?;
    let opened = Store::open(&format!("sqlite://{}", copy.path().display())).await?;
    opened.copy_into(store).await?;
    opened.close().await;
    Ok(())
}

/// Whether the store was lost: it is empty.
async fn is_store_lost(objects: &Objects, from: Option<&Path>) -> Result<bool, RestoreError> {
    let about = from.map(backup::read).transpose()?;
    match (instance_of(objects.store().as_ref()).await?, about) {
        (Some(store), Some(about)) if about.instance != store => {
            Err(RestoreError::Other { backup: about.instance, store })
        }
        (Some(_), _) => Ok(false),
        (None, _) if is_empty(objects.store().as_ref()).await? => Ok(true),
        (None, _) => Err(RestoreError::Damaged),
    }
}

/// Makes a lost store anew: its chain of roots, the records of a backup, and its name.
async fn fill_store(
    store: &Store,
    objects: &Objects,
    config: &Config,
    from: Option<&Path>,
) -> Result<(), RestoreError> {
    publish_roots(objects, &config.keys).await?;
    let records = from.map(backup::records).transpose()?.unwrap_or_default();
    // The name comes last.
    for (path, content) in records.into_iter().filter(|(path, _)| path != "instance.json") {
        objects.restore(&ObjectPath::from(path), content).await?;
    }
    let (known, named) = (store.instance().await?, instance_of(objects.store().as_ref()).await?);
    let name = known.clone().or(named.clone()).map_or_else(new_name, Ok)?;
    if named.is_none() {
        write_name(objects.store().as_ref(), &name).await?;
    }
    if known.is_none() {
        adopt_instance(store, &name).await?;
    }
    Ok(())
}

fn new_name() -> Result<String, RestoreError> {
    let mut name = [0; 16];
    aws_lc_rs::rand::fill(&mut name).map_err(|_| RestoreError::Random)?;
    Ok(hex::encode(name))
}
