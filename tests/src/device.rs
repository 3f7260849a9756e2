//! A device: a folder that stands for its file system, and an agent process.

use std::path::{Path, PathBuf};

use bellwether_agent_core::Status;

use crate::process::Process;

/// What `identity.json` of an agent holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// The name in the certificate.
    pub device: String,
    /// PKCS#8, PEM.
    pub key: String,
    /// PEM.
    pub certificate: String,
    /// PEM.
    pub ca: String,
    /// Where sessions are.
    pub devices: String,
    /// Where TUF is.
    pub updates: String,
}

/// A device with its agent.
pub struct Device {
    /// Its name.
    pub name: String,
    dir: PathBuf,
    program: PathBuf,
    agent: Option<Process>,
}

impl Device {
    pub(crate) fn new(name: &str, dir: &Path, program: &Path) -> Self {
        std::fs::create_dir_all(dir.join("root")).expect("a folder can be made");
        Self { name: name.to_owned(), dir: dir.to_owned(), program: program.to_owned(), agent: None }
    }

    /// Enrolls with a token; whether it succeeded, and what the agent said.
    pub fn enroll(&self, server: &str, ca: &Path, root_json: &Path, token: &str) -> (bool, String) {
        let token_file = self.dir.join("token");
        std::fs::write(&token_file, token).expect("a file can be written");
        let [ca, root_json, token_file, state] = [ca, root_json, &token_file, &self.state()].map(text);
        let (status, said) = Process::run(
            &self.program,
            &[
                "agent",
                "enroll",
                "--server",
                server,
                "--ca",
                &ca,
                "--tuf-root",
                &root_json,
                "--token-file",
                &token_file,
                "--state",
                &state,
            ],
        );
        (status.success(), said)
    }

    /// Begins to enroll without a token, by further arguments such as `--enrollment`: a process that may wait.
    pub fn ask(&self, server: &str, ca: &Path, root_json: &Path, more: &[&str]) -> Process {
        let [ca, root_json, state] = [ca, root_json, &self.state()].map(text);
        let asks = ["agent", "enroll", "--server", server, "--ca", &ca, "--tuf-root", &root_json, "--state", &state];
        let log = self.dir.join("enroll.log");
        // Of an earlier try nothing is read again.
        let _absent = std::fs::remove_file(&log);
        Process::start(&self.program, &[&asks, more].concat(), &log)
    }

    /// Starts its agent.
    pub fn start(&mut self) {
        self.start_under(&[]);
    }

    /// Starts its agent by another program, such as `faketime` with its arguments.
    pub fn start_under(&mut self, wrapper: &[&str]) {
        let config = self.dir.join("agent.yaml");
        let [state, root, config] = [&self.state(), &self.root(), &config].map(|path| text(path));
        let agent = text(&self.program);
        let mut arguments = wrapper.to_vec();
        arguments.extend([&agent, "agent", "run", "--state", &state, "--root", &root]);
        if Path::new(&config).exists() {
            arguments.extend(["--config", &config]);
        }
        let program = Path::new(arguments.remove(0));
        self.agent = Some(Process::start(program, &arguments, &self.dir.join("agent.log")));
    }

    /// Writes what the device's operator allows.
    pub fn allow(&self, yaml: &str) {
        std::fs::write(self.dir.join("agent.yaml"), yaml).expect("a file can be written");
    }

    /// Kills its agent at once.
    pub fn kill(&mut self) {
        self.agent = None;
    }

    /// Whether its agent ends by itself, and well, in this time.
    pub fn ends_within(&mut self, patience: std::time::Duration) -> bool {
        let ended = self.agent.as_mut().expect("the agent was started").ends_within(patience);
        ended.is_some_and(|status| status.success())
    }

    /// The agent's process id.
    pub fn process_id(&self) -> u32 {
        self.agent.as_ref().expect("the agent runs").id()
    }

    /// What the agent logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("agent.log")).unwrap_or_default()
    }

    /// The content of a file on the device, by its absolute path there.
    pub fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root().join(path.trim_start_matches('/'))).ok()
    }

    /// The folder that stands for its file system.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// The agent's state folder.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// What the agent wrote last of itself; nothing before it ran.
    pub fn state_of_agent(&self) -> Option<Status> {
        serde_json::from_slice(&std::fs::read(self.state().join("status.json")).ok()?).ok()
    }

    /// The code of the last failure, as the agent shows it.
    pub fn failure(&self) -> Option<String> {
        Some(self.state_of_agent()?.failure?.code)
    }

    /// Its key, certificate, CA and addresses, as the agent keeps them.
    pub fn identity(&self) -> Identity {
        let file = std::fs::read(self.state().join("identity.json")).expect("the device is enrolled");
        serde_json::from_slice(&file).expect("the agent writes JSON")
    }

    /// Gives the agent another identity.
    pub fn pretend(&self, identity: &Identity) {
        let text = serde_json::to_vec(identity).expect("an identity has string keys");
        std::fs::write(self.state().join("identity.json"), text).expect("a file can be written");
    }

    /// What `bellwether-agent status` says.
    pub fn status(&self) -> String {
        Process::run(&self.program, &["agent", "status", "--state", &text(&self.state())]).1
    }

    /// What `bellwether-agent check` says; whether it found nothing wrong.
    pub fn check(&self, more: &[&str]) -> (bool, String) {
        let config = text(&self.dir.join("agent.yaml"));
        let (state, root) = (text(&self.state()), text(&self.root()));
        let mut arguments = vec!["agent", "check", "--state", &state, "--root", &root];
        if Path::new(&config).exists() {
            arguments.extend(["--config", &config]);
        }
        arguments.extend(more);
        let (status, said) = Process::run(&self.program, &arguments);
        assert!(matches!(status.code(), Some(0 | 1)), "{said}");
        (status.success(), said)
    }

    /// The same as JSON.
    pub fn status_json(&self) -> String {
        Process::run(&self.program, &["agent", "status", "--output", "json", "--state", &text(&self.state())]).1
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("a temporary folder has a UTF-8 name").to_owned()
}
