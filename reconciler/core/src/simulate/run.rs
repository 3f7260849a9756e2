//! The loop: time goes to what happens next, devices and reconciler take it, and the fleet is planned with it.

use std::collections::BTreeSet;

use bellwether_agent_core::Event;
use bellwether_schemas::manifest::Gate;
use bellwether_schemas::report::Directive;
use bellwether_schemas::{Seconds, WaveName};
use jiff::{SignedDuration, Timestamp};

use super::device::{Around, Device, Follows};
use super::faults::{Faults, later};
use super::log::Log;
use super::outcome::{MomentKind, Outcome};
use super::queue::{Happening, Queue, Work};
use super::scene::{Approvals, Scene};
use super::server::{Answer, Row};
use crate::plan::{Member, Plan, Planner, Unsound};

/// How long a message takes, or a publication.
const MESSAGE: Seconds = Seconds::new(1);
/// When somebody would see to a halt that silence alone made and that does not end: nothing is simulated beyond.
const PATIENCE: SignedDuration = SignedDuration::from_hours(48);

/// A simulation that runs.
pub(super) struct Run<'a> {
    pub(super) scene: &'a Scene<'a>,
    faults: &'a Faults,
    pub(super) seed: u64,
    pub(super) now: Timestamp,
    pub(super) queue: Queue,
    devices: Vec<Device>,
    rows: Vec<Row>,
    pub(super) planner: Planner,
    wake_at: Option<Timestamp>,
    /// Devices of which something is known that the planner was not told.
    fresh: BTreeSet<u32>,
    /// Devices that reported just now.
    reporters: BTreeSet<u32>,
    opened: Vec<WaveName>,
    pub(super) offers: u64,
    pub(super) log: Log,
}

impl<'a> Run<'a> {
    /// Begins when the target has landed.
    pub(super) fn begin(scene: &'a Scene<'a>, faults: &'a Faults, seed: u64) -> Self {
        let (now, mut queue) = (scene.start, Queue::default());
        let around = |i| Around { scene, faults, seed, now, i };
        let (mut devices, mut rows) = (Vec::new(), Vec::new());
        for i in 0..number(scene.devices.len()) {
            let (device, report, follows) = Device::begin(&around(i));
            rows.push(Row::of(report, device.seen_until(), &around(i)));
            devices.push(device);
            follows.later.into_iter().for_each(|(at, happening)| queue.add(at, happening));
        }
        let members = members(&rows, &around);
        let (planner, plan) = Planner::begin(scene.terms(&[]), members, scene.record(), scene.timing(now));
        let log = Log::of(devices.len());
        let mut run = Self {
            scene,
            faults,
            seed,
            now,
            queue,
            devices,
            rows,
            planner,
            wake_at: None,
            fresh: BTreeSet::new(),
            reporters: BTreeSet::new(),
            opened: Vec::new(),
            offers: 0,
            log,
        };
        run.log.say(now, MomentKind::Lands, None);
        run.take(plan);
        run
    }

