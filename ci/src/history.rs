//! The history of a working copy, as the verifier reads it: its objects, its introduction, and how a refusal is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bellwether_core::declare::Declared;
use bellwether_core::objects::{self, ObjectError, ObjectKind, ObjectSource};
use bellwether_core::verify::{
    Commit, Fault, Introduction, POLICY_PATH, Policy, Refusal, RuleOutcome, SIGSTORE_ROOT_PATH, VerifiedHistory,
    signer_of,
};
use bellwether_schemas::manifest::AnyManifest;
use bellwether_schemas::{CommitId, ObjectId, PersonName, Sha256Digest, codes, yaml};
use clap::Args;
use jiff::Timestamp;

use crate::failure::Failure;
use crate::repo::{WorkingCopy, git};

/// A refusal as the command tells it.
pub(crate) fn refused(refusal: Refusal) -> Failure {
    // Most reasons name path and rule themselves.
    let untold_path = refusal.path.as_ref().filter(|path| !refusal.why.contains(path.as_str()));
    let place = untold_path.map(|path| format!(", {path}")).unwrap_or_default();
    let rule = refusal.untold_rule().map(|rule| format!(", rule {rule}")).unwrap_or_default();
    let message = format!("landing {}{place}{rule}: {}", refusal.commit.short(), refusal.why);
    Failure::finding(refusal.code, message).hint(refusal.hint)
}

/// The oldest landing that has a policy, which introduces the rest, and the branch which that policy is for. A reconciler
/// has both in its configuration; here it is your own copy, on whatever branch you work.
pub(crate) fn first_with_policy(repo: &gix::Repository, tip: &CommitId) -> Result<(Introduction, String), Failure> {
    let walk = || -> Result<Option<(Introduction, String)>, gix::Error> {
        let mut found = None;
        let mut next = Some(gix::ObjectId::from_bytes_or_panic(tip.as_bytes()));
        while let Some(id) = next {
            let commit = repo.find_commit(id)?;
            if let Some(entry) = commit.tree()?.lookup_entry_by_path("trust/policy.yaml")? {
                let text = &entry.object()?.data;
                let commit = CommitId::from_bytes(id.as_slice()).expect("a git id has 20 or 32 bytes");
                found = Some((Introduction { commit, policy_sha256: Sha256Digest::of(text) }, branch_of(text)));
            }
            next = commit.parent_ids().next().map(|parent| parent.detach());
        }
        Ok(found)
    };
    let found = walk().map_err(|e| git("the history cannot be read", &e))?;
    found.ok_or_else(|| Failure::finding(codes::NOT_A_REPOSITORY, "no commit has trust/policy.yaml"))
}

/// The objects of the working copy's repository; `bellwether_core` checks what it gets from here.
pub(crate) struct Objects(Mutex<gix::Repository>);

impl Objects {
    pub(crate) fn of(repo: &gix::Repository) -> Self {
        Self(Mutex::new(repo.clone()))
    }
}

impl ObjectSource for Objects {
    fn raw(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), ObjectError> {
        let repo = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = repo.try_find_object(gix::ObjectId::from_bytes_or_panic(id.as_bytes()));
        let unreadable = |why: String| ObjectError::Unreadable { id: *id, why };
        let object = found.map_err(|e| unreadable(e.to_string()))?.ok_or(ObjectError::Missing(*id))?.detach();
        let kind = match object.kind {
            gix::objs::Kind::Commit => ObjectKind::Commit,
            gix::objs::Kind::Tree => ObjectKind::Tree,
            gix::objs::Kind::Blob => ObjectKind::Blob,
            gix::objs::Kind::Tag => return Err(unreadable("it is a tag".to_owned())),
        };
        Ok((kind, object.data))
    }
}

/// The person of `policy` who signed a commit and counts, or why there is none.
pub(crate) fn signed_by(
    copy: &WorkingCopy,
    commit: &CommitId,
    policy: &Policy,
) -> Result<Result<PersonName, Fault>, Failure> {
    let raw = objects::read(&Objects::of(copy.git()), commit, ObjectKind::Commit)
        .map_err(|e| git(&format!("the commit {} cannot be read", commit.short()), &e))?;
    Ok(Commit::parse(&raw, commit.as_bytes().len()).and_then(|commit| signer_of(&commit, policy)))
}

