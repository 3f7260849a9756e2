//! What a change does to which devices, before it lands.
//!
//! In: what the accepted history declares, what would be declared after the change, and the devices that somebody knows.
//! Out: for each fleet that changes the devices that would get something else, each distinct change once with one device
//! as its example, and what is dangerous about it. Rendered by the same code as everything that is offered.

mod change;
mod decision;
mod device;
mod loosened;
mod risk;
mod rollout;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bellwether_schemas::manifest::{Labels, SelectorIndex};
use bellwether_schemas::spec::TargetRef;
use bellwether_schemas::{CommitId, DeviceName, FleetName, ObjectId};
use rayon::prelude::*;

use crate::declare::{Declared, EntryKey, Proposal};
use crate::objects::{ObjectError, ObjectSource};
use crate::verify::{PathChange, VerifiedHistory};

pub use change::{Change, FleetChange, FleetFate, Member, Shown, Variant};
pub use decision::Decision;
pub use device::Device;
pub use risk::Risk;
pub use rollout::{Forecast, forecast};

/// Both sides of a change.
#[derive(Clone, Copy)]
pub struct Sides<'a> {
    /// The objects of the repository.
    pub objects: &'a dyn ObjectSource,
    /// The accepted history, which leads up to the landing before the change.
    pub history: &'a VerifiedHistory,
    /// What is declared without the change.
    pub before: &'a Declared,
    /// What would be declared with it.
    pub after: &'a Proposal,
    /// The paths that it changes.
    pub changes: &'a [PathChange],
}

/// What a change does.
#[derive(Debug, Clone)]
pub struct Comparison<'d> {
    /// How many devices are known.
    pub devices: usize,
    /// The fleets whose devices get something else, or that come or go, by name.
    pub fleets: Vec<FleetChange<'d>>,
    /// What people decide by it, by path.
    pub decisions: Vec<Decision>,
    /// Devices that are in no fleet any more and keep what they run.
    pub orphaned: Vec<&'d Device>,
    /// Devices that several fleets select from now on, and these fleets.
    pub overlapping: Vec<(&'d Device, Vec<FleetName>)>,
    /// Devices whose certificates are refused from now on.
    pub revoked: Vec<&'d Device>,
    /// Devices that leave for good.
    pub decommissioned: Vec<&'d Device>,
    /// Devices that another entry names from now on: the certificates they have are refused, and they enroll anew.
    pub replaced: Vec<&'d Device>,
    /// Devices that were shut out, and may speak again.
    pub readmitted: Vec<&'d Device>,
    /// Devices that may enroll from now on.
    pub admitted: usize,
    /// Devices of which git has other labels than the inventory: those of git count.
    pub relabelled: usize,
    /// What is dangerous, the worst first.
    pub risks: Vec<Risk>,
}

/// Where a device stands on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place<'s> {
    /// It is not known, or in no fleet.
    None,
    Fleet(&'s FleetName),
    Several(Vec<&'s FleetName>),
}

impl<'s> Place<'s> {
    const fn fleet(&self) -> Option<&'s FleetName> {
        match self {
            Self::Fleet(fleet) => Some(fleet),
            Self::None | Self::Several(_) => None,
        }
    }
}

/// One side, with its selectors in reach.
struct Side<'s> {
    declared: &'s Declared,
    index: SelectorIndex<'s, &'s FleetName>,
}

impl<'s> Side<'s> {
    fn of(declared: &'s Declared) -> Self {
        let selectors = declared.fleets().iter().map(|(name, line)| (&line.target.fleet.selector, name));
        Self { declared, index: SelectorIndex::new(selectors) }
    }

    fn place(&self, device: &DeviceName, labels: &Labels) -> Place<'s> {
        match self.index.matching(labels).as_slice() {
            [] => self.own(device).map_or(Place::None, Place::Fleet),
            [fleet] => Place::Fleet(fleet),
            several => Place::Several(several.iter().map(|fleet| **fleet).collect()),
        }
    }

    fn own(&self, device: &DeviceName) -> Option<&'s FleetName> {
        self.declared.fleets().get_key_value(&FleetName::of_device(device)).map(|(own, _)| own)
    }

    /// How a device stands here.
    fn standing(&self, device: &Device) -> Standing<'s> {
        let inventory = self.declared.inventory();
        let labels = device.labels(inventory);
        let place = labels.as_ref().map_or(Place::None, |labels| self.place(&device.name, labels));
        let is_relabelled = labels.as_ref().is_some_and(|labels| device.is_contradicted(labels));
        Standing {
            may_enroll: device.may_enroll(inventory),
            is_relabelled,
            ended: device.ended(inventory),
            pin: self.declared.pin(&device.name),
            entry: inventory.admissions().entry_of(&device.name),
            place,
        }
    }
}

