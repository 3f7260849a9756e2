//! Whether a reason is true, by what git says, what is recorded and what devices report: it asks nothing of how the planner
//! found it.

use bellwether_schemas::manifest::SkipStep;
use bellwether_schemas::{DeviceName, WaveName};

use super::super::{HaltRecord, MemberRecord, Opening, Schedule, WaveRecord};
use super::*;

/// A fleet after a plan was carried out, and that plan.
pub(super) struct Facts<'a> {
    pub(super) sim: &'a Sim,
    pub(super) plan: &'a FleetPlan,
}

/// Asserts that each reason is true which a plan gives for members and waves.
pub(super) fn check_reasons(sim: &Sim, plan: &FleetPlan) {
    let facts = Facts { sim, plan };
    for (name, decision) in &plan.decisions {
        if let Some(reason) = &decision.reason {
            let lies = facts.lies_to(name, reason);
            let (device, note) = (&sim.devices[name.as_str()], facts.note(name));
            let waves = (&plan.record.waves, &plan.record.halted);
            assert!(
                lies.is_empty(),
                "{name} at {}: {lies:?} of {reason:?}, {waves:?}, {note:?}, {:?}",
                sim.now,
                device.observed
            );
        }
    }
    for wave in &plan.view.waves {
        if let Some(reason) = &wave.reason {
            let of_member = |(name, decision): (&DeviceName, &sim::Decision)| {
                let place = facts.note(name).wave;
                // Who was left behind by an emergency fix holds the end of the rollout.
                let is_last = facts.place(&wave.name) == plan.record.rollout.waves.len().checked_sub(1);
                decision.reason.as_ref() == Some(reason)
                    && (place == facts.place(&wave.name) || is_last && place.is_some())
            };
            let is_a_members = plan.decisions.iter().any(of_member);
            let lies = if is_a_members { Vec::new() } else { facts.lies(reason) };
            assert!(
                lies.is_empty(),
                "wave {} at {}: {lies:?} of {reason:?}, {:?}",
                wave.name,
                sim.now,
                plan.record.waves
            );
        }
    }
}

