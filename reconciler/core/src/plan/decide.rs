//! What each member is offered now, and why it is not at its target.

use bellwether_schemas::api::{Condition, WaitingOn};
use bellwether_schemas::report::Health;
use bellwether_schemas::{Seconds, Sha256Digest};

use super::place::Placement;
use super::standing::{Contact, Row, Sheet};
use super::{Action, Decision, Landing};

/// What a member may run now.
#[derive(Debug, Clone, Copy)]
struct Goal {
    template: Landing,
    digest: Sha256Digest,
    soak: Seconds,
    /// Whether it is the target; otherwise it is stable.
    is_target: bool,
}

/// Decides for every member, in the order of the input.
pub(super) fn decide(sheet: &mut Sheet<'_>, placement: &Placement) -> Vec<Decision> {
    let stop = sheet.stop();
    let mut decisions = Vec::with_capacity(sheet.rows.len());
    for i in 0..sheet.rows.len() {
        let decision = match settled_elsewhere(sheet, i) {
            Some(reason) => Decision { action: Action::None, reason },
            None => {
                let action = act(sheet, i, stop.is_some());
                Decision { action, reason: reason(sheet, placement, i, &action) }
            }
        };
        decisions.push(decision);
    }
    decisions
}

/// The reason of a member that this plan does not touch.
fn settled_elsewhere(sheet: &Sheet<'_>, i: usize) -> Option<Option<WaitingOn>> {
    let row = &sheet.rows[i];
    if let Some(paused) = &row.member.observed.paused {
        return Some(Some(paused.clone()));
    }
    let condition = sheet.input.condition;
    matches!(condition, Condition::Rewound { .. })
        .then(|| (!row.is_at_target()).then(|| WaitingOn::Repository { condition: condition.clone() }))
}

fn act(sheet: &mut Sheet<'_>, i: usize, stopped: bool) -> Action {
    let row = &sheet.rows[i];
    let observed = &row.member.observed;
    let goal = goal(sheet, row);
    let outstanding = observed.outstanding().copied();
    let unbegun = outstanding.filter(|offer| !observed.has_begun(offer));
    let heading = outstanding.map(|offer| offer.digest).or(observed.running.map(|running| running.digest));
    let next = row.member.next_version.filter(|_| row.contact == Contact::Live && !stopped);
    let (target, complete) = (row.target(), sheet.record.is_complete());
    let (action, offered) = match (goal, unbegun, next) {
        // What failed on it does not stay published: a device that loses its memory shall not find it again.
        _ if row.note.failed.is_some() && observed.gave_up_its_offer() => (Action::Withdraw, row.note.offered),
        // On its way, or there.
        (Some(goal), ..) if heading == Some(goal.digest) => {
            // A device that comes back after a long time shall not find what may have failed elsewhere meanwhile.
            let withdrawn = stopped || (row.contact == Contact::Stale && goal.is_target && !complete);
            match unbegun {
                Some(_) if withdrawn => (Action::Withdraw, false),
                _ => (Action::None, row.note.offered || (goal.is_target && outstanding.is_some())),
            }
        }
        // It runs what it shall, and is not to leave it.
        (Some(goal), Some(_), _) if observed.runs(goal.digest) => (Action::Withdraw, false),
        (Some(goal), None, _) if observed.runs(goal.digest) && observed.applying.is_none() => {
            (Action::None, row.note.offered)
        }
        (Some(goal), _, Some(version)) => {
            let Goal { template, digest, soak, is_target } = goal;
            (Action::Offer { version, template, digest, soak }, row.note.offered || is_target)
        }
        // An offer that nothing stands behind any more; what leads to stable may stay.
        (_, Some(offer), _) if stopped || Some(offer.digest) != stable(sheet, row) => {
            (Action::Withdraw, row.note.offered && Some(offer.digest) != target)
        }
        _ => (Action::None, row.note.offered),
    };
    sheet.rows[i].note.offered = offered;
    action
}

