//! The planner, rule by rule (`rules`, `failures`, `starts`, `targets`), and what holds for every script (`properties`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod failures;
mod lost;
mod properties;
mod rules;
mod starts;
mod targets;

use std::collections::{BTreeMap, BTreeSet};

use bellwether_schemas::api::{Condition, RolloutState, WaitingOn};
use bellwether_schemas::manifest::{Gate, LabelSelector, Rollout, Wave};
use bellwether_schemas::report::{Claim, Failure, FailureKind, Health};
use bellwether_schemas::{Percent, Seconds, Sha256Digest, Version};
use jiff::{SignedDuration, Timestamp};

use super::{
    Action, FleetInput, FleetPlan, HoldNote, Landing, Member, Observed, Offer, RolloutRecord, Timing, plan_fleet,
};

const STALE_AFTER: u32 = 90;

fn landing(number: u64) -> Landing {
    Landing { commit: format!("{number:040x}").parse().unwrap(), number }
}

fn named(name: &str) -> Wave {
    Wave {
        name: name.parse().unwrap(),
        select: None,
        percent: None,
        limit: None,
        soak: Seconds::ZERO,
        gate: Gate::Automatic,
        max_failure_rate: None,
        windows: Vec::new(),
    }
}

fn percent(name: &str, percent: u8) -> Wave {
    Wave { percent: Some(percent), ..named(name) }
}

fn select(name: &str, ring: &str) -> Wave {
    let match_labels = [("ring".to_owned(), ring.to_owned())].into();
    Wave { select: Some(LabelSelector { match_labels, match_expressions: Vec::new() }), ..named(name) }
}

fn rollout(waves: Vec<Wave>) -> Rollout {
    Rollout { waves, ..Rollout::default() }
}

/// A canary by label, and the rest.
fn canary_then_rest() -> Rollout {
    rollout(vec![select("canary", "canary"), percent("rest", 100)])
}

/// A device as the reconciler knows it.
#[derive(Clone)]
struct Device {
    ring: String,
    online: bool,
    observed: Observed,
    /// Whether it is changing what its next offer would have to give up.
    changes: bool,
}

/// A fleet with its clock, devices and git; it executes each plan as the reconciler does.
#[derive(Clone)]
struct Sim {
    now: Timestamp,
    serving_since: Timestamp,
    target: u64,
    /// The content of each template commit; `{ring}` stands for the device's label.
    contents: BTreeMap<u64, String>,
    rollout: Rollout,
    devices: BTreeMap<String, Device>,
    holds: Vec<HoldNote>,
    approved: Vec<&'static str>,
    condition: Condition,
    records_lost: bool,
    record: Option<RolloutRecord>,
    head: u64,
    offers: u32,
}

impl Sim {
    /// A fleet of devices `(name, ring)` that was never planned, with its first commit.
    fn new(rollout: Rollout, devices: &[(&str, &str)]) -> Self {
        let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let mut sim = Self {
            now,
            serving_since: now - SignedDuration::from_hours(1),
            target: 1,
            contents: [(1, "one".to_owned())].into(),
            rollout,
            devices: BTreeMap::new(),
            holds: Vec::new(),
            approved: Vec::new(),
            condition: Condition::Verified,
            records_lost: false,
            record: None,
            head: 1,
            offers: 0,
        };
        for (name, ring) in devices {
            sim.enroll(name, ring);
        }
        sim
    }

    /// The same, after commit 1 reached everybody.
    fn settled(rollout: Rollout, devices: &[(&str, &str)]) -> Self {
        let mut sim = Self::new(Rollout::default(), devices);
        while sim.plan().view.state != RolloutState::Complete {
            sim.everybody_applies();
            sim.pass(901);
        }
        sim.rollout = rollout;
        sim
    }

    fn enroll(&mut self, name: &str, ring: &str) {
        let observed = Observed {
            enrolled_at: self.now,
            last_seen: Some(self.now),
            running: None,
            applying: None,
            changing: None,
            health: Health::Unknown,
            failure: None,
            failed_at: None,
            offer: None,
            last_progress: None,
            paused: None,
        };
        self.devices.insert(name.to_owned(), Device { ring: ring.to_owned(), online: true, observed, changes: false });
    }

