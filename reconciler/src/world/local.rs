//! Holds that need no git: the operator's brake (`bellwether-reconciler hold`).

use bellwether_core::plan::HoldNote;
use bellwether_schemas::FleetName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::World;

/// The local holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalHolds {
    /// Each of them.
    pub holds: Vec<LocalHold>,
}

/// One of them: it stops offers, and starts none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalHold {
    /// The fleet; every fleet if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetName>,
    /// Since when.
    pub since: Timestamp,
    /// Why, for whoever reads it later.
    pub reason: String,
}

impl World {
    /// Takes the local holds as they are now; whether they are others.
    pub fn take_local_holds(&mut self, local: LocalHolds) -> bool {
        let changed = self.local != local;
        if changed {
            self.local = local;
            self.fleets.values_mut().for_each(|fleet| fleet.anew = true);
        }
        changed
    }

    /// The local hold that covers a fleet.
    pub(super) fn local_hold(&self, fleet: &FleetName) -> Option<HoldNote> {
        let covers = |hold: &&LocalHold| hold.fleet.as_ref().is_none_or(|held| held == fleet);
        let hold = self.local.holds.iter().find(covers)?;
        Some(HoldNote { path: "bellwether-reconciler hold".to_owned(), reason: hold.reason.clone() })
    }
}
