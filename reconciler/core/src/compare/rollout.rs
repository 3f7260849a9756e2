//! How a change would roll out: the simulator, with what each device runs and would run.

use std::sync::Arc;

use bellwether_schemas::manifest::{Labels, Rollout};
use bellwether_schemas::{CommitId, Seconds, Sha256Digest};
use jiff::Timestamp;

use super::{Change, Device, FleetChange, FleetFate, Member, Sides};
use crate::declare::FleetLine;
use crate::plan::{Decisions, HoldNote, Landing};
use crate::simulate::{Approvals, Before, Faults, Outcome, Scene, VirtualDevice, simulate};

/// For how long is simulated at most.
const HORIZON: Seconds = Seconds::new(90 * 86_400);

/// How a change would roll out when nothing goes wrong.
#[derive(Debug, Clone)]
pub struct Forecast {
    /// The Rollout that judges it.
    pub rollout: Arc<Rollout>,
    /// What would become of it.
    pub outcome: Outcome,
}

/// Simulates the rollout of a fleet's change that lands at `start`; none where its target is what it was, nobody gets anything
/// by it, or no Rollout can be read.
pub fn forecast(sides: &Sides<'_>, change: &FleetChange<'_>, start: Timestamp) -> Option<Forecast> {
    if matches!(change.fate, FleetFate::Goes | FleetFate::Stays) || change.rolled_out().next().is_none() {
        return None;
    }
    let (before, after) =
        (sides.before.fleets().get(&change.fleet), sides.after.declared().fleets().get(&change.fleet)?);
    if after.is_rollout_unread() {
        return None;
    }
    let head = sides.before.head();
    // The change itself has no number yet: what runs is given a commit of its own, and the change rolls out as the head.
    let made_up = Sha256Digest::of(head.commit.as_bytes());
    let commit = CommitId::from_bytes(&made_up.as_bytes()[..20]).expect("20 bytes make an id");
    let holds = sides.after.declared().holds(&change.fleet);
    let mut devices: Vec<_> = change.members.iter().map(|member| virtual_device(sides, after, member)).collect();
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    let scene = Scene {
        fleet: change.fleet.clone(),
        history: sides.history,
        before: before.map(|before| Before { head, template: Landing { commit, ..before.target.landing } }),
        target: head,
        head,
        rollout: after.rollout.clone(),
        decisions: Decisions::default(),
        holds: holds
            .map(|(path, why)| HoldNote { path: path.to_owned(), reason: why.to_owned(), since: None })
            .collect(),
        devices,
        start,
        horizon: HORIZON,
        approvals: Approvals::After(Seconds::ZERO),
    };
    let in_time = Seconds::new(after.rollout.device_timeout.get() / 3);
    let faults = Faults { apply_time: Faults::default().apply_time.min(in_time), ..Faults::default() };
    let outcome = simulate(&scene, &faults, 1);
    Some(Forecast { rollout: after.rollout.clone(), outcome })
}

/// The labels that place a device into waves: those of the landing before, if git knew it there.
pub(super) fn wave_labels(sides: &Sides<'_>, line: &FleetLine, device: &Device) -> Labels {
    let placing = match &device.entry {
        Some((enrollment, entry)) => line.judged.placing_labels(&device.name, enrollment, entry),
        None => device.labels(&line.judged),
    };
    placing.unwrap_or_else(|| device.facts(sides.after.declared().inventory()).labels)
}

fn virtual_device(sides: &Sides<'_>, line: &FleetLine, member: &Member<'_>) -> VirtualDevice {
    let device = member.device;
    let labels = Arc::new(device.facts(sides.after.declared().inventory()).labels);
    let placing = wave_labels(sides, line, device);
    let wave_labels = if placing == *labels { labels.clone() } else { Arc::new(placing) };
    let (before, target) = match &member.change {
        Change::None(digest) => (Some(*digest), Ok(*digest)),
        Change::Spec { before, after, .. } => (*before, Ok(*after)),
        Change::Unrendered(why) => (None, Err(why.clone())),
    };
    // Who is pinned takes no part: it is where its pin keeps it, or on the way there.
    let pin = sides.after.declared().pin(&device.name);
    let before = if pin.is_some() { target.clone().ok() } else { before };
    VirtualDevice { name: device.name.clone(), labels, wave_labels, before, target, pin }
}