    /// A new template commit.
    fn commit(&mut self, number: u64, content: &str) {
        (self.target, self.head) = (number, number);
        self.contents.insert(number, content.to_owned());
    }

    fn device(&mut self, name: &str) -> &mut Device {
        self.devices.get_mut(name).unwrap()
    }

    fn render(&self, number: u64, device: &Device) -> Result<Sha256Digest, String> {
        let content = &self.contents[&number];
        match device.ring.as_str() {
            "" if content.contains("{ring}") => Err("undefined label ring".to_owned()),
            ring => Ok(Sha256Digest::of(content.replace("{ring}", ring).as_bytes())),
        }
    }

    fn digest(&self, number: u64, name: &str) -> Sha256Digest {
        self.render(number, &self.devices[name]).unwrap()
    }

    fn members(&self) -> Vec<Member> {
        let stable = self.record.as_ref().and_then(|record| record.stable);
        let next = Version { landing: self.head, commit: landing(self.head).commit, revision: self.offers };
        let member = |(name, device): (&String, &Device)| Member {
            device: name.parse().unwrap(),
            wave_labels: [("ring".to_owned(), device.ring.clone())].into(),
            target: self.render(self.target, device),
            stable: stable.map(|stable| self.render(stable.number, device)),
            next_version: (!device.changes).then_some(next),
            observed: device.observed.clone(),
        };
        self.devices.iter().map(member).collect()
    }

    fn plan_only(&self) -> FleetPlan {
        let approved: BTreeSet<_> = self.approved.iter().map(|wave| wave.parse().unwrap()).collect();
        plan_fleet(&FleetInput {
            fleet: &"edge".parse().unwrap(),
            target: landing(self.target),
            rollout: &self.rollout,
            members: &self.members(),
            holds: &self.holds,
            approved: &approved,
            record: self.record.as_ref(),
            records_lost: self.records_lost,
            condition: &self.condition,
            limits: Timing { now: self.now, stale_after: Seconds::new(STALE_AFTER), serving_since: self.serving_since },
        })
    }

    /// Plans and executes; planning again without news must then do nothing.
    fn plan(&mut self) -> FleetPlan {
        let plan = self.plan_only();
        self.execute(&plan);
        let again = self.plan_only();
        assert_eq!(again.record, plan.record, "planning again without news changes the record");
        assert!(!again.changed);
        assert!(again.decisions.values().all(|decision| decision.action == Action::None), "{:#?}", again.decisions);
        for (name, decision) in &plan.decisions {
            assert_eq!(again.decisions[name].reason, decision.reason, "{name}");
        }
        let text = serde_json::to_string(&plan.record).unwrap();
        assert_eq!(serde_json::from_str::<RolloutRecord>(&text).unwrap(), plan.record);
        plan
    }

    fn execute(&mut self, plan: &FleetPlan) {
        let now = self.now;
        self.offers += 1;
        for (name, decision) in &plan.decisions {
            let observed = &mut self.devices.get_mut(name.as_str()).unwrap().observed;
            match decision.action {
                Action::None => {}
                Action::Withdraw => observed.offer = None,
                Action::Offer { version, template, digest, .. } => {
                    let template = template.commit;
                    observed.offer = Some(Offer { version, template, digest, offered_at: now, acknowledged_at: None });
                }
            }
        }
        self.record = Some(plan.record.clone());
    }

    /// Time passes; devices that are online report at its end.
    fn pass(&mut self, seconds: u32) {
        self.now += Seconds::new(seconds).signed();
        for device in self.devices.values_mut().filter(|device| device.online) {
            device.observed.last_seen = Some(self.now);
        }
    }

    /// The reconciler is down for so long, and begins to serve again: nobody has reported meanwhile.
    fn down(&mut self, seconds: u32) {
        self.now += Seconds::new(seconds).signed();
        self.serving_since = self.now;
    }

