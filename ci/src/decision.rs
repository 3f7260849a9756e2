//! What `approve`, `hold`, `rollout` and `device resume` share: a decision is a file of its own, written and, if asked, committed.

use std::path::PathBuf;

use bellwether_schemas::api::RolloutView;
use bellwether_schemas::manifest::{AnyManifest, Kind};
use bellwether_schemas::name::ManifestName;
use bellwether_schemas::{CommitId, FleetName, codes, yaml};
use clap::Args;

use crate::committed;
use crate::failure::Failure;
use crate::meant;
use crate::output::{self, Output, Paint};
use crate::patch;
use crate::repo::{Edit, WorkingCopy};
use crate::server::ServerOptions;
use crate::sign::{SignOptions, Signer};
use crate::token_edit::quoted;

/// Options of every subcommand that writes a decision.
#[derive(Debug, Args)]
pub(crate) struct DecisionOptions {
    /// Name of the manifest [default: made from what it decides]
    #[arg(long)]
    pub(crate) name: Option<ManifestName>,
    /// The working copy
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) repo: PathBuf,
    #[command(flatten)]
    pub(crate) change: ChangeOptions,
}

/// Options of every subcommand that decides about a rollout: which commit is meant.
#[derive(Debug, Args)]
pub(crate) struct TargetOptions {
    /// The commit that is meant [default: what rolls out on --server, else the newest of the working copy]
    #[arg(long, value_name = "COMMIT")]
    commit_id: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

impl TargetOptions {
    /// The commit that was named; what the fleet rolls out, where a reconciler can be asked; else the newest one.
    pub(crate) fn commit(&self, copy: &WorkingCopy, fleet: &FleetName) -> Result<CommitId, Failure> {
        if let Some(commit) = &self.commit_id {
            // A whole id may name a commit that this clone does not have yet.
            return commit.parse().or_else(|_| copy.resolve("--commit-id", commit));
        }
        if let Some(server) = self.server.connect_if_given()? {
            let rollouts: Vec<RolloutView> = server.get("rollouts")?;
            let rollout = rollouts.into_iter().find(|rollout| rollout.fleet == *fleet);
            return rollout.map(|rollout| rollout.commit).ok_or_else(|| {
                let message = format!("{} has no rollout of the fleet {fleet}", server.address());
                Failure::finding(codes::NO_SUCH_OBJECT, message)
            });
        }
        let head =
            copy.head()?.ok_or_else(|| Failure::new(codes::NO_SUCH_OBJECT, "the working copy has no commit yet"))?;
        Ok(CommitId::from_bytes(head.as_slice()).expect("a git id has 20 or 32 bytes"))
    }
}

/// Options of every subcommand that changes manifests, and may commit that.
#[derive(Debug, Args)]
pub(crate) struct ChangeOptions {
    /// Commit it, signed; without, it prints the command that does
    #[arg(long)]
    commit: bool,
    #[command(flatten)]
    sign: SignOptions,
}

impl ChangeOptions {
    /// Whether the change shall be committed.
    pub(crate) const fn commits(&self) -> bool {
        self.commit
    }
}

/// The head of a manifest of `kind`, up to `spec:`.
pub(crate) fn header(kind: Kind, name: &ManifestName) -> String {
    format!("apiVersion: bellwether/v1\nkind: {kind}\nmetadata:\n  name: {}\nspec:\n", quoted(name.as_str()))
}

/// The fields that say which rollout a decision is about.
pub(crate) fn target(fleet: &FleetName, commit: &CommitId) -> String {
    format!("  fleet: {}\n  commit: \"{commit}\"\n", quoted(fleet.as_str()))
}

/// A field with a list of texts.
pub(crate) fn list(key: &str, items: impl IntoIterator<Item = String>) -> String {
    let items: String = items.into_iter().map(|item| format!("    - {}\n", quoted(&item))).collect();
    format!("  {key}:\n{items}")
}

/// Refuses a fleet that the working copy does not have. One whose manifest does not parse is `validate`'s business.
pub(crate) fn check_fleet(copy: &WorkingCopy, fleet: &FleetName) -> Result<(), Failure> {
    let path = fleet.path();
    let refusal = |why: String| Failure::finding(codes::NO_SUCH_OBJECT, format!("there is no fleet {fleet}: {why}"));
    match copy.read(&path)?.map(|text| yaml::parse(&path, &text)) {
        None => {
            let there = meant::fleets(copy)?;
            let look = match there.as_slice() {
                [] => "There are none yet: fleets/ has no manifest.",
                _ => "List what there is: ls fleets",
            };
            Err(refusal(path).hint(meant::hint(fleet.as_str(), there.iter().map(String::as_str), look)))
        }
        Some(Ok(AnyManifest::Device(device))) if device.spec.template.is_none() => {
            Err(refusal(format!("{path} has no template of its own"))
                .hint("Name the fleet that selects the device: bellwether get devices"))
        }
        Some(_) => Ok(()),
    }
}

/// The name from the options, or one made from `parts`: cut to length, never ending in a hyphen.
pub(crate) fn name(options: &DecisionOptions, parts: &[&str]) -> ManifestName {
    if let Some(name) = &options.name {
        return name.clone();
    }
    // The name of a device's own fleet has a dot, and the name of a decision has none.
    let mut text = parts.join("-").replace('.', "-");
    text.truncate(bellwether_schemas::name::MAX_NAME);
    text.trim_end_matches('-').parse().expect("names and hexadecimal digits joined by hyphens make a name")
}

/// The edit that adds a new manifest; it is read again, so that nothing is written that would be refused.
pub(crate) fn new_manifest(copy: &WorkingCopy, kind: Kind, name: &ManifestName, text: String) -> Result<Edit, Failure> {
    let path = format!("{}/{name}.yaml", kind.folder());
    if copy.read(&path)?.is_some() {
        let failure = Failure::finding(codes::ALREADY_THERE, format!("{path} is there already"));
        let is_committed = copy.committed(copy.head()?, &path)?.is_some();
        return Err(match is_committed {
            true => failure,
            false => failure.hint(format!(
                "It is not committed yet: git add {path} && git commit -S {path}. Or name another: --name NAME"
            )),
        });
    }
    if let Err(problems) = yaml::parse(&path, text.as_bytes()) {
        let problem = problems.first().map(ToString::to_string).unwrap_or_default();
        return Err(Failure::new(codes::USAGE, format!("this makes no valid {kind}: {problem}")));
    }
    Ok(Edit::create(path, text))
}

/// What was decided.
pub(crate) struct Decided<'a> {
    /// What changes.
    pub(crate) edits: &'a [Edit],
    /// The message of its commit.
    pub(crate) summary: &'a str,
    /// What was found out on the way: JSON output has it as `found`.
    pub(crate) found: Option<serde_json::Value>,
}

