//! Sets the scene: which devices there are, what they run, and what a landing makes of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bellwether_schemas::manifest::Labels;
use bellwether_schemas::{CommitId, DeviceName, EnrollmentName, EntryId, FleetName, Seconds, Sha256Digest};
use jiff::Timestamp;

use super::scene::{Approvals, Before, Scene, VirtualDevice};
use crate::declare::{Declared, Facts, FleetLine, Inventory, Subject, TemplateAt};
use crate::objects::{ObjectError, ObjectSource};
use crate::plan::{HoldNote, Landing};
use crate::render::{Contents, RenderError, render};
use crate::verify::VerifiedHistory;

/// Why there is nothing to simulate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotStaged {
    /// There is no such fleet.
    #[error("there is no fleet {0}")]
    NoSuchFleet(FleetName),
    /// Nothing rolls out.
    #[error("the target of fleet {fleet} is that of landing {landing} at both commits, so nothing rolls out")]
    NothingChanges {
        /// The fleet.
        fleet: FleetName,
        /// The number of its template commit.
        landing: u64,
    },
    /// The fleet has no devices.
    #[error("fleet {0} selects no device")]
    NoDevices(FleetName),
    /// What judges the target cannot be read: the rollout does not start.
    #[error("no version of rollouts/{0}.yaml is valid, so its fleet does not start")]
    RolloutUnread(FleetName),
    /// An object cannot be read.
    #[error("an object of the repository cannot be read")]
    Object(#[from] ObjectError),
}

/// Two commits of a repository, and a fleet.
#[derive(Clone, Copy)]
pub struct Stage<'a> {
    /// The objects of the repository.
    pub objects: &'a dyn ObjectSource,
    /// The history up to the second commit.
    pub history: &'a VerifiedHistory,
    /// What is declared at the first commit: what devices run. None to simulate the next release after the second commit:
    /// everybody runs what is declared there, and something else rolls out, judged by the Rollout that is there now.
    pub before: Option<&'a Declared>,
    /// What is declared at the second commit.
    pub after: &'a Declared,
    /// The fleet.
    pub fleet: &'a FleetName,
}

/// A device that is known somehow.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Its name.
    pub name: DeviceName,
    /// By which entry it came, if that is known.
    pub entry: Option<(EnrollmentName, EntryId)>,
    /// Its labels, where git does not say.
    pub labels: Labels,
    /// The device that it is like in all but its name: it is made up.
    pub like: Option<Subject>,
}

/// The devices of the fleet among those that are known, in the order of their names, each once.
pub fn known_devices(stage: &Stage<'_>, known: Vec<Known>) -> Vec<Known> {
    let admissions = stage.after.inventory().admissions();
    let is_gone = |name: &DeviceName| admissions.is_decommissioned(name) || admissions.is_device_revoked(name);
    let takes = |device: &Known| {
        let facts = device.facts(stage.after.inventory());
        stage.after.fleets_of(&device.name, &facts) == [stage.fleet] && !is_gone(&device.name)
    };
    let devices: BTreeMap<DeviceName, Known> =
        known.into_iter().filter(takes).map(|device| (device.name.clone(), device)).collect();
    devices.into_values().collect()
}

/// So many made-up devices, spread over the labels and variables of the members that git knows as those are: where one in a
/// hundred is a canary, so is one in a hundred of these, but at least one.
pub fn virtual_devices(stage: &Stage<'_>, count: u32) -> Vec<Known> {
    let Some(line) = stage.after.fleets().get(stage.fleet) else { return Vec::new() };
    let mut kinds: BTreeMap<(Labels, String, Labels), (u64, &Subject)> = BTreeMap::new();
    let unnamed = stage.after.inventory().unnamed_entries();
    for subject in line.subjects() {
        let Facts { labels, vars } = stage.after.inventory().subject_facts(subject);
        let vars = serde_json::to_string(&vars).expect("variables are JSON already");
        let placing = stage.placing(line, subject, &labels);
        kinds.entry((labels, vars, placing)).or_insert((0, subject)).0 += unnamed.get(subject).copied().unwrap_or(1);
    }
    let weights: Vec<u64> = kinds.values().map(|(weight, _)| *weight).collect();
    let counts = shares(&weights, u64::from(count));
    let likes = kinds.values().zip(counts).flat_map(|((_, like), count)| (0..count).map(move |_| *like));
    let device = |(i, like): (usize, &Subject)| Known {
        name: format!("virtual-{:06}", i + 1).parse().expect("a name of letters and digits"),
        entry: None,
        labels: Labels::new(),
        like: Some(like.clone()),
    };
    likes.enumerate().map(device).collect()
}