    /// Devices report, and say nothing new.
    fn report(&mut self, names: &[&str]) {
        let now = self.now;
        for name in names {
            self.device(name).observed.last_seen = Some(now);
        }
    }

    /// Devices pass the point of no return.
    fn begin(&mut self, names: &[&str]) {
        for name in names {
            let now = self.now;
            let observed = &mut self.device(name).observed;
            let offer = observed.offer.as_mut().unwrap();
            offer.acknowledged_at = Some(now);
            let (version, template, digest) = (offer.version, offer.template, offer.digest);
            observed.applying = Some(Claim { version, template, digest });
            (observed.changing, observed.last_progress) = (Some(version), Some(now));
        }
    }

    /// Devices apply what they are offered, and are healthy.
    fn apply(&mut self, names: &[&str]) {
        self.begin(names);
        for name in names {
            let observed = &mut self.device(name).observed;
            observed.running = observed.applying.take();
            (observed.changing, observed.health, observed.failure) = (None, Health::Healthy, None);
        }
    }

    fn everybody_applies(&mut self) {
        let offered = |device: &Device| device.online && device.observed.outstanding().is_some();
        let names: Vec<String> =
            self.devices.iter().filter(|(_, device)| offered(device)).map(|(name, _)| name.clone()).collect();
        for name in names {
            self.apply(&[name.as_str()]);
        }
    }

    /// Devices try what they are offered, and go back to what they had.
    fn fail(&mut self, names: &[&str]) {
        self.begin(names);
        for name in names {
            let at = self.now;
            let observed = &mut self.device(name).observed;
            let claim = observed.applying.take();
            observed.changing = None;
            let (version, digest) = claim.map(|claim| (claim.version, claim.digest)).unzip();
            observed.failed_at = version.map(|version| version.landing);
            let (code, message) = ("BW-0601".to_owned(), "probe web: connection refused".to_owned());
            observed.failure = Some(Failure { version, digest, kind: FailureKind::RolledBack, code, message, at });
        }
    }

    fn set_online(&mut self, names: &[&str], online: bool) {
        let now = self.now;
        for name in names {
            let device = self.device(name);
            device.online = online;
            if online {
                device.observed.last_seen = Some(now);
            }
        }
    }

    fn hold(&mut self, on: bool) {
        let hold = HoldNote { path: "holds/freeze.yaml".to_owned(), reason: "holidays".to_owned() };
        self.holds = if on { vec![hold] } else { Vec::new() };
    }
}

/// Who is offered something by a plan.
fn offered(plan: &FleetPlan) -> Vec<&str> {
    with_action(plan, |action| matches!(action, Action::Offer { .. }))
}

fn withdrawn(plan: &FleetPlan) -> Vec<&str> {
    with_action(plan, |action| matches!(action, Action::Withdraw))
}

fn with_action(plan: &FleetPlan, wanted: impl Fn(&Action) -> bool) -> Vec<&str> {
    plan.decisions.iter().filter(|(_, d)| wanted(&d.action)).map(|(name, _)| name.as_str()).collect()
}

/// The reason of a member.
fn why<'a>(plan: &'a FleetPlan, name: &str) -> &'a WaitingOn {
    plan.decisions[&name.parse().unwrap()].reason.as_ref().expect("a reason")
}

/// The word for a reason.
fn kind(reason: Option<&WaitingOn>) -> String {
    reason.map_or("-".to_owned(), |reason| serde_json::to_value(reason).unwrap()["kind"].as_str().unwrap().to_owned())
}

/// The reasons of all members, by name: `-` is at its target.
fn reasons(plan: &FleetPlan) -> Vec<String> {
    plan.decisions.values().map(|decision| kind(decision.reason.as_ref())).collect()
}

const FIVE: [(&str, &str); 5] = [("c1", "canary"), ("c2", "canary"), ("r1", "rest"), ("r2", "rest"), ("r3", "rest")];

fn percent_of(text: &str) -> Percent {
    text.parse().unwrap()
}
