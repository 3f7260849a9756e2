//! What histories come to: a good release reaches everybody, and a bad one harms the first wave at most.

use proptest::prelude::*;

use super::super::MemberRecord;
use super::history::{Event, event, fleet, name, waves};
use super::properties::config;
use super::*;

const DAY: i64 = 24 * 60 * 60;

/// What happens while nothing fails. `d00`, a canary, stays, so that there is always somebody for the first wave.
fn benign() -> impl Strategy<Value = Event> {
    event().prop_map(|event| match event {
        Event::Fail(i) | Event::Unwell(i) | Event::Leave(i @ 0) | Event::Ring(i @ 0) | Event::Pin(i @ 0, _) => {
            Event::Apply(i)
        }
        other => other,
    })
}

impl Sim {
    /// Nobody stops anything any more, everybody is there, and does what it is offered: from before the window of the next night
    /// until everything is as it shall be, or that window closes.
    fn become_quiet(&mut self) {
        let names: Vec<String> = self.devices.keys().cloned().collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.set_online(&names, true);
        self.devices.values_mut().for_each(|device| device.observed.paused = None);
        self.hold(false);
        self.approved = vec!["early"];
        self.unmet.clear();
        let of_day = (self.now.as_second() - Timestamp::UNIX_EPOCH.as_second()).rem_euclid(DAY);
        self.pass(u32::try_from(DAY - of_day).unwrap() + 30 * 60);
        for _ in 0..45 {
            let plan = self.plan();
            let is_idle = reasons(&plan).iter().all(|reason| ["-", "Pinned"].contains(&reason.as_str()));
            if is_idle && plan.view.state == RolloutState::Complete {
                break;
            }
            self.everybody_ends();
            self.pass(60);
        }
    }

    /// Everybody takes what it is offered, and who is offered nothing comes to the end of what it began.
    fn everybody_ends(&mut self) {
        self.everybody_applies();
        for name in self.devices.keys().cloned().collect::<Vec<_>>() {
            let observed = &mut self.device(&name).observed;
            match (&observed.applying, &observed.offer) {
                (None, _) => {}
                (Some(_), Some(_)) => self.apply(&[&name]),
                (Some(_), None) => {
                    observed.running = observed.applying.take().map(|claim| *claim);
                    (observed.changing, observed.health) = (false, Health::Healthy);
                }
            }
        }
    }

    /// Whether only a newer commit goes on from there, and rightly: no member of the wave is left that counts, or one that fell
    /// silent in the first soak has left the fleet, and never comes back to mend that.
    fn is_stuck(&self, plan: &FleetPlan) -> bool {
        let RolloutRecord { waves, halted, members, .. } = &plan.record;
        let Some(wave) = waves.len().checked_sub(1) else { return false };
        let is_free = |name: &str| self.devices.get(name).is_some_and(|device| device.pin.is_none());
        let counts = members.iter().any(|(name, note)| note.wave == Some(wave) && is_free(name.as_str()));
        let has_left = |name: &str| !self.devices.contains_key(name);
        let is_silent = |note: &MemberRecord| note.failed.as_ref().is_some_and(|failed| failed.silent);
        let is_missed = || members.iter().any(|(name, note)| has_left(name.as_str()) && is_silent(note));
        match (&plan.view.reason, halted) {
            (Some(WaitingOn::EmptyWave { .. }), None) => !counts,
            (Some(WaitingOn::Halted { .. }), Some(halted)) => halted.silence && is_missed(),
            _ => false,
        }
    }

    fn assert_everybody_is_there(&mut self) {
        let plan = self.plan();
        for (name, device) in &self.devices {
            let spec = device.pin.as_ref().map(|pin| pin.spec.as_ref().unwrap().digest);
            let shall = spec.unwrap_or_else(|| self.digest(self.target, name));
            assert!(device.observed.runs(shall), "{name}: {:?}", plan.decisions[&name.parse().unwrap()]);
        }
        let stands = (plan.view.state, plan.view.reason, plan.record.stable);
        assert_eq!(stands, (RolloutState::Complete, None, Some(landing(self.target))));
    }
}

/// What happens while a release fails on everybody who takes it.
fn harmful() -> impl Strategy<Value = Event> {
    event().prop_map(|event| match event {
        Event::Commit(_) | Event::Expedite | Event::Acknowledge(_) => Event::Restart,
        other => other,
    })
}

/// A fleet to which commit 2 comes, which fails wherever it is: at once, by its probes, or on a device that is off.
struct Bad {
    sim: Sim,
    /// What devices ran before it.
    before: BTreeMap<String, Option<Claim>>,
}

impl Bad {
    fn runs(&self, name: &str) -> bool {
        let observed = &self.sim.devices[name].observed;
        observed.running.is_some_and(|running| running.digest == self.sim.digest(2, name))
    }