/// Writes or commits `edits`, and says what happens next.
pub(crate) fn carry_out(
    copy: &WorkingCopy,
    edits: &[Edit],
    summary: &str,
    options: &DecisionOptions,
    output: Output,
) -> Result<(), Failure> {
    carry_out_found(copy, &Decided { edits, summary, found: None }, options, output)
}

/// The same, with what was found out on the way.
pub(crate) fn carry_out_found(
    copy: &WorkingCopy,
    decided: &Decided<'_>,
    options: &DecisionOptions,
    output: Output,
) -> Result<(), Failure> {
    change(copy, decided, &options.change, output)
}

/// The same for a change that is no decision of its own.
pub(crate) fn change(
    copy: &WorkingCopy,
    decided: &Decided<'_>,
    options: &ChangeOptions,
    output: Output,
) -> Result<(), Failure> {
    let Decided { edits, summary, found } = decided;
    let committed = if options.commit {
        let signer = Signer::find(&options.sign, copy)?;
        Some(copy.commit(edits, summary, &signer)?)
    } else {
        copy.write(edits)?;
        None
    };
    if output == Output::Json {
        let files = edits.iter().map(|edit| {
            let content = edit.after.as_deref().map(String::from_utf8_lossy);
            serde_json::json!({ "path": edit.path, "content": content })
        });
        let files: Vec<_> = files.collect();
        let mut document =
            serde_json::json!({ "files": files, "commit": committed, "message": summary, "diff": diff(edits) });
        if let Some(found) = found {
            document["found"] = found.clone();
        }
        output::json(&document);
        return Ok(());
    }
    output::bytes(patch::coloured(&diff(edits), Paint::stdout()).as_bytes());
    let paths: Vec<_> = edits.iter().map(|edit| edit.path.as_str()).collect();
    output::note(match committed {
        Some(commit) => format!("Committed as {}, signed. {}", commit.short(), committed::next(copy, &commit)),
        None => {
            let (paths, message) = (paths.join(" "), message_options(summary));
            format!(
                "It counts when it is committed, signed, and pushed: git add {paths} && git commit -S {message} {paths} && \
                 git push"
            )
        }
    });
    Ok(())
}

/// A message as options of `git commit`, a paragraph each, in quotes for a shell: so that a reason is not lost.
fn message_options(message: &str) -> String {
    let paragraphs = message.split("\n\n").map(str::trim).filter(|text| !text.is_empty());
    paragraphs.map(|text| format!("-m '{}'", text.replace('\'', "'\\''"))).collect::<Vec<_>>().join(" ")
}

/// What `edits` change, as one patch.
pub(crate) fn diff(edits: &[Edit]) -> String {
    let text = |text: &Option<Vec<u8>>| String::from_utf8_lossy(text.as_deref().unwrap_or_default()).into_owned();
    edits.iter().map(|edit| patch::unified(&edit.path, &text(&edit.before), &text(&edit.after))).collect()
}
