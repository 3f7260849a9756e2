//! A Rollout that lets more through than before.

use std::fmt::Display;

use bellwether_schemas::manifest::{Budget, Gate, MaxUnavailable, OnFailure, Rollout, Wave, WaveMembers, Window};
use bellwether_schemas::{Percent, Seconds};

/// Each limit of a Rollout that lets more through than before, as `what: before → after`.
pub(in crate::compare) fn loosened(before: &Rollout, after: &Rollout) -> Vec<String> {
    let mut found = Vec::new();
    let mut less = |is: bool, what: &str, from: &dyn Display, to: &dyn Display| {
        if is {
            found.push(format!("{what}: {from} → {to}"));
        }
    };
    let is_above = |what: fn(&Rollout) -> Percent| what(after) > what(before);
    less(is_above(|r| r.max_failure_rate), "maxFailureRate", &before.max_failure_rate, &after.max_failure_rate);
    less(after.min_failures > before.min_failures, "minFailures", &before.min_failures, &after.min_failures);
    less(after.min_healthy < before.min_healthy, "minHealthy", &before.min_healthy, &after.min_healthy);
    less(after.device_timeout > before.device_timeout, "deviceTimeout", &before.device_timeout, &after.device_timeout);
    less(after.retries > before.retries, "retries", &before.retries, &after.retries);
    less(after.lost_after < before.lost_after, "lostAfter", &before.lost_after, &after.lost_after);
    let in_flight = |rollout: &Rollout| rollout.max_in_flight.unwrap_or(Percent::whole(100));
    less(in_flight(after) > in_flight(before), "maxInFlight", &in_flight(before), &in_flight(after));
    let halts_only = before.on_failure == OnFailure::Revert && after.on_failure == OnFailure::Halt;
    less(halts_only, "onFailure", &"revert", &"halt");
    for fleet in before.after.iter().filter(|fleet| !after.after.contains(fleet)) {
        found.push(format!("after: it waits for {fleet} no more"));
    }
    found.extend(windows("windows", &before.windows, &after.windows));
    found.extend(budgets(&before.budget, &after.budget));
    found.extend(waves(before, after));
    found
}

/// Windows in which it may be applied at a time at which it might not.
fn windows(what: &str, before: &[Window], after: &[Window]) -> Option<String> {
    let is_within = |now: &Window, known: &Window| {
        let opens = |window: &Window| u32::from(window.start.hour()) * 3_600 + u32::from(window.start.minute()) * 60;
        let closes = |window: &Window| Seconds::new(opens(window) + window.duration.get());
        now.timezone == known.timezone
            && opens(now) >= opens(known)
            && closes(now) <= closes(known)
            && bellwether_schemas::manifest::Day::ALL.iter().all(|day| !now.opens_on(*day) || known.opens_on(*day))
    };
    let is_wider = match (before, after) {
        ([], _) => false,
        (_, []) => true,
        _ => !after.iter().all(|now| before.iter().any(|known| is_within(now, known))),
    };
    let text = |windows: &[Window]| match windows {
        [] => "at any time".to_owned(),
        some => some.iter().map(Window::to_string).collect::<Vec<_>>().join("; "),
    };
    is_wider.then(|| format!("{what}: {} → {}", text(before), text(after)))
}

fn budgets<'b>(before: &'b [Budget], after: &'b [Budget]) -> impl Iterator<Item = String> + 'b {
    before.iter().filter_map(|budget| {
        let by = if budget.by.is_empty() { "the fleet".to_owned() } else { budget.by.join(", ") };
        let text = |limit: MaxUnavailable| match limit {
            MaxUnavailable::Count(count) => count.to_string(),
            MaxUnavailable::Share(share) => share.to_string(),
        };
        let from = text(budget.max_unavailable);
        let Some(now) = after.iter().find(|other| other.by == budget.by) else {
            return Some(format!("budget of {by}: {from} → no limit"));
        };
        let is_wider = match (budget.max_unavailable, now.max_unavailable) {
            (MaxUnavailable::Count(before), MaxUnavailable::Count(after)) => after > before,
            (MaxUnavailable::Share(before), MaxUnavailable::Share(after)) => after > before,
            // A number and a share are compared by nobody who does not know the group.
            (before, after) => before != after,
        };
        is_wider.then(|| format!("budget of {by}: {from} → {}", text(now.max_unavailable)))
    })
}