/// What is said and is not so.
#[derive(Default)]
struct Lies(Vec<&'static str>);

impl Lies {
    fn unless(mut self, is_so: bool, said: &'static str) -> Self {
        if !is_so {
            self.0.push(said);
        }
        self
    }
}

impl Facts<'_> {
    /// What is false of the reason that a member is given.
    fn lies_to(&self, name: &DeviceName, reason: &WaitingOn) -> Vec<&'static str> {
        let record = &self.plan.record;
        let (device, note) = (&self.sim.devices[name.as_str()], self.note(name));
        let observed = &device.observed;
        let lies = Lies::default();
        if let Some(paused) = &observed.paused {
            return lies.unless(**paused == *reason, "it is paused").0;
        }
        let runs = |digest| observed.running.is_some_and(|running| running.digest == digest);
        let wanted = match &device.pin {
            Some(pin) => pin.spec.as_ref().ok().map(|good| good.digest),
            None => self.sim.render(self.sim.target, device).ok(),
        };
        // Whether the wave it is in, or would be in, is not open, so that what the next wave waits for concerns it.
        let is_in_open_wave = note.wave.is_some_and(|wave| wave < record.waves.len());
        let waits = lies.unless(!wanted.is_some_and(runs), "it is not at its target");
        match reason {
            WaitingOn::Held { .. }
            | WaitingOn::Halted { .. }
            | WaitingOn::Rejected { .. }
            | WaitingOn::Repository { .. } => self.lies(reason),
            WaitingOn::RenderError { why } => {
                let rendered = self.sim.render(self.sim.target, device);
                Lies::default().unless(rendered.as_ref() == Err(why), "it cannot be rendered").0
            }
            WaitingOn::Pinned { commit, why } => {
                let pin = device.pin.as_ref();
                let spec = pin.map(|pin| &pin.spec);
                let is_there = spec.is_some_and(|spec| spec.as_ref().is_ok_and(|good| runs(good.digest)));
                let failed = spec.and_then(|spec| spec.as_ref().err());
                Lies::default()
                    .unless(pin.is_some_and(|pin| pin.commit == *commit), "it has that pin")
                    .unless(why.as_ref() == failed, "why it cannot be brought there")
                    .unless(is_there || failed.is_some(), "it is there")
                    .0
            }
            WaitingOn::Stale { last_seen, begun } => {
                let begins = |offer: &Offer| offer.acknowledged_at.is_some();
                let claimed = observed.applying.as_ref().filter(|_| observed.changing).map(|claim| claim.version);
                let offered = outstanding(observed).filter(|offer| begins(offer)).map(|offer| offer.version);
                Lies::default()
                    .unless(!self.is_live(name), "it is silent")
                    .unless(*last_seen == observed.last_seen, "since when")
                    .unless(begun.is_none_or(|version| [claimed, offered].contains(&Some(version))), "what it began")
                    .unless(begun.is_some() || claimed.is_none(), "that it began nothing")
                    .0
            }
            WaitingOn::InFlight { version, since } => {
                let is_on_it = |offer: &Offer| {
                    (offer.version, offer.offered_at) == (*version, *since) && Some(offer.digest) == wanted
                };
                let changes = observed.applying.as_ref().is_some_and(|claim| claim.version == *version);
                let offered = outstanding(observed).is_some_and(is_on_it);
                waits
                    .unless(offered || (device.changes && changes), "it is on the way to that")
                    .unless(device.pin.is_some() || note.failed.is_none() || changes, "it has not failed")
                    .unless(self.is_live(name), "it is heard of")
                    .0
            }
            WaitingOn::Failed { version, failure } => {
                let said = observed.failure.as_deref().filter(|failure| failure.version == Some(*version));
                let noted = note.failed.as_ref().is_some_and(|failed| failed.version == *version);
                // At the target it is recorded; at what else it may be offered the device has to say so.
                let is_of_other = observed.offer.as_ref().is_some_and(|offer| {
                    offer.version == *version && (Some(offer.digest) == self.stable_of(name) || device.pin.is_some())
                });
                Lies::default()
                    .unless(noted || (is_of_other && said.is_some()), "that failed on it")
                    .unless(failure.as_ref() == said, "how it failed")
                    .0
            }
            WaitingOn::Unhealthy { version } => {
                let running = observed.running.filter(|running| running.version == *version);
                Lies::default()
                    .unless(running.is_some_and(|running| Some(running.digest) == wanted), "it runs its target")
                    .unless(observed.health == Health::Unhealthy, "its probes fail")
                    .0
            }
            WaitingOn::Reverting { commit, to } => {
                let is_commit = |landing: Landing| landing.commit == *to;
                let good = note.good.as_deref().filter(|good| is_commit(good.template)).map(|good| good.digest);
                let stable = record.stable.filter(|stable| is_commit(*stable)).and_then(|_| self.stable_of(name));
                Lies::default()
                    .unless(record.halted.as_ref().is_some_and(|halt| halt.reverts), "the target is given up")
                    .unless(*commit == record.target.commit, "which that is")
                    .unless(self.was_reached(name), "it reached the device")
                    .unless(good.or(stable).is_some_and(|digest| !runs(digest)), "it has to go back to that")
                    .0
            }
            WaitingOn::BackFailed { commit, version, failure } => {
                let is_back = |digest| {
                    Some(digest) == self.stable_of(name) || note.good.as_ref().is_some_and(|good| good.digest == digest)
                };
                let offer = observed.offer.as_ref().filter(|offer| offer.version == *version);
                Lies::default()
                    .unless(record.halted.as_ref().is_some_and(|halt| halt.reverts), "the target is given up")
                    .unless(*commit == record.target.commit, "which that is")
                    .unless(offer.is_some_and(|offer| is_back(offer.digest)), "it was offered the way back")
                    .unless(observed.failure.as_deref() == Some(failure), "it failed so")
                    .unless(failure.version == Some(*version), "it failed at that")
                    .0
            }
            WaitingOn::Budget { group, limit, unavailable, holders } => {
                let others: Vec<&DeviceName> =
                    self.plan.decisions.keys().filter(|other| self.is_of(other, group)).collect();
                let out: Vec<&&DeviceName> = others.iter().filter(|other| self.is_unavailable(other)).collect();
                let is_limit = |budget: &&bellwether_schemas::manifest::Budget| {
                    budget.by.iter().eq(group.keys()) && budget.max_unavailable.of(count(others.len())) == *limit
                };
                Lies::default()
                    .unless(self.is_of(name, group), "it is of that group")
                    .unless(record.rollout.budget.iter().any(|budget| is_limit(&budget)), "the limit")
                    .unless(count(out.len()) == *unavailable, "how many are unavailable")
                    .unless(unavailable >= limit, "it is full")
                    .unless(!holders.is_empty(), "who they are")
                    .unless(holders.iter().all(|holder| out.iter().any(|out| **out == holder)), "those are unavailable")
                    .unless(!holders.contains(name), "others than itself")
                    .0
            }
            WaitingOn::MaxInFlight { limit, in_flight } => {
                let size = count(self.plan.decisions.len());
                let allowed = record.rollout.max_in_flight.map(|share| share.floor_of(size).max(1));
                let flying = self.plan.decisions.keys().filter(|other| self.is_in_flight(other)).count();
                Lies::default()
                    .unless(allowed == Some(*limit), "the limit")
                    .unless(count(flying) == *in_flight, "how many are on the way")
                    .unless(in_flight >= limit, "it is full")
                    .unless(!self.is_in_flight(name), "others than itself")
                    .0
            }
            WaitingOn::Window { opens, why } => {
                let is_excused = |offer: &Offer| note.excused.as_deref() == Some(&offer.version);
                let counts = |offer: &&Offer| Some(offer.digest) == wanted && !is_excused(offer);
                let offered = outstanding(observed).filter(counts).and_then(|offer| offer.not_before);
                let schedule = self.schedule(name);
                let never = match schedule.at(self.sim.now) {
                    Opening::Never { why } => Some(why),
                    _ => None,
                };
                let is_open = |at| matches!(schedule.at(at), Opening::Open { .. });
                Lies::default()
                    .unless(*why == never && why.is_none() == opens.is_some(), "whether it ever opens")
                    .unless(opens.is_none_or(|opens| opens > self.sim.now), "it is closed now")
                    .unless(opens.is_none_or(is_open), "it is open then")
                    .unless(offered.is_none() || offered == *opens, "that is the window it was offered")
                    .unless(offered.is_some() || !is_open(self.sim.now), "no window is open")
                    .0
            }
            WaitingOn::Soak { .. }
            | WaitingOn::Gate { .. }
            | WaitingOn::Wave { .. }
            | WaitingOn::EmptyWave { .. }
            | WaitingOn::TooFewHealthy { .. }
            | WaitingOn::After { .. }
            | WaitingOn::Artifact { .. }
            | WaitingOn::Reconnects { .. } => {
                let is_early = note.follows && record.waves.first().is_some_and(|wave| wave.advanced_at.is_some());
                let own = match reason {
                    WaitingOn::Wave { wave, .. } => note.wave.is_none_or(|place| self.place(wave) == Some(place)),
                    _ => true,
                };
                let mut all = waits
                    .unless(device.pin.is_none(), "its wave decides, not a pin")
                    .unless(!is_in_open_wave && !is_early, "its wave is not open")
                    .unless(own, "that is its wave")
                    .0;
                all.extend(self.lies(reason));
                all
            }
            other => panic!("{name} cannot be given {other:?} here"),
        }
    }

    /// What is false of a reason that waves and whole fleets have.
    fn lies(&self, reason: &WaitingOn) -> Vec<&'static str> {
        let (sim, record) = (self.sim, &self.plan.record);
        let skips = |step| sim.decisions.expedited.contains(&step);
        let open = record.waves.len();
        let lies = Lies::default();
        match reason {
            WaitingOn::Held { hold, reason } => {
                let is_it = |note: &&HoldNote| (&note.path, &note.reason) == (hold, reason);
                lies.unless(sim.holds.first().filter(is_it).is_some(), "it is held").0
            }
            WaitingOn::Repository { condition } => {
                let is_rewound = matches!(condition, Condition::Rewound { .. });
                lies.unless(*condition == sim.condition && is_rewound, "it was rewound").0
            }
            WaitingOn::Halted { wave, failures, offered, unrendered, commit } => {
                lies.unless(!self.is_given_up(), "it is not given up")
                    .unless(self.is_halted(wave, [failures, offered, unrendered]), "it is halted, so")
                    .unless(*commit == record.target.commit, "which commit")
                    .0
            }
            WaitingOn::Rejected { wave, failures, offered, unrendered, commit } => {
                lies.unless(self.is_given_up(), "it is given up")
                    .unless(self.is_halted(wave, [failures, offered, unrendered]), "it is halted, so")
                    .unless(*commit == record.target.commit, "which commit")
                    .0
            }
            WaitingOn::After { fleet, commit } => {
                lies.unless(sim.unmet.first() == Some(&Unmet::After(fleet.clone())), "it comes after that fleet")
                    .unless(*commit == record.target.commit, "which commit")
                    .unless(open == 0, "it has not begun")
                    .0
            }
            WaitingOn::Artifact { name, why } => {
                let unmet = Unmet::Artifact { name: name.clone(), why: why.clone() };
                lies.unless(sim.unmet.first() == Some(&unmet), "that is missing")
                    .unless(open == 0, "it has not begun")
                    .0
            }
            WaitingOn::Reconnects { until } => {
                let is_known = |device: &DeviceName| sim.devices.contains_key(device.as_str());
                let is_missed = record.members.iter().any(|(device, _)| !is_known(device));
                let awaits =
                    |device: &sim::Device| device.observed.paused.as_deref() == Some(&WaitingOn::AwaitingReconnect);
                lies.unless(*until == self.grace_end() && sim.now < *until, "it began to serve only now")
                    .unless(record.rebuilt || is_missed || sim.devices.values().any(awaits), "somebody may be unknown")
                    .0
            }
            WaitingOn::Gate { wave, commit } => {
                let place = self.place(wave).expect("a wave");
                let before = place.checked_sub(1).map(|before| &record.waves[before]);
                lies.unless(*commit == record.target.commit, "which commit")
                    .unless(record.rollout.waves[place].gate == Gate::Manual, "it has a gate")
                    .unless(!sim.approved.contains(&wave.as_str()) && !skips(SkipStep::Gates), "nobody opened it")
                    .unless(open == place, "it is the next one")
                    .unless(before.is_none_or(|before| before.advanced_at.is_some()), "nothing else is in its way")
                    .0
            }
            WaitingOn::Wave { wave, after } => {
                let (place, before) = (self.place(wave).expect("a wave"), self.place(after).expect("a wave"));
                let advanced = record.waves.get(before).is_some_and(|wave| wave.advanced_at.is_some());
                lies.unless(before < place, "that comes before").unless(!advanced, "that is not done").0
            }
            WaitingOn::Soak { wave, until } => {
                let (Some(newest), Some(soak)) = (self.newest(wave), self.declared(wave).map(|wave| wave.soak)) else {
                    return vec!["that is the newest wave"];
                };
                let completed = newest.completed_at.unwrap_or(Timestamp::MAX);
                let served = if skips(SkipStep::Soak) { completed } else { self.served(completed, soak) };
                let was_down = completed < sim.serving_since && !skips(SkipStep::Soak);
                let ends = if was_down { served.max(self.grace_end()) } else { served };
                lies.unless(newest.completed_at.is_some(), "it is complete")
                    .unless(*until == ends, "when its soak ends")
                    .unless(sim.now < *until || self.in_wave(wave).any(|name| self.changes(name)), "it soaks")
                    .0
            }
            WaitingOn::TooFewHealthy { wave, healthy, needed } => {
                let Some(newest) = self.newest(wave) else { return vec!["that is the newest wave"] };
                let found = self.in_wave(wave).filter(|name| self.is_healthy(name)).count();
                let at_work = self.in_wave(wave).any(|name| self.is_at_work(name));
                lies.unless(newest.completed_at.is_none(), "it is not complete")
                    .unless(count(found) == *healthy, "how many are healthy")
                    .unless(self.needs(wave) == *needed, "how many must be")
                    .unless(healthy < needed, "that is too few")
                    .unless(!at_work, "everybody is done")
                    .0
            }
            WaitingOn::EmptyWave { wave } => {
                let place = self.place(wave).expect("a wave");
                let is_select = self.declared(wave).is_some_and(|wave| wave.select.is_some());
                let fits = |name: &DeviceName| {
                    let note = self.note(name);
                    match is_select {
                        true => note.select == Some(place),
                        false => !note.joined || record.rollout.waves.len() == 1,
                    }
                };
                let may = |name: &&DeviceName| self.note(name).wave == Some(place) || (place >= open && fits(name));
                let counts = |name: &&DeviceName| {
                    let device = &sim.devices[name.as_str()];
                    device.pin.is_none() && device.observed.paused.is_none() && self.is_live(name)
                };
                let taken = |name: &&DeviceName| self.note(name).wave.is_some_and(|wave| wave != place);
                let live = self.plan.decisions.keys().filter(may).filter(counts).filter(|name| !taken(name)).count();
                lies.unless(place == open || self.newest(wave).is_some(), "it is its turn")
                    .unless(live == 0, "nobody of it is heard of")
                    .0
            }
            // Of a member that runs the target, and has not said how that is, or not for the last time: it has no reason of its
            // own.
            WaitingOn::InFlight { version, .. } => {
                let is_it = |observed: &Observed| observed.running.is_some_and(|running| running.version == *version);
                lies.unless(
                    self.is_untold(|name, observed| is_it(observed) && self.is_live(name)),
                    "somebody runs that",
                )
                .0
            }
            WaitingOn::Stale { last_seen, .. } => {
                let is_it = |observed: &Observed| observed.last_seen == *last_seen;
                lies.unless(
                    self.is_untold(|name, observed| is_it(observed) && !self.is_live(name)),
                    "somebody is silent",
                )
                .0
            }
            other => panic!("a wave cannot be given {other:?} here"),
        }
    }

    /// Whether a member of a wave runs the target, and is not known to be healthy or not.
    fn is_untold(&self, is_it: impl Fn(&DeviceName, &Observed) -> bool) -> bool {
        self.plan.decisions.iter().any(|(name, decision)| {
            let (observed, note) = (&self.sim.devices[name.as_str()].observed, self.note(name));
            let is_sure = self.is_healthy(name) && !observed.changing;
            decision.reason.is_none() && !is_sure && note.wave.is_some() && is_it(name, observed)
        })
    }

    fn note(&self, name: &DeviceName) -> &MemberRecord {
        self.plan.record.members.get(name).expect("something is recorded of a member")
    }

    fn place(&self, wave: &WaveName) -> Option<usize> {
        self.plan.record.rollout.waves.iter().position(|known| known.name == *wave)
    }

    fn declared(&self, wave: &WaveName) -> Option<&Wave> {
        self.plan.record.rollout.waves.get(self.place(wave)?)
    }

    /// A wave, if it is the newest that is open, and not done.
    fn newest(&self, wave: &WaveName) -> Option<&WaveRecord> {
        self.plan.record.waves.last().filter(|newest| newest.name == *wave && newest.advanced_at.is_none())
    }

    fn in_wave(&self, wave: &WaveName) -> impl Iterator<Item = &DeviceName> {
        let place = self.place(wave);
        self.plan.decisions.keys().filter(move |name| self.note(name).wave == place)
    }

    fn is_given_up(&self) -> bool {
        self.plan.record.halted.as_ref().is_some_and(|halt| halt.reverts)
    }

    fn is_halted(&self, wave: &WaveName, said: [&u64; 3]) -> bool {
        let is_it = |halt: &HaltRecord| halt.wave == *wave && [&halt.failures, &halt.offered, &halt.unrendered] == said;
        self.plan.record.halted.as_ref().is_some_and(is_it)
    }

    fn grace_end(&self) -> Timestamp {
        let Timing { serving_since, stale_after, reconnect_grace, .. } = self.sim.timing();
        serving_since + stale_after.signed() + reconnect_grace.signed()
    }

    /// When so much served time has passed, counted second by second.
    fn served(&self, since: Timestamp, span: Seconds) -> Timestamp {
        let gaps: Vec<super::super::Gap> =
            serde_json::from_value(serde_json::to_value(&self.plan.record.gaps).unwrap()).unwrap();
        let (mut at, mut left) = (since, span.get());
        while left > 0 {
            let is_served = !gaps.iter().any(|gap| gap.from <= at && at < gap.until);
            left -= u32::from(is_served);
            at += SignedDuration::from_secs(1);
        }
        at
    }

    fn is_live(&self, name: &DeviceName) -> bool {
        let seen = self.sim.devices[name.as_str()].observed.last_seen;
        seen.is_some_and(|seen| self.sim.now < seen + Seconds::new(STALE_AFTER).signed())
    }

    fn target_of(&self, name: &DeviceName) -> Option<Sha256Digest> {
        self.sim.render(self.sim.target, &self.sim.devices[name.as_str()]).ok()
    }

    /// The digest that it was to run under stable.
    fn stable_of(&self, name: &DeviceName) -> Option<Sha256Digest> {
        let note = self.note(name);
        self.plan.record.stable.and(note.before.or(note.target))
    }

    fn was_reached(&self, name: &DeviceName) -> bool {
        let (note, observed) = (self.note(name), &self.sim.devices[name.as_str()].observed);
        let runs = observed.running.is_some_and(|running| Some(running.digest) == self.target_of(name));
        note.offered || note.failed.is_some() || runs
    }

    fn is_apart(&self, name: &DeviceName) -> bool {
        let device = &self.sim.devices[name.as_str()];
        device.pin.is_some() || device.observed.paused.is_some()
    }

    fn is_healthy(&self, name: &DeviceName) -> bool {
        let observed = &self.sim.devices[name.as_str()].observed;
        let runs = observed.running.is_some_and(|running| Some(running.digest) == self.target_of(name));
        runs && observed.health == Health::Healthy && self.is_live(name) && !self.is_apart(name)
    }

    /// Whether it is healthy, and its own soak goes on.
    fn changes(&self, name: &DeviceName) -> bool {
        self.is_healthy(name) && self.sim.devices[name.as_str()].observed.changing && !self.note(name).late
    }

    /// Whether it may still become healthy by itself.
    fn is_at_work(&self, name: &DeviceName) -> bool {
        let (device, note) = (&self.sim.devices[name.as_str()], self.note(name));
        let is_done = self.is_healthy(name) || note.failed.is_some() || self.target_of(name).is_none();
        !self.is_apart(name) && self.is_live(name) && !is_done && !note.late && device.online
    }

    /// How many healthy devices a wave needs.
    fn needs(&self, wave: &WaveName) -> u64 {
        let (place, rollout) = (self.place(wave).expect("a wave"), &self.plan.record.rollout);
        let is_middle = place > 0 && place + 1 < rollout.waves.len();
        let is_select = rollout.waves[place].select.is_some();
        match () {
            () if is_middle && self.sim.decisions.expedited.contains(&SkipStep::Waves) => 0,
            () => u64::from(rollout.min_healthy).max(u64::from(place == 0 || is_select)),
        }
    }

    fn is_of(&self, name: &DeviceName, group: &BTreeMap<String, String>) -> bool {
        let labels = &self.sim.devices[name.as_str()].labels;
        group.iter().all(|(key, value)| labels.get(key).map_or("", String::as_str) == value)
    }

    /// Whether it is between two versions, and not where it shall be.
    fn moves(&self, name: &DeviceName) -> bool {
        let device = &self.sim.devices[name.as_str()];
        let observed = &device.observed;
        let note = self.note(name);
        let pin = device.pin.as_ref().map(|pin| pin.spec.as_ref().ok().map(|good| good.digest));
        let is_open = note.wave.is_some_and(|wave| wave < self.plan.record.waves.len());
        let has_target = (is_open || note.follows || self.plan.record.is_complete()) && note.failed.is_none();
        let shall = pin.unwrap_or_else(|| self.target_of(name).filter(|_| has_target && !self.is_given_up()));
        let runs = |digest| observed.running.is_some_and(|running| running.digest == digest);
        let is_there = observed.applying.is_none() && shall.is_some_and(runs);
        (outstanding(observed).is_some() || observed.applying.is_some()) && !is_there
    }

    fn is_in_flight(&self, name: &DeviceName) -> bool {
        let observed = &self.sim.devices[name.as_str()].observed;
        // Who failed, and is still at that, takes a place for what it is to come back to; also where it runs that yet.
        let is_elsewhere = |offer: &Offer| Some(offer.digest) != self.target_of(name);
        let may_begin = self.note(name).failed.is_none() || observed.offer.as_ref().is_some_and(is_elsewhere);
        self.moves(name) && observed.paused.is_none() && may_begin
    }

    /// Whether it is unavailable, as budgets see it.
    fn is_unavailable(&self, name: &DeviceName) -> bool {
        let observed = &self.sim.devices[name.as_str()].observed;
        if !self.is_live(name) {
            let since = observed.last_seen.unwrap_or(observed.enrolled_at);
            return self.sim.now < since + self.plan.record.rollout.lost_after.signed();
        }
        let acknowledged = outstanding(observed).is_some_and(|offer| offer.acknowledged_at.is_some());
        let begun = observed.changing || acknowledged;
        let settles = observed.health == Health::Unknown
            && observed
                .offer
                .as_ref()
                .is_some_and(|offer| observed.running.is_some_and(|it| it.digest == offer.digest));
        observed.health == Health::Unhealthy || self.is_in_flight(name) || (self.moves(name) && begun) || settles
    }

    /// The windows that hold it: of its wave, or of the fleet.
    fn schedule(&self, name: &DeviceName) -> Schedule {
        let (device, rollout) = (&self.sim.devices[name.as_str()], &self.plan.record.rollout);
        let wave = self.note(name).wave.filter(|_| device.pin.is_none()).and_then(|place| rollout.waves.get(place));
        let own = wave.map(|wave| &wave.windows).filter(|windows| !windows.is_empty());
        Schedule::of(own.unwrap_or(&rollout.windows), &device.labels)
    }
}

/// The offer that it has neither taken nor failed at.
fn outstanding(observed: &Observed) -> Option<&Offer> {
    let runs = |offer: &Offer| observed.running.is_some_and(|running| running.digest == offer.digest);
    let failed = |offer: &Offer| {
        let failure = observed.failure.as_deref();
        failure.is_some_and(|it| it.version == Some(offer.version) && it.kind != FailureKind::Transient)
    };
    observed.offer.as_ref().filter(|offer| !runs(offer) && !failed(offer))
}

fn count(of: usize) -> u64 {
    of.try_into().unwrap()
}
