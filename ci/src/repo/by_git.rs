//! Commits that git makes and signs, with whatever it is configured to sign with. It must be the commit that was asked
//! for; whether the signature counts is judged like every other.

use std::io::IsTerminal as _;
use std::process::{Command, Stdio};

use bellwether_core::verify::Commit;
use bellwether_schemas::codes;

use super::commit::{Draft, Order};
use super::{WorkingCopy, git};
use crate::failure::Failure;
use crate::history::{policy_at, signed_by};
use crate::sign::{Means, Signer};

/// Variables that would lead git to another repository.
const ELSEWHERE: [&str; 7] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
];

impl WorkingCopy {
    /// The commit whose content without a signature is `unsigned`, made and signed by git: with the SSH key that
    /// `ssh_key`, a value of `user.signingkey`, names, or else as git is configured. No branch leads to it.
    pub(super) fn let_git_sign(
        &self,
        order: &Order<'_>,
        unsigned: &str,
        signer: &Signer,
        ssh_key: Option<&String>,
    ) -> Result<gix::ObjectId, Failure> {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.root()).args(["-c", "i18n.commitEncoding=UTF-8"]);
        if let Some(key) = ssh_key {
            command.args(["-c", "gpg.format=ssh", "-c", &format!("user.signingkey={key}")]);
        }
        command.args(["commit-tree", "-S", "-m", order.message, &order.tree.to_string()]);
        order.parents.iter().for_each(|parent| _ = command.args(["-p", &parent.to_string()]));
        ELSEWHERE.iter().for_each(|name| _ = command.env_remove(name));
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), &signer.name).env(format!("GIT_{role}_EMAIL"), &signer.email);
            command.env(format!("GIT_{role}_DATE"), format!("@{} +0000", order.seconds));
        }
        // Whoever is at a terminal is asked there for a passphrase, a touch or a login.
        let seen = std::io::stderr().is_terminal();
        command.stdin(Stdio::inherit()).stderr(if seen { Stdio::inherit() } else { Stdio::piped() });
        let ran = command.output().map_err(|e| {
            Failure::new(codes::KEY_UNUSABLE, "git, which signs with this key, cannot be started")
                .because(&e)
                .hint("Install git, or pass an Ed25519 or ECDSA key in a file: --key FILE")
        })?;
        if !ran.status.success() {
            return Err(self.not_signed(&ran.stderr, ssh_key));
        }
        let id = String::from_utf8_lossy(&ran.stdout);
        let id = gix::ObjectId::from_hex(id.trim().as_bytes()).map_err(|e| git("git named no commit", &e))?;
        let raw = self.repo.find_commit(id).map_err(|e| git("git's commit cannot be read", &e))?.detach().data;
        let made = Commit::parse(&raw, id.as_slice().len());
        match made {
            Ok(made) if made.payload == unsigned.as_bytes() && made.signature.is_some() => Ok(id),
            Ok(_) => Err(Failure::new(codes::GIT_FAILED, "git made another commit than it was asked for")),
            Err(fault) => {
                Err(Failure::finding(fault.code, format!("git made a commit that does not count: {}", fault.why)))
            }
        }
    }

    fn not_signed(&self, stderr: &[u8], ssh_key: Option<&String>) -> Failure {
        let config = self.config();
        let set = |name: &str| config.string(name).map(|value| value.to_string());
        let with = match (ssh_key, set("user.signingkey")) {
            (Some(key), _) => format!("the SSH key {key}"),
            (None, key) => format!(
                "gpg.format {} and user.signingkey {}",
                set("gpg.format").as_deref().unwrap_or("openpgp"),
                key.as_deref().unwrap_or("(not set)")
            ),
        };
        let failure = Failure::new(codes::KEY_UNUSABLE, format!("git could not sign the commit, with {with}"));
        let said = String::from_utf8_lossy(stderr);
        let said = said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("[GNUPG:]"));
        let said = said.collect::<Vec<_>>().join("; ");
        let failure = if said.is_empty() { failure } else { failure.because(&std::io::Error::other(said)) };
        let by_hand = match ssh_key {
            Some(key) => format!("echo test | ssh-keygen -Y sign -n git -f {key}"),
            None => "git commit-tree -S -m test $(git write-tree)".to_owned(),
        };
        failure.hint(format!("Nothing was changed. See it fail by itself: {by_hand}. Or pass an SSH key: --key FILE"))
    }

    /// Refuses a draft that git signed, unless a person or a bot of the policy did: nobody has looked at what git signs
    /// with, and at what came of it.
    pub(super) fn require_counting_signature(&self, draft: &Draft, signer: &Signer) -> Result<(), Failure> {
        if matches!(signer.means, Means::Key { .. }) {
            return Ok(());
        }
        let before = draft.parent().map_or(Ok(None), |parent| policy_at(self, &parent))?;
        let policy = before.map_or_else(|| policy_at(self, &draft.id()), |policy| Ok(Some(policy)))?;
        let Some(Ok(policy)) = policy else {
            let message = "there is no valid policy that could say whose signature this is";
            return Err(Failure::finding(codes::POLICY_INVALID, message)
                .hint("bellwether validate says what is wrong with it."));
        };
        match signed_by(self, &draft.id(), &policy)? {
            Err(fault) if fault.code != codes::SIGNER_IS_BOT => {
                let message =
                    format!("git signed the commit, and that would not count, so it was not made: {}", fault.why);
                Err(Failure::finding(fault.code, message).hint(
                    "Let git use a key of the policy (bellwether trust show lists them), or pass one: --key FILE",
                ))
            }
            _ => Ok(()),
        }
    }
}
