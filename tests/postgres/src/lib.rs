//! A real PostgreSQL server for tests: in a temporary folder, on a unix socket, and gone with the value that stands for it,
//! also where the test is killed.
//!
//! PostgreSQL refuses to run as root; started by root it runs as `postgres` or `nobody`, who owns the folder.

#![allow(clippy::missing_panics_doc, reason = "a harness fails the test by panicking")]

mod cluster;

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use cluster::{Owner, Programs};

/// The environment variable that makes a machine without PostgreSQL a failure, where it would be a reason to skip: `required`.
const REQUIRED: &str = "BELLWETHER_POSTGRES";
/// The role that owns every database.
const ROLE: &str = "bellwether";
/// How long a server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// Runs the server until a line is read or nobody can write one any more: then it gets that signal, SIGQUIT without one.
const KEEPER: &str = r#""$@" & server=$!; read -r signal; kill -s "${signal:-QUIT}" "$server"; wait "$server""#;
/// Small, and as fast as data that nobody needs after the test may be written.
const SETTINGS: [(&str, &str); 8] = [
    ("listen_addresses", ""),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("shared_buffers", "16MB"),
    ("max_connections", "60"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("autovacuum", "off"),
];

/// A server. It stops, and its data goes, when this is dropped.
#[derive(Debug)]
pub struct Server {
    programs: Programs,
    owner: Option<Owner>,
    settings: Vec<(String, String)>,
    keeper: Option<Child>,
    // Last, so that the server ends before its folder goes.
    dir: TempDir,
}

impl Server {
    /// Starts a server of its own; none, and a line that says so, where there is no PostgreSQL and none is required.
    pub fn start() -> Option<Self> {
        let Some(programs) = Programs::find() else {
            let required = std::env::var_os(REQUIRED).is_some_and(|value| value == "required");
            assert!(
                !required,
                "there is no PostgreSQL server on this machine (Debian: postgresql), and {REQUIRED} requires it"
            );
            println!("skipped: there is no PostgreSQL server on this machine (Debian: postgresql)");
            return None;
        };
        let owner = Owner::needed();
        let dir = tempfile::Builder::new().prefix("pg").tempdir().expect("a temporary folder");
        if let Some(owner) = &owner {
            owner.give(dir.path());
        }
        cluster::make(&programs, owner.as_ref(), &dir.path().join("data"));
        let settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut server = Self { programs, owner, settings, keeper: None, dir };
        server.start_again();
        Some(server)
    }

    /// The address of a database, over the unix socket; `postgres` is there from the beginning.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{ROLE}@localhost/{database}?host={}", self.dir.path().display())
    }

    /// Makes an empty database, and returns its address.
    pub fn create_database(&self, name: &str) -> String {
        let socket = self.dir.path().to_str().expect("a temporary folder has a UTF-8 name");
        let made = Command::new(self.programs.path("createdb"))
            .args(["--host", socket, "--username", ROLE, name])
            .output()
            .expect("createdb starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        self.url(name)
    }

    /// Runs a statement in the database that is there from the beginning.
    pub fn sql(&self, statement: &str) {
        let mut command = Command::new(self.programs.path("psql"));
        command.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--host"]).arg(self.dir.path());
        let ran = command.args(["--username", ROLE, "--dbname", "postgres", "--command", statement]).output();
        let ran = ran.expect("psql starts");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }

    /// Changes a setting of postgresql.conf, from the next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Writes a file that only the server can read.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).expect("a file can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode can be set");
        if let Some(owner) = &self.owner {
            owner.give(&path);
        }
        path
    }

    /// Starts it again after [`Self::stop`] or [`Self::kill`], on the same data; returns when it is ready.
    pub fn start_again(&mut self) {
        let (data, log) = (self.dir.path().join("data"), self.dir.path().join("log"));
        let output = File::options().create(true).append(true).open(&log).expect("the log can be written");
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh"]).arg(self.programs.path("postgres")).arg("-D").arg(&data);
        command.arg("-k").arg(self.dir.path());
        for (name, value) in &self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::piped()).stderr(output.try_clone().expect("a descriptor can be cloned")).stdout(output);
        command.current_dir(self.dir.path());
        if let Some(owner) = &self.owner {
            command.uid(owner.user).gid(owner.group);
        }
        self.keeper = Some(command.spawn().expect("sh starts"));
        let until = Instant::now() + PATIENCE;
        while !is_ready(&data.join("postmaster.pid")) {
            let said = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < until, "the server did not get ready:\n{}", said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops it: sessions are ended, everything is written.
    pub fn stop(&mut self) {
        self.end("INT\n");
    }

    /// Stops it at once, as a crash would.
    pub fn kill(&mut self) {
        self.end("QUIT\n");
    }

    fn end(&mut self, signal: &str) {
        let Some(mut keeper) = self.keeper.take() else { return };
        let mut line = keeper.stdin.take().expect("its input is a pipe");
        // Where it is gone already there is nobody to tell.
        let _ = line.write_all(signal.as_bytes());
        drop(line);
        keeper.wait().expect("it can be waited for");
        let _ = std::fs::remove_file(self.dir.path().join("data/postmaster.pid"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server writes its state into the eighth line.
fn is_ready(file: &Path) -> bool {
    std::fs::read_to_string(file).is_ok_and(|text| text.lines().nth(7).is_some_and(|state| state.trim() == "ready"))
}
