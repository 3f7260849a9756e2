//! A fleet with its clock, devices and git, which executes each plan as the reconciler does.

use bellwether_schemas::DeviceName;
use bellwether_schemas::manifest::Labels;

use super::*;

/// A device as the reconciler knows it.
#[derive(Clone)]
pub(super) struct Device {
    pub(super) ring: String,
    pub(super) online: bool,
    pub(super) observed: Observed,
    /// Whether it is changing what its next offer would have to give up.
    pub(super) changes: bool,
    /// Labels beside its ring.
    pub(super) labels: Labels,
    pub(super) pin: Option<Pinned>,
    /// The revision of its next offer.
    pub(super) revision: u32,
    /// What it is at, while nobody knows: it is off since everything but the record was lost.
    pub(super) forgotten: Option<Box<Observed>>,
}

impl Device {
    /// It tells how it is, after nobody knew.
    fn tell(&mut self, told: Observed, now: Timestamp) {
        let Observed { running, applying, changing, health, failure, failed_at, .. } = told;
        let known = std::mem::replace(&mut self.observed, nothing_known());
        self.observed =
            Observed { last_seen: Some(now), running, applying, changing, health, failure, failed_at, ..known };
    }

    fn labels(&self) -> Labels {
        let ring = [("ring".to_owned(), self.ring.clone())];
        self.labels.clone().into_iter().chain(ring).collect()
    }
}

/// What is decided for one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) action: Option<Action>,
    pub(super) reason: Option<WaitingOn>,
}

/// A plan with everything that can be asked of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FleetPlan {
    pub(super) record: RolloutRecord,
    pub(super) decisions: BTreeMap<DeviceName, Decision>,
    pub(super) view: RolloutStanding,
    pub(super) changed: Changed,
    pub(super) wake_at: Option<Timestamp>,
}

impl FleetPlan {
    fn of(planner: &Planner, actions: Vec<(DeviceName, Action)>, changed: Changed, wake_at: Option<Timestamp>) -> Self {
        let actions: BTreeMap<_, _> = actions.into_iter().collect();
        let reasons = planner.reasons();
        let decision = |row: &super::super::standing::Row| {
            let (action, reason) = (actions.get(&row.device).copied(), reasons.of(&row.device));
            (row.device.clone(), Decision { action, reason })
        };
        let decisions = planner.rows.iter().map(|row| decision(row)).collect();
        Self { record: planner.record(), decisions, view: planner.show(&reasons), changed, wake_at }
    }
}

fn nothing_known() -> Observed {
    Observed {
        enrolled_at: Timestamp::UNIX_EPOCH,
        last_seen: None,
        running: None,
        applying: None,
        changing: false,
        health: Health::Unknown,
        failure: None,
        failed_at: None,
        offer: None,
        last_progress: None,
        paused: None,
    }
}

/// A run of the reconciler: its planner, and what that was told last.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) planner: Planner,
    terms: Terms,
    members: Vec<Member>,
}

/// Tells a planner what is new about a member.
fn tell(planner: &mut Planner, last: &Member, member: &Member) {
    let Member { device, revision, observed, .. } = member;
    let heard_since = Observed { last_seen: observed.last_seen, ..last.observed.clone() };
    match observed.last_seen {
        _ if (last.revision, &last.observed) == (*revision, observed) => {}
        Some(at) if (last.revision, &heard_since) == (*revision, observed) => {
            planner.heard(device, at);
        }
        _ => planner.observe(device, *revision, observed.clone()),
    }
}

/// Members as git knows them.
fn unobserved(members: &[Member]) -> Vec<Member> {
    members.iter().map(|member| Member { revision: None, observed: nothing_known(), ..member.clone() }).collect()
}

/// A fleet with its clock, devices and git; it executes each plan as the reconciler does.
#[derive(Clone)]
pub(super) struct Sim {
    pub(super) now: Timestamp,
    pub(super) serving_since: Timestamp,
    pub(super) target: u64,
    /// The content of each template commit; `{ring}` stands for the device's label.
    pub(super) contents: BTreeMap<u64, String>,
    pub(super) rollout: Rollout,
    pub(super) devices: BTreeMap<String, Device>,
    pub(super) holds: Vec<HoldNote>,
    pub(super) approved: Vec<&'static str>,
    pub(super) decisions: Decisions,
    /// What is decided if the rollout goes on, where that is something else.
    pub(super) kept: Option<Decisions>,
    pub(super) unmet: Vec<Unmet>,
    pub(super) condition: Condition,
    pub(super) records_lost: bool,
    pub(super) record: Option<RolloutRecord>,
    pub(super) head: u64,
    pub(super) offers: u32,
    pub(super) heard_before: Option<Timestamp>,
    pub(super) grace: Seconds,
    pub(super) run: Option<Run>,
}

