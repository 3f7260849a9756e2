//! A fleet in the middle of a rollout, some of it offline, some failed, beside a fleet that halted and devices that have ended;
//! and what must hold of it when it comes back.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::time::Duration;

use bellwether_schemas::CommitId;
use bellwether_schemas::api::{Condition, DeviceView, RolloutState, RolloutView, Summary, Updated, WaitingOn};
use bellwether_tests::files::{put, remove};
use bellwether_tests::site::{policy, stalled_by};
use bellwether_tests::{Site, SiteBuilder};

use crate::ended::{Ended, is_ended, is_shown_ended};

const PART: &str = env!("CARGO_BIN_EXE_part");
const MESSAGE: &str = "/opt/bellwether/message";
/// 200 agents report to one reconciler on whatever machine runs the tests.
const PATIENCE: Duration = Duration::from_secs(180);
/// Devices, where nothing else is said.
const DEVICES: usize = 200;
/// Those of the fleet that halts.
const HALTING: usize = 10;

const EDGE: &str = "\
apiVersion: bellwether/v1
kind: Fleet
metadata:
  name: edge
spec:
  selector:
    matchLabels: {part: edge}
  template:
    files:
      - {path: /opt/bellwether/message, content: \"message 1 for {{ device.name }}\\n\"}
    probes:
      - {file: {path: /opt/bellwether/message}, attempts: 1}
";

const WAVES: &str = "\
apiVersion: bellwether/v1
kind: Rollout
metadata:
  name: FLEET
spec:
  waves:
    - {name: canary, select: {matchLabels: {ring: canary}}, soak: 0s}
    - {name: early, percent: 30, soak: 0s, maxFailureRate: 50%}
    - {name: broad, percent: 100, soak: 0s, gate: manual, maxFailureRate: 50%}
";

const AT_ONCE: &str = "\
apiVersion: bellwether/v1
kind: Rollout
metadata:
  name: FLEET
spec:
  waves:
    - {name: all, percent: 100, soak: 0s}
";

/// What is on a device, with what changes when it is placed again.
pub(crate) type Placed = (String, u64);

/// A site in the middle of a rollout.
pub(crate) struct Great {
    pub(crate) site: Site,
    pub(crate) third: CommitId,
    /// What was on each device.
    pub(crate) placed: BTreeMap<String, Placed>,
    /// Devices whose agent does not run.
    pub(crate) offline: Vec<String>,
    /// Devices on which the third landing failed.
    failed: Vec<String>,
    ended: Ended,
}

/// The labels of a device: the last ten are in the fleet that halts, and one in 8 of the others fails at the third landing.
fn labels(number: usize, devices: usize) -> Vec<(&'static str, &'static str)> {
    let part = if number > devices - HALTING { "halting" } else { "edge" };
    let proof = if number % 8 == 7 { "missing" } else { "message" };
    let mut labels = vec![("part", part), ("proof", proof)];
    if number == devices || (2..=5).contains(&number) {
        labels.push(("ring", "canary"));
    }
    labels
}

/// Whether the third landing fails on a device.
pub(crate) fn fails(name: &str) -> bool {
    name.strip_prefix("edge-").and_then(|number| number.parse().ok()).is_some_and(|number: usize| number % 8 == 7)
}

fn key_of(site: &Site, name: &str) -> String {
    std::fs::read_to_string(site.path(&format!("{name}.pub"))).expect("a key").trim().to_owned()
}

impl Great {
    pub(crate) fn begin() -> Self {
        Self::begin_with_copy(&[])
    }

    /// Begins, with a copy of these files from before the third landing.
    pub(crate) fn begin_with_copy(paths: &[&str]) -> Self {
        let copy = |site: &mut Site| {
            if !paths.is_empty() {
                site.kill_reconciler();
                put(site, "reconciler", "copy", paths);
                site.start_reconciler();
            }
        };
        Self::begin_with(DEVICES, None, copy)
    }

    /// Begins with as many devices, the state at this address, and does something before the third landing.
    pub(crate) fn begin_with(devices: usize, state: Option<&str>, before_third: impl FnOnce(&mut Site)) -> Self {
        let rollout = AT_ONCE.replace("FLEET", "edge");
        let site = SiteBuilder::new(PART, devices).patience(PATIENCE).labels(|number| labels(number, devices));
        let site = site.fleet(EDGE).rollout(&rollout).heartbeat(5);
        let mut site = state.into_iter().fold(site, SiteBuilder::state).build();
        let bob = site.path("bob");
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&bob).status();
        assert!(made.expect("ssh-keygen runs").success());
        site.start_reconciler();

        // The second landing lets Bob in, brings the other fleet, and has the next rollouts go in waves; the third lets him go.
        let alone = policy(&site.engineer.public_key(), 2);
        let both = alone.replace("  roles:", &format!("    bob:\n      ssh: [\"{}\"]\n  roles:", key_of(&site, "bob")));
        site.engineer.write("trust/policy.yaml", &both.replace("members: [alice]", "members: [alice, bob]"));
        let halting = EDGE.replace("name: edge", "name: halting").replace("part: edge", "part: halting");
        site.engineer.write("fleets/halting.yaml", &halting);
        site.engineer.write("rollouts/halting.yaml", &AT_ONCE.replace("FLEET", "halting"));
        site.land("Introduce the other fleet");
        site.enroll_all();
        for device in &mut site.devices {
            device.start();
        }
        site.wait_devices("everybody runs the first message", |views| {
            views.len() == devices && views.iter().all(|v| v.status.updated.status == Updated::UpToDate)
        });
        for fleet in ["edge", "halting"] {
            site.wait_rollout_of(fleet, "it is complete", |rollout| rollout.state == RolloutState::Complete);
        }
        site.engineer.write("trust/policy.yaml", &alone.replace("version: 2", "version: 3"));
        for fleet in ["edge", "halting"] {
            site.engineer.write(&format!("rollouts/{fleet}.yaml"), &WAVES.replace("FLEET", fleet));
        }
        site.land("Let Bob go, and roll out in waves");
        let ended = Ended::on(&site);

        before_third(&mut site);

        // Some are away before the next message comes.
        let offline: Vec<String> = (1..=devices).filter(|n| n % 20 == 9).map(|n| format!("edge-{n}")).collect();
        for name in &offline {
            site.device_mut(name).kill();
        }
        for name in &offline {
            site.wait_summary(name, Summary::Stale);
        }
        let probes = "probes:\n      - {file: {path: \"/opt/bellwether/{{ labels.proof }}\"}, attempts: 1}";
        for (fleet, to) in [("edge", probes), ("halting", &probes.replace("{{ labels.proof }}", "nothing"))] {
            let path = format!("fleets/{fleet}.yaml");
            site.engineer.replace(&path, "message 1", "message 2");
            site.engineer.replace(&path, "probes:\n      - {file: {path: /opt/bellwether/message}, attempts: 1}", to);
        }
        let third = site.land("Say message 2");
        let mut great = Self { site, third, placed: BTreeMap::new(), offline, failed: Vec::new(), ended };
        great.wait_middle("the rollout waits in its middle, and the other one halts");
        great.placed = great.placed_now();
        let is_failed = |view: &&DeviceView| view.status.updated.status == Updated::Failed;
        great.failed = great.site.views().iter().filter(is_failed).map(|view| view.name.to_string()).collect();
        assert!(great.failed.len() >= devices.div_ceil(100), "{:?}", great.failed);
        let message_2 = great.placed.values().filter(|(text, _)| text.contains("message 2")).count();
        assert!((devices / 10..devices * 3 / 5).contains(&message_2), "{message_2} devices have the second message");
        great
    }

    /// Waits until the rollout stands before its gate, with its devices done, and the other fleet is halted.
    fn wait_middle(&self, what: &str) {
        let (third, site) = (self.third, &self.site);
        let at_gate = |rollout: &RolloutView| {
            rollout.commit == third
                && matches!(&rollout.reason, Some(WaitingOn::Gate { wave, .. }) if wave.as_str() == "broad")
        };
        site.wait_rollout_of("edge", what, at_gate);
        site.wait_rollout_of("halting", what, |rollout| {
            rollout.commit == third && rollout.state == RolloutState::Halted
        });
    }

    /// Whether it runs, and reports.
    pub(crate) fn is_there(&self, view: &DeviceView) -> bool {
        !self.offline.contains(&view.name.to_string()) && !is_ended(view)
    }

    pub(crate) fn placed_now(&self) -> BTreeMap<String, Placed> {
        let placed = |device: &bellwether_tests::Device| {
            let file = device.root().join(MESSAGE.trim_start_matches('/'));
            let inode = std::fs::metadata(&file).expect("it is placed").ino();
            (device.name.clone(), (device.read(MESSAGE).expect("it is placed"), inode))
        };
        self.site.devices.iter().map(placed).collect()
    }

    /// Puts the copy in place.
    pub(crate) fn set_back(&self, paths: &[&str]) {
        put(&self.site, "copy", "reconciler", paths);
    }

    pub(crate) fn lose(&self, paths: &[&str]) {
        for path in paths {
            remove(&self.site.path("reconciler").join(path));
        }
    }

    /// The fleet is what it was: nobody is placed anew or goes backwards, nobody is paused, whoever is away is waited for.
    pub(crate) fn is_back(&self) {
        assert_eq!(self.changed_when_back(), BTreeMap::new(), "nobody was touched");
    }

    /// The same where nobody remembers who was in the wave: a share of those who are there may be a device or two more than who
    /// had it, and they are offered it. Nobody goes back.
    pub(crate) fn is_back_but_for_a_few_more(&mut self) {
        let changed = self.changed_when_back();
        // What failed on one of these is tried on no other device of before.
        let is_new =
            |name: &String, text: &str| text.contains("message 2") || (fails(name) && !self.failed.contains(name));
        assert!(changed.len() <= 5 && changed.iter().all(|(name, (text, _))| is_new(name, text)), "{changed:?}");
        self.placed.extend(changed);
    }

    /// The same but for devices on which something changed, which are returned.
    pub(crate) fn changed_when_back(&self) -> BTreeMap<String, Placed> {
        let site = &self.site;
        site.wait_devices("everybody who is there takes part again", |views| {
            let there = views.iter().filter(|view| self.is_there(view));
            there.clone().count() >= site.devices.len() - self.offline.len()
                && there.clone().all(|view| matches!(view.status.summary.status, Summary::Online | Summary::Error))
        });
        self.wait_middle("the rollouts stand where they stood");
        for view in site.views().iter().filter(|view| !self.is_there(view)) {
            let is_away = matches!(view.status.summary.status, Summary::AwaitingReconnect | Summary::Stale);
            assert!(if is_ended(view) { is_shown_ended(view) } else { is_away }, "{view:?}");
        }
        let is_failed = |view: &DeviceView| view.status.updated.status == Updated::Failed;
        for view in site.views().iter().filter(|view| is_failed(view)) {
            assert!(self.failed.contains(&view.name.to_string()) || fails(view.name.as_str()), "{view:?}");
        }
        let now = self.placed_now();
        now.into_iter().filter(|(name, placed)| self.placed[name] != *placed).collect()
    }

    /// A spent token stays spent, a removed key stays removed, and a device that has left or was revoked stays away.
    pub(crate) fn nothing_comes_back_that_was_ended(&self) {
        self.nothing_comes_back(true);
    }

    /// The same where nobody knows any more which devices have left.
    pub(crate) fn nothing_comes_back_but_who_left(&self) {
        self.nothing_comes_back(false);
    }

    fn nothing_comes_back(&self, leavers_are_known: bool) {
        let site = &self.site;
        self.ended.are_refused(site, leavers_are_known);
        let (token, thief) = (&site.tokens["edge-12"], site.spare_device("thief"));
        let (enrolled, said) = site.enroll(&thief, token);
        assert!(!enrolled && (said.contains("BW-0314") || said.contains("BW-0318")), "{said}");

        let key = site.path("bob");
        let signing = format!("user.signingkey={}", key.display());
        site.engineer.write("README.md", "Bob was here\n");
        site.engineer.git(&["add", "--all"]);
        site.engineer.git(&["-c", &signing, "commit", "--quiet", "--gpg-sign", "--message", "By Bob"]);
        site.engineer.push();
        let stalled = site.wait_repository("Bob's commit is refused", |r| stalled_by(r).is_some());
        assert_eq!(stalled.head.map(|head| head.commit), Some(self.third));
        site.engineer.reset(&self.third);
        site.engineer.force_push(&self.third);
        site.wait_repository("it is verified again", |r| r.condition == Condition::Verified);
    }

    /// The rollout goes on by one signed approval, to everybody but those that failed; who was away comes back.
    pub(crate) fn goes_on(&mut self) {
        for name in self.offline.clone() {
            self.site.device_mut(&name).start();
        }
        let approval = format!(
            "apiVersion: bellwether/v1\nkind: Approval\nmetadata:\n  name: go\nspec:\n  fleet: edge\n  commit: {}\n  open: \
             [broad]\n  reason: it looks well\n",
            self.third
        );
        self.site.engineer.write("approvals/go.yaml", &approval);
        self.site.land("Open the gate");
        let site = &self.site;
        site.wait_devices("the second message reaches everybody whom it may", |views| {
            let edge = views.iter().filter(|view| view.fleet.as_ref().is_some_and(|fleet| fleet.as_str() == "edge"));
            let wanted =
                |view: &DeviceView| if fails(view.name.as_str()) { Updated::Failed } else { Updated::UpToDate };
            edge.clone().count() == site.devices.len() - HALTING
                && edge.clone().all(|view| view.status.updated.status == wanted(view))
        });
        let after = self.placed_now();
        for (name, (text, inode)) in &self.placed {
            let (now, placed) = &after[name];
            if text.contains("message 2") {
                assert_eq!((now, placed), (text, inode), "{name} had it already");
            }
        }
        let halted = site.wait_rollout_of("halting", "it stays halted", |r| r.state == RolloutState::Halted);
        assert_eq!(halted.commit, self.third);
    }
}
