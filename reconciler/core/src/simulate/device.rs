//! A device: the state machine that real agents run, in a world that does what the faults say.

use bellwether_agent_core::{Begun, Durable, Effect, Event, Machine, Probed, Problem, Pulled, Purpose};
use bellwether_schemas::allow::Allowed;
use bellwether_schemas::manifest::ApiVersion;
use bellwether_schemas::report::Report;
use bellwether_schemas::spec::DeviceSpec;
use bellwether_schemas::targets::SignedOffer;
use bellwether_schemas::{Seconds, Sha256Digest, codes};
use jiff::Timestamp;

use super::faults::{Absences, Dark, Fate, Faults, later};
use super::queue::{Happening, Work};
use super::random::{Draw, Random};
use super::scene::{HEARTBEAT, Scene, VirtualDevice};

/// Metadata is fetched within so many seconds.
const PULL: Seconds = Seconds::new(10);
/// How long probes take.
const PROBE: Seconds = Seconds::new(2);
/// How long anything else takes that a device does.
const MOMENT: Seconds = Seconds::new(1);

/// A device.
#[derive(Debug)]
pub(super) struct Device {
    machine: Machine,
    pace: Random,
    absences: Absences,
    /// The time off that it is in, or that comes next.
    dark: Option<Dark>,
    connected: bool,
    /// How the target fares on it, once it began that.
    fate: Option<Fate>,
    /// From when on it does not pass its probes with the target.
    spoiled_at: Option<Timestamp>,
    /// The same, where no heartbeat is foreseen yet that will see it.
    unseen: Option<Timestamp>,
}

/// Where and when something happens to a device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) faults: &'a Faults,
    pub(super) seed: u64,
    pub(super) now: Timestamp,
    pub(super) i: u32,
}

impl Around<'_> {
    pub(super) fn device(&self) -> &VirtualDevice {
        &self.scene.devices[usize::try_from(self.i).expect("devices are counted in 32 bits")]
    }
}

/// What follows from something that happened to a device.
#[derive(Debug, Default)]
pub(super) struct Follows {
    pub(super) later: Vec<(Timestamp, Happening)>,
    /// What it says now.
    pub(super) report: Option<Report>,
}

/// How a device is, whatever is known of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Truth {
    /// It began the target.
    pub(super) tried: bool,
    /// It began the target, and that fails on it.
    pub(super) harmed: bool,
    /// It runs the target and is well.
    pub(super) healthy: bool,
    /// It is being changed, or does not pass its probes, or was lost by the target.
    pub(super) unavailable: bool,
    /// It runs the target, does not pass its probes, and does not look any more.
    pub(super) unnoticed: bool,
}

impl Device {
    /// A device that runs what the scene says, and what it says of itself.
    pub(super) fn begin(around: &Around<'_>) -> (Self, Report, Follows) {
        let Around { scene, faults, seed, now, i } = *around;
        let (device, number) = (around.device(), u64::from(i));
        let mut memory = Durable::new(format!("{i:x}"));
        memory.running = scene.running(device);
        memory.begun = memory.running.map(|claim| Begun { version: claim.version, digest: claim.digest });
        let absences = Absences::of(faults, seed, number, &device.labels, now);
        let mut begun = Self {
            machine: Machine::new(memory, Allowed::default()),
            pace: Random::of(seed, number, Draw::Pace),
            dark: absences.next(now),
            absences,
            connected: true,
            fate: None,
            spoiled_at: None,
            unseen: None,
        };
        // Long ago it started, and was well.
        let mut events = vec![Event::Started { unfinished: false }];
        while let Some(event) = events.pop() {
            for effect in begun.machine.handle(event, now) {
                if let Effect::Probe { purpose, .. } = effect {
                    events.push(Event::Probed(Probed { purpose, result: Ok(()) }));
                }
            }
        }
        let report = begun.report(now);
        let mut follows = Follows::default();
        if begun.is_dark(now) {
            begun.connected = false;
        } else {
            begun.carry_out(Event::Connected, around, &mut follows);
        }
        if let Some(dark) = begun.dark {
            follows.later.push((dark.until, Happening::Back(i)));
        }
        (begun, report, follows)
    }

