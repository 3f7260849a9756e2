//! The signed files that decide about a fleet or a device, and who stands for them.

use bellwether_core::plan::{BRAKE, Planner};
use bellwether_schemas::api::DecisionView;
use bellwether_schemas::manifest::AnyManifest;
use bellwether_schemas::{DeviceName, FleetName, WaveName};
use jiff::Timestamp;

use super::World;

/// A decision about the rollout of a fleet.
pub(super) struct Decided {
    pub(super) view: DecisionView,
    whom: Whom,
}

/// Whom a decision concerns.
enum Whom {
    /// Every member.
    Fleet,
    /// The members of these waves.
    Waves(Vec<WaveName>),
    /// These devices.
    Devices(Vec<DeviceName>),
}

impl Decided {
    /// Whether it concerns a device, which is in this wave.
    pub(super) fn concerns(&self, device: &DeviceName, wave: Option<&WaveName>) -> bool {
        match &self.whom {
            Whom::Fleet => true,
            Whom::Waves(waves) => wave.is_some_and(|wave| waves.contains(wave)),
            Whom::Devices(devices) => devices.contains(device),
        }
    }
}

impl World {
    /// What people decided about the rollout of a fleet, as it was planned with.
    pub(super) fn decided(&self, planner: &Planner) -> Vec<Decided> {
        let terms = planner.terms();
        let holds = terms.holds.iter().filter(|hold| hold.path != BRAKE);
        let holds =
            holds.map(|hold| Decided { view: self.decision(&hold.path, "stops offers".to_owned()), whom: Whom::Fleet });
        holds.chain(terms.decisions.files.iter().flat_map(|path| self.clauses(path))).collect()
    }

    /// What one Approval or Expedite decides.
    fn clauses(&self, path: &str) -> Vec<Decided> {
        let manifest = self.repository.declared().and_then(|declared| declared.counting(path));
        let clauses = match manifest.map(|(manifest, _)| manifest) {
            Some(AnyManifest::Approval(approval)) => {
                let approval = &approval.spec;
                let waves = &approval.open;
                let opens = || (format!("opens {}", list(waves)), Whom::Waves(waves.clone()));
                let opens = (!waves.is_empty()).then(opens);
                let resumes = approval.resume.map(|resume| {
                    (format!("acknowledges {}", counted(resume.failures as usize, "failure")), Whom::Fleet)
                });
                let retries = approval.retry.as_ref().map(|retry| {
                    let devices = &retry.devices;
                    (format!("lets {} try again", counted(devices.len(), "device")), Whom::Devices(devices.clone()))
                });
                [opens, resumes, retries].into_iter().flatten().collect()
            }
            Some(AnyManifest::Expedite(expedite)) => {
                vec![(format!("skips {}", list(&expedite.spec.skip)), Whom::Fleet)]
            }
            _ => Vec::new(),
        };
        clauses.into_iter().map(|(says, whom)| Decided { view: self.decision(path, says), whom }).collect()
    }

    /// The pin of a device.
    pub(super) fn pin(&self, device: &DeviceName) -> Option<DecisionView> {
        let commit = self.repository.declared()?.pin(device)?;
        Some(self.decision(&FleetName::of_device(device).path(), format!("pins it to {}", commit.short())))
    }

    /// Since when a device is pinned to what its pin names.
    pub(super) fn pinned_at(&self, device: &DeviceName) -> Option<Timestamp> {
        self.repository.declared()?.pin(device)?;
        Some(self.repository.decided_at(&FleetName::of_device(device).path())?.committed)
    }

    fn decision(&self, path: &str, says: String) -> DecisionView {
        DecisionView { file: path.to_owned(), says, origin: self.repository.decided_at(path) }
    }
}

fn list(of: &[impl ToString]) -> String {
    of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
