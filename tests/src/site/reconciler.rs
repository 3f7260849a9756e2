//! How a site's reconciler is configured and run.

use std::path::Path;

use bellwether_schemas::{CommitId, Sha256Digest};

use super::{Site, text};
use crate::process::Process;

impl Site {
    /// Starts the reconciler, and waits until it serves.
    pub fn start_reconciler(&mut self) {
        let program = text(&self.program);
        self.start_reconciler_by(&program, &[]);
    }

    /// Configures another introduction.
    pub fn introduce(&self, commit: &CommitId, policy: &Sha256Digest) {
        self.configure("commit", &commit.to_string());
        self.configure("policySha256", &policy.to_string());
    }

    /// Changes a field of the reconciler's configuration.
    pub fn configure(&self, field: &str, value: &str) {
        let file = self.path("reconciler/reconciler.yaml");
        let config = std::fs::read_to_string(&file).expect("init wrote the configuration");
        let line = |line: &str| match line.split_once(':') {
            Some((name, _)) if name.trim_start() == field => format!("{name}: \"{value}\""),
            _ => line.to_owned(),
        };
        let config: Vec<String> = config.lines().map(line).collect();
        std::fs::write(file, config.join("\n") + "\n").expect("the configuration can be written");
    }

    /// Runs the reconciler to its end, which must come by itself; what it said.
    pub fn reconciler_refuses(&self) -> String {
        let config = text(&self.path("reconciler/reconciler.yaml"));
        let (status, said) = Process::run(&self.program, &["reconciler", "run", "--config", &config]);
        assert!(!status.success(), "the reconciler must refuse to run");
        said
    }

    /// Kills the reconciler at once.
    pub fn kill_reconciler(&mut self) {
        self.reconciler = None;
    }

    /// Waits for the reconciler to end by itself; whether it ended well.
    pub fn reconciler_ends(&mut self) -> bool {
        self.reconciler.take().is_some_and(|mut reconciler| reconciler.wait().success())
    }

    /// What the reconciler logged.
    pub fn reconciler_log(&self) -> String {
        std::fs::read_to_string(self.path("reconciler.log")).unwrap_or_default()
    }

    /// Starts the reconciler by another program, such as `env` with variables, and waits until it serves.
    pub fn start_reconciler_under(&mut self, under: &[&str]) {
        let program = text(&self.program);
        self.start_reconciler_by(under[0], &[&under[1..], &[&program]].concat());
    }

    fn start_reconciler_by(&mut self, program: &str, before: &[&str]) {
        let config = text(&self.path("reconciler/reconciler.yaml"));
        let arguments = [before, &["reconciler", "run", "--config", &config, "--output", "json"]].concat();
        let (process, line) =
            Process::start_and_read_line(Path::new(program), &arguments, &self.path("reconciler.log"));
        self.addresses = Some(serde_json::from_str(&line).expect("the reconciler prints its addresses"));
        self.reconciler = Some(process);
    }

    /// Runs a subcommand of the reconciler with its configuration; whether it succeeded, and what it said.
    pub fn reconciler(&self, command: &[&str]) -> (bool, String) {
        let config = text(&self.path("reconciler/reconciler.yaml"));
        let (first, rest) = command.split_first().expect("a subcommand");
        let arguments = [&["reconciler", first, "--config", &config], rest].concat();
        let (status, said) = Process::run(&self.program, &arguments);
        (status.success(), said)
    }
}
