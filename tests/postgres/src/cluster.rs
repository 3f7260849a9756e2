//! The data of a new server. Making it takes a second, so it is made once, beside the test programs, and copied.

use std::fs::File;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian and its relatives have the servers, by version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The programs of one PostgreSQL.
#[derive(Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
    /// What `initdb --version` says, as a part of a file name.
    version: String,
}

impl Programs {
    /// Those of the newest version in [`DEBIAN`], or those on the path.
    pub(crate) fn find() -> Option<Self> {
        let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
        let newest = versions
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
            .filter(|(_, folder)| folder.join("initdb").exists() && folder.join("postgres").exists())
            .max();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = || std::env::split_paths(&path).find(|folder| folder.join("initdb").exists());
        let folder = newest.map(|(_, folder)| folder).or_else(on_path)?;
        let said = Command::new(folder.join("initdb")).arg("--version").output().ok()?.stdout;
        let version =
            String::from_utf8_lossy(&said).chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
        Some(Self { folder, version })
    }

    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// The user that the server runs as, where it must not run as the one of the test.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Owner {
    /// Somebody else, if this is root.
    pub(crate) fn needed() -> Option<Self> {
        let probe = tempfile::tempfile().expect("a temporary file");
        let me = std::os::unix::fs::MetadataExt::uid(&probe.metadata().expect("it can be looked at"));
        if me != 0 {
            return None;
        }
        let users = std::fs::read_to_string("/etc/passwd").expect("the users of this machine are listed");
        let find = |name: &str| {
            let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
            let fields = lines.find(|fields| fields.first() == Some(&name))?;
            Some(Self { user: fields.get(2)?.parse().ok()?, group: fields.get(3)?.parse().ok()? })
        };
        let other = find("postgres").or_else(|| find("nobody"));
        Some(other.expect("this is root, whom PostgreSQL refuses, and there is neither a user postgres nor nobody"))
    }

    pub(crate) fn give(&self, path: &Path) {
        chown(path, Some(self.user), Some(self.group)).expect("root gives a file away");
    }
}

/// Makes the data of a new server at `data`.
pub(crate) fn make(programs: &Programs, owner: Option<&Owner>, data: &Path) {
    copy(&template(programs, owner), owner, data);
}

/// The data of a server that was never started. Tests that run at the same time make it once.
fn template(programs: &Programs, owner: Option<&Owner>) -> PathBuf {
    let program = std::env::current_exe().expect("a test has a program");
    let folder = program.ancestors().nth(2).expect("it lies in a folder of the target folder");
    let template = folder.join(format!("{}-template", programs.version));
    let lock = File::create(folder.join(format!("{}-template.lock", programs.version))).expect("a lock can be made");
    lock.lock().expect("a lock can be taken");
    if !template.exists() {
        let made = tempfile::tempdir().expect("a temporary folder");
        if let Some(owner) = owner {
            owner.give(made.path());
        }
        let data = made.path().join("data");
        initdb(programs, owner, &data);
        // What is there under its name is whole.
        let unfinished = template.with_extension("new");
        let _ = std::fs::remove_dir_all(&unfinished);
        copy(&data, None, &unfinished);
        std::fs::rename(&unfinished, &template).expect("it can be renamed");
    }
    template
}

fn initdb(programs: &Programs, owner: Option<&Owner>, data: &Path) {
    let run = |locale: &[&str]| {
        let mut command = Command::new(programs.path("initdb"));
        command.args([
            "--auth",
            "trust",
            "--username",
            super::ROLE,
            "--encoding",
            "UTF8",
            "--no-sync",
            "--wal-segsize",
            "1",
        ]);
        command.args(locale).arg("-D").arg(data).current_dir("/");
        if let Some(owner) = owner {
            command.uid(owner.user).gid(owner.group);
        }
        command.output().expect("initdb starts")
    };
    // A language that looks past hyphens, as many do, finds statements that rely on the order of bytes without saying so.
    let mut made = run(&["--locale", "C", "--locale-provider", "icu", "--icu-locale", "en-u-ka-shifted"]);
    if !made.status.success() {
        // Before version 15 a whole server could not be made so.
        made = run(&["--locale", "C"]);
    }
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
}

fn copy(from: &Path, owner: Option<&Owner>, to: &Path) {
    std::fs::create_dir(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("a folder can be read") {
        let entry = entry.expect("a folder can be read");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().expect("it has a type").is_dir() {
            copy(&source, owner, &target);
            continue;
        }
        std::fs::copy(&source, &target).expect("a file can be copied");
        if let Some(owner) = owner {
            owner.give(&target);
        }
    }
    // PostgreSQL refuses a folder that others can look into.
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).expect("its mode can be set");
    if let Some(owner) = owner {
        owner.give(to);
    }
}
