//! What the machine says about itself: reports and status.

use bellwether_schemas::name::DeviceName;

use super::{Candidate, Claim, Health, Machine, Phase, Report, Stage, Step, Timestamp};
use crate::status::Status;

impl Machine {
    /// The report to send now; `clock` is the device's own clock, whatever it is worth.
    pub fn report(&self, agent: &str, clock: Timestamp) -> Report {
        Report {
            nonce: self.memory.nonce.clone(),
            agent: agent.to_owned(),
            running: self.memory.running,
            applying: self.applying(),
            phase: self.shown_phase(),
            health: if self.memory.running.is_none() && self.applying().is_none() {
                Health::Unknown
            } else {
                self.health
            },
            failure: self.memory.failure.clone(),
            clock,
        }
    }

    fn applying(&self) -> Option<Claim> {
        let attempt = self.memory.attempt.as_ref().filter(|a| a.step != Step::Soaking).map(|a| a.claim);
        attempt.or_else(|| self.candidate.as_ref().filter(|c| c.is_asked()).map(|c| c.claim()))
    }

    /// What is asked for stays asked for, whatever else happens to what still soaks.
    fn shown_phase(&self) -> Phase {
        let changing = self.memory.attempt.as_ref().is_some_and(|attempt| attempt.step != Step::Soaking);
        let asked = self.candidate.as_ref().is_some_and(Candidate::is_asked);
        if asked && !changing { Phase::Applying } else { self.phase }
    }

    /// The status to show.
    pub fn status(&self, device: &DeviceName, at: Timestamp, trouble: Option<String>) -> Status {
        let attempt = self.memory.attempt.as_ref().map(|a| a.claim);
        Status {
            device: device.clone(),
            at,
            phase: self.shown_phase(),
            running: self.memory.running,
            next: self.candidate.as_ref().map(|c| c.claim()).or(attempt),
            health: self.health,
            waiting: self.waiting(),
            connected: self.connected,
            paused: self.paused.clone(),
            failure: self.memory.failure.clone(),
            trouble,
        }
    }

    fn waiting(&self) -> String {
        if let Some(paused) = &self.paused {
            return format!("paused by the reconciler: {}: {}", paused.code, paused.reason);
        }
        if let Some(attempt) = &self.memory.attempt {
            let version = attempt.claim.version.long();
            let previous = attempt.previous.map_or("nothing".to_owned(), |claim| claim.version.long());
            match attempt.step {
                Step::Applying => return format!("{version} is being applied"),
                Step::Probing => return format!("{version} is placed and being probed"),
                Step::RollingBack if self.resting => {
                    return format!("{version} could not be undone, back to {previous}; tried at each heartbeat");
                }
                Step::RollingBack => return format!("{version} is being undone, back to {previous}"),
                Step::Soaking if self.candidate.is_none() => {
                    return format!("{version} is healthy; probes go on for {} before it is final", attempt.soak);
                }
                Step::Soaking => {}
            }
        }
        match self.candidate.as_ref().map(|c| (c.stage, c.offer.version.long(), c.offer.not_before)) {
            Some((Stage::Downloading, version, _)) => format!("{version} is being downloaded"),
            Some((Stage::Ready | Stage::Waiting, version, Some(opens))) => {
                format!("{version} may be applied from {opens} on")
            }
            Some((Stage::Ready | Stage::Waiting, version, None)) => format!("{version} is ready to be applied"),
            Some((Stage::Asked, version, _)) => format!("the reconciler's word to apply {version}"),
            Some((Stage::Granted, version, _)) => format!("{version} is about to be applied"),
            None => self.waiting_idle(),
        }
    }

    fn waiting_idle(&self) -> String {
        match (&self.hindrance, &self.ill) {
            _ if !self.connected => "a connection to the reconciler".to_owned(),
            (Some(hindrance), _) => format!("another try to get what is offered: {hindrance}"),
            (None, Some(ill)) => format!("a new version: what runs does not pass its probes: {ill}"),
            (None, None) => "a new version".to_owned(),
        }
    }
}
