//! A site: an engineer's repository, a reconciler and devices.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bellwether_schemas::api::{Condition, DeviceView, RepositoryView, RolloutView, Summary, Updated};
use bellwether_schemas::{CommitId, Sha256Digest};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::device::Device;
use crate::engineer::Engineer;
use crate::process::Process;

mod reconciler;

/// How long the system may take to do what a test waits for. Generous: machines are shared; a good run takes a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Addresses of the listeners.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Addresses {
    /// Enrollment.
    pub enroll: String,
    /// Sessions.
    pub devices: String,
    /// TUF.
    pub updates: String,
    /// Page and API.
    pub page: String,
}

/// What a site begins with.
pub struct SiteBuilder {
    program: PathBuf,
    fleet: String,
    rollout: String,
    devices: Vec<(String, BTreeMap<String, String>)>,
    heartbeat: u32,
    names: String,
    allow: Option<String>,
    patience: Duration,
    state: Option<String>,
}

/// A fleet whose devices show a text, and that probes for it.
pub const FLEET: &str = "\
apiVersion: bellwether/v1
kind: Fleet
metadata:
  name: edge
spec:
  selector:
    matchLabels:
      role: edge
  template:
    files:
      - path: /opt/bellwether/message
        content: \"message 1 for {{ device.name }}\\n\"
    probes:
      - file: {path: /opt/bellwether/message}
        attempts: 1
";

/// A canary first, then the rest, without soak.
pub const ROLLOUT: &str = "\
apiVersion: bellwether/v1
kind: Rollout
metadata:
  name: edge
spec:
  waves:
    - {name: canary, select: {matchLabels: {ring: canary}}, soak: 0s}
    - {name: broad, percent: 100, soak: 0s}
";

impl SiteBuilder {
    /// A site of devices `edge-1` (the canary) to `edge-<n>`, run by `program` (the tests' `part`).
    pub fn new(program: &str, devices: usize) -> Self {
        let device = |number: usize| {
            let mut labels = BTreeMap::from([("role".to_owned(), "edge".to_owned())]);
            if number == 1 {
                labels.insert("ring".to_owned(), "canary".to_owned());
            }
            (format!("edge-{number}"), labels)
        };
        Self {
            program: program.into(),
            fleet: FLEET.to_owned(),
            rollout: ROLLOUT.to_owned(),
            devices: (1..=devices).map(device).collect(),
            heartbeat: 1,
            names: "127.0.0.1,localhost".to_owned(),
            allow: None,
            patience: PATIENCE,
            state: None,
        }
    }

