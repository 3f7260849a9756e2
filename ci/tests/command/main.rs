//! The built command, on real repositories, with real git and ssh-keygen. Hermetic: no home, no global configuration.

#![allow(clippy::expect_used, reason = "a test may end where it stands")]

mod base;
mod check;
mod commits;
mod decisions;
mod demo;
mod devices;
mod diff;
mod edits;
mod examples;
mod explained;
mod first_mistakes;
mod fleet;
mod fleet_set;
mod formatting;
mod init;
mod keys;
mod land;
mod meant;
mod mistake;
mod mistakes;
mod others;
mod own_template;
mod partial;
mod pipelines;
mod remembered;
mod reports;
mod rollouts;
mod shell;
mod signing;
mod simulate;
mod team;
mod tokens;
mod trust;
mod unknown;
mod validate;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const BELLWETHER: &str = env!("CARGO_BIN_EXE_bellwether");

/// A folder of its own with a signing key, and from [`Sandbox::with_repository`] a repository `fleet`.
struct Sandbox {
    dir: tempfile::TempDir,
}

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Sandbox {
    fn new() -> Self {
        let sandbox = Self { dir: tempfile::tempdir().expect("a temporary folder") };
        let made = sandbox.program(
            "ssh-keygen",
            &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "key"],
            sandbox.dir.path(),
        );
        assert!(made.status.success(), "{made:?}");
        sandbox
    }

    fn with_repository() -> Self {
        let sandbox = Self::new();
        let ran = sandbox.bellwether_in(
            sandbox.dir.path(),
            &["init", "fleet", "--key", "key", "--author", "Ada Lovelace <ada@example.com>"],
        );
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        sandbox
    }

    fn repository(&self) -> PathBuf {
        self.dir.path().join("fleet")
    }

    fn program(&self, program: &str, arguments: &[&str], dir: &Path) -> Output {
        self.prepared(program, arguments, dir).output().expect("the program is installed")
    }

    fn prepared(&self, program: &str, arguments: &[&str], dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(dir).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.dir.path()).env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    fn bellwether_in(&self, dir: &Path, arguments: &[&str]) -> Ran {
        Ran::from(self.program(BELLWETHER, arguments, dir))
    }

    /// The command in the repository.
    fn bellwether(&self, arguments: &[&str]) -> Ran {
        self.bellwether_in(&self.repository(), arguments)
    }

    /// git in the repository; it must succeed.
    fn git(&self, arguments: &[&str]) -> String {
        let output = self.program("git", arguments, &self.repository());
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.repository().join(path)).expect("the file is there")
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.repository().join(path);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, text).expect("a file");
    }

    fn replace(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{path} has no {from:?}");
        self.write(path, &text.replace(from, to));
    }
}