/// How a device stands on one side.
#[derive(Clone)]
struct Standing<'s> {
    /// Whether an entry lets it enroll.
    may_enroll: bool,
    /// Whether git has other labels than the inventory.
    is_relabelled: bool,
    ended: Option<device::Ended>,
    pin: Option<CommitId>,
    /// The entry that names it.
    entry: Option<&'s EntryKey>,
    place: Place<'s>,
}

/// Devices that come to a fleet, or stay in it, with the fleet they were in.
type Members<'d, 's> = Vec<(&'d Device, Option<&'s FleetName>)>;

/// Compares what devices run with what they would run.
///
/// # Errors
/// An object of the repository cannot be read.
pub fn compare<'d>(sides: &Sides<'_>, devices: &'d [Device]) -> Result<Comparison<'d>, ObjectError> {
    let (before, after) = (Side::of(sides.before), Side::of(sides.after.declared()));
    let touched = touched(sides);
    let mut found = Comparison {
        devices: devices.len(),
        fleets: Vec::new(),
        decisions: decision::decisions(sides),
        orphaned: Vec::new(),
        overlapping: Vec::new(),
        revoked: Vec::new(),
        decommissioned: Vec::new(),
        replaced: Vec::new(),
        readmitted: Vec::new(),
        admitted: 0,
        relabelled: 0,
        risks: Vec::new(),
    };
    let mut members: BTreeMap<&FleetName, Members<'d, '_>> = BTreeMap::new();
    let mut left: BTreeMap<&FleetName, usize> = BTreeMap::new();
    let stand = |device: &'d Device| (device, before.standing(device), after.standing(device));
    let stood: Vec<_> = devices.par_iter().map(stand).collect();
    for (device, was, is) in stood {
        match (was.ended, is.ended) {
            (None, Some(device::Ended::Revoked)) => found.revoked.push(device),
            (None, Some(device::Ended::Decommissioned)) => found.decommissioned.push(device),
            (Some(_), None) => found.readmitted.push(device),
            _ => {}
        }
        if was.entry.is_some() && is.entry != was.entry && is.ended.is_none() {
            found.replaced.push(device);
        }
        found.relabelled += usize::from(is.is_relabelled);
        if is.ended.is_some() {
            continue;
        }
        found.admitted += usize::from(is.may_enroll && !was.may_enroll);
        let from = was.place.fleet();
        if from != is.place.fleet()
            && let Some(fleet) = from
        {
            *left.entry(fleet).or_default() += 1;
        }
        match is.place {
            Place::None if was.place != Place::None => found.orphaned.push(device),
            Place::Several(fleets) if !matches!(was.place, Place::Several(_)) => {
                found.overlapping.push((device, fleets.into_iter().cloned().collect()));
            }
            Place::Fleet(fleet) if touched.contains(fleet) || from != Some(fleet) || was.pin != is.pin => {
                members.entry(fleet).or_default().push((device, from));
            }
            Place::None | Place::Several(_) | Place::Fleet(_) => {}
        }
    }
    let mut painter = change::Painter { sides, known: HashMap::new() };
    let names: BTreeSet<&FleetName> =
        touched.iter().copied().chain(left.keys().copied()).chain(members.keys().copied()).collect();
    for fleet in names {
        let members = members.remove(fleet).unwrap_or_default();
        let change = painter.fleet(fleet, &members, left.get(fleet).copied().unwrap_or_default())?;
        found.fleets.extend(change.filter(FleetChange::is_any));
    }
    found.risks = risk::risks(sides, &found);
    Ok(found)
}

/// The fleets that have another target, that come, and that go.
fn touched<'s>(sides: &Sides<'s>) -> BTreeSet<&'s FleetName> {
    let (before, after) = (sides.before.fleets(), sides.after.declared().fleets());
    let is_other = |name: &&FleetName| match (before.get(*name), after.get(*name)) {
        (Some(before), Some(after)) => before.target.landing != after.target.landing,
        (before, after) => before.is_some() != after.is_some(),
    };
    before.keys().chain(after.keys()).filter(is_other).collect()
}

/// Targets of blobs that were read already.
type Targets = HashMap<ObjectId, TargetRef>;
