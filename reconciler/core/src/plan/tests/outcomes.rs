//! What histories come to: a good release reaches everybody, and a bad one harms the first wave at most.

use proptest::prelude::*;

use super::history::{Event, event, fleet, name, waves};
use super::properties::config;
use super::*;

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

    /// Whether a wave has no member left that counts: only a newer commit goes on from there.
    fn is_deserted(&self, plan: &FleetPlan) -> bool {
        let Some(wave) = plan.record.waves.len().checked_sub(1) else { return false };
        let is_free = |name: &str| self.devices.get(name).is_some_and(|device| device.pin.is_none());
        let counts = plan.record.members.iter().any(|(name, note)| note.wave == Some(wave) && is_free(name.as_str()));
        !counts && plan.record.waves[wave].advanced_at.is_none()
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

const DAY: i64 = 24 * 60 * 60;

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
        if sim.is_deserted(&plan) {
            prop_assert!(matches!(plan.view.reason, Some(WaitingOn::EmptyWave { .. })), "{:?}", plan.view);
            sim.commit(sim.target + 1, "content 10");
            sim.become_quiet();
        }
        sim.assert_everybody_is_there();
    }
}
