//! Which devices a Resume names, and over which commits: decided from what the reconciler says about them.

use std::collections::BTreeSet;

use bellwether_schemas::api::{DeviceView, WaitingOn};
use bellwether_schemas::{CommitId, DeviceName, codes};
use serde::Serialize;

/// What a Resume says, and whom it leaves out.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Choice {
    /// Devices that were chosen and that it ends the pause of.
    pub(super) devices: BTreeSet<DeviceName>,
    /// The commits that they name and the history lacks.
    pub(super) over: BTreeSet<CommitId>,
    /// Devices that were chosen and are not paused.
    pub(super) not_paused: Vec<DeviceName>,
    /// Devices that were chosen and that no Resume helps: no landing lists their enrollment entry.
    pub(super) unlisted: Vec<DeviceName>,
    /// Devices that were chosen and name another missing commit, which was not asked for: they stay paused.
    pub(super) held_back: Vec<DeviceName>,
    /// How many devices that were not chosen name the same commits, and stay paused.
    pub(super) others: usize,
}

impl Choice {
    /// Chooses among `all` devices. With `only`, no other commits are overruled.
    pub(super) fn among(
        all: &[DeviceView],
        is_chosen: impl Fn(&DeviceView) -> bool,
        only: Option<&BTreeSet<CommitId>>,
    ) -> Self {
        let mut choice = Self::default();
        let (chosen, rest): (Vec<&DeviceView>, Vec<&DeviceView>) = all.iter().partition(|device| is_chosen(device));
        for device in chosen {
            choice.take(device, only);
        }
        let same = |device: &&&DeviceView| !device.missing_commits().is_disjoint(&choice.over);
        choice.others = rest.iter().filter(same).count();
        choice
    }

    fn take(&mut self, device: &DeviceView, only: Option<&BTreeSet<CommitId>>) {
        let name = device.name.clone();
        let Some(WaitingOn::Paused { code, .. }) = &device.reason else {
            return self.not_paused.push(name);
        };
        if code == codes::ENTRY_UNLISTED.as_str() {
            return self.unlisted.push(name);
        }
        let missing = device.missing_commits();
        if only.is_some_and(|only| !missing.is_subset(only)) {
            return self.held_back.push(name);
        }
        self.over.extend(missing);
        self.devices.insert(name);
    }
}

#[cfg(test)]
mod tests {
    use bellwether_schemas::Code;
    use bellwether_schemas::api::{
        ClaimKind, Conflict, DeviceStatus, MissingCommit, Stand, StatusWord, Summary, Updated,
    };

    use super::*;

    fn commit(number: u8) -> CommitId {
        format!("{number:040x}").parse().expect("an id")
    }

    fn device(name: &str, code: Option<Code>, missing: &[u8]) -> DeviceView {
        let named = |number: &u8| MissingCommit {
            commit: commit(*number),
            landing: 9,
            claim: ClaimKind::Running,
            stand: Stand::Ahead,
        };
        let first = missing.first().map(|number| commit(*number));
        DeviceView {
            name: name.parse().expect("a name"),
            enrollment: "lab".parse().expect("a name"),
            entry: "t1".parse().expect("an id"),
            fleet: None,
            labels: bellwether_schemas::manifest::Labels::new(),
            version: None,
            digest: None,
            offered: None,
            target: None,
            status: DeviceStatus {
                summary: StatusWord { status: Summary::Online },
                updated: StatusWord { status: Updated::OutOfDate },
            },
            reason: code.map(|code| WaitingOn::Paused { code: code.to_string(), why: String::new(), commit: first }),
            why: String::new(),
            conflict: Some(Conflict { missing: missing.iter().map(named).collect() }),
            waits: None,
            origin: None,
            decided: Vec::new(),
            last_seen: None,
            allows: None,
        }
    }

    fn all() -> [DeviceView; 7] {
        [
            device("runs-1", Some(codes::VERSION_MISSING), &[1]),
            device("runs-1-2", Some(codes::VERSION_MISSING), &[1, 2]),
            device("runs-3", Some(codes::VERSION_MISSING), &[3]),
            device("altered", Some(codes::VERSION_ALTERED), &[]),
            device("altered-2", Some(codes::VERSION_ALTERED), &[2]),
            device("unlisted", Some(codes::ENTRY_UNLISTED), &[1]),
            device("well", None, &[]),
        ]
    }

    fn names(names: &[&str]) -> BTreeSet<DeviceName> {
        names.iter().map(|name| name.parse().expect("a name")).collect()
    }

    fn among(chosen: &[&str], only: Option<&[u8]>) -> Choice {
        let only = only.map(|only| only.iter().map(|number| commit(*number)).collect());
        Choice::among(&all(), |device| chosen.contains(&device.name.as_str()), only.as_ref())
    }

    #[test]
    fn it_names_the_paused_ones_and_what_they_lack_and_nothing_else() {
        let choice = among(&["runs-1-2", "altered", "unlisted", "well"], None);
        assert_eq!(choice.devices, names(&["runs-1-2", "altered"]));
        assert_eq!(choice.over, BTreeSet::from([commit(1), commit(2)]));
        assert_eq!(choice.others, 2, "runs-1 and altered-2 stay paused");
        assert_eq!(choice.not_paused, ["well".parse().expect("a name")]);
        assert_eq!(choice.unlisted, ["unlisted".parse().expect("a name")]);
        assert_eq!(choice.held_back, []);
        assert_eq!(among(&["altered"], None).over, BTreeSet::new());
        assert_eq!(among(&[], None), Choice::default());
    }

    #[test]
    fn commits_that_were_asked_for_are_the_limit() {
        let choice = among(&["runs-1", "runs-1-2", "runs-3", "altered"], Some(&[1]));
        assert_eq!(choice.devices, names(&["runs-1", "altered"]));
        assert_eq!(choice.over, BTreeSet::from([commit(1)]));
        assert_eq!(choice.held_back, ["runs-1-2", "runs-3"].map(|name| name.parse().expect("a name")));
        assert_eq!(choice.others, 1, "unlisted names it too");
    }
}