    /// With further labels, by the number of a device, from 1 on.
    #[must_use]
    pub fn labels(mut self, labels: impl Fn(usize) -> Vec<(&'static str, &'static str)>) -> Self {
        for (index, (_, known)) in self.devices.iter_mut().enumerate() {
            known.extend(labels(index + 1).into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
        }
        self
    }

    /// With more time for what tests wait for: many devices share one machine.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// With its state at this address, such as that of a PostgreSQL server.
    #[must_use]
    pub fn state(mut self, url: &str) -> Self {
        self.state = Some(url.to_owned());
        self
    }

    /// With another fleet manifest.
    #[must_use]
    pub fn fleet(mut self, yaml: &str) -> Self {
        self.fleet = yaml.to_owned();
        self
    }

    /// With another rollout manifest.
    #[must_use]
    pub fn rollout(mut self, yaml: &str) -> Self {
        self.rollout = yaml.to_owned();
        self
    }

    /// With another time between heartbeats, in seconds.
    #[must_use]
    pub fn heartbeat(mut self, seconds: u32) -> Self {
        self.heartbeat = seconds;
        self
    }

    /// With these names, separated by commas, in the server's certificate.
    #[must_use]
    pub fn names(mut self, names: &str) -> Self {
        self.names = names.to_owned();
        self
    }

    /// With this as what the operator allows on each device.
    #[must_use]
    pub fn allow(mut self, yaml: &str) -> Self {
        self.allow = Some(yaml.to_owned());
        self
    }

    /// Builds it, starts the reconciler, enrolls the devices and starts their agents.
    pub fn start(self) -> Site {
        let mut site = self.build();
        site.start_reconciler();
        site.enroll_all();
        for device in &mut site.devices {
            device.start();
        }
        site
    }

    /// Builds it; nothing runs yet.
    pub fn build(self) -> Site {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let engineer = Engineer::new(dir.path());
        engineer.write("trust/policy.yaml", &policy(&engineer.public_key(), 1));
        engineer.write("fleets/edge.yaml", &self.fleet);
        engineer.write("rollouts/edge.yaml", &self.rollout);
        let tokens: BTreeMap<String, String> =
            self.devices.iter().map(|(name, _)| (name.clone(), token(&format!("token of {name}")))).collect();
        engineer.write("enrollments/factory.yaml", &enrollment(&self.devices, &tokens));
        let introduction = engineer.commit("Introduce the fleet");
        engineer.push();

        let program = self.program;
        let devices = self.devices.iter().map(|(name, _)| {
            let device = Device::new(name, &dir.path().join("devices").join(name), &program);
            if let Some(allow) = &self.allow {
                device.allow(allow);
            }
            device
        });
        let devices = devices.collect();
        let (reconciler, addresses, patience) = (None, None, self.patience);
        let site = Site { engineer, introduction, tokens, devices, program, reconciler, addresses, patience, dir };
        site.init_reconciler(self.heartbeat, &self.names, self.state.as_deref());
        site
    }
}

/// A site. Everything of it is gone when it is dropped.
pub struct Site {
    /// Who writes and signs.
    pub engineer: Engineer,
    /// The first trusted commit.
    pub introduction: CommitId,
    /// Tokens by device.
    pub tokens: BTreeMap<String, String>,
    /// The devices.
    pub devices: Vec<Device>,
    program: PathBuf,
    reconciler: Option<Process>,
    addresses: Option<Addresses>,
    patience: Duration,
    // Last, so that processes end before their folders go.
    dir: TempDir,
}

impl Site {
    fn init_reconciler(&self, heartbeat: u32, names: &str, state: Option<&str>) {
        let (keys, online) = (self.path("keys/root"), self.path("reconciler/keys/online"));
        bellwether_reconciler::keys::init(&keys, &online, jiff::Timestamp::now()).expect("keys can be made");
        let policy = std::fs::read(self.engineer.work().join("trust/policy.yaml")).expect("the policy is there");
        let [enroll, devices, updates, page] = free_addresses();
        let (status, said) = Process::run(
            &self.program,
            &[
                "reconciler",
                "init",
                "--dir",
                &text(&self.path("reconciler")),
                "--repository",
                &text(&self.path("fleet.git")),
                "--commit",
                &self.introduction.to_string(),
                "--policy-sha256",
                &Sha256Digest::of(&policy).to_string(),
                "--names",
                names,
                "--enroll",
                &enroll,
                "--devices",
                &devices,
                "--updates",
                &updates,
                "--page",
                &page,
                "--heartbeat",
                &format!("{heartbeat}s"),
                "--domain",
                "test.example",
                "--state",
                state.unwrap_or("sqlite://state.db"),
            ],
        );
        assert!(status.success(), "{said}");
    }

    /// A path below the site's folder.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// Where the listeners are.
    pub fn addresses(&self) -> &Addresses {
        self.addresses.as_ref().expect("the reconciler was started")
    }

    /// The certificate authority's certificate, as a file.
    pub fn ca(&self) -> PathBuf {
        self.path("reconciler/ca/ca.crt")
    }

    /// The first TUF root, as a file.
    pub fn root_json(&self) -> PathBuf {
        self.path("reconciler/keys/online/1.root.json")
    }

    /// Enrolls every device.
    pub fn enroll_all(&self) {
        // The token is known once the reconciler accepted the introduction.
        self.wait_repository("the introduction is accepted", |repository| repository.head.is_some());
        // Most of the time each waits for another process.
        let share = self.devices.len().div_ceil(8).max(1);
        std::thread::scope(|scope| {
            for devices in self.devices.chunks(share) {
                scope.spawn(move || {
                    for device in devices {
                        let (done, said) = self.enroll(device, &self.tokens[&device.name]);
                        assert!(done, "{said}");
                    }
                });
            }
        });
    }

