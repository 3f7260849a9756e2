//! Why a member is not at its target.

use bellwether_schemas::DeviceName;
use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::report::Health;

use super::Opening;
use super::decide::{Aim, Goal};
use super::place::Placement;
use super::planner::Planner;
use super::slots::{IN_FLIGHT, Told};
use super::standing::Row;
use super::timing::Contact;

/// Gives reasons, as the plan stands.
pub struct Reasons<'a> {
    planner: &'a Planner,
    placement: Placement,
}

impl Planner {
    /// The reasons of its members.
    pub fn reasons(&self) -> Reasons<'_> {
        let placement = self.placement.clone().unwrap_or_else(|| super::place::place(self));
        Reasons { planner: self, placement }
    }

    /// Why the wave at `place` is not open.
    pub(super) fn waits_for(&self, place: usize) -> Option<WaitingOn> {
        let next = self.open_waves();
        let name = |place: usize| self.record.rollout.waves.get(place).map(|wave| wave.name.clone());
        match &self.blocked {
            Some(WaitingOn::Wave { after, .. }) => Some(WaitingOn::Wave { wave: name(place)?, after: after.clone() }),
            Some(blocked) if place <= next => Some(blocked.clone()),
            _ => Some(WaitingOn::Wave { wave: name(place)?, after: name(next.min(place.saturating_sub(1)))? }),
        }
    }
}

