//! What happens to a fleet: histories of events, and the Rollouts that they meet.

use proptest::prelude::*;

use bellwether_schemas::manifest::{Budget, MaxUnavailable, OnFailure, SkipStep, Window, Zone};

use super::super::Good;
use super::*;

/// Something that happens to a fleet.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Pass(u32),
    Apply(usize),
    Begin(usize),
    Fail(usize),
    Unwell(usize),
    Offline(usize),
    Online(usize),
    Enroll(usize),
    Leave(usize),
    Pause(usize, bool),
    Hold(bool),
    Approve,
    Commit(u8),
    Restart,
    Down(u32),
    /// Everything but the record is lost.
    Lose,
    Ring(usize),
    Acknowledge(u8),
    Retry(usize),
    Expedite,
    Pin(usize, bool),
    Site(usize),
    Unmet(bool),
    /// For so long the branch is behind what was accepted.
    Rewound(u32),
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let device = 0..12_usize;
    prop_oneof![
        3 => (1..2_000_u32).prop_map(Event::Pass),
        6 => device.clone().prop_map(Event::Apply),
        2 => device.clone().prop_map(Event::Begin),
        1 => device.clone().prop_map(Event::Fail),
        1 => device.clone().prop_map(Event::Unwell),
        1 => device.clone().prop_map(Event::Offline),
        1 => device.clone().prop_map(Event::Online),
        1 => device.clone().prop_map(Event::Enroll),
        1 => device.clone().prop_map(Event::Leave),
        1 => (device, any::<bool>()).prop_map(|(i, on)| Event::Pause(i, on)),
        1 => any::<bool>().prop_map(Event::Hold),
        1 => Just(Event::Approve),
        1 => (0..5_u8).prop_map(Event::Commit),
        1 => Just(Event::Restart),
        1 => (0..600_u32).prop_map(Event::Down),
        1 => Just(Event::Lose),
        1 => (0..12_usize).prop_map(Event::Ring),
        1 => (0..4_u8).prop_map(Event::Acknowledge),
        1 => (0..12_usize).prop_map(Event::Retry),
        1 => Just(Event::Expedite),
        1 => (0..12_usize, any::<bool>()).prop_map(|(i, on)| Event::Pin(i, on)),
        1 => (0..12_usize).prop_map(Event::Site),
        1 => any::<bool>().prop_map(Event::Unmet),
        1 => (1..600_u32).prop_map(Event::Rewound),
    ]
}

pub(super) fn waves() -> impl Strategy<Value = Rollout> {
    let gated = |mut wave: Wave, manual: bool, soak: u32| {
        (wave.gate, wave.soak) = (if manual { Gate::Manual } else { Gate::Automatic }, Seconds::new(soak));
        wave
    };
    let ways = (any::<bool>(), any::<bool>(), any::<bool>(), 0..3_u32);
    (ways, 0..3_u32, 0..3_u32, limits()).prop_map(
        move |((by_label, manual, reverts, retries), soak, failures, limits)| {
            let first = if by_label { select("canary", "canary") } else { percent("canary", 10) };
            let waves = vec![first, percent("early", 40), percent("rest", 100)];
            let waves = waves.into_iter().enumerate().map(|(i, wave)| gated(wave, manual && i == 1, soak * 50));
            let on_failure = if reverts { OnFailure::Revert } else { OnFailure::Halt };
            Rollout { waves: waves.collect(), min_failures: failures, on_failure, retries, ..limits }
        },
    )
}

/// Limits beside waves, each often absent.
fn limits() -> impl Strategy<Value = Rollout> {
    let often = || prop::option::weighted(0.3, 1..4_u32);
    (often(), often(), often(), any::<bool>()).prop_map(|(of_site, of_all, in_flight, windows)| {
        let budget = |by: &[&str], count| Budget {
            by: by.iter().map(|by| (*by).to_owned()).collect(),
            max_unavailable: MaxUnavailable::Count(count),
        };
        let of_site = of_site.map(|count| budget(&["site"], count));
        let nightly = Window {
            days: Window::every_day(),
            start: "00:30".parse().unwrap(),
            duration: Seconds::minutes(90),
            timezone: Zone::default(),
        };
        Rollout {
            max_in_flight: in_flight.map(|share| percent_of(&format!("{}%", share * 15))),
            budget: of_site.into_iter().chain(of_all.map(|count| budget(&[], count))).collect(),
            windows: Some(nightly).filter(|_| windows).into_iter().collect(),
            lost_after: Seconds::minutes(20),
            ..Rollout::default()
        }
    })
}

