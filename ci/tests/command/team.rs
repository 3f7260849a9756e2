//! Ada and Bob, who work on one repository: what the tests of `trust` and `land` share.

use crate::{Ran, Sandbox};

/// A repository of two people, each with a key of their own. Rollouts ask for both.
pub(crate) struct Team {
    pub(crate) sandbox: Sandbox,
}

impl Team {
    pub(crate) fn new() -> Self {
        let team = Self::of_ada();
        team.key("bob");
        let ran = team.ada(&["trust", "add", "bob", "--ssh-key", "../bob.pub", "--role", "admins", "--commit"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        team
    }

    /// Only Ada is in the policy.
    pub(crate) fn of_ada() -> Self {
        let sandbox = Sandbox::new();
        let arguments = ["init", "fleet", "--key", "key", "--author", "Ada <ada@example.com>", "--person", "ada"];
        let ran = sandbox.bellwether_in(sandbox.dir.path(), &arguments);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        Self { sandbox }
    }

    /// Makes the key of a person, `<name>` and `<name>.pub` beside the repository.
    pub(crate) fn key(&self, name: &str) {
        let comment = format!("{name}@laptop");
        let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", &comment, "-f", name];
        let made = self.sandbox.program("ssh-keygen", &arguments, self.sandbox.dir.path());
        assert!(made.status.success(), "{made:?}");
    }

    /// The command, as Ada.
    pub(crate) fn ada(&self, arguments: &[&str]) -> Ran {
        self.sandbox.bellwether(arguments)
    }

    /// A subcommand that signs, as Bob.
    pub(crate) fn bob(&self, arguments: &[&str]) -> Ran {
        self.ada(&[arguments, &["--key", "../bob", "--author", "Bob <bob@example.com>"]].concat())
    }

    /// git, as Bob.
    pub(crate) fn git_as_bob(&self, arguments: &[&str]) -> String {
        let who = ["-c", "user.name=Bob", "-c", "user.email=bob@example.com", "-c", "user.signingkey=../bob"];
        self.sandbox.git(&[&who, arguments].concat())
    }

    /// Bob lengthens the soak time on a branch, signed, and goes back to main.
    pub(crate) fn bob_writes(&self, branch: &str) {
        self.sandbox.git(&["switch", "-qc", branch]);
        self.sandbox.replace("rollouts/edge.yaml", "soak: 15m", "soak: 20m");
        self.git_as_bob(&["commit", "-qam", "Soak longer"]);
        self.sandbox.git(&["switch", "-q", "main"]);
    }

    pub(crate) fn head(&self) -> String {
        self.sandbox.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// The merge that a hosting service's button makes of a branch: signed by nobody.
    pub(crate) fn button_merges(&self, branch: &str) {
        self.sandbox.git(&["-c", "commit.gpgsign=false", "merge", "-q", "--no-ff", "--no-edit", branch]);
    }
}

/// What `diff` says before the moment from which it reckons.
const RECKONED: &str = "eckoned as if it landed at ";

/// A text with everything that differs between two runs replaced.
pub(crate) fn steady(text: &str) -> String {
    let is_id = |word: &str| matches!(word.len(), 7 | 40 | 64) && word.bytes().all(|c| c.is_ascii_hexdigit());
    let mut steady = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if word == "SHA256" && rest.starts_with(':') {
            steady.push_str("SHA256:KEY");
            rest = &rest[44..];
        } else {
            steady.push_str(if is_id(word) { "ID" } else { word });
        }
        let mut symbols = rest.chars();
        steady.extend(symbols.next());
        rest = symbols.as_str();
    }
    let lines = steady.lines().map(|line| match line.split_once(RECKONED) {
        _ if line.trim_start().starts_with("expires") => "  expires     in a year".to_owned(),
        Some((before, _)) => format!("{before}{RECKONED}TIME"),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}
