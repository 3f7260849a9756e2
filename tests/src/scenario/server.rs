//! The reconciler without I/O: its world, and in memory what database and object store would have.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_core::admission::{Admission, Domain, Identity, VoidTokens};
use bellwether_core::plan::RolloutRecord;
use bellwether_core::verify::Introduction;
use bellwether_reconciler::publish::{FleetRecord, SLICE};
use bellwether_reconciler::repository::{Repository, SharedObjects};
use bellwether_reconciler::store::{DeviceRow, HeadRow, Loaded, OfferRow, OfferedRow, PlanChange, RolloutRow};
use bellwether_reconciler::world::{PresentedOffer, Timing, World};
use bellwether_schemas::head::HeadRecord;
use bellwether_schemas::report::{Directive, Report, Reported};
use bellwether_schemas::targets::{Binding, EnrolledBy, SignedOffer};
use bellwether_schemas::{CommitId, DeviceName, FleetName, Seconds};
use jiff::Timestamp;

/// The database.
#[derive(Default)]
pub(super) struct Database {
    head: Option<HeadRow>,
    devices: BTreeMap<DeviceName, DeviceRow>,
    offered: Vec<OfferedRow>,
    pub(super) rollouts: BTreeMap<FleetName, RolloutRow>,
}

/// The object store.
#[derive(Default)]
pub(super) struct Store {
    head: Option<HeadRecord>,
    records: BTreeMap<FleetName, FleetRecord>,
    targets: BTreeMap<DeviceName, Targets>,
}

/// The signed targets of a device.
#[derive(Clone)]
pub(super) struct Targets {
    binding: Binding,
    version: u64,
    earlier: Vec<SignedOffer>,
}

/// What a start needs to know.
pub(super) struct Settings {
    pub(super) introduction: Introduction,
    pub(super) heartbeat: Seconds,
    pub(super) domain: Domain,
}

/// A report that arrived.
pub(super) struct Arrived {
    pub(super) identity: Identity,
    pub(super) report: Report,
    /// What its metadata says that it holds, in the first report of a session.
    pub(super) presented: Option<PresentedOffer>,
}

/// A reconciler that runs.
pub(super) struct Server {
    pub(super) world: World,
    domain: Domain,
    /// Devices whose last report did not count.
    pub(super) refused: BTreeSet<DeviceName>,
}

impl Server {
    /// Starts on what database and store have.
    pub(super) fn start(
        settings: &Settings,
        (database, store): (&mut Database, &Store),
        (objects, tip): (SharedObjects, CommitId),
        now: Timestamp,
    ) -> Self {
        if database.devices.is_empty() {
            fill(database, store, now);
        }
        let loaded = Loaded {
            head: database.head.clone(),
            devices: database.devices.values().cloned().collect(),
            offered: database.offered.clone(),
            rollouts: database.rollouts.values().cloned().collect(),
            ..Loaded::default()
        };
        let mut repository = Repository::new(objects.clone(), settings.introduction, "main");
        let unstored = repository.restore(loaded.head.clone(), store.head.as_ref().map(HeadRow::from), now);
        let stale_after = Seconds::new(settings.heartbeat.get() * 3);
        let timing = Timing { heartbeat: settings.heartbeat, stale_after, serving_since: now };
        let world = World::new(repository, timing, loaded);
        let mut server = Self { world, domain: settings.domain.clone(), refused: BTreeSet::new() };
        server.world.take_landings(unstored);
        server.fetch(objects, &tip, now);
        server
    }

    /// Takes the tip of the branch.
    pub(super) fn fetch(&mut self, objects: SharedObjects, tip: &CommitId, now: Timestamp) {
        let world = &mut self.world;
        world.repository.reopen(objects);
        let moved = world.repository.advance(tip, now);
        world.fetched();
        let is_news = moved.condition || !moved.landings.is_empty();
        world.take_landings(moved.landings);
        if is_news {
            world.moved();
        }
    }

    /// One pass with what arrived: as `tick`, in its order. Returns what was decided.
    pub(super) fn pass(
        &mut self,
        arrived: Vec<Arrived>,
        (database, store): (&mut Database, &mut Store),
        now: Timestamp,
    ) -> PlanChange {
        let world = &mut self.world;
        world.repository.watch_silence(now);
        if let Some(record) = world.repository.head_record() {
            database.head = Some(HeadRow::from(&record));
            world.stored_head = database.head.clone();
            world.unstored.clear();
            store.head = Some(record);
        }
        let mut reporters = Vec::with_capacity(arrived.len());
        for Arrived { identity, report, presented } in arrived {
            if matches!(world.admissions().map(|all| all.admit(&identity)), Some(Admission::Refused { .. })) {
                self.refused.insert(identity.device);
                continue;
            }
            self.refused.remove(&identity.device);
            let known = world.known_metadata(&identity.device).max(store.version(&identity.device));
            if presented.as_ref().is_some_and(|held| held.metadata_version > known) {
                world.records_are_behind(&identity.device, now);
                let head = world.repository.head().map_or(0, |head| head.number);
                world.void = VoidTokens::UpTo(head);
            }
            reporters.push(identity.device.clone());
            world.observe(&identity, Reported::Readable(report), presented, now);
        }
        if world.wants_fetch() {
            world.fetched();
        }
        world.plan(&self.domain, now);
        world.acknowledge(&reporters, now);
        let change = world.take_change().unwrap_or_default();
        database.take(&change);
        let due = world.due_records(now);
        if !due.is_empty() {
            store.records.extend(due.into_iter().map(|record| (record.fleet.clone(), record)));
            world.records_written();
        }
        self.publish(store, now);
        change
    }