/// The policy in a commit's tree, or what is wrong with it; `None` where there is no such file.
pub(crate) fn policy_at(copy: &WorkingCopy, commit: &CommitId) -> Result<Option<Result<Policy, Vec<Fault>>>, Failure> {
    let id = gix::ObjectId::from_bytes_or_panic(commit.as_bytes());
    let sigstore_root = copy.committed(Some(id), SIGSTORE_ROOT_PATH)?;
    Ok(copy.committed(Some(id), POLICY_PATH)?.map(|text| Policy::parse(&text, sigstore_root.as_deref())))
}

/// The first line of a commit's message.
pub(crate) fn summary_of(copy: &WorkingCopy, commit: &CommitId) -> Result<String, Failure> {
    let raw = objects::read(&Objects::of(copy.git()), commit, ObjectKind::Commit)
        .map_err(|e| git(&format!("the commit {} cannot be read", commit.short()), &e))?;
    let message = raw.windows(2).position(|pair| pair == b"\n\n").map_or(&[][..], |end| &raw[end + 2..]);
    let line = message.split(|byte| *byte == b'\n').find(|line| !line.is_empty()).unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

/// A path that a commit changes against its first parent, one that it leaves there if there is one: where to show what is wrong
/// with the commit. The policy where it changes none.
pub(crate) fn first_changed(copy: &WorkingCopy, commit: &CommitId) -> Result<String, Failure> {
    let files = |commit: &CommitId| -> Result<BTreeMap<String, _>, gix::Error> {
        let tree = copy.git().find_commit(gix::ObjectId::from_bytes_or_panic(commit.as_bytes()))?.tree()?;
        let files = tree.traverse().breadthfirst.files()?.into_iter().filter(|file| !file.mode.is_tree());
        Ok(files.map(|file| (file.filepath.to_string(), (file.mode, file.oid))).collect())
    };
    let unreadable = |e| git(&format!("the commit {} cannot be read", commit.short()), &e);
    let after = files(commit).map_err(unreadable)?;
    let before = match parents(copy, commit)?.first().filter(|parent| copy.has(parent)) {
        Some(parent) => files(parent).map_err(unreadable)?,
        None => BTreeMap::new(),
    };
    let mut changed = after.iter().filter(|(path, entry)| before.get(*path) != Some(entry)).map(|(path, _)| path);
    let gone = || before.keys().find(|path| !after.contains_key(*path));
    Ok(changed.next().or_else(gone).map_or_else(|| POLICY_PATH.to_owned(), Clone::clone))
}

/// The history of a working copy from its introduction on, as a reconciler would verify it.
pub(crate) struct Verifier {
    pub(crate) objects: Objects,
    pub(crate) introduction: Introduction,
    /// The branch that the introduction's policy is for.
    pub(crate) branch: String,
}

/// Options that say where a history begins.
#[derive(Debug, Default, Args)]
pub(crate) struct HistoryOptions {
    /// The first trusted commit [default: the oldest commit on the first-parent line that has a policy]
    #[arg(long, value_name = "COMMIT")]
    introduction: Option<String>,
    /// The watched branch [default: the one that the introduction's policy names]
    #[arg(long)]
    branch: Option<String>,
    /// The working copy
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) repo: PathBuf,
}

impl Verifier {
    /// For the history that leads to `tip`.
    pub(crate) fn of(copy: &WorkingCopy, tip: &CommitId, options: &HistoryOptions) -> Result<Self, Failure> {
        copy.require_whole_history()?;
        let (introduction, named) = match &options.introduction {
            Some(text) => pinned(copy, copy.resolve("--introduction", text)?)?,
            None => first_with_policy(copy.git(), tip)?,
        };
        let branch = options.branch.clone().unwrap_or(named);
        Ok(Self { objects: Objects::of(copy.git()), introduction, branch })
    }

    /// How far the line that leads to `tip` counts. No clock is asked.
    pub(crate) fn accepted(&self, tip: &CommitId) -> Result<CommitId, Failure> {
        let introduced = VerifiedHistory::introduce(&self.objects, &self.introduction, &self.branch);
        let (mut history, _) = introduced.map_err(refused)?;
        let advanced = history.advance(&self.objects, tip, Timestamp::MIN);
        Ok(advanced.landings.last().map_or(self.introduction.commit, |landing| *landing.id()))
    }

