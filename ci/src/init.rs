//! `bellwether init`: a new repository from the template, with a policy that trusts you, and its first signed commit.

use std::path::{Path, PathBuf};

use bellwether_schemas::{CommitId, PersonName, Sha256Digest, codes};
use clap::Args;
use jiff::Timestamp;

use crate::failure::{self, Failure};
use crate::output::{self, Output};
use crate::repo::{Edit, WorkingCopy};
use crate::sign::{SignOptions, Signer};
use crate::template::{self, Example, Placeholders};

const EXAMPLES: &str = "Examples:
  ssh-keygen -t ed25519 -f ~/.ssh/fleet
  bellwether init fleet --key ~/.ssh/fleet
  bellwether init fleet --person alice --branch production   (key: git's user.signingkey)
  bellwether init shops --example kiosk --key ~/.ssh/fleet";

/// Options of `init`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitArgs {
    /// Folder of the new repository; it must be empty or not exist yet
    dir: PathBuf,
    /// Your name in the trust policy [default: made from your git name]
    #[arg(long, value_name = "NAME")]
    person: Option<PersonName>,
    /// The branch that will be watched
    #[arg(long, default_value = "main")]
    branch: String,
    /// The fleet that it begins with
    #[arg(long, value_enum, default_value_t)]
    example: Example,
    #[command(flatten)]
    sign: SignOptions,
}

/// A repository that is to be made.
pub(crate) struct NewRepository<'a> {
    /// Who may sign everything at first.
    pub(crate) person: &'a PersonName,
    /// The branch that will be watched.
    pub(crate) branch: &'a str,
    /// The fleet that it begins with.
    pub(crate) example: Example,
}

/// What a reconciler is told about a repository: its first trusted commit, and the policy in it.
#[derive(Debug, Clone)]
pub(crate) struct Introduction {
    pub(crate) commit: CommitId,
    pub(crate) policy_sha256: Sha256Digest,
}

pub(crate) fn run(args: &InitArgs, output: Output) -> Result<(), Failure> {
    prepare_folder(&args.dir)?;
    let copy = WorkingCopy::create(&args.dir, &args.branch)?;
    let result = (|| {
        let signer = Signer::find(&args.sign, &copy)?;
        let person = match &args.person {
            Some(person) => person.clone(),
            None => person_from(&signer.name)?,
        };
        let new = NewRepository { person: &person, branch: &args.branch, example: args.example };
        let introduction = first_commit(&copy, &signer, &new, |_| {})?;
        Ok((person, introduction))
    })();
    if result.is_err() {
        // Nothing was committed: what was just made goes, so that the command can simply be run again.
        let _left_behind = std::fs::remove_dir_all(copy.git().git_dir());
    }
    let (person, introduction) = result?;
    report(args, &person, &introduction, output);
    Ok(())
}

/// Fills `copy` from the template, lets `adapt` change the files, and makes the first signed commit.
pub(crate) fn first_commit(
    copy: &WorkingCopy,
    signer: &Signer,
    new: &NewRepository<'_>,
    adapt: impl FnOnce(&mut Vec<Edit>),
) -> Result<Introduction, Failure> {
    let expires = a_year_from_now();
    let key = signer.public_key()?;
    let values = Placeholders { branch: new.branch, person: new.person.as_str(), key: &key, expires: &expires };
    let mut files = template::files(new.example, &values);
    adapt(&mut files);
    let policy = files.iter().find(|file| file.path == "trust/policy.yaml").and_then(|file| file.after.as_deref());
    let policy_sha256 = Sha256Digest::of(policy.expect("the template has a policy"));
    let commit = copy.commit(&files, "Set up the repository of our devices", signer)?;
    configure_signing(copy, signer, new.person, &key)?;
    Ok(Introduction { commit, policy_sha256 })
}

/// When a new policy expires.
pub(crate) fn a_year_from_now() -> String {
    let a_year = Timestamp::now().as_second() + 365 * 86_400;
    Timestamp::from_second(a_year).expect("a year from now is a time stamp").to_string()
}

