//! `bellwether-reconciler run`: opens everything, then runs a pass whenever something happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellwether_core::admission::Domain;
use bellwether_schemas::{Code, CommitId, codes};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::begin::{Ground, begin};
use crate::brake::{Brake, LocalHolds};
use crate::config::{Config, ConfigError};
use crate::folder::FolderWatch;
use crate::git::{self, FetchError, Mirror};
use crate::installer::Source;
use crate::keys::{KeyError, OnlineKeys};
use crate::pki::{AuthorityError, watch_authority};
use crate::publish::{Objects, ObjectsError, PublishError, Publisher, follow, publish_roots};
use crate::renewal::renew;
use crate::repository::{Repository, SharedObjects};
use crate::restore::{RecoverError, UnfinishedError, refuse_unfinished};
use crate::serve::{self, Advertise, Bound, Enrolled, Incoming, Listen, ServeError, Sessions, Settings, Shared};
use crate::store::{InstanceError, StateLock, StateLockError, Store, StoreError, check_instance};
use crate::tick::{Fetched, Inbox, Observation, Outlets, TickError, tick};
use crate::world::{PresentedOffer, Timing, World};

/// Reports, or new devices, that one pass takes at most, so that answers do not wait for ever under load.
const BATCH: usize = 4_096;
/// How long after a failed pass the next one tries.
const RETRY: Duration = Duration::from_secs(1);
/// At most one extra fetch in this time for commits that devices name.
const LOOKUP_PAUSE: Duration = Duration::from_secs(10);
/// How often metadata that expires is looked for.
const RENEWAL: Duration = Duration::from_secs(600);

/// How long a fetch may take. A first one of a large repository takes minutes.
const FETCH: Duration = Duration::from_secs(1_800);