/// Divides `count` by weights: each has one at least, as far as that goes.
fn shares(weights: &[u64], count: u64) -> Vec<u64> {
    let all: u64 = weights.iter().sum();
    let mut counts: Vec<u64> = weights.iter().map(|weight| (count * weight / all.max(1)).max(1)).collect();
    // Whoever lost most by rounding gets what is left over.
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(count * weights[*i] % all.max(1)));
    for i in order.iter().cycle().take(weights.len()) {
        if counts.iter().sum::<u64>() < count {
            counts[*i] += 1;
        }
    }
    while counts.iter().sum::<u64>() > count {
        let (most, _) = counts.iter().enumerate().max_by_key(|(_, count)| **count).expect("there is one to take from");
        counts[most] -= 1;
    }
    counts
}

impl Known {
    fn facts(&self, inventory: &Inventory) -> Facts {
        match (&self.like, &self.entry) {
            (Some(like), _) => inventory.subject_facts(like),
            (None, Some((enrollment, entry))) => inventory.facts(&self.name, enrollment, entry),
            (None, None) if inventory.names(&self.name) => inventory.subject_facts(&Subject::Device(self.name.clone())),
            (None, None) => Facts { labels: self.labels.clone(), ..Facts::default() },
        }
    }
}

impl<'a> Stage<'a> {
    /// The scene with these devices.
    ///
    /// # Errors
    /// Why there is nothing to simulate.
    pub fn set(&self, devices: &[Known], start: Timestamp, horizon: Seconds) -> Result<Scene<'a>, NotStaged> {
        let line = self.after.fleets().get(self.fleet).ok_or_else(|| NotStaged::NoSuchFleet(self.fleet.clone()))?;
        if line.is_rollout_unread() {
            return Err(NotStaged::RolloutUnread(self.fleet.clone()));
        }
        if devices.is_empty() {
            return Err(NotStaged::NoDevices(self.fleet.clone()));
        }
        let head = self.after.head();
        let number_of = |commit: &CommitId| self.history.number_of(commit);
        let holds = self.after.holds(self.fleet);
        let mut scene = Scene {
            fleet: self.fleet.clone(),
            history: self.history,
            before: None,
            target: line.target.landing,
            head,
            rollout: line.rollout.clone(),
            decisions: self.after.decisions(&line.target, &[], number_of),
            holds: holds
                .map(|(path, why)| HoldNote { path: path.to_owned(), reason: why.to_owned(), since: None })
                .collect(),
            devices: Vec::new(),
            start,
            horizon,
            approvals: Approvals::After(Seconds::ZERO),
        };
        let mut painter = Painter { stage: self, known: HashMap::new(), likes: BTreeMap::new() };
        match self.before {
            Some(before) => {
                let running = before.fleets().get(self.fleet).map(|line| &line.target);
                if running.is_some_and(|running| running.landing == line.target.landing) {
                    let landing = line.target.landing.number;
                    return Err(NotStaged::NothingChanges { fleet: self.fleet.clone(), landing });
                }
                scene.before = running.map(|template| Before { head: before.head(), template: template.landing });
                for device in devices {
                    let digest = running.map(|running| painter.paint(running, device, before)).transpose()?;
                    let target = painter.paint(&line.target, device, self.after)?;
                    scene.devices.push(self.device(line, device, digest.and_then(Result::ok), target));
                }
            }
            None => {
                // A template that is not there yet has no commit.
                let made_up = Sha256Digest::of(line.target.landing.commit.as_bytes());
                let commit = CommitId::from_bytes(&made_up.as_bytes()[..20]).expect("20 bytes make an id");
                scene.before = Some(Before { head, template: Landing { commit, ..line.target.landing } });
                scene.target = head;
                scene.rollout = line.next_rollout().clone();
                scene.decisions = crate::plan::Decisions::default();
                for device in devices {
                    let target = painter.paint(&line.target, device, self.after)?;
                    let before = target.as_ref().ok().map(|digest| Sha256Digest::of(digest.as_bytes()));
                    scene.devices.push(self.device(line, device, before, target));
                }
            }
        }
        Ok(scene)
    }

    fn device(
        &self,
        line: &FleetLine,
        known: &Known,
        before: Option<Sha256Digest>,
        target: Result<Sha256Digest, String>,
    ) -> VirtualDevice {
        let labels = Arc::new(known.facts(self.after.inventory()).labels);
        let wave_labels = match (&known.like, &known.entry) {
            _ if self.before.is_none() => None,
            (Some(like), _) => Some(self.placing(line, like, &labels)),
            (None, Some((enrollment, entry))) => line.judged.placing_labels(&known.name, enrollment, entry),
            (None, None) => Some(self.placing(line, &Subject::Device(known.name.clone()), &labels)),
        };
        let wave_labels = wave_labels.filter(|placing| *placing != *labels).map_or_else(|| labels.clone(), Arc::new);
        let pin = if known.like.is_none() { self.after.pin(&known.name) } else { None };
        VirtualDevice { name: known.name.clone(), labels, wave_labels, before, target, pin }
    }

    /// The labels that place a member into waves.
    fn placing(&self, line: &FleetLine, subject: &Subject, labels: &Labels) -> Labels {
        match subject {
            Subject::Device(device) if line.judged.names(device) && self.before.is_some() => {
                line.judged.subject_facts(subject).labels
            }
            Subject::Device(_) | Subject::Unnamed(..) => labels.clone(),
        }
    }
}

