//! A device: the agent's own state machine, on a computer that does what it is told.

use std::collections::{BTreeSet, VecDeque};

use bellwether_agent_core::{Begun, Durable, Effect, Event, Machine, Probed, Problem, Pulled};
use bellwether_schemas::allow::Allowed;
use bellwether_schemas::report::{Claim, Directive, Report, Reported};
use bellwether_schemas::targets::{SignedOffer, Supersedes};
use bellwether_schemas::{Code, Sha256Digest, Version, codes, wire};
use jiff::Timestamp;

use super::lines::Lines;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
/// What an agent says of an offer whose version it does not take.
const REFUSALS: [Code; 2] = [codes::VERSION_NOT_HIGHER, codes::OFFER_ALTERED];
pub(super) const NONCE: &str = "nonce";

/// What a device began, and what held before.
#[derive(Debug, Clone)]
pub(super) struct Beginning {
    /// What was offered.
    pub(super) offer: SignedOffer,
    /// The version that was begun last, or what ran if that was above it, by its number.
    pub(super) floor: Option<(u64, u32)>,
    /// What ran.
    pub(super) ran: Option<Claim>,
}

impl Beginning {
    /// Whether the device may have begun it: it is above its floor, or gives up exactly what runs.
    pub(super) fn is_allowed(&self) -> bool {
        let above = self.floor.is_none_or(|floor| self.offer.version.rank() > floor);
        above || self.gives_up_what_runs()
    }

    /// Whether it gives up exactly what runs.
    pub(super) fn gives_up_what_runs(&self) -> bool {
        match (&self.offer.supersedes, self.ran) {
            (Some(Supersedes::Running { version, digest }), Some(ran)) => {
                (ran.version, ran.digest) == (*version, *digest)
            }
            (Some(Supersedes::Nonce(nonce)), _) => nonce == NONCE,
            _ => false,
        }
    }
}

/// A device.
pub(super) struct Unit<'l> {
    lines: &'l Lines,
    machine: Machine,
    /// Its memory, as it was written last.
    disk: Durable,
    /// What its signed metadata says, if it has that still.
    pub(super) held: Option<SignedOffer>,
    /// Contents whose probes fail.
    pub(super) bad: BTreeSet<Sha256Digest>,
    /// While this is set, no change of the device comes to an end.
    pub(super) slow: bool,
    unended: Vec<Event>,
    floor: Option<(u64, u32)>,
    /// Everything it began, in order.
    pub(super) begun: Vec<Beginning>,
    /// What it ran when its reconciler was restored. An old copy may publish that still, and refusing it is right.
    pub(super) old: Option<Version>,
    /// Whether it ever refused another version.
    pub(super) refused: bool,
}

impl<'l> Unit<'l> {
    pub(super) fn new(lines: &'l Lines) -> Self {
        let disk = Durable::new(NONCE.to_owned());
        let machine = Machine::new(disk.clone(), Allowed::default());
        let (bad, slow, refused) = (BTreeSet::new(), false, false);
        let (unended, begun, floor, held, old) = (Vec::new(), Vec::new(), None, None, None);
        let mut unit = Self { lines, machine, disk, held, bad, slow, unended, floor, begun, old, refused };
        unit.start(None);
        unit
    }

    /// The agent starts, as after a power cut.
    fn start(&mut self, published: Option<&SignedOffer>) {
        self.unended.clear();
        let unfinished = self.disk.attempt.is_some();
        self.tell(Event::Started { unfinished }, published);
        self.tell(Event::Connected, published);
    }

    /// The power is cut, and comes back.
    pub(super) fn restart(&mut self, published: Option<&SignedOffer>) {
        self.machine = Machine::new(self.disk.clone(), Allowed::default());
        self.start(published);
    }

    /// What it remembers to run is changed under it, by a bad disk or by somebody, and it starts again.
    pub(super) fn misremember(&mut self, change: impl Fn(&mut Claim), published: Option<&SignedOffer>) {
        self.disk.running.as_mut().map(change).expect("it runs something");
        self.restart(published);
    }