pub(super) fn name(i: usize) -> String {
    format!("d{i:02}")
}

pub(super) fn fleet(rollout: Rollout, n: usize) -> Sim {
    let names: Vec<String> = (0..n).map(name).collect();
    let ring = |i: usize| if i.is_multiple_of(4) { "canary" } else { "rest" };
    let devices: Vec<(&str, &str)> = names.iter().enumerate().map(|(i, name)| (name.as_str(), ring(i))).collect();
    Sim::settled(rollout, &devices)
}

impl Sim {
    pub(super) fn happen(&mut self, event: &Event) {
        let waiting = |sim: &Self, i: usize| {
            sim.devices.get(&name(i)).is_some_and(|d| d.online && d.observed.outstanding().is_some())
        };
        match *event {
            Event::Pass(seconds) => self.pass(seconds),
            Event::Apply(i) if waiting(self, i) => self.apply(&[&name(i)]),
            Event::Begin(i) if waiting(self, i) => self.begin(&[&name(i)]),
            Event::Fail(i) if waiting(self, i) => self.fail(&[&name(i)]),
            Event::Apply(_) | Event::Begin(_) | Event::Fail(_) => {}
            Event::Enroll(i) => {
                if !self.devices.contains_key(&name(i)) {
                    self.enroll(&name(i), "rest");
                }
            }
            Event::Leave(i) => {
                self.devices.remove(&name(i));
            }
            Event::Hold(on) => self.hold(on),
            Event::Approve => self.approved = vec!["early"],
            Event::Acknowledge(failures) => self.decisions.acknowledged = u64::from(failures),
            Event::Retry(i) => {
                self.head += 1;
                self.decisions.retried.insert(name(i).parse().unwrap(), self.head);
            }
            Event::Expedite => self.decisions.expedited = SkipStep::ALL.into_iter().collect(),
            Event::Unmet(on) => {
                let unmet = Unmet::After("gateways".parse().unwrap());
                self.unmet = Some(unmet).filter(|_| on).into_iter().collect();
            }
            Event::Rewound(seconds) => self.rewound(seconds),
            Event::Commit(content) => {
                self.approved.clear();
                self.decisions = Decisions::default();
                self.commit(self.target + 1, &format!("content {content}"));
            }
            Event::Restart => self.down(0),
            Event::Down(seconds) => self.down(seconds),
            Event::Lose => self.lose_all_but_the_record(),
            Event::Unwell(i)
            | Event::Offline(i)
            | Event::Online(i)
            | Event::Pause(i, _)
            | Event::Pin(i, _)
            | Event::Ring(i)
            | Event::Site(i) => {
                if self.devices.contains_key(&name(i)) {
                    match *event {
                        Event::Pin(_, on) => {
                            let spec = Good { template: landing(1), digest: self.digest(1, &name(i)) };
                            let pinned = Pinned { commit: landing(1).commit, spec: Ok(spec) };
                            self.device(&name(i)).pin = on.then_some(pinned);
                        }
                        Event::Site(_) => {
                            self.device(&name(i)).labels.insert("site".to_owned(), format!("s{}", i % 3));
                        }
                        Event::Ring(_) => {
                            let ring = if self.device(&name(i)).ring == "rest" { "canary" } else { "rest" };
                            ring.clone_into(&mut self.device(&name(i)).ring);
                        }
                        Event::Unwell(_) => self.device(&name(i)).observed.health = Health::Unhealthy,
                        Event::Pause(..) if self.device(&name(i)).forgotten.is_some() => {}
                        Event::Pause(_, on) => {
                            self.device(&name(i)).observed.paused = on.then(|| Box::new(WaitingOn::AwaitingReconnect));
                        }
                        _ => self.set_online(&[&name(i)], matches!(event, Event::Online(_))),
                    }
                }
            }
        }
    }

    /// The branch is behind what was accepted, and comes back: meanwhile nothing is done, and nothing recorded.
    fn rewound(&mut self, seconds: u32) {
        let (head, record) = (landing(self.head), self.record.clone());
        let (accepted, tip) = (head.commit, landing(1).commit);
        self.condition = Condition::Rewound { accepted, landing: head.number, tip, reset: None };
        for seconds in [seconds, 0] {
            let plan = self.plan();
            assert!(plan.decisions.values().all(|decision| decision.action.is_none()), "{:?}", plan.decisions);
            assert_eq!((&self.record, plan.changed), (&record, Changed::Nothing));
            self.pass(seconds);
        }
        self.condition = Condition::Verified;
    }
}
