//! An engineer with a working copy: writes manifests, signs commits with the real git and ssh-keygen, pushes.

use std::path::{Path, PathBuf};
use std::process::Command;

use bellwether_schemas::CommitId;

/// An engineer with a key and a working copy of the fleet's repository.
pub struct Engineer {
    home: PathBuf,
    work: PathBuf,
    key: PathBuf,
}

impl Engineer {
    /// Makes a key, a bare repository and a working copy below `dir`.
    pub fn new(dir: &Path) -> Self {
        let home = dir.join("engineer");
        std::fs::create_dir_all(&home).expect("a folder can be made");
        let key = home.join("key");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "alice@example.com", "-f"])
            .arg(&key)
            .status()
            .expect("ssh-keygen runs");
        assert!(made.success());
        let engineer = Self { work: dir.join("fleet"), home, key };
        let bare = dir.join("fleet.git");
        let path = |path: &Path| path.to_str().expect("a temporary folder has a UTF-8 name").to_owned();
        engineer.git_in(dir, &["init", "--quiet", "--bare", "--initial-branch=main", &path(&bare)]);
        engineer.git_in(dir, &["clone", "--quiet", &path(&bare), &path(&engineer.work)]);
        engineer.git(&["checkout", "--quiet", "-B", "main"]);
        engineer
    }

    /// Her public key, as a policy lists it.
    pub fn public_key(&self) -> String {
        let line = std::fs::read_to_string(self.key.with_extension("pub")).expect("ssh-keygen wrote it");
        line.trim().to_owned()
    }

    /// Her working copy.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Writes a file of the working copy.
    pub fn write(&self, path: &str, text: &str) {
        let file = self.work.join(path);
        std::fs::create_dir_all(file.parent().expect("a file has a folder")).expect("a folder can be made");
        std::fs::write(file, text).expect("a file can be written");
    }

    /// Replaces a part of a file of the working copy, which must be there.
    pub fn replace(&self, path: &str, from: &str, to: &str) {
        let before = std::fs::read_to_string(self.work.join(path)).expect("the file is there");
        assert!(before.contains(from), "{path} has no {from:?}");
        self.write(path, &before.replace(from, to));
    }

    /// Commits everything, signed.
    pub fn commit(&self, message: &str) -> CommitId {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--gpg-sign", "--message", message]);
        self.head()
    }

    /// Commits everything without a signature.
    pub fn commit_unsigned(&self, message: &str) -> CommitId {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--no-gpg-sign", "--message", message]);
        self.head()
    }

    /// Pushes.
    pub fn push(&self) {
        self.git(&["push", "--quiet", "origin", "main"]);
    }

    /// Sets the server's branch to a commit, by force.
    pub fn force_push(&self, commit: &CommitId) {
        self.git(&["push", "--quiet", "--force", "origin", &format!("{commit}:refs/heads/main")]);
    }

    /// Sets her own branch and working copy to a commit.
    pub fn reset(&self, commit: &CommitId) {
        self.git(&["reset", "--quiet", "--hard", &commit.to_string()]);
    }

    /// Her newest commit.
    pub fn head(&self) -> CommitId {
        self.git(&["rev-parse", "HEAD"]).trim().parse().expect("git prints an id")
    }

    /// Landing number of a commit, as git counts it.
    pub fn landing(&self, commit: &CommitId) -> u64 {
        let count = self.git(&["rev-list", "--first-parent", "--count", &commit.to_string()]);
        count.trim().parse().expect("git prints a number")
    }

    /// Runs git in the working copy; it must succeed.
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.work, arguments)
    }

    fn git_in(&self, dir: &Path, arguments: &[&str]) -> String {
        let key = format!("user.signingkey={}", self.key.display());
        let output = Command::new("git")
            .args(["-c", "gpg.format=ssh", "-c", &key, "-c", "core.hooksPath=/dev/null"])
            .args(arguments)
            .current_dir(dir)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", &self.home)
            .env("GIT_AUTHOR_NAME", "Alice")
            .env("GIT_AUTHOR_EMAIL", "alice@example.com")
            .env("GIT_COMMITTER_NAME", "Alice")
            .env("GIT_COMMITTER_EMAIL", "alice@example.com")
            .output()
            .expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