    /// Lets what it is doing come to its end.
    pub(super) fn finish(&mut self, published: Option<&SignedOffer>) {
        self.slow = false;
        for event in std::mem::take(&mut self.unended) {
            self.tell(event, published);
        }
    }

    /// What it has to say.
    pub(super) fn state(&self) -> Report {
        self.machine.report("0", NOW)
    }

    /// What it reports, as the reconciler reads it.
    pub(super) fn report(&self) -> Report {
        let message = wire::report_message(self.state(), None);
        match wire::read_report(message).0 {
            Reported::Readable(report) => report,
            Reported::Unreadable { why, .. } => panic!("agents say what can be read: {why}"),
        }
    }

    pub(super) fn running(&self) -> Option<Claim> {
        self.machine.memory().running
    }

    /// Its heartbeat.
    pub(super) fn heartbeat(&mut self, published: Option<&SignedOffer>) {
        self.tell(Event::Tick, published);
    }

    pub(super) fn directed(&mut self, directive: Directive, published: Option<&SignedOffer>) {
        self.tell(Event::Directive(directive), published);
    }

    /// Takes an event in, and carries out what follows; `published` is what it finds when it pulls.
    fn tell(&mut self, event: Event, published: Option<&SignedOffer>) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let before = self.machine.memory().clone();
            let effects = self.machine.handle(event, NOW);
            self.note_beginning(&before, published);
            let failure = self.machine.memory().failure.as_ref().filter(|failure| failure.version != self.old);
            self.refused |= failure.is_some_and(|failure| REFUSALS.iter().any(|code| failure.code == code.as_str()));
            events.extend(effects.into_iter().filter_map(|effect| self.carry_out(effect, published)));
        }
    }

    fn note_beginning(&mut self, before: &Durable, published: Option<&SignedOffer>) {
        let Some(Begun { version, digest }) = self.machine.memory().begun.filter(|begun| Some(*begun) != before.begun)
        else {
            return;
        };
        let mut offers = self.held.iter().chain(published);
        let offer = offers.rfind(|offer| (offer.version, offer.digest) == (version, digest));
        let offer = offer.expect("it begins only what it was offered").clone();
        let floor = self.floor.max(before.running.map(|claim| claim.version.rank()));
        self.begun.push(Beginning { offer, floor, ran: before.running });
        // What gave up a higher one is the floor from now on, unless that comes to run again.
        self.floor = Some(version.rank());
    }

    fn carry_out(&mut self, effect: Effect, published: Option<&SignedOffer>) -> Option<Event> {
        let ended = match effect {
            Effect::Persist | Effect::Note => {
                self.disk = self.machine.memory().clone();
                return None;
            }
            Effect::Pull => {
                self.held = published.cloned();
                let offer = published.map(|offer| Box::new((offer.clone(), self.lines.spec(&offer.digest))));
                return Some(Event::Pulled(Ok(Pulled { offer, decommission: false })));
            }
            Effect::Stage(_) => return Some(Event::Staged(Ok(()))),
            Effect::Probe { purpose, digest, .. } => {
                let sick = || Problem::lasting(codes::PROBE_FAILED, "it is sick".to_owned());
                let result = if self.bad.contains(&digest) { Err(sick()) } else { Ok(()) };
                return Some(Event::Probed(Probed { purpose, result }));
            }
            Effect::Apply { .. } => Event::Applied(Ok(())),
            Effect::Undo { .. } => Event::Undone(Ok(())),
            Effect::Commit { .. } => Event::Committed(Ok(())),
            Effect::Report | Effect::RetryPull(_) | Effect::WakeAt(_) => return None,
            Effect::Clear | Effect::Forget => panic!("nobody decommissions it"),
        };
        if self.slow {
            self.unended.push(ended);
            return None;
        }
        Some(ended)
    }
}