    /// When it falls silent next, or fell silent if it is; the end of time if it never does.
    pub(super) fn seen_until(&self) -> Timestamp {
        self.dark.map_or(Timestamp::MAX, |dark| dark.from)
    }

    /// Whether it cannot be reached.
    pub(super) fn is_dark(&self, now: Timestamp) -> bool {
        self.dark.is_some_and(|dark| dark.from <= now && now < dark.until)
    }

    /// Takes what happens.
    pub(super) fn happen(&mut self, event: Event, around: &Around<'_>) -> Follows {
        let mut follows = Follows::default();
        if self.connected && self.is_dark(around.now) {
            self.connected = false;
            self.carry_out(Event::Disconnected, around, &mut follows);
        }
        self.carry_out(event, around, &mut follows);
        follows.report = follows.report.filter(|_| !self.is_dark(around.now));
        follows
    }

    /// It is back, if it still is by now.
    pub(super) fn come_back(&mut self, around: &Around<'_>) -> Option<Follows> {
        self.dark.filter(|dark| dark.until <= around.now)?;
        self.dark = self.absences.next(around.now);
        let mut follows = Follows::default();
        if let Some(dark) = self.dark {
            follows.later.push((dark.until, Happening::Back(around.i)));
        }
        if !self.is_dark(around.now) {
            self.connected = true;
            self.carry_out(Event::Connected, around, &mut follows);
            follows.report = Some(self.report(around.now));
        }
        Some(follows)
    }

    /// How work ends.
    pub(super) fn end_of(&mut self, work: Work, offer: Option<SignedOffer>, around: &Around<'_>) -> Event {
        match work {
            Work::Pull if self.is_dark(around.now) => {
                Event::Pulled(Err(Problem::transient(codes::SERVER_UNREACHABLE_AGENT, "the device is off")))
            }
            Work::Pull => {
                // What a spec holds is of no concern here: only its digest is.
                let (files, artifacts, probes) = (Vec::new(), Vec::new(), Vec::new());
                let spec = DeviceSpec { api_version: ApiVersion::V1, files, artifacts, probes };
                Event::Pulled(Ok(Pulled { offer: offer.map(|offer| Box::new((offer, spec))), decommission: false }))
            }
            Work::Stage => Event::Staged(Ok(())),
            Work::Apply => {
                if let Some(Fate::LosesNetwork(_)) = self.fate.filter(|_| self.tries_target(around)) {
                    self.dark = Some(Dark { from: around.now, until: Timestamp::MAX });
                }
                Event::Applied(Ok(()))
            }
            Work::Undo => Event::Undone(Ok(())),
            Work::Commit => Event::Committed(Ok(())),
            Work::Clear => Event::Cleared(Ok(())),
            Work::Probe(purpose, digest) => {
                Event::Probed(Probed { purpose, result: self.probe(purpose, digest, around) })
            }
        }
    }

    /// Whether it is well with the target, was harmed by it, and so on.
    pub(super) fn truth(&self, around: &Around<'_>) -> Truth {
        let memory = self.machine.memory();
        let is_spoiled = self.spoiled_at.is_some_and(|at| at <= around.now);
        let runs_target = memory.running.is_some_and(|running| around.device().is_target(running.digest));
        let changes = memory.attempt.as_ref().is_some_and(|attempt| !attempt.step.runs());
        let is_lost = self.fate == Some(Fate::FallsSilent);
        Truth {
            tried: self.fate.is_some(),
            harmed: self.fate.is_some_and(|fate| fate != Fate::Well),
            healthy: runs_target && !is_spoiled && !changes && !is_lost,
            unavailable: changes || is_lost || (runs_target && is_spoiled),
            unnoticed: runs_target && is_spoiled && memory.attempt.is_none(),
        }
    }

    fn report(&self, now: Timestamp) -> Report {
        self.machine.report(AGENT, now)
    }

    fn tries_target(&self, around: &Around<'_>) -> bool {
        let attempt = self.machine.memory().attempt.as_ref();
        attempt.is_some_and(|attempt| around.device().is_target(attempt.claim.digest))
    }

