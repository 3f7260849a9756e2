//! The repository of a great fleet, as engineers have it: made by the command and signed by git.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// How much there is of each kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) fleets: usize,
    /// Devices with a manifest of their own.
    pub(crate) devices: usize,
    /// Tokens in all, fifty in each Enrollment; each is for one of the devices.
    pub(crate) tokens: usize,
}

impl Size {
    /// So many manifests: a twentieth Fleets, as many Rollouts, and the rest Devices with their Enrollments.
    pub(crate) const fn of(manifests: usize) -> Self {
        let fleets = manifests / 20;
        let devices = (manifests - 2 * fleets - 1) * 50 / 51;
        Self { fleets, devices, tokens: devices }
    }

    /// Manifests of this size, the policy included.
    pub(crate) const fn manifests(self) -> usize {
        2 * self.fleets + self.devices + self.tokens.div_ceil(TOKENS) + 1
    }
}

/// Tokens of an Enrollment.
pub(crate) const TOKENS: usize = 50;

/// A working copy, and the command.
pub(crate) struct Repository {
    pub(crate) dir: PathBuf,
    pub(crate) bellwether: PathBuf,
    home: PathBuf,
}

impl Repository {
    /// Makes it below `dir`, with one commit after the introduction that has everything.
    pub(crate) fn make(dir: &Path, size: Size) -> anyhow::Result<Self> {
        let repository = Self { dir: dir.join("fleet"), bellwether: command()?, home: dir.to_owned() };
        let key = dir.join("key");
        repository.run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&key))?;
        let mut init = Command::new(&repository.bellwether);
        init.arg("init").arg(&repository.dir).args(["--author", "Ada <ada@example.com>", "--key"]).arg(&key);
        repository.run(&mut init)?;
        for (path, text) in files(size) {
            let file = repository.dir.join(path);
            std::fs::create_dir_all(file.parent().context("a file lies in a folder")?)?;
            std::fs::write(file, text)?;
        }
        for left in ["fleets/edge.yaml", "rollouts/edge.yaml", "enrollments/factory.yaml"] {
            std::fs::remove_file(repository.dir.join(left))?;
        }
        repository.commit("Say what everything runs")?;
        Ok(repository)
    }

    /// Commits everything, signed.
    pub(crate) fn commit(&self, message: &str) -> anyhow::Result<()> {
        self.run(self.git(&["add", "--all"]).current_dir(&self.dir))?;
        self.run(self.git(&["commit", "--quiet", "--message", message]).current_dir(&self.dir))
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> Command {
        let mut git = Command::new("git");
        git.args(arguments).current_dir(&self.dir);
        git
    }

    /// Runs a program without the caller's home and git configuration; it must succeed.
    pub(crate) fn run(&self, command: &mut Command) -> anyhow::Result<()> {
        let output = self.output(command)?;
        if !output.status.success() {
            bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    pub(crate) fn output(&self, command: &mut Command) -> anyhow::Result<std::process::Output> {
        command.env("HOME", &self.home).env("GIT_CONFIG_NOSYSTEM", "1");
        command.output().with_context(|| format!("{command:?} could not be started"))
    }
}

/// The command `bellwether` of this build, which is built if need be.
fn command() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().context("the bench is in a folder of cargo's")?;
    let target = folder.parent().context("the bench is in a folder of cargo's")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--locked", "-p", "bellwether", "--target-dir"]).arg(target);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().context("cargo could not be started")?;
    if !built.success() {
        bail!("the command could not be built");
    }
    Ok(folder.join("bellwether"))
}

const HEAD: &str = "apiVersion: bellwether/v1\nkind: ";

/// Every manifest but the policy, by its path.
fn files(size: Size) -> impl Iterator<Item = (String, String)> {
    let fleets = (0..size.fleets).flat_map(|n| [fleet(n), rollout(n)]);
    let devices = (0..size.devices).map(move |n| device(n, size.fleets));
    let enrollments = (0..size.tokens.div_ceil(TOKENS)).map(move |n| enrollment(n, size));
    fleets.chain(devices).chain(enrollments)
}

fn fleet(n: usize) -> (String, String) {
    let text = format!(
        "# Devices of line {n}.
{HEAD}Fleet
metadata:
  name: line-{n}
spec:
  selector:
    matchLabels:
      line: \"{n}\"
  vars:
    greeting: Hello
  template:
    files:
      - path: /opt/bellwether/etc/greeting
        mode: \"0644\"
        content: |
          {{{{ vars.greeting }}}} from {{{{ device.name }}}} at {{{{ labels.site }}}}.
      - path: /opt/bellwether/etc/about
        source: files/about.txt
    probes:
      - file:
          path: /opt/bellwether/etc/greeting
        attempts: 2
        interval: 1s
"
    );
    (format!("fleets/line-{n}.yaml"), text)
}

fn rollout(n: usize) -> (String, String) {
    let text = format!(
        "{HEAD}Rollout
metadata:
  name: line-{n}
spec:
  waves:
    - name: canary
      percent: 5
      soak: 15m
    - name: rest
      percent: 100
      soak: 15m
  windows:
    - days: [mon, tue, wed, thu]
      start: \"02:00\"
      duration: 3h
      timezone: Europe/Berlin
  deviceTimeout: 30m
"
    );
    (format!("rollouts/line-{n}.yaml"), text)
}

fn device(n: usize, fleets: usize) -> (String, String) {
    let text = format!(
        "{HEAD}Device
metadata:
  name: device-{n}
spec:
  labels:
    line: \"{}\"
    site: site-{}
",
        n % fleets.max(1),
        n % 97,
    );
    (format!("devices/device-{n}.yaml"), text)
}

fn enrollment(n: usize, size: Size) -> (String, String) {
    let mut text = format!("{HEAD}Enrollment\nmetadata:\n  name: batch-{n}\nspec:\n  tokens:\n");
    for token in n * TOKENS..((n + 1) * TOKENS).min(size.tokens) {
        let sha256 = bellwether_schemas::Sha256Digest::of(&token.to_le_bytes());
        let labels = format!("{{line: \"{}\", site: site-{}}}", token % size.fleets.max(1), token % 97);
        let _infallible = write!(
            text,
            "    - id: token-{token}\n      sha256: \"{sha256}\"\n      expires: \"2096-01-01T00:00:00Z\"\n      device: \
             device-{token}\n      labels: {labels}\n"
        );
    }
    (format!("enrollments/batch-{n}.yaml"), text)
}
