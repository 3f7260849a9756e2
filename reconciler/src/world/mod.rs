//! Everything the reconciler knows, in memory: the repository, the devices and the rollouts. `tick` moves it.
//!
//! The database holds the same, so that a start finds it again; nothing here is true because it is in a database only.

mod alarms;
mod backlog;
mod decided;
mod device;
mod exclude;
mod execute;
mod fleet;
mod gone;
mod milestones;
mod observe;
mod planning;
mod recall;
mod records;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bellwether_core::admission::VoidTokens;
use bellwether_core::classify::Alarms;
use bellwether_core::declare::EntryKey;
use bellwether_schemas::allow::Allowlists;
use bellwether_schemas::spec::TargetRef;
use bellwether_schemas::{CommitId, DeviceName, FleetName, ObjectId, Seconds, codes};
use jiff::Timestamp;

use backlog::Backlog;
pub use device::{Device, Placement};
pub use execute::Publication;
use fleet::FleetState;
use gone::Gone;
pub use observe::{Answer, PresentedOffer};
use records::Unwritten;

use crate::brake::LocalHolds;
use crate::publish::{DecommissionRecord, Expected};
use crate::repository::Repository;
use crate::store::{EventRow, HeadRow, LandingRow, Loaded, OfferedRow, PlanChange, PlanId, RolloutRow};

/// What decides when a device is stale and how often it reports.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Seconds between heartbeats.
    pub heartbeat: Seconds,
    /// After which silence a device is stale.
    pub stale_after: Seconds,
    /// Since when the listeners are up.
    pub serving_since: Timestamp,
}

/// Everything the reconciler knows.
pub struct World {
    /// The repository.
    pub repository: Repository,
    /// When an earlier run last heard of any device.
    heard_before: Option<Timestamp>,
    /// When it was stored last that any device was heard of.
    heard_stored: Timestamp,
    /// The newest stored plan.
    pub plan: PlanId,
    /// The accepted head as the database has it.
    pub stored_head: Option<HeadRow>,
    /// Landings that are accepted and not stored yet, rising.
    pub unstored: Vec<LandingRow>,
    timing: Timing,
    devices: BTreeMap<DeviceName, Device>,
    /// What the operators of devices allow.
    allowlists: Allowlists,
    /// Offers to devices that were forgotten: should one come back, their versions are never given again.
    past: BTreeMap<DeviceName, Vec<OfferedRow>>,
    fleets: BTreeMap<FleetName, FleetState>,
    lookups: Lookups,
    /// What was learnt about blobs of the repository; they never change.
    blobs: HashMap<ObjectId, TargetRef>,
    /// What the next commit of a plan must store.
    change: PlanChange,
    /// Devices whose row is not stored as it is.
    unsaved: BTreeSet<DeviceName>,
    /// Devices whose signed targets are not what their row says.
    backlog: Backlog,
    /// Rollout records that are stored, and not in the object store yet.
    records: Unwritten,
    /// Entries whose tokens are spent, as certificates prove that were not known of.
    proven: BTreeSet<EntryKey>,
    /// Tokens whose records are lost; and with them, the records of rollouts.
    pub void: VoidTokens,
    /// Whether database and store were found to be older than what devices hold.
    is_behind: bool,
    /// Devices that were placed or judged since the last plan: only for them can an exclusion or a fleet be another.
    touched: BTreeSet<DeviceName>,
    /// Whether anybody was paused or let go since missing commits were told of last.
    pauses_moved: bool,
    /// What was told of them.
    alarms: Alarms,
    /// Devices that have removed everything.
    gone: Gone,
    /// What holds offers without git.
    local: LocalHolds,
}

/// Commits that devices name and the history does not have: each is fetched for once before anybody is paused.
#[derive(Debug, Default)]
struct Lookups {
    /// Whether a head that was accepted before is to be fetched for.
    anchor: bool,
    wanted: BTreeSet<CommitId>,
    done: BTreeSet<CommitId>,
}

