//! What the machine says about itself: reports and status.

use bellwether_schemas::name::DeviceName;

use super::{Candidate, Claim, Health, Machine, Phase, Report, Stage, Step, Timestamp};
use crate::durable::Leaving;
use crate::status::Status;

impl Machine {
    /// The report to send now; `clock` is the device's own clock, whatever it is worth.
    pub fn report(&self, agent: &str, clock: Timestamp) -> Report {
        Report {
            nonce: self.memory.nonce.clone(),
            agent: agent.to_owned(),
            running: self.memory.running,
            applying: self.applying(),
            begun: self.memory.begun.map(|begun| begun.version),
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
        let attempt = self.memory.attempt.as_ref().filter(|attempt| !attempt.step.runs()).map(|a| a.claim);
        self.asked().or(attempt)
    }

    /// What is asked for, which stays asked for, whatever else happens to what still soaks or cannot be undone.
    fn asked(&self) -> Option<Claim> {
        let changing = self.memory.attempt.as_ref().is_some_and(|attempt| !attempt.step.runs());
        let asked = self.candidate.as_ref().filter(|candidate| candidate.is_asked());
        asked.filter(|_| self.stuck || !changing).map(Candidate::claim)
    }

    fn shown_phase(&self) -> Phase {
        if self.asked().is_some() { Phase::Applying } else { self.phase }
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
            frozen: None,
        }
    }

    fn waiting(&self) -> String {
        if let Some(paused) = &self.paused {
            return format!("paused by the reconciler: {}: {}", paused.code, paused.reason);
        }
        match self.memory.leaving {
            Some(Leaving::Removing) => {
                return "everything that was placed to be removed: the device is decommissioned".to_owned();
            }
            Some(Leaving::Removed) => {
                return "the reconciler to record that everything is removed: the device is decommissioned".to_owned();
            }
            None => {}
        }
        if let Some(attempt) = &self.memory.attempt {
            let version = attempt.claim.version.long();
            let previous = attempt.previous.map_or("nothing".to_owned(), |claim| claim.version.long());
            match attempt.step {
                Step::Applying => return format!("{version} is being applied"),
                Step::Probing => return format!("{version} is placed and being probed"),
                Step::RollingBack if !self.stuck => return format!("{version} is being undone, back to {previous}"),
                // The next version is what is waited for.
                Step::Soaking | Step::Committing | Step::RollingBack if self.candidate.is_some() => {}
                Step::RollingBack => {
                    return format!("{version} could not be undone, back to {previous}; tried at each heartbeat");
                }
                Step::Soaking => {
                    return format!("{version} is healthy; probes go on for {} before it is final", attempt.soak);
                }
                Step::Committing if self.stuck => {
                    return format!("{version} is healthy and could not be made final; tried at each heartbeat");
                }
                Step::Committing => return format!("{version} is healthy and being made final"),
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