    fn publish(&mut self, store: &mut Store, now: Timestamp) {
        while self.world.has_backlog() {
            let publications = self.world.publications(SLICE, now);
            let mut published = Vec::with_capacity(publications.len());
            for publication in publications {
                let device = publication.binding.device.clone();
                let clock = u64::try_from(now.as_second()).unwrap_or(0);
                let version = clock.max(publication.floor + 1).max(store.version(&device) + 1);
                store.put(publication.binding, version);
                published.push((device, version));
            }
            self.world.published(published, now);
        }
    }

    /// What a device that reported is told.
    pub(super) fn answer(&self, device: &DeviceName) -> Vec<Directive> {
        self.world.answer(device)
    }
}

impl Database {
    /// Whether a fleet's rollout has a wave that opened before.
    pub(super) fn began_before(&self, fleet: &FleetName, now: Timestamp) -> bool {
        let record = self.rollouts.get(fleet).and_then(|row| serde_json::from_value(row.record.clone()).ok());
        record.is_some_and(|record: RolloutRecord| record.waves.first().is_some_and(|wave| wave.opened_at < now))
    }

    fn take(&mut self, change: &PlanChange) {
        self.rollouts.extend(change.records.clone());
        self.rollouts.retain(|fleet, _| !change.removed.contains(fleet));
        self.devices.extend(change.devices.iter().map(|row| (row.name.clone(), row.clone())));
        self.offered.retain(|row| !change.forgotten.contains(row));
        self.offered.extend(change.offers.iter().cloned());
    }
}

impl Store {
    /// The offer that the signed targets of a device name.
    pub(super) fn offer(&self, device: &DeviceName) -> Option<&SignedOffer> {
        self.targets.get(device)?.binding.offer.as_ref()
    }

    /// The signed metadata of a device, as it presents that.
    pub(super) fn presented(&self, device: &DeviceName) -> Option<PresentedOffer> {
        let Targets { binding, version, .. } = self.targets.get(device)?;
        Some(PresentedOffer { offer: binding.offer.clone(), metadata_version: *version, is_current: true })
    }

    fn version(&self, device: &DeviceName) -> u64 {
        self.targets.get(device).map_or(0, |targets| targets.version)
    }

    fn put(&mut self, binding: Binding, version: u64) {
        let device = binding.device.clone();
        let before = self.targets.remove(&device);
        let mut earlier = before.as_ref().map(|targets| targets.earlier.clone()).unwrap_or_default();
        earlier.extend(before.and_then(|targets| targets.binding.offer));
        self.targets.insert(device, Targets { binding, version, earlier });
    }
}

/// Fills an empty database with what the store remembers, as `restore` does: whoever was offered something is waited for.
fn fill(database: &mut Database, store: &Store, now: Timestamp) {
    for (device, Targets { binding, version, earlier }) in &store.targets {
        let Some(EnrolledBy { enrollment, entry }) = binding.enrolled.clone() else { continue };
        for signed in binding.offer.iter().chain(earlier) {
            let offered = OfferedRow {
                device: device.clone(),
                version: signed.version,
                fleet: signed.fleet.clone(),
                template: signed.template,
                digest: signed.digest,
                offered_at: now,
            };
            if !database.offered.iter().any(|known| known.device == *device && known.version == offered.version) {
                database.offered.push(offered);
            }
        }
        let offer = binding.offer.clone();
        let row = DeviceRow {
            name: device.clone(),
            enrollment,
            entry,
            enrolled_at: now,
            reported: None,
            last_seen: None,
            last_progress: None,
            awaiting_reconnect: offer.is_some() || !earlier.is_empty(),
            offer: offer.map(|signed| OfferRow { signed, offered_at: now, acknowledged_at: None }),
            paused: None,
            metadata_version: *version,
            allows: None,
        };
        database.devices.insert(device.clone(), row);
    }
    for (fleet, FleetRecord { sequence, record, .. }) in &store.records {
        let row = RolloutRow { fleet: fleet.clone(), sequence: *sequence, record: record.clone() };
        database.rollouts.insert(fleet.clone(), row);
    }
}
