//! One landing, judged by the policy at its first parent and by nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_schemas::{CommitId, ObjectId, PersonName, Sha256Digest, codes};
use jiff::Timestamp;

use super::commit::Commit;
use super::credit::Credits;
use super::diff::{PathChange, Trees};
use super::examine::{self, Examined};
use super::line::{Line, SideCommit};
use super::merge::Merge;
use super::policy::{POLICY_PATH, Policies, Policy, SIGSTORE_ROOT_PATH};
use super::refusal::Fault;
use super::shape::{has_all_blobs, keeps_a_fleet, policy_blob};
use super::signature::prove;

/// Commits that one landing may bring beside itself. Everybody who may push can make commits.
const MAX_SIDE: usize = 1_000_000;

/// A landing that counts. Only this module makes it.
#[derive(Debug, Clone)]
pub struct VerifiedLanding {
    id: CommitId,
    number: u64,
    parent: Option<CommitId>,
    tree: ObjectId,
    /// Sorted.
    signers: Box<[PersonName]>,
    spoken: Option<Timestamp>,
    policy: PolicyAt,
    summary: String,
    committed: Timestamp,
    changes: Vec<PathChange>,
    brought: Vec<(CommitId, u64)>,
}

impl VerifiedLanding {
    /// The commit.
    pub const fn id(&self) -> &CommitId {
        &self.id
    }

    /// `git rev-list --first-parent --count <commit>`.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The first parent; `None` for a root commit, which only an introduction can be.
    pub const fn parent(&self) -> Option<&CommitId> {
        self.parent.as_ref()
    }

    /// The root tree.
    pub const fn tree(&self) -> &ObjectId {
        &self.tree
    }

    /// Who stands for it: its signer and, in a clean merge, who wrote and endorsed what it brought.
    pub fn signers(&self) -> impl Iterator<Item = &PersonName> {
        self.signers.iter()
    }

    /// The newest date that somebody who stands for it signed, by their own clock; none where nobody did.
    pub const fn spoken(&self) -> Option<Timestamp> {
        self.spoken
    }

    /// The policy in its own tree.
    pub fn policy(&self) -> &Policy {
        &self.policy.policy
    }

    /// The same, shared.
    pub(crate) const fn shared_policy(&self) -> &Arc<Policy> {
        &self.policy.policy
    }

    /// The version of the policy in its own tree.
    pub fn policy_version(&self) -> u64 {
        self.policy.policy.version()
    }

    /// The first line of its message, for people.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The committer's date, which the committer chose.
    pub const fn committed(&self) -> Timestamp {
        self.committed
    }

    /// What differs from the first parent, sorted by path; for an introduction its whole tree.
    pub fn changes(&self) -> &[PathChange] {
        &self.changes
    }

    /// The commits that it brings beside itself, each with the number of the newest landing that it descends from.
    pub(crate) fn brought(&self) -> &[(CommitId, u64)] {
        &self.brought
    }
}

/// A policy and the blob it was read from.
#[derive(Debug, Clone)]
pub(crate) struct PolicyAt {
    pub(crate) blob: ObjectId,
    pub(crate) policy: Arc<Policy>,
}

/// A landing and who stands for it, under one policy.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) changes: &'a [PathChange],
    pub(crate) signer: Result<PersonName, Fault>,
    pub(crate) merge: Merge,
    pub(crate) credits: Credits,
    side: Vec<SideCommit>,
}