/// Why the reconciler cannot run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is the failure of one part, which documents itself")]
pub enum RunError {
    #[error("the configuration cannot be used")]
    Config(#[from] ConfigError),
    #[error("the domain {0:?} in the configuration is not one")]
    Domain(String),
    #[error("the database cannot be used")]
    Store(#[from] StoreError),
    #[error("the state cannot be this reconciler's own")]
    Lock(#[from] StateLockError),
    #[error("the store cannot be used")]
    Objects(#[from] ObjectsError),
    #[error("the folder of local holds in the store cannot be used")]
    Brake(#[source] std::io::Error),
    #[error(transparent)]
    Unfinished(#[from] UnfinishedError),
    #[error("database and store do not belong together")]
    Instance(#[from] InstanceError),
    #[error("the online keys cannot be used")]
    Keys(#[from] KeyError),
    #[error("the certificate authority cannot be used")]
    Authority(#[from] AuthorityError),
    #[error("the TUF store cannot be used")]
    Publish(#[from] PublishError),
    #[error("the mirror cannot be used")]
    Mirror(#[from] FetchError),
    #[error("the listeners cannot be opened")]
    Serve(#[from] ServeError),
    #[error("another reconciler works on the same state")]
    Conflict(#[source] TickError),
    #[error("the accepted head cannot be stored")]
    Head(#[source] TickError),
    #[error("database and store cannot be brought together")]
    Recover(#[from] RecoverError),
}

impl RunError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Config(error) => error.code(),
            Self::Domain(_) => codes::CONFIG_INVALID,
            Self::Head(TickError::Publish(error)) | Self::Conflict(TickError::Publish(error)) => error.code(),
            Self::Store(error) => error.code(),
            Self::Lock(error) => error.code(),
            Self::Conflict(_) | Self::Head(_) => codes::DATABASE_FAILED,
            Self::Recover(RecoverError::Publish(error)) => error.code(),
            Self::Recover(RecoverError::Store(_) | RecoverError::Plan(_)) => codes::DATABASE_FAILED,
            Self::Objects(_) | Self::Brake(_) => codes::OBJECT_STORE_FAILED,
            Self::Unfinished(error) => error.code(),
            Self::Instance(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::Authority(error) => error.code(),
            Self::Publish(error) => error.code(),
            Self::Mirror(error) => error.code(),
            Self::Serve(error) => error.code(),
        }
    }
}

/// The reconciler with everything open, before its loop.
pub struct Reconciler {
    /// Where its listeners are.
    pub bound: Bound,
    world: World,
    outlets: Outlets,
    inputs: Inputs,
    /// What the mirror has from the last fetch of an earlier run.
    mirrored: Option<(CommitId, SharedObjects)>,
    shutdown: CancellationToken,
    /// Held until everything else has ended.
    lock: StateLock,
}

struct Inputs {
    incoming: mpsc::Receiver<Incoming>,
    enrolled: mpsc::Receiver<Enrolled>,
    fetched: mpsc::Receiver<Fetched>,
    fetch_now: mpsc::Sender<()>,
    /// The local holds, whenever they may be others.
    braked: mpsc::Receiver<LocalHolds>,
}

impl Reconciler {
    /// Opens everything that the configuration names, and the listeners, once the state is this process' own.
    ///
    /// # Errors
    /// The first part that cannot be used.
    pub async fn open(config: &Config, lock: StateLock, shutdown: CancellationToken) -> Result<Self, RunError> {
        let now = Timestamp::now();
        let domain: Domain = config.domain.parse().map_err(|_| RunError::Domain(config.domain.clone()))?;
        let (devices, updates) = config.advertise()?;

        let store = Store::open(&config.state).await?;
        let objects = Objects::in_directory(&config.store)?;
        refuse_unfinished(objects.store().as_ref()).await?;
        let instance = check_instance(&store, objects.store().as_ref()).await?;
        for version in publish_roots(&objects, &config.keys).await? {
            tracing::info!(%version, "published a root");
        }
        let publisher = Publisher::open(objects.clone(), OnlineKeys::load(&config.keys)?).await?;
        publisher.take_over(now).await?;
        let authority = watch_authority(&config.ca, shutdown.clone())?;

        let mirror = Mirror::open_or_create(
            &config.mirror,
            &config.repository,
            &config.branch,
            config.repository_access.clone(),
        )?;
        let repository = Repository::new(SharedObjects::new(mirror.objects()?), config.introduction(), &config.branch);
        let timing = Timing { heartbeat: config.heartbeat, stale_after: config.stale_after(), serving_since: now };
        let url = mirror.shown();
        let brake = Brake::of_store(&config.store).map_err(RunError::Brake)?;
        let braked = watch_brake(brake.clone(), shutdown.clone());
        let ground = Ground { store: &store, publisher: &publisher, domain: &domain, instance: &instance };
        let mut world = begin(&ground, repository, timing).await?;
        world.take_local_holds(brake.read());
        let admitted = world.admissions();
        let (admissions, admissions_seen) = watch::channel(admitted);
        publisher.void_within(config.introduction().commit).await?;
        let (void, void_seen) = watch::channel(publisher.void_tokens());
        let (unsettled_until, unsettled_until_seen) = watch::channel(Timestamp::MIN);
        let (views, views_seen) = watch::channel(Arc::new(world.views(&url, false, now)));
        let (incoming_sender, incoming) = mpsc::channel(BATCH);
        let (enrolled_sender, enrolled) = mpsc::channel(BATCH);
        let sessions = Arc::new(Sessions::default());
        let listen = Listen {
            enroll: config.listen.enroll,
            devices: config.listen.devices,
            updates: config.listen.updates,
            page: config.listen.page,
        };
        let settings = Settings {
            listen,
            advertise: Advertise { devices, updates },
            page_name: config.page_name()?,
            domain: domain.clone(),
            renew_grace: config.renew_grace,
            settle: bellwether_core::certificates::SETTLE,
            webhook_secret: config.webhook_secret_file.clone(),
            // Without an address nothing is kept from devices that need none.
            installer: Source {
                ca: config.ca.clone(),
                keys: config.keys.clone(),
                address: config.enroll_address().unwrap_or_default(),
            },
            agents: config.agents.clone(),
        };
        let (followed, keys, stop) = (publisher.clone(), config.keys.clone(), shutdown.clone());
        tokio::spawn(async move { follow(followed, &keys, stop).await });
        let (fetch_now, asked) = mpsc::channel(1);
        let shared = Shared {
            authority,
            publisher: publisher.clone(),
            objects: objects.store().clone(),
            store: store.clone(),
            admissions: admissions_seen,
            void_tokens: void_seen,
            unsettled_until: unsettled_until_seen,
            views: views_seen,
            incoming: incoming_sender,
            enrolled: enrolled_sender,
            fetch_now: fetch_now.clone(),
            sessions: sessions.clone(),
        };
        let bound = serve::start(settings, shared, shutdown.clone()).await?;
        // Where the branch stood last is looked at before anything is planned: a rewound one is not forgotten by a restart.
        let mirrored = mirror.tip()?.map(|tip| (tip, world.repository.objects()));
        let fetched = fetcher(mirror, config, asked, shutdown.clone());
        let outlets = Outlets { store, publisher, sessions, views, admissions, void, unsettled_until, domain, url };
        let inputs = Inputs { incoming, enrolled, fetched, fetch_now, braked };
        Ok(Self { bound, world, outlets, inputs, mirrored, shutdown, lock })
    }

    /// Runs passes until the shutdown, then lets the listeners end.
    ///
    /// # Errors
    /// When another reconciler uses the same database, or took it over.
    pub async fn run(mut self) -> Result<(), RunError> {
        let mut shown = Shown::default();
        let mut last_lookup: Option<tokio::time::Instant> = None;
        let mut renewal = tokio::time::interval(RENEWAL);
        let mut failed = false;
        let mut inbox = Inbox { mirrored: self.mirrored.take(), ..Inbox::default() };
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                lost = self.lock.lost() => {
                    self.shutdown.cancel();
                    return Err(lost.into());
                }
                () = std::future::ready(()), if inbox.mirrored.is_some() || (self.world.has_backlog() && !failed) => {}
                Some(outcome) = self.inputs.fetched.recv() => inbox.fetched = Some(outcome),
                Some(enrolled) = self.inputs.enrolled.recv(), if inbox.enrolled.len() < BATCH => {
                    inbox.enrolled.push(enrolled.identity);
                }
                Some(incoming) = self.inputs.incoming.recv(), if inbox.reports.len() < BATCH => {
                    inbox.reports.push(observation(incoming));
                }
                // After a failed pass what was due may be due still: it waits for the next try like everything else.
                Some(local) = self.inputs.braked.recv() => self.world.take_local_holds(local),
                () = sleep_until(self.world.wake_at()), if !failed => {}
                () = tokio::time::sleep(RETRY), if failed => {}
                () = shown.due() => {
                    shown.show(&self.world, &self.outlets);
                    continue;
                }
                _ = renewal.tick() => renew(&mut self.world, &self.outlets, Timestamp::now()).await,
            }
            self.take_waiting(&mut inbox);
            failed = match tick(&mut self.world, &self.outlets, &mut inbox, Timestamp::now()).await {
                Ok(()) => false,
                Err(conflict) if conflict.is_of_another_reconciler() => {
                    self.shutdown.cancel();
                    return Err(RunError::Conflict(conflict));
                }
                Err(error) => {
                    tracing::error!(error = ?anyhow::Error::from(error), "a pass failed and is tried again");
                    true
                }
            };
            shown.outdated = true;
            if self.world.wants_fetch() && last_lookup.is_none_or(|at| at.elapsed() >= LOOKUP_PAUSE) {
                last_lookup = Some(tokio::time::Instant::now());
                // A fetch that is asked for already serves as well.
                let _ = self.inputs.fetch_now.try_send(());
            }
        }
        self.bound.tasks.wait().await;
        self.outlets.store.close().await;
        self.lock.release().await;
        Ok(())
    }

    /// Takes what else has arrived, so that one pass serves all of it.
    fn take_waiting(&mut self, inbox: &mut Inbox) {
        while inbox.enrolled.len() < BATCH {
            let Ok(enrolled) = self.inputs.enrolled.try_recv() else { break };
            inbox.enrolled.push(enrolled.identity);
        }
        while inbox.reports.len() < BATCH {
            let Ok(incoming) = self.inputs.incoming.try_recv() else { break };
            inbox.reports.push(observation(incoming));
        }
        if let Ok(outcome) = self.inputs.fetched.try_recv() {
            inbox.fetched = Some(outcome);
        }
    }
}

fn observation(incoming: Incoming) -> Observation {
    let Incoming { identity, reported, begins_session, presented, head, allows, reply, .. } = incoming;
    let presented = presented.map(PresentedOffer::from);
    Observation { identity, at: Timestamp::now(), reported, begins_session, presented, head, allows, reply }
}

/// When page and API were refreshed. Making the views costs time that grows with the fleet, so it is spent on a tenth
/// of the passes' time at most; a small fleet is shown at once.
#[derive(Default)]
struct Shown {
    outdated: bool,
    not_before: Option<tokio::time::Instant>,
}

impl Shown {
    async fn due(&self) {
        match (self.outdated, self.not_before) {
            (false, _) => std::future::pending().await,
            (true, None) => {}
            (true, Some(at)) => tokio::time::sleep_until(at).await,
        }
    }

    fn show(&mut self, world: &World, outlets: &Outlets) {
        let begin = tokio::time::Instant::now();
        // A head that could not be stored counts for nothing yet, and is shown to nobody.
        if world.unstored.is_empty() {
            outlets.views.send_replace(Arc::new(world.views(&outlets.url, true, Timestamp::now())));
        }
        *self = Self { outdated: false, not_before: Some(begin + begin.elapsed() * 10) };
    }
}

/// Reads the local holds whenever their file may have changed.
fn watch_brake(brake: Brake, shutdown: CancellationToken) -> mpsc::Receiver<LocalHolds> {
    let mut watch = FolderWatch::new(brake.dir());
    let (sender, held) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = watch.changed() => {}
            }
            if sender.send(brake.read()).await.is_err() {
                return;
            }
        }
    });
    held
}

/// Fetches whenever the repository changed, the poll is due, or somebody asks; one fetch at a time.
fn fetcher(
    mirror: Mirror,
    config: &Config,
    mut asked: mpsc::Receiver<()>,
    shutdown: CancellationToken,
) -> mpsc::Receiver<Fetched> {
    let (outcomes, fetched) = mpsc::channel(1);
    let poll = config.poll.duration().max(Duration::from_secs(1));
    let (mirror, url) = (Arc::new(mirror), config.repository.clone());
    tokio::spawn(async move {
        let mut poll = tokio::time::interval(poll);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut watch: Option<git::Watch> = None;
        loop {
            // A repository that is away must not keep devices from what they have: it is polled for, and watched when it is back.
            if watch.as_ref().is_none_or(git::Watch::is_stale) {
                watch = git::watch(&url).unwrap_or_else(|error| {
                    tracing::warn!(%error, "a push is seen with the next poll only");
                    None
                });
            }
            let changed = async {
                match &mut watch {
                    Some(watch) => watch.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = poll.tick() => {}
                () = changed => {}
                _ = asked.recv() => {}
            }
            let outcome = tokio::select! {
                () = shutdown.cancelled() => return,
                outcome = fetch(&mirror) => outcome,
            };
            if outcomes.send(outcome).await.is_err() {
                return;
            }
        }
    });
    fetched
}

/// Fetches once, on a thread that may block. Dropping it interrupts the fetch.
async fn fetch(mirror: &Arc<Mirror>) -> Fetched {
    struct Interrupt(Arc<AtomicBool>);
    impl Drop for Interrupt {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let interrupt = Interrupt(Arc::default());
    let (fetching, interrupted) = (mirror.clone(), interrupt.0.clone());
    let fetch = move || Ok((fetching.fetch(&interrupted)?, SharedObjects::new(fetching.objects()?)));
    match tokio::time::timeout(FETCH, tokio::task::spawn_blocking(fetch)).await {
        Ok(Ok(outcome)) => outcome,
        // What a remote sends may bring a parser to a panic; the next fetch is another try.
        Ok(Err(panic)) => Err(mirror.broke_off(&panic)),
        Err(_) => Err(mirror.takes_too_long(FETCH)),
    }
}

async fn sleep_until(at: Option<Timestamp>) {
    let Some(at) = at else { return std::future::pending().await };
    let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO);
    tokio::time::sleep(wait).await;
}