fn waves(before: &Rollout, after: &Rollout) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = 0;
    for (place, wave) in before.waves.iter().enumerate() {
        let Some(at) = counterpart(wave, place, before, after) else {
            found.push(format!("wave {}: gone", wave.name));
            continue;
        };
        let now = &after.waves[at];
        if at < next {
            found.push(format!("wave {}: comes earlier than before", now.name));
        }
        next = next.max(at + 1);
        found.extend(wave_limits(before, after, (place, wave), (at, now)));
    }
    // A wave that is new somewhere else only makes more steps of one.
    if let (Some(first), Some(known)) = (after.waves.first(), before.waves.first())
        && counterpart(known, 0, before, after) != Some(0)
        && counterpart(first, 0, after, before).is_none()
    {
        found.push(format!("wave {}: comes before {}", first.name, known.name));
    }
    found
}

/// The place of a wave of `here` in `there`: of the one with its name, or of one that only has another name.
fn counterpart(wave: &Wave, place: usize, here: &Rollout, there: &Rollout) -> Option<usize> {
    let by_name = there.waves.iter().position(|other| other.name == wave.name);
    by_name.or_else(|| {
        let other = there.waves.get(place)?;
        let is_free = here.waves.iter().all(|known| known.name != other.name);
        (is_free && (other.select.as_ref(), other.percent) == (wave.select.as_ref(), wave.percent)).then_some(place)
    })
}

fn wave_limits(before: &Rollout, after: &Rollout, was: (usize, &Wave), is: (usize, &Wave)) -> Vec<String> {
    let ((place, wave), (at, now)) = (was, is);
    let name = &now.name;
    let mut found = Vec::new();
    if now.soak < wave.soak {
        found.push(format!("soak of wave {name}: {} → {}", wave.soak, now.soak));
    }
    if wave.gate == Gate::Manual && now.gate == Gate::Automatic {
        found.push(format!("gate of wave {name}: manual → automatic"));
    }
    match (wave.members(), now.members()) {
        (Some(WaveMembers::Percent(before)), Some(WaveMembers::Percent(after))) if after > before => {
            found.push(format!("wave {name}: {before}% → {after}%"));
        }
        (Some(WaveMembers::Percent(before)), Some(WaveMembers::Select(_))) => {
            found.push(format!("wave {name}: {before}% → those that a selector takes"));
        }
        (Some(WaveMembers::Select(_)), Some(WaveMembers::Percent(after))) => {
            found.push(format!("wave {name}: those that a selector takes → {after}%"));
        }
        (Some(WaveMembers::Select(before)), Some(WaveMembers::Select(after))) if before != after => {
            found.push(format!("wave {name}: selects other devices"));
        }
        _ => {}
    }
    match (wave.limit, now.limit) {
        (Some(before), Some(after)) if after > before => {
            found.push(format!("limit of wave {name}: {before} → {after}"));
        }
        (Some(before), None) => found.push(format!("limit of wave {name}: {before} → none")),
        _ => {}
    }
    // Where both go by the Rollout's, that is told already.
    let (from, to) = (before.failure_rate_of(place), after.failure_rate_of(at));
    if to > from && (wave.max_failure_rate.is_some() || now.max_failure_rate.is_some() || (place == 0) != (at == 0)) {
        found.push(format!("maxFailureRate of wave {name}: {from} → {to}"));
    }
    if !wave.windows.is_empty() || !now.windows.is_empty() {
        found.extend(windows(&format!("windows of wave {name}"), before.windows_of(wave), after.windows_of(now)));
    }
    found
}