impl World {
    /// What an earlier run left, or nothing. A record of a rollout that this release cannot read counts as lost, and is told:
    /// a newer release wrote it, and then this one was put back.
    pub fn new(repository: Repository, timing: Timing, loaded: Loaded) -> Self {
        let allowlists = loaded.devices.iter().filter_map(|row| row.allows.clone()).collect();
        let mut devices: BTreeMap<DeviceName, Device> =
            loaded.devices.into_iter().map(|row| (row.name.clone(), Device::new(row))).collect();
        let (mut past, mut forgotten) = (BTreeMap::<DeviceName, Vec<OfferedRow>>::new(), Vec::new());
        for offered in loaded.offered {
            match devices.get_mut(&offered.device) {
                Some(device) => forgotten.extend(device.remember(offered)),
                None => past.entry(offered.device.clone()).or_default().push(offered),
            }
        }
        for told in &loaded.events {
            if let Some(device) = told.event.device.as_ref().and_then(|name| devices.get_mut(name)) {
                device.recall_exclusion(told);
            }
        }
        let (mut fleets, mut unreadable) = (BTreeMap::<FleetName, FleetState>::new(), Vec::new());
        for RolloutRow { fleet, sequence, record } in loaded.rollouts {
            let state = match serde_json::from_value(record) {
                Ok(record) => FleetState::loaded(record, sequence),
                Err(why) => {
                    unreadable.push((fleet.clone(), why));
                    FleetState { lost: true, sequence, ..FleetState::default() }
                }
            };
            fleets.insert(fleet, state);
        }
        let heard_before = devices.values().filter_map(|device| device.row.last_seen).max();
        let mut world = Self {
            repository,
            heard_before,
            heard_stored: Timestamp::MIN,
            plan: loaded.plan,
            stored_head: loaded.head,
            unstored: Vec::new(),
            timing,
            devices,
            allowlists,
            past,
            fleets,
            lookups: Lookups::default(),
            blobs: HashMap::new(),
            change: PlanChange { forgotten, ..PlanChange::default() },
            unsaved: BTreeSet::new(),
            backlog: Backlog::default(),
            records: Unwritten::default(),
            proven: BTreeSet::new(),
            void: VoidTokens::None,
            is_behind: false,
            touched: BTreeSet::new(),
            pauses_moved: true,
            alarms: Alarms::default(),
            gone: Gone::default(),
            local: LocalHolds::default(),
        };
        world.place_all();
        for (fleet, why) in unreadable {
            world.record_is_unreadable(fleet, &why);
        }
        world
    }

    fn record_is_unreadable(&mut self, fleet: FleetName, why: &serde_json::Error) {
        let message = format!(
            "the record of {fleet}'s rollout cannot be read ({why}), as one of a newer release: it begins again at its first \
             wave, and what failed on a device is not tried on it again"
        );
        tracing::warn!(code = %codes::RECORDS_BEHIND, "{message}");
        let (kind, code) = ("restored".to_owned(), Some(codes::RECORDS_BEHIND.to_string()));
        let at = self.timing.serving_since;
        self.change.events.push(EventRow { at, kind, device: None, fleet: Some(fleet), code, message });
    }

    /// Takes the records of devices that have removed everything.
    pub fn take_decommissioned(&mut self, records: Vec<DecommissionRecord>) {
        self.gone.take(records);
        self.place_all();
    }

    /// What is to be written of devices that left or came back: a record each, or none any more.
    pub fn departures(&self) -> Vec<(DeviceName, Option<DecommissionRecord>)> {
        self.gone.unwritten().iter().map(|(device, record)| (device.clone(), record.clone())).collect()
    }

    /// The devices.
    pub fn devices(&self) -> &BTreeMap<DeviceName, Device> {
        &self.devices
    }

    /// Says that the signed targets of these devices must be written again.
    pub fn republish(&mut self, devices: impl IntoIterator<Item = DeviceName>) {
        devices.into_iter().for_each(|device| self.backlog.add(device));
    }

    /// What the store should have of a device.
    pub fn expected(&self, device: &DeviceName) -> Option<Expected> {
        let row = &self.devices.get(device)?.row;
        Some(Expected { binding: row.binding(), floor: row.metadata_version })
    }