impl Sim {
    /// A fleet of devices `(name, ring)` that was never planned, with its first commit.
    pub(super) fn new(rollout: Rollout, devices: &[(&str, &str)]) -> Self {
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
            decisions: Decisions::default(),
            kept: None,
            unmet: Vec::new(),
            condition: Condition::Verified,
            records_lost: false,
            record: None,
            head: 1,
            offers: 0,
            heard_before: None,
            grace: Seconds::ZERO,
            run: None,
        };
        for (name, ring) in devices {
            sim.enroll(name, ring);
        }
        sim
    }

    /// The same, after commit 1 reached everybody.
    pub(super) fn settled(rollout: Rollout, devices: &[(&str, &str)]) -> Self {
        let mut sim = Self::new(Rollout::default(), devices);
        while sim.plan().view.state != RolloutState::Complete {
            sim.everybody_applies();
            sim.pass(901);
        }
        sim.rollout = rollout;
        sim
    }

    pub(super) fn enroll(&mut self, name: &str, ring: &str) {
        let observed = Observed { enrolled_at: self.now, last_seen: Some(self.now), ..nothing_known() };
        let device = Device {
            ring: ring.to_owned(),
            online: true,
            observed,
            changes: false,
            labels: Labels::new(),
            pin: None,
            revision: self.offers,
            forgotten: None,
        };
        self.devices.insert(name.to_owned(), device);
    }

    /// A new template commit.
    pub(super) fn commit(&mut self, number: u64, content: &str) {
        (self.target, self.head) = (number, number);
        self.contents.insert(number, content.to_owned());
    }

    pub(super) fn device(&mut self, name: &str) -> &mut Device {
        self.devices.get_mut(name).unwrap()
    }

    pub(super) fn render(&self, number: u64, device: &Device) -> Result<Sha256Digest, String> {
        let content = &self.contents[&number];
        match device.ring.as_str() {
            "" if content.contains("{ring}") => Err("undefined label ring".to_owned()),
            ring => Ok(Sha256Digest::of(content.replace("{ring}", ring).as_bytes())),
        }
    }

    pub(super) fn digest(&self, number: u64, name: &str) -> Sha256Digest {
        self.render(number, &self.devices[name]).unwrap()
    }

    pub(super) fn members(&self) -> Vec<Member> {
        let stable = self.record.as_ref().and_then(|record| record.stable);
        let good_of = |name: &str| self.record.as_ref()?.members.get(&name.parse().unwrap())?.good.as_deref().copied();
        let member = |(name, device): (&String, &Device)| Member {
            device: name.parse().unwrap(),
            labels: Arc::new(device.labels()),
            wave_labels: Arc::new(device.labels()),
            target: self.render(self.target, device),
            stable: stable.map(|stable| self.render(stable.number, device)),
            good: good_of(name).and_then(|good| self.render(good.template.number, device).ok()),
            pin: device.pin.clone(),
            revision: (!device.changes).then_some(device.revision),
            observed: device.observed.clone(),
        };
        self.devices.iter().map(member).collect()
    }

    pub(super) fn terms(&self) -> Terms {
        let decisions = Decisions {
            opened: self.approved.iter().map(|wave| wave.parse().unwrap()).collect(),
            ..self.decisions.clone()
        };
        Terms {
            fleet: "edge".parse().unwrap(),
            target: landing(self.target),
            head: landing(self.head),
            rollout: Arc::new(self.rollout.clone()),
            holds: self.holds.clone(),
            kept: self.kept.clone().unwrap_or_else(|| decisions.clone()),
            decisions,
            unmet: self.unmet.clone(),
            records_lost: self.records_lost,
            condition: self.condition.clone(),
        }
    }

    pub(super) fn timing(&self) -> Timing {
        Timing {
            now: self.now,
            stale_after: Seconds::new(STALE_AFTER),
            reconnect_grace: self.grace,
            serving_since: self.serving_since,
            heard_before: self.heard_before,
        }
    }

    /// Plans everything anew.
    pub(super) fn plan_only(&self) -> FleetPlan {
        let (mut planner, plan) = Planner::begin(self.terms(), self.members(), self.record.clone(), self.timing());
        let plan = plan.expect("sound");
        let plan = FleetPlan::of(&planner, plan.actions, plan.changed, plan.wake_at);
        // It is at rest: what follows from it is known already.
        let again = planner.plan(self.timing()).expect("sound");
        assert_eq!((again.actions, again.changed), (Vec::new(), Changed::Nothing), "planning again does something");
        plan
    }

    /// Plans with the planner that planned before, which is told what changed since.
    pub(super) fn plan_on(&mut self) -> FleetPlan {
        let (terms, members, timing) = (self.terms(), self.members(), self.timing());
        let is_same_run = |run: &Run| {
            let has_recorded = || self.record.as_ref() == Some(&run.planner.record());
            run.planner.timing.serving_since == timing.serving_since && has_recorded()
        };
        let run = self.run.take().filter(is_same_run);
        let (planner, plan) = match run {
            Some(mut run) if run.terms == terms && unobserved(&run.members) == unobserved(&members) => {
                for (last, member) in run.members.iter().zip(&members) {
                    tell(&mut run.planner, last, member);
                }
                let plan = run.planner.plan(timing);
                (run.planner, plan)
            }
            Some(mut run) => {
                let plan = run.planner.replan(terms.clone(), members.clone(), timing);
                (run.planner, plan)
            }
            None => Planner::begin(terms.clone(), members.clone(), self.record.clone(), timing),
        };
        let plan = plan.expect("sound");
        let shown = FleetPlan::of(&planner, plan.actions, plan.changed, plan.wake_at);
        self.run = Some(Run { planner, terms, members });
        shown
    }

    /// Plans and executes; planning again without news must then do nothing, and what was planned step by step must be what
    /// planning everything comes to.
    pub(super) fn plan(&mut self) -> FleetPlan {
        let plan = self.plan_only();
        let stepwise = self.plan_on();
        assert_eq!(stepwise.record, plan.record, "step by step, another record");
        assert_eq!(stepwise.decisions, plan.decisions, "step by step, other decisions");
        assert_eq!(stepwise.view, plan.view);
        // That somebody was heard of moves no timer: it may look too early, and never too late.
        let wakes = |plan: &FleetPlan| plan.wake_at.unwrap_or(Timestamp::MAX);
        assert!(wakes(&stepwise) <= wakes(&plan), "step by step, it looks again too late");
        assert!(stepwise.changed >= self.news(&plan.record), "more changes than {:?}", stepwise.changed);
        self.execute(&plan);
        let again = self.plan_only();
        assert_eq!(again.record, plan.record, "planning again without news changes the record");
        assert_eq!(again.changed, Changed::Nothing);
        assert!(again.decisions.values().all(|decision| decision.action.is_none()), "{:#?}", again.decisions);
        for (name, decision) in &plan.decisions {
            assert_eq!(again.decisions[name].reason, decision.reason, "{name}");
        }
        let text = serde_json::to_string(&plan.record).unwrap();
        assert_eq!(serde_json::from_str::<RolloutRecord>(&text).unwrap(), plan.record);
        truth::check_reasons(self, &plan);
        plan
    }

    /// What of the record a new one changes.
    fn news(&self, new: &RolloutRecord) -> Changed {
        match &self.record {
            Some(old) if old == new => Changed::Nothing,
            Some(old) if old.without_members() == new.without_members() => Changed::Members,
            _ => Changed::Rollout,
        }
    }

    pub(super) fn execute(&mut self, plan: &FleetPlan) {
        let now = self.now;
        self.offers += 1;
        for (name, decision) in &plan.decisions {
            let device = self.devices.get_mut(name.as_str()).unwrap();
            match decision.action {
                None => {}
                Some(Action::Withdraw) => device.observed.offer = None,
                Some(Action::Offer { version, template, digest, window, .. }) => {
                    device.revision = self.offers;
                    device.observed.offer = Some(Offer {
                        version,
                        template: template.commit,
                        digest,
                        offered_at: now,
                        is_visible: true,
                        not_before: window.from,
                        not_after: window.until,
                        acknowledged_at: None,
                    });
                }
            }
        }
        self.record = Some(plan.record.clone());
    }

    /// Time passes; devices that are online report at its end.
    pub(super) fn pass(&mut self, seconds: u32) {
        self.now += Seconds::new(seconds).signed();
        for device in self.devices.values_mut().filter(|device| device.online) {
            device.observed.last_seen = Some(self.now);
        }
    }

    /// The reconciler is down for so long, and begins to serve again: nobody has reported meanwhile.
    pub(super) fn down(&mut self, seconds: u32) {
        self.heard_before = Some(self.now);
        self.now += Seconds::new(seconds).signed();
        self.restart();
    }

    /// The reconciler begins anew.
    pub(super) fn restart(&mut self) {
        self.serving_since = self.now;
        self.run = None;
    }

    /// It begins anew with nothing but the record and what is published; who is online tells again how it is.
    pub(super) fn lose_all_but_the_record(&mut self) {
        self.now += SignedDuration::from_secs(1);
        let now = self.now;
        for device in self.devices.values_mut() {
            let offer = device.observed.offer.map(|offer| Offer { offered_at: now, acknowledged_at: None, ..offer });
            let known = Observed { enrolled_at: now, offer, ..nothing_known() };
            let was = std::mem::replace(&mut device.observed, known);
            let told = device.forgotten.take().unwrap_or_else(|| Box::new(was));
            if device.online {
                device.tell(*told, now);
            } else {
                device.observed.paused = Some(Box::new(WaitingOn::AwaitingReconnect));
                device.forgotten = Some(told);
            }
        }
        self.heard_before = None;
        self.restart();
    }

    /// Devices pass the point of no return.
    pub(super) fn begin(&mut self, names: &[&str]) {
        for name in names {
            let now = self.now;
            let observed = &mut self.device(name).observed;
            let offer = observed.offer.as_mut().unwrap();
            offer.acknowledged_at = Some(now);
            let (version, template, digest) = (offer.version, offer.template, offer.digest);
            observed.applying = Some(Box::new(Claim { version, template, digest }));
            (observed.changing, observed.last_progress) = (true, Some(now));
        }
    }

    /// Devices apply what they are offered, and are healthy.
    pub(super) fn apply(&mut self, names: &[&str]) {
        self.begin(names);
        for name in names {
            let observed = &mut self.device(name).observed;
            observed.running = observed.applying.take().map(|claim| *claim);
            (observed.changing, observed.health, observed.failure) = (false, Health::Healthy, None);
        }
    }

    pub(super) fn everybody_applies(&mut self) {
        let offered = |device: &Device| device.online && device.observed.outstanding().is_some();
        let names: Vec<String> =
            self.devices.iter().filter(|(_, device)| offered(device)).map(|(name, _)| name.clone()).collect();
        for name in names {
            self.apply(&[name.as_str()]);
        }
    }

    /// Devices try what they are offered, and go back to what they had.
    pub(super) fn fail(&mut self, names: &[&str]) {
        self.begin(names);
        for name in names {
            let at = self.now;
            let observed = &mut self.device(name).observed;
            let claim = observed.applying.take();
            observed.changing = false;
            let (version, digest) = claim.map(|claim| (claim.version, claim.digest)).unzip();
            observed.failed_at = version.map(|version| version.landing);
            let (code, message) = ("BW-0601".to_owned(), "probe web: connection refused".to_owned());
            let failure = Failure { version, digest, kind: FailureKind::RolledBack, code, message, at };
            observed.failure = Some(Box::new(failure));
        }
    }

    /// Everybody who is online reports, and says nothing new.
    pub(super) fn report_all(&mut self) {
        let now = self.now;
        for device in self.devices.values_mut().filter(|device| device.online) {
            device.observed.last_seen = Some(now);
        }
    }

    /// A device goes back from what it had begun, or runs.
    pub(super) fn fail_anew(&mut self, name: &str) {
        let at = self.now;
        let observed = &mut self.device(name).observed;
        let offer = observed.offer.unwrap();
        (observed.applying, observed.changing, observed.failed_at) = (None, false, Some(offer.version.landing));
        let (code, message) = ("BW-0651".to_owned(), "probe web: connection refused".to_owned());
        let (version, digest, kind) = (Some(offer.version), Some(offer.digest), FailureKind::RolledBack);
        observed.failure = Some(Box::new(Failure { version, digest, kind, code, message, at }));
    }

    pub(super) fn set_online(&mut self, names: &[&str], online: bool) {
        let now = self.now;
        for name in names {
            let device = self.device(name);
            device.online = online;
            if online {
                device.observed.last_seen = Some(now);
                if let Some(told) = device.forgotten.take() {
                    device.observed.paused = None;
                    device.tell(*told, now);
                }
            }
        }
    }

    pub(super) fn hold(&mut self, on: bool) {
        let hold = HoldNote { path: "holds/freeze.yaml".to_owned(), reason: "holidays".to_owned(), since: None };
        self.holds = if on { vec![hold] } else { Vec::new() };
    }
}
