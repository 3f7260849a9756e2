//! A repository in memory, what each commit was meant to be, and the accepted history of its branch `main`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use bellwether_core::objects::{MemoryObjects, ObjectKind, object_id};
use bellwether_core::verify::{Advanced, Introduction, POLICY_PATH, Refusal, Reset, Stop, VerifiedHistory};
use bellwether_schemas::{Code, CommitId, ObjectId, Sha256Digest};
use jiff::Timestamp;

use super::{Draft, PolicyText, Who, reference};

/// The time at which histories are judged.
const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

/// What a tree has at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The mode, as git writes it.
    pub mode: &'static str,
    /// The content.
    pub content: String,
}

/// The entries of a commit by path, folders left out.
pub type Files = BTreeMap<String, Entry>;

/// What a commit was meant to be.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its parents.
    pub parents: Vec<CommitId>,
    /// Its entries.
    pub files: Files,
    /// Whose signature it bears.
    pub signer: Who,
    /// Whether that signature is over this commit, and the commit written as git writes it.
    pub sound: bool,
    /// The commit that its trailer endorses.
    pub endorses: Option<CommitId>,
}

/// A repository with a branch `main` that was introduced.
pub struct History {
    pub(super) objects: MemoryObjects,
    pub(super) commits: HashMap<CommitId, Recorded>,
    /// Every object, in the order in which it was written.
    written: Vec<ObjectId>,
    pub(super) policies: HashMap<String, PolicyText>,
    verified: Option<VerifiedHistory>,
}

impl History {
    /// One landing by Alice: this policy and a file in each folder. It is introduced.
    pub fn introduced(policy: &PolicyText) -> Self {
        let mut history = Self::empty();
        let first = history.root().policy(policy).by(Who::Alice);
        history.introduce(first);
        history
    }

    /// Nothing yet.
    pub fn empty() -> Self {
        Self {
            objects: MemoryObjects::default(),
            commits: HashMap::new(),
            written: Vec::new(),
            policies: HashMap::new(),
            verified: None,
        }
    }