impl Reasons<'_> {
    /// Why a member is not at its target; none when it is, unless it is paused: then that is the reason all the same.
    pub fn of(&self, device: &DeviceName) -> Option<WaitingOn> {
        self.of_row(self.planner.row_of(device)?)
    }

    /// The members that a wave which is not open would take now.
    pub(super) fn placed(&self, place: usize) -> usize {
        self.placement.rows(place).len()
    }

    pub(super) fn of_row(&self, i: usize) -> Option<WaitingOn> {
        let planner = self.planner;
        let row = &planner.rows[i];
        if let Some(paused) = &row.observed.paused {
            return Some((**paused).clone());
        }
        if let Some(stop) = planner.rewound().or_else(|| planner.unsound()) {
            return (!row.is_at_target()).then_some(stop);
        }
        if row.pin.is_some() {
            return self.of_pinned(row);
        }
        if let Err(why) = &row.target {
            // What is lacking for all is no fault of this one.
            let lacks = planner.blocked.as_ref().filter(|blocked| matches!(blocked, WaitingOn::Artifact { .. }));
            return Some(lacks.cloned().unwrap_or_else(|| WaitingOn::RenderError { why: why.to_string() }));
        }
        if planner.record.is_rejected() && planner.was_reached(row) {
            return self.of_reached(row);
        }
        if row.is_at_target() {
            return ill(row);
        }
        self.of_failed(row).or_else(|| self.of_offered(row)).or_else(|| self.of_waiting(i))
    }

    /// Of a member that runs the target, and has not said how that is.
    pub(super) fn of_untold(&self, i: usize) -> Option<WaitingOn> {
        let Row { observed, contact, .. } = &*self.planner.rows[i];
        match contact {
            Contact::Live => {
                let running = observed.running?;
                let since = observed.last_progress.or(observed.last_seen).unwrap_or(observed.enrolled_at);
                Some(WaitingOn::InFlight { version: running.version, since })
            }
            Contact::Silent | Contact::Stale => {
                Some(WaitingOn::Stale { last_seen: observed.last_seen, begun: observed.begun() })
            }
        }
    }

    fn of_failed(&self, row: &Row) -> Option<WaitingOn> {
        let note = row.note.failed.as_ref()?;
        let failure = row.observed.failure.as_deref().filter(|failure| failure.version == Some(note.version));
        Some(WaitingOn::Failed { version: note.version, failure: failure.cloned() })
    }

    /// Of a member that is on the way to what it may run, or that cannot be heard.
    fn of_offered(&self, row: &Row) -> Option<WaitingOn> {
        let planner = self.planner;
        let observed = &row.observed;
        if planner.timing.contact(observed) != Contact::Live {
            return Some(WaitingOn::Stale { last_seen: observed.last_seen, begun: observed.begun() });
        }
        let wanted = match &row.pin {
            Some(pin) => pin.spec.as_ref().ok().map(|good| good.digest),
            None => row.target(),
        };
        let on_the_way = observed.outstanding().filter(|offer| Some(offer.digest) == wanted && !row.is_excused(offer));
        if let Some(offer) = on_the_way {
            return match offer.not_before.filter(|opens| *opens > planner.timing.now) {
                Some(opens) => Some(WaitingOn::Window { opens: Some(opens), why: None }),
                None => Some(WaitingOn::InFlight { version: offer.version, since: offer.offered_at }),
            };
        }
        // Stable failed on it, and it is offered nothing before its wave opens.
        if let Some(offer) = observed.offer.as_ref().filter(|offer| Some(offer.digest) == planner.stable_of(row))
            && let Some(failure) = observed.failure_of(offer)
        {
            return Some(WaitingOn::Failed { version: offer.version, failure: Some(failure.clone()) });
        }
        // What it is changing has to end before anything can be said to be given up.
        let begun = observed.applying.as_ref().filter(|_| row.revision.is_none())?;
        let since = observed.last_progress.or(observed.last_seen).unwrap_or(observed.enrolled_at);
        Some(WaitingOn::InFlight { version: begun.version, since })
    }

    /// Of a member that is offered nothing.
    fn of_waiting(&self, i: usize) -> Option<WaitingOn> {
        let planner = self.planner;
        let row = &planner.rows[i];
        if let Some(stop) = planner.stop() {
            return Some(stop);
        }
        if let Some(goal) = planner.goal(row).filter(|goal| goal.aim == Aim::Target) {
            return self.of_goal(row, &goal);
        }
        let place = row.note.wave.or(self.placement.wave_of(i)).unwrap_or(planner.all_waves().saturating_sub(1));
        planner.waits_for(place)
    }

    /// Of a member that may run something, and is not offered it: it is not the time, or there is no place.
    fn of_goal(&self, row: &Row, goal: &Goal) -> Option<WaitingOn> {
        match self.planner.opening(row, goal) {
            Some(Opening::Closed { opens }) => return Some(WaitingOn::Window { opens: Some(opens), why: None }),
            Some(Opening::Never { why }) => return Some(WaitingOn::Window { opens: None, why: Some(why) }),
            Some(Opening::Always | Opening::Open { .. }) | None => {}
        }
        match self.planner.slots.full_for(row, goal.hastens)? {
            IN_FLIGHT => {
                let (limit, in_flight) = self.planner.slots.in_flight();
                Some(WaitingOn::MaxInFlight { limit, in_flight })
            }
            group => {
                let Told { budget, values, limit, held, named } = self.planner.slots.told(group, &self.planner.rows);
                let by =
                    budget.and_then(|place| self.planner.record.rollout.budget.get(place)).map(|budget| &budget.by);
                Some(WaitingOn::Budget {
                    group: by.into_iter().flatten().cloned().zip(values.iter().cloned()).collect(),
                    limit,
                    unavailable: u64::try_from(held).unwrap_or(u64::MAX),
                    holders: named,
                })
            }
        }
    }

    /// Of a member that the target reached which is given up.
    fn of_reached(&self, row: &Row) -> Option<WaitingOn> {
        let planner = self.planner;
        let commit = planner.record.target.commit;
        match planner.goal(row) {
            Some(goal) if !row.observed.runs(goal.digest) => {
                let to = goal.template.commit;
                let blocked = || row.waits_at.and_then(|_| self.of_goal(row, &goal));
                planner.held().or_else(blocked).or(Some(WaitingOn::Reverting { commit, to }))
            }
            Some(_) => self.of_failed(row).or_else(|| planner.halted()),
            None => self.back_failed(row).or_else(|| self.of_failed(row)).or_else(|| planner.halted()),
        }
    }

    /// Of a member on which going back failed.
    fn back_failed(&self, row: &Row) -> Option<WaitingOn> {
        let good = row.note.good.as_ref().map(|good| good.digest);
        let is_back = |digest| good == Some(digest) || self.planner.stable_of(row) == Some(digest);
        let offer = row.observed.offer.as_ref().filter(|offer| is_back(offer.digest))?;
        let failure = row.observed.failure_of(offer)?.clone();
        Some(WaitingOn::BackFailed { commit: self.planner.record.target.commit, version: offer.version, failure })
    }

    fn of_pinned(&self, row: &Row) -> Option<WaitingOn> {
        let planner = self.planner;
        let pin = row.pin.as_ref()?;
        let commit = pin.commit;
        let good = match &pin.spec {
            Err(why) => return Some(WaitingOn::Pinned { commit, why: Some(why.clone()) }),
            Ok(good) if row.observed.runs(good.digest) => {
                return if row.is_at_target() { ill(row) } else { Some(WaitingOn::Pinned { commit, why: None }) };
            }
            Ok(good) => good,
        };
        let Some(goal) = planner.goal(row) else {
            let offer = row.observed.offer.as_ref().filter(|offer| offer.digest == good.digest)?;
            return Some(WaitingOn::Failed {
                version: offer.version,
                failure: row.observed.failure_of(offer).cloned(),
            });
        };
        let stopped = || planner.stops(Aim::Pin).then(|| planner.stop()).flatten();
        self.of_offered(row).or_else(stopped).or_else(|| self.of_goal(row, &goal))
    }
}

/// Of a member that runs what it shall.
fn ill(row: &Row) -> Option<WaitingOn> {
    let running = row.observed.running.filter(|_| row.observed.health == Health::Unhealthy)?;
    Some(WaitingOn::Unhealthy { version: running.version })
}
