//! `bellwether trust init`: a first policy for a repository that has none. (`bellwether init` makes a whole new one.)

use bellwether_core::verify::{Introduction, POLICY_PATH, VerifiedHistory};
use bellwether_schemas::{PersonName, Sha256Digest, codes};
use clap::Args;

use super::ChangeOptions;
use crate::failure::Failure;
use crate::history::{Objects, refused};
use crate::init::{a_year_from_now, person_from};
use crate::output::{self, Output};
use crate::repo::WorkingCopy;
use crate::sign::Signer;
use crate::template::{self, Placeholders};

const EXAMPLES: &str = "Examples:
  bellwether trust init --commit                          (key: git's user.signingkey, branch: the current one)
  bellwether trust init --person alice --branch production --key ~/.ssh/fleet --commit   (all said)

The commit introduces the repository: a reconciler is told its id and the SHA-256 of the policy in it. Earlier commits
are counted and not judged.";

/// Options of `trust init`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TrustInitArgs {
    /// Your name in the policy [default: made from your git name]
    #[arg(long, value_name = "NAME")]
    person: Option<PersonName>,
    /// The branch that will be watched [default: the current one]
    #[arg(long)]
    branch: Option<String>,
    #[command(flatten)]
    change: ChangeOptions,
}

pub(crate) fn run(args: &TrustInitArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.change.repo)?;
    if copy.read(POLICY_PATH)?.is_some() {
        return Err(Failure::finding(codes::ALREADY_THERE, format!("{POLICY_PATH} is there already"))
            .hint("Show it: bellwether trust show. Add people: bellwether trust add PERSON --ssh-key FILE.pub"));
    }
    let signer = Signer::find(&args.change.sign, &copy)?;
    let person = match &args.person {
        Some(person) => person.clone(),
        None => person_from(&signer.name)?,
    };
    let branch = match &args.branch {
        Some(branch) => branch.clone(),
        None => copy.branch()?,
    };
    let key = signer.public_key()?;
    let values = Placeholders { branch: &branch, person: person.as_str(), key: &key, expires: &a_year_from_now() };
    let edits = [template::policy(&values)];
    let policy_sha256 = Sha256Digest::of(edits[0].after.as_deref().unwrap_or_default());

    let commit = if args.change.commit {
        copy.require_quiet()?;
        let draft =
            copy.draft_edits(&edits, &format!("Say who may sign what\n\n{person} may sign everything."), &signer)?;
        // A tree that the verifier does not take, with symbolic links in it for example, introduces nothing.
        let introduction = Introduction { commit: draft.id(), policy_sha256 };
        VerifiedHistory::introduce(&Objects::of(copy.git()), &introduction, &branch).map_err(refused)?;
        copy.land_edits(&draft, &edits, &signer)?;
        Some(draft.id())
    } else {
        copy.write(&edits)?;
        None
    };
    if output == Output::Json {
        output::json(&serde_json::json!({
            "file": POLICY_PATH, "person": person, "branch": branch, "policySha256": policy_sha256, "commit": commit,
        }));
        return Ok(());
    }
    output::line(format!("Wrote {POLICY_PATH}: {person} may sign everything on branch {branch}."));
    if let Some(commit) = commit {
        output::line(format!(
            "
The introduction (what a reconciler is told to trust; keep it with its configuration):
  commit        {commit}
  policySha256  {policy_sha256}
"
        ));
    }
    output::note(next(commit.is_some()));
    Ok(())
}

fn next(committed: bool) -> String {
    let add = "Then add a second person: bellwether trust add PERSON --ssh-key FILE.pub --role admins --commit";
    if committed {
        format!("Committed, signed. Push it: git push. From then on every commit must be signed.\n{add}")
    } else {
        format!(
            "It counts when it is committed, signed, and pushed: git add {POLICY_PATH} && git commit -S {POLICY_PATH} && \
             git push\nThat commit is then the introduction: bellwether trust check prints it.\n{add}"
        )
    }
}
