//! A repository on this machine: opened without its configuration or the user's, and fetched from by `git upload-pack` in
//! an environment where no configuration can name a command.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use gix::protocol::transport::Protocol;
use gix::protocol::transport::client::git::ConnectMode;
use gix::protocol::transport::client::git::blocking_io::Connection;

/// The repository at a path, bare or with a work tree.
pub(super) fn open(path: &Path) -> Result<gix::Repository, gix::Error> {
    gix::open::Options::isolated().open(path).map(|repo| repo.to_thread_local())
}

/// The path of a repository on this machine.
pub(super) fn path(url: &gix::Url) -> Option<PathBuf> {
    let path = gix::path::from_bstr(&url.path).ok()?.into_owned();
    (url.scheme == gix::url::Scheme::File).then_some(path)
}

/// Starts `git upload-pack` for the repository whose objects and refs are in `dir`.
///
/// # Errors
/// When git cannot be started.
pub(super) fn upload_pack(dir: &Path) -> std::io::Result<Connection<Output, ChildStdin>> {
    let dir = dir.canonicalize()?;
    let mut child = command(&dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let stdin = child.stdin.take().expect("it is a pipe");
    let stdout = child.stdout.take().expect("it is a pipe");
    let output = Output { stdout, child };
    let address = dir.display().to_string();
    let no_host = None::<(String, Option<u16>)>;
    Ok(Connection::new(output, stdin, Protocol::V2, address, no_host, ConnectMode::Process, false))
}

/// The command. Nothing of our own environment reaches it but `PATH`, neither the system's nor anybody's configuration
/// counts, and what is left is the source's own, in which git lets no command of `upload-pack` be named; other
/// repositories are not asked for objects that the source lacks.
fn command(dir: &Path) -> Command {
    let mut git = Command::new("git");
    git.args(["upload-pack", "--strict"]).arg(dir).env_clear().current_dir("/");
    if let Some(path) = std::env::var_os("PATH") {
        git.env("PATH", path);
    }
    git.envs([
        ("LC_ALL", "C"),
        ("GIT_PROTOCOL", "version=2"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_ALLOW_PROTOCOL", ""),
        ("GIT_NO_REPLACE_OBJECTS", "1"),
        ("GIT_GRAFT_FILE", "/dev/null"),
    ]);
    // Who may write the reconciler's configuration may name another user's repository in it.
    let worktree = dir.parent().unwrap_or(dir);
    git.env("GIT_CONFIG_COUNT", "3");
    git.env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", dir);
    git.env("GIT_CONFIG_KEY_1", "safe.directory").env("GIT_CONFIG_VALUE_1", worktree);
    git.env("GIT_CONFIG_KEY_2", "core.hooksPath").env("GIT_CONFIG_VALUE_2", "/dev/null");
    git
}

/// What the process says. It ends with this.
pub(super) struct Output {
    stdout: ChildStdout,
    child: Child,
}

impl Read for Output {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.stdout.read(into)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
