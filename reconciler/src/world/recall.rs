//! What becomes of a fleet whose plan breaks a rule: nothing of it is done, and the fleet is planned anew by what is stored.

use std::collections::BTreeMap;

use bellwether_core::plan::Unsound;
use bellwether_schemas::{FleetName, codes};
use jiff::Timestamp;

use super::World;
use super::planning::PLAN_AGAIN;
use crate::store::{EventRow, RolloutRow};

impl World {
    /// Leaves a fleet as it is: its plan breaks a rule. What the planner made of its record is forgotten.
    pub(super) fn refuse(&mut self, name: &FleetName, unsound: &Unsound, now: Timestamp) {
        tracing::error!(fleet = %name, code = %codes::PLAN_UNSOUND, "a plan breaks a rule and is not carried out: {unsound}");
        let state = self.fleets.get_mut(name).expect("the fleet that was to be planned");
        state.wake_at = Some(now.checked_add(PLAN_AGAIN).unwrap_or(Timestamp::MAX));
        (state.recall, state.due, state.anew, state.unplanned, state.notes_due) = (true, false, true, true, None);
        if state.refused.replace(unsound.clone()).as_ref() != Some(unsound) {
            let message = format!("the plan of {name} breaks a rule, and is not carried out: {unsound}");
            let (kind, code) = ("plan".to_owned(), Some(codes::PLAN_UNSOUND.to_string()));
            self.event(EventRow { at: now, kind, device: None, fleet: Some(name.clone()), code, message });
        }
    }

    /// Whether the stored records are to be read again.
    pub fn wants_records(&self, now: Timestamp) -> bool {
        self.fleets.values().any(|fleet| fleet.is_recalled(now))
    }

    /// Takes the stored records of fleets that are to be planned by them now.
    pub fn recall(&mut self, stored: Vec<RolloutRow>, now: Timestamp) {
        let mut stored: BTreeMap<FleetName, RolloutRow> =
            stored.into_iter().map(|row| (row.fleet.clone(), row)).collect();
        // What is on its way to the database is newer.
        stored.retain(|name, _| !self.change.removed.contains(name));
        stored.extend(self.change.records.clone());
        for (name, fleet) in self.fleets.iter_mut().filter(|(_, fleet)| fleet.is_recalled(now)) {
            (fleet.recall, fleet.planner, fleet.loaded) = (false, None, None);
            let Some(RolloutRow { sequence, record, .. }) = stored.remove(name) else { continue };
            fleet.sequence = fleet.sequence.max(sequence);
            match serde_json::from_value(record) {
                Ok(record) => fleet.loaded = Some(record),
                Err(why) => {
                    tracing::error!(fleet = %name, code = %codes::RECORDS_BEHIND, %why, "a stored rollout cannot be read");
                    fleet.lost = true;
                }
            }
        }
    }
}
