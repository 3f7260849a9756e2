//! A process of the system under test. It is killed when it is dropped.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A running process, its output in a log file.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`, with standard output and error in `log`.
    pub fn start(program: &Path, arguments: &[&str], log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("the log can be written");
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a descriptor can be cloned"))
            .stderr(file)
            .spawn()
            .expect("the program starts");
        Self { child, log: log.to_owned() }
    }

    /// Starts `program`, and returns the first line it prints.
    pub fn start_and_read_line(program: &Path, arguments: &[&str], log: &Path) -> (Self, String) {
        let file = File::options().create(true).append(true).open(log).expect("the log can be written");
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("its output is a pipe");
        BufReader::new(output).read_line(&mut line).expect("its output can be read");
        let process = Self { child, log: log.to_owned() };
        assert!(!line.is_empty(), "the program ended without a word:\n{}", process.log());
        (process, line)
    }

    /// Runs a program to its end; returns its status and everything it said.
    pub fn run(program: &Path, arguments: &[&str]) -> (ExitStatus, String) {
        let output =
            Command::new(program).args(arguments).env_clear().stdin(Stdio::null()).output().expect("it starts");
        let said = [output.stdout, output.stderr].concat();
        (output.status, String::from_utf8_lossy(&said).into_owned())
    }

    /// Kills it at once, as a power cut would (SIGKILL).
    pub fn kill(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Everything it wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its status, if it ends by itself in this time.
    pub fn ends_within(&mut self, patience: std::time::Duration) -> Option<ExitStatus> {
        let until = std::time::Instant::now() + patience;
        while std::time::Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("it can be asked") {
                return Some(status);
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        None
    }

    /// Waits until it ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it can be waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