    /// Begins a commit without parents: a file in each folder, each with the content `old`.
    pub fn root(&mut self) -> Draft<'_> {
        ["fleets/edge.yaml", "files/app", "files/site", "notes/todo"]
            .iter()
            .fold(self.orphan(), |draft, path| draft.write(path, "old"))
    }

    /// Begins a commit without parents and without files.
    pub fn orphan(&mut self) -> Draft<'_> {
        Draft::new(self, Vec::new(), Files::new())
    }

    /// Begins a commit on top of another, with its files.
    pub fn on(&mut self, parent: CommitId) -> Draft<'_> {
        let files = self.files(&parent).clone();
        Draft::new(self, vec![parent], files)
    }

    /// Begins a merge as git makes it, without conflicts: each path from the side that differs from `fork`, else `ours`.
    pub fn merge_from(&mut self, fork: CommitId, ours: CommitId, theirs: CommitId) -> Draft<'_> {
        let (base, other) = (self.files(&fork), self.files(&theirs));
        let paths: BTreeSet<String> = base.keys().chain(other.keys()).cloned().collect();
        let changed: Vec<String> = paths.into_iter().filter(|path| other.get(path) != base.get(path)).collect();
        let draft = self.keep(ours, theirs);
        changed.iter().fold(draft, |draft, path| draft.take(path, theirs))
    }

    /// Begins a merge as git makes it, from where `theirs` left the line of `ours`.
    ///
    /// # Panics
    /// When they have no such commit.
    pub fn merge(&mut self, ours: CommitId, theirs: CommitId) -> Draft<'_> {
        let fork = self.fork(ours, theirs).expect("they have a commit in common");
        self.merge_from(fork, ours, theirs)
    }

    /// Begins a merge that keeps everything as it is in `ours`, as `git merge --strategy ours` does.
    pub fn keep(&mut self, ours: CommitId, theirs: CommitId) -> Draft<'_> {
        self.on(ours).parents(&[ours, theirs])
    }

    /// The newest commit on the first-parent line of `ours` that `theirs` has.
    pub fn fork(&self, ours: CommitId, theirs: CommitId) -> Option<CommitId> {
        let known = reference::ancestors(self, theirs);
        reference::line(self, ours).into_iter().find(|id| known.contains(id))
    }

    /// Begins an endorsement of `commit`.
    pub fn endorse(&mut self, commit: CommitId) -> Draft<'_> {
        self.on(commit).endorses(commit)
    }

    /// Begins the commit that takes back what `landing` changed in comparison with its first parent.
    pub fn revert(&mut self, tip: CommitId, landing: CommitId) -> Draft<'_> {
        let before = self.commits[&landing].parents[0];
        let draft = self.merge_from(landing, tip, before);
        draft.parents(&[tip])
    }

    /// Begins the single commit that squashes a branch onto `main`.
    pub fn squash(&mut self, main: CommitId, branch: CommitId) -> Draft<'_> {
        self.merge(main, branch).parents(&[main])
    }

    /// The files of a commit.
    pub fn files(&self, commit: &CommitId) -> &Files {
        &self.commits[commit].files
    }

    /// What a commit was meant to be.
    pub fn recorded(&self, commit: &CommitId) -> &Recorded {
        &self.commits[commit]
    }

    /// The objects.
    pub fn objects(&self) -> &MemoryObjects {
        &self.objects
    }

    /// The ids of all objects, in the order in which they were written.
    pub fn written(&self) -> &[ObjectId] {
        &self.written
    }

    /// The policy in a commit, if it is one of ours.
    pub fn policy_at(&self, commit: &CommitId) -> Option<&PolicyText> {
        self.policies.get(&self.files(commit).get(POLICY_PATH)?.content)
    }

    /// Begins the accepted history at a commit.
    ///
    /// # Panics
    /// When it is refused.
    pub fn introduce(&mut self, commit: CommitId) -> CommitId {
        self.verified = Some(self.try_introduce(commit).expect("the introduction counts"));
        commit
    }

    /// What would begin at a commit.
    ///
    /// # Errors
    /// It is refused.
    pub fn try_introduce(&self, commit: CommitId) -> Result<VerifiedHistory, Refusal> {
        let policy = self.files(&commit).get(POLICY_PATH).map_or("", |entry| &entry.content);
        let introduction = Introduction { commit, policy_sha256: Sha256Digest::of(policy.as_bytes()) };
        VerifiedHistory::introduce(&self.objects, &introduction, "main").map(|(history, _)| history)
    }

    /// The accepted head.
    ///
    /// # Panics
    /// Before the introduction.
    pub fn main(&self) -> CommitId {
        *self.verified.as_ref().expect("it was introduced").head()
    }

    /// Pushes a tip, which must be accepted as the new head, by the rules and by the verifier.
    ///
    /// # Panics
    /// When it is not.
    pub fn accepts(&mut self, tip: CommitId) -> CommitId {
        let meant = self.meant(tip);
        assert!(meant.is_empty(), "by the rules, {} is refused: {meant:?}", tip.short());
        let found = self.push(tip);
        assert!(found.stop.is_none(), "{:?}", found.stop);
        assert_eq!(self.main(), tip);
        tip
    }

    /// Pushes a tip, which must be refused with this code, by the rules and by the verifier; the head stays.
    ///
    /// # Panics
    /// When it is not.
    pub fn refuses(&mut self, tip: CommitId, code: Code) {
        let meant = self.meant(tip);
        assert!(meant.contains(&code), "by the rules, {} is refused with one of {meant:?}", tip.short());
        self.refuses_form(tip, code);
    }

    /// Pushes a tip, which the verifier must refuse with this code for what the reference does not judge: the form of
    /// objects, the content of a policy, where the head lies. The head stays.
    ///
    /// # Panics
    /// When it is not.
    pub fn refuses_form(&mut self, tip: CommitId, code: Code) {
        let before = self.main();
        match self.push(tip).stop {
            Some(Stop::Refused(refusal)) => {
                assert_eq!((refusal.code, refusal.commit), (code, tip), "{refusal}");
                assert!(!refusal.hint.is_empty(), "a person is told what to do");
            }
            other => panic!("expected {code}, found {other:?}"),
        }
        assert_eq!(self.main(), before, "a refused tip moves nothing");
    }

    fn meant(&self, tip: CommitId) -> BTreeSet<Code> {
        assert_eq!(self.commits[&tip].parents.first(), Some(&self.main()), "one landing is judged");
        let introduction = self.verified.as_ref().expect("it was introduced").introduction().commit;
        reference::judge(self, introduction, tip)
    }

    fn push(&mut self, tip: CommitId) -> Advanced {
        self.verified.as_mut().expect("it was introduced").advance(&self.objects, &tip, NOW)
    }

    /// Pushes tips, one after the other, to a history that begins elsewhere: the number of landings that count, and why no
    /// more do.
    ///
    /// # Panics
    /// When a tip left that history.
    pub fn advance_from(&self, beginning: &VerifiedHistory, tips: &[CommitId]) -> (usize, Option<Refusal>) {
        let mut verified = beginning.clone();
        let mut landed = 0;
        for tip in tips {
            let advanced = verified.advance(&self.objects, tip, NOW);
            landed += advanced.landings.len();
            match advanced.stop {
                None => {}
                Some(Stop::Refused(refusal)) => return (landed, Some(refusal)),
                Some(Stop::Rewound { .. }) => panic!("the tip descends from the beginning"),
            }
        }
        (landed, None)
    }

    /// What the verifier says about the reset on a branch that left the accepted history and verifies.
    ///
    /// # Panics
    /// When it did not, or does not.
    pub fn reset(&mut self, tip: CommitId) -> Reset {
        let verified = self.verified.as_mut().expect("it was introduced");
        match verified.judge(&self.objects, &tip, NOW).stop {
            Some(Stop::Rewound { branch, reset, .. }) if *branch.head() == tip => reset,
            other => panic!("expected a branch that left, found {other:?}"),
        }
    }

    /// Why a commit of these bytes does not count on top of the accepted head, if it does not.
    ///
    /// # Panics
    /// Before the introduction, and when the branch left it.
    pub fn judge_raw(&self, raw: &[u8]) -> Option<Refusal> {
        let mut objects = self.objects.clone();
        let tip = objects.insert(ObjectKind::Commit, raw);
        let mut verified = self.verified.clone().expect("it was introduced");
        match verified.advance(&objects, &tip, NOW).stop? {
            Stop::Refused(refusal) => Some(refusal),
            Stop::Rewound { .. } => panic!("the commit was to stand on the accepted head"),
        }
    }

    pub(super) fn write_commit(&mut self, raw: Vec<u8>, recorded: Recorded) -> CommitId {
        let id = self.put(ObjectKind::Commit, raw);
        self.commits.insert(id, recorded);
        id
    }

    /// Writes files as trees, and returns the root.
    pub(super) fn write_tree(&mut self, files: &Files) -> ObjectId {
        let files: Vec<_> = files
            .iter()
            .map(|(path, entry)| {
                let id = match entry.mode {
                    "160000" => object_id(ObjectKind::Commit, entry.content.as_bytes()),
                    _ => self.put(ObjectKind::Blob, entry.content.clone().into_bytes()),
                };
                (path.as_str(), entry.mode, id)
            })
            .collect();
        self.write_folder(&files)
    }

    fn write_folder(&mut self, files: &[(&str, &str, ObjectId)]) -> ObjectId {
        let mut folders: BTreeMap<&str, Vec<(&str, &str, ObjectId)>> = BTreeMap::new();
        // Git sorts a folder as if its name ended in `/`.
        let mut entries: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let entry =
            |mode: &str, name: &str, id: &ObjectId| [format!("{mode} {name}\0").as_bytes(), id.as_bytes()].concat();
        for (path, mode, id) in files {
            match path.split_once('/') {
                Some((folder, rest)) => folders.entry(folder).or_default().push((rest, mode, *id)),
                None => {
                    entries.insert((*path).to_owned(), entry(mode, path, id));
                }
            }
        }
        for (name, files) in folders {
            let id = self.write_folder(&files);
            entries.insert(format!("{name}/"), entry("40000", name, &id));
        }
        self.put(ObjectKind::Tree, entries.into_values().flatten().collect())
    }

    fn put(&mut self, kind: ObjectKind, content: Vec<u8>) -> ObjectId {
        let id = self.objects.insert(kind, content);
        self.written.push(id);
        id
    }
}

/// The graph as text, for people who look into a failure.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, it) in self.written.iter().filter_map(|id| Some((id, self.commits.get(id)?))) {
            let parents: Vec<String> = it.parents.iter().map(CommitId::short).collect();
            write!(f, "{} on {parents:?} by {:?}{}", id.short(), it.signer, if it.sound { "" } else { ", not sound" })?;
            if let Some(endorsed) = it.endorses {
                write!(f, ", endorses {}", endorsed.short())?;
            }
            for (path, entry) in &it.files {
                match self.policies.get(&entry.content) {
                    Some(policy) => write!(f, " | {path} version {}", policy.version)?,
                    None => write!(f, " | {path} {} {}", entry.mode, entry.content)?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