    /// Enrolls a device with a token.
    pub fn enroll(&self, device: &Device, token: &str) -> (bool, String) {
        device.enroll(&self.addresses().enroll, &self.ca(), &self.root_json(), token)
    }

    /// Begins to enroll a device without a token.
    pub fn ask(&self, device: &Device, more: &[&str]) -> Process {
        device.ask(&self.addresses().enroll, &self.ca(), &self.root_json(), more)
    }

    /// A device by name.
    pub fn device(&self, name: &str) -> &Device {
        self.devices.iter().find(|device| device.name == name).expect("the site has that device")
    }

    /// A device by name.
    pub fn device_mut(&mut self, name: &str) -> &mut Device {
        self.devices.iter_mut().find(|device| device.name == name).expect("the site has that device")
    }

    /// A further device that is not enrolled; the site does not wait for it.
    pub fn spare_device(&self, name: &str) -> Device {
        Device::new(name, &self.path("devices").join(name), &self.program)
    }

    /// Where the reconciler publishes.
    pub fn store(&self) -> PathBuf {
        self.path("reconciler/store")
    }

    /// Waits until a commit is the accepted head.
    pub fn wait_head(&self, commit: &CommitId) {
        self.wait_repository(&format!("{commit} is accepted"), |repository| {
            repository.head.as_ref().is_some_and(|head| head.commit == *commit)
        });
    }

    /// Commits and pushes everything in the working copy.
    pub fn land(&self, message: &str) -> CommitId {
        let commit = self.engineer.commit(message);
        self.engineer.push();
        commit
    }

    /// Asks the JSON API.
    pub fn get<T: DeserializeOwned>(&self, what: &str) -> Option<T> {
        let url = format!("{}/api/v1/{what}", self.addresses().page);
        let client = reqwest::blocking::Client::builder().no_proxy().build().expect("a client can be made");
        let answer = client.get(url).send().ok()?;
        answer.json().ok()
    }

    /// What the page's listener answers, as text.
    pub fn page(&self, path: &str) -> Option<String> {
        let client = reqwest::blocking::Client::builder().no_proxy().build().expect("a client can be made");
        client.get(format!("{}{path}", self.addresses().page)).send().ok()?.text().ok()
    }

    /// The devices, as the API shows them.
    pub fn views(&self) -> Vec<DeviceView> {
        self.get("devices").unwrap_or_default()
    }

    /// A device, as the API shows it.
    pub fn view(&self, name: &str) -> DeviceView {
        self.views().into_iter().find(|view| view.name.as_str() == name).expect("the API shows that device")
    }

    /// The rollout of the fleet, as the API shows it.
    pub fn rollout(&self) -> RolloutView {
        self.get::<Vec<RolloutView>>("rollouts").and_then(|mut all| all.pop()).expect("the API shows the rollout")
    }

    /// Waits until the devices are as a test expects; panics with everything known when they never are.
    pub fn wait_devices(&self, what: &str, is: impl Fn(&[DeviceView]) -> bool) -> Vec<DeviceView> {
        self.wait(what, || Some(self.views()).filter(|views| !views.is_empty() && is(views)))
    }

    /// Waits until the rollout of a fleet is as a test expects.
    pub fn wait_rollout_of(&self, fleet: &str, what: &str, is: impl Fn(&RolloutView) -> bool) -> RolloutView {
        let of_fleet = |view: &RolloutView| view.fleet.as_str() == fleet && is(view);
        self.wait(what, || self.get::<Vec<RolloutView>>("rollouts")?.into_iter().find(of_fleet))
    }

    /// Waits until the rollout is as a test expects.
    pub fn wait_rollout(&self, what: &str, is: impl Fn(&RolloutView) -> bool) -> RolloutView {
        self.wait(what, || self.get::<Vec<RolloutView>>("rollouts")?.into_iter().find(|view| is(view)))
    }

    /// Waits until the repository is as a test expects.
    pub fn wait_repository(&self, what: &str, is: impl Fn(&RepositoryView) -> bool) -> RepositoryView {
        self.wait(what, || self.get::<RepositoryView>("repository").filter(|view| is(view)))
    }