    /// A device on which it runs, or which is about to run it, finds that it fails: every other one goes back.
    fn fails(&mut self, name: &str) {
        if !self.sim.devices.contains_key(name) {
            return;
        }
        let begun = self.sim.devices[name].observed.applying.as_ref().map(|claim| claim.digest);
        let is_begun = begun == Some(self.sim.digest(2, name));
        if !self.runs(name) && !is_begun {
            return;
        }
        let goes_back = is_begun || name.bytes().last().is_some_and(|last| last % 2 == 0);
        let is_offered = self.sim.devices[name].observed.offer.is_some();
        if goes_back && is_offered {
            let before = self.before.get(name).copied().flatten();
            self.sim.fail_anew(name);
            let observed = &mut self.sim.device(name).observed;
            (observed.running, observed.health) = (before.or(observed.running.filter(|_| is_begun)), Health::Healthy);
        } else if !is_begun {
            self.sim.device(name).observed.health = Health::Unhealthy;
        }
    }

    fn everybody_fails(&mut self) {
        let is_online = |(_, device): &(&String, &sim::Device)| device.online;
        let names: Vec<String> = self.sim.devices.iter().filter(is_online).map(|(name, _)| name.clone()).collect();
        names.iter().for_each(|name| self.fails(name));
    }

    /// When the soak of the first wave ends, as long as it goes on.
    fn soak_ends(&self) -> Option<Timestamp> {
        let record = self.sim.record.as_ref().unwrap();
        let completed = record.waves.first().filter(|wave| wave.advanced_at.is_none())?.completed_at?;
        Some(completed + record.rollout.waves[0].soak.signed())
    }

    fn happen(&mut self, event: &Event) {
        let seconds = match event {
            Event::Pass(seconds) | Event::Down(seconds) | Event::Rewound(seconds) => *seconds,
            // What was heard of it last counts for so long.
            Event::Offline(_) => STALE_AFTER,
            _ => 1,
        };
        if self.soak_ends().is_some_and(|end| self.sim.now + Seconds::new(seconds).signed() >= end) {
            self.everybody_fails();
        }
        match event {
            Event::Apply(i) => {
                let running = self.sim.devices.get(&name(*i)).and_then(|device| device.observed.running);
                if self.sim.devices.contains_key(&name(*i)) && !self.runs(&name(*i)) {
                    self.before.insert(name(*i), running);
                }
                self.sim.happen(event);
            }
            Event::Unwell(i) => self.fails(&name(*i)),
            // It comes back, and tells how that went.
            Event::Online(i) => {
                self.sim.happen(event);
                self.fails(&name(*i));
            }
            _ => self.sim.happen(event),
        }
    }

    /// Nobody but members of the first wave is offered it.
    fn check(&self, plan: &FleetPlan) {
        assert!(plan.record.waves.len() <= 1, "{:?}", plan.record.waves);
        for (name, decision) in &plan.decisions {
            if let Some(Action::Offer { digest, .. }) = decision.action
                && digest == self.sim.digest(2, name.as_str())
            {
                assert_eq!(plan.record.members[name].wave, Some(0), "{name} is offered it");
            }
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn when_nothing_fails_everybody_reaches_its_target(
        rollout in waves(),
        grace in 0..200_u32,
        events in prop::collection::vec(benign(), 1..60),
    ) {
        // Whoever is silent after it began has failed at the timeout, and rightly so.
        let mut sim = fleet(Rollout { device_timeout: Seconds::minutes(60 * 24 * 30), ..rollout }, 9);
        sim.grace = Seconds::new(grace);
        sim.commit(2, "content 9");
        for event in &events {
            sim.plan();
            sim.happen(event);
        }
        sim.become_quiet();
        let plan = sim.plan();
        if sim.is_stuck(&plan) {
            sim.commit(sim.target + 1, "content 10");
            sim.become_quiet();
        }
        sim.assert_everybody_is_there();
    }

    #[test]
    fn what_fails_everywhere_sooner_or_later_harms_the_first_wave_only(
        rollout in waves(),
        grace in 0..200_u32,
        events in prop::collection::vec(harmful(), 1..60),
    ) {
        let mut rollout = rollout;
        // Whoever falls silent in it is known to be silent before its end.
        rollout.waves[0].soak = Seconds::new(STALE_AFTER * 2);
        let mut sim = fleet(rollout, 12);
        sim.grace = Seconds::new(grace);
        sim.commit(2, "bad");
        let mut bad = Bad { sim, before: BTreeMap::new() };
        for event in &events {
            bad.sim.approved = vec!["early"];
            let plan = bad.sim.plan();
            bad.check(&plan);
            bad.happen(event);
        }
    }
}
