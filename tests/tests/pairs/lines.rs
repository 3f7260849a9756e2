//! The git histories that a device and its reconciler may stand in: one line, and what was landed beside it after its end
//! was lost.

use std::collections::HashMap;

use bellwether_core::verify::{Introduction, POLICY_PATH, VerifiedHistory};
use bellwether_schemas::spec::DeviceSpec;
use bellwether_schemas::{CommitId, Sha256Digest};
use bellwether_tests::hostile::{History, PolicyText, Who};

/// What a fleet's template depends on; all other files change no device.
const CONTENT: &str = "files/app";

/// Where a history ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Head {
    /// At this landing of the line on which the device lived.
    First(usize),
    /// At this landing of the line that left it after its second landing.
    Second(usize),
    /// One landing above that, which nobody saw before.
    AboveFirst(usize),
    /// One landing above that, which nobody saw before.
    AboveSecond(usize),
}

impl Head {
    /// One landing further, which nobody saw before.
    pub(super) fn next(self) -> Self {
        match self {
            Self::First(number) => Self::AboveFirst(number),
            Self::Second(number) => Self::AboveSecond(number),
            above @ (Self::AboveFirst(_) | Self::AboveSecond(_)) => above,
        }
    }
}

/// Landings of each line.
pub(super) const FIRST: usize = 5;
pub(super) const SECOND: usize = 6;

/// The lines, as verified histories.
pub(super) struct Lines {
    git: History,
    histories: HashMap<Head, VerifiedHistory>,
    specs: HashMap<Sha256Digest, DeviceSpec>,
    digests: HashMap<CommitId, Sha256Digest>,
}

impl Lines {
    pub(super) fn new() -> Self {
        let mut git = History::introduced(&PolicyText::default());
        let first = git.main();
        let land =
            |git: &mut History, on: CommitId, path: &str, content: &str| git.on(on).write(path, content).by(Who::Alice);
        // Landings that change nothing for a device, on both lines; and the second line comes to what the first one had.
        let first_line = [(CONTENT, "2"), ("notes/todo", "3"), (CONTENT, "4"), (CONTENT, "5")];
        let second_line = [("notes/todo", "3b"), (CONTENT, "4b"), ("notes/todo", "5b"), (CONTENT, "4")];
        let mut line = vec![first];
        for (path, content) in first_line {
            line.push(land(&mut git, line[line.len() - 1], path, content));
        }
        let mut other = line[..2].to_vec();
        for (path, content) in second_line {
            other.push(land(&mut git, other[other.len() - 1], path, content));
        }
        assert_eq!((line.len(), other.len()), (FIRST, SECOND));
        let mut heads = HashMap::new();
        for (index, commit) in line.iter().enumerate() {
            heads.insert(Head::First(index + 1), *commit);
            let above = land(&mut git, *commit, CONTENT, &format!("above {}", index + 1));
            heads.insert(Head::AboveFirst(index + 1), above);
        }
        for (index, commit) in other.iter().enumerate().skip(2) {
            heads.insert(Head::Second(index + 1), *commit);
            let above = land(&mut git, *commit, CONTENT, &format!("above {}b", index + 1));
            heads.insert(Head::AboveSecond(index + 1), above);
        }
        let policy = git.files(&first)[POLICY_PATH].content.clone();
        let introduction = Introduction { commit: first, policy_sha256: Sha256Digest::of(policy.as_bytes()) };
        let restore = |commit: &CommitId| {
            VerifiedHistory::restore(git.objects(), &introduction, "main", commit).expect("it verifies").0
        };
        let histories: HashMap<_, _> = heads.iter().map(|(head, commit)| (*head, restore(commit))).collect();
        let mut lines = Self { git, histories, specs: HashMap::new(), digests: HashMap::new() };
        for commit in heads.values() {
            let spec = spec(lines.content(commit));
            lines.digests.insert(*commit, spec.digest());
            lines.specs.insert(spec.digest(), spec);
        }
        lines
    }

    pub(super) fn history(&self, head: Head) -> &VerifiedHistory {
        &self.histories[&head]
    }

    /// The template commit that is in force at a landing.
    pub(super) fn template(&self, history: &VerifiedHistory, number: u64) -> CommitId {
        let at = |number: u64| *history.commit_at(number).expect("a landing");
        let changes = |number: &u64| *number == 1 || self.digest(&at(*number)) != self.digest(&at(number - 1));
        at((1..=number).rev().find(changes).expect("the first landing is a template"))
    }

    /// What a template renders to.
    pub(super) fn digest(&self, template: &CommitId) -> Sha256Digest {
        self.digests[template]
    }

    /// What the device shall run under a history.
    pub(super) fn target(&self, history: &VerifiedHistory) -> Sha256Digest {
        self.digest(history.head())
    }

    pub(super) fn spec(&self, digest: &Sha256Digest) -> DeviceSpec {
        self.specs[digest].clone()
    }

    fn content(&self, commit: &CommitId) -> &str {
        &self.git.files(commit)[CONTENT].content
    }
}

fn spec(content: &str) -> DeviceSpec {
    let file = serde_json::json!({"path": "/opt/bellwether/app", "content": content});
    serde_json::from_value(serde_json::json!({"apiVersion": "bellwether/v1", "files": [file]})).expect("a spec")
}
