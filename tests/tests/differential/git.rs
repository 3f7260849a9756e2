//! Real git as the oracle: a bare repository of its own, its own configuration, no home directory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether_core::objects::{ObjectKind, ObjectSource as _};
use bellwether_tests::hostile::History;
use gix::prelude::Write as _;

/// Processes at a time. Each mostly waits for the ones it starts.
const AT_A_TIME: usize = 4;

/// A repository that git reads commits from, and the keys it accepts.
pub(crate) struct Git {
    repository: PathBuf,
    home: PathBuf,
    config: PathBuf,
}

impl Git {
    /// With these lines of `allowed_signers`, and the OpenPGP keys in `home`.
    pub(crate) fn new(home: &Path, allowed_signers: &str) -> Self {
        let repository = home.join("repository.git");
        gix::init_bare(&repository).expect("a repository");
        let allowed = home.join("allowed_signers");
        std::fs::write(&allowed, allowed_signers).expect("a file");
        let config = home.join("config");
        let text = format!("[gpg \"ssh\"]\n\tallowedSignersFile = {}\n", allowed.display());
        std::fs::write(&config, text).expect("a file");
        Self { repository, home: home.to_owned(), config }
    }

    /// Writes what a history has.
    pub(crate) fn write_history(&self, history: &History) {
        let repository = gix::open(&self.repository).expect("it was made");
        for id in history.written() {
            let (kind, content) = history.objects().raw(id).expect("it was written");
            let kind = gix::objs::Kind::from_bytes(kind.word().as_bytes()).expect("a kind of git");
            repository.write_buf(kind, &content).expect("it can be written");
        }
    }

    /// Whether `git verify-commit` accepts each of these commits, whatever their bytes.
    pub(crate) fn verify_commits(&self, commits: &[Vec<u8>]) -> Vec<bool> {
        let repository = gix::open(&self.repository).expect("it was made");
        let kind = gix::objs::Kind::from_bytes(ObjectKind::Commit.word().as_bytes()).expect("a kind of git");
        let ids: Vec<String> =
            commits.iter().map(|raw| repository.write_buf(kind, raw).expect("it can be written").to_string()).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut found = Vec::new();
            while let Some((at, id)) =
                Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, ids.get(at)?)))
            {
                found.push((at, self.verify_commit(id)));
            }
            found
        };
        let mut verdicts = vec![false; ids.len()];
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
            for (at, verdict) in workers.into_iter().flat_map(|worker| worker.join().expect("no worker panics")) {
                verdicts[at] = verdict;
            }
        });
        verdicts
    }

    fn verify_commit(&self, id: &str) -> bool {
        let status = Command::new("git")
            .args(["verify-commit", id])
            .current_dir(&self.repository)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .env("GNUPGHOME", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", &self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.expect("git runs").success()
    }
}