    /// What the history up to `head` declares.
    pub(crate) fn declared(&self, head: &CommitId) -> Result<(VerifiedHistory, Declared), Failure> {
        let history = self.up_to(head)?;
        let declared = self.fold(&history)?;
        Ok((history, declared))
    }

    /// What a history declares.
    pub(crate) fn fold(&self, history: &VerifiedHistory) -> Result<Declared, Failure> {
        let unreadable = |e: ObjectError| git("an object cannot be read", &e);
        let (first, later) = history.landings().split_first().expect("a history begins with its introduction");
        let mut declared = Declared::introduce(&self.objects, first).map_err(unreadable)?;
        for landing in later {
            declared.land(&self.objects, landing).map_err(unreadable)?;
        }
        Ok(declared)
    }

    /// Verifies everything up to `head`, which is taken for accepted: no clock is asked.
    pub(crate) fn up_to(&self, head: &CommitId) -> Result<VerifiedHistory, Failure> {
        let restored = VerifiedHistory::restore(&self.objects, &self.introduction, &self.branch, head);
        restored.map(|(history, _)| history).map_err(refused)
    }
}

/// The introduction at `commit`, and the branch that its policy is for.
fn pinned(copy: &WorkingCopy, commit: CommitId) -> Result<(Introduction, String), Failure> {
    let id = gix::ObjectId::from_bytes_or_panic(commit.as_bytes());
    let text = copy.committed(Some(id), POLICY_PATH)?.ok_or_else(|| {
        Failure::finding(codes::NOT_A_REPOSITORY, format!("the commit {} has no {POLICY_PATH}", commit.short()))
            .hint("Name a commit that has one, or leave --introduction out.")
    })?;
    Ok((Introduction { commit, policy_sha256: Sha256Digest::of(&text) }, branch_of(&text)))
}

/// The branch that a policy is for. One that cannot be read is refused as such by whoever judges with it.
fn branch_of(text: &[u8]) -> String {
    match yaml::parse(POLICY_PATH, text) {
        Ok(AnyManifest::TrustPolicy(policy)) => policy.spec.branch,
        _ => String::new(),
    }
}

/// The commits from `tip` along first parents, newest first, up to and without `end`, or to the root.
pub(crate) fn first_parents(
    copy: &WorkingCopy,
    tip: &CommitId,
    end: impl Fn(&CommitId) -> bool,
) -> Result<Vec<CommitId>, Failure> {
    let mut line = Vec::new();
    let mut next = Some(*tip);
    while let Some(id) = next.filter(|id| !end(id)) {
        line.push(id);
        next = parents(copy, &id)?.first().copied();
    }
    Ok(line)
}

/// The parents of a commit.
pub(crate) fn parents(copy: &WorkingCopy, commit: &CommitId) -> Result<Vec<CommitId>, Failure> {
    let read = || -> Result<Vec<CommitId>, gix::Error> {
        let found = copy.git().find_commit(gix::ObjectId::from_bytes_or_panic(commit.as_bytes()))?;
        let id = |id: gix::Id<'_>| CommitId::from_bytes(id.as_bytes()).expect("a git id has 20 or 32 bytes");
        Ok(found.parent_ids().map(id).collect())
    };
    read().map_err(|e| git(&format!("the commit {} cannot be read", commit.short()), &e))
}

/// Whether a commit's committer is its author, as in ordinary work. Hosting services commit in the author's name.
pub(crate) fn committer_is_author(copy: &WorkingCopy, commit: &CommitId) -> Result<bool, Failure> {
    let read = || -> Result<bool, gix::Error> {
        let found = copy.git().find_commit(gix::ObjectId::from_bytes_or_panic(commit.as_bytes()))?;
        Ok(found.author()?.email == found.committer()?.email)
    };
    read().map_err(|e| git(&format!("the commit {} cannot be read", commit.short()), &e))
}

/// The people who would count for a rule and do not stand for the path yet.
pub(crate) fn could_count<'p>(policy: &'p Policy, rule: &RuleOutcome) -> Vec<&'p PersonName> {
    let members = policy.manifest().roles.get(&rule.role).map(|role| role.members.as_slice()).unwrap_or_default();
    members.iter().filter(|member| !policy.is_bot(member) && !rule.counted.contains(member)).collect()
}
