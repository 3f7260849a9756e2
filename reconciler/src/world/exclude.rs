//! Devices that are out of every rollout: which, why, since when, and that people are told.

use bellwether_core::admission::{Admission, Domain, Identity};
use bellwether_core::classify::{Pause, Standing};
use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::{CommitId, DeviceName, codes};
use jiff::Timestamp;

use super::{Device, World};
use crate::repository::Repository;
use crate::store::{EventRow, StoredEvent};

// Kinds of events.
const PAUSED: &str = "paused";
const REVOKED: &str = "revoked";
const DECOMMISSIONING: &str = "decommissioning";

impl World {
    /// Finds the devices that are out of every rollout, and why.
    pub(super) fn exclude(&mut self, domain: &Domain, now: Timestamp) {
        for name in self.touched.clone() {
            let device = self.devices.get_mut(&name).expect("only known devices are touched");
            let identity = device.identity(domain);
            let wanted = &self.lookups.wanted;
            let excluded = match self.gone.of(&device.row) {
                Some(at) => Some(WaitingOn::Decommissioned { at }),
                None => device.exclusion(&self.repository, &identity, |commit| wanted.contains(commit)),
            };
            if device.row.paused == excluded {
                continue;
            }
            let told = device.row.binding().decommission;
            device.out_since = excluded.is_some().then_some(now);
            let before = std::mem::replace(&mut device.row.paused, excluded);
            if device.row.binding().decommission != told {
                // What it was offered is withdrawn with this; taken back, it is offered anew.
                device.row.offer = None;
                self.backlog.add_first(name.clone());
            }
            let [was, is] = [&before, &device.row.paused].map(Option::as_ref);
            self.pauses_moved |= [was, is].into_iter().flatten().any(|why| matches!(why, WaitingOn::Paused { .. }));
            let [was_gone, is_gone] = [was, is].map(|why| why.is_some_and(WaitingOn::is_gone));
            let event = event(&name, was, is, now);
            self.unsaved.insert(name.clone());
            self.due(&name);
            if was_gone != is_gone {
                self.count_again(&name);
            }
            event.into_iter().for_each(|event| self.event(event));
        }
    }
}

/// What tells that a device is out of the rollouts as `is` says, or takes part again; `was` is why it was out before.
fn event(name: &DeviceName, was: Option<&WaitingOn>, is: Option<&WaitingOn>, at: Timestamp) -> Option<EventRow> {
    let (kind, code, message) = match is {
        Some(WaitingOn::Paused { code, why, .. }) => (PAUSED, Some(code.clone()), format!("{name} is paused: {why}")),
        Some(WaitingOn::Revoked { code, why }) => (REVOKED, Some(code.clone()), format!("{name} is refused: {why}")),
        Some(WaitingOn::Decommissioning) => {
            (DECOMMISSIONING, None, format!("{name} is told to remove everything that was placed on it"))
        }
        Some(WaitingOn::Decommissioned { .. }) => {
            let code = codes::DEVICE_DECOMMISSIONED.to_string();
            ("decommissioned", Some(code), format!("{name} has removed everything, and is refused from now on"))
        }
        Some(_) => return None,
        None => {
            // Otherwise nobody was told that it was out.
            event(name, None, Some(was?), at)?;
            ("resumed", None, format!("{name} takes part again"))
        }
    };
    Some(EventRow { at, kind: kind.to_owned(), device: Some(name.clone()), fleet: None, code, message })
}

impl Device {
    /// Learns from an event of an earlier run since when it is out of every rollout. The newest comes first.
    pub(super) fn recall_exclusion(&mut self, told: &StoredEvent) {
        let kind = match &self.row.paused {
            Some(WaitingOn::Paused { .. }) => PAUSED,
            Some(WaitingOn::Revoked { .. }) => REVOKED,
            Some(WaitingOn::Decommissioning) => DECOMMISSIONING,
            _ => return,
        };
        if told.event.kind == kind {
            self.out_since.get_or_insert(told.event.at);
        }
    }

    /// Why it is out of every rollout, where it is.
    fn exclusion(
        &self,
        repository: &Repository,
        identity: &Identity,
        is_wanted: impl Fn(&CommitId) -> bool,
    ) -> Option<WaitingOn> {
        let paused = |code: &str, why: String, commit| WaitingOn::Paused { code: code.to_owned(), why, commit };
        let admissions = repository.declared().map(|declared| declared.inventory().admissions());
        match admissions.map(|admissions| admissions.admit(identity)) {
            Some(Admission::Refused { code, why }) => {
                return Some(WaitingOn::Revoked { code: code.to_string(), why });
            }
            Some(Admission::ReportOnly { why }) => {
                return Some(paused(codes::ENTRY_UNLISTED.as_str(), why, None));
            }
            Some(Admission::Full) | None => {}
        }
        // Git's last word on the device: before anything about what it runs, which it shall remove.
        if admissions.is_some_and(|admissions| admissions.is_decommissioned(&self.row.name)) {
            return Some(WaitingOn::Decommissioning);
        }
        // What it said before its records were lost judges it no more.
        if self.row.awaiting_reconnect {
            return Some(WaitingOn::AwaitingReconnect);
        }
        match &self.standing {
            Standing::Paused(Pause { commit: Some(commit), .. })
                if is_wanted(commit) && !self.is_paused_for(commit) =>
            {
                Some(WaitingOn::Lookup { commit: *commit })
            }
            Standing::Paused(pause) => Some(paused(pause.code.as_str(), pause.why.clone(), pause.commit)),
            Standing::Normal { .. } => None,
        }
    }
}