    /// Waits until every device runs its target, which is rendered from `template`.
    pub fn wait_up_to_date(&self, template: &CommitId) {
        let complete = self.wait_rollout("the rollout names the commit", |rollout| rollout.commit == *template);
        assert_eq!(complete.commit, *template);
        let devices = self.devices.len();
        self.wait_devices("every device is up to date", |views| {
            views.len() == devices && views.iter().all(|view| view.status.updated.status == Updated::UpToDate)
        });
    }

    /// Waits until a device has this summary.
    pub fn wait_summary(&self, name: &str, summary: Summary) -> DeviceView {
        let views = self.wait_devices(&format!("{name} is {summary:?}"), |views| {
            views.iter().any(|view| view.name.as_str() == name && view.status.summary.status == summary)
        });
        views.into_iter().find(|view| view.name.as_str() == name).expect("it was seen just now")
    }

    /// Waits until something is there.
    pub fn wait<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let until = Instant::now() + self.patience;
        loop {
            if let Some(found) = look() {
                return found;
            }
            if Instant::now() > until {
                panic!("waited in vain until {what}\n{}", self.everything_known());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn everything_known(&self) -> String {
        let mut known = format!("--- reconciler\n{}", tail(&self.reconciler_log()));
        for device in &self.devices {
            known += &format!("--- {}\n{}", device.name, tail(&device.log()));
        }
        for what in ["repository", "rollouts", "devices", "invalid"] {
            let answer = self.get::<serde_json::Value>(what).unwrap_or_default();
            known += &format!("--- {what}\n{}\n", serde_json::to_string_pretty(&answer).unwrap_or_default());
        }
        known
    }
}

/// Whether the repository is stalled, and by which code.
pub fn stalled_by(repository: &RepositoryView) -> Option<&str> {
    match &repository.condition {
        Condition::Stalled { code, .. } => Some(code),
        Condition::Verified | Condition::Rewound { .. } | Condition::Frozen { .. } | Condition::Unreachable { .. } => {
            None
        }
    }
}

/// A policy by which Alice may do everything.
pub fn policy(key: &str, version: u64) -> String {
    format!(
        "apiVersion: bellwether/v1\nkind: TrustPolicy\nmetadata:\n  name: policy\nspec:\n  version: {version}\n  branch: main\n  \
         expires: 2099-01-01T00:00:00Z\n  people:\n    alice:\n      ssh: [\"{key}\"]\n  roles:\n    admins:\n      \
         members: [alice]\n  rules:\n    - {{paths: [\"**\"], role: admins}}\n"
    )
}

/// A token that is the same in each run: 32 bytes as hexadecimal text.
pub fn token(seed: &str) -> String {
    Sha256Digest::of(seed.as_bytes()).to_string()
}

fn enrollment(devices: &[(String, BTreeMap<String, String>)], tokens: &BTreeMap<String, String>) -> String {
    let mut yaml =
        "apiVersion: bellwether/v1\nkind: Enrollment\nmetadata:\n  name: factory\nspec:\n  tokens:\n".to_owned();
    for (name, labels) in devices {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        yaml += &format!(
            "    - id: {name}\n      sha256: {}\n      expires: 2099-01-01T00:00:00Z\n      device: {name}\n      labels: {{{}}}\n",
            token_hash(&tokens[name]),
            labels.join(", ")
        );
    }
    yaml
}

/// The hash of a token as an Enrollment lists it: SHA-256 of its 32 bytes.
pub fn token_hash(token: &str) -> Sha256Digest {
    Sha256Digest::of(&hex::decode(token).expect("a token is hexadecimal"))
}

/// Four addresses that were free just now. They are fixed, so that agents find a reconciler that is started again.
pub fn free_addresses() -> [String; 4] {
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("it is bound").to_string())
}

fn text(path: &Path) -> String {
    path.to_str().expect("a temporary folder has a UTF-8 name").to_owned()
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(40);
    lines[from..].join("\n") + "\n"
}

/// SHA-256 of a file.
pub fn digest_of(file: &Path) -> Sha256Digest {
    Sha256Digest::of(&std::fs::read(file).expect("the file can be read"))
}