/// What a member may run now, if it is live and nothing stops offers.
fn goal(sheet: &Sheet<'_>, row: &Row<'_>) -> Option<Goal> {
    let place = row.note.wave.unwrap_or(sheet.all_waves().saturating_sub(1));
    let soak = sheet.record.rollout.waves.get(place).map_or(Seconds::ZERO, |wave| wave.soak);
    if sheet.admits(&row.note) {
        let digest = row.target().filter(|_| row.note.failed.is_none())?;
        return Some(Goal { template: sheet.record.target, digest, soak, is_target: true });
    }
    // A device without a version, and one that joined, get stable until their wave opens.
    let observed = &row.member.observed;
    let digest = *row.member.stable.as_ref()?.as_ref().ok()?;
    let failed = observed.offer.filter(|offer| offer.digest == digest && observed.failure_of(offer).is_some());
    // What is rendered now must be what was stable then: labels that changed since are part of the target.
    let is_stable = stable(sheet, row) == Some(digest) && row.note.failed.is_none() && failed.is_none();
    let wants = (observed.running.is_none() || row.note.joined) && is_stable;
    let template = sheet.record.stable.filter(|_| wants)?;
    Some(Goal { template, digest, soak, is_target: false })
}

/// What the member was to run under stable, where there is one.
fn stable(sheet: &Sheet<'_>, row: &Row<'_>) -> Option<Sha256Digest> {
    sheet.record.stable.and(row.note.stable())
}

fn reason(sheet: &Sheet<'_>, placement: &Placement, i: usize, action: &Action) -> Option<WaitingOn> {
    let row = &sheet.rows[i];
    let observed = &row.member.observed;
    let target = match &row.member.target {
        Err(why) => return Some(WaitingOn::RenderError { why: why.clone() }),
        Ok(target) if observed.runs(*target) => {
            let ill = observed.running.filter(|_| observed.health == Health::Unhealthy);
            return ill.map(|running| WaitingOn::Unhealthy { version: running.version });
        }
        Ok(target) => *target,
    };
    if let Some(note) = &row.note.failed {
        let failure = observed.failure.clone().filter(|failure| failure.version == Some(note.version));
        return Some(WaitingOn::Failed { version: note.version, failure });
    }
    if let Action::Offer { version, digest, .. } = action
        && *digest == target
    {
        return Some(WaitingOn::InFlight { version: *version, since: sheet.input.limits.now });
    }
    if row.contact != Contact::Live {
        return Some(WaitingOn::Stale { last_seen: observed.last_seen });
    }
    if *action != Action::Withdraw
        && let Some(offer) = observed.outstanding().filter(|offer| offer.digest == target)
    {
        return Some(WaitingOn::InFlight { version: offer.version, since: offer.offered_at });
    }
    // Stable failed on it, and it is offered nothing before its wave opens.
    if let Some(offer) = &observed.offer
        && let Some(failure) = observed.failure_of(offer).filter(|_| Some(offer.digest) == stable(sheet, row))
    {
        return Some(WaitingOn::Failed { version: offer.version, failure: Some(failure.clone()) });
    }
    // What it is changing has to end before anything can be said to be given up.
    if let Some(begun) = observed.applying.filter(|_| row.member.next_version.is_none()) {
        let since = observed.last_progress.or(observed.last_seen).unwrap_or(observed.enrolled_at);
        return Some(WaitingOn::InFlight { version: begun.version, since });
    }
    let place = row.note.wave.or(placement.wave_of(i)).unwrap_or(sheet.all_waves().saturating_sub(1));
    sheet.stop().or_else(|| waits_for(sheet, place))
}

/// Why the wave at `place` is not open.
pub(super) fn waits_for(sheet: &Sheet<'_>, place: usize) -> Option<WaitingOn> {
    let next = sheet.open_waves();
    let name = |place: usize| sheet.record.rollout.waves.get(place).map(|wave| wave.name.clone());
    match &sheet.blocked {
        Some(WaitingOn::Wave { after, .. }) => Some(WaitingOn::Wave { wave: name(place)?, after: after.clone() }),
        Some(blocked) if place <= next => Some(blocked.clone()),
        _ => Some(WaitingOn::Wave { wave: name(place)?, after: name(next.min(place.saturating_sub(1)))? }),
    }
}