    /// Lets everything happen.
    pub(super) fn go(mut self) -> Outcome {
        let end = self.scene.end();
        while !self.is_over() {
            let next = [self.queue.next_at(), self.wake_at].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= end) else {
                self.now = if next.is_some() { end } else { self.now };
                break;
            };
            self.now = at;
            while let Some(happening) = self.queue.pop(at) {
                self.happen(happening);
            }
            self.plan();
            self.answer();
            self.log.sample(at);
        }
        self.outcome()
    }

    fn around(&self, i: u32) -> Around<'a> {
        Around { scene: self.scene, faults: self.faults, seed: self.seed, now: self.now, i }
    }

    fn happen(&mut self, happening: Happening) {
        let (i, event) = match happening {
            Happening::Approved(wave) => return self.approve(wave),
            Happening::Published(i) => {
                self.rows[index(i)].publish(self.now);
                self.fresh.insert(i);
                self.queue.add(later(self.now, MESSAGE), Happening::Look(i));
                return;
            }
            Happening::Back(i) => {
                let around = self.around(i);
                if let Some(mut follows) = self.devices[index(i)].come_back(&around) {
                    self.look_at_once(i, &mut follows);
                    self.follow(i, follows);
                }
                return;
            }
            Happening::Look(i) | Happening::Proceed(i, _) if self.devices[index(i)].is_dark(self.now) => return,
            Happening::Look(i) => (i, Event::Directive(Directive::SpecAvailable)),
            Happening::Proceed(i, version) => (i, Event::Directive(Directive::Proceed { version })),
            Happening::Woke(i) => (i, Event::Woke),
            Happening::Tick(i) => (i, Event::Tick),
            Happening::Done(i, work) => {
                let around = self.around(i);
                (i, self.devices[index(i)].end_of(work, self.rows[index(i)].visible(), &around))
            }
        };
        let around = self.around(i);
        let follows = self.devices[index(i)].happen(event, &around);
        self.follow(i, follows);
    }

    /// Most who come back find nothing new: that need not be waited for.
    fn look_at_once(&mut self, i: u32, follows: &mut Follows) {
        let pulls = |(_, happening): &(Timestamp, Happening)| *happening == Happening::Done(i, Work::Pull);
        let place = follows.later.iter().position(pulls);
        let Some(place) = place.filter(|_| self.rows[index(i)].offers_nothing_new()) else { return };
        follows.later.swap_remove(place);
        let around = self.around(i);
        let event = self.devices[index(i)].end_of(Work::Pull, self.rows[index(i)].visible(), &around);
        let found = self.devices[index(i)].happen(event, &around);
        follows.later.extend(found.later);
        follows.report = found.report.or(follows.report.take());
    }

    /// Takes what follows from something that happened to a device.
    fn follow(&mut self, i: u32, follows: Follows) {
        let around = self.around(i);
        follows.later.into_iter().for_each(|(at, happening)| self.queue.add(at, happening));
        let (device, row) = (&self.devices[index(i)], &mut self.rows[index(i)]);
        self.log.take(index(i), device.truth(&around));
        let until = device.seen_until();
        let before = std::mem::replace(&mut row.last_seen, until);
        let says = follows.report.is_some();
        let news = follows.report.is_some_and(|report| row.hear(report, &around));
        if says {
            self.reporters.insert(i);
        }
        match before == until {
            // It is back, or goes later than was thought: all else is as it was.
            false if !news && before < until => drop(self.planner.heard(&around.device().name, until)),
            true if !news => {}
            true | false => drop(self.fresh.insert(i)),
        }
    }

    fn approve(&mut self, wave: WaveName) {
        self.log.say(self.now, MomentKind::GateOpens, Some(&wave));
        self.opened.push(wave);
        self.fresh.clear();
        let (scene, faults, seed, now) = (self.scene, self.faults, self.seed, self.now);
        let members = members(&self.rows, &|i| Around { scene, faults, seed, now, i });
        let plan = self.planner.replan(scene.terms(&self.opened), members, scene.timing(now));
        self.take(plan);
    }

    fn plan(&mut self) {
        for i in std::mem::take(&mut self.fresh) {
            let (around, row) = (self.around(i), &self.rows[index(i)]);
            self.planner.observe(&around.device().name, row.revision(&around), row.observed(&around));
        }
        let plan = self.planner.plan(self.scene.timing(self.now));
        self.take(plan);
    }

    /// Carries out a plan. No choice is made here.
    fn take(&mut self, plan: Result<Plan, Unsound>) {
        let plan = plan.expect("the planner keeps its own rules");
        for (name, action) in plan.actions {
            let place = self.scene.devices.binary_search_by(|device| device.name.cmp(&name));
            let i = number(place.expect("plans are about devices of the scene"));
            let around = self.around(i);
            self.offers += u64::from(matches!(action, crate::plan::Action::Offer { .. }));
            self.rows[index(i)].execute(action, &around);
            self.fresh.insert(i);
            self.queue.add(later(self.now, MESSAGE), Happening::Published(i));
        }
        self.wake_at = plan.wake_at;
        self.log.look(self.planner.rollout(), self.now);
        self.reach_gate();
    }

    /// Whoever shall open a gate that was reached does so in a while.
    fn reach_gate(&mut self) {
        let Some(wave) = self.closed_gate() else { return };
        if self.log.gates.iter().any(|(known, _)| *known == wave) {
            return;
        }
        self.log.say(self.now, MomentKind::GateReached, Some(&wave));
        self.log.gates.push((wave.clone(), self.now));
        if let Approvals::After(span) = self.scene.approvals {
            self.queue.add(later(self.now, span.max(MESSAGE)), Happening::Approved(wave));
        }
    }

    /// The wave whose turn it is and whose gate is closed.
    fn closed_gate(&self) -> Option<WaveName> {
        let (record, terms) = (self.planner.rollout(), self.planner.terms());
        let is_turn = record.waves.last().is_none_or(|wave| wave.advanced_at.is_some());
        if !is_turn || record.halted.is_some() || record.is_complete() || !terms.holds.is_empty() {
            return None;
        }
        let next = record.rollout.waves.get(record.waves.len())?;
        let is_open = terms.decisions.opened.contains(&next.name);
        (next.gate == Gate::Manual && !is_open).then(|| next.name.clone())
    }

    /// Acknowledges what may begin, and answers whoever reported.
    fn answer(&mut self) {
        for i in std::mem::take(&mut self.reporters) {
            if self.rows[index(i)].acknowledge(self.now) {
                self.fresh.insert(i);
            }
            let happening = match self.rows[index(i)].answer() {
                Some(Answer::Proceed(version)) => Happening::Proceed(i, version),
                Some(Answer::Look) => Happening::Look(i),
                None => continue,
            };
            self.queue.add(later(self.now, MESSAGE), happening);
        }
    }

    /// Whether nothing more will happen but that devices come and go.
    fn is_over(&self) -> bool {
        if self.queue.is_active() || !self.fresh.is_empty() {
            return false;
        }
        let record = self.planner.rollout();
        let is_held = !self.planner.terms().holds.is_empty();
        let waits_for_people = is_held || self.closed_gate().is_some();
        match self.log.halted() {
            Some(halt) if halt.silence => self.now.duration_since(halt.at) >= PATIENCE,
            Some(_) => true,
            None => record.is_complete() || waits_for_people,
        }
    }
}

fn members<'s>(rows: &'s [Row], around: &dyn Fn(u32) -> Around<'s>) -> Vec<Member> {
    let member = |(i, row): (usize, &Row)| {
        let around = around(number(i));
        row.member(around.device().before, &around)
    };
    rows.iter().enumerate().map(member).collect()
}

pub(super) fn index(device: u32) -> usize {
    usize::try_from(device).expect("devices are counted in 32 bits")
}

fn number(device: usize) -> u32 {
    u32::try_from(device).expect("devices are counted in 32 bits")
}