    /// Whether the metadata of a device may be signed again as it is: it says what was decided, and the device is not waited
    /// for.
    pub fn may_renew(&self, device: &DeviceName) -> bool {
        let is_awaited = self.devices.get(device).is_some_and(|device| device.row.awaiting_reconnect);
        let is_gone = self.devices.get(device).is_some_and(|device| self.gone.of(&device.row).is_some());
        !is_awaited && !is_gone && !self.backlog.contains(device)
    }

    /// Whether there is more to publish at once.
    pub fn has_backlog(&self) -> bool {
        self.backlog.is_waiting()
    }

    /// Takes landings that are to be stored. They replace those with the same numbers: a reset may come before others were.
    pub fn take_landings(&mut self, landings: Vec<LandingRow>) {
        if let Some(first) = landings.first() {
            self.unstored.retain(|landing| landing.number < first.number);
        }
        self.unstored.extend(landings);
    }

    /// Has the repository fetched once more if a head that was accepted before is missing from it.
    pub fn look_up_anchor(&mut self) {
        self.lookups.anchor = self.repository.lacks_anchor();
    }

    /// Whether a commit that a device named is to be fetched for.
    pub fn wants_fetch(&self) -> bool {
        self.lookups.anchor || !self.lookups.wanted.is_empty()
    }

    /// The repository was fetched: what was looked up and is still missing is missing.
    pub fn fetched(&mut self) {
        self.lookups.anchor = false;
        let wanted = std::mem::take(&mut self.lookups.wanted);
        self.lookups.done.extend(wanted);
        self.judge_all();
        // What could not be read may be there now.
        for fleet in self.fleets.values_mut().filter(|fleet| fleet.unplanned) {
            fleet.wake_at = Some(Timestamp::MIN);
        }
        // Devices may name what they like: what none names any more is forgotten.
        let missing: BTreeSet<CommitId> = self.devices.values().filter_map(Device::missing_commit).collect();
        self.lookups.done.retain(|commit| missing.contains(commit));
    }

    /// Takes what holds offers without git.
    pub fn take_local_holds(&mut self, local: LocalHolds) {
        if self.local != local {
            tracing::info!(holds = ?local.holds, "the local holds are others now");
            self.local = local;
            self.fleets.values_mut().for_each(|fleet| fleet.anew = true);
        }
    }

    /// The accepted head or the condition moved: devices are placed and judged anew, and every fleet is planned.
    pub fn moved(&mut self) {
        self.place_all();
    }

    /// When the world changes by itself next.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let fleets = self.fleets.values();
        let at_once = |fleet: &FleetState| (fleet.due && !fleet.unplanned).then_some(Timestamp::MIN);
        let fleets = fleets.flat_map(|fleet| [fleet.wake_at, fleet.notes_due, at_once(fleet)]);
        fleets
            .flatten()
            .chain(self.records.due_at())
            .chain(self.backlog.retry_at())
            .chain(self.repository.freezes_at())
            .min()
    }

    fn place_all(&mut self) {
        let names: Vec<DeviceName> = self.devices.keys().cloned().collect();
        for name in &names {
            self.place(name);
        }
        self.judge_all();
        for fleet in self.fleets.values_mut() {
            fleet.anew = true;
        }
    }

    /// Finds the labels and the fleet of a device at the head.
    fn place(&mut self, name: &DeviceName) {
        let Some(device) = self.devices.get_mut(name) else { return };
        self.touched.insert(name.clone());
        let before = device.placement.fleet().cloned();
        let changed = self.repository.declared().is_some_and(|declared| device.place(declared));
        let after = device.placement.fleet().cloned();
        if before != after
            && let Some(fleet) = before.and_then(|fleet| self.fleets.get_mut(&fleet))
        {
            fleet.members.remove(name);
            fleet.anew = true;
        }
        if let Some(fleet) = after {
            let fleet = self.fleets.entry(fleet).or_default();
            fleet.anew |= fleet.members.insert(name.clone()) || changed;
        }
    }

    fn event(&mut self, event: EventRow) {
        tracing::info!(
            kind = event.kind,
            device = event.device.as_ref().map(tracing::field::display),
            fleet = event.fleet.as_ref().map(tracing::field::display),
            code = event.code,
            "{}",
            event.message
        );
        self.change.events.push(event);
    }
}