impl<'a> Case<'a> {
    /// Finds out how the landing came to its content, and who stands for it. The head of `line` is its first parent.
    ///
    /// # Errors
    /// An object of its branch cannot be read now, or it brings too many commits.
    pub(crate) fn open(
        trees: &mut Trees<'_>,
        line: &Line,
        examined: &'a Examined,
        changes: &'a [PathChange],
        policy: &'a Arc<Policy>,
    ) -> Result<Self, Fault> {
        let parents = &examined.commit.parents;
        let side = match parents.get(1..) {
            None | Some([]) => Vec::new(),
            Some(tips) => line.side(trees.objects, tips, MAX_SIDE)?,
        };
        let signer = examined.signer(policy);
        // Whoever may land all of it alone needs no branch to be read: its objects can refuse them nothing.
        let alone = |fault: &Fault| {
            let signer = signer.as_ref().ok().filter(|_| fault.is_passing());
            signer.is_some_and(|signer| changes.iter().all(|change| policy.check(&change.path, &[signer]).is_ok()))
        };
        let mut merge = match Merge::of(trees, line, parents, &side, changes) {
            Err(fault) if alone(&fault) => Merge::Unclean(Fault { code: codes::MERGE_UNCLEAN, ..fault }),
            merge => merge?,
        };
        let credits = match &merge {
            Merge::Clean(branch) => match Credits::of(branch, line, changes, policy, trees.objects) {
                Ok(credits) => credits,
                Err(fault) if fault.is_passing() && !alone(&fault) => return Err(fault),
                Err(fault) => {
                    merge = Merge::Unclean(Fault { code: codes::MERGE_UNCLEAN, ..fault });
                    Credits::default()
                }
            },
            Merge::None | Merge::Unclean(_) => Credits::default(),
        };
        Ok(Self { policy, changes, signer, merge, credits, side })
    }

    /// Why nobody is responsible for the landing, if nobody is.
    pub(crate) fn check_signer(&self) -> Result<(), Fault> {
        match (&self.signer, &self.merge) {
            (Ok(_), _) | (Err(_), Merge::Clean(_)) => Ok(()),
            (Err(fault), Merge::None) => Err(fault.clone()),
            (Err(signature), Merge::Unclean(why)) => {
                let text = format!(
                    "{} ({}): it is no clean merge, so a person must sign it: {why}",
                    signature.why, signature.code
                );
                Err(Fault { why: text, ..why.clone() })
            }
        }
    }

    /// The people who stand for the path at this place in the changes.
    pub(crate) fn stand_for(&self, path: usize) -> BTreeSet<&PersonName> {
        let others = [&self.credits.wrote, &self.credits.endorsed].into_iter().filter_map(|people| people.get(path));
        others.flatten().chain(self.signer.as_ref().ok()).collect()
    }

    /// The first path whose rules do not hold.
    pub(crate) fn check_paths(&self) -> Result<(), Fault> {
        if let (Ok(signer), Merge::None | Merge::Unclean(_)) = (&self.signer, &self.merge) {
            return self.changes.iter().try_for_each(|change| self.policy.check(&change.path, &[signer]));
        }
        self.changes.iter().enumerate().try_for_each(|(at, change)| {
            let people: Vec<&PersonName> = self.stand_for(at).into_iter().collect();
            self.policy.check(&change.path, &people)
        })
    }

    /// Everybody who stands for a path, and the signer.
    fn signers(&self) -> Box<[PersonName]> {
        let others = self.credits.wrote.iter().chain(&self.credits.endorsed).flatten();
        let people: BTreeSet<&PersonName> = others.chain(self.signer.as_ref().ok()).collect();
        people.into_iter().cloned().collect()
    }
}

