//! `bellwether render`: the spec.json that the reconciler would publish for a device, made by the same code.

mod facts;

use std::collections::HashMap;
use std::path::PathBuf;

use bellwether_core::declare::Declared;
use bellwether_core::objects::{ObjectError, ObjectKind, ObjectSource};
use bellwether_core::render::{self, Contents};
use bellwether_core::verify::{Introduction, Policy, Refusal, Stop, VerifiedHistory};
use bellwether_schemas::{CommitId, DeviceName, EntryId, ObjectId, Sha256Digest, codes};
use clap::Args;

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::repo::{WorkingCopy, git};

const EXAMPLES: &str = "Examples:
  bellwether render device-1
  bellwether render device-1 --at HEAD~1 | sha256sum     (the digest that the device reports, if it ran that)
  bellwether render factory-0123456789abcdef --entry t-4a5b6c7d8e9f   (a name that was made at enrollment)

The history is verified as the reconciler does it, from the first commit that has a policy: what would be refused is
refused here. Changes that are not committed do not count.";

/// Options of `render`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RenderArgs {
    /// The device
    device: DeviceName,
    /// The entry of the enrollment by which it came, for a device whose name was made from its key
    #[arg(long, value_name = "ID")]
    entry: Option<EntryId>,
    /// The working copy
    #[arg(long, default_value = ".", value_name = "DIR")]
    repo: PathBuf,
    /// The commit
    #[arg(long, default_value = "HEAD", value_name = "COMMIT")]
    at: String,
}

pub(crate) fn run(args: &RenderArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.repo)?;
    let objects = Objects(copy.git());
    let tip = copy.resolve("--at", &args.at)?;
    let declared = declare(copy.git(), &objects, &tip)?;

    let facts = facts::of(&declared, &args.device, args.entry.as_ref())?;
    let fleets = declared.fleets_of(&facts);
    let fleet = match fleets.as_slice() {
        [fleet] => *fleet,
        [] => {
            return Err(Failure::finding(codes::SELECTS_NOTHING, format!("no fleet selects {}", args.device))
                .hint("Compare its labels in enrollments/ and devices/ with the selectors in fleets/."));
        }
        several => {
            let names: Vec<_> = several.iter().map(|fleet| fleet.as_str()).collect();
            return Err(Failure::finding(
                codes::OVERLAP,
                format!("several fleets select {}: {}", args.device, names.join(", ")),
            ));
        }
    };
    let target = &declared.fleets()[fleet].target;
    let mut known = HashMap::new();
    let rendered =
        render::render(target, &args.device, &facts, &mut Contents::new(&objects, &mut known)).map_err(|e| {
            Failure::finding(codes::TEMPLATE, format!("fleets/{fleet}.yaml cannot be rendered for {}", args.device))
                .because(&e)
        })?;
    let spec = String::from_utf8_lossy(&rendered.canonical);
    match output {
        Output::Text => {
            // Exactly the bytes that are signed, so that a digest of the output is the digest of the spec.
            use std::io::Write as _;
            let _closed = std::io::stdout().lock().write_all(&rendered.canonical);
            note_invalid(&declared);
        }
        Output::Json => output::json(&serde_json::json!({
            "device": args.device, "fleet": fleet, "head": tip, "template": target.landing.commit,
            "digest": rendered.digest, "spec": serde_json::from_str::<serde_json::Value>(&spec).unwrap_or_default(),
        })),
    }
    Ok(())
}

/// What does not parse counts as it was before, so that what is printed may not be what was just written.
fn note_invalid(declared: &Declared) {
    let paths: Vec<_> = declared.invalid().map(|(path, _)| path).collect();
    if !paths.is_empty() {
        let paths = paths.join(", ");
        output::note(format!(
            "Note: these do not parse, and count as they last did: {paths}. See bellwether validate."
        ));
    }
}

/// What the history up to `tip` declares, verified from its first commit that has a policy.
fn declare(repo: &gix::Repository, objects: &Objects<'_>, tip: &CommitId) -> Result<Declared, Failure> {
    let unreadable = |e: ObjectError| git("an object cannot be read", &e);
    let (introduction, branch) = first_with_policy(repo, tip)?;
    let (mut history, first) = VerifiedHistory::introduce(objects, &introduction, &branch).map_err(refused)?;
    let mut declared = Declared::introduce(objects, &first).map_err(unreadable)?;
    let advanced = history.advance(objects, tip, jiff::Timestamp::now());
    match advanced.stop {
        None => {}
        Some(Stop::Refused(refusal)) => return Err(refused(refusal)),
        Some(Stop::Rewound { .. }) => {
            return Err(Failure::finding(codes::GIT_FAILED, "the history is not in one line"));
        }
    }
    for landing in &advanced.landings {
        declared.land(objects, landing).map_err(unreadable)?;
    }
    Ok(declared)
}

fn refused(refusal: Refusal) -> Failure {
    let place = refusal.path.as_ref().map(|path| format!(", {path}")).unwrap_or_default();
    let rule = refusal.rule.as_ref().map(|rule| format!(", rule {rule}")).unwrap_or_default();
    let message = format!("landing {}{place}{rule}: {}", refusal.commit.short(), refusal.why);
    Failure::finding(refusal.code, message).hint(refusal.hint)
}

/// The oldest landing that has a policy, which introduces the rest, and the branch which that policy is for. A reconciler
/// has both in its configuration; here it is your own copy, on whatever branch you work.
fn first_with_policy(repo: &gix::Repository, tip: &CommitId) -> Result<(Introduction, String), Failure> {
    let walk = || -> Result<Option<(Introduction, String)>, gix::Error> {
        let mut found = None;
        let mut next = Some(gix::ObjectId::from_bytes_or_panic(tip.as_bytes()));
        while let Some(id) = next {
            let commit = repo.find_commit(id)?;
            if let Some(entry) = commit.tree()?.lookup_entry_by_path("trust/policy.yaml")? {
                let text = &entry.object()?.data;
                let commit = CommitId::from_bytes(id.as_slice()).expect("a git id has 20 or 32 bytes");
                // One that cannot be read is refused as such in a moment.
                let branch = Policy::read(text).map(|policy| policy.branch).unwrap_or_default();
                found = Some((Introduction { commit, policy_sha256: Sha256Digest::of(text) }, branch));
            }
            next = commit.parent_ids().next().map(|parent| parent.detach());
        }
        Ok(found)
    };
    let found = walk().map_err(|e| git("the history cannot be read", &e))?;
    found.ok_or_else(|| Failure::finding(codes::NOT_A_REPOSITORY, "no commit has trust/policy.yaml"))
}

/// The objects of the working copy's repository; `bellwether_core` checks what it gets from here.
struct Objects<'a>(&'a gix::Repository);

impl ObjectSource for Objects<'_> {
    fn raw(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), ObjectError> {
        let found = self.0.try_find_object(gix::ObjectId::from_bytes_or_panic(id.as_bytes()));
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