/// Makes plain `git commit` sign, and `git log --show-signature` know the signer.
fn configure_signing(copy: &WorkingCopy, signer: &Signer, person: &PersonName, key: &str) -> Result<(), Failure> {
    let allowed = copy.git().git_dir().join("allowed_signers");
    std::fs::write(&allowed, format!("{} namespaces=\"git\" {key}\n", signer.email))
        .map_err(|e| failure::file("cannot write", &allowed, &e))?;
    let allowed = std::path::absolute(&allowed).map_err(|e| failure::file("cannot find", &allowed, &e))?;
    let odd = || {
        let message = format!("a path is not UTF-8, which git's configuration needs ({person})");
        Failure::new(codes::USAGE, message)
    };
    copy.configure(&[
        ("user.name", &signer.name),
        ("user.email", &signer.email),
        ("gpg.format", "ssh"),
        ("gpg.ssh.allowedSignersFile", allowed.to_str().ok_or_else(odd)?),
        ("user.signingkey", &signer.setting().ok_or_else(odd)?),
        ("commit.gpgsign", "true"),
    ])
}

fn prepare_folder(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|e| failure::file("cannot make", dir, &e))?;
    let mut entries = std::fs::read_dir(dir).map_err(|e| failure::file("cannot read", dir, &e))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Failure::new(codes::NOT_EMPTY, format!("{} is not empty", dir.display()))),
    }
}

/// A name for the policy, made from a person's full name: `Ada Lovelace` becomes `ada-lovelace`.
pub(crate) fn person_from(name: &str) -> Result<PersonName, Failure> {
    let mut text = String::new();
    for c in name.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            text.push(c);
        } else if !text.ends_with('-') {
            text.push('-');
        }
    }
    text.truncate(bellwether_schemas::name::MAX_NAME);
    text.trim_matches('-').parse().map_err(|e| {
        Failure::new(codes::USAGE, format!("no name for the policy can be made from {name:?}"))
            .because(&e)
            .hint("Pass one: --person alice")
    })
}

fn report(args: &InitArgs, person: &PersonName, introduction: &Introduction, output: Output) {
    if output == Output::Json {
        return output::json(&serde_json::json!({
            "directory": args.dir, "branch": args.branch, "person": person, "fleet": args.example.fleet(),
            "introduction": { "commit": introduction.commit, "policySha256": introduction.policy_sha256 },
        }));
    }
    let dir = args.dir.display();
    output::line(format!(
        "Made {dir}: branch {branch}, first commit {commit}, signed by {person}.

The introduction (what a reconciler is told to trust; keep it with its configuration):
  commit        {commit}
  policySha256  {policy}

You are the only one in the policy, so one signature is enough for everything, rollouts/ and expedites/ included.
Add a second person soon; those two ask for both of you from then on:
  bellwether trust add PERSON --ssh-key FILE.pub --role admins --commit

Next:
  1. See whether all is well:      cd {dir} && bellwether validate
  2. Push it to its server:        git remote add origin URL && git push -u origin {branch}
  3. Make the keys, elsewhere:     bellwether keys init --root SAFE-PLACE --online RECONCILER/keys/online
  4. Make a reconciler and run it: bellwether-reconciler init --dir RECONCILER --names HOST --repository PATH-OR-URL \\
                                       --branch {branch} --commit {commit} \\
                                       --policy-sha256 {policy}
                                   bellwether-reconciler run --config RECONCILER/reconciler.yaml
  5. Let the first device in:      bellwether token mint factory --label ring=canary --commit > token && git push
                                   bellwether-agent enroll --server https://HOST:8440 --token-file token \\
                                       --ca RECONCILER/ca/ca.crt --tuf-root RECONCILER/keys/online/1.root.json
                                   bellwether-agent run",
        branch = args.branch,
        commit = introduction.commit,
        policy = introduction.policy_sha256,
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_name_becomes_a_name() {
        assert_eq!(person_from("Ada Lovelace").expect("a name").as_str(), "ada-lovelace");
        assert_eq!(person_from("  J. R. Ewing ").expect("a name").as_str(), "j-r-ewing");
        assert!(person_from("李").is_err());
    }
}