/// Judges a landing whose first parent, the head of `line`, is `parent`.
pub(crate) fn judge(
    trees: &mut Trees<'_>,
    line: &Line,
    policies: &mut Policies,
    parent: &VerifiedLanding,
    mut examined: Examined,
) -> Result<VerifiedLanding, Fault> {
    if examined.commit.parents.first() != Some(&parent.id) {
        return Err(Fault::new(codes::COMMIT_MALFORMED, "the first parent is not the landing before"));
    }
    if examined.commit.parents.len() < 2 {
        // Whatever else is wrong with it, nobody stands for it.
        examined.signer(parent.shared_policy())?;
    }
    let compared = examined.changes(trees, Some(parent.tree()));
    let changes = compared.as_deref().unwrap_or_default();
    let case = Case::open(trees, line, &examined, changes, parent.shared_policy())?;
    match (case.check_signer(), &case.merge, &compared) {
        // Of a tree that cannot be compared nobody can say whether the merge is clean: what is wrong with it says more.
        (Err(_), Merge::Unclean(_), Err(fault)) => return Err(fault.clone()),
        (signer, _, compared) => signer.and(compared.as_ref().map(drop).map_err(Clone::clone))?,
    }
    case.check_paths()?;
    let policy = next_policy(trees, policies, parent, &examined.commit.tree, changes)?;
    keeps_a_fleet(trees, &parent.tree, &examined.commit.tree, changes)?;
    has_all_blobs(trees.objects, changes)?;
    let signers = case.signers();
    let spoken = case.credits.spoken.max(case.signer.is_ok().then_some(examined.commit.committed));
    let brought = case.side.iter().map(|commit| (commit.id, commit.fork)).collect();
    let Examined { id, commit, .. } = examined;
    Ok(VerifiedLanding {
        id,
        number: parent.number + 1,
        parent: commit.parents.first().copied(),
        tree: commit.tree,
        signers,
        spoken,
        policy,
        summary: commit.summary,
        committed: commit.committed,
        changes: compared?,
        brought,
    })
}

/// The policy in the landing's own tree, which the next one is judged by.
fn next_policy(
    trees: &mut Trees<'_>,
    policies: &mut Policies,
    parent: &VerifiedLanding,
    tree: &ObjectId,
    changes: &[PathChange],
) -> Result<PolicyAt, Fault> {
    let blob = policy_blob(trees, tree, changes, Some(parent.policy.blob))?;
    let same = blob == parent.policy.blob;
    // A pin that does not hold any more is found in the landing that breaks it.
    let moves_root = changes.iter().any(|change| change.path == SIGSTORE_ROOT_PATH);
    if same && !moves_root {
        return Ok(parent.policy.clone());
    }
    let policy = policies.read(trees, tree, blob)?;
    let (old, new) = (parent.policy_version(), policy.version());
    if new <= old && !same {
        let why = format!("the policy changed and its version went from {old} to {new}");
        return Err(Fault::new(codes::POLICY_VERSION, why).path(POLICY_PATH));
    }
    Ok(PolicyAt { blob, policy })
}

/// Judges an introduction: its policy must be the pinned one, and it must be signed by someone who may change that policy.
pub(crate) fn judge_introduction(
    trees: &mut Trees<'_>,
    policies: &mut Policies,
    id: CommitId,
    number: u64,
    pinned: &Sha256Digest,
) -> Result<VerifiedLanding, Fault> {
    let mut examined = examine::introduction(trees.objects, id)?;
    let changes = examined.changes(trees, None)?;
    let blob = policy_blob(trees, &examined.commit.tree, &changes, None)?;
    let found = Sha256Digest::of(&crate::objects::read(trees.objects, &blob, crate::objects::ObjectKind::Blob)?);
    if found != *pinned {
        let why = format!("the policy's SHA-256 is {found}, the introduction pins {pinned}");
        return Err(Fault::new(codes::INTRODUCTION_MISMATCH, why).path(POLICY_PATH));
    }
    let policy = policies.read(trees, &examined.commit.tree, blob)?;
    let signer = examined.signer(&policy)?;
    policy.check_introducer(&signer)?;
    has_all_blobs(trees.objects, &changes)?;
    let commit = examined.commit;
    Ok(VerifiedLanding {
        id,
        number,
        parent: commit.parents.first().copied(),
        tree: commit.tree,
        signers: Box::from([signer]),
        spoken: Some(commit.committed),
        policy: PolicyAt { blob, policy },
        summary: commit.summary,
        committed: commit.committed,
        changes,
        brought: Vec::new(),
    })
}

/// The person of `policy` who signed a commit, and who counts.
///
/// # Errors
/// Why nobody who counts signed it.
pub fn signer_of(commit: &Commit, policy: &Policy) -> Result<PersonName, Fault> {
    policy.signer(commit, &prove(commit))
}