    /// Looks at what runs.
    fn probe(&mut self, purpose: Purpose, digest: Sha256Digest, around: &Around<'_>) -> Result<(), Problem> {
        if !around.device().is_target(digest) {
            return Ok(());
        }
        match self.fate {
            Some(Fate::LosesNetwork(_)) if purpose == Purpose::Attempt => {
                Err(Problem::lasting(codes::CONNECTIVITY_LOST, "the reconciler could not be reached"))
            }
            Some(Fate::FailsAfter(span)) => {
                let at = *self.spoiled_at.get_or_insert_with(|| *self.unseen.insert(later(around.now, span)));
                let failed = || Problem::lasting(codes::PROBE_FAILED, "simulated");
                if around.now < at { Ok(()) } else { Err(failed()) }
            }
            Some(Fate::Well | Fate::FallsSilent | Fate::LosesNetwork(_)) | None => Ok(()),
        }
    }

    fn carry_out(&mut self, event: Event, around: &Around<'_>, follows: &mut Follows) {
        let Around { now, i, .. } = *around;
        let was_undone = matches!(event, Event::Undone(_));
        let mut says = false;
        for effect in self.machine.handle(event, now) {
            let (takes, work) = match effect {
                Effect::Persist | Effect::Note | Effect::Forget => continue,
                // A download fails only while it is off, and whoever comes back fetches anyway.
                Effect::RetryPull(_) => continue,
                Effect::Report => {
                    says = true;
                    continue;
                }
                Effect::WakeAt(at) => {
                    follows.later.push((at.max(later(now, MOMENT)), Happening::Woke(i)));
                    continue;
                }
                Effect::Pull => (Seconds::new(1 + self.pace.within(PULL).get()), Work::Pull),
                Effect::Stage(_) => (MOMENT, Work::Stage),
                Effect::Apply { digest, .. } => match self.begin_to_apply(digest, around) {
                    Some(takes) => (takes, Work::Apply),
                    // Whatever it does from now on, nobody hears of it.
                    None => continue,
                },
                Effect::Undo { .. } => (self.pace.about(around.faults.apply_time), Work::Undo),
                Effect::Commit { .. } => (MOMENT, Work::Commit),
                Effect::Clear => (MOMENT, Work::Clear),
                Effect::Probe { purpose, digest, .. } => {
                    (self.probe_time(digest, around), Work::Probe(purpose, digest))
                }
            };
            follows.later.push((later(now, takes), Happening::Done(i, work)));
        }
        if let Some(at) = self.unseen.take().filter(|at| *at > now) {
            // The heartbeat that is the first to see it.
            follows.later.push((later(at, self.pace.within(HEARTBEAT)), Happening::Tick(i)));
        }
        if was_undone && matches!(self.fate, Some(Fate::LosesNetwork(_))) && self.is_dark(now) {
            let until = later(now, MOMENT);
            self.dark = self.dark.map(|dark| Dark { until, ..dark });
            follows.later.push((until, Happening::Back(i)));
        }
        if says {
            follows.report = Some(self.report(now));
        }
    }

    /// How long it applies, unless it is never heard of again. What comes of it is drawn now.
    fn begin_to_apply(&mut self, digest: Sha256Digest, around: &Around<'_>) -> Option<Seconds> {
        let attempt = self.machine.memory().attempt.as_ref();
        let soak = attempt.map(|attempt| attempt.soak).unwrap_or_default();
        if around.device().is_target(digest) {
            let fate =
                *self.fate.get_or_insert_with(|| Fate::of(around.faults, around.seed, u64::from(around.i), soak));
            self.spoiled_at = None;
            if fate == Fate::FallsSilent {
                self.dark = Some(Dark { from: around.now, until: Timestamp::MAX });
                return None;
            }
        }
        Some(self.pace.about(around.faults.apply_time))
    }

    /// How long it looks. Who lost the network looks for as long as it may.
    fn probe_time(&self, digest: Sha256Digest, around: &Around<'_>) -> Seconds {
        match self.fate {
            Some(Fate::LosesNetwork(within)) if around.device().is_target(digest) => within,
            _ => PROBE,
        }
    }
}

/// What the virtual agents call themselves.
const AGENT: &str = "simulated";
