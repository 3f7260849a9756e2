//! The reconciler's other ways to be run.

use std::path::Path;

use super::{Site, text};
use crate::process::Process;

impl Site {
    /// Starts the reconciler by another program, such as `env` with variables, and waits until it serves.
    pub fn start_reconciler_under(&mut self, under: &[&str]) {
        let (config, program) = (text(&self.path("reconciler/reconciler.yaml")), text(&self.program));
        let own = [program.as_str(), "reconciler", "run", "--config", &config, "--output", "json"];
        let arguments = [&under[1..], &own].concat();
        let (process, line) =
            Process::start_and_read_line(Path::new(under[0]), &arguments, &self.path("reconciler.log"));
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