/// Renders for many devices; those that are made up after the same one share what it gets.
struct Painter<'a> {
    stage: &'a Stage<'a>,
    known: HashMap<bellwether_schemas::ObjectId, bellwether_schemas::spec::TargetRef>,
    likes: BTreeMap<(u64, Subject), Result<Sha256Digest, String>>,
}

impl Painter<'_> {
    fn paint(
        &mut self,
        template: &TemplateAt,
        device: &Known,
        at: &Declared,
    ) -> Result<Result<Sha256Digest, String>, ObjectError> {
        let key = device.like.clone().map(|like| (template.landing.number, like));
        if let Some(found) = key.as_ref().and_then(|key| self.likes.get(key)) {
            return Ok(found.clone());
        }
        let facts = device.facts(at.inventory());
        let mut contents = Contents::new(self.stage.objects, &mut self.known);
        let digest = match render(template, &device.name, &facts, &mut contents) {
            Ok(rendered) => Ok(rendered.digest),
            Err(RenderError::Object(error)) => return Err(error),
            Err(error) => Err(error.to_string()),
        };
        if let Some(key) = key {
            self.likes.insert(key, digest.clone());
        }
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_in_proportion_and_nobody_is_left_out() {
        for (weights, count, expected) in [
            (&[1, 99][..], 100, &[1, 99][..]),
            (&[1, 999], 100, &[1, 99]),
            (&[1, 1, 1], 100, &[34, 33, 33]),
            (&[3, 97], 1_000, &[30, 970]),
            (&[1, 1, 1], 2, &[1, 1, 0]),
            (&[5], 7, &[7]),
            (&[], 7, &[]),
        ] {
            let mut found = shares(weights, count);
            if count < 3 {
                found.sort_unstable_by_key(|share| std::cmp::Reverse(*share));
            }
            assert_eq!(found, expected, "{weights:?} {count}");
        }
    }
}
