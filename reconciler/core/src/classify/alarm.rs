//! When people are told that devices lack the same commit: one device may be the one at fault, several say that it is the
//! history that lost something.

use std::collections::BTreeMap;

use bellwether_schemas::CommitId;

/// From how many devices on it is told.
const SEVERAL: u64 = 2;
/// By how much more it must be before it is told again.
const FOLD: u64 = 10;

/// What was told already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alarms {
    told: BTreeMap<CommitId, u64>,
}

impl Alarms {
    /// Takes how many devices each missing commit pauses now. Returns those of which people are to be told: once when there
    /// are several, and again only when there are ten times as many. What pauses nobody any more is forgotten.
    #[must_use]
    pub fn take(&mut self, paused: &BTreeMap<CommitId, u64>) -> Vec<(CommitId, u64)> {
        self.told.retain(|commit, _| paused.contains_key(commit));
        let due = |(commit, devices): (&CommitId, &u64)| {
            let next = self.told.get(commit).map_or(SEVERAL, |told| told.saturating_mul(FOLD));
            (*devices >= next).then_some((*commit, *devices))
        };
        let due: Vec<_> = paused.iter().filter_map(due).collect();
        self.told.extend(due.iter().copied());
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_devices_are_told_of_once_and_again_when_there_are_ten_times_as_many() {
        let [one, other]: [CommitId; 2] = [1, 2].map(|n| format!("{n:040x}").parse().expect("an id"));
        let mut alarms = Alarms::default();
        let mut told = |devices: &[(CommitId, u64)]| alarms.take(&devices.iter().copied().collect());
        assert_eq!(told(&[(one, 1)]), []);
        assert_eq!(told(&[(one, 3), (other, 1)]), [(one, 3)]);
        assert_eq!(told(&[(one, 29), (other, 2)]), [(other, 2)]);
        assert_eq!(told(&[(one, 30), (other, 2)]), [(one, 30)]);
        assert_eq!(told(&[(one, 299)]), []);
        assert_eq!(told(&[]), []);
        assert_eq!(told(&[(one, 2)]), [(one, 2)], "a conflict that ended begins anew");
    }
}
